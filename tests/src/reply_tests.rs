//! The parser for replies: what it understands, and above all what it refuses.

use crate::reply::{Asked, Framing, chunk_size, head, is_date};

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

fn with_date(text: &str) -> String {
    text.replacen("\r\n", &format!("\r\n{DATE}"), 1)
}

#[test]
fn well_formed_heads_are_understood() {
    let cases: &[(&str, Asked, u16, Framing, bool)] = &[
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Asked::Get,
            200,
            Framing::Length(5),
            false,
        ),
        (
            "HTTP/1.1 200 \r\ncontent-length:0\r\n\r\n",
            Asked::Get,
            200,
            Framing::Length(0),
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            Asked::Head,
            200,
            Framing::None,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
            Asked::Get,
            200,
            Framing::Chunked,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            Asked::Get,
            200,
            Framing::UntilClose,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            Asked::Get10,
            200,
            Framing::UntilClose,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
            Asked::Get10,
            200,
            Framing::Length(1),
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
            Asked::Get10,
            200,
            Framing::Length(1),
            false,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Asked::Get,
            304,
            Framing::None,
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            Asked::Get,
            204,
            Framing::None,
            false,
        ),
        (
            "HTTP/1.1 416 No\r\nContent-Range: bytes */36\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
            416,
            Framing::Length(0),
            false,
        ),
    ];
    for &(text, asked, status, framing, close) in cases {
        let text = with_date(text);
        let (found, length) = head(text.as_bytes(), asked).expect(&text).expect(&text);
        assert_eq!(
            (found.status, found.framing, found.close, length),
            (status, framing, close, text.len())
        );
    }
    let (interim, _) = head(b"HTTP/1.1 100 Continue\r\n\r\n", Asked::Get)
        .unwrap()
        .unwrap();
    assert_eq!(
        (interim.status, interim.framing, interim.close),
        (100, Framing::None, false)
    );
}

#[test]
fn malformed_and_incomplete_replies_are_refused() {
    let cases: &[(&str, Asked)] = &[
        ("HTTP/2 200 OK\r\n\r\n", Asked::Get),
        ("HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        ("HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        ("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        ("HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        (
            "HTTP/1.1 200 O\u{1}K\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        ("HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            Asked::Get,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", Asked::Get),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Asked::Get),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Asked::Get10,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Asked::Get,
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", Asked::Get),
        ("HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", Asked::Get),
        ("HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n", Asked::Get),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\nB: c\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            Asked::Head,
        ),
        ("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        (
            "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        ("HTTP/1.1 206 Part\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        ("HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        (
            "HTTP/1.1 416 No\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        ("HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n", Asked::Get),
        (
            "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nETag: \"b\"\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
        (
            "HTTP/1.1 200 OK\r\nLast-Modified: yesterday\r\nContent-Length: 0\r\n\r\n",
            Asked::Get,
        ),
    ];
    for &(text, asked) in cases {
        assert!(
            head(with_date(text).as_bytes(), asked).is_err(),
            "{text:?} was taken"
        );
    }
    assert!(
        head(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Asked::Get).is_err(),
        "no Date"
    );
    assert!(
        head(b"HTTP/1.1 100 Continue\r\n\r\n", Asked::Get10).is_err(),
        "interim for HTTP/1.0"
    );
    assert!(head(b"<html>", Asked::Get).is_err(), "HTTP/0.9");
}

#[test]
fn head_without_its_end_is_not_judged_yet() {
    let whole = with_date("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    for cut in 0..whole.len() {
        assert_eq!(
            head(&whole.as_bytes()[..cut], Asked::Get),
            Ok(None),
            "at {cut}"
        );
    }
}

#[test]
fn chunk_sizes_are_hexadecimal_and_nothing_else() {
    assert_eq!(chunk_size(b"1aF"), Ok(0x1af));
    for wrong in [
        &b""[..],
        b"0x1",
        b"1 ",
        b" 1",
        b"1;a",
        b"g",
        b"-1",
        b"11111111111111111",
    ] {
        assert!(chunk_size(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn dates_have_one_form_only() {
    assert!(is_date("Sun, 06 Nov 1994 08:49:37 GMT"));
    for wrong in [
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "",
    ] {
        assert!(!is_date(wrong), "{wrong}");
    }
}
