//! What a feed has that needs no memory of its own and no care when sockets are closed: all but libbsd's.

use capuchin_core::transport::Socket;

/// Nothing besides.
#[derive(Debug)]
pub(crate) struct Static;

impl Static {
    pub(crate) const fn new() -> Self {
        Self
    }
}

/// Nothing to be done when a socket is closed.
#[derive(Debug)]
pub(crate) struct Closing;

impl Closing {
    pub(crate) fn begin(_: Socket) -> Self {
        Self
    }

    pub(crate) fn end(self) {}
}
