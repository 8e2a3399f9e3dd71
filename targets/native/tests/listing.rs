//! Listings as a browser meets them: through the command, by their links.

mod common;

use capuchin::{Directory, DirectoryOptions};
use capuchin_core::http::head::{Field, Head, HeadParser, Progress};
use capuchin_core::service::Request;
use capuchin_core::site::{Accepts, ContentId, Found, Site, SiteError};
use common::{Place, Running};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

/// Where the rows' links lead, with the directory's path before them.
fn rows(page: &str) -> Vec<String> {
    let links = page.split("<td><a href=\"./").skip(1);
    let target = |row: &str| format!("/{}", row.split('"').next().expect("a link"));
    links.map(target).collect()
}

/// Where the link with this text leads.
fn link(page: &str, text: &str) -> Option<String> {
    let (before, _) = page.split_once(&format!(">{text}"))?;
    let target = before.rsplit("href=\"").next()?.split('"').next()?;
    Some(format!(
        "/{}",
        target.trim_start_matches("./").replace("&amp;", "&")
    ))
}

#[test]
fn every_entry_of_a_large_directory_is_reached_by_links() {
    let place = Place::new("list-large");
    for n in 0..2_345 {
        place.write(&format!("file{n}"), "");
    }
    fs::create_dir(place.0.join("dir")).expect("a directory");
    let running = Running::capuchin(&["--listing", "on", place.path()]);
    let mut all = Vec::new();
    let mut next = Some("/".to_owned());
    let mut pages = 0;
    while let Some(target) = next {
        let (head, page) = running.get(&target);
        assert!(head.starts_with("HTTP/1.1 200"), "{target}: {head}");
        assert!(
            head.contains("Content-Type: text/html; charset=utf-8"),
            "{head}"
        );
        all.extend(rows(&page));
        next = link(&page, "Next");
        pages += 1;
        assert!(pages <= 3, "pages of 1,000");
    }
    let files = (0..2_345).map(|n| format!("/file{n}"));
    let expected: Vec<String> = std::iter::once("/dir/".into()).chain(files).collect();
    assert_eq!(all, expected);
    let (_, last) = running.get(&link(&running.get("/").1, "Last").expect("a link"));
    assert_eq!(rows(&last), expected[2_000..]);
}

#[test]
fn columns_are_sorted_by_their_links() {
    let place = Place::new("list-columns");
    for (name, length) in [("a", 3), ("b", 30), ("c", 1), ("d", 2)] {
        place.write(name, &"x".repeat(length));
    }
    let words = ["--listing", "on", "--listing-page", "3", place.path()];
    let running = Running::capuchin(&words);
    let page = running.get("/").1;
    assert_eq!(rows(&page), ["/a", "/b", "/c"]);
    let by_size = running.get(&link(&page, "Size").expect("a link")).1;
    assert_eq!(rows(&by_size), ["/b", "/a", "/d"]);
    let second = running.get(&link(&by_size, "Next").expect("a link")).1;
    assert_eq!(rows(&second), ["/c"]);
    let ascending = running.get(&link(&second, "Size").expect("a link")).1;
    assert_eq!(rows(&ascending), ["/c", "/d", "/a"]);
    let by_name = running.get(&link(&ascending, "Name").expect("a link")).1;
    assert_eq!(by_name, page);
}

#[test]
fn names_of_all_bytes_are_linked_and_served_and_each_request_is_one_line_of_the_log() {
    let place = Place::new("list-bytes");
    let (site, log) = (place.0.join("site"), place.0.join("log"));
    fs::create_dir(&site).expect("a directory");
    let mut expected = BTreeSet::new();
    for byte in (1..=255_u8).filter(|&byte| byte != b'/') {
        let name = [b'n', byte];
        fs::write(site.join(OsStr::from_bytes(&name)), [byte]).expect("a file");
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        expected.insert(match is_plain {
            true => format!("/n{}", char::from(byte)),
            false => format!("/n%{byte:02X}"),
        });
    }
    let paths = [&log, &site].map(|path| path.to_str().expect("UTF-8"));
    let words = ["--listing", "on", "--access-log", paths[0], paths[1]];
    let mut running = Running::capuchin(&words);
    let (_, page) = running.get("/");
    let links: BTreeSet<String> = rows(&page).into_iter().collect();
    assert_eq!(links, expected);
    for link in &links {
        let mut client = running.connect();
        write!(
            client,
            "GET {link} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).expect("a response");
        assert!(
            reply.starts_with(b"HTTP/1.1 200 "),
            "{link}: {}",
            reply.escape_ascii()
        );
        // The file's only byte is the last of its name.
        let byte = match link.strip_prefix("/n%") {
            Some(digits) => u8::from_str_radix(digits, 16).expect("two digits"),
            None => link.as_bytes()[2],
        };
        assert_eq!(reply.last(), Some(&byte), "{link}");
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    let text = fs::read_to_string(&log).expect("the log is ASCII");
    assert_eq!(text.lines().count(), 1 + links.len());
    for link in links {
        assert_eq!(
            text.matches(&format!("\"GET {link} HTTP/1.1\" ")).count(),
            1,
            "{link}"
        );
    }
}

#[test]
fn files_without_extension_are_text_whatever_memory_is_free() {
    let place = Place::new("list-text");
    let long = "a line\n".repeat(20_000);
    for (name, content) in [
        ("README", "text"),
        ("copyright", &*long),
        ("a.unknown", "text"),
    ] {
        place.write(name, content);
    }
    fs::write(place.0.join("program"), b"\x7fELF\x02\x01\x01\0").expect("a file");
    for cache in ["4M", "0"] {
        let running = Running::capuchin(&["--cache-bytes", cache, place.path()]);
        for name in ["README", "copyright", "a.unknown"] {
            let head = running.get(&format!("/{name}")).0;
            assert!(
                head.contains("\r\nContent-Type: text/plain; charset=utf-8"),
                "{head}"
            );
        }
        let head = running.get("/program").0;
        assert!(
            head.contains("\r\nContent-Type: application/octet-stream"),
            "{head}"
        );
    }
}

/// Asks a site for a target and keeps hold of what it finds.
fn hold(site: &mut Directory, target: &str, now: u64) -> Result<(ContentId, u64), SiteError> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 4]);
    let complete = parser.advance(&head, &mut fields);
    assert!(
        matches!(complete, Ok(Progress::Complete { .. })),
        "{target}"
    );
    let head = Head::new(&parser, &head, &fields);
    let request = Request::new(head, head.path());
    match site.find(request.path(), Accepts::of(&request), now)? {
        Found::Content(id, representation) => Ok((id, representation.length)),
        Found::Directory => panic!("{target} has no slash"),
    }
}

#[test]
fn queries_that_clients_invent_are_answered_and_not_kept() {
    let place = Place::new("list-invented");
    for n in 0..10 {
        place.write(&format!("f{n}"), "");
    }
    place.write("index/index.html", "one");
    let mut site = Directory::open(
        &place.0,
        DirectoryOptions {
            listing: true,
            listing_page: 4,
            ..DirectoryOptions::default()
        },
    )
    .expect("a directory");
    // Each pair is one page, or one index file.
    for (one, other, is_kept) in [
        ("/?after=index/", "/?after=index/&x=y", false),
        ("/?after=f2", "/?x=y&after=%66%32", true),
        ("/?after=f3", "/?after=f3", false),
        ("/", "/?utm=1", true),
        ("/?sort=size", "/?order=asc&sort=size", true),
        ("/index/?sort=size", "/index/?sort=time&x", true),
        ("/index/", "/index/?order=desc", true),
    ] {
        let first = hold(&mut site, one, 0).expect("found");
        let second = hold(&mut site, other, 0).expect("found");
        assert_eq!(first.1, second.1, "{one} {other}");
        assert_eq!(first.0 == second.0, is_kept, "{one} {other}");
        site.release(first.0);
        site.release(second.0);
    }
    let pages: BTreeSet<u32> = ["/", "/?sort=size", "/?sort=time", "/?order=desc"]
        .map(|target| hold(&mut site, target, 0).expect("found").0.0)
        .into();
    assert_eq!(pages.len(), 4, "each order is a page of its own");
}

#[test]
fn index_file_that_appears_takes_the_place_of_all_pages() {
    let place = Place::new("list-index");
    place.write("a", "");
    let options = DirectoryOptions {
        listing: true,
        ..DirectoryOptions::default()
    };
    let mut site = Directory::open(&place.0, options).expect("a directory");
    for target in ["/", "/?sort=size"] {
        let (id, _) = hold(&mut site, target, 0).expect("a page");
        site.release(id);
    }
    place.write("index.html", "index");
    for now in [1_000, 1_001, 3_000] {
        for target in ["/?sort=size", "/", "/?sort=time"] {
            let (id, length) = hold(&mut site, target, now).expect("the index");
            assert_eq!(length, 5, "{target} at {now}");
            site.release(id);
        }
    }
    fs::remove_file(place.0.join("index.html")).expect("removed");
    for target in ["/?sort=size", "/"] {
        let (id, length) = hold(&mut site, target, 5_000).expect("a page");
        assert!(length > 5, "{target}");
        site.release(id);
    }
}
