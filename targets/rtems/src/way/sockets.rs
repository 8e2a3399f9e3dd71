//! The system's sockets.

use super::Listening;
use crate::config::{CConfig, Code, text};
use crate::server::refuse;
use capuchin_core::transport::{Error, Socket, Transport as _};
use capuchin_posix::{
    AddressText, ListenOptions, PosixTransport, listen as listen_at, local_address, parse_ip,
    peer_address,
};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Connections and listeners have file descriptors.
pub const HAVE_DESCRIPTORS: bool = true;

/// Where to listen.
fn address_of(config: &CConfig) -> Result<SocketAddr, Code> {
    let ip = match text(config.address) {
        None => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Some(address) => address.and_then(parse_ip),
    };
    let ip = ip.ok_or_else(|| {
        refuse(
            Code::InvalidNumber,
            format_args!("address is no IP address: give one such as 192.168.1.10, or NULL"),
        )
    })?;
    Ok(SocketAddr::new(ip, config.port))
}

/// What of a configuration cannot be, besides what is wrong with any.
pub fn check(config: &CConfig) -> Result<(), Code> {
    address_of(config).map(drop)
}

/// Listens where a configuration wants it. There is another server, or not.
pub fn listen(config: &CConfig, _other: bool) -> Result<Listening, Code> {
    let socket = listen_at(address_of(config)?, &ListenOptions::default()).map_err(|error| {
        let code = match error.errno {
            libc::EADDRINUSE => Code::ResourceInUse,
            libc::EMFILE | libc::ENFILE => Code::TooMany,
            _ => Code::IoError,
        };
        refuse(code, format_args!("{error}"))
    })?;
    let port = local_address(socket).map_or(config.port, |address| address.port());
    Ok(Listening { socket, port })
}

/// Closes a listener that nobody accepts from.
pub fn close(listener: Socket) -> Result<(), Error> {
    PosixTransport.close(listener)
}

/// What is noted of a connection, for those who want to look at it from other tasks.
pub fn trace(socket: Socket) -> i32 {
    socket.0
}

/// Tells a connection's client.
pub fn write_client(trace: i32, out: &mut dyn fmt::Write) -> fmt::Result {
    match peer_address(Socket(trace)) {
        Some(peer) => write!(out, "{}", AddressText(peer)),
        None => out.write_str("gone"),
    }
}
