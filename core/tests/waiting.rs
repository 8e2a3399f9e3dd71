//! Requests whose site has no answer yet, and responses whose content is not at hand yet.

mod sim;

use capuchin_core::event::{Message, Ticket};
use capuchin_core::stats::Counter;
use capuchin_core::transport::Socket;
use sim::Net;
use sim::rig::{App, LIMITS, Setup, run_plain};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
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

/// The ticket of the only request that waits.
fn waiting(app: &App) -> Ticket {
    let mut waiting = app.waiting.lock().unwrap();
    assert_eq!(waiting.len(), 1, "one waits");
    waiting.remove(0)
}

fn complete(net: &Net, turn: &mut dyn FnMut(), ticket: Ticket) {
    let message = Message::Complete { ticket, value: 0 };
    net.world().messages.push_back(message);
    turns(turn, 3);
}

/// What a client receives while it reads all that comes.
fn read_on(net: &Net, turn: &mut dyn FnMut(), client: Socket, into: &mut Vec<u8>) {
    for _ in 0..200 {
        turns(turn, 1);
        into.extend(net.read(client));
    }
}

fn count(text: &[u8], status: &str) -> usize {
    String::from_utf8_lossy(text)
        .matches(&format!("HTTP/1.1 {status}"))
        .count()
}

#[test]
fn request_waits_until_its_site_has_found_what_it_names() {
    for (method, status, length) in [
        ("GET", "200", 50_000),
        ("HEAD", "200", 0),
        ("POST", "405", 0),
    ] {
        for tries in [1, 3] {
            run_plain(&Setup::default(), |net, turn, app, stats| {
                let client = net.connect(2_000);
                let finding = get(&format!("/finding/{tries}")).replace("GET", method);
                let pipeline = [get("/echo/before"), finding, get("/echo/behind")].concat();
                net.send(client, pipeline.as_bytes());
                let mut all = Vec::new();
                read_on(net, turn, client, &mut all);
                for _ in 0..tries {
                    // The first response does not wait for the second, and nothing is sent of that.
                    assert!(all.ends_with(b"\r\n\r\nbefore"), "{method}");
                    assert_eq!(count(&all, ""), 1);
                    complete(net, turn, waiting(app));
                    read_on(net, turn, client, &mut all);
                }
                assert_eq!(count(&all, status), if status == "200" { 3 } else { 1 });
                assert_eq!(count(&all, ""), 3);
                assert!(all.ends_with(b"\r\n\r\nbehind"), "{method}");
                assert!(
                    (length..length + 2_000).contains(&all.len()),
                    "{}",
                    all.len()
                );
                assert_eq!(stats.value(Counter::Requests), 3, "each is counted once");
                assert!(!net.ended(client));
            });
        }
    }
}

#[test]
fn others_are_served_while_requests_wait_for_their_site() {
    let setup = Setup {
        leases: 4,
        ..Setup::default()
    };
    run_plain(&setup, |net, turn, app, _| {
        let clients: Vec<_> = (0..3).map(|_| net.connect(2_000)).collect();
        for &client in &clients {
            net.send(client, get("/finding/1000").as_bytes());
        }
        turns(turn, 3);
        let other = net.connect(2_000);
        for _ in 0..5 {
            net.send(other, get("/hello").as_bytes());
            turns(turn, 2);
            assert_eq!(count(&net.read(other), "200"), 1);
        }
        assert_eq!(app.waiting.lock().unwrap().len(), 3);
        assert!(
            clients
                .iter()
                .all(|&client| net.received(client).is_empty())
        );
    });
}

#[test]
fn content_is_sent_on_as_it_comes_to_hand() {
    run_plain(&Setup::default(), |net, turn, app, stats| {
        let client = net.connect(2_000);
        let pipeline = [
            get("/echo/before"),
            get("/loading/25000"),
            get("/echo/behind"),
        ];
        net.send(client, pipeline.concat().as_bytes());
        let mut all = Vec::new();
        read_on(net, turn, client, &mut all);
        // Nothing of a head goes out before its content is at hand: it may still be taken back.
        assert!(all.ends_with(b"\r\n\r\nbefore") && count(&all, "") == 1);
        for blocks in 1..=3 {
            complete(net, turn, waiting(app));
            read_on(net, turn, client, &mut all);
            let sent = (blocks * 10_000).min(25_000);
            assert!((sent..sent + 1_000).contains(&all.len()), "{}", all.len());
        }
        assert!(all.ends_with(b"\r\n\r\nbehind"));
        let body = String::from_utf8_lossy(&all)
            .find("Content-Length: 25000")
            .unwrap();
        let body = body
            + all[body..]
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .unwrap()
            + 4;
        let expected: Vec<u8> = (0..25_000u64).map(|at| (at % 251) as u8).collect();
        assert!(all[body..].starts_with(&expected));
        assert_eq!(stats.value(Counter::Replies2xx), 3);
    });
}

#[test]
fn response_that_waits_for_content_holds_a_buffer_only_for_what_is_unsent() {
    run_plain(&Setup::default(), |net, turn, app, stats| {
        let client = net.connect(100_000);
        net.send(client, get("/loading/25000").as_bytes());
        turns(turn, 3);
        let held = || stats.value(Counter::LeasesTaken) - stats.value(Counter::LeasesReturned);
        assert_eq!(held(), 1);
        complete(net, turn, waiting(app));
        assert_eq!(net.received(client).len() / 10_000, 1);
        assert_eq!(held(), 0);
    });
}

/// What is asked for, how often its ticket is completed before the time is over, and how the client is told.
#[test]
fn who_waits_for_a_site_is_told_503_or_cut_off_when_a_handlers_time_is_over() {
    for (path, completed, told) in [
        ("/finding/1000", 0, "HTTP/1.1 503 "),
        // However often the site is asked again, the time is one.
        ("/finding/1000", 5, "HTTP/1.1 503 "),
        ("/loading/25000", 0, "HTTP/1.1 503 "),
        ("/loading/25000", 1, "HTTP/1.1 200 "),
    ] {
        run_plain(&Setup::default(), |net, turn, app, stats| {
            let client = net.connect(100_000);
            net.send(client, get(path).as_bytes());
            turns(turn, 3);
            for _ in 0..completed {
                advance(net, turn, LIMITS.handler_ms / 10);
                complete(net, turn, waiting(app));
            }
            let left = match path.starts_with("/loading") {
                // Each piece has the whole time.
                true => LIMITS.handler_ms,
                false => LIMITS.handler_ms - completed * (LIMITS.handler_ms / 10),
            };
            advance(net, turn, left - 200);
            assert!(!net.ended(client), "{path}: too early");
            advance(net, turn, 500);
            assert!(net.ended(client), "{path}: too late");
            let text = net.received(client);
            let text = String::from_utf8_lossy(&text);
            assert!(text.starts_with(told), "{path}: {text}");
            assert_eq!(text.matches("HTTP/1.1 ").count(), 1);
            assert_eq!(text.contains("\r\nRetry-After: "), told.contains("503"));
            let counted = [Counter::Replies2xx, Counter::Replies5xx].map(|each| stats.value(each));
            assert_eq!(counted, if told.contains("503") { [0, 1] } else { [1, 0] });
            // Its ticket is of no more use.
            complete(net, turn, waiting(app));
            assert_eq!(stats.value(Counter::StaleTickets), 1);
        });
    }
}

#[test]
fn nothing_is_left_of_a_client_that_goes_while_its_site_is_waited_for() {
    for path in ["/finding/1000", "/loading/25000"] {
        run_plain(&Setup::default(), |net, turn, app, stats| {
            let client = net.connect(100_000);
            net.send(client, get(path).as_bytes());
            turns(turn, 3);
            let ticket = waiting(app);
            net.world().pipes.get_mut(&client.0).unwrap().lost = true;
            turns(turn, 3);
            assert_eq!(stats.open(), 0, "{path}");
            let other = net.connect(100_000);
            net.send(other, get(path).as_bytes());
            turns(turn, 3);
            complete(net, turn, ticket);
            assert!(net.received(other).is_empty(), "{path}");
            assert_eq!(stats.value(Counter::StaleTickets), 1);
        });
    }
}

#[test]
fn drain_lets_waiting_requests_finish_and_ends_with_its_own_time() {
    for completes in [true, false] {
        run_plain(&Setup::default(), |net, turn, app, stats| {
            let client = net.connect(100_000);
            net.send(client, get("/finding/1").as_bytes());
            turns(turn, 3);
            net.world().messages.push_back(Message::Drain);
            turns(turn, 3);
            assert_eq!(stats.open(), 1);
            if completes {
                complete(net, turn, waiting(app));
                assert_eq!(count(&net.received(client), "200"), 1);
            } else {
                const { assert!(LIMITS.drain_ms < LIMITS.handler_ms) };
                advance(net, turn, LIMITS.drain_ms + 200);
                assert_eq!(stats.open(), 0, "the worker does not wait for the site");
            }
        });
    }
}

#[test]
fn content_that_is_at_hand_no_more_once_its_head_was_sent_is_waited_for() {
    let mut head = 0;
    // The first client tells how long the head is; the second one has room for exactly that.
    for is_first in [true, false] {
        run_plain(&Setup::default(), |net, turn, app, stats| {
            let client = net.connect(if is_first { 100_000 } else { head });
            net.send(client, get("/fading/25000").as_bytes());
            turns(turn, 3);
            complete(net, turn, waiting(app));
            let mut all = net.read(client);
            if is_first {
                head = all.len() - 10_000;
                return;
            }
            assert!(all.ends_with(b"\r\n\r\n"), "the head and no more");
            turns(turn, 3);
            for _ in 0..200 {
                if app.waiting.lock().unwrap().is_empty() {
                    break;
                }
                complete(net, turn, waiting(app));
                all.extend(net.read(client));
                turns(turn, 3);
            }
            let expected: Vec<u8> = (0..25_000u64).map(|at| (at % 251) as u8).collect();
            assert!(all[head..] == expected, "{}", all.len());
            assert_eq!(stats.value(Counter::Replies2xx), 1);
        });
    }
}

#[test]
fn who_waits_for_storage_makes_way_where_buffers_are_short_and_is_told() {
    for path in ["/finding/1000", "/loading/25000"] {
        let setup = Setup {
            leases: 4,
            ..Setup::default()
        };
        run_plain(&setup, |net, turn, _, stats| {
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let client = net.connect(10_000);
                    net.send(client, get(path).as_bytes());
                    turns(turn, 2);
                    client
                })
                .collect();
            advance(net, turn, LIMITS.stall_ms + 200);
            // The head of this one has yet to end, so that it needs a buffer to keep.
            let other = net.connect(10_000);
            net.send(other, b"GET /hello");
            advance(net, turn, 400);
            assert_eq!(stats.value(Counter::EvictedForBuffer), 1, "{path}");
            let told = net.received(waiting[0]);
            assert_eq!(count(&told, "503"), 1, "{path}");
            assert!(
                net.ended(waiting[0]) && !net.was_reset(waiting[0]),
                "{path}"
            );
            net.send(other, b" HTTP/1.1\r\nHost: a\r\n\r\n");
            turns(turn, 2);
            assert_eq!(count(&net.received(other), "200"), 1, "{path}");
        });
    }
}

#[test]
fn last_buffer_is_never_kept_for_storage() {
    for path in ["/finding/1000", "/loading/25000"] {
        let setup = Setup {
            leases: 4,
            ..Setup::default()
        };
        run_plain(&setup, |net, turn, _, _| {
            let mut told = 0;
            for _ in 0..10 {
                let client = net.connect(10_000);
                net.send(client, get(path).as_bytes());
                turns(turn, 2);
                told += count(&net.received(client), "503");
                let other = net.connect(10_000);
                net.send(other, get("/hello").as_bytes());
                turn();
                assert_eq!(count(&net.received(other), "200"), 1, "{path}");
                net.finish(other);
                turns(turn, 2);
            }
            assert_eq!(told, 7, "{path}: three have buffers");
        });
    }
}

#[test]
fn request_that_is_expensive_to_find_ends_its_turn_also_when_it_was_waited_for() {
    run_plain(&Setup::default(), |net, turn, app, stats| {
        let client = net.connect(100_000);
        let pipeline = [get("/seeking/1"), get("/hello"), get("/hello")].concat();
        net.send(client, pipeline.as_bytes());
        turns(turn, 3);
        let message = Message::Complete {
            ticket: waiting(app),
            value: 0,
        };
        net.world().messages.push_back(message);
        turn();
        assert_eq!(stats.value(Counter::Requests), 1);
        turn();
        assert_eq!(stats.value(Counter::Requests), 3);
    });
}
