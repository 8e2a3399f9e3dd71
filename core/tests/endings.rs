//! How connections end, and what is short: nothing that a client was promised is lost.

mod sim;

use capuchin_core::event::{
    Deadline, Error, EventChannel, EventList, Interest, Message, Notifier, Token,
};
use capuchin_core::stats::{Counter, Stats};
use capuchin_core::transport::Socket;
use sim::Net;
use sim::rig::{App, LIMITS, Setup, run_plain};

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
    String::from_utf8(net.received(client)).expect("text")
}

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn last_reply_arrives_whole_though_the_client_has_sent_more() {
    let mut setup = Setup::default();
    setup.limits.requests_per_connection = 1;
    run_plain(&setup, |net, turn, _, stats| {
        let client = net.connect(1_000);
        net.send(client, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        turns(turn, 3);
        net.send(client, HELLO);
        let mut length = 0;
        for _ in 0..60 {
            length += net.read(client).len();
            turns(turn, 2);
        }
        assert!(length > 50_000, "{length}");
        assert!(text(net, client).contains("Connection: close"));
        assert!(net.ended(client) && !net.was_reset(client));
        net.finish(client);
        turns(turn, 3);
        assert!(!net.was_reset(client));
        assert_eq!(
            stats.value(Counter::Requests),
            1,
            "the second is not processed"
        );
    });
}

/// So that one packet carries both.
#[test]
fn end_is_announced_with_the_last_byte_unless_more_is_received() {
    const CLOSE: &[u8] = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // Of what comes behind the end nothing is read, so the connection lingers.
    let behind = [CLOSE, HELLO].concat();
    let wrong: &[u8] = b"GET /hello HTTP/1.1\r\nConnection: close\r\n\r\n";
    for (request, announced) in [
        (CLOSE, true),
        (LARGE, true),
        (&behind, false),
        (wrong, false),
        (HELLO, false),
    ] {
        run_plain(&Setup::default(), |net, turn, _, _| {
            let client = net.connect(1_000);
            net.send(client, request);
            for _ in 0..200 {
                net.read(client);
                turns(turn, 1);
            }
            let told = net.world().pipes[&client.0].announced;
            assert_eq!(told, announced, "{}", String::from_utf8_lossy(request));
        });
    }
}

#[test]
fn client_that_asks_for_the_end_is_not_lingered_for() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let client = net.connect(10_000);
        net.send(
            client,
            b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        );
        turns(turn, 2);
        assert!(text(net, client).ends_with("hello\n"));
        assert_eq!(stats.open(), 0);
    });
}

/// A reply has the same part of a lease each time.
#[test]
fn what_fits_a_reply_does_not_depend_on_what_came_before_it() {
    for (length, status) in [(900, "200"), (901, "413")] {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{}\r\n{}",
            "X-Fill: 0123456789012345678901234567890123456789012345678901234567\r\n",
            "b".repeat(length)
        );
        for depth in [1, 2, 3, 9] {
            run_plain(&Setup::default(), |net, turn, _, _| {
                let client = net.connect(100_000);
                net.send(client, request.repeat(depth).as_bytes());
                turns(turn, 30);
                let text = text(net, client);
                let wanted = if status == "200" { depth } else { 1 };
                let found = text.matches(&format!("HTTP/1.1 {status} ")).count();
                assert_eq!(found, wanted, "{length} bytes, {depth} deep: {text}");
            });
        }
    }
}

#[test]
fn newcomers_wait_for_slots_that_are_freed_in_the_same_turn() {
    let mut setup = Setup::default();
    setup.limits.connections = 8;
    run_plain(&setup, |net, turn, _, stats| {
        for _ in 0..8 {
            let idle = net.connect(10_000);
            net.send(idle, HELLO);
        }
        turns(turn, 3);
        let newcomers: Vec<Socket> = (0..40).map(|_| net.connect(10_000)).collect();
        newcomers.iter().for_each(|&client| net.send(client, HELLO));
        turns(turn, 60);
        for (number, &client) in newcomers.iter().enumerate() {
            let text = text(net, client);
            assert!(
                text.ends_with("hello\n") || text.starts_with("HTTP/1.1 503"),
                "newcomer {number} got {text:?}"
            );
            assert!(!net.was_reset(client) || text.starts_with("HTTP/1.1 503"));
        }
        assert!(stats.value(Counter::Evicted) >= 8);
    });
}

#[test]
fn draining_ends_with_the_last_request_not_with_its_time_limit() {
    run_plain(&Setup::default(), |net, turn, app, stats| {
        let (deferred, download) = (net.connect(10_000), net.connect(1_000));
        net.send(deferred, b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        net.send(download, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        turns(turn, 3);
        net.world().messages.push_back(Message::Drain);
        turns(turn, 3);
        let ticket = app.tickets.lock().unwrap()[0];
        net.world()
            .messages
            .push_back(Message::Complete { ticket, value: 3 });
        for _ in 0..60 {
            net.read(download);
            turns(turn, 2);
        }
        assert!(text(net, deferred).contains("Connection: close"));
        assert!(text(net, deferred).ends_with("value 3"));
        assert_eq!(text(net, download).matches('x').count(), 50_000);
        net.finish(deferred);
        turns(turn, 3);
        assert_eq!(stats.open(), 0, "nobody waits for the time limit");
    });
}

#[test]
fn draining_answers_requests_that_no_event_has_told_of() {
    /// Keeps silent about readable connections once it is told to.
    struct Deaf(Net, bool);
    impl EventChannel for Deaf {
        type Notifier = Net;
        fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
            self.0.add(socket, token, interest)
        }
        fn set_interest(
            &mut self,
            socket: Socket,
            token: Token,
            interest: Interest,
        ) -> Result<(), Error> {
            self.0.set_interest(socket, token, interest)
        }
        fn remove(&mut self, socket: Socket) -> Result<(), Error> {
            self.0.remove(socket)
        }
        fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error> {
            self.0.wait(events, until)?;
            let messages: Vec<_> = events
                .as_slice()
                .iter()
                .copied()
                .filter(|event| matches!(event, capuchin_core::event::Event::Message(_)))
                .collect();
            self.1 |= !messages.is_empty();
            if self.1 {
                events.clear();
                messages.into_iter().for_each(|message| {
                    let _ = events.push(message);
                });
            }
            Ok(())
        }
        fn notifier(&self) -> Net {
            self.0.clone()
        }
    }

    let net = Net::new();
    let channel = Deaf(net.clone(), false);
    sim::rig::run(
        &Setup::default(),
        &net,
        channel,
        net.clone(),
        |turn, _: &App, _: &Stats| {
            let client = net.connect(10_000);
            net.send(client, HELLO);
            turns(turn, 2);
            assert!(text(&net, client).ends_with("hello\n"));
            net.read(client);
            net.send(client, HELLO);
            Notifier::send(&net, Message::Drain).expect("room");
            turns(turn, 3);
            let text = text(&net, client);
            assert_eq!(text.matches("hello\n").count(), 2, "{text}");
            assert!(text.contains("Connection: close") && !net.was_reset(client));
        },
    );
}

#[test]
fn deferred_reply_to_a_body_that_may_never_come_says_that_it_closes() {
    let limit = LIMITS.drain_bytes;
    for (fields, closes) in [
        (
            "Content-Length: 5\r\nExpect: 100-continue\r\n".to_owned(),
            true,
        ),
        (format!("Content-Length: {}\r\n", limit + 1), true),
        ("Content-Length: 0\r\n".to_owned(), false),
    ] {
        run_plain(&Setup::default(), |net, turn, app, _| {
            let client = net.connect(10_000);
            net.send(
                client,
                format!("POST /later HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes(),
            );
            turns(turn, 3);
            let ticket = app.tickets.lock().unwrap()[0];
            net.world()
                .messages
                .push_back(Message::Complete { ticket, value: 1 });
            turns(turn, 3);
            let text = text(net, client);
            assert!(text.ends_with("value 1"), "{text}");
            assert_eq!(
                text.contains("Connection: close"),
                closes,
                "{fields}: {text}"
            );
        });
    }
}

#[test]
fn stream_that_breaks_is_told_once_and_cannot_be_taken_for_whole() {
    // With chunks the missing last one tells, and what was sent may still arrive.
    for (version, reset) in [("1.0", true), ("1.1", false)] {
        run_plain(&Setup::default(), |net, turn, app, stats| {
            let client = net.connect(10_000);
            net.send(
                client,
                format!("GET /broken HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes(),
            );
            turns(turn, 5);
            assert_eq!(*app.abandoned.lock().unwrap(), 1);
            assert_eq!(net.was_reset(client), reset, "HTTP/{version}");
            assert!(net.ended(client) && !net.received(client).ends_with(b"0\r\n\r\n"));
            assert_eq!(stats.open(), 0);
        });
    }
}

#[test]
fn responses_before_one_that_fails_are_sent() {
    // In one packet, so that the first response is still in the buffer when the second fails; the window takes them
    // in several sends.
    for window in [20, 1_000_000] {
        run_plain(&Setup::default(), |net, turn, app, stats| {
            let client = net.connect(window);
            net.send(
                client,
                b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /broken HTTP/1.1\r\nHost: a\r\n\r\n",
            );
            for _ in 0..40 {
                turn();
                net.read(client);
            }
            let got = String::from_utf8(net.received(client)).unwrap();
            let (first, second) = got.split_once("hello\n").expect("the first response");
            assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{got:?}");
            assert!(second.starts_with("HTTP/1.1 200 OK\r\n"), "{got:?}");
            assert!(second.ends_with("a piece\r\n"), "no last chunk: {got:?}");
            assert!(net.ended(client));
            assert_eq!(*app.abandoned.lock().unwrap(), 1);
            assert_eq!(stats.value(Counter::Abandoned), 1);
        });
    }
}

#[test]
fn nothing_is_sent_beyond_the_announced_length_of_a_stream() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(1_000_000);
        let request = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        net.send(
            client,
            [request("/hello"), request("/excess")].concat().as_bytes(),
        );
        turns(turn, 5);
        let got = String::from_utf8(net.received(client)).unwrap();
        let (_, excess) = got.split_once("hello\n").expect("the first response");
        assert!(excess.contains("Content-Length: 5\r\n"), "{got:?}");
        // A piece that does not fit is left out as a whole: the client sees that something is missing.
        assert!(excess.ends_with("\r\n\r\nfour"), "{got:?}");
        assert!(net.ended(client));
    });
}

#[test]
fn error_reply_to_a_broken_head_request_has_no_content() {
    for request in [
        "HEAD /hello HTTP/1.1\r\nHost: a\r\nbad field\r\n\r\n".to_owned(),
        "HEAD /hello HTTP/1.1\r\n\r\n".to_owned(),
        "\r\nHEAD /hello HTTP/1.1\r\n\r\n".to_owned(),
        format!(
            "HEAD /hello HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(1_100)
        ),
    ] {
        run_plain(&Setup::default(), |net, turn, _, _| {
            let client = net.connect(10_000);
            net.send(client, request.as_bytes());
            turns(turn, 3);
            let text = text(net, client);
            assert!(
                text.starts_with("HTTP/1.1 4") && text.ends_with("\r\n\r\n"),
                "{text}"
            );
            assert!(text.contains("Content-Length: ") && !text.contains("Content-Length: 0"));
        });
    }
}

#[test]
fn empty_line_alone_is_no_request_but_its_time_is_a_head_s() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let client = net.connect(10_000);
        net.send(client, b"\r\n");
        turns(turn, 2);
        advance(net, turn, LIMITS.head_ms - 200);
        assert!(!net.ended(client));
        advance(net, turn, 400);
        assert!(net.ended(client) && net.received(client).is_empty());
        assert_eq!(stats.value(Counter::Rejected), 0);
        let polite = net.connect(10_000);
        net.send(polite, b"\r\n");
        net.finish(polite);
        turns(turn, 3);
        assert!(net.ended(polite) && net.received(polite).is_empty());
    });
}

#[test]
fn who_waits_for_a_lease_is_neither_overtaken_nor_kept_for_ever() {
    let mut setup = Setup {
        leases: 1,
        ..Setup::default()
    };
    // Nobody is ended for the sake of others.
    setup.limits.stall_ms = u32::MAX;
    run_plain(&setup, |net, turn, _, stats| {
        let holder = net.connect(10_000);
        net.send(holder, b"GET /hello HTTP/1.1\r\nHo");
        turns(turn, 2);
        let waiter = net.connect(10_000);
        net.send(waiter, HELLO);
        turns(turn, 2);
        // In the turn that frees the lease somebody else is ready before it.
        let late = net.connect(10_000);
        net.send(late, HELLO);
        net.send(holder, b"st: a\r\n\r\nGET /hel");
        turns(turn, 1);
        net.send(holder, b"lo HTTP/1.1\r\nHost: a\r\n\r\n");
        turns(turn, 2);
        assert!(text(net, waiter).ends_with("hello\n") && text(net, late).ends_with("hello\n"));

        // A body that is collected keeps its lease however slowly it comes.
        net.send(
            holder,
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        );
        turns(turn, 2);
        let unlucky = net.connect(10_000);
        net.send(unlucky, HELLO);
        for _ in 0..5 {
            net.send(holder, b"x");
            advance(net, turn, LIMITS.first_byte_ms / 4);
        }
        assert!(text(net, unlucky).starts_with("HTTP/1.1 503"));
        assert!(net.ended(unlucky));
        // It has been seen off for longer than it is lingered for.
        assert_eq!(stats.open(), 3, "its slot is free");
        net.send(holder, b"xxxx");
        turns(turn, 2);
        assert!(text(net, holder).ends_with("xxxxxxxxx"));
        assert_eq!(stats.value(Counter::LeaseWaits), 3);
    });
}

#[test]
fn waiter_whose_channel_is_full_takes_nobody_down() {
    /// Watches no connection but the first.
    struct Full(Net, u32);
    impl EventChannel for Full {
        type Notifier = Net;
        fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
            self.1 += 1;
            if self.1 > 2 {
                return Err(Error::NoRoom);
            }
            self.0.add(socket, token, interest)
        }
        fn set_interest(
            &mut self,
            socket: Socket,
            token: Token,
            interest: Interest,
        ) -> Result<(), Error> {
            self.0.set_interest(socket, token, interest)
        }
        fn remove(&mut self, socket: Socket) -> Result<(), Error> {
            self.0.remove(socket)
        }
        fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error> {
            self.0.wait(events, until)
        }
        fn notifier(&self) -> Net {
            self.0.clone()
        }
    }

    let net = Net::new();
    let setup = Setup {
        leases: 1,
        ..Setup::default()
    };
    sim::rig::run(
        &setup,
        &net,
        Full(net.clone(), 0),
        net.clone(),
        |turn, _: &App, stats: &Stats| {
            let holder = net.connect(10_000);
            net.send(holder, b"GET /hello HTTP/1.1\r\nHo");
            turns(turn, 2);
            let unlucky = net.connect(10_000);
            net.send(unlucky, HELLO);
            turns(turn, 2);
            assert!(net.ended(unlucky));
            net.send(holder, b"st: a\r\n\r\n");
            turns(turn, 2);
            assert!(text(&net, holder).ends_with("hello\n"));
            advance(&net, turn, LIMITS.idle_ms + LIMITS.first_byte_ms);
            assert_eq!(stats.open(), 0);
        },
    );
}

#[test]
fn longest_timeout_never_comes_early() {
    let mut setup = Setup::default();
    setup.limits.idle_ms = u32::MAX;
    run_plain(&setup, |net, turn, _, _| {
        let client = net.connect(10_000);
        net.send(client, HELLO);
        turns(turn, 2);
        advance(net, turn, 200_000);
        assert!(!net.ended(client));
    });
}

#[test]
fn sockets_on_their_way_to_a_worker_that_stops_are_closed() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let (socket, later) = (net.connect(10_000), net.connect(10_000));
        net.world().backlog.clear();
        // More than one wait reports, and the worker stops with the first.
        net.world().messages.push_back(Message::Stop);
        for _ in 0..EventList::CAPACITY {
            net.world().messages.push_back(Message::Application(0));
        }
        net.world().messages.push_back(Message::Adopt(socket));
        net.world().messages.push_back(Message::Adopt(later));
        turns(turn, 1);
        assert!(net.ended(socket) && net.ended(later));
    });
}
