//! The command line: words become values once, and every mistake is one sentence that says what to
//! write instead.

use capuchin::access_log::{Destination, Format};
use capuchin::{Accept, DirectoryOptions, LISTING_PAGE_LIMIT, Limits, Links};
use capuchin_core::transport::Transport;
use capuchin_posix::{ListenOptions, PosixTransport, listen};
use log::LevelFilter;
use std::ffi::{CString, OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Serves a directory over HTTP/1.1.

Usage: capuchin [OPTIONS] [DIR]

DIR is the current directory by default. Example: capuchin --listen :8080 site

  -p, --port PORT          serve on this port of 127.0.0.1, for this machine only [8080]
  --listen ADDRESS         where to listen, may be repeated [127.0.0.1:8080]: an address or a host
                           name with a port (192.0.2.1:80, localhost:8080, [::1]:8080); :8080 and
                           [::]:8080 are all addresses, IPv4 and IPv6, and 0.0.0.0:8080 is IPv4
                           alone; 8080 is as with --port; port 0 lets the system choose
  --workers N              threads that serve [one for each core]
  --accept each|one        one listener for each worker, or one acceptor for all [each]
  --user NAME              become this user, by name, number or UID:GID, after binding
  --sandbox                FreeBSD: once everything is open, give up connecting and all access to files
                           but to read in DIR and to make and write files in the directory of
                           the access log, where that is reopened (Capsicum); not with --links all
  --check                  check the options, directory, user, log and that the addresses can be
                           listened on, then stop

Files
  --index NAME             tried for a directory, may be repeated [index.html]
  --listing on|off         list directories that have no index file [on]
  --listing-page N         rows of one page of a list, up to 5000 [1000]
  --listing-entries N      entries of a directory that are listed; of more, those that the file
                           system gives first [1000000]
  --listing-lookups N      entries up to which a directory is sorted by size and time, too; also how
                           many links are followed to see where they stand [10000]
  --links none|beneath|all symbolic links: follow none, those that stay below DIR, or all [beneath]
  --hidden                 serve names that begin with a dot
  --precompressed          send NAME.br or NAME.gz to clients that accept them
  --sendfile on|off        let the system send large files: faster, but a file that is changed in
                           place while it is sent may reach a client as a mix of versions [off]
  --cache-files N          paths whose files are kept open or in memory by each worker [256]
  --cache-bytes SIZE       contents kept in memory by each worker [4M]
  --cache-file-bytes SIZE  the longest content kept in memory [64K]
  --file-threads N         threads of all workers that read what is not in memory and make lists,
                           started when needed; with 0 workers wait for the disk themselves [16]
  --file-queue N           requests that may wait for such a thread; more get 503 [1024]

Logs and counters
  --access-log FILE|-      log every request, to FILE or standard output; SIGHUP and SIGUSR1
                           reopen FILE
  --access-format common|combined  [common]
  --log-level off|error|warn|info|debug|trace  [info]
  --status ADDRESS         show counters at / and /metrics there; an ADDRESS as with --listen
  --status-path PATH       show counters at PATH and PATH/metrics

Limits
  --max-connections N      connections at the same time, shared evenly by the workers [16384]
  --max-requests N         requests of one connection [no limit]
  --max-head SIZE          bytes of a request's head, 512 to 32767; more is 431, or 414 where the
                           request line alone is longer [16K]
  --max-fields N           header fields of a request, 8 to 254; more is 431 [100]
  --max-body SIZE          bytes of a request's body [no limit]
  --max-drain SIZE         bytes of a body read only to keep the connection [64K]
  --max-waiting N          connections that may wait for a buffer [16384]
  --turn-requests N        requests of a connection before others have their turn [64]
  --turn-bytes SIZE        bytes of a connection before others have their turn [256K]
  --turn-accepts N         connections accepted before others have their turn [64]

Timeouts, in seconds (0.5 is half a second)
  --timeout-first-byte S   from connecting to the first byte [20]
  --timeout-head S         for a request's head [10]
  --timeout-body S         between two pieces of a body [30]
  --timeout-handler S      for a deferred reply [60]
  --timeout-write S        for a client to take 4 KB of a response, or the rest of it [30]
  --timeout-idle S         between two requests [75]
  --timeout-linger S       for a client to read its last reply [2]
  --timeout-stall S        for progress while others wait for the connection's buffer or place [2]
  --timeout-drain S        for requests in flight after SIGTERM or SIGINT [8]

Network
  --fast-open              take data with a connection's first packet, where the system can
  --defer-accept S         wake for a connection only with its first data, or after S seconds,
                           where the system can; 0 turns it off [1]; on FreeBSD that takes
                           'kldload accf_data', and S is not looked at

  -h, --help               print this
  -V, --version            print the version

SIZE is a number of bytes; K, M or G behind it stand for 1,024 bytes, 1,024 K and 1,024 M.

SIGTERM and SIGINT finish the requests in flight and end with status 0; a second one ends at once
with status 1, as does a failure of a thread. Mistakes in options end with status 2.
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Serve(Box<Options>),
    Help,
    Version,
}

/// How to serve.
#[derive(Debug)]
pub(crate) struct Options {
    pub directory: PathBuf,
    pub site: DirectoryOptions,
    pub listen: Vec<SocketAddr>,
    pub workers: usize,
    pub accept: Accept,
    pub limits: Limits,
    pub fields: Option<u8>,
    pub access_log: Option<Destination>,
    pub access_format: Format,
    pub log_level: LevelFilter,
    pub status: Option<SocketAddr>,
    pub status_path: Option<String>,
    pub user: Option<CString>,
    pub sandbox: bool,
    pub check: bool,
    pub fast_open: bool,
    pub defer_accept: u16,
}

/// Reads the command line.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    read(&mut words.into_iter())
}

fn read(words: &mut dyn Iterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options::default();
    let mut directory: Option<PathBuf> = None;
    let mut only_directories = false;
    while let Some(word) = words.next() {
        let is_option = word.len() > 1 && word.as_bytes().starts_with(b"-");
        if only_directories || !is_option {
            if directory.is_some() {
                let word = word.display();
                return Err(format!(
                    "'{word}' is one directory too many: name the one to serve"
                ));
            }
            directory = Some(word.into());
            continue;
        }
        let (option, value) = parts(word.as_bytes());
        let option = &*String::from_utf8_lossy(option);
        let value = value.map(|value| OsStr::from_bytes(value).to_owned());
        match option {
            "--" if value.is_none() => only_directories = true,
            "-h" | "--help" => return Ok(Command::Help),
            "-V" | "--version" => return Ok(Command::Version),
            _ => match options.flag(option) {
                Some(_) if value.is_some() => return Err(format!("{option} takes no value")),
                Some(flag) => *flag = true,
                None => {
                    let value = value.or_else(|| words.next());
                    options.set(option, value)?;
                }
            },
        }
    }
    options.directory = directory.unwrap_or_else(|| ".".into());
    if options.directory.as_os_str().is_empty() {
        return Err("'' names no directory: write . for the current one".into());
    }
    if options.sandbox && options.site.links == Links::All {
        return Err(
            "--sandbox: links that leave DIR lead nowhere then: leave out --links all".into(),
        );
    }
    if options.listen.is_empty() {
        options.listen.push(local(DEFAULT_PORT));
    }
    if options.site.index.is_empty() {
        options.site.index = DirectoryOptions::default().index;
    }
    Ok(Command::Serve(Box::new(options)))
}

/// An option's name and the value in the same word: `--name=VALUE`, `-p=VALUE` and `-pVALUE`. A value may be any bytes.
fn parts(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    if let Some(equals) = word.iter().position(|&byte| byte == b'=') {
        return (&word[..equals], Some(&word[equals + 1..]));
    }
    match word.strip_prefix(b"-p") {
        Some(value) if !value.is_empty() => (b"-p", Some(value)),
        _ => (word, None),
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directory: PathBuf::new(),
            site: DirectoryOptions {
                index: Vec::new(),
                listing: true,
                ..DirectoryOptions::default()
            },
            listen: Vec::new(),
            workers: capuchin_posix::processors(),
            accept: Accept::Each,
            limits: Limits::DEFAULT,
            fields: None,
            access_log: None,
            access_format: Format::Common,
            log_level: LevelFilter::Info,
            status: None,
            status_path: None,
            user: None,
            sandbox: false,
            check: false,
            fast_open: false,
            defer_accept: 1,
        }
    }
}

impl Options {
    /// What an option without a value turns on, if it is one.
    fn flag(&mut self, option: &str) -> Option<&mut bool> {
        Some(match option {
            "--sandbox" => &mut self.sandbox,
            "--check" => &mut self.check,
            "--hidden" => &mut self.site.hidden,
            "--precompressed" => &mut self.site.precompressed,
            "--fast-open" => &mut self.fast_open,
            _ => return None,
        })
    }

    /// Takes an option that has a value.
    fn set(&mut self, option: &str, value: Option<OsString>) -> Result<(), String> {
        use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
        const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];
        let (site, limits) = (&mut self.site, &mut self.limits);
        let value = Value { option, value };
        match option {
            "--listen" => self.listen.extend(value.addresses()?),
            "-p" | "--port" => self
                .listen
                .push(local(value.number(0, u16::MAX.into())? as u16)),
            "--workers" => self.workers = value.number(1, 1_024)? as usize,
            "--accept" => {
                self.accept = value.choice(&[("each", Accept::Each), ("one", Accept::One)])?;
            }
            "--user" => self.user = Some(value.name()?),
            "--index" => site.index.push(value.file_name()?),
            "--listing" => site.listing = value.choice(&SWITCH)?,
            "--listing-page" => {
                site.listing_page = value.number(1, LISTING_PAGE_LIMIT as u64)? as usize;
            }
            "--listing-entries" => {
                site.listing_entries = value.number(1, u32::MAX.into())? as usize
            }
            "--listing-lookups" => site.listing_lookups = value.number(0, 1 << 24)? as usize,
            "--links" => {
                site.links = value.choice(&[
                    ("none", Links::None),
                    ("beneath", Links::Beneath),
                    ("all", Links::All),
                ])?;
            }
            "--sendfile" => site.sendfile = value.choice(&SWITCH)?,
            "--cache-files" => site.cache_files = value.number(0, 1 << 20)? as usize,
            "--cache-bytes" => site.cache_bytes = value.size(0, 1 << 40)? as usize,
            "--cache-file-bytes" => site.cache_file_bytes = value.size(0, 1 << 30)? as usize,
            "--file-threads" => site.file_threads = value.number(0, 1_024)? as usize,
            "--file-queue" => site.file_queue = value.number(0, 1 << 20)? as usize,
            "--access-log" => self.access_log = Some(value.destination()?),
            "--access-format" => {
                let formats = [("common", Format::Common), ("combined", Format::Combined)];
                self.access_format = value.choice(&formats)?;
            }
            "--log-level" => {
                self.log_level = value.choice(&[
                    ("off", Off),
                    ("error", Error),
                    ("warn", Warn),
                    ("info", Info),
                    ("debug", Debug),
                    ("trace", Trace),
                ])?;
            }
            // One listener: the first of a name's addresses.
            "--status" => self.status = value.addresses()?.first().copied(),
            "--status-path" => self.status_path = Some(value.status_path()?),
            "--max-connections" => limits.connections = value.number(1, 1 << 24)? as u32,
            "--max-requests" => {
                limits.requests_per_connection = value.number(1, u32::MAX.into())? as u32;
            }
            // Two of them fit a buffer, whose positions have 16 bits.
            "--max-head" => limits.head_bytes = value.size(512, 32_767)? as u16,
            "--max-fields" => self.fields = Some(value.number(8, 254)? as u8),
            "--max-body" => limits.body_bytes = value.size(0, u64::MAX)?,
            "--max-drain" => limits.drain_bytes = value.size(0, u64::MAX)?,
            "--max-waiting" => limits.waiting = value.number(1, 1 << 24)? as u32,
            "--turn-requests" => limits.turn_requests = value.number(1, 1 << 20)? as u32,
            "--turn-bytes" => limits.turn_bytes = value.size(1_024, 1 << 30)? as u32,
            "--turn-accepts" => limits.turn_accepts = value.number(1, 1 << 20)? as u32,
            "--timeout-first-byte" => limits.first_byte_ms = value.seconds()?,
            "--timeout-head" => limits.head_ms = value.seconds()?,
            "--timeout-body" => limits.body_ms = value.seconds()?,
            "--timeout-handler" => limits.handler_ms = value.seconds()?,
            "--timeout-write" => limits.write_ms = value.seconds()?,
            "--timeout-idle" => limits.idle_ms = value.seconds()?,
            "--timeout-linger" => limits.linger_ms = value.seconds()?,
            "--timeout-stall" => limits.stall_ms = value.seconds()?,
            "--timeout-drain" => limits.drain_ms = value.seconds()?,
            "--defer-accept" => self.defer_accept = value.number(0, 3_600)? as u16,
            _ => return Err(no_option(option)),
        }
        Ok(())
    }
}

/// The port that is listened on unless another one is named.
const DEFAULT_PORT: u16 = 8080;

/// The address for a port that only programs on this machine reach.
fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Whether this machine could listen on the address if the port were free.
fn has_address(address: SocketAddr) -> bool {
    let any_port = SocketAddr::new(address.ip(), 0);
    match listen(any_port, &ListenOptions::default()) {
        Ok(socket) => PosixTransport.close(socket).is_ok(),
        Err(error) => !matches!(error.errno, libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT),
    }
}

/// The largest edit distance between a mistyped option and the one that is suggested.
const TYPING_ERRORS: usize = 3;

/// Says that an option is unknown, and which one may have been meant.
fn no_option(option: &str) -> String {
    let known = HELP.split_whitespace().filter(|word| {
        let name = word.strip_prefix("--");
        name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
    });
    let distance = |known: &str| match known.starts_with(option) {
        true => 1, // an abbreviation
        false => strsim::damerau_levenshtein(known, option),
    };
    let nearest = known
        .map(|known| (distance(known), known))
        .min()
        .filter(|&(distance, known)| distance <= TYPING_ERRORS.min(known.len() / 3));
    match nearest {
        Some((_, known)) => {
            format!("there is no option {option}, did you mean {known}? See capuchin --help")
        }
        None => format!("there is no option {option}: see capuchin --help"),
    }
}

/// What an option was given.
struct Value<'a> {
    option: &'a str,
    value: Option<OsString>,
}

impl Value<'_> {
    /// The word itself, which may be any bytes.
    fn word(&self) -> Result<&OsStr, String> {
        let missing = || format!("{} needs a value: see capuchin --help", self.option);
        self.value.as_deref().ok_or_else(missing)
    }

    fn text(&self) -> Result<&str, String> {
        let word = self.word()?;
        word.to_str().ok_or_else(|| self.wrong("is not UTF-8"))
    }

    /// Says what is wrong with it.
    fn wrong(&self, what: &str) -> String {
        let word = self.value.as_deref().unwrap_or_default().display();
        format!("{}: '{word}' {what}", self.option)
    }

    /// The addresses that a text names: of a host name all that this machine has.
    fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let text = self.text()?;
        if let Ok(address) = text.parse() {
            return Ok(vec![address]);
        }
        if let Ok(port) = text.parse() {
            return Ok(vec![local(port)]);
        }
        let Some((name, port)) = text.rsplit_once(':') else {
            return Err(self.wrong(&format!("has no port: try {text}:{DEFAULT_PORT}")));
        };
        let Ok(port) = port.parse::<u16>() else {
            return Err(self.wrong(
                "is no address with a port: try 127.0.0.1:8080, [::1]:8080 for IPv6, or :8080 for all addresses",
            ));
        };
        let found: Vec<SocketAddr> = match name {
            // All addresses of both families, where the system has both.
            "" => vec![
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            ],
            name if name.contains(':') => {
                return Err(self.wrong(&format!(
                    "is no address with a port: write an IPv6 address in brackets, as in [::1]:{port}"
                )));
            }
            name => (name, port)
                .to_socket_addrs()
                .map_err(|error| self.wrong(&format!("names no host ({error}): try an address")))?
                .collect(),
        };
        let mut had: Vec<SocketAddr> = Vec::new();
        for &address in &found {
            if has_address(address) && !had.contains(&address) {
                had.push(address);
                // The IPv6 one takes IPv4 as well.
                if name.is_empty() {
                    break;
                }
            }
        }
        // If this machine has none of them, the attempt to listen says so.
        Ok(if had.is_empty() { found } else { had })
    }

    fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let word = self.text()?;
        if let Some(&(_, choice)) = choices.iter().find(|(name, _)| word == *name) {
            return Ok(choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Err(self.wrong(&format!("is not one of: {}", names.join(", "))))
    }

    fn destination(&self) -> Result<Destination, String> {
        let word = self.word()?;
        Ok(if word == "-" {
            Destination::Stdout
        } else {
            Destination::File(word.into())
        })
    }

    fn name(&self) -> Result<CString, String> {
        CString::new(self.text()?).map_err(|_| self.wrong("is no name: it has a NUL byte"))
    }

    fn file_name(&self) -> Result<String, String> {
        let name = self.text()?;
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return Err(self.wrong("is no file name: try index.html"));
        }
        Ok(name.into())
    }

    /// One that requests can name and that is not the directory's own `/`. What would have to be encoded
    /// in a URL is refused: it was hardly meant.
    fn status_path(&self) -> Result<String, String> {
        let path = self.text()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let mut names = path.split('/');
        let is_rooted = path.len() > 1 && names.next() == Some("");
        if is_rooted
            && names.all(|name| !matches!(name, "" | "." | "..") && name.bytes().all(plain))
        {
            return Ok(path.into());
        }
        Err(self
            .wrong("is no path of letters, digits and -._~, which begins with '/': try /status"))
    }

    fn number(&self, least: u64, most: u64) -> Result<u64, String> {
        let number = self.text()?.parse().ok();
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(&format!("is no whole number from {least} to {most}")))
    }

    /// Bytes: `4096`, `4K`, `1M`, `2G`.
    fn size(&self, least: u64, most: u64) -> Result<u64, String> {
        let text = self.text()?.to_ascii_uppercase();
        let units = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];
        let with_unit = units
            .iter()
            .find_map(|&(name, unit)| Some((text.strip_suffix(name)?, unit)));
        let (digits, unit) = with_unit.unwrap_or((&text, 1));
        let number = digits.parse().ok();
        let bytes = number.and_then(|number: u64| number.checked_mul(unit));
        bytes
            .filter(|bytes| (least..=most).contains(bytes))
            .ok_or_else(|| {
                let examples = [
                    ("8192", 8_192),
                    ("64K", 64 << 10),
                    ("4M", 4 << 20),
                    ("1G", 1 << 30),
                ];
                let allowed: Vec<&str> = examples
                    .iter()
                    .filter(|(_, bytes)| (least..=most).contains(bytes))
                    .map(|&(text, _)| text)
                    .collect();
                let examples = allowed.join(" or ");
                self.wrong(&format!(
                    "is no size from {least} to {most} bytes: try {examples}"
                ))
            })
    }

    /// Milliseconds of a time in seconds such as `30` or `0.5`.
    fn seconds(&self) -> Result<u32, String> {
        milliseconds(self.text()?).ok_or_else(|| {
            self.wrong(&format!(
                "is no time in seconds, from 0.001 to {LONGEST_SECONDS}: try 30 or 0.5"
            ))
        })
    }
}

/// The longest timeout: the engine's deadlines reach 24 days.
const LONGEST_SECONDS: u32 = 20 * 24 * 3_600;

fn milliseconds(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let milliseconds: u32 = format!("{fraction:0<3}").parse().ok()?;
    let total = whole
        .parse::<u32>()
        .ok()?
        .checked_mul(1_000)?
        .checked_add(milliseconds)?;
    (1..=LONGEST_SECONDS * 1_000)
        .contains(&total)
        .then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        match parse(line.split_whitespace().map(OsString::from))? {
            Command::Serve(options) => Ok(*options),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn nothing_is_needed_and_a_directory_is_enough() {
        assert_eq!(options("").unwrap().directory, PathBuf::from("."));
        let options = options("site").unwrap();
        assert_eq!(options.directory, PathBuf::from("site"));
        assert!(options.site.listing);
        assert_eq!(options.listen, ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(options.limits, Limits::DEFAULT);
    }

    #[test]
    fn values_are_taken_in_their_units() {
        let line = "--listen [::1]:0 --listen 0.0.0.0:80 --max-head 4K --timeout-head 0.25 --cache-bytes 1m \
                    --accept one --listing on --index a.html --index b.html --links none --max-connections 10 d";
        let options = options(line).unwrap();
        assert_eq!(options.listen.len(), 2);
        assert_eq!(
            (options.limits.head_bytes, options.limits.head_ms),
            (4_096, 250)
        );
        assert_eq!(options.limits.connections, 10);
        assert_eq!(
            (options.site.cache_bytes, options.site.listing),
            (1 << 20, true)
        );
        assert_eq!(options.site.index, ["a.html", "b.html"]);
        assert_eq!(
            (options.site.links, options.accept),
            (Links::None, Accept::One)
        );
    }

    #[test]
    fn value_may_be_part_of_the_word_and_any_bytes() {
        let words = [&b"--workers=3"[..], b"--access-log=/a=\xff", b"--", b"--d"];
        let words = words.map(|word| OsStr::from_bytes(word).to_owned());
        let Ok(Command::Serve(options)) = parse(words) else {
            panic!("they are right");
        };
        assert_eq!(options.workers, 3);
        let path = PathBuf::from(OsStr::from_bytes(b"/a=\xff"));
        assert_eq!(options.access_log, Some(Destination::File(path)));
        assert_eq!(options.directory, PathBuf::from("--d"));
    }

    #[test]
    fn mistakes_are_one_sentence_that_says_what_to_write() {
        let cases = [
            ("a b", "one directory too many"),
            ("--listen 192.0.2.1 d", "try 192.0.2.1:8080"),
            ("--listen a:b d", "try 127.0.0.1:8080"),
            ("--listen ::1:80 d", "as in [::1]:80"),
            ("--port 65536 d", "from 0 to 65535"),
            ("--workers 0 d", "from 1 to"),
            ("--workers many d", "from 1 to"),
            ("--accept both d", "each, one"),
            ("--max-head 1 d", "from 512 to"),
            ("--max-head 1T d", "try 8192"),
            ("--max-fields 7 d", "from 8 to 254"),
            ("--max-fields 255 d", "from 8 to 254"),
            ("--timeout-idle -1 d", "try 30 or 0.5"),
            ("--timeout-idle nan d", "try 30 or 0.5"),
            ("--links maybe d", "none, beneath, all"),
            ("--index a/b d", "no file name"),
            ("--listing-page 0 d", "from 1 to 5000"),
            ("--listing-page 5001 d", "from 1 to 5000"),
            ("--listing-entries 0 d", "from 1 to"),
            ("--status-path status d", "begins with '/'"),
            ("--status-path / d", "try /status"),
            ("--status-path /a%20b d", "try /status"),
            ("--status-path /a/../b d", "try /status"),
            ("--status-path /a//b d", "try /status"),
            ("--status-path /a/ d", "try /status"),
            ("--max-head 32K d", "from 512 to 32767 bytes: try 8192"),
            ("--cache-file-bytes x d", "try 8192 or 64K or 4M or 1G"),
            ("-px d", "-p: 'x' is no whole number"),
            ("--nonsense d", "no option"),
            ("--work 3 d", "did you mean --workers?"),
            ("--sandbox --links all d", "leave out --links all"),
            ("--links all --sandbox d", "leave out --links all"),
            ("--workers", "needs a value"),
            ("--hidden=yes d", "--hidden takes no value"),
            ("-x d", "no option -x"),
        ];
        for (line, expected) in cases {
            let message = options(line).unwrap_err();
            assert!(message.contains(expected), "{line}: {message}");
            assert!(!message.contains('\n'), "{line}: {message}");
        }
    }

    #[test]
    fn status_path_is_one_that_requests_can_name() {
        let path = |path: &str| {
            let words = ["--status-path", path, "d"].map(OsString::from);
            parse(words).map(|_| ())
        };
        assert!(path("/a b").is_err());
        assert!(path("/status").is_ok() && path("/a-b/c.d_e~").is_ok());
    }

    #[test]
    fn every_option_of_the_help_is_known() {
        for line in HELP
            .lines()
            .filter(|line| line.trim_start().starts_with("--"))
        {
            let name = line.split_whitespace().next().unwrap();
            for value in [
                "",
                " 1",
                " one",
                " on",
                " common",
                " info",
                " none",
                " 127.0.0.1:1",
                " /x",
                " x",
            ] {
                match options(&format!("{name}{value} d")) {
                    Err(message) => assert!(!message.contains("no option"), "{name}: {message}"),
                    Ok(_) => break,
                }
            }
        }
    }
}
