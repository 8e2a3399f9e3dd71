//! Files that are large, and files that change between requests.

use super::{Case, get};
use crate::client::Client;
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::Asked;
use crate::site_fixture::{BIG, LiveFolder, live_folder, replace};
use crate::target::{Features, Target};
use crate::{ensure, fail};
use std::fs;
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
];

/// A change is seen after a second at the latest; the rest is for a busy machine.
const SOON: Duration = Duration::from_millis(3000);

/// A folder of its own for a case.
pub fn folder(target: &Target) -> Outcome<LiveFolder> {
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
        let mut client = target.connect_narrow(65_536)?;
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
pub fn soon(
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
    let start = Instant::now();
    let after = soon(target, &url, 200, Some(second))?;
    ensure!(
        after.field("ETag") != Some(&tag),
        "two contents have the ETag {tag}"
    );
    // Each worker may look after a second of its own; then none gives the old content any more.
    std::thread::sleep(SOON.saturating_sub(start.elapsed()));
    for _ in 0..20 {
        target.get(&url)?.expect_body(200, second)?;
        let fields = format!("If-None-Match: {tag}\r\n");
        target.ask("GET", &url, &fields)?.expect_body(200, second)?;
    }
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
