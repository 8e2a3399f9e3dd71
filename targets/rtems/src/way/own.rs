//! TCP/IP of the library's own: a network card, a stack, and the one worker that has both.
//!
//! Whoever starts a server listens before its worker runs, and closes after it has ended: nobody touches the
//! stack at the same time as another. So there is one server with one worker at a time.

use super::Listening;
use crate::config::{CConfig, Code, text};
use crate::console;
use crate::memory::Carver;
use crate::server::refuse;
use capuchin_core::transport::{Error, Socket, Transport as _};
use capuchin_pc::card::{self, Card, Frames};
use capuchin_posix::File;
pub use capuchin_rtems::RtemsNotifier as Notifier;
use capuchin_rtems::{Mail, Room, StartError, StatusCode, ticks};
use capuchin_stack::{
    Address, Net, NetError, Place, Reader, StackChannel, StackTransport, Storage,
};
use core::cell::{RefCell, UnsafeCell};
use core::ffi::{c_char, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use smoltcp::wire::Ipv4Cidr;

/// Connections and listeners have no file descriptors.
pub const HAVE_DESCRIPTORS: bool = false;

pub type Channel = StackChannel<'static, Card>;
pub type Transport = StackTransport<'static, Card, Files>;

/// Reads what lies in RTEMS's file systems.
pub struct Files;

/// `EIO`.
const IO_ERROR: Error = Error::System(5);

impl Reader for Files {
    type File = File;

    fn read_at(file: File, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        file.read_at(buffer, offset).map_err(|_| IO_ERROR)
    }
}

/// A channel in `room`, for which the card knocks from now on.
pub fn channel(room: Room, messages: usize) -> Result<Channel, StartError> {
    let mail = Mail::new(room, messages)?;
    // A room has a cell at least: `config.descriptors` is not 0.
    StackChannel::new(net(), mail)
}

/// The transport that goes with any channel.
pub fn transport(_room: Room) -> Transport {
    Transport::with_files(net())
}

/// What of a configuration cannot be, besides what is wrong with any.
pub fn check(config: &CConfig) -> Result<(), Code> {
    let wrong = |what| Err(refuse(Code::InvalidNumber, format_args!("{what}")));
    if config.workers != 1 {
        return wrong("workers has to be 1: it has the network stack for itself");
    }
    if !config.address.is_null() {
        return wrong("address has to be NULL: capuchin_network_start() was given the only one");
    }
    if !IS_THERE.is(READY) {
        return Err(refuse(
            Code::IoError,
            format_args!("there is no network: call capuchin_network_start() first"),
        ));
    }
    Ok(())
}

/// Connections that wait for the worker, at the most: a client that is not heard asks again after seconds only.
const BACKLOG: usize = 16;

/// Listens where a configuration wants it. There is another server, or not.
pub fn listen(config: &CConfig, other: bool) -> Result<Listening, Code> {
    if other {
        return Err(refuse(
            Code::ResourceInUse,
            format_args!("the network has one server: stop it before another starts"),
        ));
    }
    let mut net = net().borrow_mut();
    let backlog = BACKLOG.min(net.sockets());
    let socket = net.listen(config.port, backlog).map_err(|error| {
        let code = match error {
            NetError::Port => Code::InvalidNumber,
            _ => Code::TooMany,
        };
        refuse(code, format_args!("{error}"))
    })?;
    Ok(Listening {
        socket,
        port: config.port,
    })
}

/// Closes a listener that nobody accepts from.
pub fn close(listener: Socket) -> Result<(), Error> {
    Transport::with_files(net()).close(listener)
}

/// What is noted of a connection, for those who want to look at it from other tasks: who its client is.
pub fn trace(socket: Socket) -> i32 {
    let client = net().borrow().client(socket);
    client.map_or(0, |(address, _)| address.to_bits() as i32)
}

/// Tells a connection's client.
pub fn write_client(trace: i32, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{}", Ipv4Addr::from_bits(trace as u32))
}

// ---- the network ----

/// How far the network is.
struct State(AtomicU32);

const NONE: u32 = 0;
const STARTING: u32 = 1;
const READY: u32 = 2;

impl State {
    fn is(&self, state: u32) -> bool {
        self.0.load(SeqCst) == state
    }
}

static IS_THERE: State = State(AtomicU32::new(NONE));

/// What one task has at a time.
struct Alone<T>(UnsafeCell<T>);

// SAFETY: see the module.
unsafe impl<T: Send> Sync for Alone<T> {}

static NET: Alone<MaybeUninit<RefCell<Net<Card>>>> = Alone(UnsafeCell::new(MaybeUninit::uninit()));
static FRAMES: Alone<Frames> = Alone(UnsafeCell::new(Frames::new()));

/// The network's, of which no caller lets another in.
fn net() -> &'static RefCell<Net<Card>> {
    assert!(IS_THERE.is(READY), "no server starts without a network");
    // SAFETY: it was written before the state was set, and is not again.
    unsafe { (*NET.0.get()).assume_init_ref() }
}

/// `capuchin_network`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CNetwork {
    config_size: usize,
    address: *const c_char,
    gateway: *const c_char,
    prefix_length: u16,
    sockets: u16,
    receive_size: u16,
    send_size: u16,
    memory: *mut c_void,
    memory_size: usize,
}

/// The bytes of a socket, its buffers not counted (`CAPUCHIN_SIZE_SOCKET`).
const SOCKET: usize = 400;
const _: () = assert!(size_of::<Storage>() + size_of::<Place>() <= SOCKET);

unsafe extern "C" {
    fn rtems_interrupt_handler_install(
        vector: u32,
        info: *const c_char,
        options: u32,
        handler: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    ) -> u32;
}

/// `RTEMS_INTERRUPT_SHARED`.
const SHARED: u32 = 0;

unsafe extern "C" fn interrupted(_: *mut c_void) {
    card::interrupted();
}

/// `capuchin_network_start`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_network_start(config: *const CNetwork) -> Code {
    console::start();
    // SAFETY: the caller's word is that it is NULL or a configuration.
    let Some(config) = (unsafe { config.as_ref() }) else {
        return refuse(
            Code::InvalidAddress,
            format_args!("capuchin_network_start() needs a configuration"),
        );
    };
    let free = IS_THERE.0.compare_exchange(NONE, STARTING, SeqCst, SeqCst);
    if free.is_err() {
        return refuse(
            Code::IncorrectState,
            format_args!("the network has been started already"),
        );
    }
    match start(config) {
        Ok(()) => {
            IS_THERE.0.store(READY, SeqCst);
            Code::Successful
        }
        Err(code) => {
            IS_THERE.0.store(NONE, SeqCst);
            code
        }
    }
}

fn start(config: &CNetwork) -> Result<(), Code> {
    if config.config_size != size_of::<CNetwork>() {
        return Err(refuse(
            Code::InvalidSize,
            format_args!(
                "the network's configuration has {} bytes, not {}: begin with CAPUCHIN_NETWORK_DEFAULT, and use the header that came with the library",
                config.config_size,
                size_of::<CNetwork>()
            ),
        ));
    }
    let wrong = |what| refuse(Code::InvalidNumber, format_args!("{what}"));
    let address = address_of(config).map_err(wrong)?;
    if config.sockets < 2 || config.receive_size < 256 || config.send_size < 256 {
        return Err(wrong(
            "sockets has to be 2 at least, receive_size and send_size 256",
        ));
    }
    if config.memory.is_null() || !config.memory.cast::<u64>().is_aligned() {
        return Err(refuse(
            Code::InvalidAddress,
            format_args!("the network's memory has to be given, aligned for a uint64_t"),
        ));
    }
    let room = carve(config)?;
    // SAFETY: this is done once at a time, and not again once it was successful.
    let frames = unsafe { &mut *FRAMES.0.get() };
    let card = Card::find(frames).map_err(|why| refuse(Code::IoError, format_args!("{why}")))?;
    let line = u32::from(card.line());
    // SAFETY: the text is static, and the handler takes no argument.
    let code = unsafe {
        rtems_interrupt_handler_install(
            line,
            c"capuchin".as_ptr(),
            SHARED,
            interrupted,
            core::ptr::null_mut(),
        )
    };
    StatusCode::check(code).map_err(|StatusCode(status)| {
        refuse(
            Code::IoError,
            format_args!(
                "interrupt {line} of the network card cannot be had (status code {status})"
            ),
        )
    })?;
    let hardware = card.address();
    let mut net = Net::new(room, card, hardware, address, seed(hardware), 0);
    net.tell_address(note_address);
    // SAFETY: nobody looks at it before the state is set.
    unsafe { (*NET.0.get()).write(RefCell::new(net)) };
    Ok(())
}

fn address_of(config: &CNetwork) -> Result<Address, &'static str> {
    let ip = |given: *const c_char| {
        match text(given) {
        None => Ok(None),
        Some(text) => text.and_then(|text| text.parse().ok()).map(Some).ok_or(
            "the network's address or gateway is no IPv4 address: give one such as 192.168.1.10, or NULL",
        ),
    }
    };
    let gateway = ip(config.gateway)?;
    match ip(config.address)? {
        None => Ok(Address::Dhcp),
        Some(_) if !(1..=32).contains(&config.prefix_length) => {
            Err("prefix_length has to be 1 to 32: 24 for the mask 255.255.255.0")
        }
        Some(address) => {
            let cidr = Ipv4Cidr::new(address, config.prefix_length as u8);
            Ok(Address::Static(cidr, gateway))
        }
    }
}

/// Cuts the memory into sockets.
fn carve(config: &CNetwork) -> Result<capuchin_stack::Room, Code> {
    let count = usize::from(config.sockets);
    // SAFETY: the caller's word is that the memory has that size and is nobody else's.
    let mut carver = unsafe { Carver::new(config.memory.cast(), config.memory_size) };
    // One more is DHCP's.
    let storage = carver.fill(count + 1, || Storage::EMPTY);
    let places = carver.fill(count, || Place::FREE);
    let receive = carver.fill(count * usize::from(config.receive_size), || 0);
    let send = carver.fill(count * usize::from(config.send_size), || 0);
    match (storage, places, receive, send) {
        (Some(storage), Some(places), Some(receive), Some(send)) => Ok(capuchin_stack::Room {
            storage,
            places,
            receive,
            send,
        }),
        _ => Err(refuse(
            Code::InvalidSize,
            format_args!(
                "the network's memory has {} bytes, but {} are needed: see CAPUCHIN_NETWORK_MEMORY_SIZE",
                config.memory_size,
                carver.used()
            ),
        )),
    }
}

/// A number that differs from boot to boot, and from device to device.
fn seed(hardware: [u8; 6]) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    // SAFETY: every processor with a PCI bus has the counter.
    let cycles = unsafe { core::arch::x86::_rdtsc() };
    let [a, b, c, d, e, f] = hardware;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
        ^ cycles
        ^ (now.tv_sec as u64).rotate_left(40)
        ^ (now.tv_nsec as u64).rotate_left(16)
        ^ u64::from(ticks())
}

/// The address, for those who ask; 0 while there is none.
static ADDRESS: AtomicU32 = AtomicU32::new(0);

fn note_address(address: Option<Ipv4Cidr>) {
    ADDRESS.store(address.map_or(0, |cidr| cidr.address().to_bits()), SeqCst);
}

/// `capuchin_network_address`.
#[unsafe(no_mangle)]
pub extern "C" fn capuchin_network_address() -> u32 {
    ADDRESS.load(SeqCst)
}

#[cfg(feature = "assumptions")]
capuchin_posix::assume! {
    layout "capuchin_network" = CNetwork {
        config_size, address, gateway, prefix_length, sockets, receive_size, send_size, memory,
        memory_size,
    }
    value "CAPUCHIN_SIZE_SOCKET" = SOCKET;
    value "RTEMS_INTERRUPT_SHARED" = SHARED;
    value "sizeof(rtems_vector_number)" = size_of::<u32>();
}
