//! What becomes of a process that becomes another user. Only root can try.
//!
//! Without the usual harness: its threads and the look-up of users in a forked child do not go
//! together, for the child may inherit a lock that nobody is left to give back.

#![cfg_attr(not(target_os = "linux"), allow(unused))]

use capuchin_posix::become_user;
use core::ffi::{CStr, c_int};
use std::ffi::CString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{fs, io};

/// Keeps capabilities when the user changes (capabilities(7)).
#[cfg(target_os = "linux")]
const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;

/// A user of this machine's whose group has another number than it has itself, and is not root's.
struct Somebody {
    name: CString,
    uid: libc::uid_t,
    gid: libc::gid_t,
}

impl Somebody {
    fn of_this_machine() -> Option<Self> {
        let list = fs::read_to_string("/etc/passwd").ok()?;
        list.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = CString::new(fields.next()?).ok()?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (uid != 0 && gid != 0 && uid != gid).then_some(Self { name, uid, gid })
        })
    }
}

/// The status file of a process that did `before`, which is to answer 0, and then became `user`.
fn status_as(
    user: &CStr,
    before: impl Fn() -> c_int + Send + Sync + 'static,
) -> io::Result<String> {
    let user = user.to_owned();
    let mut command = Command::new("cat");
    command.arg("/proc/self/status");
    let become_it = move || {
        if before() != 0 {
            // Not the error that is looked for: the caller finds nothing printed.
            // SAFETY: ends the process.
            unsafe { libc::_exit(1) };
        }
        become_user(&user).map_err(|_| io::Error::from_raw_os_error(libc::EPERM))
    };
    // SAFETY: this process has one thread, so what the child inherits is whole.
    unsafe { command.pre_exec(become_it) };
    let output = command.output()?;
    Ok(String::from_utf8(output.stdout).expect("text"))
}

fn ids<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.expect(name).split_whitespace().collect()
}

fn number_of_a_user_gives_it_its_own_groups_and_not_the_one_of_that_number(somebody: &Somebody) {
    let Somebody { name, uid, gid } = somebody;
    let number = CString::new(uid.to_string()).expect("digits");
    let by_number = status_as(&number, || 0).expect("root may");
    assert_eq!(ids(&by_number, "Uid:"), [&*uid.to_string(); 4]);
    assert_eq!(ids(&by_number, "Gid:"), [&*gid.to_string(); 4]);
    let by_name = status_as(name, || 0).expect("root may");
    for line in ["Uid:", "Gid:", "Groups:"] {
        assert_eq!(ids(&by_number, line), ids(&by_name, line), "{line}");
    }
}

fn two_numbers_need_no_user_and_bring_no_other_group(_: &Somebody) {
    let status = status_as(c"12345:23456", || 0).expect("root may");
    assert_eq!(ids(&status, "Uid:"), ["12345"; 4]);
    assert_eq!(ids(&status, "Gid:"), ["23456"; 4]);
    assert_eq!(ids(&status, "Groups:"), ["23456"]);
}

#[cfg(target_os = "linux")]
fn whoever_could_be_root_again_is_told_though_it_is_that_user_already(somebody: &Somebody) {
    let Somebody { name, uid, gid } = somebody;
    let (uid, gid) = (*uid, *gid);
    // SAFETY: takes and passes no memory.
    let plain = move || unsafe { libc::setresgid(gid, gid, gid) | libc::setresuid(uid, uid, uid) };
    let status = status_as(name, plain).expect("nothing is left to give up");
    assert_eq!(ids(&status, "Uid:"), [&*uid.to_string(); 4]);
    // SAFETY: as above.
    let saved_user =
        move || unsafe { libc::setresgid(gid, gid, gid) | libc::setresuid(uid, uid, 0) };
    assert!(status_as(name, saved_user).is_err());
    // SAFETY: as above.
    let real_group =
        move || unsafe { libc::setresgid(0, gid, gid) | libc::setresuid(uid, uid, uid) };
    assert!(status_as(name, real_group).is_err());
    let capabilities = move || {
        // SAFETY: as above.
        let kept = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) };
        kept | plain()
    };
    assert!(status_as(name, capabilities).is_err());
}

type Test = fn(&Somebody);

#[cfg(target_os = "linux")]
fn main() {
    let tests: [(&str, Test); 3] = [
        (
            "number_of_a_user_gives_it_its_own_groups_and_not_the_one_of_that_number",
            number_of_a_user_gives_it_its_own_groups_and_not_the_one_of_that_number,
        ),
        (
            "two_numbers_need_no_user_and_bring_no_other_group",
            two_numbers_need_no_user_and_bring_no_other_group,
        ),
        (
            "whoever_could_be_root_again_is_told_though_it_is_that_user_already",
            whoever_could_be_root_again_is_told_though_it_is_that_user_already,
        ),
    ];
    // SAFETY: takes and passes no memory.
    if unsafe { libc::getuid() } != 0 {
        return println!("NOT RUN: only root can become another user");
    }
    let Some(somebody) = Somebody::of_this_machine() else {
        return println!("NOT RUN: every user here has the number of its group");
    };
    for (name, test) in tests {
        // One that fails ends the process here.
        test(&somebody);
        println!("test {name} ... ok");
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("NOT RUN: this looks at /proc of Linux");
}
