//! What processes use: CPU time and private memory, read from /proc (proc(5)).

use capuchin_tests::process;
use std::fs;
use std::ops::Sub;

/// `utime` and `stime` are in these on every Linux (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of some processes so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
    /// Ready to run, but the core was another's: other work disturbs the measurement.
    pub waited: f64,
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
            waited: self.waited - before.waited,
        }
    }
}

/// CPU time of these processes.
///
/// Their sum is what the scheduler counts, in nanoseconds. How it divides into user and system time
/// is sampled by the kernel's tick in most kernels, so a small user time needs long runs.
pub fn cpu(processes: &[u32]) -> Cpu {
    let mut sum = Cpu::default();
    for pid in processes {
        let (user, system) = ticks(*pid);
        let (ran, waited) = scheduled(*pid).unwrap_or((user + system, 0.0));
        let share = user / (user + system).max(f64::MIN_POSITIVE);
        sum.user += ran * share;
        sum.system += ran * (1.0 - share);
        sum.waited += waited;
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

/// Seconds on a core and seconds waiting for one, summed over the threads that live.
fn scheduled(pid: u32) -> Option<(f64, f64)> {
    let mut sum = (0.0, 0.0);
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let mut fields = text
            .split_whitespace()
            .map(|field| field.parse::<f64>().unwrap_or(0.0) / 1e9);
        sum.0 += fields.next()?;
        sum.1 += fields.next()?;
    }
    Some(sum)
}

/// Bytes of memory that belong to some processes alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All of them, with the pages of the program's own file that nobody else maps.
    pub private: u64,
    /// Those that no file stands behind: what the program took.
    pub anonymous: u64,
}

/// Memory of these processes, summed.
pub fn memory(processes: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for pid in processes {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.private += private_kilobytes(&rollup) * 1_024;
        sum.anonymous += process::private_memory(*pid).unwrap_or(0) * 1_024;
    }
    sum
}

fn private_kilobytes(rollup: &str) -> u64 {
    rollup
        .lines()
        .filter(|line| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_clean_and_dirty_pages() {
        let rollup = "Rss: 900 kB\nShared_Clean: 500 kB\nPrivate_Clean:        100 kB\n\
                      Private_Dirty:        300 kB\nPrivate_Hugetlb: 7 kB\n";
        assert_eq!(private_kilobytes(rollup), 400);
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
