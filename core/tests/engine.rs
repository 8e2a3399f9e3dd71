//! The engine over a network in memory, with a clock that only the tests move.

mod sim;

use capuchin_core::event::{Message, Token};
use capuchin_core::stats::{Counter, Stats};
use capuchin_core::transport::Socket;
use sim::Net;
use sim::rig::{App, LIMITS, Setup, run_plain};

fn turns(turn: &mut dyn FnMut(), count: usize) {
    (0..count).for_each(|_| turn());
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn body(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    text.split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default()
}

fn starts(reply: &[u8], with: &str) {
    let text = String::from_utf8_lossy(reply);
    assert!(text.starts_with(with), "wanted {with:?}, got {text:?}");
}

/// One request on its own connection.
fn exchange(request: &[u8]) -> (Vec<u8>, bool) {
    let mut outcome = (Vec::new(), false);
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(1_000_000);
        net.send(client, request);
        turns(turn, 20);
        outcome = (net.received(client), net.ended(client));
    });
    outcome
}

fn advance(net: &Net, turn: &mut dyn FnMut(), milliseconds: u64) {
    // In steps: the wheel is meant to be turned regularly.
    for _ in 0..milliseconds.div_ceil(100) {
        net.world().now += 100;
        turns(turn, 2);
    }
}

#[test]
fn request_is_answered_and_the_connection_lives_on() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let client = net.connect(10_000);
        for round in 0..3 {
            net.send(client, get("/hello").as_bytes());
            turns(turn, 2);
            let reply = net.read(client);
            starts(
                &reply,
                "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT\r\n",
            );
            assert_eq!(body(&reply), "hello\n", "round {round}");
        }
        assert!(!net.ended(client));
        assert_eq!(stats.value(Counter::Requests), 3);
    });
}

/// The parts of a response with several, each with its first byte.
fn parts_of(response: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let split = |bytes: &[u8], at: &[u8]| {
        let end = bytes.windows(at.len()).position(|window| window == at);
        end.map(|end| (bytes[..end].to_vec(), bytes[end + at.len()..].to_vec()))
    };
    let (head, content) = split(response, b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 206 Partial Content\r\n"),
        "{head}"
    );
    let field = |head: &str, name: &str| {
        let value = head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value
            .unwrap_or_else(|| panic!("no {name} in {head}"))
            .to_owned()
    };
    let length: usize = field(&head, "Content-Length").parse().unwrap();
    assert_eq!(content.len(), length, "the length that was told");
    let media_type = field(&head, "Content-Type");
    let boundary = media_type.split_once("boundary=").expect("a boundary").1;
    let delimiter = format!("\r\n--{boundary}");
    let (before, mut rest) =
        split(&[b"\r\n", &content[..]].concat(), delimiter.as_bytes()).unwrap();
    assert_eq!(before, b"");
    let mut parts = Vec::new();
    while rest != b"--\r\n" {
        let rest_of_line = rest.strip_prefix(b"\r\n").expect("a delimiter is a line");
        let (part_head, behind) = split(rest_of_line, b"\r\n\r\n").expect("a part's head");
        let part_head = String::from_utf8(part_head).unwrap();
        let (bytes, behind) = split(&behind, delimiter.as_bytes()).expect("a delimiter");
        let range = field(&part_head, "Content-Range");
        let (first, last) = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('/')?.0.split_once('-'))
            .unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(bytes.len() as u64, last + 1 - first, "{range}");
        parts.push((first, bytes));
        rest = behind;
    }
    parts
}

/// Sends `requests` and reads whatever has come after each turn, `step` bytes at a time being taken.
fn read_slowly(requests: &str, step: usize, lease_bytes: usize) -> Vec<u8> {
    let mut setup = Setup {
        lease_bytes,
        ..Setup::default()
    };
    setup.limits.head_bytes = setup.limits.head_bytes.min(lease_bytes as u16 / 2);
    let mut received = Vec::new();
    run_plain(&setup, |net, turn, _, _| {
        let client = net.connect(step);
        net.send(client, requests.as_bytes());
        net.finish(client);
        for _ in 0..200_000 {
            turns(turn, 1);
            net.read(client);
            if net.ended(client) {
                break;
            }
        }
        assert!(net.ended(client));
        received = net.received(client);
    });
    received
}

#[test]
fn several_ranges_come_whole_however_slowly_they_are_read() {
    for kind in ["memory", "pieces", "file"] {
        for step in [1, 7, 300, 1_000_000] {
            let request = |range: &str| {
                format!("GET /{kind}/30000 HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n")
            };
            let requests =
                request("20000-21999,0-4,-1,25000-25000") + &request("0-0,2-2") + &get("/hello");
            let received = read_slowly(&requests, step, 2_048);
            let text = String::from_utf8_lossy(&received);
            let starts: Vec<usize> = text.match_indices("HTTP/1.1 ").map(|(at, _)| at).collect();
            assert_eq!(starts.len(), 3, "{kind} by {step}: {text}");
            // Content of the pattern is no UTF-8: count in bytes.
            let starts: Vec<usize> = received
                .windows(9)
                .enumerate()
                .filter(|(_, window)| *window == b"HTTP/1.1 ")
                .map(|(at, _)| at)
                .collect();
            let pattern = |from: u64, to: u64| -> (u64, Vec<u8>) {
                (from, (from..=to).map(|at| (at % 251) as u8).collect())
            };
            assert_eq!(
                parts_of(&received[..starts[1]]),
                [
                    pattern(20_000, 21_999),
                    pattern(0, 4),
                    pattern(29_999, 29_999),
                    pattern(25_000, 25_000)
                ],
                "{kind} by {step}"
            );
            assert_eq!(
                parts_of(&received[starts[1]..starts[2]]),
                [pattern(0, 0), pattern(2, 2)],
                "{kind} by {step}"
            );
            assert!(received.ends_with(b"\r\n\r\nhello\n"), "{kind} by {step}");
        }
    }
}

#[test]
fn ranges_whose_headers_do_not_fit_the_buffer_get_the_whole() {
    let ranges: Vec<String> = (0..16)
        .map(|n| format!("{}-{}", 100 * n, 100 * n + 9))
        .collect();
    let request = format!(
        "GET /memory/3000 HTTP/1.1\r\nHost: a\r\nRange: bytes={}\r\n\r\n",
        ranges.join(",")
    );
    let received = read_slowly(&request, 1_000_000, 4_096);
    assert_eq!(parts_of(&received).len(), 16);
    // Half of a buffer is the response's.
    let received = read_slowly(&request, 1_000_000, 1_024);
    starts(&received, "HTTP/1.1 200 OK");
    assert!(
        received
            .windows(24)
            .any(|window| window == b"\r\nContent-Length: 3000\r\n")
    );
}

#[test]
fn idle_connection_owns_no_lease() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        for _ in 0..20 {
            let client = net.connect(10_000);
            net.send(client, get("/hello").as_bytes());
            turns(turn, 2);
        }
        assert_eq!(stats.open(), 20);
        assert_eq!(
            stats.value(Counter::LeasesTaken),
            stats.value(Counter::LeasesReturned)
        );
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_by_one_send() {
    run_plain(
        &Setup {
            lease_bytes: 8_192,
            ..Setup::default()
        },
        |net, turn, _, _| {
            let client = net.connect(1_000_000);
            let requests: String = (0..16).map(|n| get(&format!("/echo/w{n}"))).collect();
            net.send(client, requests.as_bytes());
            turns(turn, 1);
            let text = String::from_utf8(net.received(client)).unwrap();
            let words: Vec<&str> = text
                .split("HTTP/1.1 200 OK")
                .skip(1)
                .map(|reply| reply.split("\r\n\r\n").nth(1).unwrap())
                .collect();
            assert_eq!(words, (0..16).map(|n| format!("w{n}")).collect::<Vec<_>>());
            assert_eq!(net.world().sends, 1);
            assert_eq!(net.world().receives, 1);
        },
    );
}

#[test]
fn keep_alive_request_costs_one_receive_and_one_send() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(10_000);
        turns(turn, 2);
        let calls = || {
            let world = net.world();
            (world.receives, world.sends)
        };
        let before = calls();
        for _ in 0..10 {
            net.send(client, get("/hello").as_bytes());
            turns(turn, 1);
        }
        let after = calls();
        assert_eq!((after.0 - before.0, after.1 - before.1), (10, 10));
    });
}

#[test]
fn what_of_a_head_is_too_long_is_told_by_its_status() {
    let query = "q".repeat(usize::from(LIMITS.head_bytes));
    let line = format!("GET /hello?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
    let fields = format!("GET /hello HTTP/1.1\r\nHost: a\r\nX: {query}\r\n\r\n");
    // Empty lines come before a request line; they do not end it.
    for (request, status) in [
        (line.clone(), "414"),
        (format!("\r\n{line}"), "414"),
        (format!("\r\n\r\n\r\n{line}"), "414"),
        (fields.clone(), "431"),
        (format!("\r\n{fields}"), "431"),
    ] {
        let (reply, ended) = exchange(request.as_bytes());
        starts(&reply, &format!("HTTP/1.1 {status}"));
        assert!(ended);
    }
}

#[test]
fn bodies_are_collected_with_either_framing() {
    let (reply, _) = exchange(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde");
    assert_eq!(body(&reply), "abcde");
    let chunked = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nT: v\r\n\r\n";
    let (reply, _) = exchange(chunked);
    assert_eq!(body(&reply), "abcde");
}

#[test]
fn chunked_body_that_comes_byte_by_byte_is_collected_whole() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(10_000);
        let request = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nT: v\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
        for byte in request {
            net.send(client, &[*byte]);
            turns(turn, 2);
        }
        let text = String::from_utf8(net.received(client)).unwrap();
        assert!(text.contains("\r\n\r\nabcdeHTTP/1.1 200"), "{text}");
        assert!(text.ends_with("hello\n"), "{text}");
    });
}

/// `POST path` whose head has as many bytes, with a body of `length` bytes, in chunks of `chunk` or with its
/// length told.
fn posted(path: &str, head: usize, length: usize, chunk: Option<usize>) -> (Vec<u8>, Vec<u8>) {
    let framing = match chunk {
        Some(_) => "Transfer-Encoding: chunked".to_owned(),
        None => format!("Content-Length: {length}"),
    };
    let start = format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-Test: yes\r\n{framing}\r\n");
    let fill = head.saturating_sub(start.len() + "X: \r\n\r\n".len());
    let mut request = format!("{start}X: {}\r\n\r\n", "v".repeat(fill)).into_bytes();
    let body: Vec<u8> = (0..length).map(|at| b'a' + (at % 23) as u8).collect();
    match chunk {
        Some(size) => {
            for part in body.chunks(size) {
                request.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                request.extend_from_slice(part);
                request.extend_from_slice(b"\r\n");
            }
            request.extend_from_slice(b"0\r\n\r\n");
        }
        None => request.extend_from_slice(&body),
    }
    (request, body)
}

#[test]
fn largest_collected_body_does_not_depend_on_its_head() {
    let limit = usize::from(LIMITS.collect_bytes);
    let heads = [0, 767, usize::from(LIMITS.head_bytes)];
    let chunks = [None, Some(1), Some(100), Some(limit + 1)];
    for (head, chunk) in heads
        .into_iter()
        .flat_map(|h| chunks.map(|chunk| (h, chunk)))
    {
        for (length, step) in [(limit, 7), (limit, 10_000), (limit + 1, 10_000)] {
            run_plain(&Setup::default(), |net, turn, _, _| {
                let client = net.connect(10_000);
                let (request, sent) = posted("/echo", head, length, chunk);
                for part in request.chunks(step) {
                    net.send(client, part);
                    turns(turn, 1);
                }
                net.send(client, get("/hello").as_bytes());
                turns(turn, 40);
                let reply = net.received(client);
                let what = format!("{head} {chunk:?} {length} {step}");
                if length == limit {
                    starts(&reply, "HTTP/1.1 200");
                    let rest = body(&reply);
                    assert!(rest.as_bytes().starts_with(&sent), "{what}");
                    assert!(rest.ends_with("hello\n"), "{what}: {rest}");
                } else {
                    starts(&reply, "HTTP/1.1 413");
                }
            });
        }
    }
}

#[test]
fn streamed_body_is_taken_as_slowly_as_its_handler_wants_and_sees_its_request() {
    let path = "/paced/a%20b?x=1&q=4%2B+4";
    for chunk in [None, Some(1), Some(300)] {
        run_plain(&Setup::default(), |net, turn, app, stats| {
            let client = net.connect(10_000);
            let (request, body_bytes) = posted(path, 500, 20_000, chunk);
            net.send(client, &request);
            net.send(client, get("/hello").as_bytes());
            turns(turn, 5);
            let other = net.connect(10_000);
            let unread = |net: &Net| net.world().pipes[&client.0].to_server.len();
            let left = unread(net);
            assert!(
                left > 15_000,
                "no more is received than a buffer holds: {left}"
            );
            // A ticket is completed before the handler can take a piece, too: it is asked again.
            for round in 0.. {
                assert!(round < 50_000, "it comes to an end");
                let Some(ticket) = app.tickets.lock().unwrap().pop() else {
                    break;
                };
                *app.takes.lock().unwrap() = u32::from(round % 3 > 0) * 20;
                net.world()
                    .messages
                    .push_back(Message::Complete { ticket, value: 0 });
                turns(turn, 2);
                if round == 0 {
                    assert_eq!(unread(net), left, "nothing was taken: nothing is received");
                    net.send(other, get("/hello").as_bytes());
                    turns(turn, 2);
                    assert_eq!(body(&net.received(other)), "hello\n", "others are served");
                }
            }
            turns(turn, 20);
            let sum = body_bytes
                .iter()
                .fold(0u64, |sum, &byte| sum.wrapping_mul(31) + u64::from(byte));
            let announced = if chunk.is_some() {
                "None"
            } else {
                "Some(20000)"
            };
            let text = String::from_utf8(net.received(client)).unwrap();
            let expected = format!("\r\n\r\n20000 {sum} a b 4+ 4 {announced} 4HTTP/1.1 200 OK");
            assert!(text.contains(&expected), "{expected}: {text}");
            assert!(text.ends_with("hello\n"), "{text}");
            assert_eq!(stats.value(Counter::StaleTickets), 0);
            assert_eq!(*app.abandoned.lock().unwrap(), 0);
        });
    }
}

#[test]
fn body_that_is_never_taken_gets_503_and_its_handler_is_told() {
    run_plain(&Setup::default(), |net, turn, app, _| {
        let client = net.connect(10_000);
        let (request, _) = posted("/paced/a%20b?q=1", 300, 5_000, None);
        net.send(client, &request);
        turns(turn, 3);
        let ticket = app.tickets.lock().unwrap()[0];
        advance(net, turn, u64::from(LIMITS.handler_ms) - 200);
        assert!(!net.ended(client));
        advance(net, turn, 500);
        starts(&net.received(client), "HTTP/1.1 503");
        assert_eq!(*app.abandoned.lock().unwrap(), 1);
        *app.takes.lock().unwrap() = 9;
        net.world()
            .messages
            .push_back(Message::Complete { ticket, value: 0 });
        turns(turn, 3);
        assert_eq!(*app.takes.lock().unwrap(), 9, "its ticket is stale");
    });
}

#[test]
fn upload_larger_than_memory_goes_through_the_handler() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let client = net.connect(10_000);
        net.send(
            client,
            b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
        );
        for _ in 0..1_000 {
            net.send(client, &[7; 1_000]);
            turns(turn, 3);
        }
        assert_eq!(body(&net.received(client)), "1000000 7000000");
        assert!(stats.value(Counter::LeasesTaken) > 0);
    });
}

#[test]
fn body_refused_by_the_handler_gets_its_status_and_a_gentle_close() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(10_000);
        net.send(
            client,
            b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab!",
        );
        turns(turn, 3);
        starts(&net.received(client), "HTTP/1.1 422");
        assert!(body(&net.received(client)).contains("it has a mark"));
        assert!(net.ended(client));
        net.send(client, &[b'x'; 97]);
        net.finish(client);
        turns(turn, 3);
        assert!(!net.was_reset(client));
    });
}

#[test]
fn head_is_answered_by_its_own_route_wherever_it_stands() {
    let head = |path| exchange(get(path).replacen("GET", "HEAD", 1).as_bytes()).0;
    starts(&exchange(get("/either").as_bytes()).0, "HTTP/1.1 200");
    starts(&head("/either"), "HTTP/1.1 204");
    starts(&head("/hello"), "HTTP/1.1 200");
    starts(&head("/upload"), "HTTP/1.1 405");
}

#[test]
fn interim_status_of_a_handler_becomes_500() {
    for code in [100, 101, 103, 199] {
        let (reply, ended) = exchange(get(&format!("/status/{code}")).as_bytes());
        starts(&reply, "HTTP/1.1 500");
        assert!(ended, "{code}");
    }
    let (reply, ended) = exchange(get("/status/200").as_bytes());
    assert_eq!((body(&reply), ended), ("body\n".to_owned(), false));
}

#[test]
fn body_refused_with_what_is_no_error_gets_500() {
    for piece in ["1", "2"] {
        let request =
            format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{piece}");
        let (reply, ended) = exchange(request.as_bytes());
        starts(&reply, "HTTP/1.1 500");
        assert!(ended, "{piece}");
    }
}

#[test]
fn close_holds_for_the_reply_that_comes_later() {
    for how in ["collect", "receive", "defer"] {
        run_plain(&Setup::default(), |net, turn, app, _| {
            let client = net.connect(10_000);
            let request =
                format!("POST /last/{how} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
            net.send(client, request.as_bytes());
            turns(turn, 3);
            for &ticket in app.tickets.lock().unwrap().iter() {
                let message = Message::Complete { ticket, value: 0 };
                net.world().messages.push_back(message);
            }
            turns(turn, 3);
            let text = String::from_utf8(net.received(client)).unwrap();
            assert!(
                text.starts_with("HTTP/1.1 204") && text.contains("Connection: close\r\n"),
                "{how}: {text}"
            );
            assert!(net.ended(client), "{how}");
        });
    }
}

#[test]
fn busy_site_tells_when_to_try_again() {
    let (reply, ended) = exchange(get("/busy").as_bytes());
    starts(&reply, "HTTP/1.1 503");
    assert!(String::from_utf8_lossy(&reply).contains("\r\nRetry-After: 1\r\n"));
    assert!(!ended);
}

#[test]
fn expectation_is_met_only_where_the_body_is_wanted() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(10_000);
        net.send(
            client,
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        );
        turns(turn, 2);
        assert_eq!(net.read(client), b"HTTP/1.1 100 Continue\r\n\r\n");
        net.send(client, b"abc");
        turns(turn, 2);
        assert_eq!(body(&net.read(client)), "abc");
        net.send(client, b"POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        turns(turn, 2);
        let reply = net.read(client);
        starts(&reply, "HTTP/1.1 404");
        assert!(String::from_utf8_lossy(&reply).contains("Connection: close"));
    });
}

#[test]
fn unread_body_is_drained_up_to_the_limit_and_not_beyond() {
    let small = [
        b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n".as_slice(),
        &[b'x'; 4_000],
        get("/hello").as_bytes(),
    ]
    .concat();
    let (reply, ended) = exchange(&small);
    let text = String::from_utf8_lossy(&reply);
    assert!(
        text.starts_with("HTTP/1.1 404") && text.ends_with("hello\n") && !ended,
        "{text}"
    );
    let large = [
        b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 4001\r\n\r\n".as_slice(),
        &[b'x'; 4_001],
        get("/hello").as_bytes(),
    ]
    .concat();
    let (reply, ended) = exchange(&large);
    let text = String::from_utf8_lossy(&reply);
    assert!(
        text.contains("Connection: close") && !text.contains("hello") && ended,
        "{text}"
    );
}

#[test]
fn what_frames_unread_chunks_counts_against_the_drain_limit() {
    // Six bytes on the wire for each of data; 4,000 are drained.
    for (chunks, lives_on) in [(600, true), (700, false), (3_000, false)] {
        let request = format!(
            "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n{}",
            "1\r\nx\r\n".repeat(chunks),
            get("/hello")
        );
        let (reply, ended) = exchange(request.as_bytes());
        let text = String::from_utf8_lossy(&reply);
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
        assert_eq!(text.ends_with("hello\n"), lives_on, "{chunks}: {text}");
        assert_eq!(ended, !lives_on, "{chunks}");
    }
}

#[test]
fn streamed_replies_are_framed_for_the_client_s_version() {
    let (reply, ended) = exchange(get("/stream/5000").as_bytes());
    let text = String::from_utf8_lossy(&reply);
    assert!(
        text.contains("Transfer-Encoding: chunked\r\n")
            && reply.ends_with(b"\r\n0\r\n\r\n")
            && !ended
    );
    let (reply, ended) = exchange(b"GET /stream/5000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let text = String::from_utf8_lossy(&reply);
    assert!(text.contains("Connection: close\r\n") && ended, "{text}");
    let at = reply
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert_eq!(reply[at..].len(), 5_000);
    assert!(
        reply[at..]
            .iter()
            .enumerate()
            .all(|(n, &byte)| byte == (n % 251) as u8)
    );
    let (reply, ended) = exchange(b"HEAD /stream/5000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(reply.ends_with(b"\r\n\r\n") && !ended);
}

#[test]
fn slow_reader_gets_all_of_memory_files_and_streams() {
    for path in [
        "/large",
        "/file/50000",
        "/memory/50000",
        "/pieces/50000",
        "/stream/50000",
    ] {
        run_plain(&Setup::default(), |net, turn, _, stats| {
            let client = net.connect(700);
            net.send(client, format!("{}{}", get(path), get("/hello")).as_bytes());
            let mut all = Vec::new();
            for _ in 0..1_000 {
                turns(turn, 2);
                all.extend(net.read(client));
            }
            assert!(all.ends_with(b"\r\n\r\nhello\n"), "{path}");
            assert!(all.len() > 50_000, "{path}: {}", all.len());
            assert_eq!(stats.value(Counter::Replies2xx), 2);
        });
    }
}

#[test]
fn content_that_changes_before_it_is_sent_is_looked_at_again_and_then_refused() {
    // As often as it changes, the status, and whether the connection lives on.
    for (changes, status) in [(0, "200 OK"), (1, "200 OK"), (2, "503 Service Unavailable")] {
        for (before, behind) in [("", ""), ("", "/hello"), ("/hello", "/hello")] {
            run_plain(&Setup::default(), |net, turn, _, stats| {
                let client = net.connect(700);
                let changing = format!("/changing/{changes}");
                let paths = [before, &changing, behind];
                let paths = paths.into_iter().filter(|path| !path.is_empty());
                let pipeline: Vec<_> = paths.map(get).collect();
                net.send(client, pipeline.concat().as_bytes());
                let mut all = Vec::new();
                for _ in 0..1_000 {
                    turns(turn, 2);
                    all.extend(net.read(client));
                }
                let text = String::from_utf8_lossy(&all);
                let at = text.find(&format!("HTTP/1.1 {status}\r\n"));
                assert!(at.is_some(), "{changes}: {text}");
                let refused = status.starts_with("503");
                assert_eq!(text.contains("\r\nRetry-After: "), refused, "{text}");
                assert_eq!(all.len() > 50_000, !refused, "{changes}");
                let hello = all.ends_with(b"\r\n\r\nhello\n");
                assert_eq!(hello, !behind.is_empty(), "{changes}: {text}");
                let heads = text.matches("HTTP/1.1 ").count();
                assert_eq!(heads, pipeline.len(), "{text}");
                // Each request is counted once, with the response that was sent.
                let counted = [Counter::Requests, Counter::Replies2xx, Counter::Replies5xx];
                let counted = counted.map(|counter| stats.value(counter));
                assert_eq!(
                    counted,
                    [heads, heads - usize::from(refused), usize::from(refused)]
                );
                assert!(!net.ended(client));
            });
        }
    }
}

#[test]
fn content_that_changes_while_earlier_responses_wait_is_asked_for_again() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        // Not even the first response fits the client's window.
        let client = net.connect(50);
        net.send(
            client,
            format!("{}{}", get("/hello"), get("/changing/1")).as_bytes(),
        );
        turns(turn, 5);
        let mut all = Vec::new();
        for _ in 0..3_000 {
            turns(turn, 2);
            all.extend(net.read(client));
        }
        let text = String::from_utf8_lossy(&all);
        assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{text}");
        assert!(all.len() > 50_000);
        assert_eq!(stats.value(Counter::Replies2xx), 2);
    });
}

#[test]
fn large_download_holds_no_lease_while_the_client_is_slow() {
    run_plain(
        &Setup {
            leases: 2,
            ..Setup::default()
        },
        |net, turn, _, _| {
            let slow: Vec<Socket> = (0..10).map(|_| net.connect(700)).collect();
            for &client in &slow {
                net.send(client, get("/file/50000").as_bytes());
                turns(turn, 3);
                // The head and a bit are out, the rest is the file's.
                net.read(client);
                turns(turn, 3);
            }
            let client = net.connect(10_000);
            net.send(client, get("/hello").as_bytes());
            turns(turn, 5);
            assert_eq!(body(&net.received(client)), "hello\n");
        },
    );
}

#[test]
fn stalled_client_holds_no_lease() {
    for path in ["/large", "/pieces/50000", "/memory/50000", "/file/50000"] {
        let setup = Setup {
            leases: 1,
            ..Setup::default()
        };
        run_plain(&setup, |net, turn, _, _| {
            let stalled = net.connect(12_000);
            net.send(stalled, get(path).as_bytes());
            turns(turn, 5);
            let client = net.connect(10_000);
            net.send(client, get("/hello").as_bytes());
            turns(turn, 5);
            assert_eq!(body(&net.received(client)), "hello\n", "beside {path}");
        });
    }
}

#[test]
fn site_is_not_asked_for_nothing() {
    // The site of this simulation panics where it is.
    for path in ["/pieces/0", "/memory/0", "/file/0"] {
        let (reply, _) = exchange(get(path).as_bytes());
        starts(&reply, "HTTP/1.1 200 OK\r\n");
        assert_eq!(body(&reply), "", "{path}");
    }
}

#[test]
fn connections_beyond_the_leases_wait_in_order_and_all_are_served() {
    run_plain(
        &Setup {
            leases: 2,
            ..Setup::default()
        },
        |net, turn, _, stats| {
            // Two clients hold both leases with heads that do not end.
            let holders: Vec<Socket> = (0..2).map(|_| net.connect(10_000)).collect();
            holders
                .iter()
                .for_each(|&client| net.send(client, b"GET /hello HTTP/1.1\r\nHost:"));
            turns(turn, 3);
            let waiting: Vec<Socket> = (0..10).map(|_| net.connect(10_000)).collect();
            waiting
                .iter()
                .for_each(|&client| net.send(client, get("/hello").as_bytes()));
            turns(turn, 5);
            assert!(
                waiting
                    .iter()
                    .all(|&client| net.received(client).is_empty())
            );
            assert_eq!(stats.value(Counter::LeaseWaits), 10);
            net.send(holders[0], b" a\r\n\r\n");
            turns(turn, 20);
            assert!(
                waiting
                    .iter()
                    .all(|&client| body(&net.received(client)) == "hello\n")
            );
            assert_eq!(body(&net.received(holders[0])), "hello\n");
        },
    );
}

#[test]
fn deferred_reply_is_written_when_its_ticket_is_completed() {
    run_plain(&Setup::default(), |net, turn, app, stats| {
        let clients: Vec<Socket> = (0..3).map(|_| net.connect(10_000)).collect();
        clients.iter().for_each(|&client| {
            net.send(
                client,
                format!("{}{}", get("/later"), get("/hello")).as_bytes(),
            )
        });
        turns(turn, 3);
        let tickets = app.tickets.lock().unwrap().clone();
        for (n, &ticket) in tickets.iter().enumerate().rev() {
            assert!(net.received(clients[n]).is_empty());
            net.world().messages.push_back(Message::Complete {
                ticket,
                value: n as u64,
            });
            // A second completion of the same ticket is one too many.
            net.world()
                .messages
                .push_back(Message::Complete { ticket, value: 99 });
            turns(turn, 3);
            let text = String::from_utf8(net.received(clients[n])).unwrap();
            assert!(
                text.contains(&format!("value {n}")) && text.ends_with("hello\n"),
                "{text}"
            );
        }
        assert_eq!(stats.value(Counter::StaleTickets), 3);
    });
}

#[test]
fn ticket_of_a_lost_client_completes_nothing() {
    run_plain(&Setup::default(), |net, turn, app, stats| {
        let client = net.connect(10_000);
        net.send(client, get("/later").as_bytes());
        turns(turn, 2);
        let ticket = app.tickets.lock().unwrap()[0];
        advance(net, turn, u64::from(LIMITS.handler_ms) + 500);
        starts(&net.received(client), "HTTP/1.1 503");
        net.finish(client);
        turns(turn, 2);
        let other = net.connect(10_000);
        net.send(other, get("/later").as_bytes());
        turns(turn, 2);
        let newer = app.tickets.lock().unwrap()[1];
        assert_eq!(
            newer.connection.index, ticket.connection.index,
            "the slot was used again"
        );
        net.world()
            .messages
            .push_back(Message::Complete { ticket, value: 1 });
        turns(turn, 2);
        assert!(net.received(other).is_empty());
        assert_eq!(stats.value(Counter::StaleTickets), 1);
        assert_eq!(*app.abandoned.lock().unwrap(), 1);
    });
}

/// What a client did before it fell silent, what it then gets, and after how long.
#[test]
fn each_phase_has_its_deadline() {
    let cases: [(&str, &[u8], u32, &str); 7] = [
        ("first byte", b"", LIMITS.first_byte_ms, ""),
        ("head", b"GET / HT", LIMITS.head_ms, "HTTP/1.1 408"),
        (
            "body",
            b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            LIMITS.body_ms,
            "HTTP/1.1 408",
        ),
        (
            "collected body",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            LIMITS.body_ms,
            "HTTP/1.1 408",
        ),
        (
            "handler",
            b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
            LIMITS.handler_ms,
            "HTTP/1.1 503",
        ),
        (
            "idle",
            b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
            LIMITS.idle_ms,
            "HTTP/1.1 200",
        ),
        (
            "write",
            b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
            LIMITS.write_ms,
            "HTTP/1.1 200",
        ),
    ];
    for (phase, sent, after, reply) in cases {
        run_plain(&Setup::default(), |net, turn, _, stats| {
            let client = net.connect(1_000);
            net.send(client, sent);
            turns(turn, 2);
            advance(net, turn, u64::from(after) - 200);
            assert!(!net.ended(client), "{phase}: too early");
            advance(net, turn, 500);
            assert!(net.ended(client), "{phase}: too late");
            starts(&net.received(client), reply);
            assert_eq!(stats.value(Counter::TimedOut), 1, "{phase}");
        });
    }
}

#[test]
fn head_that_trickles_is_not_given_more_time() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(1_000);
        for byte in b"GET /hello HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            net.send(client, &[*byte]);
            advance(net, turn, 1_000);
            if net.ended(client) {
                break;
            }
        }
        starts(&net.received(client), "HTTP/1.1 408");
    });
}

#[test]
fn longest_idle_is_evicted_then_newcomers_are_refused() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let clients: Vec<Socket> = (0..LIMITS.connections)
            .map(|_| net.connect(10_000))
            .collect();
        for &client in &clients {
            net.send(client, get("/hello").as_bytes());
            turns(turn, 2);
            net.world().now += 10;
        }
        let newcomer = net.connect(10_000);
        net.send(newcomer, get("/hello").as_bytes());
        turns(turn, 2);
        assert_eq!(body(&net.received(newcomer)), "hello\n");
        assert!(net.ended(clients[0]), "the longest idle made room");
        assert_eq!(stats.value(Counter::Evicted), 1);
        // All busy: nobody can be sent away for a newcomer.
        for &client in &clients[1..] {
            net.send(client, b"GET /hel");
        }
        net.send(newcomer, b"GET /hel");
        turns(turn, 2);
        let late = net.connect(10_000);
        net.send(late, get("/hello").as_bytes());
        turns(turn, 2);
        starts(&net.received(late), "HTTP/1.1 503");
        assert!(net.ended(late));
        assert_eq!(stats.value(Counter::Refused), 1);
        net.send(clients[5], b"lo HTTP/1.1\r\nHost: a\r\n\r\n");
        turns(turn, 3);
        assert!(net.received(clients[5]).ends_with(b"hello\n"));
    });
}

#[test]
fn those_who_say_nothing_make_room_before_those_who_ask() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let begin = net.world().now;
        let mut silent = Vec::new();
        for _ in 1..LIMITS.connections {
            silent.push(net.connect(10_000));
            turns(turn, 2);
            net.world().now += 1;
        }
        let ask = |client, turn: &mut dyn FnMut()| {
            net.send(client, get("/hello").as_bytes());
            turns(turn, 2);
            net.read(client)
        };
        // At once nobody can tell who is going to say nothing: the only idle one has to go.
        let client = net.connect(10_000);
        assert_eq!(body(&ask(client, turn)), "hello\n");
        let second = net.connect(10_000);
        assert_eq!(body(&ask(second, turn)), "hello\n");
        assert!(net.ended(client));
        net.world().now = begin + 1_990;
        let third = net.connect(10_000);
        assert_eq!(body(&ask(third, turn)), "hello\n");
        assert!(net.ended(second) && !net.ended(silent[0]));
        // Later it is the silent ones, the first of them first.
        net.world().now = begin + 2_100;
        for &gone in &silent[..3] {
            assert_eq!(body(&ask(third, turn)), "hello\n");
            let next = net.connect(10_000);
            assert_eq!(body(&ask(next, turn)), "hello\n");
            assert!(net.ended(gone) && !net.ended(third));
        }
        assert_eq!(stats.value(Counter::Evicted), 5);
        assert_eq!(stats.value(Counter::Refused), 0);
    });
}

#[test]
fn event_for_a_former_life_of_a_slot_is_dropped() {
    use capuchin_core::event::{Deadline, Error, EventChannel, EventList, Interest, Readiness};
    use capuchin_core::transport::Socket;

    /// Reports every token that it ever saw, readable, in every wait.
    struct Repeating(Net, Vec<Token>);
    impl EventChannel for Repeating {
        type Notifier = Net;
        fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
            self.1.push(token);
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
            for &token in self.1.iter().rev() {
                let _ = events.push(capuchin_core::event::Event::Ready {
                    token,
                    readiness: Readiness::READABLE,
                });
            }
            Ok(())
        }
        fn notifier(&self) -> Net {
            self.0.clone()
        }
    }

    let net = Net::new();
    let channel = Repeating(net.clone(), Vec::new());
    sim::rig::run(
        &Setup::default(),
        &net,
        channel,
        net.clone(),
        |turn, _: &App, stats: &Stats| {
            for _ in 0..10 {
                let client = net.connect(10_000);
                net.send(client, b"GET /hello HTTP/1.1\r\nHost: a\r\n");
                turns(turn, 2);
                net.send(client, b"Connection: close\r\n\r\n");
                turns(turn, 2);
                assert!(net.received(client).ends_with(b"hello\n"));
            }
            assert!(stats.value(Counter::EventsStale) > 10);
            assert_eq!(stats.value(Counter::Reset), 0);
        },
    );
}

#[test]
fn draining_finishes_what_has_begun_and_nothing_else() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let (idle, busy) = (net.connect(10_000), net.connect(10_000));
        net.send(idle, get("/hello").as_bytes());
        net.send(busy, b"GET /hello HTTP/1.1\r\n");
        turns(turn, 2);
        net.world().messages.push_back(Message::Drain);
        turns(turn, 2);
        assert!(net.ended(idle) && !net.ended(busy));
        net.send(busy, b"Host: a\r\n\r\n");
        turns(turn, 3);
        let text = String::from_utf8(net.received(busy)).unwrap();
        assert!(
            text.contains("Connection: close") && text.ends_with("hello\n"),
            "{text}"
        );
        // The client does not know yet, so it may be sending: its end is waited for.
        net.finish(busy);
        turns(turn, 1);
        assert_eq!(stats.open(), 0);
        assert!(!net.was_reset(busy));
    });
}

#[test]
fn busy_connection_leaves_the_others_their_turn() {
    run_plain(
        &Setup {
            lease_bytes: 60_000,
            ..Setup::default()
        },
        |net, turn, _, _| {
            let (greedy, modest) = (net.connect(1_000_000), net.connect(10_000));
            let many: String = (0..1_000).map(|_| get("/hello")).collect();
            net.send(greedy, many.as_bytes());
            net.send(modest, get("/hello").as_bytes());
            turns(turn, 2);
            assert_eq!(body(&net.received(modest)), "hello\n");
            let answered = String::from_utf8(net.received(greedy))
                .unwrap()
                .matches("hello\n")
                .count();
            assert!(
                answered <= 4 * LIMITS.turn_requests as usize,
                "{answered} in two turns"
            );
            turns(turn, 100);
            let answered = String::from_utf8(net.received(greedy))
                .unwrap()
                .matches("hello\n")
                .count();
            assert_eq!(answered, 1_000);
        },
    );
}

#[test]
fn error_reply_to_a_request_after_head_has_its_text() {
    // What HEAD asked for must not shape the reply to the request that follows it.
    let (reply, ended) = exchange(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nBROKEN\r\n\r\n");
    let text = String::from_utf8(reply).unwrap();
    let second = text.split("HTTP/1.1 ").nth(2).unwrap();
    let length: usize = second
        .split("Content-Length: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(second.starts_with("400") && length > 0 && ended);
    assert_eq!(body(second.as_bytes()).len(), length);
}

#[test]
fn half_closed_client_gets_its_replies() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(10_000);
        net.send(
            client,
            format!("{}{}", get("/hello"), get("/stream/3000")).as_bytes(),
        );
        net.finish(client);
        turns(turn, 10);
        let reply = net.received(client);
        assert!(reply.ends_with(b"\r\n0\r\n\r\n"));
        assert!(net.ended(client) && !net.was_reset(client));
    });
}

#[test]
fn requests_that_repeat_in_a_pipeline_are_answered_by_one_send() {
    run_plain(&Setup::default(), |net, turn, _, stats| {
        let client = net.connect(1_000_000);
        let one = get("/ready/10");
        net.send(client, one.as_bytes());
        turns(turn, 2);
        let reply = net.read(client);
        let sends = stats.value(Counter::Sends);
        // More than half of the buffer is filled by their replies.
        net.send(client, one.repeat(10).as_bytes());
        turns(turn, 2);
        assert!(reply.len() * 10 > Setup::default().lease_bytes / 2);
        assert_eq!(net.read(client), reply.repeat(10));
        assert_eq!(stats.value(Counter::Sends) - sends, 1);
        assert_eq!(stats.value(Counter::Requests), 11);
        assert_eq!(stats.value(Counter::Replies2xx), 11);
    });
}

#[test]
fn last_request_of_a_connection_is_so_however_often_its_head_came() {
    let mut setup = Setup::default();
    setup.limits.requests_per_connection = 3;
    for at_once in [false, true] {
        run_plain(&setup, |net, turn, _, _| {
            let client = net.connect(1_000_000);
            let one = get("/ready/10");
            if at_once {
                net.send(client, one.repeat(4).as_bytes());
            }
            for _ in 0..4 {
                if !at_once {
                    net.send(client, one.as_bytes());
                }
                turns(turn, 3);
            }
            let replies = String::from_utf8_lossy(&net.received(client)).into_owned();
            assert_eq!(replies.matches("HTTP/1.1 200 OK").count(), 3, "{replies}");
            assert_eq!(replies.matches("Connection: close").count(), 1, "{replies}");
            assert!(net.ended(client));
        });
    }
}

#[test]
fn reply_to_a_head_that_came_before_has_its_own_date() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(1_000_000);
        let mut replies = Vec::new();
        for _ in 0..2 {
            net.send(client, get("/ready/3000").as_bytes());
            turns(turn, 2);
            replies.push(net.read(client));
            advance(net, turn, 1_000);
        }
        starts(
            &replies[0],
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT\r\n",
        );
        starts(
            &replies[1],
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:39 GMT\r\n",
        );
        assert_eq!(replies[0][54..], replies[1][54..]);
    });
}

#[test]
fn body_that_repeats_its_head_is_no_request() {
    let head = "GET /ready/10 HTTP/1.1\r\nHost: a\r\nContent-Length: LENGTH\r\n\r\n";
    let head = head.replace("LENGTH", &(head.len() - 4).to_string());
    for pieces in [&[head.repeat(2)][..], &[head.clone(), head.clone()]] {
        run_plain(&Setup::default(), |net, turn, _, stats| {
            let client = net.connect(1_000_000);
            // What was learnt from one is of no use to the next.
            for round in 1..=3 {
                for piece in pieces {
                    net.send(client, piece.as_bytes());
                    turns(turn, 3);
                }
                let replies = String::from_utf8_lossy(&net.read(client)).into_owned();
                assert_eq!(replies.matches("HTTP/1.1 200").count(), 1, "{replies}");
                assert_eq!(stats.value(Counter::Requests), round);
            }
        });
    }
}

#[test]
fn repeated_request_of_http_1_0_is_told_that_the_connection_stays() {
    run_plain(&Setup::default(), |net, turn, _, _| {
        let client = net.connect(1_000_000);
        let one = "GET /ready/10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        for count in [1, 1, 3] {
            net.send(client, one.repeat(count).as_bytes());
            turns(turn, 3);
            let replies = String::from_utf8_lossy(&net.read(client)).into_owned();
            let told = replies.matches("\r\nConnection: keep-alive\r\n").count();
            assert_eq!(told, count, "{replies}");
        }
    });
}
