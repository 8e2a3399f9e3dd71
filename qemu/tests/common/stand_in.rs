//! A program that takes QEMU's place: for what needs a guest that answers, which an image of a
//! few bytes cannot. It binds the forwarded ports, serves HTTP there, prints on its "console", and
//! has a monitor. The variables in [`variable`] tell it what else to do.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// Names of environment variables.
pub mod variable {
    /// A file that the arguments and the monitor's lines are written to.
    pub const LOG: &str = "STAND_IN_LOG";
    /// Says that its port is in use, until there is a file of this name: it makes one.
    pub const REFUSE_ONCE: &str = "STAND_IN_REFUSE_ONCE";
    /// Ends with this status once it was asked over HTTP.
    pub const END: &str = "STAND_IN_END";
    /// Answers a line of its input like a shell.
    pub const SHELL: &str = "STAND_IN_SHELL";
    /// Serves no HTTP: connections are taken, and nothing comes.
    pub const MUTE: &str = "STAND_IN_MUTE";
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Is QEMU until it is told to quit.
pub fn run() -> ! {
    let words: Vec<_> = std::env::args().skip(1).collect();
    log(&words.join(" "));
    let network = words.iter().find(|word| word.starts_with("user,")).unwrap();
    let rules = network
        .split(',')
        .filter_map(|part| part.strip_prefix("hostfwd=tcp:"));
    let refuse = set(variable::REFUSE_ONCE).filter(|path| !Path::new(path).exists());
    for rule in rules {
        let address = rule.split_once('-').unwrap().0.to_owned();
        let listener = TcpListener::bind(&address);
        if refuse.is_some() || listener.is_err() {
            eprintln!("qemu-system-i386: Could not set up host forwarding rule 'tcp:{rule}'");
            refuse.map(|path| File::create(path).unwrap());
            std::process::exit(1);
        }
        std::thread::spawn(move || serve(&listener.unwrap()));
    }
    println!("stand-in is up\r");
    if set(variable::SHELL).is_some() {
        std::thread::spawn(|| {
            let mut line = String::new();
            while std::io::stdin()
                .read_line(&mut line)
                .is_ok_and(|count| count > 0)
            {
                print!("you typed {}, more? ", line.trim_end());
                let _ = std::io::stdout().flush();
            }
            // As QEMU: the end of the input is nothing.
        });
    }
    let monitor = UnixListener::bind("monitor").unwrap();
    for stream in monitor.incoming() {
        talk(stream.unwrap());
    }
    unreachable!("a listener's connections do not end")
}

fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        if set(variable::MUTE).is_some() {
            std::thread::spawn(move || stream.read(&mut [0]));
            continue;
        }
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        while lines.next().is_some_and(|line| !line.is_empty()) {}
        println!("request");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        drop(stream);
        if let Some(status) = set(variable::END) {
            std::thread::sleep(Duration::from_millis(200));
            println!("ending");
            std::process::exit(status.parse().unwrap());
        }
    }
}

/// As QEMU: a prompt, and the echo of each line before what is answered.
fn talk(stream: UnixStream) {
    let mut out = stream.try_clone().unwrap();
    let _ = out.write_all(b"QEMU 0 monitor\r\n(qemu) ");
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        log(&line);
        if line == "quit" {
            std::process::exit(0);
        }
        if line.contains("filter-dump") {
            // The guest is heard: a capture with one announcement (ARP) from 10.0.2.15.
            let mut capture = vec![0; 24 + 16 + 60];
            capture[32..36].copy_from_slice(&u32::to_ne_bytes(60));
            capture[52..54].copy_from_slice(&[8, 6]);
            capture[68..72].copy_from_slice(&[10, 0, 2, 15]);
            std::fs::write("heard", capture).unwrap();
        }
        let _ = out.write_all(format!("{line}\x1b[K\r\n(qemu) ").as_bytes());
    }
}

fn log(line: &str) {
    if let Some(path) = set(variable::LOG) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.unwrap()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }
}
