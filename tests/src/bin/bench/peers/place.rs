//! A directory for what is served, and the configuration of the servers that need one.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::{fs, io};

/// Bytes of the files that are served, each by the name `BYTES.bin`.
const FILES: [usize; 4] = [128, 4_096, 100_000, 10_000_000];

/// Files that are asked for in turn, and bytes of each.
const IN_TURN: usize = 16;
const IN_TURN_BYTES: usize = 4_096;

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
        for bytes in FILES {
            let file = place.site().join(format!("{bytes}.bin"));
            fs::write(file, vec![b'x'; bytes])?;
        }
        for number in 0..IN_TURN {
            let file = place.site().join(format!("in-turn-{number:02}.bin"));
            fs::write(file, vec![b'x'; IN_TURN_BYTES])?;
        }
        for fresh in [false, true] {
            fs::write(place.in_turn(fresh), in_turn_text(fresh))?;
        }
        // nginx's worker may run as another user.
        fs::set_permissions(
            &place.directory,
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        Ok(place)
    }

    pub fn site(&self) -> PathBuf {
        self.file("site")
    }

    /// One of the servers' own files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The script for wrk that asks for files in turn; with `fresh`, by no head that it has sent before.
    pub fn in_turn(&self, fresh: bool) -> PathBuf {
        self.file(if fresh { "fresh.lua" } else { "in-turn.lua" })
    }

    /// An address for nginx, and its configuration for it, with sendfile(2) or without.
    pub fn nginx(&self, sendfile: bool) -> io::Result<(SocketAddr, PathBuf)> {
        self.configure("nginx.conf", |port| self.nginx_text(port, sendfile))
    }

    /// An address for lighttpd, and its configuration for it.
    pub fn lighttpd(&self) -> io::Result<(SocketAddr, PathBuf)> {
        self.configure("lighttpd.conf", |port| self.lighttpd_text(port))
    }

    fn configure(
        &self,
        name: &str,
        text: impl Fn(u16) -> String,
    ) -> io::Result<(SocketAddr, PathBuf)> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = self.file(name);
        fs::write(&config, text(address.port()))?;
        Ok((address, config))
    }

    fn nginx_text(&self, port: u16, sendfile: bool) -> String {
        let sendfile = if sendfile { "on" } else { "off" };
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
             access_log off; sendfile {sendfile}; tcp_nodelay on;\n\
             keepalive_requests 1000000000; keepalive_timeout 300s;\n\
             open_file_cache max=1000 inactive=300s; open_file_cache_valid 60s;\n\
             {temporary}\
             server {{ listen 127.0.0.1:{port} backlog=65535 deferred; root {site};\n\
             location /count {{ client_max_body_size 0; return 200; }} }}\n\
             }}\n"
        )
    }

    fn lighttpd_text(&self, port: u16) -> String {
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

/// Heads differ in the path alone, and are made once; those that are fresh end with a field of their own. 64
/// connections that take turns would each get the same path again and again, so that the paths move on by one with
/// each turn.
fn in_turn_text(fresh: bool) -> String {
    let (head, own) = if fresh {
        (":sub(1, -3)", " .. 'X-Request: ' .. sent .. '\\r\\n\\r\\n'")
    } else {
        ("", "")
    };
    format!(
        "local heads, sent = {{}}, 0\n\
         init = function()\n\
         \x20 for number = 0, {IN_TURN} - 1 do\n\
         \x20   heads[number] = wrk.format('GET', string.format('/in-turn-%02d.bin', number)){head}\n\
         \x20 end\n\
         end\n\
         request = function()\n\
         \x20 local turn = math.floor(sent / 64)\n\
         \x20 local number = (sent + turn) % {IN_TURN}\n\
         \x20 sent = sent + 1\n\
         \x20 return heads[number]{own}\n\
         end\n"
    )
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
