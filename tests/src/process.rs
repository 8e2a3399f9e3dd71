//! Looking at a server's process from outside, where the system shows it (Linux).

use crate::fail;
use crate::failure::{During, Outcome};

/// Private anonymous memory of a process in KiB: `RssAnon` of `/proc/PID/status`.
///
/// # Errors
/// When the process is gone or the system does not tell.
pub fn private_memory(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).during(&path)?;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("RssAnon:") {
            let digits = rest.trim().trim_end_matches(" kB");
            return digits.parse().during("RssAnon");
        }
    }
    fail!("{path} has no RssAnon line")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn own_memory_can_be_read_and_grows_with_use() {
        let pid = std::process::id();
        let before = super::private_memory(pid).unwrap();
        let block = std::hint::black_box(vec![1u8; 8 << 20]);
        let after = super::private_memory(pid).unwrap();
        assert!(
            after >= before + 7 * 1024,
            "{before} KiB, then {after} KiB with {} bytes more",
            block.len()
        );
    }
}
