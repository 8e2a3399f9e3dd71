//! Replies larger than any buffer, to readers of any speed.

use super::{Case, get};
use crate::client::Client;
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::pattern;
use crate::reply::{Asked, Framing};
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "chunked_of_all_sizes",
        needs: Features::STREAM,
        run: |target| sizes(target, "stream"),
    },
    Case {
        name: "with_length_of_all_sizes",
        needs: Features::STREAM,
        run: |target| sizes(target, "sized"),
    },
    Case {
        name: "framing_is_as_promised",
        needs: Features::STREAM,
        run: framing,
    },
    Case {
        name: "large_to_a_slow_reader",
        needs: Features::STREAM,
        run: slow_reader,
    },
    Case {
        name: "large_to_a_reader_of_few_bytes_at_a_time",
        needs: Features::STREAM,
        run: narrow_reader,
    },
    Case {
        name: "head_has_no_content",
        needs: Features::STREAM,
        run: head,
    },
    Case {
        name: "long_streams_do_not_hold_up_others",
        needs: Features::STREAM.and(Features::ROUTES),
        run: fairness,
    },
    Case {
        name: "drip_arrives_as_it_is_made",
        needs: Features::DRIP,
        run: drip,
    },
    Case {
        name: "drips_side_by_side",
        needs: Features::DRIP,
        run: drips,
    },
    Case {
        name: "client_gone_while_dripping",
        needs: Features::DRIP.and(Features::ROUTES),
        run: gone_while_dripping,
    },
];

fn sizes(target: &Target, route: &str) -> Outcome {
    let mut client = target.connect()?;
    let around = [1usize, 16, 256, 2048, 4096, 8192, 65_536];
    for length in around
        .iter()
        .flat_map(|&size| [size - 1, size, size + 1])
        .chain([7000, 8000, 8100, 8170, 1_000_000])
    {
        let reply = client.exchange(Asked::Get, get(&format!("/{route}/{length}/3")))?;
        reply
            .expect_body(200, &pattern::bytes(length, 3))
            .during(format!("{length} bytes"))?;
    }
    client
        .exchange(Asked::Get, get(&format!("/{route}/1000")))?
        .expect_body(200, &pattern::bytes(1000, 0))?;
    client
        .exchange(Asked::Get, get(&format!("/{route}/x")))?
        .expect(400)?;
    Ok(())
}

fn framing(target: &Target) -> Outcome {
    let reply = target.get("/stream/100")?;
    ensure!(
        reply.head.framing == Framing::Chunked,
        "/stream is framed as {:?}",
        reply.head.framing
    );
    let reply = target.get("/sized/100")?;
    ensure!(
        reply.head.framing == Framing::Length(100),
        "/sized is framed as {:?}",
        reply.head.framing
    );
    Ok(())
}

fn read(client: &mut Client, length: u64, pause: Duration) -> Outcome {
    client.set_patience(Duration::from_secs(60));
    client.send(get(&format!("/stream/{length}/1")))?;
    let mut at = 0;
    client.reply_to(Asked::Get, &mut |piece| {
        let wrong = pattern::first_difference(piece, at, 1);
        ensure!(wrong.is_none(), "the content differs at {wrong:?}");
        at += piece.len() as u64;
        std::thread::sleep(pause);
        Ok(())
    })?;
    ensure!(at == length, "{at} of {length} bytes");
    Ok(())
}

fn slow_reader(target: &Target) -> Outcome {
    let length = target.load(40 << 20) as u64;
    read(&mut target.connect()?, length, Duration::from_micros(100))
}

fn narrow_reader(target: &Target) -> Outcome {
    read(
        &mut target.connect_narrow(2048)?,
        target.load(4 << 20) as u64,
        Duration::from_micros(50),
    )
}

fn head(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for path in ["/stream/100000", "/sized/100000"] {
        client
            .exchange(Asked::Head, get(path).replacen("GET", "HEAD", 1))?
            .expect_body(200, b"")?;
        client
            .exchange(Asked::Get, get("/sized/3"))?
            .expect_body(200, &[0, 1, 2])?;
    }
    Ok(())
}

/// While clients pull streams as fast as they can, a short request is answered in bounded time.
fn fairness(target: &Target) -> Outcome {
    std::thread::scope(|scope| {
        let readers = scope.spawn(|| {
            super::concurrency::in_threads(4, |_| {
                let length = target.load(100 << 20) as u64;
                read(&mut target.connect()?, length, Duration::ZERO)
            })
        });
        let mut worst = Duration::ZERO;
        while !readers.is_finished() {
            let start = Instant::now();
            target.get("/hello")?.expect(200)?;
            worst = worst.max(start.elapsed());
        }
        readers
            .join()
            .map_err(|_| crate::failure::Failure::new("the readers panicked"))??;
        ensure!(
            worst < Duration::from_secs(10) + target.delay(),
            "a short request waited {worst:?} behind long streams"
        );
        Ok(())
    })
}

fn drip(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    client.send(get("/drip/5/100"))?;
    let start = Instant::now();
    let (mut first, mut body) = (None, Vec::new());
    client.reply_to(Asked::Get, &mut |piece| {
        first.get_or_insert_with(|| start.elapsed());
        body.extend_from_slice(piece);
        Ok(())
    })?;
    ensure!(
        body == b"0\n1\n2\n3\n4\n",
        "the drips were {}",
        crate::failure::show(&body)
    );
    let (first, all) = (first.unwrap_or_default(), start.elapsed());
    ensure!(
        all >= Duration::from_millis(400),
        "five drips took only {all:?}"
    );
    ensure!(
        first + Duration::from_millis(200) < all,
        "the first drip came at {first:?}, the last at {all:?}"
    );
    client
        .exchange(Asked::Get, get("/drip/0/10"))?
        .expect_body(200, b"")?;
    Ok(())
}

fn drips(target: &Target) -> Outcome {
    super::concurrency::in_threads(target.share(20), |n| {
        let lines = 3 + n % 5;
        let expected: String = (0..lines).map(|line| format!("{line}\n")).collect();
        let mut client = target.connect()?;
        client.send(get(&format!("/drip/{lines}/{}", 5 + n)).repeat(2))?;
        for _ in 0..2 {
            client
                .reply(Asked::Get)?
                .expect_body(200, expected.as_bytes())?;
        }
        Ok(())
    })
}

fn gone_while_dripping(target: &Target) -> Outcome {
    for n in 0..target.share(30) {
        let mut client = target.connect()?;
        client.send(get("/drip/1000/20"))?;
        client.raw(100)?;
        if n % 2 == 0 {
            client.reset()?
        } else {
            drop(client)
        }
    }
    std::thread::sleep(Duration::from_millis(200));
    target.is_alive()
}
