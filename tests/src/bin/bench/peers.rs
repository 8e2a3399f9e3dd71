//! The servers that are compared, each configured for speed: one worker, no logs, no limit on
//! keep-alive, open files cached, accepting deferred as ours does by default.

use crate::machine;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floor,
    Capuchin,
    Nginx,
    Lighttpd,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Floor, Self::Capuchin, Self::Nginx, Self::Lighttpd];

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Capuchin => "capuchin",
            Self::Nginx => "nginx",
            Self::Lighttpd => "lighttpd",
        }
    }

    /// Whether it is another project's server.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Nginx | Self::Lighttpd)
    }

    pub fn is_installed(self) -> bool {
        self.program().is_some()
    }

    pub fn how_to_get(self) -> &'static str {
        if self.is_peer() {
            machine::TOOLS
        } else {
            "cargo build --release --workspace"
        }
    }

    /// Ours are built beside this program.
    fn program(self) -> Option<PathBuf> {
        if self.is_peer() {
            return machine::program(self.name());
        }
        let beside = std::env::current_exe().ok()?.with_file_name(self.name());
        beside.is_file().then_some(beside)
    }

    /// What starts it, and its address unless it prints one. `close` tells the floor, which does
    /// not parse, that every request asks for its connection to be closed.
    pub fn command(
        self,
        place: &Place,
        bytes: usize,
        close: bool,
    ) -> io::Result<(Command, Option<SocketAddr>)> {
        let program = self.program().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        match self {
            Self::Floor => {
                command.args(["--body", &bytes.to_string()]);
                command.args(["--close", if close { "1" } else { "0" }]);
                return Ok((command, None));
            }
            Self::Capuchin => {
                command
                    .arg(place.site())
                    .args(["--listen", "127.0.0.1:0", "--workers", "1"])
                    .args(&place.capuchin_arguments);
                return Ok((command, None));
            }
            Self::Nginx | Self::Lighttpd => {}
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = place.directory.join(format!("{}.conf", self.name()));
        if self == Self::Nginx {
            fs::write(&config, place.nginx(address.port()))?;
            let errors = place.directory.join("nginx-start.log");
            command.arg("-c").arg(config).arg("-e").arg(errors);
        } else {
            fs::write(&config, place.lighttpd(address.port()))?;
            command.arg("-D").arg("-f").arg(config);
        }
        Ok((command, Some(address)))
    }
}

/// A directory for the files that are served and for the servers' own; gone when dropped.
pub struct Place {
    directory: PathBuf,
    descriptors: u64,
    /// What else the `capuchin` command is given.
    pub capuchin_arguments: Vec<String>,
}

impl Place {
    /// `descriptors` is how many a server may have open.
    pub fn make(descriptors: u64, capuchin_arguments: Vec<String>) -> io::Result<Self> {
        let name = format!("capuchin-bench-{}", std::process::id());
        let place = Self {
            directory: std::env::temp_dir().join(name),
            descriptors,
            capuchin_arguments,
        };
        fs::create_dir_all(place.site())?;
        for bytes in [128, 4_096] {
            let file = place.site().join(format!("{bytes}.bin"));
            fs::write(file, vec![b'x'; bytes])?;
        }
        // nginx's worker may run as another user.
        fs::set_permissions(
            &place.directory,
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        Ok(place)
    }

    fn site(&self) -> PathBuf {
        self.directory.join("site")
    }

    fn nginx(&self, port: u16) -> String {
        let (own, site) = (self.directory.display(), self.site());
        let (site, descriptors) = (site.display(), self.descriptors);
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {own}/nginx-{name};\n"))
            .concat();
        format!(
            "daemon off; worker_processes 1; worker_rlimit_nofile {descriptors};\n\
             pid {own}/nginx.pid; error_log {own}/nginx.log crit;\n\
             events {{ use epoll; worker_connections {descriptors}; multi_accept on; }}\n\
             http {{\n\
             access_log off; sendfile on; tcp_nodelay on;\n\
             keepalive_requests 1000000000; keepalive_timeout 300s;\n\
             open_file_cache max=1000 inactive=300s; open_file_cache_valid 60s;\n\
             {temporary}\
             server {{ listen 127.0.0.1:{port} backlog=65535 deferred; root {site}; }}\n\
             }}\n"
        )
    }

    fn lighttpd(&self, port: u16) -> String {
        let (own, site) = (self.directory.display(), self.site());
        let (site, descriptors) = (site.display(), self.descriptors);
        // Its count of keep-alive requests has 16 bits: 65,535 is the most.
        format!(
            "server.document-root = \"{site}\"\n\
             server.bind = \"127.0.0.1\"\n\
             server.port = {port}\n\
             server.max-fds = {descriptors}\n\
             server.max-connections = {descriptors}\n\
             server.listen-backlog = 65535\n\
             server.defer-accept = 1\n\
             server.event-handler = \"linux-sysepoll\"\n\
             server.stat-cache-engine = \"simple\"\n\
             server.max-keep-alive-requests = 65535\n\
             server.max-keep-alive-idle = 300\n\
             server.errorlog = \"{own}/lighttpd.log\"\n\
             mimetype.assign = ( \".bin\" => \"application/octet-stream\" )\n"
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
