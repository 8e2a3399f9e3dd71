//! Frames that are wrong in every way: the image goes on as if they had never come.

use crate::bench::{self, Bench};
use crate::frames::{self, IPV4_HEAD, TCP_HEAD};
use capuchin_tests::ensure;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::pattern::Random;
use capuchin_tests::standalone::hello;
use smoltcp::wire::TcpControl;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Frames that are put on the wire between two requests, and how often.
const EACH: usize = 50;
const ROUNDS: usize = 200;

/// For a reply beside them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than Ethernet has them.
const LONGEST: usize = 9_000;

/// Random bytes, frames with fields turned, cut or lengthened ones, and segments of a connection that its
/// client never sent.
pub fn junk(image: &Path) -> Outcome {
    bench::with(image, |bench| {
        let mut client = bench.connect(PATIENCE)?;
        hello(&mut client)?;
        let real = Arc::new(Mutex::new(Vec::new()));
        let last = real.clone();
        bench.line.to_guest.watch(move |frame| {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = frame.to_vec();
            true
        });
        let mut random = Random::new(bench.seed);
        for round in 0..ROUNDS {
            let real = real.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for _ in 0..EACH {
                bench.line.to_guest.put(one(&mut random, &real));
            }
            hello(&mut client).during(format!("round {round}"))?;
        }
        drop(client);
        quiet(bench)
    })
}

/// What the junk left behind is gone in time.
fn quiet(bench: &Bench) -> Outcome {
    let after = bench.settle()?;
    bench.answers_within(Duration::from_secs(10))?;
    ensure!(after < Duration::from_secs(30), "it took {after:?}");
    Ok(())
}

fn one(random: &mut Random, real: &[u8]) -> Vec<u8> {
    match random.below(8) {
        0 => noise(random),
        1 => turned(frames::arp(), random),
        2 => cut(frames::arp(), random),
        3 => turned(frames::forged_syn(random), random),
        4 => cut(segment(random), random),
        5 => {
            // What is said of lengths and options is wrong, and no sum tells.
            let mut frame = turned(segment(random), random);
            frames::repair(&mut frame);
            frame
        }
        6 => land(random),
        _ => never_sent(random, real),
    }
}

fn noise(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(LONGEST);
    let mut frame: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
    // Half of it at least looks like something for the image.
    if random.below(2) == 0 {
        let like = frames::arp();
        let head = like.len().min(frame.len()).min(IPV4_HEAD);
        frame[..head].copy_from_slice(&like[..head]);
        if frame.len() > IPV4_HEAD {
            frame[12..IPV4_HEAD].copy_from_slice(&[8, 0]);
            frame[IPV4_HEAD] = 0x45;
        }
    }
    frame
}

/// Some bytes behind the head are others.
fn turned(mut frame: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(4) {
        let at = IPV4_HEAD + random.below(frame.len() - IPV4_HEAD);
        frame[at] = random.bits() as u8;
    }
    frame
}

/// It ends early, or goes on.
fn cut(mut frame: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(2 * frame.len());
    frame.resize(length, 0xff);
    frame
}

/// A segment of no connection, with whatever flags, options and payload.
fn segment(random: &mut Random) -> Vec<u8> {
    let payload = vec![b'G'; random.below(600)];
    let control = *random.pick(&[
        TcpControl::None,
        TcpControl::Psh,
        TcpControl::Syn,
        TcpControl::Fin,
        TcpControl::Rst,
    ]);
    let from = frames::stranger(random);
    let mut frame = frames::segment(from, control, random.bits() as u32, &payload);
    if random.below(2) == 0 {
        frame[TCP_HEAD + 12] = random.bits() as u8;
        frame[TCP_HEAD + 13] = random.bits() as u8;
        frames::repair(&mut frame);
    }
    frame
}

/// From the image to itself, or from all to it.
fn land(random: &mut Random) -> Vec<u8> {
    use smoltcp::wire::Ipv4Address;
    let from = *random.pick(&[
        frames::GUEST,
        Ipv4Address::BROADCAST,
        Ipv4Address::UNSPECIFIED,
        Ipv4Address::new(10, 0, 2, 255),
        Ipv4Address::new(224, 0, 0, 1),
        Ipv4Address::LOCALHOST,
    ]);
    frames::segment((from, 80), TcpControl::Syn, random.bits() as u32, &[])
}

/// A real frame of the client's with other numbers, flags and window.
fn never_sent(random: &mut Random, real: &[u8]) -> Vec<u8> {
    let mut frame = real.to_vec();
    if frame.len() < TCP_HEAD + 20 || frame[12..IPV4_HEAD] != [8, 0] {
        return frames::arp();
    }
    // Far from what the connection is at: what is near would be a matter between the two.
    frame[TCP_HEAD + 4] ^= 0x40;
    frame[TCP_HEAD + 13] = random.bits() as u8;
    if random.below(2) == 0 {
        frame[TCP_HEAD + 8] ^= 0x40;
    }
    frames::repair(&mut frame);
    frame
}
