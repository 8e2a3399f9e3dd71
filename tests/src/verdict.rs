//! What an image that examines itself tells on its console: a line for each case, and how many there were.

use crate::fail;
use crate::failure::{During, Outcome};
use crate::runner::Tally;

/// What the last line begins with.
pub const END: &str = "capuchin: conformance: ";

/// What stands before a case that failed.
const FAILED: &str = "capuchin: FAILED ";

/// The suite's name in the table.
pub const SUITE: &str = "conformance";

/// Counts the cases by the last line.
///
/// # Errors
/// When one failed: what `lines` tell of those; when there was none; when that is no last line.
pub fn count(tally: &Tally, backend: &'static str, end: &str, lines: &[String]) -> Outcome {
    let (passed, failed) = numbers(end)?;
    tally.add(backend, SUITE, passed, failed);
    if failed > 0 || passed == 0 {
        let told: Vec<_> = lines.iter().filter(|line| line.contains(FAILED)).collect();
        fail!("{end}\n{told:#?}");
    }
    Ok(())
}

/// `N passed, M failed`.
fn numbers(end: &str) -> Outcome<(u64, u64)> {
    let numbers: Vec<u64> = end
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [passed, failed] => Ok((passed, failed)),
        _ => Err(format!("{end:?} has not two numbers")).during("the verdict"),
    }
}
