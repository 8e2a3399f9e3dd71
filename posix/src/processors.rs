//! How many threads can run at the same time.

/// Processors that this process may run on, or as many as a container's share of their time fills: at
/// least one.
///
/// On Linux [`std::thread::available_parallelism`] tells the same, in 20 KB of code; it also finds a
/// version 1 of control groups that is mounted in an unusual place.
#[must_use]
pub fn processors() -> usize {
    cfg_if::cfg_if! {
        if #[cfg(target_os = "linux")] {
            linux::allowed().min(linux::share().unwrap_or(usize::MAX)).max(1)
        } else {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::format;
    use std::fs;
    use std::string::String;

    /// Processors that the process may run on (sched_getaffinity(2)); all that there are where the system does not
    /// tell, as it does not where there are more than 1,024.
    pub(super) fn allowed() -> usize {
        // SAFETY: zeros are a set without processors, which is valid for writing; counting them reads it.
        unsafe {
            let mut set: libc::cpu_set_t = core::mem::zeroed();
            match libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) {
                0 => libc::CPU_COUNT(&set) as usize,
                _ => usize::try_from(libc::sysconf(libc::_SC_NPROCESSORS_ONLN)).unwrap_or(1),
            }
        }
    }

    /// The share of the control group that the process is in, and of those around it (cgroups(7)).
    pub(super) fn share() -> Option<usize> {
        let groups = read("/proc/self/cgroup")?;
        groups.lines().filter_map(share_of).min()
    }

    /// The share of a group: `0::/path` for version 2, `4:cpu,cpuacct:/path` for version 1.
    fn share_of(group: &str) -> Option<usize> {
        let mut parts = group.splitn(3, ':').skip(1);
        let (controllers, mut path) = (parts.next()?, parts.next()?);
        let is_v1 = controllers.split(',').any(|name| name == "cpu");
        if !is_v1 && !controllers.is_empty() {
            return None;
        }
        let mut share: Option<usize> = None;
        // A container may see its own group where the whole tree would be.
        loop {
            path = path.trim_end_matches('/');
            let limit = if is_v1 {
                let file = |name| read(&format!("/sys/fs/cgroup/cpu{path}/cpu.cfs_{name}_us"));
                let both = file("quota").zip(file("period"));
                both.map(|(quota, period)| format!("{quota} {period}"))
            } else {
                read(&format!("/sys/fs/cgroup{path}/cpu.max"))
            };
            let limit = limit.and_then(|text| quotient(&text));
            share = share.into_iter().chain(limit).min();
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => return share,
            }
        }
    }

    /// Whole processors of `QUOTA PERIOD`, at least one; there is no limit where one is no number.
    pub(super) fn quotient(text: &str) -> Option<usize> {
        let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
        let (quota, period): (usize, usize) = (numbers.next()??, numbers.next()??);
        Some(quota.checked_div(period)?.max(1))
    }

    fn read(path: &str) -> Option<String> {
        fs::read_to_string(path).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_standard_library_finds() {
        let expected = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(processors(), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn share_is_whole_processors_or_none() {
        for (text, expected) in [
            ("max 100000", None),
            ("-1 100000", None),
            ("100000", None),
            ("100000 0", None),
            ("50000 100000", Some(1)),
            ("399999 100000\n", Some(3)),
            ("400000\n 100000\n", Some(4)),
        ] {
            assert_eq!(linux::quotient(text), expected, "{text}");
        }
    }
}
