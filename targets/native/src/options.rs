//! The command line: words become values once, and every mistake is one sentence that says what to
//! write instead.

use capuchin::access_log::{Destination, Format};
use capuchin::{Accept, DirectoryOptions, Limits, Links};
use lexopt::prelude::*;
use log::LevelFilter;
use std::ffi::{CString, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Serves a directory over HTTP/1.1.

Usage: capuchin [OPTIONS] DIR

  --listen ADDR:PORT       where to listen, may be repeated [127.0.0.1:8080]; [::1]:8080 for
                           IPv6; port 0 lets the system choose
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
  --listing on|off         show directories without index file as lists [off]
  --links none|beneath|all symbolic links: follow none, those that stay below DIR, or all [beneath]
  --hidden                 serve names that begin with a dot
  --precompressed          send NAME.br or NAME.gz to clients that accept them
  --sendfile on|off        let the system send large files: faster, but a file that is changed in
                           place while it is sent may reach a client mixed [off]
  --cache-files N          paths kept at hand by each worker [256]
  --cache-bytes SIZE       contents kept in memory by each worker [4M]
  --cache-file-bytes SIZE  the longest content kept in memory [64K]

Logs and counters
  --access-log FILE|-      log every request, to FILE or standard output; SIGHUP reopens FILE
  --access-format common|combined  [common]
  --log-level off|error|warn|info|debug|trace  [info]
  --status ADDR:PORT       show counters at / and /metrics there
  --status-path PATH       show counters at PATH and PATH/metrics

Limits
  --max-connections N      connections at the same time, shared evenly by the workers [16384]
  --max-requests N         requests of one connection [no limit]
  --max-head SIZE          bytes of a request's head, 512 to 32767 [8K]
  --max-body SIZE          bytes of a request's body [no limit]
  --max-drain SIZE         bytes of a body read only to keep the connection [64K]
  --max-waiting N          connections that may wait for a buffer [16384]
  --turn-requests N        requests of a connection before others have their turn [64]
  --turn-bytes SIZE        bytes of a connection before others have their turn [1M]
  --turn-accepts N         connections accepted before others have their turn [64]

Timeouts, in seconds (0.5 is half a second)
  --timeout-first-byte S   from connecting to the first byte [20]
  --timeout-head S         for a request's head [10]
  --timeout-body S         between two pieces of a body [30]
  --timeout-handler S      for a deferred reply [60]
  --timeout-write S        for a client that does not read [30]
  --timeout-idle S         between two requests [60]
  --timeout-linger S       for a client to read its last reply [2]
  --timeout-drain S        for requests in flight after SIGTERM or SIGINT [10]

Network
  --fast-open              take data with a connection's first packet, where the system can
  --defer-accept S         wake for a connection only with its first data, or after S seconds,
                           where the system can; 0 turns it off [1]; on FreeBSD that takes
                           'kldload accf_data', and S is not looked at

  -h, --help               print this
  -V, --version            print the version

SIZE is a number of bytes, or one with K, M or G.

SIGTERM and SIGINT finish the requests in flight and end with status 0; a second one ends at once
with status 1, and so does a server of which a part breaks. Mistakes in options end with status 2.
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
    parse_words(lexopt::Parser::from_args(words)).map_err(|error| match error {
        lexopt::Error::UnexpectedOption(name) => {
            format!("there is no option {name}: see capuchin --help")
        }
        lexopt::Error::MissingValue { option: Some(name) } => {
            format!("{name} needs a value: see capuchin --help")
        }
        other => other.to_string(),
    })
}

fn parse_words(mut words: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut directory: Option<PathBuf> = None;
    let mut index = Vec::new();
    let mut options = Options {
        directory: PathBuf::new(),
        site: DirectoryOptions::default(),
        listen: Vec::new(),
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        accept: Accept::Each,
        limits: Limits::DEFAULT,
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
    };
    let limits = &mut options.limits;
    while let Some(word) = words.next()? {
        match word {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("listen") => options.listen.push(address("--listen", &words.value()?)?),
            Long("workers") => {
                options.workers = number("--workers", &words.value()?, 1, 1_024)? as usize
            }
            Long("accept") => {
                options.accept = choice(
                    "--accept",
                    &words.value()?,
                    &[("each", Accept::Each), ("one", Accept::One)],
                )?;
            }
            Long("user") => {
                let name = text("--user", words.value()?)?;
                options.user =
                    Some(CString::new(name).map_err(|_| "--user: a name has no NUL byte")?);
            }
            Long("sandbox") => options.sandbox = true,
            Long("check") => options.check = true,
            Long("index") => index.push(file_name("--index", words.value()?)?),
            Long("listing") => {
                options.site.listing = choice(
                    "--listing",
                    &words.value()?,
                    &[("on", true), ("off", false)],
                )?
            }
            Long("links") => {
                let links = [
                    ("none", Links::None),
                    ("beneath", Links::Beneath),
                    ("all", Links::All),
                ];
                options.site.links = choice("--links", &words.value()?, &links)?;
            }
            Long("sendfile") => {
                options.site.sendfile = choice(
                    "--sendfile",
                    &words.value()?,
                    &[("on", true), ("off", false)],
                )?
            }
            Long("hidden") => options.site.hidden = true,
            Long("precompressed") => options.site.precompressed = true,
            Long("cache-files") => {
                options.site.cache_files =
                    number("--cache-files", &words.value()?, 0, 1 << 20)? as usize
            }
            Long("cache-bytes") => {
                options.site.cache_bytes =
                    size("--cache-bytes", &words.value()?, 0, 1 << 40)? as usize
            }
            Long("cache-file-bytes") => {
                options.site.cache_file_bytes =
                    size("--cache-file-bytes", &words.value()?, 0, 1 << 30)? as usize;
            }
            Long("access-log") => {
                let value = words.value()?;
                options.access_log = Some(if value == "-" {
                    Destination::Stdout
                } else {
                    Destination::File(value.into())
                });
            }
            Long("access-format") => {
                let formats = [("common", Format::Common), ("combined", Format::Combined)];
                options.access_format = choice("--access-format", &words.value()?, &formats)?;
            }
            Long("log-level") => {
                use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
                let levels = [
                    ("off", Off),
                    ("error", Error),
                    ("warn", Warn),
                    ("info", Info),
                    ("debug", Debug),
                    ("trace", Trace),
                ];
                options.log_level = choice("--log-level", &words.value()?, &levels)?;
            }
            Long("status") => options.status = Some(address("--status", &words.value()?)?),
            Long("status-path") => {
                let path = text("--status-path", words.value()?)?;
                if !is_status_path(&path) {
                    return Err(format!(
                        "--status-path: '{path}' is no path of letters, digits and -._~, which begins with '/': try /status"
                    )
                    .into());
                }
                options.status_path = Some(path);
            }
            Long("max-connections") => {
                limits.connections =
                    number("--max-connections", &words.value()?, 1, 1 << 24)? as u32
            }
            Long("max-requests") => {
                limits.requests_per_connection =
                    number("--max-requests", &words.value()?, 1, u64::from(u32::MAX))? as u32
            }
            Long("max-head") => {
                // Two of them fit a buffer, whose positions have 16 bits.
                limits.head_bytes = size("--max-head", &words.value()?, 512, 32_767)? as u16
            }
            Long("max-body") => {
                limits.body_bytes = size("--max-body", &words.value()?, 0, u64::MAX)?
            }
            Long("max-drain") => {
                limits.drain_bytes = size("--max-drain", &words.value()?, 0, u64::MAX)?
            }
            Long("max-waiting") => {
                limits.waiting = number("--max-waiting", &words.value()?, 1, 1 << 24)? as u32
            }
            Long("turn-requests") => {
                limits.turn_requests =
                    number("--turn-requests", &words.value()?, 1, 1 << 20)? as u32
            }
            Long("turn-bytes") => {
                limits.turn_bytes = size("--turn-bytes", &words.value()?, 1_024, 1 << 30)? as u32
            }
            Long("turn-accepts") => {
                limits.turn_accepts = number("--turn-accepts", &words.value()?, 1, 1 << 20)? as u32
            }
            Long("timeout-first-byte") => {
                limits.first_byte_ms = seconds("--timeout-first-byte", &words.value()?)?
            }
            Long("timeout-head") => limits.head_ms = seconds("--timeout-head", &words.value()?)?,
            Long("timeout-body") => limits.body_ms = seconds("--timeout-body", &words.value()?)?,
            Long("timeout-handler") => {
                limits.handler_ms = seconds("--timeout-handler", &words.value()?)?
            }
            Long("timeout-write") => limits.write_ms = seconds("--timeout-write", &words.value()?)?,
            Long("timeout-idle") => limits.idle_ms = seconds("--timeout-idle", &words.value()?)?,
            Long("timeout-linger") => {
                limits.linger_ms = seconds("--timeout-linger", &words.value()?)?
            }
            Long("timeout-drain") => limits.drain_ms = seconds("--timeout-drain", &words.value()?)?,
            Long("fast-open") => options.fast_open = true,
            Long("defer-accept") => {
                options.defer_accept = number("--defer-accept", &words.value()?, 0, 3_600)? as u16
            }
            Value(value) if directory.is_none() => directory = Some(value.into()),
            Value(value) => {
                return Err(format!(
                    "'{}' is one directory too many: name the one to serve",
                    value.to_string_lossy()
                )
                .into());
            }
            other => return Err(other.unexpected()),
        }
    }
    options.directory = directory
        .ok_or("which directory? Name the one to serve: capuchin DIR (see capuchin --help)")?;
    if options.sandbox && options.site.links == Links::All {
        return Err(
            "--sandbox: links that leave DIR lead nowhere then: leave out --links all".into(),
        );
    }
    if options.listen.is_empty() {
        options
            .listen
            .push(SocketAddr::from(([127, 0, 0, 1], 8080)));
    }
    if !index.is_empty() {
        options.site.index = index;
    }
    Ok(Command::Serve(Box::new(options)))
}

/// Whether requests can name it, and it is not the directory's own `/`. What would have to be
/// encoded in a URL is refused: it was hardly meant.
fn is_status_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|names| {
        names.split('/').all(|name| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !matches!(name, "" | "." | "..") && name.bytes().all(plain)
        })
    })
}

fn text(option: &str, value: OsString) -> Result<String, lexopt::Error> {
    value
        .into_string()
        .map_err(|value| format!("{option}: '{}' is not UTF-8", value.to_string_lossy()).into())
}

fn file_name(option: &str, value: OsString) -> Result<String, lexopt::Error> {
    let name = text(option, value)?;
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(format!("{option}: '{name}' is no file name: try index.html").into());
    }
    Ok(name)
}

fn address(option: &str, value: &OsString) -> Result<SocketAddr, lexopt::Error> {
    let value = value.to_string_lossy();
    value.parse().map_err(|_| {
        format!("{option}: '{value}' is no address with a port: try 127.0.0.1:8080, or [::1]:8080 for IPv6").into()
    })
}

fn choice<T: Copy>(
    option: &str,
    value: &OsString,
    choices: &[(&str, T)],
) -> Result<T, lexopt::Error> {
    let found = choices.iter().find(|(name, _)| value == *name);
    found.map(|&(_, choice)| choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!(
            "{option}: '{}' is not one of: {}",
            value.to_string_lossy(),
            names.join(", ")
        )
        .into()
    })
}

fn number(option: &str, value: &OsString, least: u64, most: u64) -> Result<u64, lexopt::Error> {
    let value = value.to_string_lossy();
    let number = value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| {
        format!("{option}: '{value}' is no whole number from {least} to {most}").into()
    })
}

/// Bytes: `4096`, `4K`, `1M`, `2G`.
fn size(option: &str, value: &OsString, least: u64, most: u64) -> Result<u64, lexopt::Error> {
    let value = value.to_string_lossy();
    let (digits, unit) = match value.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&value[..value.len() - 1], 1 << 10),
        Some(b'M') => (&value[..value.len() - 1], 1 << 20),
        Some(b'G') => (&value[..value.len() - 1], 1 << 30),
        _ => (&value[..], 1),
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    bytes.filter(|bytes| (least..=most).contains(bytes)).ok_or_else(|| {
        format!("{option}: '{value}' is no size from {least} to {most} bytes: try 8192, 64K, 4M or 1G").into()
    })
}

/// The longest timeout: the engine's deadlines reach 24 days.
const LONGEST_SECONDS: u32 = 20 * 24 * 3_600;

/// Milliseconds of a time in seconds such as `30` or `0.5`.
fn seconds(option: &str, value: &OsString) -> Result<u32, lexopt::Error> {
    let value = value.to_string_lossy();
    milliseconds(&value).ok_or_else(|| {
        format!("{option}: '{value}' is no time in seconds, from 0.001 to {LONGEST_SECONDS}: try 30 or 0.5").into()
    })
}

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
    fn directory_alone_is_enough() {
        let options = options("site").unwrap();
        assert_eq!(options.directory, PathBuf::from("site"));
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
    fn mistakes_are_one_sentence_that_says_what_to_write() {
        let cases = [
            ("", "which directory?"),
            ("a b", "one directory too many"),
            ("--listen 8080 d", "try 127.0.0.1:8080"),
            ("--listen localhost:8080 d", "try 127.0.0.1:8080"),
            ("--workers 0 d", "from 1 to"),
            ("--workers many d", "from 1 to"),
            ("--accept both d", "each, one"),
            ("--max-head 1 d", "from 512 to"),
            ("--max-head 1T d", "try 8192"),
            ("--timeout-idle -1 d", "try 30 or 0.5"),
            ("--timeout-idle nan d", "try 30 or 0.5"),
            ("--links maybe d", "none, beneath, all"),
            ("--index a/b d", "no file name"),
            ("--status-path status d", "begins with '/'"),
            ("--status-path / d", "try /status"),
            ("--status-path /a%20b d", "try /status"),
            ("--status-path /a/../b d", "try /status"),
            ("--status-path /a//b d", "try /status"),
            ("--status-path /a/ d", "try /status"),
            ("--max-head 32K d", "from 512 to 32767"),
            ("--nonsense d", "no option"),
            ("--sandbox --links all d", "leave out --links all"),
            ("--links all --sandbox d", "leave out --links all"),
            ("--workers", "needs a value"),
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
