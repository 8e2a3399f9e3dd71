//! Stream sockets: listeners, and the calls that a connection needs.

use crate::errno::{errno, retry};
use crate::sys;
use capuchin_core::transport::{Error, Socket, Then, Transport};
use core::ffi::c_int;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use libc::{sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t};

/// How a listener is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenOptions {
    /// Other listeners of this process have the same address, and the system spreads connections
    /// over them (`SO_REUSEPORT`, on FreeBSD `SO_REUSEPORT_LB`).
    pub share: bool,
    /// Take data that comes with the first packet (TCP Fast Open), where the system can.
    pub fast_open: bool,
    /// Report connections only once data has come, or after so many seconds (`TCP_DEFER_ACCEPT`),
    /// where the system can; 0 reports them at once. FreeBSD's accept filter knows no time: it reports
    /// them once data has come (`kldload accf_data`).
    pub defer_seconds: u16,
    /// An IPv6 listener on all addresses (`[::]`) takes IPv4 connections, too (`IPV6_V6ONLY` off); other
    /// addresses are of one family anyway.
    pub both_families: bool,
}

/// Why there is no listener. The text is one sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenError {
    /// Where it should have been.
    pub address: SocketAddr,
    /// The system's error number.
    pub errno: i32,
    /// The system call that failed.
    pub step: &'static str,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            errno,
            step,
        } = self;
        let address = AddressText(*address);
        match *errno {
            libc::EADDRINUSE => write!(
                f,
                "{address} is in use: stop the other server or choose another port"
            ),
            libc::EACCES => write!(
                f,
                "{address} needs privileges: choose a port from 1024 up, or start as root and give up root afterwards"
            ),
            libc::EADDRNOTAVAIL => write!(
                f,
                "{address} is no address of this machine: choose one that it has, or 0.0.0.0 or [::] for all"
            ),
            libc::EAFNOSUPPORT => write!(
                f,
                "{address} is of a kind that this system does not have: choose another address"
            ),
            libc::EMFILE | libc::ENFILE => write!(
                f,
                "no file descriptor is left to listen on {address}: raise the limit (ulimit -n)"
            ),
            number if cfg!(target_os = "rtems") && *step == "socket" => write!(
                f,
                "there is no network: initialise it before capuchin_start() (error {number})"
            ),
            number => write!(
                f,
                "cannot listen on {address}: {step} was refused (error {number}), see its manual page"
            ),
        }
    }
}

impl core::error::Error for ListenError {}

/// Makes a listening socket: non-blocking, close-on-exec, with the longest backlog that the system
/// grants. Port 0 lets the system choose; [`local_address`] tells what it chose.
///
/// ```
/// use capuchin_core::transport::Transport;
/// use capuchin_posix::{ListenOptions, PosixTransport, listen, local_address};
///
/// let socket = listen("127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// assert_ne!(local_address(socket).map(|address| address.port()), Some(0));
/// PosixTransport.close(socket)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ListenError`] when the address cannot be had. Extras that the system does not know are left
/// out, with a line in the debug log.
#[cfg_attr(target_os = "rtems", inline(never))]
pub fn listen(address: SocketAddr, options: &ListenOptions) -> Result<Socket, ListenError> {
    let failed = |(step, errno)| ListenError {
        address,
        errno,
        step,
    };
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let socket =
        retry(|| sys::stream_socket(family)).map_err(|errno| failed(("socket", errno)))? as c_int;
    let result = prepare(socket, address, options);
    if let Err(refusal) = result {
        // SAFETY: `socket` is open and not used afterwards.
        unsafe { libc::close(socket) };
        return Err(failed(refusal));
    }
    Ok(Socket(socket))
}

/// Connects to `address`; non-blocking from then on. For tests and tools: it waits until the peer has
/// taken the connection.
///
/// # Errors
/// The system's error number.
pub fn connect(address: SocketAddr) -> Result<Socket, i32> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: no memory is passed.
    let socket = retry(|| unsafe { libc::socket(family, libc::SOCK_STREAM, 0) as isize })? as c_int;
    let (storage, length) = to_system(address);
    let mut on: c_int = 1;
    // SAFETY: `storage` holds an address of `length` bytes, and the request takes an `int`.
    let result = unsafe {
        match libc::connect(socket, (&raw const storage).cast::<sockaddr>(), length) {
            0 => libc::ioctl(socket, libc::FIONBIO as _, &raw mut on),
            refused => refused,
        }
    };
    if result < 0 {
        let error = errno();
        // SAFETY: the socket is this function's own.
        unsafe { libc::close(socket) };
        return Err(error);
    }
    let _ = set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    Ok(Socket(socket))
}

/// The error is the step's name and its number.
#[cfg_attr(target_os = "rtems", inline(never))]
fn prepare(
    socket: c_int,
    address: SocketAddr,
    options: &ListenOptions,
) -> Result<(), (&'static str, i32)> {
    let option =
        |level, name| set_option(socket, level, name, 1).map_err(|errno| ("setsockopt", errno));
    option(libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    if address.is_ipv6() {
        let only = c_int::from(!options.both_families);
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, only)
            .map_err(|errno| ("setsockopt", errno))?;
    }
    if let Some(share) = sys::REUSEPORT.filter(|_| options.share) {
        option(libc::SOL_SOCKET, share)?;
    }
    if sys::NODELAY_IS_INHERITED {
        option(libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    }
    let (storage, length) = to_system(address);
    // SAFETY: `storage` holds an address of `length` bytes.
    if unsafe { libc::bind(socket, (&raw const storage).cast::<sockaddr>(), length) } < 0 {
        return Err(("bind", errno()));
    }
    for (level, name, value) in sys::listener_extras(options.fast_open, options.defer_seconds)
        .into_iter()
        .flatten()
    {
        set_extra(socket, level, name, value);
    }
    // SAFETY: no memory is passed.
    if unsafe { libc::listen(socket, sys::BACKLOG) } < 0 {
        return Err(("listen", errno()));
    }
    if let Some((level, name, value)) = sys::accept_filter(options.defer_seconds) {
        set_extra(socket, level, name, value);
    }
    Ok(())
}

/// As [`set_option`], for what is no loss where it is missing.
fn set_extra<T: Copy>(socket: c_int, level: c_int, name: c_int, value: T) {
    if let Err(error) = set_option(socket, level, name, value)
        && cfg!(not(target_os = "rtems"))
    {
        log::debug!("socket option {level}/{name} is not to be had here (error {error})");
    }
}

/// `T` is what the option's documentation says: `int` for most.
fn set_option<T: Copy>(socket: c_int, level: c_int, name: c_int, value: T) -> Result<(), i32> {
    // SAFETY: the value lives through the call and has the length that is passed.
    let result = unsafe {
        libc::setsockopt(
            socket,
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>() as socklen_t,
        )
    };
    if result < 0 { Err(errno()) } else { Ok(()) }
}

/// The IP address that a text names, of a kind that the system's stack has.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if sys::IPV6 {
        text.parse().ok()
    } else {
        text.parse().ok().map(IpAddr::V4)
    }
}

/// An address as text, without what is for kinds of addresses that the system's stack does not have.
#[derive(Clone, Copy, Debug)]
pub struct AddressText(pub SocketAddr);

impl fmt::Display for AddressText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V6(v6) if sys::IPV6 => v6.fmt(f),
            SocketAddr::V6(_) => f.write_str("[::]"),
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets().map(u32::from);
                write!(f, "{a}.{b}.{c}.{d}:{}", u32::from(v4.port()))
            }
        }
    }
}

/// The address that a socket is bound to; `None` for what is no IP socket.
#[must_use]
pub fn local_address(socket: Socket) -> Option<SocketAddr> {
    address_by(socket, libc::getsockname)
}

/// The address of a connected socket's peer; `None` when it is gone.
#[must_use]
pub fn peer_address(socket: Socket) -> Option<SocketAddr> {
    address_by(socket, libc::getpeername)
}

type AddressCall = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;

fn address_by(socket: Socket, call: AddressCall) -> Option<SocketAddr> {
    // SAFETY: zeros are a valid `sockaddr_storage`.
    let mut storage: sockaddr_storage = unsafe { core::mem::zeroed() };
    let mut length = size_of::<sockaddr_storage>() as socklen_t;
    // SAFETY: `storage` has `length` bytes, and both live through the call.
    let result = unsafe { call(socket.0, (&raw mut storage).cast(), &raw mut length) };
    if result < 0 {
        None
    } else {
        from_system(&storage)
    }
}

fn to_system(address: SocketAddr) -> (sockaddr_storage, socklen_t) {
    // SAFETY: zeros are a valid `sockaddr_storage`, `sockaddr_in` and `sockaddr_in6`, and the
    // storage is large and aligned enough for either of these.
    unsafe {
        let mut storage: sockaddr_storage = core::mem::zeroed();
        let length = match address {
            SocketAddr::V4(v4) => {
                let place = &mut *(&raw mut storage).cast::<sockaddr_in>();
                place.sin_family = libc::AF_INET as libc::sa_family_t;
                place.sin_port = v4.port().to_be();
                place.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                size_of::<sockaddr_in>()
            }
            SocketAddr::V6(_) if !sys::IPV6 => 0,
            SocketAddr::V6(v6) => {
                let place = &mut *(&raw mut storage).cast::<sockaddr_in6>();
                place.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                place.sin6_port = v6.port().to_be();
                place.sin6_addr.s6_addr = v6.ip().octets();
                place.sin6_flowinfo = v6.flowinfo();
                place.sin6_scope_id = v6.scope_id();
                size_of::<sockaddr_in6>()
            }
        };
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            storage.ss_len = length as u8;
        }
        (storage, length as socklen_t)
    }
}

fn from_system(storage: &sockaddr_storage) -> Option<SocketAddr> {
    let pointer = &raw const *storage;
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is what the storage holds; it is aligned for it.
            let v4 = unsafe { &*pointer.cast::<sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::V4(SocketAddrV4::new(
                ip,
                u16::from_be(v4.sin_port),
            )))
        }
        libc::AF_INET6 if sys::IPV6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*pointer.cast::<sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(match IpAddr::V6(ip).to_canonical() {
                IpAddr::V4(v4) => SocketAddr::V4(SocketAddrV4::new(v4, port)),
                IpAddr::V6(v6_ip) => SocketAddr::V6(SocketAddrV6::new(
                    v6_ip,
                    port,
                    v6.sin6_flowinfo,
                    v6.sin6_scope_id,
                )),
            })
        }
        _ => None,
    }
}

/// The engine's transport over the system's sockets. It has no state: any worker may have one.
///
/// sendfile(2) has no `MSG_NOSIGNAL`: sending a file to a peer that is gone raises SIGPIPE, unless the
/// socket says otherwise, which FreeBSD's inherit from [`listen`]'s. Rust's runtime ignores that signal;
/// a program whose `main` is not Rust's calls [`ignore_write_signals`](crate::ignore_write_signals) first.
#[derive(Clone, Copy, Debug, Default)]
pub struct PosixTransport;

impl Transport for PosixTransport {
    type File = crate::File;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        // accept(2), "Error handling": errors of the network that came up on the new socket are to be
        // treated like EAGAIN, by trying again.
        let error = |error| {
            match error {
                // Not listening, closed, no socket, or of a kind that nothing connects to.
                libc::EINVAL | libc::EBADF | libc::ENOTSOCK | libc::EOPNOTSUPP => {
                    Error::Unusable(error)
                }
                _ if sys::ACCEPT_PASSES_ON.contains(&error) => Error::Disconnected,
                _ => error_of(error),
            }
        };
        let socket = retry(|| sys::accept(listener.0)).map_err(error)? as c_int;
        if !sys::NODELAY_IS_INHERITED
            && let Err(error) = set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
            && cfg!(not(target_os = "rtems"))
        {
            log::debug!("TCP_NODELAY is not to be had here (error {error})");
        }
        Ok(Socket(socket))
    }

    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        sys::receive(socket.0, buffer).map_err(error_of)
    }

    fn peek(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        sys::peek(socket.0, buffer).map_err(error_of)
    }

    #[cfg_attr(not(target_os = "rtems"), inline(always))]
    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        match parts {
            [part] => sys::send(socket.0, part, then).map_err(error_of),
            _ => sys::gather(socket.0, parts, then).map_err(error_of),
        }
    }

    fn send_file(
        &mut self,
        socket: Socket,
        file: crate::File,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        // No call sends more than 2^31 bytes (sendfile(2)).
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(0x7fff_f000);
        match retry(|| sys::send_file(socket.0, file.descriptor(), offset, length))
            .map_err(error_of)?
        {
            0 if length > 0 => Err(Error::Truncated),
            count => Ok(count),
        }
    }

    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        // SAFETY: no memory is passed.
        retry(|| unsafe { libc::shutdown(socket.0, libc::SHUT_WR) } as isize)
            .map(drop)
            .map_err(error_of)
    }

    fn abort(&mut self, socket: Socket) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // Where it is refused the connection ends like others; there is nobody to tell.
        let _ = set_option(socket.0, libc::SOL_SOCKET, libc::SO_LINGER, linger);
    }

    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        // SAFETY: the engine owns the socket and does not use it afterwards. An interrupted close
        // has closed (close(2)), so it is not repeated.
        let result = unsafe { libc::close(socket.0) };
        match if result < 0 { errno() } else { 0 } {
            // The peer's reset may be reported here; the descriptor is gone all the same.
            0 | libc::EINTR | libc::ECONNRESET => Ok(()),
            error => Err(error_of(error)),
        }
    }
}

fn error_of(errno: i32) -> Error {
    // EWOULDBLOCK is another name for EAGAIN on every system here.
    match errno {
        libc::EAGAIN => Error::WouldBlock,
        libc::EPIPE | libc::ECONNRESET | libc::ECONNABORTED | libc::ENOTCONN | libc::ETIMEDOUT => {
            Error::Disconnected
        }
        // What the network says of an established connection's peer: a router's message, a cable.
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN | libc::EPROTO => {
            Error::Disconnected
        }
        // FreeBSD tells that of a peer that did not answer.
        #[cfg(not(target_os = "rtems"))]
        libc::EHOSTDOWN => Error::Disconnected,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => Error::Exhausted,
        other => Error::System(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::string::ToString;
    use std::vec;

    fn listener(address: &str) -> (Socket, SocketAddr) {
        let socket =
            listen(address.parse().unwrap(), &ListenOptions::default()).expect("a free port");
        (socket, local_address(socket).unwrap())
    }

    fn accept(listener: Socket) -> Socket {
        for _ in 0..1_000 {
            match PosixTransport.accept(listener) {
                Err(Error::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(1)),
                result => return result.unwrap(),
            }
        }
        panic!("no connection within a second")
    }

    fn option(socket: Socket, level: c_int, name: c_int) -> c_int {
        let (mut value, mut length) = (0 as c_int, size_of::<c_int>() as socklen_t);
        // SAFETY: the value has the length that is passed.
        let result = unsafe {
            libc::getsockopt(
                socket.0,
                level,
                name,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        assert_eq!(result, 0);
        value
    }

    #[test]
    fn accepted_socket_is_non_blocking_close_on_exec_and_sends_without_delay() {
        let (listener, address) = listener("127.0.0.1:0");
        let _client = TcpStream::connect(address).unwrap();
        let socket = accept(listener);
        // SAFETY: no memory is passed.
        let (status, descriptor) = unsafe {
            (
                libc::fcntl(socket.0, libc::F_GETFL),
                libc::fcntl(socket.0, libc::F_GETFD),
            )
        };
        assert!(status & libc::O_NONBLOCK != 0);
        assert!(descriptor & libc::FD_CLOEXEC != 0);
        assert!(option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY) != 0);
        assert_eq!(PosixTransport.accept(listener), Err(Error::WouldBlock));
        PosixTransport.close(socket).unwrap();
        PosixTransport.close(listener).unwrap();
    }

    #[test]
    fn parts_are_sent_in_order_and_end_of_stream_is_seen() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (listener, address) = listener(address);
            let mut client = TcpStream::connect(address).unwrap();
            let socket = accept(listener);
            assert_eq!(peer_address(socket), Some(client.local_addr().unwrap()));
            assert_eq!(
                PosixTransport.send(socket, &[b"ab", b"", b"cde"], Then::Nothing),
                Ok(5)
            );
            PosixTransport.shutdown(socket).unwrap();
            let mut received = vec![];
            client.read_to_end(&mut received).unwrap();
            assert_eq!(received, b"abcde");
            client.write_all(b"xyz").unwrap();
            drop(client);
            let mut buffer = [0; 10];
            let mut all = vec![];
            loop {
                match PosixTransport.receive(socket, &mut buffer) {
                    Ok(0) => break,
                    Ok(count) => all.extend_from_slice(&buffer[..count]),
                    Err(Error::WouldBlock) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(all, b"xyz");
            PosixTransport.close(socket).unwrap();
            PosixTransport.close(listener).unwrap();
        }
    }

    #[test]
    fn full_socket_would_block_and_a_gone_peer_is_an_error_without_signal() {
        let (listener, address) = listener("127.0.0.1:0");
        let client = TcpStream::connect(address).unwrap();
        let socket = accept(listener);
        let block = vec![0u8; 1 << 20];
        while PosixTransport
            .send(socket, &[&block], Then::Nothing)
            .is_ok()
        {}
        assert_eq!(
            PosixTransport.send(socket, &[&block], Then::Nothing),
            Err(Error::WouldBlock)
        );
        // Closing with unread bytes resets the connection.
        drop(client);
        let mut result = Ok(0);
        for _ in 0..1_000 {
            result = PosixTransport.send(socket, &[b"x"], Then::Nothing);
            if result == Err(Error::Disconnected) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(result, Err(Error::Disconnected));
        PosixTransport.close(socket).unwrap();
        PosixTransport.close(listener).unwrap();
    }

    #[test]
    fn sending_nothing_of_a_file_sends_nothing() {
        let (listener, address) = listener("127.0.0.1:0");
        let mut client = TcpStream::connect(address).unwrap();
        let socket = accept(listener);
        let path = std::env::temp_dir().join(std::format!("capuchin-none-{}", std::process::id()));
        std::fs::write(&path, "content").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let same = crate::File(file.as_raw_fd());
        // FreeBSD's call takes 0 for "until the end".
        assert_eq!(PosixTransport.send_file(socket, same, 0, 0), Ok(0));
        assert_eq!(PosixTransport.send_file(socket, same, 4, 3), Ok(3));
        PosixTransport.close(socket).unwrap();
        let mut received = vec![];
        client.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"ent");
        PosixTransport.close(listener).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")] // others have no such files
    fn file_that_cannot_be_spliced_is_sent_by_copying() {
        let (listener, address) = listener("127.0.0.1:0");
        let mut client = TcpStream::connect(address).unwrap();
        let socket = accept(listener);
        // Among the files that sendfile(2) refuses with EINVAL.
        let root = crate::Root::open(c"/proc/self", crate::Links::None).unwrap();
        let file = root.open_beneath(b"/cmdline").unwrap();
        let whole = std::fs::read("/proc/self/cmdline").unwrap();
        let count = PosixTransport
            .send_file(socket, file, 1, 1_000_000)
            .unwrap();
        let mut received = vec![0; count];
        client.read_exact(&mut received).unwrap();
        assert_eq!(received, whole[1..]);
        let end = whole.len() as u64;
        assert_eq!(
            PosixTransport.send_file(socket, file, end, 1),
            Err(Error::Truncated)
        );
        file.close();
        PosixTransport.close(socket).unwrap();
        PosixTransport.close(listener).unwrap();
    }

    #[test]
    fn negative_numbers_are_no_sockets() {
        let bad = Error::System(libc::EBADF);
        for number in [-1, c_int::MIN] {
            let socket = Socket(number);
            assert_eq!(PosixTransport.receive(socket, &mut [0; 1]), Err(bad));
            assert_eq!(
                PosixTransport.send(socket, &[b"x"], Then::Nothing),
                Err(bad)
            );
            assert_eq!(
                PosixTransport.send(socket, &[b"x", b"y"], Then::Nothing),
                Err(bad)
            );
        }
    }

    #[test]
    fn what_the_network_says_of_a_connection_ends_it_like_the_peer_does() {
        for number in [
            libc::EHOSTDOWN,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::ENETDOWN,
            libc::EPROTO,
        ] {
            assert_eq!(error_of(number), Error::Disconnected, "{number}");
        }
    }

    #[test]
    fn what_cannot_be_accepted_from_is_told_apart_from_what_may_pass() {
        let unusable = |result| matches!(result, Err(Error::Unusable(_)));
        let (listener, _) = listener("127.0.0.1:0");
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::shutdown(listener.0, libc::SHUT_RDWR) }, 0);
        assert!(unusable(PosixTransport.accept(listener)), "shut down");
        PosixTransport.close(listener).unwrap();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let result = PosixTransport.accept(Socket(datagrams.as_raw_fd()));
        assert!(unusable(result), "UDP");
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(
            unusable(PosixTransport.accept(Socket(file.as_raw_fd()))),
            "a file"
        );
        assert!(unusable(PosixTransport.accept(Socket(-1))), "nothing");
    }

    #[test]
    fn port_in_use_says_what_to_do() {
        let (socket, address) = listener("127.0.0.1:0");
        let error = listen(address, &ListenOptions::default()).unwrap_err();
        assert_eq!((error.errno, error.step), (libc::EADDRINUSE, "bind"));
        assert!(error.to_string().contains("choose another port"), "{error}");
        PosixTransport.close(socket).unwrap();
    }

    #[test]
    fn address_of_another_machine_says_what_to_do() {
        let error = listen("192.0.2.1:0".parse().unwrap(), &ListenOptions::default()).unwrap_err();
        assert_eq!((error.errno, error.step), (libc::EADDRNOTAVAIL, "bind"));
        assert!(
            error.to_string().contains("no address of this machine"),
            "{error}"
        );
    }

    #[test]
    fn listeners_share_a_port_only_when_both_ask() {
        let share = ListenOptions {
            share: true,
            ..ListenOptions::default()
        };
        let first = listen("127.0.0.1:0".parse().unwrap(), &share).unwrap();
        let address = local_address(first).unwrap();
        let second = listen(address, &share).unwrap();
        assert!(listen(address, &ListenOptions::default()).is_err());
        PosixTransport.close(first).unwrap();
        PosixTransport.close(second).unwrap();
    }

    #[test]
    fn extras_are_no_error_wherever_they_are_missing() {
        let options = ListenOptions {
            share: false,
            fast_open: true,
            defer_seconds: 1,
            both_families: false,
        };
        let socket = listen("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        PosixTransport.close(socket).unwrap();
    }
}
