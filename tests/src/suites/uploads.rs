//! Bodies of any size through a handler that takes them as they arrive, in constant memory.

use super::{Case, get, upload_receipt, with_body, with_chunks};
use crate::client::Client;
use crate::ensure;
use crate::failure::{During, Failure, Outcome};
use crate::pattern::{self, Fnv};
use crate::process::private_memory;
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::io::Write as _;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "small_sizes_in_both_framings",
        needs: Features::UPLOAD,
        run: small,
    },
    Case {
        name: "chunks_of_every_small_size",
        needs: Features::UPLOAD,
        run: chunk_sizes,
    },
    Case {
        name: "handler_of_a_body_sees_its_request",
        needs: Features::INSPECT,
        run: inspect,
    },
    Case {
        name: "body_that_is_taken_slowly_arrives_whole_and_delays_nobody",
        needs: Features::INSPECT,
        run: slowly,
    },
    Case {
        name: "body_refused_in_the_middle_gets_its_reason",
        needs: Features::INSPECT,
        run: refused,
    },
    Case {
        name: "length_8_mib",
        needs: Features::UPLOAD,
        run: |target| upload(target, 8 << 20, None),
    },
    Case {
        name: "chunked_8_mib",
        needs: Features::UPLOAD,
        run: |target| upload(target, 8 << 20, Some(100_000)),
    },
    Case {
        name: "huge_length_1_gib",
        needs: Features::UPLOAD,
        run: |target| upload(target, 1 << 30, None),
    },
    Case {
        name: "huge_chunked_1_gib",
        needs: Features::UPLOAD,
        run: |target| upload(target, 1 << 30, Some(250_000)),
    },
    Case {
        name: "memory_stays_constant_during_8_uploads_of_32_mib",
        needs: Features::UPLOAD.and(Features::PROCESS),
        run: memory,
    },
];

/// KiB by which a server's private memory may grow while bodies pass: nothing that depends on
/// their length.
const GROWTH_KIB: u64 = 2048;

fn small(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for length in [
        0, 1, 2, 100, 4095, 4096, 4097, 8191, 8192, 8193, 65_536, 100_001,
    ] {
        let body = pattern::bytes(length, 6);
        let receipt = upload_receipt(&body);
        for request in [
            with_body("PUT", "/upload", &body),
            with_chunks("POST", "/upload", &body, 1000),
        ] {
            client
                .exchange(Asked::Get, request)?
                .expect_body(200, receipt.as_bytes())?;
        }
    }
    client.exchange(Asked::Get, get("/upload"))?.expect(405)?;
    Ok(())
}

fn chunk_sizes(target: &Target) -> Outcome {
    let body = pattern::bytes(3000, 2);
    let receipt = upload_receipt(&body);
    let mut client = target.connect()?;
    for size in (1..40).chain([255, 256, 257, 2999, 3000]) {
        client.send(with_chunks("PUT", "/upload", &body, size))?;
        client
            .reply(Asked::Get)?
            .expect_body(200, receipt.as_bytes())?;
    }
    Ok(())
}

/// `PUT /inspect/NAME?QUERY` with a body, in chunks or with its length.
fn inspected(query: &str, body: &[u8], chunk: Option<usize>) -> (Vec<u8>, String) {
    let path = format!("/inspect/a%20b?x=1&{query}");
    let (mut request, announced) = match chunk {
        Some(size) => (with_chunks("PUT", &path, body, size), "chunks".to_owned()),
        None => (with_body("PUT", &path, body), body.len().to_string()),
    };
    let field = b"X-Test: seen\r\n";
    let line = request.iter().position(|&byte| byte == b'\n').unwrap_or(0) + 1;
    request.splice(line..line, field.iter().copied());
    let receipt = upload_receipt(body);
    let expected =
        format!("name a b\nquery 1+1 = 2\ntest seen\nannounced {announced}\nfields 3\n{receipt}");
    (request, expected)
}

const QUERY: &str = "q=1%2B1+%3d+2";

fn inspect(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for length in [0, 1, 100, 5_000, 40_000] {
        let body = pattern::bytes(length, 3);
        for chunk in [None, Some(7), Some(3000)] {
            let (request, expected) = inspected(QUERY, &body, chunk);
            client.send(request)?;
            client
                .reply(Asked::Get)?
                .expect_body(200, expected.as_bytes())?;
        }
    }
    // In pieces, so that the buffer's content moves.
    let (request, expected) = inspected(QUERY, &pattern::bytes(3_000, 3), None);
    client.send_pieces(&request, 333, Duration::from_millis(2))?;
    client
        .reply(Asked::Get)?
        .expect_body(200, expected.as_bytes())
        .map(drop)
}

fn slowly(target: &Target) -> Outcome {
    for chunk in [None, Some(1000)] {
        let body = pattern::bytes(20_000, 3);
        let (request, expected) = inspected(&format!("wait=10&{QUERY}"), &body, chunk);
        let mut client = target.connect()?;
        client.send(request)?;
        client.send(get("/hello"))?;
        let mut other = target.connect()?;
        for _ in 0..10 {
            other
                .exchange(Asked::Get, get("/hello"))?
                .expect_body(200, b"hello\n")?;
        }
        client
            .reply(Asked::Get)?
            .expect_body(200, expected.as_bytes())?;
        client
            .reply(Asked::Get)?
            .expect_body(200, b"hello\n")
            .during("after it")?;
    }
    Ok(())
}

fn refused(target: &Target) -> Outcome {
    for wait in ["", "wait=10&"] {
        let body = pattern::bytes(20_000, 3);
        let (request, _) = inspected(&format!("{wait}refuse&{QUERY}"), &body, None);
        let mut client = target.connect()?;
        client.send_some(&request);
        let reply = client.reply(Asked::Get)?.expect(422)?;
        ensure!(
            reply.text().contains("refused as asked"),
            "no reason in {:?}",
            reply.text()
        );
        ensure!(reply.head.close, "422 without Connection: close");
        client.expect_fin()?;
    }
    Ok(())
}

/// Sends `length` bytes of the pattern; tells what their receipt should be. `watch` is called now
/// and then.
fn send(
    client: &mut Client,
    length: u64,
    chunk: Option<usize>,
    watch: &mut dyn FnMut() -> Outcome,
) -> Outcome<String> {
    let framing = match chunk {
        Some(_) => "Transfer-Encoding: chunked".to_owned(),
        None => format!("Content-Length: {length}"),
    };
    client.send(format!(
        "PUT /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"
    ))?;
    // A multiple of the pattern's period, so that every piece is the same.
    let piece = pattern::bytes(pattern::PERIOD as usize * 1000, 0);
    let mut sum = Fnv::default();
    let (mut sent, mut pieces) = (0u64, 0u64);
    let mut sender = client.sender()?;
    while sent < length {
        let part = &piece[..piece
            .len()
            .min(usize::try_from(length - sent).unwrap_or(usize::MAX))];
        match chunk {
            Some(size) => {
                for chunk in part.chunks(size) {
                    sender.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                    sender.write_all(chunk)?;
                    sender.write_all(b"\r\n")?;
                }
            }
            None => sender.write_all(part)?,
        }
        sum.add(part);
        sent += part.len() as u64;
        pieces += 1;
        if pieces.is_multiple_of(64) {
            watch()?;
        }
    }
    if chunk.is_some() {
        sender.write_all(b"0\r\n\r\n")?;
    }
    Ok(format!("{length} {:016x}\n", sum.0))
}

fn upload(target: &Target, length: u64, chunk: Option<usize>) -> Outcome {
    let before = target.pid.map(private_memory).transpose()?;
    let mut most = before.unwrap_or(0);
    let mut client = target.connect()?;
    client.set_patience(Duration::from_secs(60));
    let receipt = send(&mut client, length, chunk, &mut || {
        if let Some(pid) = target.pid {
            most = most.max(private_memory(pid)?);
        }
        Ok(())
    })?;
    client
        .reply(Asked::Get)?
        .expect_body(200, receipt.as_bytes())?;
    client.exchange(Asked::Get, get("/upload"))?.expect(405)?;
    let before = before.unwrap_or(0);
    ensure!(
        most <= before + GROWTH_KIB,
        "private memory grew from {before} to {most} KiB"
    );
    Ok(())
}

fn memory(target: &Target) -> Outcome {
    let Some(pid) = target.pid else {
        crate::fail!("no process to look at")
    };
    let before = private_memory(pid)?;
    let most = std::thread::scope(|scope| -> Outcome<u64> {
        let uploads: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || -> Outcome<u64> {
                    let mut client = target.connect()?;
                    client.set_patience(Duration::from_secs(60));
                    let mut most = 0;
                    let receipt = send(
                        &mut client,
                        32 << 20,
                        (n % 2 == 0).then_some(10_000),
                        &mut || {
                            most = most.max(private_memory(pid)?);
                            Ok(())
                        },
                    )?;
                    client
                        .reply(Asked::Get)?
                        .expect_body(200, receipt.as_bytes())?;
                    Ok(most)
                })
            })
            .collect();
        let mut most = 0;
        for upload in uploads {
            most = most.max(
                upload
                    .join()
                    .map_err(|_| Failure::new("an uploading thread panicked"))??,
            );
        }
        Ok(most)
    })?;
    ensure!(
        most <= before + GROWTH_KIB,
        "private memory grew from {before} to {most} KiB"
    );
    Ok(())
}
