//! Bytes of the `capuchin` command without symbols, as strip(1) leaves it.
//!
//! ```text
//! cargo build --release && cargo run -p capuchin-tests --bin size            prints them
//! cargo run -p capuchin-tests --bin size -- --check                          fails where there are more
//! cargo run -p capuchin-tests --bin size -- --write                          notes them
//! ```

use capuchin_tests::release;
use std::path::Path;
use std::process::{Command, ExitCode};

/// How many they were, and with which compiler.
const NOTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/size.txt");

/// A change may add so many in a hundred.
const SLACK_PERCENT: u64 = 3;

/// What the command never is to have more of. It was 400 KB until listings of any size, threads for slow storage,
/// several ranges, fair shares of buffers and addresses of all kinds came in.
const LIMIT: u64 = 544 << 10;

/// What a program with packed relocations asks the C library for.
const PACKED: &[u8] = b"GLIBC_ABI_DT_RELR";

const HELP: &str = "\
Counts the bytes of the release build's command without symbols.

Usage: size [--check|--write]

  --check     fail where they are over 3 in a hundred more than tests/size.txt notes, or over 400 KB
  --write     note them there
  -h, --help  print this

What another compiler has made is counted and not compared.
";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("size: {why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = match &words[..] {
        [] => "",
        [word] => word,
        _ => return Err("one option at most: see --help".into()),
    };
    if ["-h", "--help"].contains(&word) {
        print!("{HELP}");
        return Ok(true);
    }
    let command = release::command()?;
    release::is_there(&command)?;
    let size = stripped(&command)?;
    println!("capuchin {size}");
    let compiler = release::compiler()?;
    match word {
        "" => Ok(true),
        "--check" => check(&command, &compiler, size),
        "--write" => {
            let text = format!("{compiler}\n{size}\n");
            std::fs::write(NOTED, text).map_err(|error| format!("{NOTED}: {error}"))?;
            Ok(true)
        }
        _ => Err(format!("{word} is no option: see --help")),
    }
}

/// The length of a copy without symbols.
fn stripped(command: &Path) -> Result<u64, String> {
    let copy = std::env::temp_dir().join(format!("capuchin-size-{}", std::process::id()));
    let done = Command::new("strip")
        .arg("-o")
        .args([&copy, command])
        .status();
    let length = std::fs::metadata(&copy).map(|metadata| metadata.len());
    let _ = std::fs::remove_file(&copy);
    match done {
        Ok(status) if status.success() => length.map_err(|error| error.to_string()),
        Ok(status) => Err(format!("strip ended with {status}")),
        Err(error) => Err(format!("strip: {error} (apt-get install binutils)")),
    }
}

/// Whether it is within what was noted, and within the limit.
fn check(command: &Path, compiler: &str, size: u64) -> Result<bool, String> {
    let noted = std::fs::read_to_string(NOTED).map_err(|error| format!("{NOTED}: {error}"))?;
    let (noted_compiler, before) = noted.split_once('\n').unwrap_or_default();
    if noted_compiler != compiler {
        println!("NOT COMPARED: {compiler} made this, and {noted_compiler} what was noted");
        return Ok(true);
    }
    let bytes = std::fs::read(command).map_err(|error| error.to_string())?;
    if !bytes.windows(PACKED.len()).any(|part| part == PACKED) {
        println!("NOT COMPARED: relocations are not packed here, which takes glibc 2.36");
        return Ok(true);
    }
    let before: u64 = before
        .trim()
        .parse()
        .map_err(|_| format!("{NOTED} notes no size"))?;
    let slack = before * SLACK_PERCENT / 100;
    if size > LIMIT {
        println!("{size} bytes are over {LIMIT}, which the command is not to have");
    } else if size > before + slack {
        println!("{size} bytes are over {SLACK_PERCENT} in a hundred more than {before}");
    } else if size < before - slack {
        println!(
            "{size} bytes are well below {before}: note it (--write), or it may be lost again"
        );
    }
    Ok(size <= LIMIT.min(before + slack))
}
