//! Every rule of the request head, as tables: what is refused with which status, what is accepted
//! and how it reads. All inputs go through the parser whole and byte by byte.

use capuchin_core::http::head::{
    EMPTY_LINE_LIMIT, Field, Framing, HEAD_LIMIT, Head, HeadError, HeadParser, METHOD_LIMIT,
    Method, NAME_LIMIT, Name, Progress, Version,
};

type Outcome = Result<Progress, HeadError>;

/// Parses `bytes` in pieces of `step` bytes until something other than `Incomplete` comes out.
fn parse(bytes: &[u8], step: usize, fields: &mut [Field]) -> (HeadParser, Outcome) {
    let mut parser = HeadParser::default();
    let mut end = 0;
    loop {
        end = (end + step).min(bytes.len());
        let outcome = parser.advance(&bytes[..end], fields);
        if outcome != Ok(Progress::Incomplete) || end == bytes.len() {
            return (parser, outcome);
        }
    }
}

fn outcome(bytes: &[u8]) -> Outcome {
    let whole = parse(bytes, usize::MAX / 2, &mut [Field::EMPTY; 64]).1;
    for step in [1, 2, 7, 64] {
        let split = parse(bytes, step, &mut [Field::EMPTY; 64]).1;
        assert_eq!(split, whole, "in steps of {step}: {}", bytes.escape_ascii());
    }
    whole
}

fn with_head<R>(bytes: &[u8], read: impl FnOnce(Head<'_>) -> R) -> R {
    assert_eq!(
        outcome(bytes),
        Ok(Progress::Complete {
            length: bytes.len()
        }),
        "{}",
        bytes.escape_ascii()
    );
    let mut fields = [Field::EMPTY; 64];
    let (parser, _) = parse(bytes, 1, &mut fields);
    read(Head::new(&parser, bytes, &fields))
}

/// A valid GET of HTTP/1.1 with these lines after Host, each without its line end.
fn get_with(lines: &str) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for line in lines.split('|').filter(|line| !line.is_empty()) {
        head.extend_from_slice(line.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[test]
fn target_is_split_into_path_and_query_without_its_fragment() {
    for (target, path, query) in [
        (&b"/a#b"[..], &b"/a"[..], None),
        (b"/a?b#c", b"/a", Some(&b"b"[..])),
        (b"/a#b?c", b"/a", None),
        (b"/a?b?c#d#e", b"/a", Some(b"b?c")),
        (b"/#", b"/", None),
        (b"/a?#", b"/a", Some(b"")),
        (b"http://h#f", b"/", None),
        (b"http://h/a?b#c", b"/a", Some(b"b")),
        // Bytes that no URI holds are kept as they are.
        (b"/caf\xc3\xa9?\xff", b"/caf\xc3\xa9", Some(b"\xff")),
        (b"/\x80\\\"<>", b"/\x80\\\"<>", None),
    ] {
        let bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        for step in [1, 3, bytes.len()] {
            let (mut parser, mut fields) = (HeadParser::default(), [Field::EMPTY; 8]);
            for end in (step..bytes.len()).step_by(step) {
                assert_eq!(
                    parser.advance(&bytes[..end], &mut fields),
                    Ok(Progress::Incomplete)
                );
            }
            let length = bytes.len();
            assert_eq!(
                parser.advance(&bytes, &mut fields),
                Ok(Progress::Complete { length })
            );
            let head = Head::new(&parser, &bytes, &fields);
            let text = target.escape_ascii();
            assert_eq!((head.path(), head.query()), (path, query), "{text}");
            assert_eq!((head.target(), head.host()), (target, &b"h"[..]), "{text}");
        }
    }
}

#[test]
fn malformed_heads_are_refused_with_their_status() {
    use HeadError as E;
    let cases: &[(&[u8], HeadError, u16)] = &[
        // Empty lines and line ends.
        (b"\nGET / HTTP/1.1\r\n", E::BareLf, 400),
        (b"\rGET / HTTP/1.1\r\n", E::BareCr, 400),
        (b"\r\n\rGET", E::BareCr, 400),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", E::Version, 400),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", E::BareCr, 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", E::BareLf, 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", E::BareCr, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", E::BareLf, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX", E::BareCr, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", E::BareCr, 400),
        // The request line.
        (b" GET / HTTP/1.1\r\n", E::Method, 400),
        (b"G\0T / HTTP/1.1\r\n", E::Method, 400),
        (b"GET\t/ HTTP/1.1\r\n", E::Method, 400),
        (b"G(T / HTTP/1.1\r\n", E::Method, 400),
        (b"GET\r\n", E::Method, 400),
        (b"\x16\x03\x01\x02\x00\x01", E::Method, 400),
        (b"GET  / HTTP/1.1\r\n", E::Target, 400),
        (b"GET \t/ HTTP/1.1\r\n", E::Target, 400),
        (b"GET /\t HTTP/1.1\r\n", E::Target, 400),
        (b"GET /\0 HTTP/1.1\r\n", E::Target, 400),
        (b"GET /\x7f HTTP/1.1\r\n", E::Target, 400),
        (b"GET  HTTP/1.1\r\n", E::Target, 400),
        (b"GET \r\n", E::Target, 400),
        (b"GET #top HTTP/1.1\r\nHost: a\r\n\r\n", E::TargetForm, 400),
        (
            b"OPTIONS *#top HTTP/1.1\r\nHost: a\r\n\r\n",
            E::TargetForm,
            400,
        ),
        (
            b"GET http://a\xc3\xa4/ HTTP/1.1\r\nHost: a\r\n\r\n",
            E::TargetForm,
            400,
        ),
        (b"GET /\r\n", E::Version, 400),
        (b"GET /  HTTP/1.1\r\n", E::Version, 400),
        (b"GET / b HTTP/1.1\r\n", E::Version, 400),
        (b"GET / HTTP/1.1 \r\n", E::Version, 400),
        (b"GET / http/1.1\r\n", E::Version, 400),
        (b"GET / HTTP/1.x\r\n", E::Version, 400),
        (b"GET / HTTP/1.10\r\n", E::Version, 400),
        (b"GET / HTTP/11\r\n", E::Version, 400),
        (b"GET / HTTP 1.1\r\n", E::Version, 400),
        (b"GET / HTTPS/1.1\r\n", E::Version, 400),
        (b"GET / \r\n", E::Version, 400),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            E::VersionUnsupported,
            505,
        ),
        (b"GET / HTTP/0.9\r\n", E::VersionUnsupported, 505),
        (b"GET / HTTP/3.1\r\n", E::VersionUnsupported, 505),
        (b"GET * HTTP/1.1\r\n", E::TargetForm, 400),
        (b"GET a:80 HTTP/1.1\r\n", E::TargetForm, 400),
        (b"CONNECT / HTTP/1.1\r\n", E::TargetForm, 400),
        (b"GET http://u:p@a/ HTTP/1.1\r\n", E::TargetForm, 400),
        (b"GET ftp://a/ HTTP/1.1\r\n", E::TargetForm, 400),
        (b"GET https://a/ HTTP/1.1\r\n", E::Misdirected, 421),
        (b"CONNECT a:0 HTTP/1.1\r\n", E::TargetForm, 400),
        (b"BREW * HTTP/1.1\r\n", E::TargetForm, 400),
        // Field lines.
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", E::LeadingSpace, 400),
        (b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", E::LeadingSpace, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", E::ObsFold, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", E::BareCr, 400),
        (b"GET / HTTP/1.1\r\nX:\r\n\ty\r\n\r\n", E::ObsFold, 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", E::SpaceInName, 400),
        (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", E::SpaceInName, 400),
        (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", E::SpaceInName, 400),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", E::NoColon, 400),
        (b"GET / HTTP/1.1\r\nHost\n\r\n", E::BareLf, 400),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", E::EmptyName, 400),
        (b"GET / HTTP/1.1\r\nHo(st: a\r\n\r\n", E::NameByte, 400),
        (b"GET / HTTP/1.1\r\nHost\0: a\r\n\r\n", E::NameByte, 400),
        (b"GET / HTTP/1.1\r\nHo\x7fst: a\r\n\r\n", E::NameByte, 400),
        (
            b"GET / HTTP/1.1\r\nH\xc3\xb6st: a\r\n\r\n",
            E::NameByte,
            400,
        ),
        (b"GET / HTTP/1.1\r\n\"a\": a\r\n\r\n", E::NameByte, 400),
        (b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", E::ValueByte, 400),
        (b"GET / HTTP/1.1\r\nX: a\x0bb\r\n\r\n", E::ValueByte, 400),
        (b"GET / HTTP/1.1\r\nX: a\x7fb\r\n\r\n", E::ValueByte, 400),
        (
            b"GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x1bb\r\n\r\n",
            E::ValueByte,
            400,
        ),
        // Host.
        (b"GET / HTTP/1.1\r\n\r\n", E::HostMissing, 400),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", E::HostMissing, 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.0\r\nHost: \r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", E::HostInvalid, 400),
        (
            b"GET / HTTP/1.1\r\nHost: %2e%2e\r\n\r\n",
            E::HostInvalid,
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", E::HostInvalid, 400),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", E::HostInvalid, 400),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
            E::HostRepeated,
            400,
        ),
        (
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            E::HostRepeated,
            400,
        ),
        // Framing.
        (
            b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            E::CodingInHttp10,
            400,
        ),
    ];
    for (bytes, error, status) in cases {
        assert_eq!(outcome(bytes), Err(*error), "{}", bytes.escape_ascii());
        assert_eq!(error.status(), *status);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn field_lines_that_leave_framing_in_doubt_are_refused() {
    use HeadError as E;
    let cases: &[(&str, HeadError, u16)] = &[
        ("Content-Length: +5", E::ContentLengthInvalid, 400),
        ("Content-Length: 5, 5", E::ContentLengthInvalid, 400),
        ("Content-Length:", E::ContentLengthInvalid, 400),
        ("Content-Length: 5 5", E::ContentLengthInvalid, 400),
        ("Content-Length: 0x5", E::ContentLengthInvalid, 400),
        (
            "Content-Length: 18446744073709551616",
            E::ContentLengthOverflow,
            400,
        ),
        (
            "Content-Length: 5|Content-Length: 6",
            E::ContentLengthRepeated,
            400,
        ),
        (
            "Content-Length: 5|content-length: 5",
            E::ContentLengthRepeated,
            400,
        ),
        (
            "Content-Length: 5|Transfer-Encoding: chunked",
            E::LengthAndCoding,
            400,
        ),
        (
            "Transfer-Encoding: chunked|Content-Length: 5",
            E::LengthAndCoding,
            400,
        ),
        ("Transfer-Encoding: gzip, chunked", E::CodingUnknown, 501),
        (
            "Transfer-Encoding: gzip|Transfer-Encoding: chunked",
            E::CodingUnknown,
            501,
        ),
        ("Transfer-Encoding: gzip", E::CodingInvalid, 400),
        ("Transfer-Encoding: identity", E::CodingInvalid, 400),
        ("Transfer-Encoding:", E::CodingInvalid, 400),
        ("Transfer-Encoding: chunked, gzip", E::CodingInvalid, 400),
        (
            "Transfer-Encoding: chunked|Transfer-Encoding: gzip",
            E::CodingInvalid,
            400,
        ),
        ("Transfer-Encoding: chunked, chunked", E::CodingInvalid, 400),
        (
            "Transfer-Encoding: chunked|transfer-encoding: chunked",
            E::CodingInvalid,
            400,
        ),
        ("Transfer-Encoding: \"chunked\"", E::CodingInvalid, 400),
        ("Transfer-Encoding: xchunked", E::CodingInvalid, 400),
        ("Transfer-Encoding : chunked", E::SpaceInName, 400),
        ("Expect: 200-ok", E::Expectation, 417),
        ("Expect: 100-continue, x", E::Expectation, 417),
        ("Expect: 100-continue|Expect: x=y", E::Expectation, 417),
    ];
    for (lines, error, status) in cases {
        assert_eq!(outcome(&get_with(lines)), Err(*error), "{lines}");
        assert_eq!(error.status(), *status);
    }
}

#[test]
fn framing_reads_as_it_was_sent() {
    let cases: &[(&str, Framing)] = &[
        ("", Framing::None),
        ("Content-Length: 0", Framing::Length(0)),
        (
            "content-length:18446744073709551615 \t",
            Framing::Length(u64::MAX),
        ),
        ("TRANSFER-ENCODING: Chunked", Framing::Chunked),
        ("transfer-encoding:\tchunked\t", Framing::Chunked),
    ];
    for (lines, framing) in cases {
        with_head(&get_with(lines), |head| {
            assert_eq!(head.framing(), *framing, "{lines}")
        });
    }
}

#[test]
fn connection_persists_as_version_and_options_say() {
    let cases: &[(&str, &str, bool)] = &[
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: keep-alive\r\n", true),
        ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "connection: x ,\tCLOSE\r\n", false),
        (
            "HTTP/1.1",
            "Connection: upgrade\r\nConnection: close\r\n",
            false,
        ),
        ("HTTP/1.1", "Connection: closed, not-close\r\n", true),
        ("HTTP/1.1", "Connection: keep-alive, close\r\n", false),
        ("HTTP/1.2", "", true),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ("HTTP/1.0", "Connection:\r\n", false),
    ];
    for (version, lines, persists) in cases {
        let bytes = format!("GET / {version}\r\nHost: a\r\n{lines}\r\n");
        with_head(bytes.as_bytes(), |head| {
            assert_eq!(head.keep_alive(), *persists, "{version} {lines}");
        });
    }
}

#[test]
fn targets_read_as_path_query_and_host() {
    type Case = (
        &'static str,
        &'static str,
        &'static str,
        Option<&'static str>,
        &'static str,
    );
    let cases: &[Case] = &[
        ("GET", "/", "/", None, "h:1"),
        ("GET", "/a/b?c?d=%20", "/a/b", Some("c?d=%20"), "h:1"),
        ("GET", "/?", "/", Some(""), "h:1"),
        ("GET", "//a/b", "//a/b", None, "h:1"),
        ("GET", "/a|b\\c\"<>^`{}", "/a|b\\c\"<>^`{}", None, "h:1"),
        ("OPTIONS", "*", "*", None, "h:1"),
        ("OPTIONS", "http://x", "*", None, "x"),
        ("OPTIONS", "http://x/", "/", None, "x"),
        ("GET", "http://x:8/a?b", "/a", Some("b"), "x:8"),
        ("GET", "HTTP://[::1]?b/c", "/", Some("b/c"), "[::1]"),
        ("GET", "http://x", "/", None, "x"),
        ("CONNECT", "x:443", "", None, "x:443"),
        ("BREW", "/pot", "/pot", None, "h:1"),
    ];
    for (method, target, path, query, host) in cases {
        let bytes = format!("{method} {target} HTTP/1.1\r\nHost: h:1\r\n\r\n");
        with_head(bytes.as_bytes(), |head| {
            assert_eq!(head.method(), Method::from_token(method.as_bytes()));
            assert_eq!(head.method_token(), method.as_bytes());
            assert_eq!(head.target(), target.as_bytes());
            assert_eq!(head.path(), path.as_bytes(), "{target}");
            assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
            assert_eq!(head.host(), host.as_bytes(), "{target}");
        });
    }
}

#[test]
fn fields_are_found_by_name_and_known_name_in_any_case() {
    let bytes = get_with(
        "X-Empty:|if-NONE-match: \"a\"|If-None-Match:\t\"b\" , \"c\" \t|x-odd!#$%&'*+.^_`~: \u{e4}\t1|Date:d|Priority: u=1|Sec-CH-UA-Platform: \"x\"",
    );
    with_head(&bytes, |head| {
        assert_eq!(head.version(), Version::Http11);
        assert_eq!(head.value(Name::Host), Some(&b"a"[..]));
        assert_eq!(head.value(Name::IfNoneMatch), Some(&b"\"a\""[..]));
        let all: Vec<_> = head.values(Name::IfNoneMatch).collect();
        assert_eq!(all, [&b"\"a\""[..], b"\"b\" , \"c\""]);
        assert_eq!(head.values(Name::Cookie).count(), 0);
        assert_eq!(head.value(Name::Range), None);
        // These share a bit of the set of seen names: one must not stand for the other.
        assert_eq!(head.value(Name::SecChUaPlatform), Some(&b"\"x\""[..]));
        assert_eq!(head.value(Name::SecFetchDest), None);
        assert_eq!(head.values(Name::SecFetchDest).count(), 0);
        assert_eq!(head.value(Name::Priority), Some(&b"u=1"[..]));
        assert_eq!(head.field("X-EMPTY"), Some(&b""[..]));
        assert_eq!(head.field("HOST"), Some(&b"a"[..]));
        assert_eq!(
            head.field("X-Odd!#$%&'*+.^_`~"),
            Some("\u{e4}\t1".as_bytes())
        );
        assert_eq!(head.field("x-none"), None);
        assert_eq!(head.field("range"), None);
        assert_eq!(head.fields().count(), 8);
        assert_eq!(head.fields().next(), Some((&b"Host"[..], &b"a"[..])));
    });
}

#[test]
fn expectations() {
    for (lines, version, expects) in [
        ("", "1.1", false),
        ("Expect: 100-Continue\r\n", "1.1", true),
        ("Expect:\r\n", "1.1", false),
        ("Expect: 100-continue\r\n", "1.0", false),
    ] {
        let bytes = format!("PUT / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        with_head(bytes.as_bytes(), |head| {
            assert_eq!(head.expects_continue(), expects, "{bytes}")
        });
    }
}

#[test]
fn hosts_are_judged_alike_however_much_is_behind_them() {
    let cases: &[(&str, bool)] = &[
        ("a", true),
        ("a.b-c.example.org", true),
        ("127.0.0.1:8080", true),
        ("a:", true),
        ("a:0", true),
        ("a:65535", true),
        ("a_b~", true),
        ("[::1]:80", true),
        (":80", false),
        (":", false),
        ("a:65536", false),
        ("a:99999", false),
        ("a:000080", false),
        ("a:8o", false),
        ("a:80 b", false),
        ("a b", false),
        ("a,b", false),
        ("a/b", false),
        ("a%41", false),
        ("[::1", false),
    ];
    for (host, good) in cases {
        for rest in ["", "Accept: text/html, and more of it\r\n"] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{rest}\r\n");
            let judged = outcome(head.as_bytes());
            assert_eq!(judged.is_ok(), *good, "{host} {rest}");
        }
    }
}

#[test]
fn empty_host_is_taken_where_the_target_names_no_path_of_it() {
    for line in [
        "OPTIONS * HTTP/1.1",
        "GET http://b/ HTTP/1.1",
        "CONNECT b:1 HTTP/1.1",
    ] {
        with_head(format!("{line}\r\nHost:\r\n\r\n").as_bytes(), |_| ());
    }
    with_head(b"GET / HTTP/1.0\r\n\r\n", |head| {
        assert_eq!(head.host(), b"");
        assert_eq!(head.version(), Version::Http10);
    });
    // A malformed one is refused even where it is not used.
    assert_eq!(
        outcome(b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
        Err(HeadError::HostInvalid)
    );
}

#[test]
fn what_follows_the_head_is_left_alone() {
    let bytes = b"GET / HTTP/1.0\r\n\r\n\0\n\r rest";
    assert_eq!(outcome(bytes), Ok(Progress::Complete { length: 18 }));
}

#[test]
fn limits_hold_at_and_one_past_them() {
    let at_and_past = |make: &dyn Fn(usize) -> Vec<u8>, limit: usize, error: HeadError| {
        let bytes = make(limit);
        assert_eq!(
            outcome(&bytes),
            Ok(Progress::Complete {
                length: bytes.len()
            })
        );
        assert_eq!(outcome(&make(limit + 1)), Err(error));
    };
    at_and_past(
        &|n| ["\r\n".repeat(n).as_bytes(), &get_with("")].concat(),
        EMPTY_LINE_LIMIT,
        HeadError::EmptyLines,
    );
    at_and_past(
        &|n| format!("{} / HTTP/1.0\r\n\r\n", "M".repeat(n)).into_bytes(),
        METHOD_LIMIT,
        HeadError::MethodTooLong,
    );
    at_and_past(
        &|n| get_with(&format!("{}: x", "n".repeat(n))),
        NAME_LIMIT,
        HeadError::NameTooLong,
    );
    // The table of 64 has one entry for the request line; Host is there already.
    at_and_past(
        &|n| get_with(&"a: b|".repeat(n)),
        62,
        HeadError::TooManyFields,
    );
    let empty = get_with("X: ").len();
    let long = |n: usize| get_with(&format!("X: {}", "x".repeat(n - empty)));
    assert_eq!(
        outcome(&long(HEAD_LIMIT)),
        Ok(Progress::Complete { length: HEAD_LIMIT })
    );
    assert_eq!(outcome(&long(HEAD_LIMIT + 1)), Err(HeadError::TooLarge));
    let target = format!("GET /{}", "x".repeat(HEAD_LIMIT));
    assert_eq!(
        outcome(target.as_bytes()),
        Err(HeadError::RequestLineTooLong)
    );
    assert_eq!(HeadError::RequestLineTooLong.status(), 414);
    assert_eq!(HeadError::TooLarge.status(), 431);
    assert_eq!(HeadError::TooManyFields.status(), 431);
    assert_eq!(HeadError::NameTooLong.status(), 431);
    assert_eq!(HeadError::MethodTooLong.status(), 501);
}

#[test]
fn largest_table_takes_254_lines_and_no_table_takes_none() {
    let mut fields = [Field::EMPTY; 400];
    for (count, expected) in [(253, true), (254, false)] {
        let bytes = get_with(&"a: b|".repeat(count));
        let (_, outcome) = parse(&bytes, bytes.len(), &mut fields);
        assert_eq!(outcome.is_ok(), expected, "{count}");
    }
    let (_, outcome) = parse(b"GET / HTTP/1.0\r\n\r\n", 99, &mut []);
    assert_eq!(outcome, Err(HeadError::TooManyFields));
    let (_, outcome) = parse(b"GET / HTTP/1.0\r\n\r\n", 99, &mut [Field::EMPTY; 1]);
    assert_eq!(outcome, Ok(Progress::Complete { length: 18 }));
}

#[test]
fn progress_within_the_head_is_told() {
    let cases: &[(&[u8], bool, bool)] = &[
        (b"", false, true),
        (b"\r\n\r", false, true),
        (b"\r\nG", true, true),
        (b"GET / HTTP/1.1", true, true),
        (b"GET / HTTP/1.1\r\n", true, false),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", true, false),
    ];
    for (bytes, started, in_request_line) in cases {
        let (parser, outcome) = parse(bytes, usize::MAX / 2, &mut [Field::EMPTY; 8]);
        assert_eq!(outcome, Ok(Progress::Incomplete));
        assert_eq!(parser.started(), *started, "{}", bytes.escape_ascii());
        assert_eq!(parser.in_request_line(), *in_request_line);
        assert_eq!(
            parser.full().status(),
            if *in_request_line { 414 } else { 431 }
        );
    }
}

#[test]
fn completion_and_errors_repeat_when_asked_again() {
    let mut fields = [Field::EMPTY; 8];
    let bytes = b"GET / HTTP/1.0\r\n\r\n";
    let (mut parser, first) = parse(bytes, 3, &mut fields);
    assert_eq!(parser.advance(bytes, &mut fields), first);
    let bytes = b"GET / HTTP/1.0\r\nA b: c";
    let (mut parser, first) = parse(bytes, 3, &mut fields);
    assert_eq!(first, Err(HeadError::SpaceInName));
    assert_eq!(parser.advance(bytes, &mut fields), first);
}

#[test]
fn foreign_bytes_make_an_empty_head_and_no_panic() {
    let bytes = get_with("A: b|Content-Length: 7");
    let mut fields = [Field::EMPTY; 8];
    let (parser, _) = parse(&bytes, 1000, &mut fields);
    for (bytes, fields) in [
        (&b""[..], &fields[..]),
        (&bytes[..20], &fields),
        (&bytes, &[]),
    ] {
        let head = Head::new(&parser, bytes, fields);
        let _ = (
            head.method(),
            head.path(),
            head.query(),
            head.host(),
            head.framing(),
        );
        assert!(head.fields().count() <= 3);
        assert!(
            head.field("A")
                .is_none_or(|value| value.is_empty() || value == b"b")
        );
    }
}
