//! The sockets of a stack, and what each of them is for.
//!
//! All of them are looked at together, once after the stack has worked ([`Places::survey`]): what the stack
//! does to a socket nobody is told, and to ask each of them for each thing would cost more than all else.

use crate::memory::Room;
use capuchin_core::event::{Interest, Readiness, Token};
use capuchin_core::transport::{Error, Socket};
use core::fmt;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address};

/// Listeners that there can be.
pub const LISTENERS: usize = 2;

/// How long a client that has all of a connection that was closed here may keep its side open, in
/// milliseconds.
pub const ORPHAN_MS: u64 = 10_000;

/// How long a client may take to take what was sent before a connection was closed here. While it is looked
/// for in vain, others wait to be found: the stack asks for one neighbour a second.
const DELIVERY_MS: u64 = 15_000;

/// How long a reset may take to leave, for which the client's hardware address may have to be asked.
const RESET_MS: u64 = 1_000;

/// How long a connection may be in the making.
const HANDSHAKE_MS: u64 = 5_000;

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

/// What a socket is for.
#[derive(Clone, Copy, Debug)]
enum Role {
    Free,
    /// It waits for a connection to the listener with this index, or has one that nobody has taken.
    Waiting(u8),
    /// The worker's.
    Taken,
    /// Closed by the worker at this moment, in milliseconds, or its client has all of it since then.
    Orphan(u64),
}

/// A socket's place; its index is the socket's number.
#[derive(Debug)]
pub struct Place {
    /// Once the stack is there.
    handle: Option<SocketHandle>,
    role: Role,
    watch: Option<Watch>,
    /// Of what is watched.
    readiness: Readiness,
    /// Since when it has this client.
    met_at: u64,
    /// The client, and the port here; none while it has none.
    pub(crate) peer: Option<(IpEndpoint, u16)>,
    /// It only waits for stray packets or for its client's end, and its client may begin anew.
    pub(crate) is_over: bool,
    /// Its client has all that was sent.
    has_all: bool,
}

impl Place {
    /// Nobody's.
    pub const FREE: Self = Self {
        handle: None,
        role: Role::Free,
        watch: None,
        readiness: Readiness::NONE,
        met_at: 0,
        peer: None,
        is_over: false,
        has_all: false,
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
    /// There is a connection that nobody has taken.
    is_ready: bool,
}

/// All sockets.
pub(crate) struct Places {
    pub set: SocketSet<'static>,
    pub all: &'static mut [Place],
    /// Places from here on are free: most of the time there are far fewer connections than there may be.
    end: usize,
    listeners: heapless::Vec<Listener, LISTENERS>,
    /// Ports of listeners that have no socket for another connection.
    pub full: heapless::Vec<u16, LISTENERS>,
    /// Somebody changed what the last survey has found.
    is_stale: bool,
    /// When the first socket is not to be waited for any longer.
    first_end: Option<u64>,
    /// Connections that were closed and whose clients have yet to take something.
    pub unsettled: usize,
    /// Where the next look at all sockets begins, so that none is always the last.
    turn: usize,
    /// The time of the last survey.
    now: u64,
}

impl Places {
    /// Sockets in this memory, of which `spare` storages are for others.
    pub fn new(room: Room, spare: usize, now: u64) -> Self {
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
        let count = places.len().min(storage.len().saturating_sub(spare));
        let all = &mut places[..count];
        let mut set = SocketSet::new(storage);
        for (place, (receive, send)) in all.iter_mut().zip(buffers) {
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(receive),
                tcp::SocketBuffer::new(send),
            );
            socket.set_nagle_enabled(false);
            place.handle = Some(set.add(socket));
        }
        Self {
            set,
            all,
            end: 0,
            listeners: heapless::Vec::new(),
            full: heapless::Vec::new(),
            is_stale: true,
            first_end: None,
            unsettled: 0,
            turn: 0,
            now,
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
        if backlog == 0 || backlog > self.all.len() {
            return Err(NetError::Sockets);
        }
        let listener = Listener {
            port,
            backlog,
            watch: None,
            is_ready: false,
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
        self.is_stale = true;
        self.fill(index);
        Ok(self.listener_number(index))
    }

    /// Connections: the worker's, and those that were closed but are not gone.
    pub fn connections(&self) -> usize {
        let is_one = |place: &&Place| matches!(place.role, Role::Taken | Role::Orphan(_));
        self.all.iter().filter(is_one).count()
    }

    /// Sees to it that what the last survey has found still holds.
    pub fn refresh(&mut self) {
        if self.is_stale {
            self.survey(self.now);
        }
    }

    /// Milliseconds until a socket is not to be waited for any longer, by the last survey.
    pub fn delay(&self, now: u64) -> Option<u64> {
        self.first_end.map(|end| end.saturating_sub(now))
    }

    /// Looks at all sockets: sees to those whose connection is over, notes who is ready and who every
    /// socket's client is, and has free ones wait for the listeners.
    pub fn survey(&mut self, now: u64) {
        self.now = now;
        self.first_end = None;
        self.unsettled = 0;
        let (mut waiting, mut has_one) = ([0; LISTENERS], [false; LISTENERS]);
        for listener in &mut self.listeners {
            listener.is_ready = false;
        }
        for index in 0..self.end {
            let place = &mut self.all[index];
            let Some(handle) = place.handle else { continue };
            let socket = self.set.get_mut::<tcp::Socket<'_>>(handle);
            let state = socket.state();
            let remote = socket.remote_endpoint();
            let peer = remote.zip(socket.local_endpoint().map(|local| local.port));
            if place.peer != peer {
                (place.peer, place.met_at) = (peer, now);
            }
            place.is_over = false;
            let end = match place.role {
                Role::Free => continue,
                Role::Taken => {
                    if let Some(watch) = place.watch {
                        place.readiness = readiness(socket, state, watch.interest);
                    }
                    None
                }
                Role::Waiting(listener) => {
                    let listener = usize::from(listener);
                    waiting[listener] += 1;
                    match state {
                        State::Listen => {
                            has_one[listener] = true;
                            None
                        }
                        State::SynReceived => Some(place.met_at + HANDSHAKE_MS),
                        State::Established | State::CloseWait => {
                            self.listeners[listener].is_ready = true;
                            None
                        }
                        _ => None,
                    }
                }
                Role::Orphan(since) => match state {
                    // The stack ends it by itself.
                    State::TimeWait => {
                        place.is_over = true;
                        None
                    }
                    // Bytes that nobody will read.
                    State::FinWait2 if socket.recv_queue() > 0 => Some(now),
                    State::FinWait2 => {
                        place.is_over = true;
                        let since = if place.has_all { since } else { now };
                        (place.role, place.has_all) = (Role::Orphan(since), true);
                        Some(since + ORPHAN_MS)
                    }
                    State::Closed => Some(since + RESET_MS),
                    _ => {
                        self.unsettled += 1;
                        Some(since + DELIVERY_MS)
                    }
                },
            };
            let is_late = end.is_some_and(|end| now >= end);
            // Nothing is left of it, not even a reset that is to be sent: it has ended, or came and went before
            // anybody took it.
            let is_gone = state == State::Closed && remote.is_none();
            match place.role {
                Role::Waiting(listener) if is_gone || is_late => {
                    waiting[usize::from(listener)] -= 1;
                    self.release(index);
                }
                Role::Orphan(_) if is_gone || is_late && state == State::Closed => {
                    self.release(index);
                }
                Role::Orphan(_) if is_late => {
                    socket.abort();
                    place.role = Role::Orphan(now);
                    self.first_end = earlier(self.first_end, now + RESET_MS);
                }
                _ => {
                    if let Some(end) = end {
                        self.first_end = earlier(self.first_end, end);
                    }
                }
            }
        }
        while self.end > 0 && matches!(self.all[self.end - 1].role, Role::Free) {
            self.end -= 1;
        }
        self.full.clear();
        for listener in 0..self.listeners.len() {
            let missing = self.listeners[listener]
                .backlog
                .saturating_sub(waiting[listener]);
            if !(self.add_waiting(listener, missing) || has_one[listener]) {
                // There is room for all of them.
                let _ = self.full.push(self.listeners[listener].port);
            }
        }
        // What was changed here is known.
        self.is_stale = false;
    }

    /// Has a socket be for something else.
    fn set_role(&mut self, index: usize, role: Role) {
        self.is_stale = true;
        let place = &mut self.all[index];
        (place.role, place.readiness, place.has_all) = (role, Readiness::NONE, false);
        if matches!(role, Role::Free) {
            (place.peer, place.is_over) = (None, false);
        } else {
            self.end = self.end.max(index + 1);
        }
    }

    /// Frees a socket without a word to its client.
    pub fn release(&mut self, index: usize) {
        let socket = self.socket_mut(index);
        // A socket forgets its client when it listens, which it can once it is closed.
        socket.abort();
        let _ = socket.listen(1);
        socket.abort();
        self.set_role(index, Role::Free);
    }

    /// Has free sockets wait for connections, up to the listener's backlog. Connections that nobody has
    /// taken yet count.
    fn fill(&mut self, listener: usize) {
        let places = self.all[..self.end].iter();
        let waiting = places.filter(|place| place.waits_for(listener)).count();
        let backlog = self.listeners[listener].backlog;
        self.add_waiting(listener, backlog.saturating_sub(waiting));
    }

    /// Has up to so many sockets more wait for connections; whether there was one.
    fn add_waiting(&mut self, listener: usize, count: usize) -> bool {
        let port = self.listeners[listener].port;
        let mut added = false;
        for _ in 0..count {
            let Some(index) = self.free() else { break };
            if self.socket_mut(index).listen(port).is_ok() {
                self.set_role(index, Role::Waiting(listener as u8));
                added = true;
            }
        }
        added
    }

    /// A socket that can be used: one in no use, or the oldest of those whose connection was closed here
    /// and whose client has all of it, the end included. What such a client still sends is refused.
    fn free(&mut self) -> Option<usize> {
        let is_free = |place: &Place| matches!(place.role, Role::Free);
        if let Some(index) = self.all.iter().position(is_free) {
            return Some(index);
        }
        let mut oldest = None;
        for index in 0..self.end {
            if let Role::Orphan(since) = self.all[index].role
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

    /// Takes a free socket for the worker.
    #[cfg(feature = "lab")]
    pub fn take(&mut self) -> Option<(Socket, &mut tcp::Socket<'static>)> {
        let index = self.free()?;
        self.set_role(index, Role::Taken);
        Some((Socket(index as i32), self.socket_mut(index)))
    }

    /// Takes the next connection that waits.
    pub fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        let listener = self.listener_index(listener).ok_or(NO_SUCH_SOCKET)?;
        let waiting = (0..self.end).find(|&index| {
            self.all[index].waits_for(listener) && {
                let state = self.socket_mut(index).state();
                matches!(state, State::Established | State::CloseWait)
            }
        });
        let index = waiting.ok_or(Error::WouldBlock)?;
        self.set_role(index, Role::Taken);
        self.fill(listener);
        Ok(Socket(index as i32))
    }

    /// The worker's socket of this number.
    pub fn connection(&mut self, socket: Socket) -> Result<&mut tcp::Socket<'static>, Error> {
        let index = self.taken(socket).ok_or(NO_SUCH_SOCKET)?;
        Ok(self.socket_mut(index))
    }

    /// The client of a connection that was accepted: its address and port.
    pub fn client(&self, socket: Socket) -> Option<(Ipv4Address, u16)> {
        let (client, _) = self.all[self.taken(socket)?].peer?;
        let IpAddress::Ipv4(address) = client.addr;
        Some((address, client.port))
    }

    /// Gives a socket back; the stack has its client hear of it.
    pub fn close(&mut self, socket: Socket) -> Result<(), Error> {
        if let Some(listener) = self.listener_index(socket) {
            self.close_listener(listener);
            return Ok(());
        }
        let index = self.taken(socket).ok_or(NO_SUCH_SOCKET)?;
        self.socket_mut(index).close();
        self.set_role(index, Role::Orphan(self.now));
        self.all[index].watch = None;
        Ok(())
    }

    /// A listener's place stays, for the numbers of the others: it listens no more.
    fn close_listener(&mut self, listener: usize) {
        self.listeners[listener].backlog = 0;
        self.listeners[listener].port = 0;
        self.listeners[listener].watch = None;
        for index in 0..self.end {
            if self.all[index].waits_for(listener) {
                self.socket_mut(index).abort();
                self.set_role(index, Role::Orphan(self.now));
            }
        }
    }

    /// What is watched at this number; `None` where there is no socket.
    pub fn watch(&mut self, socket: Socket) -> Option<&mut Option<Watch>> {
        if let Some(listener) = self.listener_index(socket) {
            return Some(&mut self.listeners[listener].watch);
        }
        let index = self.taken(socket)?;
        Some(&mut self.all[index].watch)
    }

    /// Tells of every socket that this channel watches and that the last survey has found ready, until
    /// `take` wants no more.
    pub fn ready(&mut self, channel: u32, take: &mut dyn FnMut(Token, Readiness) -> bool) {
        for listener in &self.listeners {
            if let Some(watch) = listener.watch
                && listener.is_ready
                && watch.channel == channel
                && watch.interest.wants_read()
                && !take(watch.token, Readiness::READABLE)
            {
                return;
            }
        }
        let turn = self.turn.min(self.end);
        for index in (turn..self.end).chain(0..turn) {
            let place = &self.all[index];
            if let Some(watch) = place.watch
                && place.readiness != Readiness::NONE
                && watch.channel == channel
                && !take(watch.token, place.readiness)
            {
                self.turn = index;
                return;
            }
        }
    }

    fn taken(&self, socket: Socket) -> Option<usize> {
        let index = usize::try_from(socket.0).ok()?;
        matches!(self.all.get(index)?.role, Role::Taken).then_some(index)
    }

    /// Listeners' numbers come behind those of all other sockets.
    fn listener_number(&self, index: usize) -> Socket {
        Socket((self.all.len() + index) as i32)
    }

    fn listener_index(&self, socket: Socket) -> Option<usize> {
        let index = usize::try_from(socket.0).ok()?;
        let index = index.checked_sub(self.all.len())?;
        (self.listeners.get(index)?.backlog > 0).then_some(index)
    }

    fn socket_mut(&mut self, index: usize) -> &mut tcp::Socket<'static> {
        match self.all[index].handle {
            Some(handle) => self.set.get_mut(handle),
            None => unreachable!("each place was given a socket when the stack was made"),
        }
    }
}

/// What a descriptor that is none is answered with elsewhere (EBADF).
const NO_SUCH_SOCKET: Error = Error::System(9);

fn earlier(first: Option<u64>, other: u64) -> Option<u64> {
    Some(first.map_or(other, |first| first.min(other)))
}

fn readiness(socket: &tcp::Socket<'_>, state: State, interest: Interest) -> Readiness {
    let mut readiness = Readiness::NONE;
    if interest.wants_read() && (socket.can_recv() || !socket.may_recv()) {
        readiness = readiness.and(Readiness::READABLE);
    }
    if interest.wants_write() && socket.can_send() {
        readiness = readiness.and(Readiness::WRITABLE);
    }
    // Both directions are over, or the connection was reset.
    if matches!(state, State::Closed | State::TimeWait) {
        readiness = readiness.and(Readiness::FAILED);
    }
    readiness
}
