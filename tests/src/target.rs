//! A server under test: where it is, what it has, and which limits it keeps.
//!
//! A server tells about itself at `/limits` (see `FIXTURE.md`); what it does not tell, the
//! environment may. Cases compute "at the limit" and "one past it" from here.

use crate::client::{Client, PATIENCE, Reply};
use crate::door::Door;
use crate::fail;
use crate::failure::{During, Outcome};
use crate::reply::Asked;
use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a server has, or a case needs: a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u32);

macro_rules! features {
    ($($name:ident $bit:literal $word:literal $help:literal;)*) => {
        impl Features {
            $(#[doc = $help] pub const $name: Self = Self(1 << $bit);)*
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $word),)*];
        }
    };
}

features! {
    ROUTES 0 "routes" "The routes of `FIXTURE.md` that have no feature of their own.";
    UPLOAD 1 "upload" "`/upload`.";
    STREAM 2 "stream" "`/stream` and `/sized`.";
    DRIP 3 "drip" "`/drip`.";
    DEFERRED 4 "deferred" "`/deferred`.";
    STORM 5 "storm" "`/storm`.";
    PANIC 6 "panic" "`/panic`.";
    COUNTERS 7 "counters" "`/counters`.";
    SITE 8 "site" "The files of the first table of `FIXTURE.md`.";
    LIVE 9 "live" "The site is a directory that the harness may change.";
    PROCESS 10 "process" "The server's process can be looked at from here.";
    TIMEOUTS 11 "timeouts" "All timeouts are known and at most two seconds.";
    CONNECTION_LIMIT 12 "connection-limit" "One worker, and at most 64 connections.";
    REQUEST_LIMIT 13 "request-limit" "At most 1,000 requests per connection.";
    BODY_LIMIT 14 "body-limit" "At most 16 MiB per body.";
    DRAIN_LIMIT 15 "drain-limit" "Unread bodies are drained up to a known limit of at most 16 MiB.";
    HEAD_LIMIT 16 "head-limit" "The limit of a head is known.";
    FIELD_LIMIT 17 "field-limit" "The limit of field lines is known.";
    ANY_NAME 18 "any-name" "Names of the site's files may have any byte but NUL and slash.";
    INSPECT 19 "inspect" "`/inspect`.";
}

impl Features {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What of `needs` is not in this set.
    #[must_use]
    pub const fn missing(self, needs: Self) -> Self {
        Self(needs.0 & !self.0)
    }

    fn of_words(words: &str) -> Outcome<Self> {
        let mut set = Self::NONE;
        for word in words.split([' ', '+']).filter(|word| !word.is_empty()) {
            match Self::ALL.iter().find(|(_, known)| *known == word) {
                Some((feature, _)) => set = set.and(*feature),
                None => fail!("the server names a feature {word:?} that FIXTURE.md does not have"),
            }
        }
        Ok(set)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = Self::ALL
            .iter()
            .filter(|(one, _)| self.contains(*one))
            .map(|(_, word)| *word)
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// A running server.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has.
    pub features: Features,
    /// Its process, if it runs here.
    pub pid: Option<u32>,
    /// The directory it serves, if it is here.
    pub site: Option<PathBuf>,
    values: HashMap<String, u64>,
    door: Arc<Door>,
}

impl Target {
    /// Asks the server at `address` about itself. `overrides` is `name=value,…` and comes first;
    /// it may be empty. A server without `/limits` has only what `overrides` says.
    ///
    /// # Errors
    /// When the server cannot be reached or says something that `FIXTURE.md` does not have.
    pub fn discover(address: SocketAddr, site: Option<PathBuf>, overrides: &str) -> Outcome<Self> {
        let bare = Self {
            address,
            features: Features::NONE,
            pid: None,
            site,
            values: HashMap::new(),
            door: Arc::default(),
        };
        let told = bare
            .get("/limits")
            .during("asking the server for its limits")?;
        let text = if told.status() == 200 {
            told.text()
        } else {
            String::new()
        };
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let given = overrides.split(',').filter_map(|pair| pair.split_once('='));
        let mut target = bare;
        for (name, value) in lines.chain(given) {
            if name == "features" {
                target.features = Features::of_words(value)?;
            } else if let Ok(number) = value.trim().parse() {
                target.values.insert(name.to_owned(), number);
            } else {
                fail!("the limit {name} has the value {value:?}");
            }
        }
        target.derive();
        Ok(target)
    }

    /// Features that follow from values and from what is here.
    fn derive(&mut self) {
        let mut add = |condition: bool, feature: Features| {
            if condition {
                self.features = self.features.and(feature);
            }
        };
        let value = |name: &str| self.values.get(name).copied();
        let at_most = |name: &str, limit: u64| value(name).is_some_and(|value| value <= limit);
        let timeouts = [
            "first_byte_ms",
            "head_ms",
            "body_ms",
            "handler_ms",
            "write_ms",
            "idle_ms",
            "linger_ms",
        ];
        add(
            timeouts.iter().all(|name| at_most(name, 2000)),
            Features::TIMEOUTS,
        );
        add(
            at_most("workers", 1) && at_most("connections", 64),
            Features::CONNECTION_LIMIT,
        );
        add(
            at_most("requests_per_connection", 1000),
            Features::REQUEST_LIMIT,
        );
        add(at_most("body_bytes", 16 << 20), Features::BODY_LIMIT);
        add(at_most("drain_bytes", 16 << 20), Features::DRAIN_LIMIT);
        add(at_most("head_bytes", 65_535), Features::HEAD_LIMIT);
        add(at_most("fields", 1000), Features::FIELD_LIMIT);
        self.pid = value("pid")
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|&pid| pid > 0);
        let memory = self
            .pid
            .and_then(|pid| crate::process::private_memory(pid).ok());
        add(memory.is_some(), Features::PROCESS);
        if self.site.is_none() {
            self.features = self.features.missing_from(Features::LIVE);
        }
    }

    /// A limit or timeout that the server told.
    ///
    /// # Errors
    /// When it did not; a case that needs it should need the feature that stands for it.
    pub fn limit(&self, name: &str) -> Outcome<usize> {
        match self.values.get(name) {
            Some(&value) => usize::try_from(value).during(name),
            None => fail!("the server does not tell its limit {name}"),
        }
    }

    /// A timeout that the server told.
    ///
    /// # Errors
    /// As [`Target::limit`].
    pub fn timeout(&self, name: &str) -> Outcome<Duration> {
        Ok(Duration::from_millis(
            self.limit(&format!("{name}_ms"))? as u64
        ))
    }

    /// What a packet that gets lost on the way costs: `delay_ms`, 0 where none does.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.values.get("delay_ms").copied().unwrap_or(0))
    }

    /// How long a case waits for anything that has no time of its own.
    #[must_use]
    pub fn patience(&self) -> Duration {
        PATIENCE + self.delay()
    }

    /// `full`, or `load_percent` of it, for the amounts of cases that keep a server busy.
    #[must_use]
    pub fn load(&self, full: usize) -> usize {
        let percent = self.values.get("load_percent").copied().unwrap_or(100);
        (full * percent as usize).div_ceil(100)
    }

    /// Pauses after something that kept the server busy for `time`, so that it is busy for
    /// `load_percent` of the time. No pause where that is not told.
    pub fn rest(&self, time: Duration) {
        let percent = self.values.get("load_percent").copied().unwrap_or(100);
        if (1..100).contains(&percent) {
            std::thread::sleep(time.mul_f64(100.0 / percent as f64 - 1.0));
        }
    }

    /// `wanted` connections, or as many as one of several cases may have that run at the same time:
    /// a quarter of what the server takes.
    #[must_use]
    pub fn share(&self, wanted: usize) -> usize {
        let room = self.limit("connections").unwrap_or(usize::MAX);
        wanted.min(room / 4).max(1)
    }

    /// `wanted` clients with `each` connections at a time, or as many as the server takes from a case
    /// that has it to itself: a few connections of the case before may still be ending.
    #[must_use]
    pub fn clients(&self, wanted: usize, each: usize) -> usize {
        const ENDING: usize = 4;
        let room = self.limit("connections").unwrap_or(usize::MAX);
        wanted.min(room.saturating_sub(ENDING) / each).max(1)
    }

    /// A new connection.
    ///
    /// # Errors
    /// When the server does not accept in time.
    pub fn connect(&self) -> Outcome<Client> {
        let mut client = self.enter(|| Client::connect(self.address))?;
        client.set_patience(self.patience());
        Ok(client)
    }

    /// A new connection with a receive buffer of about `bytes`, so that the server soon has to wait.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub fn connect_narrow(&self, bytes: usize) -> Outcome<Client> {
        let mut client = self.enter(|| Client::connect_narrow(self.address, bytes))?;
        client.set_patience(self.patience());
        Ok(client)
    }

    fn enter(&self, connect: impl FnOnce() -> Outcome<Client>) -> Outcome<Client> {
        match self.values.get("backlog") {
            Some(&backlog) => self.door.enter(self.address, backlog, connect),
            None => connect(),
        }
    }

    /// `GET path` on a connection of its own.
    ///
    /// # Errors
    /// When there is no well-formed reply.
    pub fn get(&self, path: &str) -> Outcome<Reply> {
        self.ask("GET", path, "")
    }

    /// A request without a body on a connection of its own; `fields` are whole lines.
    ///
    /// # Errors
    /// When there is no well-formed reply.
    pub fn ask(&self, method: &str, path: &str, fields: &str) -> Outcome<Reply> {
        let asked = if method == "HEAD" {
            Asked::Head
        } else {
            Asked::Get
        };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
        self.connect()?.exchange(asked, request)
    }

    /// Checks that the server still answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn is_alive(&self) -> Outcome {
        let path = if self.features.contains(Features::ROUTES) {
            "/hello"
        } else {
            "/"
        };
        let reply = self
            .get(path)
            .during("the server does not answer any more")?;
        if reply.status() != 200 {
            fail!("the server answers {path} with {} now", reply.status());
        }
        Ok(())
    }

    /// The server's counters now.
    ///
    /// # Errors
    /// When it does not tell them.
    pub fn counters(&self) -> Outcome<HashMap<String, u64>> {
        numbers(&self.get("/counters")?.expect(200)?.text())
    }
}

impl Features {
    fn missing_from(self, taken: Self) -> Self {
        Self(self.0 & !taken.0)
    }
}

/// `name value` lines as numbers by name.
///
/// # Errors
/// When a line has another form.
pub fn numbers(text: &str) -> Outcome<HashMap<String, u64>> {
    text.lines()
        .map(|line| {
            match line
                .split_once(' ')
                .map(|(name, value)| (name, value.parse()))
            {
                Some((name, Ok(value))) => Ok((name.to_owned(), value)),
                _ => fail!("{line:?} is no line of a name and a number"),
            }
        })
        .collect()
}

/// The server that the environment names: `CAPUCHIN_TEST_ADDR` and its companions in `FIXTURE.md`.
///
/// # Errors
/// When it is named but cannot be used.
pub fn external() -> Outcome<Option<Target>> {
    let Ok(address) = std::env::var("CAPUCHIN_TEST_ADDR") else {
        return Ok(None);
    };
    let resolved = address
        .to_socket_addrs()
        .during(format!("CAPUCHIN_TEST_ADDR={address}"))?
        .next();
    let Some(resolved) = resolved else {
        fail!("CAPUCHIN_TEST_ADDR={address} names no address")
    };
    let site = std::env::var_os("CAPUCHIN_TEST_SITE").map(PathBuf::from);
    let overrides = std::env::var("CAPUCHIN_TEST_LIMITS").unwrap_or_default();
    Target::discover(resolved, site, &overrides).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_features_are_named() {
        let has = Features::of_words("routes upload").unwrap();
        let needs = Features::UPLOAD.and(Features::STORM).and(Features::LIVE);
        assert!(!has.contains(needs));
        assert_eq!(has.missing(needs).to_string(), "storm, live");
        assert_eq!(
            Features::of_words("site+live").unwrap(),
            Features::SITE.and(Features::LIVE)
        );
        assert!(Features::of_words("routes typo").is_err());
    }

    #[test]
    fn number_lines_are_strict() {
        assert_eq!(numbers("a 1\nb 22\n").unwrap()["b"], 22);
        assert!(numbers("a 1\nb\n").is_err());
        assert!(numbers("a x\n").is_err());
    }
}
