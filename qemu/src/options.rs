//! The command line: words become values once, and every mistake is one sentence that says what to
//! write instead.

use capuchin_qemu::{Forward, Spec, Stack};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::time::Duration;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Boots an RTEMS image in QEMU and forwards a port to its HTTP server.

Usage: capuchin-qemu [OPTIONS] IMAGE [-- COMMAND ARGS...]

Prints the server's URL and the time from power-on to its first answer. Then, without COMMAND,
prints the console until Ctrl-C. With COMMAND, runs it with CAPUCHIN_TEST_ADDR=127.0.0.1:PORT in
its environment, and ends QEMU after it:

  capuchin-qemu server.exe -- cargo test -p capuchin-tests --test blackbox

  --stack NAME           the image's network stack: legacy is for i386/pc386 (NE2000, 64 MB),
                         libbsd for i386/pc686 (e1000e, 256 MB), own for images with Capuchin's own
                         (virtio, 8 MB) [legacy]
  --memory MB            RAM, 2 to 3072 [by the stack]
  --forward HOST:GUEST   a port of 127.0.0.1 and the guest's that it leads to; HOST 0 is any
                         free port; may be repeated, the HTTP server's is the first [0:80]
  --append TEXT          the image's command line [--console=/dev/com1]
  --console FILE         write the console to FILE as well
  --interactive          print the console as it comes, and hand what is typed on to it from the
                         first answer on: for images with a shell; without COMMAND
  --wait SECONDS         for the first answer [60]
  --limit SECONDS        for all that comes after it [none]
  --link-off AFTER[:FOR] take the network link down AFTER seconds from the first answer, and up
                         again FOR seconds later [never; to the end]

  -h, --help             print this
  -V, --version          print the version

SECONDS may have decimals. The status is that of COMMAND, or
  0    the console was printed until Ctrl-C, SIGTERM, SIGHUP or --limit
  1    no answer in time, QEMU or COMMAND did not start, or QEMU ended by itself, also while COMMAND
       ran: an image that fails resets the machine, and that ends it
  2    a wrong option, or a file that cannot be used
  3    QEMU is not installed
  124  COMMAND was ended because of --limit
  128+N  signal N ended COMMAND, or came before the first answer
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Boot(Box<Options>),
    Help,
    Version,
}

/// What to boot, and what to do with it.
#[derive(Debug)]
pub(crate) struct Options {
    pub spec: Spec,
    pub wait: Duration,
    pub limit: Option<Duration>,
    pub link_off: Option<LinkOff>,
    /// The program and its arguments; none at all to print the console.
    pub command: Vec<OsString>,
}

/// When the network link is down, counted from the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkOff {
    pub after: Duration,
    pub until: Option<Duration>,
}

/// Least and most RAM: the first holds any image, RTEMS can use no more than the second.
const MEMORY_MB: std::ops::RangeInclusive<u32> = 2..=3_072;

/// A day: what is longer is a slip.
const MOST_SECONDS: f64 = 86_400.0;

/// Reads the command line.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let command = match words.iter().position(|word| word == "--") {
        Some(at) => {
            let command = words.split_off(at).split_off(1);
            if command.is_empty() {
                return Err("which command? Write it behind the --, or leave that out".into());
            }
            command
        }
        None => Vec::new(),
    };
    parse_words(lexopt::Parser::from_args(words), command).map_err(|error| match error {
        lexopt::Error::UnexpectedOption(name) => {
            format!("there is no option {name}: see capuchin-qemu --help")
        }
        lexopt::Error::MissingValue { option: Some(name) } => {
            format!("{name} needs a value: see capuchin-qemu --help")
        }
        other => other.to_string(),
    })
}

fn parse_words(
    mut words: lexopt::Parser,
    command: Vec<OsString>,
) -> Result<Command, lexopt::Error> {
    let mut stack = Stack::Legacy;
    let (mut image, mut memory, mut append, mut console) = (None, None, None, None);
    let mut interactive = false;
    let mut forwards = Vec::new();
    let (mut wait, mut limit, mut link_off) = (Duration::from_secs(60), None, None);
    while let Some(word) = words.next()? {
        match word {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("stack") => stack = stack_of(&text("--stack", words.value()?)?)?,
            Long("memory") => memory = Some(megabytes(&text("--memory", words.value()?)?)?),
            Long("forward") => forwards.push(forward(&text("--forward", words.value()?)?)?),
            Long("append") => append = Some(text("--append", words.value()?)?),
            Long("interactive") => interactive = true,
            Long("console") => console = Some(words.value()?.into()),
            Long("wait") => wait = seconds("--wait", &text("--wait", words.value()?)?)?,
            Long("limit") => limit = Some(seconds("--limit", &text("--limit", words.value()?)?)?),
            Long("link-off") => {
                link_off = Some(times(&text("--link-off", words.value()?)?)?);
            }
            Value(value) if image.is_none() => image = Some(value),
            Value(value) => {
                return Err(format!(
                    "'{}' is one image too many: write -- before a command",
                    value.to_string_lossy()
                )
                .into());
            }
            other => return Err(other.unexpected()),
        }
    }
    let image = image.ok_or("which image? Write capuchin-qemu IMAGE")?;
    if interactive && !command.is_empty() {
        return Err(
            "--interactive is for the console, and a COMMAND prints itself: leave one out".into(),
        );
    }
    let mut spec = Spec::new(stack, image);
    spec.interactive = interactive;
    spec.memory_mb = memory.unwrap_or(spec.memory_mb);
    spec.append = append.unwrap_or(spec.append);
    spec.console_file = console;
    let mut forwards = forwards.into_iter();
    spec.http = forwards.next().unwrap_or(spec.http);
    spec.others = forwards.collect();
    Ok(Command::Boot(Box::new(Options {
        spec,
        wait,
        limit,
        link_off,
        command,
    })))
}

fn text(option: &str, value: OsString) -> Result<String, String> {
    value
        .into_string()
        .map_err(|value| format!("{option}: '{}' is no text", value.to_string_lossy()))
}

fn stack_of(value: &str) -> Result<Stack, String> {
    [Stack::Legacy, Stack::Libbsd, Stack::Own]
        .into_iter()
        .find(|stack| stack.name() == value)
        .ok_or_else(|| format!("--stack: '{value}' is none of legacy, libbsd, own"))
}

fn megabytes(value: &str) -> Result<u32, String> {
    let number = value.parse().ok();
    number
        .filter(|number| MEMORY_MB.contains(number))
        .ok_or_else(|| {
            format!(
                "--memory: '{value}' is no number of MB from {} to {}",
                MEMORY_MB.start(),
                MEMORY_MB.end()
            )
        })
}

fn forward(value: &str) -> Result<Forward, String> {
    let ports = value
        .split_once(':')
        .and_then(|(host, guest)| Some((host.parse().ok()?, guest.parse().ok()?)));
    match ports {
        Some((host, guest)) if guest != 0 => Ok(Forward { host, guest }),
        _ => Err(format!(
            "--forward: '{value}' is no pair of ports: try 8080:80, or 0:80 for any free port"
        )),
    }
}

fn times(value: &str) -> Result<LinkOff, String> {
    let (after, long) = match value.split_once(':') {
        Some((after, long)) => (after, Some(seconds("--link-off", long)?)),
        None => (value, None),
    };
    let after = seconds("--link-off", after)?;
    Ok(LinkOff {
        after,
        until: long.map(|long| after + long),
    })
}

fn seconds(option: &str, value: &str) -> Result<Duration, String> {
    let number = value.parse().ok();
    number
        .filter(|number| (0.0..=MOST_SECONDS).contains(number))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("{option}: '{value}' is no number of seconds: try 30 or 0.5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        match parse(line.split_whitespace().map(OsString::from))? {
            Command::Boot(options) => Ok(*options),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn image_alone_is_enough() {
        let options = options("image").unwrap();
        assert_eq!(options.spec.stack, Stack::Legacy);
        assert_eq!(options.spec.memory_mb, 64);
        assert_eq!(options.spec.append, "--console=/dev/com1");
        assert_eq!(options.spec.forwards(), [Forward::to(80)]);
        assert_eq!(options.wait, Duration::from_secs(60));
        assert!(options.command.is_empty() && options.limit.is_none());
    }

    #[test]
    fn everything_behind_the_dashes_is_the_command() {
        let options = options("--limit 0.5 image -- run --limit x -- y").unwrap();
        assert_eq!(options.limit, Some(Duration::from_millis(500)));
        assert_eq!(options.command, ["run", "--limit", "x", "--", "y"]);
    }

    #[test]
    fn values_are_taken_in_their_units_wherever_the_stack_is_named() {
        let line = "--memory 128 --forward 8080:80 --forward 0:9000 --append --x --link-off 2:3.5 \
                    --console log image --stack libbsd";
        let options = options(line).unwrap();
        let spec = options.spec;
        assert_eq!((spec.stack, spec.memory_mb), (Stack::Libbsd, 128));
        let http = Forward {
            host: 8_080,
            guest: 80,
        };
        assert_eq!((spec.http, spec.others), (http, vec![Forward::to(9_000)]));
        assert_eq!(spec.append, "--x");
        assert_eq!(spec.console_file, Some("log".into()));
        let link_off = LinkOff {
            after: Duration::from_secs(2),
            until: Some(Duration::from_millis(5_500)),
        };
        assert_eq!(options.link_off, Some(link_off));
    }

    #[test]
    fn mistakes_are_one_sentence_that_says_what_to_write() {
        let cases = [
            ("", "which image?"),
            ("a b", "write -- before a command"),
            ("a --", "which command?"),
            ("--stack both a", "legacy, libbsd"),
            ("--memory 1 a", "from 2 to 3072"),
            ("--memory 3073 a", "from 2 to 3072"),
            ("--memory lots a", "from 2 to 3072"),
            ("--forward 80 a", "try 8080:80"),
            ("--forward 80:0 a", "try 8080:80"),
            ("--forward 65536:80 a", "try 8080:80"),
            ("--wait -1 a", "try 30 or 0.5"),
            ("--limit nan a", "try 30 or 0.5"),
            ("--link-off 1:x a", "try 30 or 0.5"),
            ("--nonsense a", "no option"),
            ("--interactive a -- b", "leave one out"),
            ("--wait", "needs a value"),
        ];
        for (line, expected) in cases {
            let message = options(line).unwrap_err();
            assert!(message.contains(expected), "{line}: {message}");
            assert!(!message.contains('\n'), "{line}: {message}");
        }
    }
}
