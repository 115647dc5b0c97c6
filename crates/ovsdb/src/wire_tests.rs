use proptest::prelude::*;

use super::*;
use crate::schema::{Schema, Wanted};
use crate::value::Atom;

const LIMIT: usize = 1 << 20;

fn frames_of(chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, WireError> {
    let mut frames = Frames::new(LIMIT);
    let mut found = Vec::new();
    for chunk in chunks {
        frames.push(chunk);
        while let Some(frame) = frames.next_frame()? {
            found.push(frame);
        }
    }
    Ok(found)
}

fn layout() -> Layout {
    let text = r#"{"name":"D","version":"1.0.0","tables":{"T":{"columns":{
        "name":{"type":"string"},
        "ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
        "refs":{"type":{"key":{"type":"uuid"},"min":0,"max":"unlimited"}}}}}}"#;
    Wanted::new().table_all("T").intersect(&Schema::parse(text).unwrap())
}

fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![
        any::<i64>().prop_map(Atom::Integer),
        any::<bool>().prop_map(Atom::Boolean),
        any::<String>().prop_map(Atom::from),
        any::<u128>().prop_map(|u| Atom::Uuid(Uuid::from_u128(u))),
        // A real that is a whole number reads back as an integer: only the schema can tell them apart.
        any::<f64>()
            .prop_filter("finite, not whole", |f| f.is_finite() && f.fract() != 0.0)
            .prop_map(|f| Atom::Real(crate::value::Real(f))),
    ]
}

fn datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        proptest::collection::vec(atom(), 0..8).prop_map(Datum::set),
        proptest::collection::vec((atom(), atom()), 0..8).prop_map(Datum::map),
    ]
}

/// Messages as a server writes them: strings with quotes, braces and escapes in them included.
fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = (any::<u64>(), any::<String>(), datum())
        .prop_map(|(id, text, datum)| request(id, &format!("\"{{[\\{text}"), &datum));
    proptest::collection::vec(message, 0..6)
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_frames(messages in stream(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20), gap in "[ \n\r\t]{0,3}") {
        let mut bytes = Vec::new();
        for message in &messages {
            bytes.extend_from_slice(message);
            bytes.extend_from_slice(gap.as_bytes());
        }
        let mut positions: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        positions.extend([0, bytes.len()]);
        positions.sort_unstable();
        let chunks: Vec<&[u8]> = positions.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        prop_assert_eq!(frames_of(&chunks).unwrap(), messages);
    }

    #[test]
    fn one_byte_at_a_time(messages in stream()) {
        let bytes = messages.concat();
        let chunks: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(frames_of(&chunks).unwrap(), messages);
    }

    #[test]
    fn data_survive_the_wire(datum in datum()) {
        let text = serde_json::to_string(&datum).unwrap();
        prop_assert_eq!(Datum::from_json(&text).unwrap(), datum);
    }

    #[test]
    fn garbage_is_an_error_or_nothing_but_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(frames) = frames_of(&[&bytes]) {
            for frame in frames {
                let _ = Message::parse(&frame);
            }
        }
    }

    #[test]
    fn a_damaged_update_is_an_error_or_an_update_but_never_a_panic(
        at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = br#"{"T":{"00000000-0000-0000-0000-000000000001":{"modify":{"name":"a","ids":["map",[["k","v"]]],"refs":["set",[["uuid","00000000-0000-0000-0000-000000000002"]]]}}}}"#.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(raw) = String::from_utf8(bytes).ok().and_then(|s| RawValue::from_string(s).ok()) {
            let _ = table_updates(&raw, &layout());
        }
    }

    #[test]
    fn deltas_are_differences(old in proptest::collection::vec(any::<i8>(), 0..12), new in proptest::collection::vec(any::<i8>(), 0..12)) {
        let set = |v: &[i8]| Datum::set(v.iter().map(|i| i64::from(*i)));
        let (old, new) = (set(&old), set(&new));
        let delta = old.difference(&new).union(&new.difference(&old));
        prop_assert_eq!(old.apply_delta(&delta), new);
    }

    #[test]
    fn differences_hold_what_the_other_lacks(few in proptest::collection::btree_set(any::<u8>(), 0..6), many in proptest::collection::btree_set(any::<u8>(), 0..200)) {
        let set = |v: &std::collections::BTreeSet<u8>| Datum::set(v.iter().map(|i| i64::from(*i)));
        prop_assert_eq!(set(&few).difference(&set(&many)), set(&(&few - &many)));
        prop_assert_eq!(set(&many).difference(&set(&few)), set(&(&many - &few)));
    }

    #[test]
    fn map_deltas_set_and_remove(old in any::<std::collections::BTreeMap<i8, bool>>(), new in any::<std::collections::BTreeMap<i8, bool>>()) {
        let map = |m: &std::collections::BTreeMap<i8, bool>| Datum::map(m.iter().map(|(k, v)| (i64::from(*k), *v)));
        // ovsdb-server(7): a key in one map only, with its value; a key in both with the new value if they differ.
        let mut delta = std::collections::BTreeMap::new();
        for key in old.keys().chain(new.keys()) {
            match (old.get(key), new.get(key)) {
                (Some(before), Some(after)) if before == after => {}
                (_, Some(value)) | (Some(value), None) => { delta.insert(*key, *value); }
                (None, None) => {}
            }
        }
        prop_assert_eq!(map(&old).apply_delta(&map(&delta)), map(&new));
    }
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_whole() {
    let mut frames = Frames::new(100);
    frames.push(b"{\"a\":\"");
    frames.push(&[b'x'; 200]);
    assert!(matches!(frames.next_frame(), Err(WireError::TooLarge { limit: 100 })));
}

#[test]
fn a_big_frame_in_small_pieces_is_scanned_once() {
    // 16 MiB in 4 KiB pieces: with a scan from the start at each piece this would look at 32 GiB.
    let mut message = b"{\"id\":1,\"result\":\"".to_vec();
    message.resize(16 << 20, b'x');
    message.extend_from_slice(b"\"}");
    let mut frames = Frames::new(64 << 20);
    let mut found = None;
    for chunk in message.chunks(4096) {
        frames.push(chunk);
        found = frames.next_frame().unwrap().or(found);
    }
    assert_eq!(found.unwrap().len(), message.len());
}

#[test]
fn other_things_than_objects_are_refused() {
    assert!(matches!(frames_of(&[b"HTTP/1.1 400"]), Err(WireError::NotAnObject(b'H'))));
    assert!(Message::parse(br#"{"id":1,"method":7}"#).is_err());
}

#[test]
fn answers_and_requests_are_told_apart() {
    match Message::parse(br#"{"id":"echo","method":"echo","params":[]}"#).unwrap() {
        Message::Request { id, method, params } => {
            assert_eq!((id, method.as_str(), params.get()), (Value::from("echo"), "echo", "[]"));
        }
        other => panic!("{other:?}"),
    }
    match Message::parse(br#"{"id":3,"result":null,"error":{"error":"x"}}"#).unwrap() {
        Message::Response { id, result } => {
            assert_eq!(id, Value::from(3));
            assert!(result.is_err());
        }
        other => panic!("{other:?}"),
    }
    match Message::parse(br#"{"id":3,"error":null,"result":[1]}"#).unwrap() {
        Message::Response { result, .. } => assert_eq!(result.unwrap().get(), "[1]"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn deeply_nested_values_are_an_error() {
    let text = format!("{}1{}", "[\"set\",[".repeat(2000), "]]".repeat(2000));
    assert!(Datum::from_json(&text).is_err());
}

#[test]
fn updates_are_read_into_the_layout() {
    let raw = RawValue::from_string(
        r#"{"T":{"00000000-0000-0000-0000-000000000001":{"insert":{"name":"a\u0062"}},
            "00000000-0000-0000-0000-000000000002":{"delete":null}}}"#
            .to_owned(),
    )
    .unwrap();
    let updates = table_updates(&raw, &layout()).unwrap();
    assert_eq!(
        updates.tables["T"],
        [
            (Uuid::from_u128(1), RowUpdate::Insert(vec![("name", Datum::string("ab"))])),
            (Uuid::from_u128(2), RowUpdate::Delete)
        ]
    );
    let raw = RawValue::from_string(r#"{"U":{}}"#.to_owned()).unwrap();
    assert!(table_updates(&raw, &layout()).is_err());
}
