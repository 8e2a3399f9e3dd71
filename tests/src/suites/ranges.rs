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
        name: "several_ranges_never_get_the_first_alone",
        needs: Features::SITE,
        run: several,
    },
    Case {
        name: "ranges_of_an_empty_file",
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

/// Several ranges get the whole representation here, `multipart/byteranges` would be right too;
/// what overlaps or is partly unsatisfiable as well.
fn several(target: &Target) -> Outcome {
    for value in [
        "bytes=0-4,10-14",
        "bytes=0-4, 10-14, -5",
        "bytes=0-0,-1",
        "bytes=0-9,5-14",
        "bytes=0-4,0-4",
        "bytes=0-4,99-100",
    ] {
        let reply = range(target, "/plain.txt", value)?;
        let multipart = reply
            .field("Content-Type")
            .is_some_and(|kind| kind.starts_with("multipart/byteranges"));
        match reply.status() {
            200 => drop(reply.expect_body(200, PLAIN).during(value)?),
            206 if multipart => {}
            // Only one of the ranges can be satisfied: then a single part is right.
            206 if value.ends_with("99-100") => {
                drop(reply.expect_body(206, &PLAIN[..5]).during(value)?)
            }
            status => crate::fail!("{value} was answered with {status}"),
        }
    }
    // Many small ranges are an attack; the reply stays small.
    let many = format!(
        "bytes={}",
        (0..400)
            .map(|n| format!("{n}-"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let reply = range(target, "/plain.txt", &many)?;
    ensure!(
        reply.body.len() <= 100_000,
        "400 overlapping ranges were answered with {} bytes",
        reply.body.len()
    );
    Ok(())
}

fn empty(target: &Target) -> Outcome {
    target.get("/empty.txt")?.expect_body(200, b"")?;
    for value in ["bytes=0-", "bytes=0-0", "bytes=0-4"] {
        let reply = range(target, "/empty.txt", value)?.expect(416)?;
        let told = reply.field("Content-Range");
        ensure!(
            told == Some("bytes */0"),
            "{value}: Content-Range is {told:?}"
        );
    }
    // A suffix of nothing: unsatisfiable, or the whole that is nothing.
    let reply = range(target, "/empty.txt", "bytes=-5")?;
    ensure!(
        [200, 416].contains(&reply.status()),
        "a suffix of an empty file was answered with {}",
        reply.status()
    );
    Ok(())
}

fn head(target: &Target) -> Outcome {
    let reply = target
        .ask("HEAD", "/plain.txt", "Range: bytes=0-4\r\n")?
        .expect(200)?;
    ensure!(
        reply.field("Content-Length") == Some("36"),
        "HEAD with Range tells {:?}",
        reply.field("Content-Length")
    );
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
