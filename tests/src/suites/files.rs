//! Files that are large, that change, and that change while they are sent.

use super::{Case, get};
use crate::client::{Client, End};
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::{Asked, Framing};
use crate::site_fixture::{BIG, LiveFolder, live_folder, replace};
use crate::target::{Features, Target};
use crate::{ensure, fail};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "big_file_whole",
        needs: Features::LIVE,
        run: big,
    },
    Case {
        name: "big_file_to_many_slow_readers",
        needs: Features::LIVE,
        run: big_to_many,
    },
    Case {
        name: "sizes_around_buffers",
        needs: Features::LIVE,
        run: sizes,
    },
    Case {
        name: "replaced_file_is_seen_soon",
        needs: Features::LIVE,
        run: replaced,
    },
    Case {
        name: "replaced_file_of_the_same_size_is_seen_soon",
        needs: Features::LIVE,
        run: replaced_same_size,
    },
    Case {
        name: "new_and_removed_files_are_seen_soon",
        needs: Features::LIVE,
        run: comes_and_goes,
    },
    Case {
        name: "file_that_becomes_a_directory_is_seen_soon",
        needs: Features::LIVE,
        run: becomes_directory,
    },
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
];

/// A change is seen after a second at the latest; the rest is for a busy machine.
const SOON: Duration = Duration::from_millis(2000);

fn folder(target: &Target) -> Outcome<LiveFolder> {
    match &target.site {
        Some(site) => live_folder(site, "files"),
        None => fail!("no site directory"),
    }
}

fn read_big(client: &mut Client, pause: Duration) -> Outcome {
    client.set_patience(Duration::from_secs(60));
    client.send(get("/big.bin"))?;
    let mut at = 0;
    let (head, _) = client.reply_to(Asked::Get, &mut |piece| {
        let wrong = pattern::first_difference(piece, at, BIG.1);
        ensure!(wrong.is_none(), "big.bin differs at {wrong:?}");
        at += piece.len() as u64;
        std::thread::sleep(pause);
        Ok(())
    })?;
    ensure!(
        head.status == 200 && at == BIG.0,
        "{} with {at} bytes",
        head.status
    );
    Ok(())
}

fn big(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    read_big(&mut client, Duration::ZERO)?;
    read_big(&mut client, Duration::ZERO)?;
    client
        .exchange(Asked::Get, get("/plain.txt"))?
        .expect_body(200, crate::site_fixture::PLAIN)?;
    Ok(())
}

fn big_to_many(target: &Target) -> Outcome {
    super::concurrency::in_threads(6, |n| {
        let mut client = Client::connect_narrow(target.address, 65_536)?;
        read_big(&mut client, Duration::from_micros(200 * n as u64))
    })
}

fn sizes(target: &Target) -> Outcome {
    let folder = folder(target)?;
    let mut client = target.connect()?;
    for around in [
        1usize,
        1024,
        2048,
        4096,
        8192,
        16_384,
        32_768,
        65_536,
        131_072,
        1 << 20,
    ] {
        for length in [around - 1, around, around + 1] {
            let content = pattern::bytes(length, around as u64);
            let name = format!("{length}.bin");
            fs::write(folder.path.join(&name), &content)?;
            for _ in 0..2 {
                let reply = client.exchange(Asked::Get, get(&format!("{}/{name}", folder.url)))?;
                reply
                    .expect_body(200, &content)
                    .during(format!("{length} bytes"))?;
            }
        }
    }
    Ok(())
}

/// Asks until the reply is as `wanted`.
fn soon(
    target: &Target,
    path: &str,
    status: u16,
    body: Option<&[u8]>,
) -> Outcome<crate::client::Reply> {
    let start = Instant::now();
    loop {
        let reply = target.get(path).during(format!("{path} after a change"))?;
        if reply.status() == status && body.is_none_or(|body| reply.body == body) {
            return Ok(reply);
        }
        ensure!(
            start.elapsed() < SOON,
            "{path} is still {} with {} bytes after {SOON:?}",
            reply.status(),
            reply.body.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn change(target: &Target, first: &[u8], second: &[u8]) -> Outcome {
    let folder = folder(target)?;
    let (file, url) = (folder.path.join("f.txt"), format!("{}/f.txt", folder.url));
    fs::write(&file, first)?;
    let before = target.get(&url)?.expect_body(200, first)?;
    let tag = before.field("ETag").unwrap_or_default().to_owned();
    replace(&file, second)?;
    let after = soon(target, &url, 200, Some(second))?;
    ensure!(
        after.field("ETag") != Some(&tag),
        "two contents have the ETag {tag}"
    );
    // And not back to the old one, whichever worker answers.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        soon(target, &url, 200, Some(second))?;
    }
    target
        .ask("GET", &url, &format!("If-None-Match: {tag}\r\n"))?
        .expect_body(200, second)?;
    Ok(())
}

fn replaced(target: &Target) -> Outcome {
    change(target, b"first", b"second, longer")?;
    change(target, &pattern::bytes(300_000, 1), b"short")?;
    change(target, b"", b"no longer empty")
}

fn replaced_same_size(target: &Target) -> Outcome {
    change(target, b"one", b"two")?;
    change(
        target,
        &pattern::bytes(100_000, 1),
        &pattern::bytes(100_000, 2),
    )
}

fn comes_and_goes(target: &Target) -> Outcome {
    let folder = folder(target)?;
    let (file, url) = (folder.path.join("f.txt"), format!("{}/f.txt", folder.url));
    target.get(&url)?.expect(404)?;
    fs::write(&file, "here")?;
    soon(target, &url, 200, Some(b"here"))?;
    fs::remove_file(&file)?;
    soon(target, &url, 404, None)?;
    Ok(())
}

fn becomes_directory(target: &Target) -> Outcome {
    let folder = folder(target)?;
    let (file, url) = (folder.path.join("thing"), format!("{}/thing", folder.url));
    fs::write(&file, "file")?;
    target.get(&url)?.expect_body(200, b"file")?;
    fs::remove_file(&file)?;
    fs::create_dir(&file)?;
    fs::write(file.join("index.html"), "index")?;
    soon(target, &url, 301, None)?;
    soon(target, &(url + "/"), 200, Some(b"index"))?;
    Ok(())
}

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
    let mut client = Client::connect_narrow(target.address, 16_384)?;
    client.send(get(&format!("{}/f.bin", folder.url)))?;
    let head = client.head(Asked::Get, Instant::now() + crate::client::PATIENCE)?;
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
