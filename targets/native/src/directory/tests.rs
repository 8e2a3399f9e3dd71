//! A server whose storage hangs where a test says so.

use super::{DirectoryOptions, Seam};
use crate::{Limits, Running, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;
use std::{fs, thread};

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// What hangs until it is opened, and what was asked of storage so far.
#[derive(Default)]
struct Gate {
    state: Mutex<(Vec<&'static str>, Vec<String>)>,
    changed: Condvar,
}

impl Gate {
    fn closed_for(what: &[&'static str]) -> Arc<Self> {
        let gate = Self::default();
        gate.state.lock().unwrap().0 = what.to_vec();
        Arc::new(gate)
    }

    fn pass(&self, what: &str) {
        let mut state = self.state.lock().unwrap();
        state.1.push(what.to_owned());
        self.changed.notify_all();
        while state.0.iter().any(|closed| what.starts_with(closed)) {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn open(&self) {
        self.state.lock().unwrap().0.clear();
        self.changed.notify_all();
    }

    fn count(&self, what: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.1.iter().filter(|asked| *asked == what).count()
    }

    /// Returns once storage was asked for something `count` times.
    fn wait_for(&self, what: &str, count: usize) {
        let state = self.state.lock().unwrap();
        let is_missing = |state: &mut (Vec<&str>, Vec<String>)| {
            state.1.iter().filter(|asked| *asked == what).count() < count
        };
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, PATIENCE, is_missing)
            .unwrap();
        assert!(!timeout.timed_out(), "{what} was not asked for");
    }
}

/// Opened at the end, also of a test that fails: no thread hangs for ever.
struct Place {
    base: PathBuf,
    gate: Arc<Gate>,
    running: Option<Running>,
}

impl Place {
    fn new(name: &str, closed: &[&'static str], limits: Limits, options: DirectoryOptions) -> Self {
        let base =
            std::env::temp_dir().join(format!("capuchin-hung-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("hung-dir")).unwrap();
        fs::write(base.join("fast"), "fast").unwrap();
        for number in 0..10 {
            fs::write(
                base.join(format!("hung-{number}")),
                format!("hung {number}"),
            )
            .unwrap();
        }
        fs::write(base.join("large"), large()).unwrap();
        let gate = Gate::closed_for(closed);
        let mut server = Server::new(())
            .directory(&base, options)
            .limits(limits)
            .listen("127.0.0.1:0".parse().unwrap());
        let passed = Arc::clone(&gate);
        server.seam = Some(Seam(Arc::new(move |what| {
            passed.pass(std::str::from_utf8(what).unwrap());
        })));
        let running = Some(server.start().unwrap());
        Self {
            base,
            gate,
            running,
        }
    }

    /// Sends a request, and does not wait for the response.
    fn ask(&self, path: &str) -> TcpStream {
        let address = self.running.as_ref().unwrap().addresses()[0];
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream
    }

    fn get(&self, path: &str) -> Vec<u8> {
        read(self.ask(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.open();
        if let Some(running) = self.running.take() {
            running.stop();
            running.join();
        }
        let _ = fs::remove_dir_all(&self.base);
    }
}

fn read(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

fn large() -> Vec<u8> {
    (0..700_000u32).map(|at| (at % 251) as u8).collect()
}

fn limits(handler_ms: u32, drain_ms: u32) -> Limits {
    let mut limits = Limits::DEFAULT;
    (limits.handler_ms, limits.drain_ms) = (handler_ms, drain_ms);
    limits
}

const NEVER: u32 = 600_000;

#[test]
fn hung_look_up_costs_nobody_else_anything() {
    let options = DirectoryOptions {
        listing: true,
        ..DirectoryOptions::default()
    };
    let place = Place::new("look-up", &["/hung"], limits(NEVER, NEVER), options);
    let hung = [
        place.ask("/hung-0"),
        place.ask("/hung-dir/"),
        place.ask("/hung-none"),
    ];
    for path in ["/hung-0", "/hung-dir/", "/hung-none"] {
        place.gate.wait_for(path, 1);
    }
    for _ in 0..20 {
        assert!(place.get("/fast").ends_with(b"\r\n\r\nfast"));
    }
    place.gate.open();
    let texts = hung.map(|stream| String::from_utf8(read(stream)).unwrap());
    assert!(texts[0].ends_with("\r\n\r\nhung 0"), "{}", texts[0]);
    assert!(
        texts[1].contains("</html>") || texts[1].contains("<table"),
        "{}",
        texts[1]
    );
    assert!(texts[2].starts_with("HTTP/1.1 404 "), "{}", texts[2]);
}

#[test]
fn hung_read_costs_nobody_else_anything_and_the_content_arrives_whole() {
    for sendfile in [false, true] {
        let options = DirectoryOptions {
            sendfile,
            ..DirectoryOptions::default()
        };
        let place = Place::new("read", &["read"], limits(NEVER, NEVER), options);
        let hung: Vec<_> = (0..4).map(|_| place.ask("/large")).collect();
        place.gate.wait_for("read", 1);
        for _ in 0..20 {
            assert!(place.get("/fast").ends_with(b"\r\n\r\nfast"));
        }
        assert_eq!(place.gate.count("read"), 1, "all wait for the same piece");
        place.gate.open();
        for stream in hung {
            let all = read(stream);
            assert!(all.starts_with(b"HTTP/1.1 200 "));
            assert!(all.ends_with(&large()), "{}", all.len());
        }
    }
}

#[test]
fn who_waits_for_hung_storage_gets_503_when_the_time_of_a_handler_is_over() {
    let place = Place::new(
        "late",
        &["/hung", "read"],
        limits(200, NEVER),
        DirectoryOptions::default(),
    );
    for path in ["/hung-0", "/large"] {
        let text = String::from_utf8(place.get(path)).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 "), "{path}: {text}");
        assert!(text.contains("\r\nRetry-After: "), "{path}: {text}");
    }
}

#[test]
fn look_ups_beyond_the_queue_get_503_at_once_and_the_same_one_is_made_once() {
    let options = DirectoryOptions {
        file_threads: 1,
        file_queue: 2,
        ..DirectoryOptions::default()
    };
    let place = Place::new("queue", &["/hung"], limits(NEVER, NEVER), options);
    let mut served = vec![place.ask("/hung-0")];
    place.gate.wait_for("/hung-0", 1);
    // The thread has one, two wait, and one is too many: whichever comes last.
    let (tell, told) = mpsc::channel();
    for number in 1..=3 {
        let stream = place.ask(&format!("/hung-{number}"));
        let tell = tell.clone();
        thread::spawn(move || tell.send(read(stream)));
    }
    let refused = told.recv_timeout(PATIENCE).unwrap();
    assert!(refused.starts_with(b"HTTP/1.1 503 "));
    assert!(
        String::from_utf8(refused)
            .unwrap()
            .contains("\r\nRetry-After: ")
    );
    // Who asks for the same as somebody before takes no place.
    served.extend((0..5).map(|_| place.ask("/hung-0")));
    assert!(place.get("/hung-4").starts_with(b"HTTP/1.1 503 "));
    place.gate.open();
    for stream in served {
        assert!(read(stream).starts_with(b"HTTP/1.1 200 "));
    }
    for _ in 0..2 {
        let response = told.recv_timeout(PATIENCE).unwrap();
        assert!(response.starts_with(b"HTTP/1.1 200 "));
    }
}

#[test]
fn client_that_goes_while_storage_hangs_leaves_the_server_as_it_was() {
    let place = Place::new(
        "gone",
        &["/hung", "read"],
        limits(NEVER, NEVER),
        DirectoryOptions::default(),
    );
    drop([place.ask("/hung-0"), place.ask("/large")]);
    place.gate.wait_for("/hung-0", 1);
    place.gate.wait_for("/large", 1);
    assert!(place.get("/fast").ends_with(b"fast"));
    place.gate.open();
    assert!(place.get("/hung-0").ends_with(b"hung 0"));
    assert!(place.get("/large").ends_with(&large()));
}

#[test]
fn drain_ends_in_its_time_while_storage_hangs() {
    for (name, path, asked) in [
        ("find", "/hung-0", "/hung-0"),
        ("content", "/large", "read"),
    ] {
        let mut place = Place::new(
            &format!("drain-{name}"),
            &["/hung", "read"],
            limits(NEVER, 100),
            DirectoryOptions::default(),
        );
        let stream = place.ask(path);
        place.gate.wait_for(asked, 1);
        let running = place.running.take().unwrap();
        running.drain();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            running.join();
            let _ = tell.send(());
        });
        told.recv_timeout(PATIENCE)
            .expect("the server ends though the read does not");
        drop(stream);
    }
}

#[test]
fn look_up_in_a_directory_that_was_replaced_meanwhile_is_made_again() {
    let place = Place::new(
        "replaced",
        &["find /hung"],
        limits(NEVER, NEVER),
        DirectoryOptions::default(),
    );
    let hung = place.ask("/hung-0");
    place.gate.wait_for("find /hung-0", 1);
    let old = place.base.with_extension("old");
    let _ = fs::remove_dir_all(&old);
    fs::rename(&place.base, &old).unwrap();
    fs::create_dir(&place.base).unwrap();
    for name in ["fast", "hung-0"] {
        fs::write(place.base.join(name), "new").unwrap();
    }
    assert!(place.get("/fast").ends_with(b"\r\n\r\nnew"));
    place.gate.open();
    let first = String::from_utf8(read(hung)).unwrap();
    assert!(first.ends_with("\r\n\r\nnew"), "{first}");
    assert!(place.get("/hung-0").ends_with(b"\r\n\r\nnew"));
    fs::remove_dir_all(old).unwrap();
}
