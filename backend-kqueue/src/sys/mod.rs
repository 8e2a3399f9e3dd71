//! The system calls: kqueue(2) and kevent(2), or their test double.

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "freebsd", target_os = "rtems"))] {
        pub(crate) use capuchin_posix::kqueue::Kqueue;
    } else if #[cfg(target_os = "linux")] {
        mod double;
        pub(crate) use double::Kqueue;
    } else {
        compile_error!("this backend is for FreeBSD and RTEMS; its tests run on Linux");
    }
}
