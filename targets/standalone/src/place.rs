//! Where the image is.

use smoltcp::wire::Ipv4Address;

/// Where QEMU's user network has its guest, and the way out of it.
pub const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
pub const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
pub const PREFIX_LENGTH: u8 = 24;
pub const PORT: u16 = 80;
