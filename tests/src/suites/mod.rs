//! The suites: named cases that talk to a server and tell what it did wrong.
//!
//! A case knows its server only by its [`Target`]. It makes its own connections, leaves none open,
//! and does not depend on another case having run.

use crate::ensure;
use crate::failure::Outcome;
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

pub mod abuse;
pub mod changing;
pub mod chunks;
pub mod close;
pub mod concurrency;
pub mod conditional;
pub mod deferred;
pub mod expect;
pub mod files;
pub mod framing;
pub mod http10;
pub mod limits;
pub mod overload;
pub mod paths;
pub mod peers;
pub mod pipelining;
pub mod ranges;
pub mod routes;
pub mod slow;
pub mod storm;
pub mod streaming;
pub mod uploads;

/// One thing a server has to do right.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The behaviour, as a name.
    pub name: &'static str,
    /// What the server has to have; without it the case is ignored, not passed.
    pub needs: Features,
    /// Tries it.
    pub run: fn(&Target) -> Outcome,
}

/// What kind of server a suite wants, and whether it wants it for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Default limits; cases of other suites run at the same time.
    Plain,
    /// Short timeouts; cases run at the same time.
    Hasty,
    /// Low limits, one worker; one case at a time.
    Tight,
    /// Short timeouts; one case at a time, so that counters and memory can be told from.
    Alone,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Hasty, Self::Tight, Self::Alone];

    /// Whether only one case may run at a time.
    #[must_use]
    pub fn is_exclusive(self) -> bool {
        matches!(self, Self::Tight | Self::Alone)
    }

    /// The limits and timeouts: `("limit" or "timeout", "NAME=VALUE")`, see `FIXTURE.md`.
    #[must_use]
    pub fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Plain => &[("timeout", "drain=2000")],
            Self::Hasty => &[
                ("timeout", "first_byte=500"),
                ("timeout", "head=500"),
                ("timeout", "body=500"),
                ("timeout", "handler=800"),
                ("timeout", "write=1000"),
                ("timeout", "idle=500"),
                ("timeout", "linger=500"),
                ("timeout", "drain=1000"),
            ],
            Self::Tight => &[
                ("limit", "connections=8"),
                ("limit", "requests_per_connection=50"),
                ("limit", "body_bytes=200000"),
                ("limit", "drain_bytes=20000"),
            ],
            Self::Alone => &[
                ("timeout", "first_byte=2000"),
                ("timeout", "head=2000"),
                ("timeout", "body=2000"),
                ("timeout", "handler=2000"),
                ("timeout", "write=2000"),
                ("timeout", "idle=2000"),
                ("timeout", "linger=1000"),
                ("timeout", "drain=2000"),
            ],
        }
    }
}

/// Cases with one theme.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The theme; the first part of each case's full name.
    pub name: &'static str,
    /// The kind of server.
    pub setting: Setting,
    /// The cases.
    pub cases: &'static [Case],
}

/// Every suite.
pub const ALL: &[Suite] = &[
    Suite {
        name: "framing",
        setting: Setting::Plain,
        cases: framing::CASES,
    },
    Suite {
        name: "chunks",
        setting: Setting::Plain,
        cases: chunks::CASES,
    },
    Suite {
        name: "peers",
        setting: Setting::Plain,
        cases: peers::CASES,
    },
    Suite {
        name: "pipelining",
        setting: Setting::Plain,
        cases: pipelining::CASES,
    },
    Suite {
        name: "routes",
        setting: Setting::Plain,
        cases: routes::CASES,
    },
    Suite {
        name: "http10",
        setting: Setting::Plain,
        cases: http10::CASES,
    },
    Suite {
        name: "expect",
        setting: Setting::Plain,
        cases: expect::CASES,
    },
    Suite {
        name: "streaming",
        setting: Setting::Plain,
        cases: streaming::CASES,
    },
    Suite {
        name: "deferred",
        setting: Setting::Plain,
        cases: deferred::CASES,
    },
    Suite {
        name: "close",
        setting: Setting::Plain,
        cases: close::CASES,
    },
    Suite {
        name: "conditional",
        setting: Setting::Plain,
        cases: conditional::CASES,
    },
    Suite {
        name: "ranges",
        setting: Setting::Plain,
        cases: ranges::CASES,
    },
    Suite {
        name: "paths",
        setting: Setting::Plain,
        cases: paths::CASES,
    },
    Suite {
        name: "files",
        setting: Setting::Plain,
        cases: files::CASES,
    },
    Suite {
        name: "changing",
        setting: Setting::Plain,
        cases: changing::CASES,
    },
    Suite {
        name: "slow",
        setting: Setting::Hasty,
        cases: slow::CASES,
    },
    Suite {
        name: "limits",
        setting: Setting::Tight,
        cases: limits::CASES,
    },
    Suite {
        name: "overload",
        setting: Setting::Tight,
        cases: overload::CASES,
    },
    Suite {
        name: "uploads",
        setting: Setting::Alone,
        cases: uploads::CASES,
    },
    Suite {
        name: "concurrency",
        setting: Setting::Alone,
        cases: concurrency::CASES,
    },
    Suite {
        name: "storm",
        setting: Setting::Alone,
        cases: storm::CASES,
    },
    Suite {
        name: "abuse",
        setting: Setting::Alone,
        cases: abuse::CASES,
    },
];

/// `GET path`, to be kept alive.
#[must_use]
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A request with a body and its length.
#[must_use]
pub fn with_body(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A request with a body in chunks of `size` bytes.
#[must_use]
pub fn with_chunks(method: &str, path: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            .into_bytes();
    for chunk in body.chunks(size) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

/// What `/upload` answers for a body.
#[must_use]
pub fn upload_receipt(body: &[u8]) -> String {
    format!("{} {:016x}\n", body.len(), crate::pattern::Fnv::of(body).0)
}

/// Waits until the connections of earlier cases are gone, as far as the server can tell. For cases
/// that have a server to themselves.
///
/// # Errors
/// When they stay.
pub fn settle(target: &Target) -> Outcome {
    let deadline = Instant::now() + target.patience();
    while target.features.contains(Features::COUNTERS) {
        if target
            .counters()?
            .get("connections_open")
            .is_none_or(|&open| open <= 1)
        {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "connections of earlier cases are still open after {:?}",
            target.patience()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // The connection that asked has to go, too.
    std::thread::sleep(Duration::from_millis(100));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn case_names_are_unique_and_plain() {
        let mut names = HashSet::new();
        for suite in ALL {
            assert!(!suite.cases.is_empty(), "{} has no cases", suite.name);
            for case in suite.cases {
                assert!(
                    names.insert((suite.name, case.name)),
                    "{}::{} is there twice",
                    suite.name,
                    case.name
                );
                assert!(
                    case.name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                    "{}",
                    case.name
                );
            }
        }
    }

    #[test]
    fn chunked_requests_have_chunks_of_the_size_asked_for() {
        let request = with_chunks("POST", "/x", b"abcde", 2);
        assert!(request.ends_with(b"\r\n\r\n2\r\nab\r\n2\r\ncd\r\n1\r\ne\r\n0\r\n\r\n"));
    }
}
