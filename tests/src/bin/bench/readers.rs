//! Clients that take a large file slowly.

use crate::machine;
use crate::server::Server;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The file: 500 s of reading, longer than any run.
pub const BYTES: usize = 10_000_000;

/// Each reads so much at a time, so often: 20 KB a second.
const PIECE: usize = 2_048;
const PAUSE: Duration = Duration::from_millis(100);

/// What the system keeps for a client: a large buffer would take the file at once.
const RECEIVE_BUFFER: usize = 8_192;

/// For the send buffers of all to be full: then a server has to send no more than is taken.
const SETTLE: Duration = Duration::from_secs(10);

/// Between two looks at it, and how much of that time a server works that has filled them.
const LOOK: Duration = Duration::from_millis(250);
const CALM: f64 = 0.2;

/// Readers at work while this lives.
pub struct Readers {
    signals: Arc<Signals>,
    thread: Option<JoinHandle<u64>>,
}

#[derive(Default)]
struct Signals {
    /// What is taken counts from now on.
    settled: AtomicBool,
    over: AtomicBool,
}

impl Readers {
    pub fn start(server: &Server, count: usize) -> io::Result<Self> {
        let clients = (0..count)
            .map(|_| connect(server.address))
            .collect::<io::Result<Vec<_>>>()?;
        let signals = Arc::new(Signals::default());
        let seen = Arc::clone(&signals);
        let thread = thread::spawn(move || {
            machine::pin_self(machine::cores().load);
            read(clients, &seen)
        });
        let begin = Instant::now();
        loop {
            let before = server.cpu();
            thread::sleep(LOOK);
            let used = (server.cpu() - before).total();
            if used < LOOK.as_secs_f64() * CALM || begin.elapsed() > SETTLE {
                break;
            }
        }
        signals.settled.store(true, Ordering::Relaxed);
        Ok(Self {
            signals,
            thread: Some(thread),
        })
    }

    /// Ends them; how many were cut off, or got less than half of what they would have taken.
    pub fn end(&mut self) -> u64 {
        self.signals.over.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or(0)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.end();
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(format!("GET /{BYTES}.bin HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A client, what it took since all was settled, and whether it was cut off.
struct Reader {
    client: TcpStream,
    taken: usize,
    cut: bool,
}

/// Takes a piece of each, again and again, until it is over.
fn read(clients: Vec<TcpStream>, signals: &Signals) -> u64 {
    let reader = |client| Reader {
        client,
        taken: 0,
        cut: false,
    };
    let mut readers: Vec<Reader> = clients.into_iter().map(reader).collect();
    let (begin, mut buffer, mut times) = (Instant::now(), [0u8; PIECE], 0);
    let mut settled_at = None;
    while !signals.over.load(Ordering::Relaxed) {
        if settled_at.is_none() && signals.settled.load(Ordering::Relaxed) {
            settled_at = Some(times);
            readers.iter_mut().for_each(|reader| reader.taken = 0);
        }
        for reader in readers.iter_mut().filter(|reader| !reader.cut) {
            match reader.client.read(&mut buffer) {
                Ok(0) => reader.cut = true,
                Ok(count) => reader.taken += count,
                Err(error) => reader.cut = error.kind() != ErrorKind::WouldBlock,
            }
        }
        times += 1;
        thread::sleep((PAUSE * times).saturating_sub(begin.elapsed()));
    }
    let wanted = PIECE * (times - settled_at.unwrap_or(times)) as usize / 2;
    let failed = |reader: &&Reader| reader.cut || reader.taken < wanted;
    readers.iter().filter(failed).count() as u64
}
