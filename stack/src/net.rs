//! One network interface, its sockets, and what each of them is for.

use crate::gate::{Exit, Gate, Request};
use crate::memory::Room;
use capuchin_core::event::{Interest, Readiness, Token};
use capuchin_core::transport::{Error, Socket};
use core::cell::Cell;
use core::fmt;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, TxToken as _};
#[cfg(feature = "dhcp")]
use smoltcp::socket::dhcpv4;
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr,
};

/// Listeners that there can be.
pub const LISTENERS: usize = 2;

/// How long a client that has all of a connection that was closed here may keep its side open, in
/// milliseconds.
pub const ORPHAN_MS: u64 = 10_000;

/// How long a client may take to take what was sent before a connection was closed here.
const DELIVERY_MS: u64 = 60_000;

/// How long a reset may take to leave, for which the client's hardware address may have to be asked.
const RESET_MS: u64 = 1_000;

/// How long a connection may be in the making.
const HANDSHAKE_MS: u64 = 5_000;

/// Frames that one look at the card takes in at the most; the rest comes with the next.
const FRAMES: usize = 64;

/// Why a stack, or a listener, cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetError {
    /// There are as many listeners as there can be.
    Listeners,
    /// Another listener has the port, or the port is 0.
    Port,
    /// The memory has too few sockets for the backlog.
    Sockets,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listeners => "the stack has no place for another listener",
            Self::Port => "the port is 0 or another listener's; choose another",
            Self::Sockets => "the stack's memory has fewer sockets than the backlog; enlarge it",
        })
    }
}

impl core::error::Error for NetError {}

/// What an interface is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An address of its network, and the way to others.
    Static(Ipv4Cidr, Option<Ipv4Address>),
    /// What a DHCP server gives (RFC 2131). Where the memory has no storage more than places, there is a
    /// socket less.
    #[cfg(feature = "dhcp")]
    Dhcp,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Free,
    /// It waits for a connection to the listener with this index, or has one that nobody has taken.
    Waiting(u8),
    /// The worker's.
    Taken,
    /// Closed by the worker at this moment, in milliseconds; its client may not know yet.
    Orphan(u64),
}

/// A socket's place; its index is the socket's number.
#[derive(Debug)]
pub struct Place {
    /// Once the stack is there.
    handle: Option<SocketHandle>,
    role: Role,
    watch: Option<Watch>,
    /// While it waits: when it was last seen without a client.
    alone_at: u64,
    /// The client, and the port here; none while it has none.
    pub(crate) peer: Option<(IpEndpoint, u16)>,
    /// It only waits for stray packets, and its client may begin anew.
    pub(crate) is_over: bool,
}

impl Place {
    /// Nobody's.
    pub const FREE: Self = Self {
        handle: None,
        role: Role::Free,
        watch: None,
        alone_at: 0,
        peer: None,
        is_over: false,
    };

    /// Whether it is the listener's with this index.
    fn waits_for(&self, listener: usize) -> bool {
        matches!(self.role, Role::Waiting(own) if usize::from(own) == listener)
    }
}

/// What the worker wants to know of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// The channel that watches.
    pub channel: u32,
    pub token: Token,
    pub interest: Interest,
}

#[derive(Debug)]
struct Listener {
    port: u16,
    backlog: usize,
    watch: Option<Watch>,
}

/// A network interface and its sockets; `D` is the card.
pub struct Net<D> {
    device: D,
    interface: Interface,
    sockets: SocketSet<'static>,
    places: &'static mut [Place],
    /// Places from here on are free: most of the time there are far fewer connections than there may be.
    end: usize,
    listeners: heapless::Vec<Listener, LISTENERS>,
    /// Where the next look at all sockets begins, so that none is always the last.
    turn: usize,
    /// Channels so far.
    channels: u32,
    /// The card may have more than the last look took in.
    has_more: bool,
    /// The card took no more in the middle of the last look: some sockets have not had their turn to send.
    is_cut_short: bool,
    /// The time of the last look.
    now: u64,
    #[cfg(feature = "dhcp")]
    dhcp: Option<SocketHandle>,
    /// Is told of every address.
    on_address: Option<fn(Option<Ipv4Cidr>)>,
    /// The neighbours have yet to hear of the address.
    is_new: bool,
}

impl<D> fmt::Debug for Net<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

impl<D: Device> Net<D> {
    /// An interface. `seed` should differ from boot to boot: sequence numbers are made of it. `now` is the
    /// time in milliseconds, as it is told to [`Net::poll`].
    pub fn new(
        room: Room,
        mut device: D,
        hardware: [u8; 6],
        address: Address,
        seed: u64,
        now: u64,
    ) -> Self {
        let mut config = Config::new(EthernetAddress(hardware).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, instant(now));
        let Room {
            storage,
            places,
            receive,
            send,
        } = room;
        let share = |bytes: usize| (bytes / places.len().max(1)).max(1);
        let (each_receives, each_sends) = (share(receive.len()), share(send.len()));
        let buffers = receive
            .chunks_exact_mut(each_receives)
            .zip(send.chunks_exact_mut(each_sends));
        #[cfg(feature = "dhcp")]
        let spare = storage.len() > places.len();
        let mut sockets = SocketSet::new(storage);
        let places = match address {
            Address::Static(address, gateway) => {
                set_address(&mut interface, Some(address), gateway);
                places
            }
            #[cfg(feature = "dhcp")]
            Address::Dhcp if spare => places,
            #[cfg(feature = "dhcp")]
            Address::Dhcp => {
                let rest = places.len().saturating_sub(1);
                &mut places[..rest]
            }
        };
        for (place, (receive, send)) in places.iter_mut().zip(buffers) {
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(receive),
                tcp::SocketBuffer::new(send),
            );
            socket.set_nagle_enabled(false);
            place.handle = Some(sockets.add(socket));
        }
        Self {
            #[cfg(feature = "dhcp")]
            dhcp: (address == Address::Dhcp).then(|| sockets.add(dhcpv4::Socket::new())),
            device,
            interface,
            sockets,
            places,
            end: 0,
            listeners: heapless::Vec::new(),
            turn: 0,
            channels: 0,
            has_more: false,
            is_cut_short: false,
            now,
            on_address: None,
            is_new: true,
        }
    }

    /// Tells the neighbours who has the address now, so that they need not ask, and forget who had it before
    /// (RFC 5227 section 2.3).
    fn announce(&mut self, at: Instant) {
        let Some(address) = self.address().filter(|_| self.is_new) else {
            return;
        };
        let HardwareAddress::Ethernet(hardware) = self.interface.hardware_addr();
        let packet = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: hardware,
            source_protocol_addr: address.address(),
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: address.address(),
        };
        let frame = EthernetRepr {
            src_addr: hardware,
            dst_addr: EthernetAddress::BROADCAST,
            ethertype: EthernetProtocol::Arp,
        };
        if let Some(token) = self.device.transmit(at) {
            token.consume(frame.buffer_len() + packet.buffer_len(), |bytes| {
                let mut bytes = EthernetFrame::new_unchecked(bytes);
                frame.emit(&mut bytes);
                packet.emit(&mut ArpPacket::new_unchecked(bytes.payload_mut()));
            });
            self.is_new = false;
        }
    }

    /// Has a function told of the address, now and whenever it changes; `None` while there is none.
    pub fn tell_address(&mut self, to: fn(Option<Ipv4Cidr>)) {
        self.on_address = Some(to);
        to(self.address());
    }

    /// The address; `None` while there is none.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Cidr> {
        self.interface.ip_addrs().first().map(|cidr| match cidr {
            IpCidr::Ipv4(cidr) => *cidr,
        })
    }

    /// Hears what the DHCP server says.
    #[cfg(feature = "dhcp")]
    fn hear_dhcp(&mut self) {
        let Some(handle) = self.dhcp else { return };
        let (address, gateway) = match self.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
            None => return,
            Some(dhcpv4::Event::Configured(config)) => (Some(config.address), config.router),
            Some(dhcpv4::Event::Deconfigured) => (None, None),
        };
        set_address(&mut self.interface, address, gateway);
        self.is_new = true;
        if let Some(tell) = self.on_address {
            tell(address);
        }
    }

    /// A listener at `port` with `backlog` sockets that wait for connections, where so many are free.
    ///
    /// # Errors
    /// [`NetError`].
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<Socket, NetError> {
        if port == 0 || self.listeners.iter().any(|listener| listener.port == port) {
            return Err(NetError::Port);
        }
        if backlog == 0 || backlog > self.places.len() {
            return Err(NetError::Sockets);
        }
        let listener = Listener {
            port,
            backlog,
            watch: None,
        };
        let over = |listener: &Listener| listener.backlog == 0;
        let index = match self.listeners.iter().position(over) {
            Some(index) => {
                self.listeners[index] = listener;
                index
            }
            None => {
                let pushed = self.listeners.push(listener);
                pushed.map_err(|_| NetError::Listeners)?;
                self.listeners.len() - 1
            }
        };
        self.fill(index);
        Ok(self.listener_number(index))
    }

    /// A client's socket that is being connected; it is writable when it is.
    #[cfg(feature = "lab")]
    #[must_use]
    pub fn connect(&mut self, to: (Ipv4Address, u16), from: u16) -> Option<Socket> {
        let index = self.free()?;
        let handle = self.places[index].handle?;
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.interface.context(), to, from).ok()?;
        self.set_role(index, Role::Taken);
        Some(Socket(index as i32))
    }

    /// Whether a client's socket is connected.
    #[cfg(feature = "lab")]
    #[must_use]
    pub fn is_connected(&mut self, socket: Socket) -> bool {
        self.connection(socket)
            .is_ok_and(|socket| socket.may_send())
    }

    /// The card.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Takes in what the card has, sends what is to leave, and sees to sockets that have ended.
    ///
    /// Sockets send in their order. Where the card has room for some of them only, nothing is taken in
    /// until all had their turn: the first ones, told by their clients to go on, would never let the last
    /// ones send.
    pub fn poll(&mut self, now: u64) {
        let at = instant(now);
        self.now = now;
        self.interface.poll_maintenance(at);
        if self.is_cut_short {
            // Whether it has anything will be seen.
            self.has_more = true;
        } else {
            self.take_in(at);
        }
        #[cfg(feature = "dhcp")]
        self.hear_dhcp();
        self.announce(at);
        let mut exit = Exit {
            device: &mut self.device,
            is_shut: false,
        };
        self.interface.poll_egress(at, &mut exit, &mut self.sockets);
        self.is_cut_short = exit.is_shut;
        self.has_more |= exit.is_shut;
        self.tidy();
    }

    /// Takes in what the card has, up to [`FRAMES`].
    fn take_in(&mut self, at: Instant) {
        let mut full = self.full_ports();
        self.has_more = true;
        for _ in 0..FRAMES {
            let request = Cell::new(Request::None);
            let mut gate = Gate {
                device: &mut self.device,
                full: &full,
                places: self.places,
                request: &request,
            };
            let found = self
                .interface
                .poll_ingress_single(at, &mut gate, &mut self.sockets);
            if matches!(found, PollIngressSingleResult::None) {
                self.has_more = false;
                break;
            }
            if let Request::Anew(index) = request.get() {
                self.release(index);
            }
            if request.get() != Request::None {
                full = self.full_ports();
            }
        }
    }

    /// Milliseconds until [`Net::poll`] has something to do, whatever comes from the card; `None` when
    /// it has nothing.
    pub fn delay(&mut self, now: u64) -> Option<u64> {
        if self.has_more {
            return Some(0);
        }
        let stack = self.interface.poll_delay(instant(now), &self.sockets);
        let mut least = stack.map(|delay| delay.total_millis());
        for index in 0..self.end {
            if let Some(end) = self.end_of(index) {
                let left = end.saturating_sub(now);
                least = Some(least.map_or(left, |least| least.min(left)));
            }
        }
        least
    }

    /// When a socket is not to be waited for any longer.
    fn end_of(&mut self, index: usize) -> Option<u64> {
        let (role, alone_at) = (self.places[index].role, self.places[index].alone_at);
        if matches!(role, Role::Free | Role::Taken) {
            return None;
        }
        match (role, self.socket_mut(index).state()) {
            (Role::Waiting(_), State::SynReceived) => Some(alone_at + HANDSHAKE_MS),
            // The stack ends it by itself.
            (Role::Orphan(_), State::TimeWait) => None,
            (Role::Orphan(since), State::FinWait2) => Some(since + ORPHAN_MS),
            (Role::Orphan(since), State::Closed) => Some(since + RESET_MS),
            (Role::Orphan(since), _) => Some(since + DELIVERY_MS),
            _ => None,
        }
    }

    /// Sockets that there are.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.places.len()
    }

    /// Sockets of connections: the worker's, and those that were closed but are not gone.
    #[must_use]
    pub fn connections(&self) -> usize {
        let is_one = |place: &&Place| matches!(place.role, Role::Taken | Role::Orphan(_));
        self.places.iter().filter(is_one).count()
    }

    /// Has a socket be for something else.
    fn set_role(&mut self, index: usize, role: Role) {
        let place = &mut self.places[index];
        place.role = role;
        if matches!(role, Role::Free) {
            (place.peer, place.is_over) = (None, false);
        } else {
            self.end = self.end.max(index + 1);
        }
    }

    /// Sees to sockets whose connection is over.
    fn tidy(&mut self) {
        let now = self.now;
        for index in 0..self.end {
            let role = self.places[index].role;
            if matches!(role, Role::Free | Role::Taken) {
                continue;
            }
            let is_over = self.end_of(index).is_some_and(|end| now >= end);
            let socket = self.socket_mut(index);
            // Bytes that nobody will read; its client has all that was sent.
            let is_unread = socket.recv_queue() > 0 && socket.state() == State::FinWait2;
            match role {
                // It has ended; or it came and went before anybody took it.
                _ if is_gone(socket) => self.set_role(index, Role::Free),
                Role::Orphan(_) if is_over && socket.state() == State::Closed => {
                    self.release(index)
                }
                Role::Orphan(_) if is_over || is_unread => {
                    socket.abort();
                    self.set_role(index, Role::Orphan(now));
                }
                Role::Waiting(_) if is_over => self.release(index),
                _ => {}
            }
        }
        while self.end > 0 && matches!(self.places[self.end - 1].role, Role::Free) {
            self.end -= 1;
        }
    }

    /// Frees a socket without a word to its client.
    fn release(&mut self, index: usize) {
        let socket = self.socket_mut(index);
        // A socket forgets its client when it listens, which it can once it is closed.
        socket.abort();
        let _ = socket.listen(1);
        socket.abort();
        self.set_role(index, Role::Free);
    }

    /// Fills up all listeners, and notes who every socket's client is; the ports of those that have no
    /// socket for another connection.
    fn full_ports(&mut self) -> heapless::Vec<u16, LISTENERS> {
        let mut full = heapless::Vec::new();
        for listener in 0..self.listeners.len() {
            self.fill(listener);
        }
        let mut has_one = [false; LISTENERS];
        for index in 0..self.end {
            let socket = self.socket_mut(index);
            let state = socket.state();
            let peer = socket
                .remote_endpoint()
                .zip(socket.local_endpoint().map(|local| local.port));
            let place = &mut self.places[index];
            place.peer = peer;
            place.is_over = state == State::TimeWait && matches!(place.role, Role::Orphan(_));
            if state == State::Listen {
                place.alone_at = self.now;
                if let Role::Waiting(listener) = place.role {
                    has_one[usize::from(listener)] = true;
                }
            }
        }
        for (listener, has_one) in self.listeners.iter().zip(has_one) {
            if !has_one {
                // There is room for all of them.
                let _ = full.push(listener.port);
            }
        }
        full
    }

    /// Has free sockets wait for connections, up to the listener's backlog. Connections that nobody has
    /// taken yet count.
    fn fill(&mut self, listener: usize) {
        let Listener { port, backlog, .. } = self.listeners[listener];
        let places = self.places[..self.end].iter();
        let waiting = places.filter(|place| place.waits_for(listener)).count();
        for _ in waiting..backlog {
            let Some(index) = self.free() else { return };
            if self.socket_mut(index).listen(port).is_ok() {
                self.set_role(index, Role::Waiting(listener as u8));
            }
        }
    }

    /// A socket that can be used: one in no use, or the oldest of those whose connection was closed here
    /// and whose client has all of it, the end included. What such a client still sends is refused.
    fn free(&mut self) -> Option<usize> {
        let is_free = |place: &Place| matches!(place.role, Role::Free);
        if let Some(index) = self.places.iter().position(is_free) {
            return Some(index);
        }
        let mut oldest = None;
        for index in 0..self.end {
            if let Role::Orphan(since) = self.places[index].role
                && matches!(
                    self.socket_mut(index).state(),
                    State::FinWait2 | State::TimeWait
                )
                && oldest.is_none_or(|(other, _)| since < other)
            {
                oldest = Some((since, index));
            }
        }
        let (_, index) = oldest?;
        self.release(index);
        Some(index)
    }

    /// Takes the next connection that waits.
    pub(crate) fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        let listener = self.listener_index(listener).ok_or(NO_SUCH_SOCKET)?;
        let index = self.waiting(listener).ok_or(Error::WouldBlock)?;
        self.set_role(index, Role::Taken);
        self.fill(listener);
        Ok(Socket(index as i32))
    }

    /// A connection to this listener that nobody has taken.
    fn waiting(&mut self, listener: usize) -> Option<usize> {
        (0..self.end).find(|&index| {
            self.places[index].waits_for(listener) && {
                let socket = self.socket_mut(index);
                matches!(socket.state(), State::Established | State::CloseWait)
            }
        })
    }

    /// The worker's socket of this number.
    pub(crate) fn connection(
        &mut self,
        socket: Socket,
    ) -> Result<&mut tcp::Socket<'static>, Error> {
        let index = self.taken(socket).ok_or(NO_SUCH_SOCKET)?;
        Ok(self.socket_mut(index))
    }

    /// The client of a connection that was accepted: its address and port.
    #[must_use]
    pub fn client(&self, socket: Socket) -> Option<(Ipv4Address, u16)> {
        let (client, _) = self.places[self.taken(socket)?].peer?;
        let IpAddress::Ipv4(address) = client.addr;
        Some((address, client.port))
    }

    /// Gives a socket back; the stack has its client hear of it.
    pub(crate) fn close(&mut self, socket: Socket) -> Result<(), Error> {
        if let Some(listener) = self.listener_index(socket) {
            self.close_listener(listener);
            return Ok(());
        }
        let index = self.taken(socket).ok_or(NO_SUCH_SOCKET)?;
        self.socket_mut(index).close();
        self.set_role(index, Role::Orphan(self.now));
        self.places[index].watch = None;
        Ok(())
    }

    /// A listener's place stays, for the numbers of the others: it listens no more.
    fn close_listener(&mut self, listener: usize) {
        self.listeners[listener].backlog = 0;
        self.listeners[listener].port = 0;
        self.listeners[listener].watch = None;
        for index in 0..self.end {
            if self.places[index].waits_for(listener) {
                self.socket_mut(index).abort();
                self.set_role(index, Role::Orphan(self.now));
            }
        }
    }

    /// A number for a channel.
    pub(crate) fn new_channel(&mut self) -> u32 {
        self.channels += 1;
        self.channels
    }

    /// What is watched at this number; `None` where there is no socket.
    pub(crate) fn watch(&mut self, socket: Socket) -> Option<&mut Option<Watch>> {
        if let Some(listener) = self.listener_index(socket) {
            return Some(&mut self.listeners[listener].watch);
        }
        let index = self.taken(socket)?;
        Some(&mut self.places[index].watch)
    }

    /// Tells of every socket that this channel watches and that is ready, until `take` wants no more.
    pub(crate) fn ready(&mut self, channel: u32, take: &mut dyn FnMut(Token, Readiness) -> bool) {
        for listener in 0..self.listeners.len() {
            let watch = self.listeners[listener].watch;
            if let Some(Watch {
                token, interest, ..
            }) = watch.filter(|watch| watch.channel == channel)
                && interest.wants_read()
                && self.waiting(listener).is_some()
                && !take(token, Readiness::READABLE)
            {
                return;
            }
        }
        let turn = self.turn.min(self.end);
        for index in (turn..self.end).chain(0..turn) {
            let watch = self.places[index].watch;
            let Some(Watch {
                token, interest, ..
            }) = watch.filter(|watch| watch.channel == channel)
            else {
                continue;
            };
            let readiness = readiness(self.socket_mut(index), interest);
            if readiness != Readiness::NONE && !take(token, readiness) {
                self.turn = index;
                return;
            }
        }
    }

    fn taken(&self, socket: Socket) -> Option<usize> {
        let index = usize::try_from(socket.0).ok()?;
        matches!(self.places.get(index)?.role, Role::Taken).then_some(index)
    }

    /// Listeners' numbers come behind those of all other sockets.
    fn listener_number(&self, index: usize) -> Socket {
        Socket((self.places.len() + index) as i32)
    }

    fn listener_index(&self, socket: Socket) -> Option<usize> {
        let index = usize::try_from(socket.0).ok()?;
        let index = index.checked_sub(self.places.len())?;
        (self.listeners.get(index)?.backlog > 0).then_some(index)
    }

    fn socket_mut(&mut self, index: usize) -> &mut tcp::Socket<'static> {
        match self.places[index].handle {
            Some(handle) => self.sockets.get_mut(handle),
            None => unreachable!("each place was given a socket when the stack was made"),
        }
    }
}

/// Has an interface known by this address and no other.
fn set_address(interface: &mut Interface, address: Option<Ipv4Cidr>, gateway: Option<Ipv4Address>) {
    // There is room for one address and one route at least.
    interface.update_ip_addrs(|addresses| {
        addresses.clear();
        addresses.extend(address.map(IpCidr::Ipv4));
    });
    let _ = match gateway {
        Some(gateway) => interface.routes_mut().add_default_ipv4_route(gateway),
        None => Ok(interface.routes_mut().remove_default_ipv4_route()),
    };
}

/// What a descriptor that is none is answered with elsewhere (EBADF).
const NO_SUCH_SOCKET: Error = Error::System(9);

/// Whether nothing is left of a connection, not even a reset that is to be sent.
fn is_gone(socket: &tcp::Socket<'_>) -> bool {
    socket.state() == State::Closed && socket.remote_endpoint().is_none()
}

fn readiness(socket: &tcp::Socket<'_>, interest: Interest) -> Readiness {
    let mut readiness = Readiness::NONE;
    if interest.wants_read() && (socket.can_recv() || !socket.may_recv()) {
        readiness = readiness.and(Readiness::READABLE);
    }
    if interest.wants_write() && socket.can_send() {
        readiness = readiness.and(Readiness::WRITABLE);
    }
    // Both directions are over, or the connection was reset.
    if matches!(socket.state(), State::Closed | State::TimeWait) {
        readiness = readiness.and(Readiness::FAILED);
    }
    readiness
}

/// Milliseconds of the worker's clock as the stack counts time.
fn instant(now: u64) -> Instant {
    Instant::from_millis(i64::try_from(now).unwrap_or(i64::MAX))
}
