//! The straight way of most requests comes to what the general way comes to: the same course of events is played on
//! both, with the same faults of the network, and everything that can be seen from outside is compared after each
//! step.

mod sim;

use capuchin_core::Slot;
use capuchin_core::event::{Deadline, Message};
use capuchin_core::fault::Dice;
use capuchin_core::http::fields::Field;
use capuchin_core::http::head::Head;
use capuchin_core::http::status::Status;
use capuchin_core::http::write::Writer;
use capuchin_core::limits::Limits;
use capuchin_core::pool::Leases;
use capuchin_core::reply::{Draft, Next, Opening};
use capuchin_core::route::Routed;
use capuchin_core::server::{Parts, REFUSALS, Worker};
use capuchin_core::service::{
    BodyProgress, Exchange, Outcome, Progress, Refusal, Request, Service,
};
use capuchin_core::site::{Content, ContentId};
use capuchin_core::stats::{Counter, Stats};
use capuchin_core::transport::{Error, Socket, Then, Transport};
use sim::rig::{App, ROUTES, SimSite};
use sim::{LISTENER, Net, SimFile};
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;

type Log = Rc<RefCell<String>>;
/// A service whose calls are noted.
struct Watched<S> {
    inner: S,
    log: Log,
    observes: bool,
    /// Replies are not sent in one piece, and heads not recalled.
    is_general: bool,
    recalled: Recalled,
}

/// How many heads were recalled, and the most of them on one connection one after the other.
type Recalled = Rc<Cell<(u32, u16)>>;

impl<S> Watched<S> {
    /// What the straight way need not ask for is noted on neither.
    fn notes(path: &[u8]) -> bool {
        !path.starts_with(b"/ready/")
    }
}
impl<S: Service> Service for Watched<S> {
    type File = S::File;
    fn connected(&mut self, i: u32, s: Socket) {
        self.inner.connected(i, s)
    }
    fn closed(&mut self, i: u32) {
        writeln!(self.log.borrow_mut(), "closed {i}").unwrap();
        self.inner.closed(i)
    }
    fn request(&mut self, x: &mut Exchange<'_>, r: &Request<'_>, d: &mut Draft<'_>) -> Next {
        if Self::notes(r.path()) {
            writeln!(
                self.log.borrow_mut(),
                "request {} {:?} {:?}",
                x.state[0] + x.state[1],
                x.ticket,
                r.path()
            )
            .unwrap();
        }
        self.inner.request(x, r, d)
    }
    fn body(
        &mut self,
        x: &mut Exchange<'_>,
        r: &Request<'_>,
        p: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        self.inner.body(x, r, p)
    }
    fn received(&mut self, x: &mut Exchange<'_>, r: &Request<'_>, d: &mut Draft<'_>) -> Next {
        self.inner.received(x, r, d)
    }
    fn collected(
        &mut self,
        x: &mut Exchange<'_>,
        r: &Request<'_>,
        b: &[u8],
        d: &mut Draft<'_>,
    ) -> Next {
        self.inner.collected(x, r, b, d)
    }
    fn resume(&mut self, x: &mut Exchange<'_>, v: u64, d: &mut Draft<'_>) -> Next {
        writeln!(self.log.borrow_mut(), "resume").unwrap();
        self.inner.resume(x, v, d)
    }
    fn stream(&mut self, x: &mut Exchange<'_>, o: &mut Writer<'_>) -> Progress {
        self.inner.stream(x, o)
    }
    fn abandoned(&mut self, x: &mut Exchange<'_>) {
        writeln!(self.log.borrow_mut(), "abandoned").unwrap();
        self.inner.abandoned(x)
    }
    fn message(&mut self, v: u64) {
        self.inner.message(v)
    }
    fn content(&mut self, id: ContentId, r: std::ops::Range<u64>) -> Content<'_, S::File> {
        self.inner.content(id, r)
    }
    fn release(&mut self, id: ContentId) {
        let is_noted = self
            .inner
            .prepared(id, &[0; size_of::<Opening>()])
            .is_none();
        if is_noted {
            // Numbers are not the same where some need not be found again.
            writeln!(self.log.borrow_mut(), "release").unwrap();
        }
        self.inner.release(id)
    }
    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        self.inner
            .prepared(id, opening)
            .filter(|_| !self.is_general)
    }
    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        let id = self
            .inner
            .recall(head, place, now, unix_time)
            .filter(|_| !self.is_general)?;
        let (count, most) = self.recalled.get();
        self.recalled.set((count + 1, most.max(*place)));
        Some(id)
    }
    fn remember(&mut self, head: &[u8], id: ContentId) {
        assert!(!self.observes);
        self.inner.remember(head, id)
    }
    fn observes(&self) -> bool {
        self.observes
    }
    fn observe(&mut self, i: u32, r: Option<&Head<'_>>, _: u64) {
        writeln!(
            self.log.borrow_mut(),
            "observe {i} {:?}",
            r.map(|h| h.target().to_vec())
        )
        .unwrap();
    }
    fn finished(&mut self, i: u32, o: Outcome) {
        writeln!(self.log.borrow_mut(), "finished {i} {o:?}").unwrap();
    }
}

/// Sends are refused, shortened or broken by what was sent to the socket so far, not by the number of calls.
struct Rough {
    net: Net,
    seed: u64,
    on: bool,
    calls: std::collections::BTreeMap<(i32, usize), u32>,
}
impl Rough {
    fn dice(&mut self, socket: Socket, salt: u64) -> (usize, usize) {
        let at = self.net.world().pipes[&socket.0].to_client.len();
        let n = self.calls.entry((socket.0, at)).or_insert(0);
        *n += 1;
        let mut d = Dice::new(
            self.seed ^ salt ^ ((socket.0 as u64) << 40) ^ ((at as u64) << 8) ^ u64::from(*n),
        );
        d.below(9);
        (d.below(20), d.below(600) + 1)
    }
}
impl Transport for Rough {
    type File = SimFile;
    fn accept(&mut self, l: Socket) -> Result<Socket, Error> {
        self.net.accept(l)
    }
    fn receive(&mut self, s: Socket, b: &mut [u8]) -> Result<usize, Error> {
        self.net.receive(s, b)
    }
    fn send(&mut self, s: Socket, p: &[&[u8]], t: Then) -> Result<usize, Error> {
        if !self.on {
            return self.net.send_(s, p, t);
        }
        match self.dice(s, 1) {
            (0, _) => Err(Error::WouldBlock),
            (1, _) => Err(Error::Disconnected),
            (2..=5, n) => {
                let all = p.concat();
                let n = n.min(all.len());
                self.net.send_(
                    s,
                    &[&all[..n]],
                    if n == all.len() { t } else { Then::Nothing },
                )
            }
            _ => self.net.send_(s, p, t),
        }
    }
    fn send_file(&mut self, s: Socket, f: SimFile, o: u64, l: u64) -> Result<usize, Error> {
        Transport::send_file(&mut self.net, s, f, o, l)
    }
    fn shutdown(&mut self, s: Socket) -> Result<(), Error> {
        self.net.shutdown(s)
    }
    fn abort(&mut self, s: Socket) {
        Transport::abort(&mut self.net, s)
    }
    fn close(&mut self, s: Socket) -> Result<(), Error> {
        self.net.close(s)
    }
}
trait S {
    fn send_(&mut self, s: Socket, p: &[&[u8]], t: Then) -> Result<usize, Error>;
}
impl S for Net {
    fn send_(&mut self, s: Socket, p: &[&[u8]], t: Then) -> Result<usize, Error> {
        Transport::send(self, s, p, t)
    }
}

/// Some request, plain or not.
fn request(d: &mut Dice, limit: usize) -> Vec<u8> {
    let n = [d.below(3), 100, 1400, 1460, 1461, 3_000, 20_000, 50_000][d.below(8)];
    let tail = [
        "",
        "",
        "",
        "",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Expect: 100-continue\r\n",
        "Range: bytes=3-70\r\n",
        "Range: bytes=3-70,90-95,0-0,80-\r\n",
        "Content-Length: 0\r\n",
        "If-Modified-Since: Sun, 06 Nov 1999 08:49:38 GMT\r\n",
        "Range: bytes=900000-\r\n",
        "Cookie: a=b\r\n",
        "Authorization: Basic YTpi\r\n",
    ][d.below(14)];
    let method = ["GET", "GET", "GET", "GET", "GET", "HEAD", "OPTIONS"][d.below(7)];
    let version = ["1.1", "1.1", "1.1", "1.1", "1.0"][d.below(5)];
    let path = match d.below(21) {
        17..=20 => format!("/ready/{n}"),
        0 | 1 => "/hello".into(),
        2 | 3 => "/large".into(),
        4 => format!("/memory/{n}"),
        5 => format!("/pieces/{n}"),
        6 => format!("/file/{n}"),
        7 => format!("/stream/{n}"),
        8 => "/later".into(),
        9 => "/status/204".into(),
        10 => "/status/404".into(),
        11 => "/either".into(),
        12 => "/busy".into(),
        13 => "/broken".into(),
        15 => "/goodbye".into(),
        14 => "/x/../hello?q".into(),
        _ => format!("/echo/w{n}"),
    };
    let mut all = format!("{method} {path} HTTP/{version}\r\nHost: a\r\n{tail}\r\n").into_bytes();
    match d.below(40) {
        0 => {
            all = format!(
                "POST /upload HTTP/1.1\r\nHost: a\r\n{}Content-Length: 50\r\n\r\n{}",
                if d.below(2) == 0 {
                    "Expect: 100-continue\r\n"
                } else {
                    ""
                },
                "u".repeat(50)
            )
            .into_bytes()
        }
        1 => all = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde".to_vec(),
        2 => all = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde".to_vec(),
        3 => all = b"GARBAGE\r\n\r\n".to_vec(),
        4 => all = b"GET /hello HTTP/1.1\r\n\r\n".to_vec(),
        5 => all = b"FOO /hello HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        6 => all = b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        7 => all = b"\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        8 => all.extend_from_slice(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
        9 | 10 => {
            let want = limit - [3, 4, 1, 2][d.below(4)];
            let head = b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ";
            all = head.to_vec();
            all.resize(want - 4, b'x');
            all.extend_from_slice(b"\r\n\r\n");
        }
        11 => all = b"POST /last/defer HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        12 => all = b"POST /last/receive HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        14 => all = all.repeat(1 + d.below(6)),
        15..=30 => {
            let n = [100, 3_000][d.below(2)];
            all = format!("GET /ready/{n} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
            if d.below(3) == 0 {
                // As much as one receive takes.
                all.truncate(all.len() - 2);
                all.extend_from_slice(b"X: ");
                all.resize(limit - 4, b'x');
                all.extend_from_slice(b"\r\n\r\n");
            }
            all = all.repeat([1, 1, 1, 5][d.below(4)]);
        }
        13 => all = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => {}
    }
    all
}

/// Plays the course of events of a seed; what was seen after each step.
fn play(seed: u64, straight: bool, recalled: &Recalled) -> Vec<String> {
    let net = Net::new();
    let mut d = Dice::new(seed);
    let app = App::default();
    let stats = Stats::new();
    let log: Log = Log::default();
    let mut slots: heapless::Vec<Slot, { 64 + REFUSALS as usize }> = heapless::Vec::new();
    let count = 1 + d.below(6);
    let size = 3_104;
    let mut bytes = vec![0xa5u8; count * size];
    let mut fields = vec![Field::default(); count * 32];
    let mut scratch = vec![0u8; size];
    let leases = Leases::new(&mut bytes, &mut fields, size, 32);
    let mut limits = Limits::DEFAULT;
    limits.connections = [2, 32][d.below(2)];
    limits.head_bytes = 1_024;
    limits.collect_bytes = 1_024;
    limits.drain_bytes = 4_000;
    limits.turn_requests = [1, 2, 64][d.below(3)];
    limits.turn_bytes = [1, 500, 1_024, 5_000, 1 << 20][d.below(5)];
    limits.requests_per_connection = [1, 3, u32::MAX][d.below(3)];
    limits.idle_ms = 5_000;
    limits.write_ms = 3_000;
    limits.head_ms = 4_000;
    limits.first_byte_ms = 6_000;
    limits.handler_ms = 7_000;
    limits.body_ms = 4_500;
    let transport = Rough {
        net: net.clone(),
        seed,
        on: d.below(2) == 0,
        calls: Default::default(),
    };
    let service = Watched {
        inner: Routed::new(ROUTES, &app, SimSite::default()),
        log: log.clone(),
        observes: d.below(3) == 0,
        is_general: !straight,
        recalled: recalled.clone(),
    };
    let mut worker = Worker::new(Parts {
        index: 0,
        channel: net.clone(),
        transport,
        clock: net.clone(),
        service,
        slots: &mut slots,
        leases,
        scratch: &mut scratch,
        stats: &stats,
        limits,
    });
    if !straight {
        worker.go_the_general_way();
    }
    worker.keep_room();
    worker.listen(LISTENER).unwrap();
    let mut clients: Vec<Socket> = Vec::new();
    let mut trace = Vec::new();
    let mut going = true;
    let steps = 20 + d.below(80);
    for step in 0..steps {
        let mut what = String::new();
        if clients.is_empty() || (clients.len() < 8 && d.below(8) == 0) {
            clients.push(net.connect([300, 1_000, 4_000, 1_000_000][d.below(4)]));
            what += "connect";
        }
        for _ in 0..1 + d.below(3) {
            let c = clients[d.below(clients.len())];
            match d.below(10) {
                0..=5 => {
                    let r = request(&mut d, 1_024);
                    let cut = if d.below(6) == 0 {
                        d.below(r.len())
                    } else {
                        r.len()
                    };
                    if !net.world().pipes[&c.0].closed && !net.world().pipes[&c.0].client_done {
                        net.send(c, &r[..cut]);
                        if d.below(3) > 0 {
                            net.send(c, &r[cut..]);
                        }
                    } else {
                        d.below(3);
                    }
                    write!(
                        what,
                        " {c:?}:{}",
                        String::from_utf8_lossy(&r[..cut.min(60)])
                    )
                    .unwrap();
                }
                6 | 7 => {
                    net.read(c);
                    write!(what, " read {c:?}").unwrap();
                }
                8 => {
                    if d.below(4) == 0 {
                        net.finish(c);
                        write!(what, " fin {c:?}").unwrap();
                    }
                }
                _ => {
                    let t = app.tickets.lock().unwrap().pop();
                    if let Some(ticket) = t {
                        net.world()
                            .messages
                            .push_back(Message::Complete { ticket, value: 7 });
                    }
                }
            }
        }
        if d.below(5) == 0 {
            let ms = d.below(30) as u64 * 100;
            for _ in 0..ms / 100 {
                net.world().now += 100;
                if going {
                    going = worker.turn(Deadline::Now).unwrap();
                }
            }
            write!(what, " +{ms}").unwrap();
        }
        if step == steps - 10 && d.below(2) == 0 {
            net.world().messages.push_back(Message::Drain);
            what += " drain";
        }
        for _ in 0..d.below(4) {
            if going {
                going = worker.turn(Deadline::Now).unwrap();
            }
        }
        let mut line = format!("{what}\n");
        for &c in Counter::ALL {
            if matches!(c, Counter::LeasesTaken | Counter::LeasesReturned) {
                continue;
            }
            write!(line, "{} {}, ", c.name(), stats.value(c)).unwrap();
        }
        write!(
            line,
            "held {}\n{}",
            stats.value(Counter::LeasesTaken) - stats.value(Counter::LeasesReturned),
            log.borrow()
        )
        .unwrap();
        log.borrow_mut().clear();
        for &c in &clients {
            let w = net.world();
            let p = &w.pipes[&c.0];
            write!(
                line,
                "[{c:?} {} {} {} {} {} {:?}] ",
                p.to_client.len(),
                p.to_server.len(),
                p.server_done,
                p.closed,
                p.reset,
                String::from_utf8_lossy(&p.to_client[p.to_client.len().saturating_sub(40)..])
            )
            .unwrap();
        }
        trace.push(line);
    }
    net.world().messages.push_back(Message::Stop);
    for _ in 0..50 {
        if going {
            going = worker.turn(Deadline::Now).unwrap();
        }
    }
    assert_eq!(
        stats.value(Counter::LeasesTaken),
        stats.value(Counter::LeasesReturned)
    );
    assert!(worker.service().inner.site().holds_nothing());
    trace.push(
        clients
            .iter()
            .map(|&c| String::from_utf8_lossy(&net.received(c)).into_owned())
            .collect(),
    );
    trace
}

#[test]
fn straight_way_comes_to_what_the_general_way_comes_to() {
    let recalled = Recalled::default();
    let (mut sum, mut longest) = (0, 0);
    for seed in 1..=2_200 {
        let general = play(seed, false, &recalled);
        assert_eq!(recalled.take(), (0, 0));
        let straight = play(seed, true, &recalled);
        let (count, most) = recalled.take();
        sum += count;
        longest = longest.max(most);
        for (step, (general, straight)) in general.iter().zip(&straight).enumerate() {
            assert!(
                general == straight,
                "seed {seed}, step {step}\ngeneral: {general}\nstraight: {straight}"
            );
        }
    }
    assert!(sum > 300, "{sum} heads were recalled");
    assert!(longest > 3, "a connection keeps the hint: {longest}");
}
