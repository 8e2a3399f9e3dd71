//! Part of a core for a server: so that the server, not the load on a core of the same kind, is what a
//! rate measures. By the kernel's CPU controller (cgroups(7), either version), where this process
//! may use it.

use std::fs;
use std::path::PathBuf;

/// How much of its core a server usually gets.
pub const SHARE: f64 = 0.5;

/// Microseconds in which it gets its share once: short, for a server that has used it up stands
/// still until the next; and no part or multiple of the kernel's ticks, which sample user time.
const PERIOD: u32 = 7_300;

/// The same for threads on several cores, to which the kernel hands out 5 ms at a time.
const LONG_PERIOD: u32 = 50_900;

/// A control group; gone when dropped, if nothing runs in it any more.
pub struct Quota {
    group: PathBuf,
    /// Cores that what is held to it gets.
    pub share: f64,
}

impl Quota {
    /// So much of one core. `None` where there is no such controller, or not for us.
    pub fn make(share: f64) -> Option<Self> {
        Self::of(share, PERIOD)
    }

    /// So much of all cores together.
    pub fn make_for_cores(share: f64) -> Option<Self> {
        Self::of(share, LONG_PERIOD)
    }

    fn of(share: f64, period: u32) -> Option<Self> {
        let quota = (f64::from(period) * share) as u32;
        // Several may be there at a time.
        let name = format!("capuchin-bench-{}-{share}", std::process::id());
        let first = (
            "/sys/fs/cgroup/cpu",
            "cpu.cfs_period_us",
            "cpu.cfs_quota_us",
        );
        let second = ("/sys/fs/cgroup", "cpu.max", "");
        for (root, limit, part) in [first, second] {
            let group = PathBuf::from(root).join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let made = Self { group, share };
            let set = |file: &str, text: String| fs::write(made.group.join(file), text);
            let result = if part.is_empty() {
                set(limit, format!("{quota} {period}"))
            } else {
                set(limit, period.to_string()).and_then(|()| set(part, quota.to_string()))
            };
            if result.is_ok() {
                return Some(made);
            }
        }
        None
    }

    /// Holds these processes to the share from now on; `false` if that was not possible.
    pub fn hold(&self, processes: &[u32]) -> bool {
        let file = self.group.join("cgroup.procs");
        processes
            .iter()
            .all(|pid| fs::write(&file, pid.to_string()).is_ok())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.group);
    }
}
