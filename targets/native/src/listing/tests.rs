use super::order::{Begin, by_name};
use super::*;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// A directory of its own; gone when dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("capuchin-listing-{id}-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &[u8], bytes: usize) {
        fs::write(self.0.join(OsStr::from_bytes(name)), "x".repeat(bytes)).unwrap();
    }

    fn try_make(&self, options: &DirectoryOptions, query: &str) -> Result<Listing, OpenError> {
        let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
        let root = Root::open(&path, options.links).unwrap();
        let directory = root.open_beneath(b"/").unwrap();
        let view = View::of_query(Some(query.as_bytes()));
        make(&root, b"/", directory, options, &view)
    }

    fn html(&self, options: &DirectoryOptions, query: &str) -> String {
        String::from_utf8(self.try_make(options, query).unwrap().html).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pages_of(length: usize) -> DirectoryOptions {
    DirectoryOptions {
        listing_page: length,
        ..DirectoryOptions::default()
    }
}

/// The targets of the rows' links, still encoded.
fn rows(html: &str) -> Vec<&str> {
    html.split("<td><a href=\"./")
        .skip(1)
        .map(|row| row.split('"').next().unwrap())
        .collect()
}

/// The query behind a link of the page, such as `Next`.
fn link(html: &str, text: &str) -> Option<String> {
    let before = html
        .split(&format!(">{text}"))
        .next()
        .filter(|before| before.len() < html.len())?;
    let target = before
        .rsplit("href=\"")
        .next()
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let query = target.strip_prefix('?').unwrap_or_else(|| {
        assert_eq!(target, "./");
        ""
    });
    Some(query.replace("&amp;", "&"))
}

/// All pages, followed by the links with this text.
fn follow(place: &Place, options: &DirectoryOptions, first: &str, text: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut query = Some(first.to_owned());
    while let Some(this) = query {
        assert!(pages.len() < 1_000, "the links go round in a circle");
        let html = place.html(options, &this);
        pages.push(rows(&html).into_iter().map(str::to_owned).collect());
        query = link(&html, text);
    }
    pages
}

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
fn every_page_of_a_directory_is_reached_in_order_forwards_and_backwards() {
    let place = Place::new("pages");
    for n in 0..23 {
        place.write(format!("file{n}").as_bytes(), 1);
    }
    for n in [3, 20, 100] {
        fs::create_dir(place.0.join(format!("dir{n}"))).unwrap();
    }
    let all: Vec<String> = ["dir3/", "dir20/", "dir100/"]
        .map(String::from)
        .into_iter()
        .chain((0..23).map(|n| format!("file{n}")))
        .collect();
    for length in [1, 2, 3, 5, 13, 25, 26, 27, 1_000] {
        let options = pages_of(length);
        let expected: Vec<Vec<String>> = all.chunks(length).map(<[_]>::to_vec).collect();
        assert_eq!(follow(&place, &options, "", "Next"), expected, "{length}");
        let mut backwards = follow(&place, &options, "page=last", "Previous");
        backwards.reverse();
        assert_eq!(backwards, expected, "{length}");
        let last = place.html(&options, "page=last");
        assert_eq!(rows(&last), *expected.last().unwrap(), "{length}");
        // The same entries the other way round, directories still first.
        let descending: Vec<String> = follow(&place, &options, "order=desc", "Next").concat();
        assert_eq!(descending[..3], ["dir100/", "dir20/", "dir3/"]);
        assert_eq!(
            descending[3..].iter().rev().cloned().collect::<Vec<_>>(),
            all[3..]
        );
    }
}

#[test]
fn page_says_which_entries_of_how_many_it_has() {
    let place = Place::new("counts");
    fs::create_dir(place.0.join("dir")).unwrap();
    for n in 0..1_233 {
        place.write(format!("file{n}").as_bytes(), 0);
    }
    let options = pages_of(1_000);
    let first = place.html(&options, "");
    assert!(
        first.contains("<span>1 to 1,000 of 1,234</span>"),
        "{first}"
    );
    assert!(first.contains("<footer>1 directory, 1,233 files</footer>"));
    assert_eq!(link(&first, "First"), None);
    let next = link(&first, "Next").unwrap();
    let second = place.html(&options, &next);
    assert!(second.contains("<span>1,001 to 1,234 of 1,234</span>"));
    assert_eq!(link(&second, "Next"), None);
    assert_eq!(link(&second, "First").as_deref(), Some(""));
    assert_eq!(place.html(&options, "page=last"), second);
    // One page needs no such links.
    assert!(!place.html(&pages_of(1_234), "").contains("<nav"));
    assert!(place.html(&pages_of(1_233), "").contains("<nav"));
}

#[test]
fn columns_sort_by_size_and_time_and_equal_ones_by_name() {
    let place = Place::new("columns");
    fs::create_dir(place.0.join("dir")).unwrap();
    for (name, bytes, time) in [("a10", 5, 30), ("a9", 5, 10), ("b", 7, 20), ("c", 0, 30)] {
        place.write(name.as_bytes(), bytes);
        let file = fs::File::options()
            .write(true)
            .open(place.0.join(name))
            .unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(time))
            .unwrap();
    }
    let cases = [
        ("", ["dir/", "a9", "a10", "b", "c"]),
        ("sort=size", ["dir/", "c", "a9", "a10", "b"]),
        ("sort=size&order=asc", ["dir/", "c", "a9", "a10", "b"]),
        ("sort=size&order=desc", ["dir/", "b", "a9", "a10", "c"]),
        ("sort=time&order=asc", ["dir/", "a9", "b", "a10", "c"]),
        ("order=desc&sort=time", ["dir/", "a10", "c", "b", "a9"]),
        // Unknown values and parameters do not count.
        (
            "sort=owner&order=up&x=y&sort",
            ["dir/", "a9", "a10", "b", "c"],
        ),
        ("C=S;O=D", ["dir/", "a9", "a10", "b", "c"]),
    ];
    for (query, expected) in cases {
        for length in 1..=6 {
            let pages = follow(&place, &pages_of(length), query, "Next");
            assert_eq!(pages.concat(), expected, "{query}, pages of {length}");
            let first = follow(
                &place,
                &pages_of(length),
                &format!("{query}&page=last"),
                "Previous",
            );
            assert_eq!(
                first.into_iter().rev().flatten().collect::<Vec<_>>(),
                expected,
                "{query}"
            );
        }
    }
    let html = place.html(&pages_of(10), "sort=size&order=desc");
    assert!(
        html.contains("aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">Size"),
        "{html}"
    );
    assert!(
        html.contains("<th scope=\"col\"><a href=\"./\">Name"),
        "{html}"
    );
    assert!(
        html.contains("<a href=\"?sort=time&amp;order=desc\">Modified"),
        "{html}"
    );
}

#[test]
fn page_begins_where_its_first_entry_would_be_though_the_one_before_is_gone() {
    let place = Place::new("gone");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), n);
    }
    for query in ["", "sort=size&order=asc"] {
        let options = pages_of(3);
        let next = link(&place.html(&options, query), "Next").unwrap();
        fs::remove_file(place.0.join("f2")).unwrap();
        let second = place.try_make(&options, &next).unwrap();
        assert!(!second.canonical, "no link leads there any more");
        assert_eq!(
            rows(&String::from_utf8(second.html).unwrap()),
            ["f3", "f4", "f5"]
        );
        place.write(b"f2", 2);
    }
    // Nothing follows the last: the last page is better than an empty one.
    let last = place.html(&pages_of(3), "after=z");
    assert_eq!(rows(&last), ["f9"]);
    assert!(last.contains("10 to 10 of 10"));
}

#[test]
fn only_pages_that_links_lead_to_are_canonical() {
    let place = Place::new("canonical");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), n);
    }
    let options = pages_of(4);
    let canonical = |query: &str| place.try_make(&options, query).unwrap().canonical;
    for query in [
        "",
        "page=last",
        "after=f3",
        "after=f7",
        "sort=size",
        "sort=size&after=f3&value=3",
        "sort=name&order=asc",
    ] {
        assert!(canonical(query), "{query}");
    }
    for query in [
        "after=f4",
        "after=f33",
        "after=a",
        "after=f9",
        "after=f3/",
        "sort=size&after=f3&value=4",
    ] {
        assert!(!canonical(query), "{query}");
    }
}

#[test]
fn query_is_read_strictly_and_written_in_one_way() {
    let rewritten = |query: &str| View::of_query(Some(query.as_bytes())).query();
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
fn entries_beyond_the_limit_are_said_to_be_there() {
    let place = Place::new("entries");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), n);
    }
    let html = |listing_entries| {
        let options = DirectoryOptions {
            listing_entries,
            ..DirectoryOptions::default()
        };
        place.html(&options, "")
    };
    assert!(!html(10).contains("not shown"), "at the limit");
    let cut = html(9);
    assert_eq!(rows(&cut).len(), 9, "one past it");
    assert!(
        cut.contains(
            "9 files, and more that are not shown: a listing has no more than the first 9 entries"
        ),
        "{cut}"
    );
}

#[test]
fn directory_beyond_the_limit_of_lookups_is_sorted_by_name_and_says_so() {
    let place = Place::new("lookups");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), 10 - n);
    }
    let make = |listing_lookups, query: &str| {
        let options = DirectoryOptions {
            listing_lookups,
            ..pages_of(4)
        };
        let made = place.try_make(&options, query).unwrap();
        (String::from_utf8(made.html).unwrap(), made.canonical)
    };
    let (at_limit, canonical) = make(10, "sort=size");
    assert!(
        canonical && rows(&at_limit) == ["f9", "f8", "f7", "f6"],
        "{at_limit}"
    );
    assert!(at_limit.contains("?sort=time") && !at_limit.contains("by name only"));
    let (past, canonical) = make(9, "sort=size");
    assert!(
        canonical && rows(&past) == ["f0", "f1", "f2", "f3"],
        "{past}"
    );
    assert!(
        past.contains("Sorted by name only: there are more than 9 entries"),
        "{past}"
    );
    assert!(
        !past.contains("?sort=size"),
        "no column promises what is not done: {past}"
    );
    // Nor are there links to invented pages of it.
    assert!(!make(9, "sort=size&after=f3&value=3").1);
    let next = link(&past, "Next").unwrap();
    assert_eq!(rows(&make(9, &next).0), ["f4", "f5", "f6", "f7"]);
}

#[test]
fn links_stand_with_what_they_lead_to_and_dead_ones_are_not_shown() {
    let place = Place::new("links");
    fs::create_dir(place.0.join("zoo")).unwrap();
    place.write(b"m", 3);
    symlink("zoo", place.0.join("to-dir")).unwrap();
    symlink("m", place.0.join("a-to-file")).unwrap();
    symlink("/etc/passwd", place.0.join("out")).unwrap();
    for n in 0..50 {
        symlink("nothing", place.0.join(format!("dead{n}"))).unwrap();
    }
    let html = |links, listing_lookups| {
        place.html(
            &DirectoryOptions {
                links,
                listing_lookups,
                ..DirectoryOptions::default()
            },
            "",
        )
    };
    let all = html(Links::Beneath, 53);
    assert_eq!(rows(&all), ["to-dir/", "zoo/", "a-to-file", "m"]);
    assert!(all.contains("2 directories, 2 files"));
    assert_eq!(rows(&html(Links::None, 53)), ["zoo/", "m"]);
    // Without lookups they are among the files; only those that can be shown have a row.
    let names = html(Links::Beneath, 0);
    assert_eq!(rows(&names), ["zoo/", "a-to-file", "m", "to-dir/"]);
}

#[test]
fn hidden_names_and_what_is_no_file_are_not_listed() {
    let place = Place::new("hidden");
    place.write(b".secret", 1);
    place.write(b"shown", 1);
    let pipe = CString::new(place.0.join("pipe").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    assert_eq!(rows(&place.html(&pages_of(10), "")), ["shown"]);
    let hidden = DirectoryOptions {
        hidden: true,
        ..DirectoryOptions::default()
    };
    assert_eq!(rows(&place.html(&hidden, "")), [".secret", "shown"]);
}

#[test]
fn page_of_long_names_ends_at_its_limit_and_the_next_goes_on() {
    let place = Place::new("long-names");
    let names: Vec<String> = (0..1_000)
        .map(|n| format!("{n:04}{}", "&".repeat(251)))
        .collect();
    for name in &names {
        place.write(name.as_bytes(), 0);
    }
    let options = pages_of(1_000);
    let html = place.html(&options, "");
    let room = html::PAGE_BYTES..html::PAGE_BYTES + 16_384;
    assert!(room.contains(&html.len()), "{}", html.len());
    assert!(rows(&html).len() < 1_000);
    let all: BTreeSet<String> = follow(&place, &options, "", "Next")
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(all.len(), 1_000);
}

#[test]
fn every_byte_of_a_name_is_only_text_and_its_link_names_it() {
    let place = Place::new("bytes");
    let mut expected = BTreeSet::new();
    for byte in 1..=255_u8 {
        if byte == b'/' {
            continue;
        }
        let name = [b'n', byte, b'm'];
        place.write(&name, 0);
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        expected.insert(match is_plain {
            true => format!("n{}m", char::from(byte)),
            false => format!("n%{byte:02X}m"),
        });
    }
    let html = place.html(&pages_of(1_000), "");
    let links: BTreeSet<String> = rows(&html).into_iter().map(str::to_owned).collect();
    assert_eq!(links, expected);
    for byte in 1..=255_u8 {
        let text = match byte {
            b'/' => continue,
            b'&' => "n&amp;m".into(),
            b'<' => "n&lt;m".into(),
            b'>' => "n&gt;m".into(),
            b'"' => "n&quot;m".into(),
            b'\'' => "n&#39;m".into(),
            0x20..=0x7e => format!("n{}m", char::from(byte)),
            _ => format!("n\\x{byte:02X}m"),
        };
        assert!(html.contains(&format!("<bdi>{text}</bdi>")), "{byte:02x}");
    }
    assert!(html.bytes().all(|byte| byte == b'\n' || byte >= b' '));
    // Nor do names get out of the links of the pages.
    let pages = follow(&place, &pages_of(1), "", "Next");
    assert_eq!(pages.len(), 254);
}

#[test]
fn names_like_markup_and_schemes_are_only_text() {
    let place = Place::new("hostile");
    let names: [&[u8]; 8] = [
        b"<script>alert(1)",
        b"\"onmouseover=x",
        b"'x",
        b"&amp;",
        b"javascript:alert(1)",
        b"50%41",
        b" lead",
        "a\u{202e}b\u{85}\u{feff}c".as_bytes(),
    ];
    for name in names {
        place.write(name, 0);
    }
    let html = place.html(&pages_of(10), "");
    assert!(
        !html.contains("<script") && !html.contains("\"onmouseover"),
        "{html}"
    );
    assert!(html.contains("href=\"./javascript%3Aalert%281%29\""));
    assert!(html.contains("href=\"./50%2541\"><bdi>50%41</bdi></a>"));
    assert!(html.contains("<bdi>&amp;amp;</bdi>"));
    assert!(html.contains("<bdi>a\u{fffd}b\u{fffd}\u{feff}c</bdi>"));
}

#[test]
fn path_is_only_text_and_leads_to_the_directories_above() {
    let place = Place::new("path");
    let name = "<b>/\"x\n";
    fs::create_dir_all(place.0.join(name)).unwrap();
    let path = CString::new(place.0.as_os_str().as_bytes()).unwrap();
    let root = Root::open(&path, Links::Beneath).unwrap();
    let path = format!("/{name}/");
    let directory = root.open_beneath(path.as_bytes()).unwrap();
    let made = make(
        &root,
        path.as_bytes(),
        directory,
        &pages_of(10),
        &View::default(),
    )
    .unwrap();
    let html = String::from_utf8(made.html).unwrap();
    assert!(
        html.contains("<title>/&lt;b&gt;/&quot;x\\x0A/</title>"),
        "{html}"
    );
    assert!(html.contains("<h1><a href=\"../../\">/</a><a href=\"../\"><bdi>&lt;b&gt;</bdi>/</a><bdi>&quot;x\\x0A</bdi>/</h1>"), "{html}");
    assert!(html.contains("<td><a href=\"../\">../</a></td>"));
    assert!(
        !place.html(&pages_of(10), "").contains("\"../\""),
        "nothing is above the root"
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
