//! Replies from a site, as they go out.

use super::*;
use crate::http::encoding::Codings;
use crate::http::head::{Field, Head, HeadParser, Progress};
use crate::http::path;
use crate::reply::{Made, Source, Terms, opening};
use crate::table::{Entry, Table};
use std::format;
use std::string::String;

/// 2026-01-01 00:00:00.
const NOW: u64 = 1_767_225_600;
const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

static PAGES: &[Entry] = &[
    Entry::new("/page", "text/plain", b"0123456789").with_modified(784_111_777),
    Entry::new("/future", "text/plain", b"0123456789").with_modified(NOW + 1),
    Entry::new("/present", "text/plain", b"0123456789").with_modified(NOW),
    Entry::new("/coded", "text/plain", b"0123456789")
        .with_gzip(b"gz")
        .with_br(b"br!"),
    Entry::new("/dir/", "text/html", b"index"),
    Entry::new("/a/b/", "text/html", b"index"),
    Entry::new("/a b?c%/\u{e9}/", "text/html", b"index"),
    Entry::new("/n\u{e9}/", "text/html", b"index"),
    Entry::new("/http:x/", "text/html", b"index"),
    Entry::new("/a/x:y/", "text/html", b"index"),
    Entry::new("/\\evil/", "text/html", b"index"),
];

/// The head of the reply to a GET from `site` with these field lines.
fn reply_of(site: &mut impl Site, target: &str, lines: &str) -> String {
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 16]);
    let progress = parser.advance(bytes.as_bytes(), &mut fields);
    assert!(matches!(progress, Ok(Progress::Complete { .. })), "{bytes}");
    let head = Head::new(&parser, bytes.as_bytes(), &fields);
    let mut scratch = [0; 256];
    let path = path::normalise(head.path(), &mut scratch).expect("a path");
    let opening = opening(HttpDate(NOW));
    let terms = Terms {
        version: head.version(),
        head_only: false,
        copied: 0,
        close: false,
        opening: &opening,
    };
    let (mut buffer, mut made) = ([0; 2_048], Made::NOTHING);
    let mut draft = Draft::new(&mut buffer, terms, &mut made);
    let _ = respond(site, &Request::new(head, path), &mut draft, 0, NOW);
    String::from_utf8_lossy(&buffer[..made.written]).into_owned()
}

fn reply(target: &str, lines: &str) -> String {
    reply_of(&mut Table::<()>::new(PAGES), target, lines)
}

fn field<'r>(reply: &'r str, name: &str) -> Option<&'r str> {
    reply
        .split("\r\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn status(reply: &str) -> &str {
    &reply["HTTP/1.1 ".len()..][..3]
}

#[test]
fn redirect_is_relative_to_the_path_that_was_sent() {
    for (target, location) in [
        ("/dir", "dir/"),
        ("/dir?", "dir/?"),
        ("/dir?a=%20/../b", "dir/?a=%20/../b"),
        ("/%64ir", "%64ir/"),
        ("//dir", "dir/"),
        ("/.//dir", "dir/"),
        ("/x/../dir", "dir/"),
        ("/a//b", "b/"),
        ("/a/x//../../b", "b/"),
        ("/a%2Fb", "a%2Fb/"),
        ("/a%20b%3fc%25/%c3%a9", "%c3%a9/"),
        ("http://host/dir?q", "dir/?q"),
        ("http://host/dir#part?q", "dir/"),
        ("/dir?q#part", "dir/?q"),
        // No scheme, and no other host.
        ("/http:x", "./http:x/"),
        ("/a/x:y", "./x:y/"),
        ("/\\evil", "%5Cevil/"),
        ("/%5Cevil", "%5Cevil/"),
        // What may not stand in a URI reference.
        ("/dir?\"<>{}|\\^`", "dir/?%22%3C%3E%7B%7D%7C%5C%5E%60"),
        ("/dir?100%&%4", "dir/?100%25&%254"),
        ("/dir?\u{e9}", "dir/?%C3%A9"),
        ("/n\u{e9}", "n%C3%A9/"),
    ] {
        let reply = reply(target, "");
        assert_eq!(status(&reply), "301", "{target}");
        assert_eq!(field(&reply, "Location"), Some(location), "{target}");
    }
}

#[test]
fn redirect_that_does_not_fit_is_414() {
    // Each of these bytes takes three in a URI.
    let reply = reply(&format!("/dir?{}", "<".repeat(700)), "");
    assert_eq!(status(&reply), "414");
    assert!(reply.ends_with("too long\n"), "{reply}");
}

#[test]
fn error_text_ends_with_one_line_end() {
    for (target, end) in [("/missing", "\r\n\r\n404 Not Found\n"), ("/future", "")] {
        let reply = reply(target, "If-Match: \"x\"\r\n");
        assert!(
            reply.ends_with(end) && !reply.ends_with("\n\n"),
            "{reply:?}"
        );
    }
}

#[test]
fn several_ranges_are_told_as_parts() {
    let reply = reply("/page", "Range: bytes=0-1,5-6\r\n");
    assert_eq!(status(&reply), "206");
    let media_type = field(&reply, "Content-Type").unwrap_or_default();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=");
    let boundary = boundary.expect("the media type of several ranges");
    assert_eq!(boundary.len(), 24);
    assert!(field(&reply, "Last-Modified").is_some() && field(&reply, "ETag").is_some());
    // Each part has its own.
    let (head, content) = reply.split_once("\r\n\r\n").expect("a whole head");
    assert!(!head.contains("Content-Range"), "{head}");
    assert_eq!(
        content,
        format!("--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n"),
        "the first part's header goes with the head"
    );
}

#[test]
fn coded_content_tells_its_coding_with_each_part_only() {
    let reply = reply("/coded", "Accept-Encoding: br\r\nRange: bytes=0-0,2-2\r\n");
    assert_eq!(status(&reply), "206");
    let (head, content) = reply.split_once("\r\n\r\n").expect("a whole head");
    assert!(!head.contains("Content-Encoding"), "{head}");
    assert!(
        content.contains("\r\nContent-Encoding: br\r\n"),
        "{content}"
    );
    assert_eq!(field(&reply, "Vary"), Some("Accept-Encoding"));
}

#[test]
fn fields_that_may_come_once_do_not_count_twice() {
    let range = "Range: bytes=0-1\r\n";
    let tag = field(&reply("/page", ""), "ETag").map(|tag| format!("If-Range: {tag}\r\n"));
    let if_range = tag.expect("a tag");
    let since = format!("If-Modified-Since: {PAST}\r\n");
    let unmodified = "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n";
    for (once, twice, expected) in [
        (range.into(), format!("{range}{range}"), "206"),
        (
            format!("{range}{if_range}"),
            format!("{range}{if_range}{if_range}"),
            "206",
        ),
        (since.clone(), format!("{since}{since}"), "304"),
        (
            unmodified.into(),
            format!("{unmodified}{unmodified}"),
            "412",
        ),
    ] {
        assert_eq!(status(&reply("/page", &once)), expected, "{once}");
        assert_eq!(status(&reply("/page", &twice)), "200", "{twice}");
    }
}

#[test]
fn modification_in_the_future_is_told_and_compared_as_the_time_of_the_response() {
    assert_eq!(field(&reply("/page", ""), "Last-Modified"), Some(PAST));
    let present = String::from_utf8_lossy(&HttpDate(NOW).format()).into_owned();
    let told = Some(present.as_str());
    for path in ["/present", "/future"] {
        assert_eq!(field(&reply(path, ""), "Date"), told, "{path}");
        let past = PAST;
        for (lines, expected) in [
            (String::new(), "200"),
            ("Range: bytes=0-1\r\n".into(), "206"),
            (format!("If-Modified-Since: {past}\r\n"), "200"),
            // As it was told.
            (format!("If-Modified-Since: {present}\r\n"), "304"),
            // Later than now: another clock's.
            (
                "If-Modified-Since: Thu, 01 Jan 2026 00:00:01 GMT\r\n".into(),
                "200",
            ),
            (
                "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n".into(),
                "200",
            ),
            (format!("If-Unmodified-Since: {past}\r\n"), "412"),
            (format!("If-Unmodified-Since: {present}\r\n"), "200"),
            // Not a second old, so it does not tell versions apart.
            (
                format!("Range: bytes=0-1\r\nIf-Range: {present}\r\n"),
                "200",
            ),
        ] {
            let reply = reply(path, &lines);
            assert_eq!(status(&reply), expected, "{path}, {lines}");
            if expected != "412" {
                assert_eq!(field(&reply, "Last-Modified"), told, "{path}, {lines}");
                assert!(field(&reply, "ETag").is_some());
            }
        }
    }
}

/// Content in memory, and how often it was released.
struct Held {
    tag: EntityTag,
    released: u32,
}

const CONTENT: &[u8] = b"0123456789";

impl Site for Held {
    type File = ();

    fn find(&mut self, _: &[u8], _: Accepts<'_>, _: u64) -> Result<Found<'_>, SiteError> {
        Ok(Found::Content(
            ContentId(7),
            Representation {
                length: CONTENT.len() as u64,
                media_type: "text/plain",
                tag: Some(&self.tag),
                modified: None,
                modified_text: None,
                coding: Coding::Identity,
                varies: false,
                cache_control: None,
                ready: None,
                content: Some(CONTENT),
            },
        ))
    }

    fn content(&mut self, _: ContentId, _: Range<u64>) -> Content<'_, ()> {
        Content::Gone
    }

    fn release(&mut self, id: ContentId) {
        assert_eq!(id, ContentId(7));
        self.released += 1;
    }
}

#[test]
fn short_content_is_copied_behind_its_head_and_released_once() {
    let tag = EntityTag::of_content(CONTENT);
    let matching = format!(
        "If-None-Match: {}\r\n",
        core::str::from_utf8(tag.as_bytes()).unwrap()
    );
    // The content that the reply has, if any.
    let cases = [
        ("GET", "", Some(0..10)),
        ("GET", "Range: bytes=2-4\r\n", Some(2..5)),
        ("GET", "Range: bytes=-3\r\n", Some(7..10)),
        ("GET", "Range: bytes=20-\r\n", None),
        ("GET", "Range: bytes=0-0,2-2\r\n", Some(0..1)),
        ("GET", &matching, None),
        ("HEAD", "", Some(0..10)),
        ("HEAD", &matching, None),
        ("OPTIONS", "", None),
        ("DELETE", "", None),
    ];
    for ((method, lines, content), copied, room) in cases.iter().flat_map(|case| {
        [0, 2, 3, 9, 10, 100]
            .into_iter()
            .flat_map(move |copied| (0..800).map(move |room| (case, copied, room)))
    }) {
        let text = format!("{method} {lines:?}, {copied} copied, room for {room}");
        let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 16]);
        parser.advance(bytes.as_bytes(), &mut fields).unwrap();
        let head = Head::new(&parser, bytes.as_bytes(), &fields);
        let head_only = *method == "HEAD";
        let opening = opening(HttpDate(NOW));
        let terms = Terms {
            version: head.version(),
            head_only,
            copied,
            close: false,
            opening: &opening,
        };
        let (mut buffer, mut made) = ([0; 800], Made::NOTHING);
        let mut draft = Draft::new(&mut buffer[..room], terms, &mut made);
        let tag = EntityTag::of_content(CONTENT);
        let mut site = Held { tag, released: 0 };
        let _ = respond(&mut site, &Request::new(head, b"/"), &mut draft, 0, NOW);
        if made.written == 0 {
            // The head did not fit.
            assert!(room < 300, "{text}");
            assert_eq!(site.released, 1, "{text}");
            continue;
        }
        let written = &buffer[..made.written];
        let end = written.windows(4).position(|four| four == b"\r\n\r\n");
        let body = &written[end.expect("a whole head") + 4..];
        match (&made.content, content) {
            (Source::Content(id, range), Some(_)) if lines.contains(',') => {
                assert_eq!((*id, range), (ContentId(7), &(0..10)), "{text}");
            }
            (Source::Written(10), Some(_)) if lines.contains(',') => {
                assert_eq!((body, site.released), (CONTENT, 1), "{text}");
            }
            (Source::Content(id, range), Some(expected)) => {
                assert_eq!((*id, range), (ContentId(7), expected), "{text}");
                let short = expected.end - expected.start <= copied as u64;
                let fits = made.written as u64 + expected.end - expected.start <= room as u64;
                assert!(head_only || !short || !fits, "{text}");
                assert_eq!((body, site.released), (&b""[..], 0), "{text}");
            }
            (Source::Written(length), Some(expected)) => {
                let part = &CONTENT[expected.start as usize..expected.end as usize];
                assert_eq!((body, *length), (part, part.len() as u64), "{text}");
                assert!(!head_only && part.len() <= copied, "{text}");
                assert_eq!(site.released, 1, "{text}");
            }
            (Source::Parts { id, first, lead }, Some(_)) => {
                assert_eq!((*id, first, site.released), (ContentId(7), &(0..1), 0));
                assert_eq!(usize::from(*lead), body.len(), "{text}");
                // There is room for what goes with the other parts.
                assert!(room >= made.written + 120, "{text}");
            }
            (Source::Written(_), None) => assert_eq!(site.released, 1, "{text}"),
            _ => panic!("{text}"),
        }
    }
}

/// A site that keeps its fields ready, the date among them.
struct Ready;

impl Site for Ready {
    type File = ();

    fn find(&mut self, _: &[u8], _: Accepts<'_>, _: u64) -> Result<Found<'_>, SiteError> {
        let modified = HttpDate(NOW + 60);
        Ok(Found::Content(
            ContentId(0),
            Representation {
                length: 2,
                media_type: "text/plain",
                tag: None,
                modified: Some(modified),
                modified_text: None,
                coding: Coding::Identity,
                varies: false,
                cache_control: None,
                ready: Some(b"Last-Modified: Thu, 01 Jan 2026 00:01:00 GMT\r\n"),
                content: None,
            },
        ))
    }

    fn content(&mut self, _: ContentId, _: Range<u64>) -> Content<'_, ()> {
        Content::Bytes(b"ab")
    }

    fn release(&mut self, _: ContentId) {}
}

#[test]
fn fields_kept_ready_do_not_tell_a_modification_in_the_future() {
    let reply = reply_of(&mut Ready, "/", "");
    assert_eq!(field(&reply, "Last-Modified"), field(&reply, "Date"));
    assert_eq!(field(&reply, "Content-Type"), Some("text/plain"));
    assert_eq!(field(&reply, "Content-Length"), Some("2"));
}

#[test]
fn acceptable_variant_is_chosen_where_identity_is_excluded() {
    for (line, coding) in [
        ("identity;q=0, gzip;q=0.1", Some("gzip")),
        ("*;q=0, br", Some("br")),
        ("identity;q=0, *;q=0.5", Some("br")),
        ("deflate", None),
        // Nothing that we have is acceptable: the field is disregarded.
        ("identity;q=0", None),
        ("identity;q=0, deflate", None),
        ("*;q=0", None),
    ] {
        let reply = reply("/coded", &format!("Accept-Encoding: {line}\r\n"));
        assert_eq!(status(&reply), "200", "{line}");
        assert_eq!(field(&reply, "Content-Encoding"), coding, "{line}");
    }
}

#[test]
fn identity_is_chosen_only_where_it_is_available() {
    let accepts = Accepts::identity();
    assert_eq!(accepts.choose(Codings::ALL), Some(Coding::Identity));
    assert_eq!(accepts.choose(Codings::NONE.with(Coding::Gzip)), None);
}
