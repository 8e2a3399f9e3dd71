//! The rc.d script for FreeBSD, with a few lines in the place of that system's rc.subr(8): what it
//! starts are words that the command takes.

mod common;

use common::Place;
use std::process::{Command, Output};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/freebsd/capuchin");

/// As much of rc.subr as the script uses. What a configuration sets is in `CONF`.
const RC_SUBR: &str = r#"
load_rc_config() { eval "$CONF"; }
startmsg() { echo "$*"; }
checkyesno() { eval value=\$$1; [ "$value" = YES ]; }
run_rc_command() {
    [ -z "${capuchin_user-}" ] || { echo "rc.subr would start it as $capuchin_user" >&2; exit 1; }
    rc_flags=$capuchin_flags
    for directory in ${required_dirs-}; do [ -d "$directory/." ] || exit 1; done
    eval precmd=\${$1_precmd-}
    [ -z "$precmd" ] || "$precmd" || exit 1
    eval method=\$$1_cmd
    "$method"
}
"#;

/// Runs one command of the script, the paths of that system replaced by those here; the server is this
/// package's, and daemon(8) prints its words.
fn run(place: &Place, verb: &str, conf: &str) -> Output {
    run_with(place, verb, conf, env!("CARGO_BIN_EXE_capuchin"))
}

/// The same with another server.
fn run_with(place: &Place, verb: &str, conf: &str, command: &str) -> Output {
    let (subr, daemon) = (place.0.join("rc.subr"), place.0.join("daemon"));
    place.write("rc.subr", RC_SUBR);
    place.write("daemon", "#!/bin/sh\nfor word; do echo \"[$word]\"; done\n");
    let mut text = std::fs::read_to_string(SCRIPT).expect("the script");
    for (there, here) in [
        ("/etc/rc.subr", subr.to_str()),
        ("/usr/sbin/daemon", Some("sh \"$DAEMON\"")),
        ("/usr/local/bin/capuchin\"\n", Some("$COMMAND\"\n")),
    ] {
        assert!(text.contains(there), "{there}");
        text = text.replace(there, here.expect("UTF-8"));
    }
    place.write("script", &text);
    Command::new("sh")
        .arg(place.0.join("script"))
        .arg(verb)
        .env("CONF", conf)
        .env("DAEMON", daemon)
        .env("COMMAND", command)
        .output()
        .expect("a shell")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The user that runs this, as the command takes it.
fn user() -> String {
    // SAFETY: takes and passes no memory.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    format!("{uid}:{gid}")
}

fn conf(root: &str, flags: &str) -> String {
    let user = user();
    format!("capuchin_root='{root}' capuchin_user={user} capuchin_flags='{flags}'")
}

#[test]
fn script_starts_words_that_the_command_takes() {
    let place = Place::new("rc-start");
    place.write("two words/a.txt", "");
    let root = format!("{}/two words", place.path());
    let conf = conf(&root, "--listen 127.0.0.1:0 --listing on");
    let started = run(&place, "start", &conf);
    assert_eq!(text(&started.stderr), "");
    let out = text(&started.stdout);
    let words: Vec<&str> = out
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'))
        .collect();
    let command = env!("CARGO_BIN_EXE_capuchin");
    let at = words.iter().position(|&word| word == command);
    let (daemon, server) = words.split_at(at.expect("it starts the command"));
    assert_eq!(
        daemon,
        [
            "-c",
            "-f",
            "-S",
            "-T",
            "capuchin",
            "-p",
            "/var/run/capuchin.pid"
        ]
    );
    assert_eq!(server[1..3], ["--user", &user()]);
    assert_eq!(server[3..6], ["--listen", "127.0.0.1:0", "--listing"]);
    assert_eq!(server.last(), Some(&&*root));
}

#[test]
fn start_of_a_server_that_would_not_start_fails_and_says_why() {
    let place = Place::new("rc-fails");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = format!("--listen {}", taken.local_addr().expect("its address"));
    let missing = format!("{}/missing", place.path());
    for (root, flags, why) in [
        (place.path(), "--nonsense", "there is no option"),
        (place.path(), &taken, "in use"),
        (&missing, "--listen 127.0.0.1:0", "missing"),
    ] {
        let output = run(&place, "start", &conf(root, flags));
        assert!(!output.status.success(), "{flags}: {output:?}");
        assert_eq!(
            text(&output.stdout),
            "",
            "{flags}: daemon(8) is not reached"
        );
        assert!(text(&output.stderr).contains(why), "{flags}: {output:?}");
    }
}

#[test]
fn sandbox_is_asked_for_only_where_it_is_configured() {
    let place = Place::new("rc-sandbox");
    for (conf, wanted) in [
        ("capuchin_sandbox=YES", true),
        ("capuchin_sandbox=NO", false),
        ("", false),
    ] {
        // It takes all words, also where there is no sandbox.
        let out = text(&run_with(&place, "start", conf, "true").stdout);
        assert_eq!(out.contains("[--sandbox]"), wanted, "{conf}: {out}");
    }
}

#[test]
fn options_are_tried_as_they_would_be_used() {
    let place = Place::new("rc-check");
    let conf = |flags: &str| conf(place.path(), flags);
    let good = run(&place, "check", &conf("--listen 127.0.0.1:0"));
    assert_eq!(text(&good.stdout), "the options are right\n", "{good:?}");
    let bad = run(&place, "check", &conf("--listen 127.0.0.1:0 --nonsense"));
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}

#[test]
fn every_option_that_the_script_names_is_one_of_the_command() {
    let script = std::fs::read_to_string(SCRIPT).expect("the script");
    let help = text(&common::output(&["--help"]).stdout);
    let mut count = 0;
    for word in script.split(|byte: char| byte.is_whitespace() || "\"'`".contains(byte)) {
        if word.starts_with("--") && word.len() > 2 && word != "--help" {
            assert!(help.contains(&format!("\n  {word} ")), "{word}");
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}
