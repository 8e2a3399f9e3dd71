//! The order, the query and the numbers alone.

use super::*;

#[test]
fn names_are_in_natural_order_whatever_their_case() {
    let sorted: [&[u8]; 21] = [
        b"",
        b"!",
        b"0",
        b"00",
        b"000",
        b"01",
        b"1",
        b"1a",
        b"2",
        b"10",
        b"99999999999999999999998",
        b"99999999999999999999999",
        b"a",
        b"B",
        b"c",
        b"File2",
        b"file2",
        b"file02b",
        b"file10",
        b"file10a2",
        b"file10a10",
    ];
    // 01 is the same number as 1, 0 the same as 00: then the bytes decide.
    for (at, a) in sorted.iter().enumerate() {
        for (other, b) in sorted.iter().enumerate() {
            assert_eq!(
                by_name(a, b),
                at.cmp(&other),
                "{:?} {:?}",
                a.escape_ascii(),
                b.escape_ascii()
            );
        }
    }
}

#[test]
fn order_of_names_is_total() {
    // All names of up to four bytes from a small alphabet of what is special to the order.
    let alphabet = b"01aA\xff";
    let mut names: Vec<Vec<u8>> = vec![vec![]];
    for length in 1..4 {
        let longer: Vec<_> = names
            .iter()
            .filter(|name| name.len() == length - 1)
            .flat_map(|name| {
                alphabet
                    .iter()
                    .map(move |&byte| [&name[..], &[byte]].concat())
            })
            .collect();
        names.extend(longer);
    }
    assert_eq!(names.len(), 1 + 5 + 25 + 125);
    let mut sorted = names.clone();
    sorted.sort_by(|a, b| by_name(a, b));
    for (at, a) in sorted.iter().enumerate() {
        for (other, b) in sorted.iter().enumerate() {
            assert_eq!(by_name(a, b), at.cmp(&other), "{a:?} {b:?}");
        }
    }
}

#[test]
fn query_is_read_strictly_and_written_in_one_way() {
    let rewritten =
        |query: &str| View::of_query(query.as_bytes()).map_or(String::new(), |view| view.query());
    for query in [
        "",
        "sort=size&order=asc",
        "sort=name&order=desc",
        "sort=time&order=desc&page=last",
        "after=a%26b%2Fc",
        "after=dir/",
        "sort=size&order=asc&after=%FF%0A/&value=18446744073709551615",
    ] {
        let expected = if query.contains("%2F") { "" } else { query };
        assert_eq!(rewritten(query), expected);
    }
    for (query, expected) in [
        ("sort=name", ""),
        ("order=asc", ""),
        ("sort=size", "sort=size&order=asc"),
        ("page=2", ""),
        ("page=last&after=x", "page=last"),
        ("after=", ""),
        ("after=/", ""),
        ("after=%00", ""),
        ("after=%4", ""),
        ("after=%zz", ""),
        ("after=%+1", ""),
        ("after=%61", "after=a"),
        ("after=a&value=7", "after=a"),
        (
            "sort=time&after=a&value=-1",
            "sort=time&order=asc&after=a&value=0",
        ),
        (
            "sort=time&after=a&value=%2B1",
            "sort=time&order=asc&after=a&value=0",
        ),
        (
            "sort=time&after=a&value=+1",
            "sort=time&order=asc&after=a&value=0",
        ),
        (
            "sort=time&after=a&value=007",
            "sort=time&order=asc&after=a&value=7",
        ),
        ("SORT=size&sort=Size&sort%3Dsize", ""),
        ("&&=&=&sort==size", ""),
        ("after=a//", ""),
        ("after=a/b", ""),
    ] {
        assert_eq!(rewritten(query), expected, "{query}");
        assert_eq!(rewritten(&rewritten(query)), rewritten(query), "{query}");
    }
    let name = |length: usize| rewritten(&format!("after={}", "x".repeat(length)));
    assert_eq!(
        (name(255).len(), name(256).len()),
        (6 + 255, 0),
        "at the longest name, and one past it"
    );
}

#[test]
fn selection_keeps_no_more_entries_than_its_pages_need() {
    // Far more entries than pages: memory depends on the page's length only.
    let mut kept = 0;
    for begin in [Begin::First, Begin::Last] {
        let mut selection = Selection::new(begin, Order::DEFAULT, 10);
        for n in 0..100_000_u32 {
            let name = format!("{}", n.wrapping_mul(2_654_435_761));
            let key = Key {
                directory: false,
                value: 0,
                name: name.as_bytes(),
            };
            selection.offer(key, Some(Kind::Regular), None);
            kept = kept.max(selection.kept());
        }
        let page = selection.finish();
        assert_eq!((page.entries.len(), page.files), (10, 100_000));
    }
    assert!(kept <= 3 * 10 + 2, "{kept}");
}

#[test]
fn sizes_numbers_and_dates_are_readable() {
    for (bytes, text) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (1_536, "1.5 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        ((1 << 20) - 60, "1023.9 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 40, "5.0 TiB"),
        (u64::MAX, "16384.0 PiB"),
    ] {
        assert_eq!(html::size(bytes), text);
    }
    for (number, text) in [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(html::grouped(number), text);
    }
    for (time, date, clock) in [
        (0, "1970-01-01", "00:00:00"),
        (951_782_400, "2000-02-29", "00:00:00"),
        (1_795_213_025, "2026-11-20", "22:17:05"),
        (4_107_542_399, "2100-02-28", "23:59:59"),
        (4_107_542_400, "2100-03-01", "00:00:00"),
    ] {
        assert_eq!(civil(time), (date.into(), clock.into()));
    }
    assert_eq!(by_name(b"same", b"same"), Ordering::Equal);
}
