//! Running a program of this package, and asking it over HTTP.
#![allow(dead_code)] // each test file uses its part

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a busy machine may take for anything that happens at once on another.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of its own; gone when dropped.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("capuchin-native-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("below the place")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that prints its URL and runs until it is told to end.
pub struct Running {
    pub child: Child,
    pub address: String,
    /// The path of the URL that it printed.
    pub path: String,
    /// Lines that it printed after its URL, as far as they were asked for.
    pub out: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub fn start(program: &str, words: &[&str]) -> Self {
        Self::start_command(Command::new(program).args(words))
    }

    pub fn start_command(command: &mut Command) -> Self {
        match Self::try_start(command) {
            Ok(running) => running,
            Err((status, said)) => panic!("no URL but status {status:?}, {said}"),
        }
    }

    /// The program, or the status with which it ended and what it said.
    pub fn try_start(command: &mut Command) -> Result<Self, (Option<i32>, String)> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is there");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("it prints");
        let Some(address) = line.trim().strip_prefix("http://") else {
            let mut error = String::new();
            let _ = child
                .stderr
                .take()
                .map(|mut stderr| stderr.read_to_string(&mut error));
            let status = child.wait().expect("our child");
            return Err((status.code(), line + &error));
        };
        let (address, path) = address.split_once('/').unwrap_or((address, ""));
        Ok(Self {
            address: address.to_owned(),
            path: format!("/{path}"),
            child,
            out,
        })
    }

    pub fn capuchin(words: &[&str]) -> Self {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(words);
        Self::start(env!("CARGO_BIN_EXE_capuchin"), &all)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// The reply to GET, head and content.
    pub fn get(&self, path: &str) -> (String, String) {
        get(&self.address, path)
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: no memory is passed; the process is our child and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// What it wrote to standard error, once it has ended.
    pub fn errors(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut text).expect("UTF-8");
        text
    }

    /// Its exit status, within patience.
    pub fn end(&mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .expect("it takes a request");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).expect("it replies");
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, content) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    (head.to_owned(), content.to_owned())
}

/// Asks for `path` until its content is `wanted`; the content. What the counters show lags behind what a client
/// sees: a worker closes a connection, for instance, some time after its client did.
pub fn get_until(address: &str, path: &str, wanted: impl Fn(&str) -> bool) -> String {
    let begin = Instant::now();
    loop {
        let (head, content) = get(address, path);
        if wanted(&content) {
            return content;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{path} stays otherwise than expected:\n{head}\n\n{content}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs the command to its end.
pub fn output(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_capuchin"))
        .args(words)
        .output()
        .expect("the command is there")
}

/// Reads once. A signal, or a machine that was halted meanwhile, does not end it: with a time limit the system does not
/// resume it by itself (signal(7)).
pub fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
