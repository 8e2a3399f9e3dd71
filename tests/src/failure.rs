//! Why a case failed, in words that a person can act on.

use std::fmt;

/// A failed case: what was expected and what came instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

/// What a case, or a step of one, comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with this explanation.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(format!("input or output failed: {error}"))
    }
}

/// Says during what a step failed.
pub trait During<T> {
    /// Puts `what` before the explanation.
    ///
    /// # Errors
    /// The same failure, with more to say.
    fn during(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}

/// Ends the step with a failure.
#[macro_export]
macro_rules! fail {
    ($($text:tt)*) => { return Err($crate::failure::Failure::new(format!($($text)*))) };
}

/// Ends the step with a failure unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if $condition {
        } else {
            $crate::fail!($($text)*);
        }
    };
}

/// Bytes as a person can read them in a failure, cut after 200.
#[must_use]
pub fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN {
        format!("\"{text}\"… ({} bytes)", bytes.len())
    } else {
        format!("\"{text}\"")
    }
}
