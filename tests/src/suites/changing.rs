//! Files that change while they are sent: never mixed, never filled up, never short without a sign.

use super::files::{folder, soon};
use super::{Case, get};
use crate::client::{Client, End};
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::{Asked, Framing};
use crate::site_fixture::{LiveFolder, replace};
use crate::target::{Features, Target};
use crate::{ensure, fail};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "replacing_during_load_never_mixes",
        needs: Features::LIVE,
        run: replaced_under_load,
    },
    Case {
        name: "replacing_during_a_reply_keeps_the_old_content",
        needs: Features::LIVE,
        run: replaced_during_reply,
    },
    Case {
        name: "truncating_during_a_reply_never_fills_up",
        needs: Features::LIVE,
        run: truncated_during_reply,
    },
    Case {
        name: "truncating_small_files_never_mixes",
        needs: Features::LIVE,
        run: truncated_small,
    },
    Case {
        name: "growing_file_never_gives_more_than_promised",
        needs: Features::LIVE,
        run: growing,
    },
    Case {
        name: "file_that_is_written_all_the_time_gets_a_response_to_each_request",
        needs: Features::LIVE,
        run: written_all_the_time,
    },
];

/// Contents of one letter each, of a length that belongs to the letter: whatever is mixed shows.
fn letters(letter: u8) -> Vec<u8> {
    vec![letter; 3000 + usize::from(letter - b'a') * 70_000]
}

fn replaced_under_load(target: &Target) -> Outcome {
    let folder = folder(target)?;
    let (file, url) = (folder.path.join("f.bin"), format!("{}/f.bin", folder.url));
    replace(&file, &letters(b'a'))?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Outcome {
            for n in 0..150u32 {
                replace(&file, &letters(b'a' + (n % 5) as u8))?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        });
        let readers = scope.spawn(|| {
            super::concurrency::in_threads(4, |_| {
                let mut client = target.connect()?;
                while !done.load(Ordering::Relaxed) {
                    let reply = client.exchange(Asked::Get, get(&url))?.expect(200)?;
                    let letter = reply.body.first().copied().unwrap_or(b'a');
                    ensure!(
                        reply.body == letters(letter),
                        "{} bytes, not all {:?}",
                        reply.body.len(),
                        char::from(letter)
                    );
                    let length = reply.body.len();
                    let tagged = client
                        .exchange(Asked::Head, get(&url).replacen("GET", "HEAD", 1))?
                        .expect(200)?;
                    ensure!(
                        tagged.field("Content-Length").is_some(),
                        "HEAD without length after {length} bytes"
                    );
                }
                Ok(())
            })
        });
        let written = writer
            .join()
            .map_err(|_| crate::failure::Failure::new("the writer panicked"));
        done.store(true, Ordering::Relaxed);
        let read = readers
            .join()
            .map_err(|_| crate::failure::Failure::new("the readers panicked"));
        written
            .and_then(|outcome| outcome)
            .and(read.and_then(|outcome| outcome))
    })
}

const LENGTH: usize = 32 << 20;

/// Starts a reply that does not fit the buffers between server and client.
fn begun(target: &Target, folder: &LiveFolder) -> Outcome<(Client, u64)> {
    fs::write(folder.path.join("f.bin"), pattern::bytes(LENGTH, 0))?;
    let mut client = target.connect_narrow(16_384)?;
    client.send(get(&format!("{}/f.bin", folder.url)))?;
    let head = client.head(Asked::Get, Instant::now() + target.patience())?;
    ensure!(
        head.status == 200 && head.framing == Framing::Length(LENGTH as u64),
        "unexpected {head:?}"
    );
    let first = client.raw(1000)?;
    let count = first.len() as u64;
    ensure!(
        pattern::first_difference(&first, 0, 0).is_none(),
        "wrong from the start"
    );
    Ok((client, count))
}

fn replaced_during_reply(target: &Target) -> Outcome {
    let folder = folder(target)?;
    let (mut client, mut at) = begun(target, &folder)?;
    replace(&folder.path.join("f.bin"), &vec![b'N'; LENGTH])?;
    while at < LENGTH as u64 {
        let piece = client.raw(usize::MAX)?;
        ensure!(
            !piece.is_empty(),
            "the reply ended at {at} of {LENGTH} although the old file can still be read"
        );
        let wrong = pattern::first_difference(&piece, at, 0);
        ensure!(
            wrong.is_none(),
            "old and new content are mixed from {wrong:?} on"
        );
        at += piece.len() as u64;
    }
    ensure!(at == LENGTH as u64, "{at} bytes of {LENGTH}");
    client
        .exchange(Asked::Get, get("/plain.txt"))?
        .expect_body(200, crate::site_fixture::PLAIN)?;
    Ok(())
}

/// What was promised cannot be sent any more: the connection has to end before its length is
/// reached, and no other byte may stand in.
fn truncated_during_reply(target: &Target) -> Outcome {
    let folder = folder(target)?;
    let (mut client, mut at) = begun(target, &folder)?;
    fs::OpenOptions::new()
        .write(true)
        .open(folder.path.join("f.bin"))?
        .set_len(1000)?;
    loop {
        let piece = client.raw(usize::MAX)?;
        if piece.is_empty() {
            break;
        }
        let wrong = pattern::first_difference(&piece, at, 0);
        ensure!(
            wrong.is_none(),
            "bytes that are not the file's from {wrong:?} on"
        );
        at += piece.len() as u64;
    }
    ensure!(at <= LENGTH as u64, "more than was promised");
    // A server that had the whole file in memory may have sent it all; either end will do.
    let end = client.end()?;
    ensure!(matches!(end, End::Fin | End::Reset), "no end");
    soon(
        target,
        &format!("{}/f.bin", folder.url),
        200,
        Some(&pattern::bytes(1000, 0)),
    )?;
    Ok(())
}

fn truncated_small(target: &Target) -> Outcome {
    let folder = folder(target)?;
    let (file, url) = (folder.path.join("f.txt"), format!("{}/f.txt", folder.url));
    let long = [b'L'; 4000];
    for round in 0..20 {
        fs::write(&file, long)?;
        let mut client = target.connect()?;
        client.send(get(&url))?;
        let _ = client.reply(Asked::Get)?.expect(200)?;
        fs::OpenOptions::new()
            .write(true)
            .open(&file)?
            .set_len(10)?;
        // From a cache the old content, from the file the new one; a cut reply ends the connection.
        client.send(get(&url))?;
        match client.reply(Asked::Get) {
            Ok(reply) => {
                let known = reply.body == long || reply.body == long[..10] || reply.body.is_empty();
                ensure!(
                    known,
                    "round {round}: {} bytes that the file never had",
                    reply.body.len()
                );
            }
            Err(_) => drop(client.drain()?),
        }
    }
    Ok(())
}

/// What was promised arrives, or the connection ends before: a server cannot tell bytes that were
/// added from bytes that were overwritten. More, or other bytes, never arrive.
fn growing(target: &Target) -> Outcome {
    use std::io::Write as _;
    let folder = folder(target)?;
    let (mut client, mut at) = begun(target, &folder)?;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(folder.path.join("f.bin"))?;
    file.write_all(&[b'X'; 100_000])?;
    while at < LENGTH as u64 {
        let piece = client.raw(usize::MAX)?;
        if piece.is_empty() {
            client.end()?;
            return target.is_alive();
        }
        let wrong = pattern::first_difference(&piece, at, 0);
        ensure!(wrong.is_none(), "more than was promised, from {wrong:?} on");
        at += piece.len() as u64;
    }
    client
        .exchange(Asked::Get, get("/plain.txt"))?
        .expect_body(200, crate::site_fixture::PLAIN)?;
    Ok(())
}

/// Before the first byte of a response the server can still say that the file is being changed.
fn written_all_the_time(target: &Target) -> Outcome {
    use std::io::Write as _;
    let folder = folder(target)?;
    let (path, url) = (folder.path.join("f.log"), format!("{}/f.log", folder.url));
    fs::write(&path, vec![b'L'; 300_000])?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| -> Outcome {
            let mut file = fs::OpenOptions::new().append(true).open(&path)?;
            while !done.load(Ordering::Relaxed) {
                file.write_all(b"L")?;
            }
            Ok(())
        });
        let read = (0..40).try_for_each(|n| {
            let mut client = target.connect()?;
            client.send(get(&url))?;
            let head = client
                .head(Asked::Get, Instant::now() + target.patience())
                .during(format!("request {n}"))?;
            match head.status {
                200 => Ok(()),
                503 => {
                    ensure!(
                        head.field("Retry-After").is_some(),
                        "503 without Retry-After"
                    );
                    Ok(())
                }
                status => fail!("{status}"),
            }
        });
        done.store(true, Ordering::Relaxed);
        let written = writer
            .join()
            .map_err(|_| crate::failure::Failure::new("the writer panicked"))?;
        written.and(read)
    })
}
