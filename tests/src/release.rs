//! What `cargo build --release` left, and what made it: numbers that are noted hold for one compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the command is: beside the folder of this program.
///
/// # Errors
/// A sentence, when this program does not know where it is itself.
pub fn command() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own
        .parent()
        .unwrap_or(Path::new("."))
        .join("../release/capuchin"))
}

/// # Errors
/// A sentence that says how to make `command`, when it is not there.
pub fn is_there(command: &Path) -> Result<(), String> {
    if command.is_file() {
        return Ok(());
    }
    let command = command.display();
    Err(format!("there is no {command}: cargo build --release"))
}

/// The compiler and what it makes programs for.
///
/// # Errors
/// A sentence, when there is none.
pub fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|error| format!("rustc -vV: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name| text.lines().find_map(|line| line.strip_prefix(name));
    match (value("rustc "), value("host: ")) {
        (Some(version), Some(host)) => Ok(format!("rustc {version} for {host}")),
        _ => Err(format!("rustc -vV says {text}")),
    }
}
