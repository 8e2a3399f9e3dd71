//! No number of clients that hold buffers or places without making progress keeps others from being served, and no
//! client gets more of a turn than its share.

mod sim;

use capuchin_core::limits::{Limits, PROGRESS_BYTES};
use capuchin_core::stats::{Counter, Stats};
use capuchin_core::transport::Socket;
use sim::Net;
use sim::rig::{App, LIMITS, Setup, run_plain};

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn turns(turn: &mut dyn FnMut(), count: usize) {
    (0..count).for_each(|_| turn());
}

fn advance(net: &Net, turn: &mut dyn FnMut(), milliseconds: u32) {
    for _ in 0..milliseconds.div_ceil(100) {
        net.world().now += 100;
        turns(turn, 2);
    }
}

fn text(net: &Net, client: Socket) -> String {
    String::from_utf8_lossy(&net.received(client)).into_owned()
}

/// What a client holds a buffer with, and what it is told when it has to give it back.
const HOLDERS: [(&str, &[u8], usize, &str); 7] = [
    (
        "a request that waits for the site",
        b"GET /finding/1000000 HTTP/1.1\r\nHost: a\r\n\r\n",
        10_000,
        "HTTP/1.1 503 ",
    ),
    (
        "a body whose next piece the handler does not take yet",
        b"POST /paced/a%20b HTTP/1.1\r\nHost: a\r\nX-Test: yes\r\nContent-Length: 9\r\n\r\nabc",
        10_000,
        "HTTP/1.1 503 ",
    ),
    ("part of a head", b"G", 10_000, "HTTP/1.1 503 "),
    (
        "most of a head",
        b"GET /hello HTTP/1.1\r\nHost: a\r\n",
        10_000,
        "HTTP/1.1 503 ",
    ),
    (
        "part of a body that is collected",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        10_000,
        "HTTP/1.1 503 ",
    ),
    (
        "a request behind a response that is not read",
        b"GET /file/50000 HTTP/1.1\r\nHost: a\r\n\r\nGET /file/50000 HTTP/1.1\r\nHost: a\r\n\r\n",
        1_000,
        "",
    ),
    (
        "a request behind one that waits for the application",
        b"GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
        10_000,
        "HTTP/1.1 503 ",
    ),
];

fn setup(leases: usize, connections: u32) -> Setup {
    let mut setup = Setup {
        leases,
        ..Setup::default()
    };
    setup.limits.connections = connections;
    setup
}

/// Opens connections that each hold, or want to hold, a buffer.
fn crowd(net: &Net, turn: &mut dyn FnMut(), size: u32, sent: &[u8], window: usize) -> Vec<Socket> {
    let clients: Vec<Socket> = (0..size)
        .map(|_| {
            let client = net.connect(window);
            net.send(client, sent);
            turns(turn, 2);
            client
        })
        .collect();
    turns(turn, 4);
    clients
}

fn held(stats: &Stats) -> usize {
    stats.value(Counter::LeasesTaken) - stats.value(Counter::LeasesReturned)
}

#[test]
fn whole_request_is_answered_in_its_turn_however_many_hold_buffers() {
    for (what, sent, window, _) in HOLDERS {
        for size in [2, 3, 4, 5, 20] {
            run_plain(&setup(4, 32), |net, turn, _, stats| {
                let healthy = net.connect(10_000);
                net.send(healthy, HELLO);
                turns(turn, 2);
                crowd(net, turn, size, sent, window);
                assert!(held(stats) <= 3, "{what}: the last buffer stays free");
                for round in 0..5 {
                    net.read(healthy);
                    net.send(healthy, HELLO);
                    turn();
                    let reply = net.read(healthy);
                    assert!(
                        reply.ends_with(b"hello\n"),
                        "{what}, {size} of them, request {round}: {:?}",
                        String::from_utf8_lossy(&reply)
                    );
                    // And one that has just come.
                    let new = net.connect(10_000);
                    net.send(new, HELLO);
                    turn();
                    assert!(
                        text(net, new).ends_with("hello\n"),
                        "{what}, {size} of them"
                    );
                    net.finish(new);
                    turns(turn, 2);
                }
                // One that would wait with the last buffer is ended itself.
                if what != "a request that waits for the site" {
                    assert_eq!(stats.value(Counter::EvictedForBuffer), 0, "{what}");
                }
            });
        }
    }
}

#[test]
fn pipeline_is_answered_in_order_by_the_last_buffer_alone() {
    run_plain(&setup(2, 32), |net, turn, _, stats| {
        crowd(net, turn, 3, b"G", 10_000);
        assert_eq!(held(stats), 1);
        let client = net.connect(1_000_000);
        let words: Vec<String> = (0..50).map(|n| format!("w{n}")).collect();
        for word in &words {
            net.send(client, &get(&format!("/echo/{word}")));
        }
        net.send(client, b"GET /hel");
        turns(turn, 3);
        let got = text(net, client);
        let got: Vec<&str> = got
            .split("HTTP/1.1 200 OK")
            .skip(1)
            .map(|reply| reply.split("\r\n\r\n").nth(1).unwrap())
            .collect();
        assert_eq!(got, words);
        // What is no whole request stays where it is.
        assert_eq!(held(stats), 1);
        net.send(client, b"lo HTTP/1.1\r\nHost: a\r\n\r\n");
        // After the two that have waited for longer.
        advance(net, turn, 3 * LIMITS.stall_ms + 500);
        assert!(text(net, client).ends_with("hello\n"));
    });
}

#[test]
fn malformed_and_too_long_heads_are_refused_by_the_last_buffer() {
    run_plain(&setup(2, 32), |net, turn, _, stats| {
        crowd(net, turn, 3, b"G", 10_000);
        let long = [
            &b"GET /hello HTTP/1.1\r\nHost: a\r\nX: "[..],
            &[b'x'; 1_100],
        ]
        .concat();
        for (sent, status) in [
            (&b"GARBAGE\r\n\r\n"[..], "HTTP/1.1 400 "),
            (&long, "HTTP/1.1 431 "),
        ] {
            let client = net.connect(10_000);
            net.send(client, sent);
            turns(turn, 2);
            assert!(text(net, client).starts_with(status));
            assert_eq!(held(stats), 1);
        }
    });
}

#[test]
fn holder_without_progress_makes_way_oldest_first_and_is_told() {
    for (what, sent, window, told) in HOLDERS {
        run_plain(&setup(3, 32), |net, turn, _, stats| {
            let holders = crowd(net, turn, 1, sent, window);
            net.world().now += 500;
            let younger = crowd(net, turn, 1, sent, window);
            assert_eq!(held(stats), 2, "{what}");
            // A request with a body needs a buffer to keep.
            let client = net.connect(10_000);
            net.send(
                client,
                b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
            );
            turns(turn, 3);
            advance(net, turn, LIMITS.stall_ms - 700);
            assert!(text(net, client).is_empty(), "{what}: too early");
            assert_eq!(stats.value(Counter::EvictedForBuffer), 0);
            advance(net, turn, 300);
            assert!(text(net, client).ends_with("abcde"), "{what}: too late");
            assert_eq!(stats.value(Counter::EvictedForBuffer), 1);
            assert!(net.ended(holders[0]) && !net.ended(younger[0]), "{what}");
            match told {
                "" => assert!(net.was_reset(holders[0]), "{what}"),
                told => assert!(text(net, holders[0]).starts_with(told), "{what}"),
            }
        });
    }
}

#[test]
fn nobody_is_ended_while_nobody_waits() {
    for (what, sent, window, _) in HOLDERS {
        run_plain(&setup(4, 8), |net, turn, _, stats| {
            let holders = crowd(net, turn, 3, sent, window);
            advance(net, turn, LIMITS.stall_ms * 2);
            assert!(holders.iter().all(|&client| !net.ended(client)), "{what}");
            assert_eq!(stats.value(Counter::EvictedForBuffer), 0);
            assert_eq!(stats.value(Counter::Evicted), 0);
        });
    }
}

#[test]
fn deferred_request_alone_is_never_ended_for_others() {
    run_plain(&setup(2, 4), |net, turn, _, stats| {
        let waiting = crowd(net, turn, 4, &get("/later"), 10_000);
        advance(net, turn, LIMITS.stall_ms * 3);
        let newcomer = net.connect(10_000);
        net.send(newcomer, HELLO);
        turns(turn, 3);
        assert!(text(net, newcomer).starts_with("HTTP/1.1 503 "));
        assert!(waiting.iter().all(|&client| !net.ended(client)));
        assert_eq!(stats.value(Counter::Evicted), 0);
    });
}

#[test]
fn places_without_progress_make_way_for_newcomers_at_the_limit_and_beyond() {
    let more: (&str, &[u8], usize, &str) = (
        "a response that is not read",
        b"GET /file/50000 HTTP/1.1\r\nHost: a\r\n\r\n",
        1_000,
        "",
    );
    let held_by_application = [
        "a request behind one that waits for the application",
        "a request that waits for the site",
        "a body whose next piece the handler does not take yet",
    ];
    for (what, sent, window, _) in HOLDERS.into_iter().chain([more]) {
        if held_by_application.contains(&what) {
            continue;
        }
        run_plain(&setup(16, 8), |net, turn, _, stats| {
            let holders = crowd(net, turn, 8, sent, window);
            assert_eq!(stats.open(), 8);
            let early = net.connect(10_000);
            net.send(early, HELLO);
            turns(turn, 3);
            assert!(text(net, early).starts_with("HTTP/1.1 503 "), "{what}");
            advance(net, turn, LIMITS.stall_ms + 100);
            for n in 0..20 {
                let newcomer = net.connect(10_000);
                net.send(newcomer, HELLO);
                turns(turn, 3);
                assert!(
                    text(net, newcomer).ends_with("hello\n"),
                    "{what}, newcomer {n}"
                );
            }
            assert!(net.ended(holders[0]), "{what}");
            assert_eq!(stats.value(Counter::Refused), 1, "{what}");
        });
    }
}

#[test]
fn active_client_keeps_its_place_beside_those_without_progress() {
    run_plain(&setup(16, 8), |net, turn, _, stats| {
        let active = net.connect(10_000);
        crowd(net, turn, 7, &get("/file/50000"), 1_000);
        advance(net, turn, LIMITS.stall_ms + 100);
        for _ in 0..7 {
            net.send(active, HELLO);
            turns(turn, 2);
            assert!(net.read(active).ends_with(b"hello\n"));
            crowd(net, turn, 1, &get("/file/50000"), 1_000);
        }
        assert_eq!(stats.value(Counter::Evicted), 7);
        assert!(!net.ended(active));
    });
}

#[test]
fn reader_of_a_few_bytes_now_and_then_is_not_waited_for() {
    for (each, survives) in [(1, false), (PROGRESS_BYTES as usize, true)] {
        run_plain(&Setup::default(), |net, turn, _, stats| {
            let window = 6_000;
            let client = net.connect(window);
            net.send(client, &get("/file/90000"));
            turns(turn, 3);
            for _ in 0..3 {
                advance(net, turn, LIMITS.write_ms - 1_000);
                let mut world = net.world();
                let pipe = world.pipes.get_mut(&client.0).unwrap();
                if pipe.closed {
                    break;
                }
                pipe.read += each;
                drop(world);
                turns(turn, 3);
            }
            assert_eq!(!net.ended(client), survives, "{each} bytes at a time");
            assert_eq!(stats.value(Counter::TimedOut), usize::from(!survives));
        });
    }
}

#[test]
fn collected_body_of_a_few_bytes_now_and_then_is_not_waited_for() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(10_000);
        net.send(
            client,
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n",
        );
        for _ in 0..3 {
            turns(turn, 2);
            advance(net, turn, LIMITS.body_ms / 2 - 100);
            net.send(client, b"x");
        }
        assert!(text(net, client).starts_with("HTTP/1.1 408 "));
    });
}

/// Bytes that a client got in one turn.
fn sent_by(net: &Net, client: Socket, turn: &mut dyn FnMut()) -> usize {
    let before = net.received(client).len();
    turn();
    net.received(client).len() - before
}

#[test]
fn pipeline_of_long_responses_moves_no_more_than_its_share_in_a_turn() {
    for path in [
        "/file/50000",
        "/memory/50000",
        "/pieces/50000",
        "/ready/50000",
        "/large",
    ] {
        for share in [20_000, 50_000, 64_000, 200_000] {
            let mut setup = Setup::default();
            setup.limits.turn_bytes = share;
            run_plain(&setup, |net, turn, _, stats| {
                let client = net.connect(usize::MAX >> 1);
                net.send(client, &get(path).repeat(20));
                let mut count = 0;
                while stats.value(Counter::Requests) < 20 || net.received(client).len() < 1_000_000
                {
                    let sent = sent_by(net, client, turn);
                    // The head of the last response goes with its first piece.
                    let most = share as usize + setup.lease_bytes;
                    assert!(sent <= most, "{path}: {sent} bytes in a turn of {share}");
                    count += 1;
                    assert!(count < 1_000, "{path}: no end");
                }
                let least = 1_000_000 / (share as usize + setup.lease_bytes);
                assert!(count >= least, "{path}: {count} turns");
                turns(turn, 5);
                assert_eq!(net.received(client).len(), stats.value(Counter::BytesSent));
            });
        }
    }
}

#[test]
fn response_as_long_as_the_share_leaves_in_one_turn_and_one_byte_more_in_two() {
    const SHARE: usize = 50_000;
    for kind in ["file", "memory", "ready"] {
        // What is received and the head count as the content does.
        let request = get(&format!("/{kind}/50000"));
        let mut others = request.len();
        run_plain(&Setup::default(), |net, turn, _, _| {
            let client = net.connect(usize::MAX >> 1);
            net.send(client, &request);
            turns(turn, 5);
            others += net.received(client).len() - 50_000;
        });
        for (length, turns_taken) in [(SHARE - others, 1), (SHARE - others + 1, 2)] {
            let mut setup = Setup::default();
            setup.limits.turn_bytes = SHARE as u32;
            run_plain(&setup, |net, turn, _, _| {
                let client = net.connect(usize::MAX >> 1);
                turns(turn, 2);
                net.send(client, &get(&format!("/{kind}/{length}")));
                let sent: Vec<usize> = (0..4).map(|_| sent_by(net, client, turn)).collect();
                let taken = sent.iter().filter(|&&sent| sent > 0).count();
                assert_eq!(taken, turns_taken, "/{kind}/{length}: {sent:?}");
                assert!(net.received(client).len() > length);
            });
        }
    }
}

#[test]
fn many_long_responses_delay_a_short_one_by_one_turn_of_bounded_work() {
    let mut setup = Setup::default();
    setup.limits.turn_bytes = 40_000;
    run_plain(&setup, |net, turn, _, stats| {
        let healthy = net.connect(10_000);
        net.send(healthy, HELLO);
        turns(turn, 2);
        for _ in 0..30 {
            let client = net.connect(usize::MAX >> 1);
            net.send(client, &get("/file/90000").repeat(100));
        }
        turn();
        for round in 0..50 {
            net.read(healthy);
            net.send(healthy, HELLO);
            let before = stats.value(Counter::BytesSent);
            turn();
            assert!(net.read(healthy).ends_with(b"hello\n"), "round {round}");
            let moved = stats.value(Counter::BytesSent) - before;
            // A share for those with events, one for those in the queue, and what was begun with the last of each.
            assert!(moved <= 4 * 40_000, "round {round}: {moved} bytes");
            assert!(moved >= 40_000, "round {round}: {moved} bytes");
        }
    });
}

#[test]
fn turn_with_many_short_requests_in_the_queue_is_bounded() {
    let mut setup = Setup::default();
    setup.limits.turn_requests = 16;
    setup.limits.turn_bytes = 64 << 10;
    run_plain(&setup, |net, turn, _, stats| {
        for _ in 0..30 {
            let client = net.connect(usize::MAX >> 1);
            net.send(client, &HELLO.repeat(200));
        }
        // Those that have just come are all looked at once.
        turns(turn, 2);
        for _ in 0..20 {
            let before = stats.value(Counter::Requests);
            turn();
            let answered = stats.value(Counter::Requests) - before;
            assert!((16..=32).contains(&answered), "{answered} in one turn");
        }
    });
}

#[test]
fn expensive_request_ends_its_connections_turn() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let client = net.connect(usize::MAX >> 1);
        net.send(client, &get("/costly/10").repeat(5));
        for answered in 1..=5 {
            turn();
            assert_eq!(stats.value(Counter::Requests), answered);
        }
    });
}

#[test]
fn deadlines_that_pass_together_are_handled_in_several_turns() {
    run_plain(&setup(80, 64), |net, turn, _: &App, stats| {
        for _ in 0..64 {
            let client = net.connect(10_000);
            net.send(client, b"G");
        }
        turns(turn, 5);
        assert_eq!(stats.open(), 64);
        net.world().now += u64::from(Limits::DEFAULT.head_ms) + 200;
        turns(turn, 8);
        assert_eq!(stats.value(Counter::TimedOut), 64);
    });
}

#[test]
fn socket_that_takes_nothing_though_reported_ready_is_left_alone_for_a_moment() {
    use capuchin_core::event::Readiness;
    let net = Net::new();
    sim::rig::run(
        &Setup::default(),
        &net,
        sim::AlwaysReady(net.clone(), Readiness::WRITABLE),
        net.clone(),
        |turn, _, stats| {
            let client = net.connect(1_000);
            net.send(client, &get("/file/50000"));
            turns(turn, 3);
            let before = stats.value(Counter::WouldBlock);
            turns(turn, 100);
            let tried = stats.value(Counter::WouldBlock) - before;
            assert!(tried <= 2, "tried {tried} times at once");
            // It goes on by itself.
            for _ in 0..100 {
                net.read(client);
                net.world().now += 60;
                turns(turn, 2);
            }
            assert!(net.received(client).len() > 50_000);
        },
    );
}
