//! One network interface, and when it works.

use crate::gate::{Exit, Gate, Request};
use crate::memory::Room;
use crate::places::{NetError, Places, Watch};
use capuchin_core::event::{Readiness, Token};
use capuchin_core::transport::{Error, Socket};
use core::cell::Cell;
use core::fmt;
#[cfg(feature = "dhcp")]
use smoltcp::iface::SocketHandle;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult};
use smoltcp::phy::{Device, TxToken as _};
#[cfg(feature = "dhcp")]
use smoltcp::socket::dhcpv4;
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, HardwareAddress, IpCidr, Ipv4Address, Ipv4Cidr,
};

/// Frames that one look at the card takes in at the most; the rest comes with the next.
const FRAMES: usize = 64;

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

/// A network interface and its sockets; `D` is the card.
pub struct Net<D> {
    device: D,
    interface: Interface,
    places: Places,
    /// Channels so far.
    channels: u32,
    /// The card may have more than the last look took in.
    has_more: bool,
    /// The card took no more in the middle of the last look: some sockets have not had their turn to send.
    is_cut_short: bool,
    /// It took nothing at all.
    is_stuck: bool,
    /// The time of the last look, and what is added to the time that is told: it does not go back, though each
    /// channel's clock begins anew.
    now: u64,
    offset: u64,
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
        #[cfg_attr(
            not(feature = "dhcp"),
            expect(unused_mut, reason = "for DHCP's socket")
        )]
        let mut places = match address {
            Address::Static(address, gateway) => {
                set_address(&mut interface, Some(address), gateway);
                Places::new(room, 0, now)
            }
            #[cfg(feature = "dhcp")]
            Address::Dhcp => Places::new(room, 1, now),
        };
        Self {
            #[cfg(feature = "dhcp")]
            dhcp: (address == Address::Dhcp).then(|| places.set.add(dhcpv4::Socket::new())),
            device,
            interface,
            places,
            channels: 0,
            has_more: false,
            is_cut_short: false,
            is_stuck: false,
            now,
            offset: 0,
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
        let (address, gateway) = match self.places.set.get_mut::<dhcpv4::Socket<'_>>(handle).poll()
        {
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
        self.places.listen(port, backlog)
    }

    /// A client's socket that is being connected; it is writable when it is.
    #[cfg(feature = "lab")]
    #[must_use]
    pub fn connect(&mut self, to: (Ipv4Address, u16), from: u16) -> Option<Socket> {
        let (number, socket) = self.places.take()?;
        socket.connect(self.interface.context(), to, from).ok()?;
        Some(number)
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
        self.offset = self.offset.max(self.now.saturating_sub(now));
        let now = now + self.offset;
        self.now = now;
        let at = instant(now);
        self.interface.poll_maintenance(at);
        if self.is_cut_short {
            // Whether it has anything will be seen.
            self.has_more = true;
        } else {
            self.take_in(at, now);
        }
        #[cfg(feature = "dhcp")]
        self.hear_dhcp();
        self.announce(at);
        let mut exit = Exit {
            device: &mut self.device,
            is_shut: false,
            took: false,
        };
        self.interface
            .poll_egress(at, &mut exit, &mut self.places.set);
        self.is_cut_short = exit.is_shut;
        self.is_stuck = exit.is_shut && !exit.took;
        self.has_more |= exit.is_shut;
        self.places.survey(now);
    }

    /// Takes in what the card has, up to [`FRAMES`].
    fn take_in(&mut self, at: Instant, now: u64) {
        self.places.refresh();
        self.has_more = true;
        for _ in 0..FRAMES {
            let request = Cell::new(Request::None);
            let mut gate = Gate {
                device: &mut self.device,
                full: &self.places.full,
                places: self.places.all,
                request: &request,
            };
            let found = self
                .interface
                .poll_ingress_single(at, &mut gate, &mut self.places.set);
            if matches!(found, PollIngressSingleResult::None) {
                self.has_more = false;
                break;
            }
            if let Request::Anew(index) = request.get() {
                self.places.release(index);
            }
            if request.get() != Request::None {
                self.places.survey(now);
            }
        }
    }

    /// Milliseconds until [`Net::poll`] has something to do, whatever comes from the card; `None` when
    /// it has nothing.
    pub fn delay(&mut self, now: u64) -> Option<u64> {
        let now = now + self.offset;
        if self.has_more {
            // A card that takes nothing is not asked again and again: others have their turn meanwhile.
            return Some(u64::from(self.is_stuck));
        }
        let stack = self
            .interface
            .poll_delay(instant(now), &self.places.set)
            .map(|delay| delay.total_millis());
        stack.into_iter().chain(self.places.delay(now)).min()
    }

    /// Whether clients of all connections that were closed have what was sent, the end included.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.places.unsettled == 0
    }

    /// Sockets that there are.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.places.all.len()
    }

    /// Sockets of connections: the worker's, and those that were closed but are not gone.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.places.connections()
    }

    /// The client of a connection that was accepted: its address and port.
    #[must_use]
    pub fn client(&self, socket: Socket) -> Option<(Ipv4Address, u16)> {
        self.places.client(socket)
    }

    /// Takes the next connection that waits.
    pub(crate) fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        self.places.accept(listener)
    }

    /// The worker's socket of this number.
    pub(crate) fn connection(
        &mut self,
        socket: Socket,
    ) -> Result<&mut tcp::Socket<'static>, Error> {
        self.places.connection(socket)
    }

    /// Gives a socket back; the stack has its client hear of it.
    pub(crate) fn close(&mut self, socket: Socket) -> Result<(), Error> {
        self.places.close(socket)
    }

    /// A number for a channel.
    pub(crate) fn new_channel(&mut self) -> u32 {
        self.channels += 1;
        self.channels
    }

    /// What is watched at this number; `None` where there is no socket.
    pub(crate) fn watch(&mut self, socket: Socket) -> Option<&mut Option<Watch>> {
        self.places.watch(socket)
    }

    /// Tells of every socket that this channel watches and that is ready, until `take` wants no more.
    pub(crate) fn ready(&mut self, channel: u32, take: &mut dyn FnMut(Token, Readiness) -> bool) {
        self.places.ready(channel, take);
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

/// Milliseconds of the worker's clock as the stack counts time.
fn instant(now: u64) -> Instant {
    Instant::from_millis(i64::try_from(now).unwrap_or(i64::MAX))
}
