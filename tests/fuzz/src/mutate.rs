//! Inputs out of a seed: pieces of a corpus, changed.

use tombolo_foreign_rows::hostile::Random;

/// Words that parsers stumble over.
const WORDS: [&str; 24] = [
    "\"",
    "\\",
    "[",
    "]",
    "{",
    "}",
    "[[[[[[[[",
    "{\"a\":",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\u{0}",
    "\u{e9}",
    "\\ud800",
    "/33",
    "/",
    "..",
    ":",
    "::",
    ",",
    "255",
    "true",
    "\n",
];

/// The next input.
#[must_use]
pub fn input(random: &mut Random, corpus: &[&str]) -> Vec<u8> {
    if random.below(10) == 0 {
        return (0..random.below(200)).map(|_| byte(random)).collect();
    }
    let mut bytes = random.pick(corpus).as_bytes().to_vec();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let word = random.pick(&WORDS);
                bytes.splice(at..at, word.bytes());
            }
            2 => {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte(random);
                }
            }
            3 => {
                // A piece of another one in the place of a piece.
                let other = random.pick(corpus).as_bytes();
                let from = random.below(other.len() + 1);
                let to = (from + random.below(40)).min(other.len());
                let end = (at + random.below(40)).min(bytes.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            4 => {
                let end = (at + random.below(20)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + random.below(60)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let most = if random.below(50) == 0 { 500 } else { 3 };
                let times = 1 + random.below(most);
                bytes.splice(at..at, piece.repeat(times));
            }
        }
    }
    bytes
}

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.below(256)).unwrap_or_default()
}
