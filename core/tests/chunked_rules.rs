//! Every rule of chunked bodies, as tables. All inputs are decoded whole and byte by byte.

use capuchin_core::http::chunked::{
    BODY_EXTENSION_LIMIT, CHUNK_EXTENSION_LIMIT, ChunkError, ChunkStep, ChunkedDecoder,
    SIZE_DIGIT_LIMIT, TRAILER_LIMIT,
};

/// The data and the length of a body, `None` when it is incomplete.
type Outcome = Result<Option<(Vec<u8>, usize)>, ChunkError>;

fn decode_in_steps(bytes: &[u8], step: usize) -> Outcome {
    let mut decoder = ChunkedDecoder::default();
    let (mut body, mut at) = (Vec::new(), 0);
    for piece in bytes.chunks(step) {
        let end = at + piece.len();
        while at < end {
            let input = &bytes[at..end];
            match decoder.advance(input)? {
                ChunkStep::Data { start, end } => {
                    assert!(start < end, "data is never empty");
                    body.extend_from_slice(&input[start..end]);
                    at += end;
                }
                ChunkStep::Incomplete { consumed } => {
                    assert_eq!(consumed, input.len());
                    at += consumed;
                }
                ChunkStep::End { consumed } => {
                    assert!(decoder.is_done());
                    assert_eq!(decoder.advance(b"x"), Ok(ChunkStep::End { consumed: 0 }));
                    assert_eq!(decoder.advance(b""), Ok(ChunkStep::End { consumed: 0 }));
                    return Ok(Some((body, at + consumed)));
                }
            }
        }
    }
    assert!(!decoder.is_done());
    Ok(None)
}

fn decode(bytes: &[u8]) -> Outcome {
    let whole = decode_in_steps(bytes, usize::MAX);
    for step in [1, 2, 5] {
        let split = decode_in_steps(bytes, step);
        assert_eq!(split, whole, "in steps of {step}: {}", bytes.escape_ascii());
    }
    whole
}

#[test]
fn valid_bodies_give_their_data_and_leave_the_rest() {
    let cases: &[(&str, &str)] = &[
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"),
        ("0000005\r\nhello\r\n000\r\n\r\n", "hello"),
        (
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
        ),
        ("5\r\n\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n"),
        ("1;a\r\nx\r\n0;b=c\r\n\r\n", "x"),
        ("1 ;a\r\nx\r\n0\t; \tb = c ; d\r\n\r\n", "x"),
        ("1;a=\"q\\\"; \t\u{e4}\"\r\nx\r\n0\r\n\r\n", "x"),
        ("1;a=\"\" ;b\r\nx\r\n0\r\n\r\n", "x"),
        ("0\r\nX: y\r\nz:\r\n\r\n", ""),
        ("0\r\nContent-Length: 5\r\nX:\t\u{e4} \r\n\r\n", ""),
    ];
    for (bytes, data) in cases {
        let with_next = format!("{bytes}GET / HTTP/1.1\r\n");
        let expected = Ok(Some((data.as_bytes().to_vec(), bytes.len())));
        assert_eq!(decode(with_next.as_bytes()), expected, "{bytes:?}");
    }
}

#[test]
fn malformed_bodies_are_refused_with_their_status() {
    use ChunkError as E;
    let cases: &[(&[u8], ChunkError)] = &[
        (b"\r\n", E::Size),
        (b" 5\r\n", E::Size),
        (b"+5\r\n", E::Size),
        (b"-5\r\n", E::Size),
        (b"0x5\r\n", E::Size),
        (b"g\r\n", E::Size),
        (b";a\r\n", E::Size),
        (b"5 \r\n", E::Size),
        (b"5\t\r\n", E::Size),
        (b"5 5\r\n", E::Size),
        (b"5\0\r\n", E::Size),
        (b"5_0\r\n", E::Size),
        (b"5,\r\n", E::Size),
        (b"5\nhello", E::LineEnd),
        (b"5\rhello", E::LineEnd),
        (b"5;a\nhello", E::LineEnd),
        (b"5;a=\"\nhello", E::LineEnd),
        (b"5;a\rhello", E::LineEnd),
        (b"5\r\nhello\n0\r\n\r\n", E::DataEnd),
        (b"5\r\nhello!\r\n", E::DataEnd),
        (b"5\r\nhello\r0\r\n", E::LineEnd),
        (b"10000000000000000\r\n", E::SizeOverflow),
        (b"00000000000000001\r\n", E::SizeOverflow),
        (b"fffffffffffffffff\r\n", E::SizeOverflow),
        (b"5;\r\n", E::Extension),
        (b"5; \r\n", E::Extension),
        (b"5;a \r\n", E::Extension),
        (b"5;a=\r\n", E::Extension),
        (b"5;a=b \r\n", E::Extension),
        (b"5;a=\"b\" \r\n", E::Extension),
        (b"5;a=\"b\"c\r\n", E::Extension),
        (b"5;a=\"b\r\n", E::Extension),
        (b"5;a=\"\\\r\n", E::Extension),
        (b"5;a=\"\0\"\r\n", E::Extension),
        (b"5;a b\r\n", E::Extension),
        (b"5;a=b=c\r\n", E::Extension),
        (b"5;;a\r\n", E::Extension),
        (b"5;\xff\r\n", E::Extension),
        (b"0\r\n\n", E::LineEnd),
        (b"0\r\n\rx", E::LineEnd),
        (b"0\r\nX: y\n\r\n", E::LineEnd),
        (b"0\r\nX: y\rz", E::LineEnd),
        (b"0\r\n X: y\r\n", E::Trailer),
        (b"0\r\nX: y\r\n z\r\n", E::Trailer),
        (b"0\r\nX : y\r\n", E::Trailer),
        (b"0\r\n: y\r\n", E::Trailer),
        (b"0\r\nX\r\n", E::Trailer),
        (b"0\r\nX: \0\r\n", E::Trailer),
        (b"0\r\nX(: y\r\n", E::Trailer),
        (b"0\r\nGET / HTTP/1.1\r\n", E::Trailer),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode(bytes), Err(*error), "{}", bytes.escape_ascii());
        assert_eq!(error.status(), 400);
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn limits_hold_at_and_one_past_them() {
    let digits = |n: usize| format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(n - 1));
    let limit = usize::from(SIZE_DIGIT_LIMIT);
    assert!(matches!(decode(digits(limit).as_bytes()), Ok(Some(_))));
    assert_eq!(
        decode(digits(limit + 1).as_bytes()),
        Err(ChunkError::SizeOverflow)
    );

    let extension = |n: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(n - 1));
    let limit = usize::from(CHUNK_EXTENSION_LIMIT);
    assert!(matches!(decode(extension(limit).as_bytes()), Ok(Some(_))));
    let refused = Err(ChunkError::ExtensionTooLong);
    assert_eq!(decode(extension(limit + 1).as_bytes()), refused);

    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(limit - 1));
    let count = usize::from(BODY_EXTENSION_LIMIT) / limit;
    let at = chunk.repeat(count) + "0\r\n\r\n";
    assert_eq!(
        decode(at.as_bytes()),
        Ok(Some((vec![b'x'; count], at.len())))
    );
    let past = chunk.repeat(count) + "0;e\r\n\r\n";
    assert_eq!(decode(past.as_bytes()), Err(ChunkError::ExtensionTooLong));

    // "X:" and two line ends belong to the section.
    let trailer = |n: usize| format!("0\r\nX:{}\r\n\r\n", "y".repeat(n - 6));
    let limit = usize::from(TRAILER_LIMIT);
    assert!(matches!(decode(trailer(limit).as_bytes()), Ok(Some(_))));
    assert_eq!(
        decode(trailer(limit + 1).as_bytes()),
        Err(ChunkError::TrailerTooLong)
    );
    assert_eq!(ChunkError::TrailerTooLong.status(), 431);
    assert_eq!(ChunkError::ExtensionTooLong.status(), 413);
}

#[test]
fn largest_chunk_size_is_taken() {
    let mut decoder = ChunkedDecoder::default();
    let step = decoder.advance(b"ffffffffffffffff\r\nabc");
    assert_eq!(step, Ok(ChunkStep::Data { start: 18, end: 21 }));
}

#[test]
fn incomplete_bodies_wait() {
    let body = b"4;a=\"b\"\r\nWiki\r\n0\r\nX: y\r\n\r\n";
    for end in 0..body.len() {
        assert_eq!(decode(&body[..end]), Ok(None), "{end}");
    }
    let mut decoder = ChunkedDecoder::default();
    assert_eq!(
        decoder.advance(b""),
        Ok(ChunkStep::Incomplete { consumed: 0 })
    );
}
