//! Ranges of static files (RFC 9110 section 14).

use super::Case;
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern::{self, Random};
use crate::reply::Asked;
use crate::site_fixture::{BIG, PATTERN, PLAIN};
use crate::target::{Features, Target};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "one_range",
        needs: Features::SITE,
        run: one,
    },
    Case {
        name: "unsatisfiable_ranges",
        needs: Features::SITE,
        run: unsatisfiable,
    },
    Case {
        name: "what_is_no_range_is_ignored",
        needs: Features::SITE,
        run: ignored,
    },
    Case {
        name: "several_ranges_come_as_parts_in_the_order_asked_for",
        needs: Features::SITE,
        run: several,
    },
    Case {
        name: "ranges_that_touch_become_one",
        needs: Features::SITE,
        run: touching,
    },
    Case {
        name: "sets_that_cost_more_than_they_save_get_the_whole",
        needs: Features::SITE,
        run: costly,
    },
    Case {
        name: "parts_at_and_past_their_limit",
        needs: Features::SITE,
        run: parts_limit,
    },
    Case {
        name: "parts_depend_on_conditions_as_one_range_does",
        needs: Features::SITE,
        run: parts_on_conditions,
    },
    Case {
        name: "parts_are_pipelined_and_read_slowly",
        needs: Features::SITE,
        run: parts_in_pieces,
    },
    Case {
        name: "parts_of_a_big_file",
        needs: Features::LIVE,
        run: parts_of_a_big_file,
    },
    Case {
        name: "ranges_of_an_empty_file_are_all_of_it",
        needs: Features::SITE,
        run: empty,
    },
    Case {
        name: "head_ignores_range",
        needs: Features::SITE,
        run: head,
    },
    Case {
        name: "accept_ranges_is_told",
        needs: Features::SITE,
        run: accept_ranges,
    },
    Case {
        name: "ranges_around_buffer_sizes",
        needs: Features::SITE,
        run: around_buffers,
    },
    Case {
        name: "big_file_by_ranges",
        needs: Features::LIVE,
        run: big,
    },
];

fn range(target: &Target, path: &str, value: &str) -> Outcome<crate::client::Reply> {
    target
        .ask("GET", path, &format!("Range: {value}\r\n"))
        .during(value)
}

fn one(target: &Target) -> Outcome {
    for (value, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-35", 0, 35),
        ("bytes=5-9", 5, 9),
        ("bytes=35-35", 35, 35),
        ("bytes=30-", 30, 35),
        ("bytes=0-", 0, 35),
        ("bytes=-1", 35, 35),
        ("bytes=-6", 30, 35),
        ("bytes=-36", 0, 35),
        // Clamped: to the end, and to the start.
        ("bytes=30-36", 30, 35),
        ("bytes=30-18446744073709551615", 30, 35),
        ("bytes=-37", 0, 35),
        ("bytes=-18446744073709551615", 0, 35),
        ("Bytes=5-9", 5, 9),
        ("bytes=05-009", 5, 9),
    ] {
        let reply = range(target, "/plain.txt", value)?;
        reply
            .clone()
            .expect_body(206, &PLAIN[first..=last])
            .during(value)?;
        let told = reply.field("Content-Range");
        ensure!(
            told == Some(&format!("bytes {first}-{last}/36")),
            "{value}: Content-Range is {told:?}"
        );
        ensure!(reply.field("ETag").is_some(), "{value}: 206 without ETag");
    }
    Ok(())
}

fn unsatisfiable(target: &Target) -> Outcome {
    for value in [
        "bytes=36-",
        "bytes=36-36",
        "bytes=99-200",
        "bytes=-0",
        "bytes=18446744073709551615-",
    ] {
        let reply = range(target, "/plain.txt", value)?
            .expect(416)
            .during(value)?;
        let told = reply.field("Content-Range");
        ensure!(
            told == Some("bytes */36"),
            "{value}: Content-Range is {told:?}"
        );
    }
    Ok(())
}

/// Section 14.2: an invalid Range, or one of an unknown unit, is as good as none; RFC 9110 section
/// 14.1.1 calls a last position before the first invalid. 416 is allowed for those by older rules
/// only, and 206 never.
fn ignored(target: &Target) -> Outcome {
    for value in [
        "bytes=9-5",
        "bytes=",
        "bytes",
        "bytes=-",
        "bytes=a-b",
        "bytes=5",
        "bytes=1-2-3",
        "bytes 0-4",
        "bytes=0x0-4",
        "lines=0-4",
        "=0-4",
        "bytes=+0-4",
        "bytes=--4",
        "bytes=0-4;x",
        "",
    ] {
        range(target, "/plain.txt", value)?
            .expect_body(200, PLAIN)
            .during(value)?;
    }
    Ok(())
}

/// A part: its first byte and its content.
type Part = (u64, Vec<u8>);

/// The parts of a `multipart/byteranges` response (RFC 9110 section 14.6) of a representation of
/// `length` bytes and this media type, read as strictly as can be.
fn parts_of(reply: &crate::client::Reply, length: u64, media_type: &str) -> Outcome<Vec<Part>> {
    let told = reply.field("Content-Type").unwrap_or_default();
    let Some(boundary) = told.strip_prefix("multipart/byteranges; boundary=") else {
        crate::fail!("several ranges are answered with {told:?}");
    };
    ensure!(
        (16..=70).contains(&boundary.len())
            && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "the boundary is {boundary:?}"
    );
    ensure!(
        reply.field("Content-Range").is_none(),
        "Content-Range beside parts that have their own"
    );
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let content = [b"\r\n", &reply.body[..]].concat();
    let Some(mut rest) = content.strip_prefix(&delimiter[..]) else {
        crate::fail!("the content does not begin with a delimiter");
    };
    let find =
        |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let mut parts = Vec::new();
    while rest != b"--\r\n" {
        let Some(end) = find(rest, b"\r\n\r\n").filter(|_| rest.starts_with(b"\r\n")) else {
            crate::fail!("a part has no head");
        };
        let head = String::from_utf8_lossy(&rest[2..end]).into_owned();
        let lines: Vec<&str> = head.split("\r\n").collect();
        ensure!(
            lines.len() == 2 && lines[0] == format!("Content-Type: {media_type}"),
            "a part's head is {head:?}"
        );
        let numbers = lines[1]
            .strip_prefix("Content-Range: bytes ")
            .and_then(|range| range.strip_suffix(&format!("/{length}")))
            .and_then(|range| range.split_once('-'));
        let Some((Ok(first), Ok(last))) =
            numbers.map(|(first, last)| (first.parse::<u64>(), last.parse::<u64>()))
        else {
            crate::fail!("a part's head is {head:?}");
        };
        let content = &rest[end + 4..];
        let count = (last + 1).saturating_sub(first) as usize;
        ensure!(
            content.len() > count && content[count..].starts_with(&delimiter),
            "a delimiter does not follow the {count} bytes of {}",
            lines[1]
        );
        parts.push((first, content[..count].to_vec()));
        rest = &content[count + delimiter.len()..];
    }
    Ok(parts)
}

/// What `/plain.txt` has from `first` to `last`.
fn plain(first: usize, last: usize) -> Part {
    (first as u64, PLAIN[first..=last].to_vec())
}

fn several(target: &Target) -> Outcome {
    for (value, expected) in [
        ("bytes=0-4,10-14", &[(0, 4), (10, 14)][..]),
        ("bytes=10-14,0-4", &[(10, 14), (0, 4)]),
        ("bytes=0-4, 10-14 ,,-5", &[(0, 4), (10, 14), (31, 35)]),
        ("bytes=-1,0-0", &[(35, 35), (0, 0)]),
        ("bytes=30-,0-0", &[(30, 35), (0, 0)]),
        ("bytes=0-4,99-100,10-14", &[(0, 4), (10, 14)]),
    ] {
        let reply = range(target, "/plain.txt", value)?
            .expect(206)
            .during(value)?;
        let media_type = target.get("/plain.txt")?;
        let media_type = media_type
            .field("Content-Type")
            .unwrap_or_default()
            .to_owned();
        let parts = parts_of(&reply, 36, &media_type).during(value)?;
        let expected: Vec<Part> = expected.iter().map(|&(from, to)| plain(from, to)).collect();
        ensure!(parts == expected, "{value} is answered with {parts:?}");
        for name in ["ETag", "Accept-Ranges"] {
            ensure!(reply.field(name).is_some(), "{value}: 206 without {name}");
        }
    }
    Ok(())
}

fn touching(target: &Target) -> Outcome {
    for (value, first, last) in [
        ("bytes=0-4,5-9", 0, 9),
        ("bytes=5-9,0-4", 0, 9),
        ("bytes=0-9,5-14", 0, 14),
        ("bytes=0-4,0-4", 0, 4),
        ("bytes=0-4,10-14,5-9", 0, 14),
        ("bytes=0-4,99-100", 0, 4),
        ("bytes=-0,0-4", 0, 4),
    ] {
        let reply = range(target, "/plain.txt", value)?
            .expect_body(206, &PLAIN[first..=last])
            .during(value)?;
        let told = reply.field("Content-Range");
        ensure!(
            told == Some(&format!("bytes {first}-{last}/36")),
            "{value}: Content-Range is {told:?}"
        );
    }
    range(target, "/plain.txt", "bytes=99-,100-200")?.expect(416)?;
    Ok(())
}

/// RFC 9110 section 14.2: overlapping and many small ranges are how a client has a server send more
/// than there is.
fn costly(target: &Target) -> Outcome {
    let many = (0..400)
        .map(|n| format!("{n}-"))
        .collect::<Vec<_>>()
        .join(",");
    for value in ["0-,0-,0-", "0-20,10-35", "0-,-1", "0-9,20-29,x", &many] {
        range(target, "/plain.txt", &format!("bytes={value}"))?
            .expect_body(200, PLAIN)
            .during(value)?;
    }
    Ok(())
}

fn parts_limit(target: &Target) -> Outcome {
    let value = |count: usize| {
        let ranges: Vec<String> = (0..count)
            .map(|n| format!("{}-{}", 1_000 * n, 1_000 * n + 9))
            .collect();
        format!("bytes={}", ranges.join(","))
    };
    let whole = pattern::bytes(PATTERN.0, PATTERN.1);
    range(target, "/pattern.bin", &value(17))?
        .expect_body(200, &whole)
        .during("17 parts")?;
    let reply = range(target, "/pattern.bin", &value(16))?;
    // A buffer may be too small for the heads of so many.
    if reply.status() == 200 && target.limit("head_bytes")? < 2_048 {
        reply.expect_body(200, &whole)?;
        return Ok(());
    }
    let parts = parts_of(
        &reply.expect(206)?,
        PATTERN.0 as u64,
        "application/octet-stream",
    )?;
    let expected: Vec<Part> = (0..16)
        .map(|n| (1_000 * n as u64, whole[1_000 * n..1_000 * n + 10].to_vec()))
        .collect();
    ensure!(parts == expected, "16 ranges are answered with {parts:?}");
    Ok(())
}

fn parts_on_conditions(target: &Target) -> Outcome {
    let tag = target.get("/plain.txt")?;
    let tag = tag.field("ETag").unwrap_or_default().to_owned();
    for (line, status) in [
        (format!("If-Range: {tag}"), 206),
        ("If-Range: \"other\"".into(), 200),
        (format!("If-None-Match: {tag}"), 304),
        ("If-Match: \"other\"".into(), 412),
    ] {
        target
            .ask(
                "GET",
                "/plain.txt",
                &format!("{line}\r\nRange: bytes=0-1,5-6\r\n"),
            )?
            .expect(status)
            .during(line)?;
    }
    Ok(())
}

fn parts_in_pieces(target: &Target) -> Outcome {
    let whole = pattern::bytes(PATTERN.0, PATTERN.1);
    let request = |range: &str| {
        format!("GET /pattern.bin HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n")
    };
    let slice = |from: usize, to: usize| (from as u64, whole[from..=to].to_vec());
    let mut client = crate::client::Client::connect_narrow(target.address, 2_048)?;
    client.set_patience(target.patience());
    client.send(
        request("60000-69999,0-4,30000-39999")
            + &super::get("/plain.txt")
            + &request("1-1,3-3")
            + &super::get("/plain.txt"),
    )?;
    let length = PATTERN.0 as u64;
    let first = client.reply(Asked::Get)?.expect(206)?;
    let parts = parts_of(&first, length, "application/octet-stream")?;
    ensure!(
        parts == [slice(60_000, 69_999), slice(0, 4), slice(30_000, 39_999)],
        "the parts are others"
    );
    client.reply(Asked::Get)?.expect_body(200, PLAIN)?;
    let second = client.reply(Asked::Get)?.expect(206)?;
    ensure!(
        parts_of(&second, length, "application/octet-stream")? == [slice(1, 1), slice(3, 3)],
        "the parts are others"
    );
    client.reply(Asked::Get)?.expect_body(200, PLAIN)?;
    Ok(())
}

fn parts_of_a_big_file(target: &Target) -> Outcome {
    let (from, to) = (BIG.0 / 2, BIG.0 / 2 + 2_000_000);
    let value = format!("bytes={from}-{to},0-99999,-7");
    let reply = range(target, "/big.bin", &value)?.expect(206)?;
    let parts = parts_of(&reply, BIG.0, "application/octet-stream")?;
    let firsts: Vec<u64> = parts.iter().map(|part| part.0).collect();
    ensure!(
        firsts == [from, 0, BIG.0 - 7],
        "the parts begin at {firsts:?}"
    );
    for (first, bytes) in &parts {
        let wrong = pattern::first_difference(bytes, *first, BIG.1);
        ensure!(
            wrong.is_none(),
            "the part from {first} differs at {wrong:?}"
        );
    }
    let lengths: Vec<usize> = parts.iter().map(|part| part.1.len()).collect();
    ensure!(
        lengths == [2_000_001, 100_000, 7],
        "the parts have {lengths:?} bytes"
    );
    Ok(())
}

fn empty(target: &Target) -> Outcome {
    target.get("/empty.txt")?.expect_body(200, b"")?;
    for value in [
        "bytes=0-",
        "bytes=0-0",
        "bytes=0-4",
        "bytes=-5",
        "bytes=-0",
        "bytes=0-,-1",
    ] {
        let reply = range(target, "/empty.txt", value)?
            .expect_body(200, b"")
            .during(value)?;
        let told = reply.field("Content-Range");
        ensure!(told.is_none(), "{value}: Content-Range is {told:?}");
    }
    // Of a file that was longer once.
    range(target, "/empty.txt", "bytes=5-")?.expect(416)?;
    Ok(())
}

/// RFC 9110 section 14.2: range handling is defined for GET only.
fn head(target: &Target) -> Outcome {
    for value in ["bytes=0-4", "bytes=0-4,10-14", "bytes=99-"] {
        let reply = target
            .ask("HEAD", "/plain.txt", &format!("Range: {value}\r\n"))?
            .expect(200)
            .during(value)?;
        ensure!(
            reply.field("Content-Length") == Some("36") && reply.field("Content-Range").is_none(),
            "HEAD with {value} tells {:?}",
            reply.field("Content-Length")
        );
    }
    Ok(())
}

fn accept_ranges(target: &Target) -> Outcome {
    let reply = target.get("/plain.txt")?;
    ensure!(
        reply.field("Accept-Ranges") == Some("bytes"),
        "Accept-Ranges is {:?}",
        reply.field("Accept-Ranges")
    );
    Ok(())
}

fn around_buffers(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for size in [2048usize, 4096, 8192, 16_384, 65_536] {
        for (from, to) in [
            (0, size - 2),
            (0, size - 1),
            (0, size),
            (size - 1, size + 1),
            (size, size),
            (1, size),
            (size, PATTERN.0 - 1),
        ] {
            let request =
                format!("GET /pattern.bin HTTP/1.1\r\nHost: a\r\nRange: bytes={from}-{to}\r\n\r\n");
            let mut expected = vec![0; to + 1 - from];
            pattern::fill(&mut expected, from as u64, PATTERN.1);
            client
                .exchange(Asked::Get, request)?
                .expect_body(206, &expected)
                .during(format!("{from}-{to}"))?;
        }
    }
    Ok(())
}

fn big(target: &Target) -> Outcome {
    let mut random = Random::new(64);
    let mut client = target.connect()?;
    for n in 0..60 {
        let from = random.bits() % BIG.0;
        let to = if n % 10 == 0 {
            from + 4_000_000
        } else {
            from + random.bits() % 100_000
        }
        .min(BIG.0 - 1);
        client.send(format!(
            "GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes={from}-{to}\r\n\r\n"
        ))?;
        let reply = client.reply(Asked::Get)?.expect(206)?;
        ensure!(
            reply.body.len() as u64 == to + 1 - from,
            "{from}-{to}: {} bytes",
            reply.body.len()
        );
        let wrong = pattern::first_difference(&reply.body, from, BIG.1);
        ensure!(wrong.is_none(), "{from}-{to}: differs at {wrong:?}");
    }
    Ok(())
}
