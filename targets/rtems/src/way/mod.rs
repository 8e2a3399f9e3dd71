//! The way in which workers wait and reach their clients: a message queue and the system's sockets, with the
//! feature `kqueue` libbsd's kqueue, with `own` a message queue and a stack of the library's own.

use capuchin_core::transport::Socket;

/// Somewhere to listen.
#[derive(Clone, Copy)]
pub struct Listening {
    pub socket: Socket,
    pub port: u16,
}

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "rtems", feature = "own"))] {
        mod own;
        pub use own::*;
    } else {
        mod sockets;
        pub use sockets::*;
    }
}

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "rtems", feature = "own"))] {
    } else if #[cfg(all(target_os = "rtems", feature = "kqueue"))] {
        mod kqueue;
        pub use kqueue::*;
    } else {
        mod queue;
        pub use queue::*;
    }
}
