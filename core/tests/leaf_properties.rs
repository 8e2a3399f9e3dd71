//! Properties of the small protocol modules, over generated input: paths, queries, dates, ranges,
//! codings and conditions.

use capuchin_core::http::conditional::{Conditions, EntityTag, Validators, Verdict, evaluate};
use capuchin_core::http::date::HttpDate;
use capuchin_core::http::encoding::{Coding, Codings, choose};
use capuchin_core::http::path::{
    PathError, encode, encode_raw, normalise, query_decode, query_pairs, query_value,
};
use capuchin_core::http::range::{self, Selection};
use capuchin_core::http::write::Writer;
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes strung together from what matters in a path.
fn path_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"/".to_vec()),
        3 => Just(b".".to_vec()),
        2 => Just(b"..".to_vec()),
        2 => Just(b"/../".to_vec()),
        3 => "[a-z]{1,3}".prop_map(String::into_bytes),
        2 => prop_oneof!["%2[eE]", "%2[fF]", "%25", "%00", "%5c", "\\\\", "%4", "%", "%[0-9a-fA-F]{2}"]
            .prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..3),
    ];
    (prop::bool::weighted(0.95), vec(piece, 0..14)).prop_map(|(absolute, pieces)| {
        let start = if absolute { b"/".to_vec() } else { Vec::new() };
        [start, pieces.concat()].concat()
    })
}

fn is_refused(byte: &u8) -> bool {
    *byte == 0
}

/// Decodes everything first, then walks over the segments: simpler, and with copies.
fn model(raw: &[u8]) -> Option<Vec<u8>> {
    let (mut decoded, mut has_encoded_slash) = (Vec::new(), false);
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let text = std::str::from_utf8(&digits).ok()?;
        let byte = u8::from_str_radix(text, 16).ok()?;
        has_encoded_slash |= byte == b'/';
        decoded.push(byte);
    }
    if raw.first() != Some(&b'/') || decoded.iter().any(is_refused) {
        return None;
    }
    let segments: Vec<&[u8]> = decoded[1..].split(|&byte| byte == b'/').collect();
    if has_encoded_slash
        && segments
            .iter()
            .any(|segment| matches!(*segment, b"." | b".."))
    {
        return None;
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in &segments {
        match *segment {
            b"." => {}
            b".." => drop(kept.pop()?),
            name => kept.push(name),
        }
    }
    kept.retain(|segment| !segment.is_empty());
    let mut path = b"/".to_vec();
    path.extend(kept.join(&b'/'));
    let names_directory = matches!(segments.last(), Some(&(b"" | b"." | b"..")));
    if names_directory && !kept.is_empty() {
        path.push(b'/');
    }
    Some(path)
}

fn normalised(raw: &[u8]) -> Result<Vec<u8>, PathError> {
    normalise(raw, &mut vec![0xaa; raw.len()]).map(<[u8]>::to_vec)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn path_is_what_the_model_says(raw in path_like()) {
        prop_assert_eq!(normalised(&raw).ok(), model(&raw));
    }

    #[test]
    fn path_keeps_its_promises(raw in path_like()) {
        if let Ok(path) = normalised(&raw) {
            prop_assert!(path.len() <= raw.len());
            prop_assert_eq!(path.first(), Some(&b'/'));
            prop_assert!(!path.iter().any(is_refused));
            let mut segments: Vec<&[u8]> = path[1..].split(|&byte| byte == b'/').collect();
            if segments.last() == Some(&&b""[..]) {
                segments.pop();
            }
            for segment in segments {
                prop_assert!(!matches!(segment, b"" | b"." | b".."));
            }
        }
    }

    #[test]
    fn normal_path_is_left_alone_when_encoded_again(raw in path_like()) {
        if let Ok(path) = normalised(&raw) {
            let mut memory = vec![0; 3 * path.len()];
            let mut out = Writer::new(&mut memory);
            encode(&path, &mut out);
            let encoded = out.written().to_vec();
            // Nothing but what a path in a URI may hold.
            let allowed = |byte: &u8| {
                byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(byte)
            };
            prop_assert!(encoded.iter().all(allowed));
            prop_assert_eq!(normalised(&encoded), Ok(path.clone()));
            if !path.contains(&b'%') {
                let unmoved = normalise(&path, &mut []).map(<[u8]>::as_ptr);
                prop_assert_eq!(unmoved, Ok(path.as_ptr()));
            }
        }
    }

    #[test]
    fn scratch_of_any_size_never_cuts_a_path(raw in path_like(), size in 0..32usize) {
        let mut scratch = vec![0; size];
        match normalise(&raw, &mut scratch).map(<[u8]>::to_vec) {
            Err(PathError::TooLong) => prop_assert!(size < raw.len()),
            other => prop_assert_eq!(other, normalised(&raw)),
        }
    }

    #[test]
    fn query_values_survive_encoding(
        pairs in vec((vec(any::<u8>(), 1..6), vec(any::<u8>(), 0..8)), 1..5),
        plus in any::<bool>(),
    ) {
        let encode = |bytes: &[u8]| -> String {
            bytes.iter().map(|&byte| match byte {
                b' ' if plus => "+".to_owned(),
                b'a'..=b'z' => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            }).collect()
        };
        let query = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect::<Vec<_>>()
            .join("&");
        let mut memory = [0; 8];
        for ((name, value), (raw_name, raw_value)) in pairs.iter().zip(query_pairs(query.as_bytes())) {
            prop_assert_eq!(query_decode(raw_name, &mut memory), Ok(&name[..]));
            prop_assert_eq!(query_decode(raw_value, &mut memory), Ok(&value[..]));
            let first = &pairs.iter().find(|(other, _)| other == name).unwrap().1;
            prop_assert_eq!(query_value(query.as_bytes(), name, &mut memory), Some(Ok(&first[..])));
        }
        prop_assert_eq!(query_pairs(query.as_bytes()).count(), pairs.len());
    }

    #[test]
    fn query_of_any_bytes_is_read_without_panic(query in vec(any::<u8>(), 0..64), size in 0..16usize) {
        let mut memory = vec![0; size];
        for (name, value) in query_pairs(&query) {
            for raw in [name, value] {
                if let Ok(decoded) = query_decode(raw, &mut memory) {
                    prop_assert!(decoded.len() <= raw.len());
                }
            }
        }
    }

    #[test]
    fn date_survives_the_trip(seconds in 0..=HttpDate::MAX.0, now in any::<u64>()) {
        prop_assert_eq!(HttpDate::parse(&HttpDate(seconds).format(), now), Some(HttpDate(seconds)));
    }

    #[test]
    fn date_with_one_byte_changed_never_panics_and_stays_a_date_when_read(
        seconds in 0..=HttpDate::MAX.0,
        at in 0..HttpDate::LENGTH,
        byte in any::<u8>(),
    ) {
        let mut text = HttpDate(seconds).format();
        text[at] = byte;
        // A leap second is read as the next midnight.
        prop_assume!(&text[17..25] != b"23:59:60");
        if let Some(date) = HttpDate::parse(&text, seconds) {
            // All but the name of the weekday is what was read.
            prop_assert_eq!(&date.format()[4..23], &text[4..23]);
        }
    }

    #[test]
    fn date_of_any_bytes_is_read_without_panic(text in vec(any::<u8>(), 0..40), now in any::<u64>()) {
        if let Some(date) = HttpDate::parse(&text, now) {
            prop_assert!(date <= HttpDate::MAX);
        }
    }

    #[test]
    fn single_range_is_what_wide_arithmetic_says(first: u64, last: u64, length: u64, kind in 0..3) {
        let (field, start, end) = match kind {
            0 => (format!("bytes={first}-{last}"), u128::from(first), u128::from(last) + 1),
            1 => (format!("bytes={first}-"), u128::from(first), u128::from(length)),
            _ => (format!("bytes=-{last}"), u128::from(length.saturating_sub(last)), u128::from(length)),
        };
        let end = end.min(u128::from(length));
        let is_all = length == 0 && (kind == 2 || first == 0);
        let expected = if kind == 0 && last < first || is_all {
            Selection::Whole
        } else if start >= u128::from(length) || (kind == 2 && last == 0) {
            Selection::Unsatisfiable
        } else {
            Selection::Part { start: start as u64, end: end as u64 }
        };
        prop_assert_eq!(range::evaluate(field.as_bytes(), length), expected);
    }

    #[test]
    fn parts_are_what_was_asked_for_and_nothing_twice(
        ranges in vec((0..60usize, 1..8usize), 1..24),
        length in 1..64usize,
    ) {
        let field: Vec<String> = ranges.iter().map(|(from, count)| format!("{from}-{}", from + count - 1)).collect();
        let field = format!("bytes={}", field.join(","));
        let mut wanted = vec![false; length];
        let mut total = 0;
        for (from, count) in &ranges {
            let end = (from + count).min(length);
            for byte in wanted.get_mut(*from..end).unwrap_or_default() {
                *byte = true;
                total += 1;
            }
        }
        let mut sent = vec![0; length];
        let parts: Vec<std::ops::Range<u64>> = match range::evaluate(field.as_bytes(), length as u64) {
            Selection::Whole => {
                // Runs of bytes that were asked for.
                let runs = wanted.split(|wanted| !wanted).filter(|run| !run.is_empty()).count();
                prop_assert!(total > length || runs > 1 && ranges.len() > range::PARTS_LIMIT, "{}", field);
                return Ok(());
            }
            Selection::Unsatisfiable => vec![],
            Selection::Part { start, end } => std::iter::once(start..end).collect(),
            Selection::Parts(parts) => parts.iter().collect(),
        };
        for part in &parts {
            prop_assert!(part.start < part.end && part.end <= length as u64);
            for byte in part.clone() {
                sent[byte as usize] += 1;
            }
        }
        for (byte, wanted) in wanted.into_iter().enumerate() {
            prop_assert_eq!(sent[byte], i32::from(wanted), "byte {} of {}", byte, field);
        }
        prop_assert!(parts.len() <= range::PARTS_LIMIT);
        for (at, part) in parts.iter().enumerate() {
            for other in &parts[..at] {
                prop_assert!(part.end < other.start || other.end < part.start, "{}", field);
            }
        }
    }

    #[test]
    fn raw_bytes_are_written_so_that_they_may_stand_in_a_reference(raw in vec(any::<u8>(), 0..40)) {
        let mut memory = vec![0; 3 * raw.len()];
        let mut out = Writer::new(&mut memory);
        encode_raw(&raw, &mut out);
        let text = String::from_utf8(out.written().to_vec()).unwrap();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%?".contains(&byte);
        prop_assert!(text.bytes().all(allowed));
        for (at, _) in text.match_indices('%') {
            prop_assert!(text.as_bytes()[at + 1..].iter().take(2).filter(|byte| byte.is_ascii_hexdigit()).count() == 2);
        }
        // Said again, it is the same.
        let again = text.clone().into_bytes();
        let mut memory = vec![0; again.len()];
        let mut out = Writer::new(&mut memory);
        encode_raw(&again, &mut out);
        prop_assert_eq!(out.written(), &again[..]);
    }

    #[test]
    fn part_always_lies_within_the_length(field in "bytes=[0-9, -]{0,24}", length in 0..50u64) {
        if let Selection::Part { start, end } = range::evaluate(field.as_bytes(), length) {
            prop_assert!(start < end && end <= length);
        }
    }

    #[test]
    fn range_of_any_bytes_is_read_without_panic(field in vec(any::<u8>(), 0..40), length: u64) {
        let field = [b"bytes=", &field[..]].concat();
        if let Selection::Part { start, end } = range::evaluate(&field, length) {
            prop_assert!(start < end && end <= length);
        }
    }

    #[test]
    fn chosen_coding_is_always_available(
        lines in vec(prop_oneof![
            vec(any::<u8>(), 0..24),
            "((br|gzip|identity|\\*|zstd)(;q=[01](\\.[0-9]{0,3})?)?,? ?){0,4}".prop_map(String::into_bytes),
        ], 0..3),
        gzip: bool,
        br: bool,
    ) {
        let mut available = Codings::IDENTITY;
        if gzip { available = available.with(Coding::Gzip); }
        if br { available = available.with(Coding::Br); }
        if let Some(coding) = choose(lines.iter().map(Vec::as_slice), available) {
            prop_assert!(available.contains(coding));
        } else {
            // Identity has to be excluded by name or by star.
            prop_assert!(lines.concat().windows(3).any(|three| three.eq_ignore_ascii_case(b"q=0")));
        }
    }

    #[test]
    fn conditions_of_any_bytes_are_judged_without_panic(
        lines in vec(prop_oneof![
            vec(any::<u8>(), 0..24),
            "((W/)?\"[a-c]?\",? ?){0,4}".prop_map(String::into_bytes),
        ], 0..3),
        get_or_head: bool,
        now: u64,
    ) {
        let tag = EntityTag::new(b"a", false).unwrap();
        let current = Validators { tag: Some(&tag), modified: Some(HttpDate(0)) };
        let judge = |if_match: &[Vec<u8>], if_none_match: &[Vec<u8>]| {
            let conditions = Conditions {
                if_match: if_match.iter().map(Vec::as_slice),
                if_none_match: if_none_match.iter().map(Vec::as_slice),
                if_modified_since: None,
                if_unmodified_since: None,
                if_range: None,
            };
            evaluate(conditions, get_or_head, Some(&current), now)
        };
        // What If-Match takes by strong comparison, If-None-Match takes by weak comparison.
        let wanted = judge(&lines, &[]);
        let known = judge(&[], &lines);
        if !lines.is_empty() && matches!(wanted, Verdict::Proceed { .. }) {
            let proceeds = matches!(known, Verdict::Proceed { .. });
            prop_assert!(!proceeds);
        }
    }

    #[test]
    fn tags_of_files_are_equal_only_for_equal_files(a: (u64, u64, u64), b: (u64, u64, u64)) {
        let tag = |(length, time, inode)| EntityTag::of_file(length, time, inode);
        prop_assert_eq!(tag(a) == tag(b), a == b);
        prop_assert!(tag(a).matches_strongly(&tag(a)));
        prop_assert!(tag(a).as_bytes().len() <= EntityTag::CAPACITY);
    }
}
