//! An image for a PC (pc386) that boots without RTEMS: Capuchin, a TCP/IP stack, and a small executive.
//!
//! **This is not RTEMS.** The executive provides those directives of RTEMS's Classic API that
//! `backend-rtems` calls, by their names and with their arguments, limits and status codes, and nothing
//! else. It exists so that the code that goes into RTEMS images boots anywhere: on a machine without an
//! SDK, and in every test run.
//!
//! It is compiled for the target of RTEMS images and linked by `rust-lld` (`targets/standalone/build`);
//! for other targets this crate is empty.
#![cfg_attr(all(target_arch = "x86", target_os = "rtems"), no_std)]

cfg_if::cfg_if! {
    if #[cfg(all(target_arch = "x86", target_os = "rtems"))] {
        mod boot;
        mod console;
        #[cfg(feature = "conformance")]
        mod examine;
        mod executive;
        mod interrupts;
        mod panic;
        mod place;

        // What the image serves.
        cfg_if::cfg_if! {
            if #[cfg(feature = "bare")] {
                mod bare;
                use bare as serve;
            } else if #[cfg(feature = "fixture")] {
                mod fixture;
                mod serve;
                use fixture as app;
            } else {
                mod app;
                mod serve;
            }
        }
    }
}
