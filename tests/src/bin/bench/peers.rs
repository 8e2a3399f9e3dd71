//! The servers that are compared, each configured for speed: one worker, no logs, no limit on
//! keep-alive, open files cached, accepting deferred as ours does by default.

mod place;

pub use place::Place;

use crate::machine;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Capuchin,
    /// Capuchin that lets the system send large files.
    Sendfile,
    /// With `sendfile on`, as distributions configure it.
    Nginx,
    /// With `sendfile off`, its own default.
    NginxCopies,
    Lighttpd,
    Hyper,
    /// Capuchin with handlers: the server of the black-box suites. Files are not what it is for.
    Fixture,
}

/// What the floor, which does not parse, has to know of the requests, and hyper of several at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Connections live on, as is usual.
    #[default]
    Stay,
    /// Every request asks for its connection to be closed, or is of HTTP/1.0.
    Leave,
    /// They live on, and the client wants to be told: HTTP/1.0 with `Connection: Keep-Alive`.
    StayTold,
    /// They live on, and many requests come together.
    Together,
}

/// How a server is started.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Of the file that it is asked for.
    pub bytes: usize,
    pub manner: Manner,
    /// Of Capuchin; every other server has one.
    pub workers: usize,
}

impl Setup {
    /// One worker, connections that live on.
    pub fn file(bytes: usize) -> Self {
        Self {
            bytes,
            manner: Manner::Stay,
            workers: 1,
        }
    }
}

impl Kind {
    /// Those that every scenario compares.
    pub const ALL: [Self; 5] = [
        Self::Floor,
        Self::Capuchin,
        Self::Nginx,
        Self::Lighttpd,
        Self::Hyper,
    ];

    /// Those that are compared with a large file, like beside like: it is copied or sent by sendfile(2).
    pub const LARGE: [Self; 7] = [
        Self::Floor,
        Self::Capuchin,
        Self::NginxCopies,
        Self::Sendfile,
        Self::Nginx,
        Self::Lighttpd,
        Self::Hyper,
    ];

    /// The one of [`Kind::ALL`] that this is in another configuration.
    pub fn usual(self) -> Self {
        match self {
            Self::Sendfile => Self::Capuchin,
            Self::NginxCopies => Self::Nginx,
            other => other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Capuchin => "capuchin",
            Self::Sendfile => "capuchin --sendfile on",
            Self::Nginx => "nginx",
            Self::NginxCopies => "nginx (sendfile off)",
            Self::Lighttpd => "lighttpd",
            Self::Hyper => "hyper",
            Self::Fixture => "fixture",
        }
    }

    pub fn is_installed(self) -> bool {
        self.program().is_some()
    }

    pub fn how_to_get(self) -> &'static str {
        match self {
            Self::Nginx | Self::NginxCopies | Self::Lighttpd => machine::TOOLS,
            Self::Hyper => {
                "cargo build --release --manifest-path tests/peers/hyper/Cargo.toml --target-dir target"
            }
            Self::Floor | Self::Capuchin | Self::Sendfile | Self::Fixture => {
                "cargo build --release --workspace"
            }
        }
    }

    /// What cargo builds lies beside this program.
    fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Nginx | Self::NginxCopies | Self::Lighttpd => {
                return machine::program(self.usual().name());
            }
            Self::Hyper => "hyper-peer",
            Self::Floor | Self::Capuchin | Self::Sendfile | Self::Fixture => self.usual().name(),
        };
        let beside = std::env::current_exe().ok()?.with_file_name(name);
        beside.is_file().then_some(beside)
    }

    /// What starts it, and its address unless it prints one.
    pub fn command(self, place: &Place, setup: Setup) -> io::Result<(Command, Option<SocketAddr>)> {
        let program = self.program().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        match self {
            Self::Floor => {
                command.args(["--body", &setup.bytes.to_string()]);
                match setup.manner {
                    Manner::Stay | Manner::Together => {}
                    Manner::Leave => drop(command.args(["--close", "1"])),
                    Manner::StayTold => drop(command.args(["--keep", "1"])),
                }
            }
            Self::Capuchin | Self::Sendfile => {
                let workers = setup.workers.to_string();
                command
                    .arg(place.site())
                    .args(["--listen", "127.0.0.1:0", "--workers", &workers])
                    .args(&place.capuchin_arguments);
                if self == Self::Sendfile {
                    command.args(["--sendfile", "on"]);
                }
            }
            Self::Fixture => {
                command.arg("--site").arg(place.site());
                command.args(["--limit", "body_bytes=1000000000000"]);
            }
            Self::Hyper => {
                command.arg(place.site());
                if setup.manner == Manner::Together {
                    command.arg("pipelined");
                }
            }
            Self::Nginx | Self::NginxCopies => {
                let (address, config) = place.nginx(self == Self::Nginx)?;
                command.arg("-c").arg(config);
                command.arg("-e").arg(place.file("nginx-start.log"));
                return Ok((command, Some(address)));
            }
            Self::Lighttpd => {
                let (address, config) = place.lighttpd()?;
                command.arg("-D").arg("-f").arg(config);
                return Ok((command, Some(address)));
            }
        }
        Ok((command, None))
    }
}
