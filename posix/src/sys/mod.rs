//! What differs between systems, one file for each.

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "linux", target_os = "android"))] {
        mod linux;
        pub(crate) use linux::*;
    } else {
        mod bsd;
        pub(crate) use bsd::*;
    }
}

/// Parts that one gathered send takes; more are sent by the next.
pub(crate) const PARTS: usize = 4;
