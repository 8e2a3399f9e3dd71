//! A load of a constant rate: one thread, one epoll that is asked without waiting, 64 connections.
//!
//! Request *i* is due at *start + i / rate*, whatever became of those before it. It goes to a free
//! connection, and waits for one where there is none. Its time runs from when it was due: a server
//! that stands still spoils the times of all that should have been asked meanwhile (no coordinated
//! omission). Without a rate a request is due whenever a connection is free.

mod client;

use crate::machine;
use client::{Client, Epoll};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;

/// For what is late when the time is over; what does not come by then is lost.
const GRACE: Duration = Duration::from_secs(3);

/// Of asking before what counts: the first request of a connection has it accepted, too.
const WARM: Duration = Duration::from_millis(50);

/// Nanoseconds that a histogram holds at the most, and its significant digits.
const LONGEST: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// What the generator saw; times in nanoseconds.
pub struct Outcome {
    pub requests: u64,
    pub seconds: f64,
    /// From when a request was due to the last byte of its reply.
    pub times: Histogram<u64>,
    /// From when a request was due and a connection free to when it was sent: the generator's own.
    pub lateness: Histogram<u64>,
    /// Requests without a reply, and replies that were none.
    pub lost: u64,
}

/// Asks for so long, `rate` requests a second or as many as it can.
pub fn run(
    address: SocketAddr,
    path: &str,
    rate: Option<f64>,
    length: Duration,
) -> Result<Outcome, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    machine::on_load_core("paced load", move || {
        let mut generator = Generator::connect(address, request.into_bytes())?;
        generator.warm()?;
        generator.run(Schedule::new(rate, length))
    })
}

/// When requests are due, in nanoseconds from the start.
struct Schedule {
    /// Between two; 0 without a rate.
    step: f64,
    /// None is due from here on.
    end: u64,
    /// The number of the next.
    next: u64,
}

impl Schedule {
    fn new(rate: Option<f64>, length: Duration) -> Self {
        Self {
            step: rate.map_or(0.0, |rate| 1e9 / rate),
            end: length.as_nanos() as u64,
            next: 0,
        }
    }

    /// When the next is due, if it is by now; it is the caller's then.
    fn take(&mut self, now: u64) -> Option<u64> {
        let due = if self.step == 0.0 {
            now
        } else {
            (self.next as f64 * self.step) as u64
        };
        (due <= now && due < self.end).then(|| {
            self.next += 1;
            due
        })
    }

    /// Whether none will be due any more.
    fn is_over(&self, now: u64) -> bool {
        match self.step {
            0.0 => now >= self.end,
            step => (self.next as f64 * step) as u64 >= self.end,
        }
    }
}

struct Generator {
    epoll: Epoll,
    clients: Vec<Client>,
    /// Those without a request out, the longest free first, and since when.
    free: VecDeque<(usize, u64)>,
    address: SocketAddr,
    request: Vec<u8>,
}

impl Generator {
    fn connect(address: SocketAddr, request: Vec<u8>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut clients = Vec::with_capacity(CONNECTIONS);
        for number in 0..CONNECTIONS {
            clients.push(Client::connect(address, &epoll, number)?);
        }
        Ok(Self {
            epoll,
            clients,
            free: (0..CONNECTIONS).map(|number| (number, 0)).collect(),
            address,
            request,
        })
    }

    /// Has every connection answered.
    fn warm(&mut self) -> io::Result<()> {
        let outcome = self.run(Schedule::new(None, WARM))?;
        self.free.iter_mut().for_each(|(_, since)| *since = 0);
        match outcome.lost {
            0 => Ok(()),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn run(&mut self, mut schedule: Schedule) -> io::Result<Outcome> {
        let histogram = || Histogram::new_with_max(LONGEST, DIGITS).map_err(io::Error::other);
        let (mut times, mut lateness) = (histogram()?, histogram()?);
        let (mut requests, mut lost) = (0, 0);
        let begin = Instant::now();
        let last = schedule.end + GRACE.as_nanos() as u64;
        let now = || begin.elapsed().as_nanos() as u64;
        let mut ready = Vec::with_capacity(CONNECTIONS);
        loop {
            let mut at = now();
            if at > last || (schedule.is_over(at) && self.free.len() == CONNECTIONS) {
                break;
            }
            while let Some(&(number, since)) = self.free.front() {
                let Some(due) = schedule.take(at) else {
                    break;
                };
                self.free.pop_front();
                self.clients[number].send(&self.request, due)?;
                lateness.saturating_record(at - due.max(since));
                at = now();
            }
            self.epoll.ready(&mut ready)?;
            for &number in &ready {
                let client = &mut self.clients[number];
                match client.receive() {
                    Ok(None) => continue,
                    Ok(Some(due)) => {
                        times.saturating_record(now() - due);
                        requests += 1;
                        if client.is_ending() {
                            *client = Client::connect(self.address, &self.epoll, number)?;
                        }
                    }
                    // A server may end a connection after so many requests, and say so in the reply
                    // before; then nothing is lost.
                    Err(_) => {
                        lost += u64::from(client.is_busy());
                        let was_busy = client.is_busy();
                        *client = Client::connect(self.address, &self.epoll, number)?;
                        if !was_busy {
                            continue;
                        }
                    }
                }
                self.free.push_back((number, now()));
            }
        }
        lost += (CONNECTIONS - self.free.len()) as u64;
        // What was due and found no connection to the end.
        while schedule.take(last).is_some() && schedule.step > 0.0 {
            lost += 1;
        }
        Ok(Outcome {
            requests,
            seconds: now() as f64 / 1e9,
            times,
            lateness,
            lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn requests_are_due_at_their_time_whatever_came_before() {
        let mut schedule = Schedule::new(Some(1_000.0), Duration::from_millis(4));
        assert_eq!(schedule.take(0), Some(0));
        assert_eq!(schedule.take(999_999), None);
        // The generator comes back late: both that were due meanwhile are, with their own times.
        assert_eq!(schedule.take(2_500_000), Some(1_000_000));
        assert_eq!(schedule.take(2_500_000), Some(2_000_000));
        assert_eq!(schedule.take(2_500_000), None);
        assert!(!schedule.is_over(2_500_000));
        assert_eq!(schedule.take(9_000_000), Some(3_000_000));
        assert_eq!(schedule.take(9_000_000), None);
        assert!(schedule.is_over(9_000_000));
    }

    #[test]
    fn without_a_rate_requests_are_due_at_once() {
        let mut schedule = Schedule::new(None, Duration::from_millis(1));
        assert_eq!(schedule.take(5), Some(5));
        assert_eq!(schedule.take(5), Some(5));
        assert_eq!(schedule.take(1_000_000), None);
        assert!(schedule.is_over(1_000_000));
    }

    #[test]
    fn server_that_stands_still_spoils_the_times_of_what_was_due_meanwhile() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let begin = Instant::now();
        // All threads stand still at the same time, for 200 of 500 ms: whenever a run begins, it meets that.
        let (period, from, to) = (500, 250, 450);
        thread::spawn(move || {
            for mut stream in listener.incoming().take(CONNECTIONS).flatten() {
                thread::spawn(move || {
                    while stream.read(&mut [0; 512]).is_ok_and(|count| count > 0) {
                        let now = begin.elapsed().as_millis() as u64 % period;
                        if now > from && now < to {
                            thread::sleep(Duration::from_millis(to - now));
                        }
                        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        // In two pieces.
                        let _ = stream.write_all(&reply[..30]);
                        let _ = stream.write_all(&reply[30..]);
                    }
                });
            }
        });
        let length = Duration::from_millis(800);
        let outcome = run(address, "/", Some(1_000.0), length).expect("replies");
        assert_eq!((outcome.requests, outcome.lost), (800, 0));
        // A closed loop would have seen 64 slow ones; here all that were due meanwhile are.
        let slow = outcome.times.count_between(20_000_000, LONGEST);
        assert!(slow >= 100, "{slow}");
    }
}
