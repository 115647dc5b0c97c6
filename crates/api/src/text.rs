//! Texts of users in a line of a log, an Event or a condition: one line, of a sane length, that shows what is in it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest text of a condition.
pub const LONGEST_CONDITION: usize = 8_192;
/// Longest line of a log.
pub const LONGEST_LINE: usize = 2_048;
/// Longest message of an Event (the API takes 1,024 bytes).
pub const LONGEST_EVENT: usize = 1_024;

/// Controls (newlines among them, by which a line of a log is forged), and what turns the direction of a text round.
fn is_shown(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
}

/// `text` on one line and at most `longest` bytes long. A text that is so already is left as it is, so that this can be
/// done twice.
#[must_use]
pub fn one_line(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest && text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let room = longest.saturating_sub('…'.len_utf8());
    let mut line = String::new();
    for c in text.chars() {
        let before = line.len();
        if is_shown(c) {
            line.push(c);
        } else {
            // Writing to a string can't fail.
            let _ = write!(line, "{}", c.escape_default());
        }
        if line.len() > room {
            line.truncate(before);
            line.push('…');
            break;
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forges_a_line_is_shown_as_what_it_is() {
        // invariant 12
        assert_eq!(
            one_line("a\nlevel=ERROR b\r\x1b[31m\u{202e}", 100),
            "a\\nlevel=ERROR b\\r\\u{1b}[31m\\u{202e}"
        );
        assert!(matches!(one_line("Subnet größe: „ok“", 100), Cow::Borrowed(_)));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        for text in ["é".repeat(200_000), "\n".repeat(200_000), "x".repeat(1_025)] {
            let line = one_line(&text, 1_024);
            assert!(line.len() <= 1_024 && line.ends_with('…'), "{}", line.len());
            // Once more changes nothing.
            assert_eq!(one_line(&line, 1_024), line);
        }
        assert_eq!(one_line(&"x".repeat(1_024), 1_024).len(), 1_024);
    }
}
