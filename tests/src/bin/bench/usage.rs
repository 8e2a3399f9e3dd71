//! What processes use: CPU time and memory, read from /proc (proc(5)).

use std::fs;
use std::ops::Sub;
use std::path::Path;

/// `utime` and `stime` are in these on every Linux (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of some processes so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

impl Cpu {
    pub fn total(&self) -> f64 {
        self.user + self.system
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}

/// CPU time of these processes.
///
/// Their sum is what the scheduler counts, in nanoseconds. How it divides into user and system time
/// is sampled by the kernel's tick, so a small user time needs long runs: one part in twenty-five takes
/// forty seconds of CPU time to be known to a twentieth, at 250 ticks a second. Exact it would be in a kernel with
/// VIRT_CPU_ACCOUNTING, which this reads as well; hardware counters of user mode are missing in most virtual
/// machines, software ones count both modes, and tracing each call costs as much as a request's user time.
pub fn cpu(processes: &[u32]) -> Cpu {
    let mut sum = Cpu::default();
    for pid in processes {
        let (user, system) = ticks(*pid);
        let ran = scheduled(*pid).unwrap_or(user + system);
        let share = user / (user + system).max(f64::MIN_POSITIVE);
        sum.user += ran * share;
        sum.system += ran * (1.0 - share);
    }
    sum
}

/// `utime` and `stime` in seconds.
fn ticks(pid: u32) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields 14 and 15; the second is a name in parentheses that may hold anything.
    let mut fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse::<f64>().unwrap_or(0.0) / TICKS_PER_SECOND);
    (fields.next().unwrap_or(0.0), fields.next().unwrap_or(0.0))
}

/// Seconds on a core, summed over the threads that live.
fn scheduled(pid: u32) -> Option<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<f64>().ok()? / 1e9;
    }
    Some(sum)
}

/// CPU time in seconds of this program and of those that it started and that have ended: of whatever load it ran,
/// but not of servers that still run (getrusage(2)).
pub fn own() -> f64 {
    let of = |who| {
        // SAFETY: zeros are valid times.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the structure lives through the call.
        unsafe { libc::getrusage(who, &raw mut usage) };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}

/// Seconds that the machine's cores worked, less [`own`]; 0 where the system does not count them as the scheduler
/// does. The kernel's tick would see too much: it falls into what a timer wakes.
pub fn elsewhere() -> f64 {
    worked().map_or(0.0, |worked| worked - own())
}

/// Seconds that all control groups together have used (cgroups(7), either version).
fn worked() -> Option<f64> {
    let root = Path::new("/sys/fs/cgroup");
    if let Ok(text) = fs::read_to_string(root.join("cpuacct/cpuacct.usage")) {
        return Some(text.trim().parse::<f64>().ok()? / 1e9);
    }
    // The second version's root counts ticks, what is below it does not.
    let groups = fs::read_dir(root).ok()?.flatten();
    let stats = groups.filter_map(|group| fs::read_to_string(group.path().join("cpu.stat")).ok());
    stats
        .map(|stat| used_microseconds(&stat).map(|micros| micros / 1e6))
        .sum()
}

fn used_microseconds(stat: &str) -> Option<f64> {
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))?;
    line.parse().ok()
}

/// Bytes of memory of some processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// `Private_Dirty`: what they alone have written, and the kernel cannot take back.
    pub dirty: u64,
    /// With `Private_Clean`: pages of files that nobody else maps at the moment, above all of the program's own.
    /// They are the page cache's: another process that runs the program has the same.
    pub private: u64,
    /// `Rss`: all that they map and that is in memory, the C library's pages for example.
    pub resident: u64,
}

/// Memory of these processes, summed: what they share with each other is private to none of them.
pub fn memory(processes: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for pid in processes {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let one = in_rollup(&rollup);
        sum.dirty += one.dirty;
        sum.private += one.private;
        sum.resident += one.resident;
    }
    sum
}

fn in_rollup(text: &str) -> Memory {
    let bytes = |name: &str| -> u64 {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        let number = value.and_then(|value| value.trim().strip_suffix(" kB"));
        number.and_then(|number| number.parse().ok()).unwrap_or(0) * 1_024
    };
    let dirty = bytes("Private_Dirty:");
    Memory {
        dirty,
        private: dirty + bytes("Private_Clean:"),
        resident: bytes("Rss:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_clean_and_dirty_pages() {
        let rollup = "Rss: 900 kB\nShared_Clean: 500 kB\nPrivate_Clean:        100 kB\n\
                      Private_Dirty:        300 kB\nPrivate_Hugetlb: 7 kB\n";
        let expected = Memory {
            dirty: 300 << 10,
            private: 400 << 10,
            resident: 900 << 10,
        };
        assert_eq!(in_rollup(rollup), expected);
    }

    #[test]
    fn use_of_a_control_group_is_read() {
        let stat = "usage_usec 1650\nuser_usec 1000\nsystem_usec 650\n";
        assert_eq!(used_microseconds(stat), Some(1_650.0));
        assert_eq!(used_microseconds("nr_periods 0\n"), None);
    }

    #[test]
    fn own_cpu_time_grows_with_work() {
        let own = [std::process::id()];
        let before = cpu(&own);
        let begin = std::time::Instant::now();
        let mut sum = 0u64;
        while (cpu(&own) - before).total() < 0.02 {
            sum = std::hint::black_box(sum.wrapping_add(1));
            assert!(begin.elapsed().as_secs() < 30, "no CPU time was counted");
        }
    }
}
