//! System calls for each request, counted by strace in a short run of its own.

use crate::load::{self, Wrk};
use crate::peers::{Kind, Setup};
use crate::plots::{Bar, Figure, Plot};
use crate::server::Server;
use crate::table::{Spread, Table, errors_text};
use crate::{Bench, goals, machine};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Of a run: strace slows the server much, so that every turn finds many connections ready.
const SECONDS: u64 = 2;

/// For strace to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls that are named, the most frequent first.
const NAMED: usize = 5;

pub fn run(bench: &Bench) -> Result<(), String> {
    machine::need("strace")?;
    machine::need("wrk")?;
    let mut table = Table::new(&[
        "server",
        "system calls per request",
        "the most frequent, per request",
        "errors",
    ]);
    let (mut bars, mut ours) = (Vec::new(), None);
    for kind in &bench.kinds {
        let counted = match count(*kind, bench) {
            Ok(counted) => counted,
            Err(message) => {
                let name = kind.name();
                bench.report.not_run(&format!("{name}: {message}"));
                continue;
            }
        };
        let each = counted.each();
        table.row(&[
            kind.name().into(),
            format!("{each:.3}"),
            counted.most(),
            errors_text(&counted.errors),
        ]);
        bars.push(Bar {
            name: kind.name().into(),
            value: Spread::of(vec![each]),
            decimals: 2,
        });
        if *kind == Kind::Capuchin {
            ours = Some(each);
        }
    }
    bench.report.table(&table);
    bench.report.plot(Plot {
        name: "syscalls".into(),
        title: "system calls per request, 4 KB file, 64 connections".into(),
        figure: Figure::Bars(bars),
    });
    if let Some(each) = ours {
        goals::calls(bench, each);
    }
    Ok(())
}

/// What strace and wrk counted in the same time.
struct Counted {
    calls: Vec<(String, u64)>,
    requests: u64,
    errors: Vec<(String, u64)>,
}

impl Counted {
    fn per_request(&self, calls: u64) -> f64 {
        calls as f64 / self.requests.max(1) as f64
    }

    fn each(&self) -> f64 {
        self.per_request(self.calls.iter().map(|(_, number)| number).sum())
    }

    fn most(&self) -> String {
        let mut calls = self.calls.clone();
        calls.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        let calls = calls.iter().take(NAMED);
        let named = calls.map(|(name, number)| format!("{name} {:.3}", self.per_request(*number)));
        named.collect::<Vec<_>>().join(", ")
    }
}

fn count(kind: Kind, bench: &Bench) -> Result<Counted, String> {
    let server = Server::start(kind, &bench.place, Setup::file(4_096))?;
    let file = bench.place.file(&format!("{}.strace", kind.name()));
    let mut command = Command::new(machine::need("strace")?);
    command.args(["-f", "-c", "-o"]).arg(&file);
    for pid in server.processes() {
        command.args(["-p", &pid.to_string()]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Beside the server, which waits while it looks.
    machine::confine(&mut command, Some(machine::cores().server));
    let child = command
        .spawn()
        .map_err(|error| format!("strace: {error}"))?;
    let mut strace = Strace { child };
    strace.attached(&server)?;
    let how = Wrk {
        connections: 64,
        close: false,
        threads: 1,
    };
    let load = load::wrk(server.address, "/4096.bin", SECONDS, how)?;
    strace.end();
    let text = fs::read_to_string(&file).map_err(|error| format!("strace: {error}"))?;
    let calls = parse(&text).ok_or_else(|| format!("strace said: {text}"))?;
    Ok(Counted {
        calls,
        requests: load.requests,
        errors: load.errors,
    })
}

/// strace at work; when it ends, what it watches goes on.
struct Strace {
    child: Child,
}

impl Strace {
    /// Waits until every thread of the server is watched.
    fn attached(&mut self, server: &Server) -> Result<(), String> {
        let begin = Instant::now();
        while !server.processes().into_iter().all(is_watched) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("strace cannot watch it: {status}"));
            }
            if begin.elapsed() > PATIENCE {
                return Err("strace does not begin".into());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Has it write what it counted.
    fn end(&mut self) {
        // SAFETY: no memory is passed; the process is our child and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether every thread of a process has a tracer.
fn is_watched(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    tasks.flatten().all(|task| {
        let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let tracer = text
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|tracer| tracer.trim() != "0")
    })
}

/// Calls by name, off strace's table.
fn parse(text: &str) -> Option<Vec<(String, u64)>> {
    // " 51.53    0.040191           1     20062         1 sendto": errors are left out where none are.
    let mut rows = text.lines().skip_while(|line| !line.starts_with("------"));
    rows.next()?;
    let rows = rows.take_while(|line| !line.starts_with("------"));
    rows.map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        Some(((*words.last()?).into(), words.get(3)?.parse().ok()?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_with_and_without_errors() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    \x20 70.00    0.070000           7      2000           sendto\n\
                    \x20 30.00    0.030000           3      2100       100 recvfrom\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00    0.100000           5      4100       100 total\n";
        let counted = Counted {
            calls: parse(text).expect("a table"),
            requests: 2_000,
            errors: Vec::new(),
        };
        assert_eq!(counted.each(), 2.05);
        assert_eq!(counted.most(), "recvfrom 1.050, sendto 1.000");
        assert!(parse("").is_none());
    }
}
