//! The event channel: waits on the queue, and keeps what was reported in mind until it is gone.

use crate::cell::{Cell, Direction};
use crate::clock;
use crate::feed::{Feed, FeedError};
use crate::mail::{Mail, RtemsNotifier};
use crate::memory::Room;
use crate::queue::{Entry, Patience, StatusCode};
use crate::task::Turns;
use crate::transport::cell_of;
use capuchin_core::event::{
    Deadline, Error, Event, EventChannel, EventList, Interest, Readiness, Token,
};
use capuchin_core::transport::Socket;
use core::sync::atomic::Ordering;

/// Places of an event list that are kept for messages when many sockets are ready.
pub const KEPT_FOR_MESSAGES: usize = 16;

/// No cell.
const NONE: u32 = u32::MAX;

/// Waits on a Classic API message queue; the contract is that of [`EventChannel`].
#[derive(Debug)]
pub struct RtemsChannel {
    /// Before the queue: nothing may be told of once that is gone.
    feed: Feed,
    mail: Mail,
    cells: &'static [Cell],
    /// Cells to look at without being told: what was reported is reported again while it is true.
    first: u32,
    last: u32,
    listed: u32,
    turns: Turns,
}

/// Why there is no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// Another channel has the memory.
    InUse,
    /// More messages were asked for than the memory has places, or none.
    Messages,
    /// The kernel has no message queue for it.
    Queue(StatusCode),
    /// The feed could not start.
    Feed(FeedError),
    /// The listener could not be watched.
    Listener(Error),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::InUse => f.write_str("the memory belongs to a worker that still runs; stop it first"),
            Self::Messages => f.write_str("the memory has no place for so many messages"),
            Self::Queue(StatusCode::TOO_MANY) => f.write_str(
                "no message queue is left; raise CONFIGURE_MAXIMUM_MESSAGE_QUEUES by one for each worker",
            ),
            Self::Queue(StatusCode(code)) => {
                write!(f, "the kernel gives no message queue (status code {code})")
            }
            Self::Feed(why) => why.fmt(f),
            Self::Listener(why) => write!(f, "the listener cannot be watched: {why}"),
        }
    }
}

impl core::error::Error for StartError {}

impl RtemsChannel {
    /// A channel in `room`, whose queue takes `messages` messages besides what it needs for sockets.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(room: Room, messages: usize) -> Result<Self, StartError> {
        let mail = Mail::new(room, messages)?;
        let feed = Feed::start(&room.control.feed, room.cells).map_err(StartError::Feed)?;
        Ok(Self {
            feed,
            mail,
            cells: room.cells,
            first: NONE,
            last: NONE,
            listed: 0,
            turns: Turns::new(),
        })
    }

    /// Puts a cell into the worker's own list, unless somebody else will have it looked at.
    fn list(&mut self, cell: &'static Cell, index: u32) {
        if !cell.notice() {
            return;
        }
        cell.next.store(NONE, Ordering::Relaxed);
        match self.last {
            NONE => self.first = index,
            last => self.cells[last as usize]
                .next
                .store(index, Ordering::Relaxed),
        }
        self.last = index;
        self.listed += 1;
    }

    fn unlist_first(&mut self) -> Option<u32> {
        let index = self.first;
        let cell = self.cells.get(index as usize)?;
        self.first = cell.next.load(Ordering::Relaxed);
        if self.first == NONE {
            self.last = NONE;
        }
        self.listed -= 1;
        Some(index)
    }

    /// Looks at a cell that was noticed, and reports what is worth a try; while it is, the cell stays
    /// in the list.
    fn look(&mut self, index: u32, events: &mut EventList) {
        let Some(cell) = self.cells.get(index as usize) else {
            return;
        };
        let Some(look) = cell.look() else {
            return; // a former socket's
        };
        if cell.take_lost() {
            let watched = self.feed.watch(Socket(index as i32), cell, look.interest());
            if watched.is_err() {
                // No memory, perhaps: the feed finds it lost again. An entry would come at once.
                cell.stay_lost();
            }
        }
        let (mut readable, mut writable) = (look.is_readable(), look.is_writable());
        let mut readiness = Readiness::NONE;
        // Most often whoever is told tries, and meets an error himself. Only where nobody did, or
        // nobody is to, the socket is asked.
        if look.is_idle() || (look.untried && (readable || writable)) {
            let state = self.feed.ask(Socket(index as i32), writable);
            if readable && !state.readable {
                cell.disproved(Direction::Receive, look.received);
                readable = false;
            }
            if writable && !state.writable {
                cell.disproved(Direction::Send, look.sent);
                writable = false;
            }
            if state.failed {
                readiness = Readiness::FAILED;
            }
        }
        if readable {
            readiness = readiness.and(Readiness::READABLE);
        }
        if writable {
            readiness = readiness.and(Readiness::WRITABLE);
        }
        if readiness == Readiness::NONE {
            return;
        }
        cell.reported();
        let token = cell.token();
        let taken = events.push(Event::Ready { token, readiness });
        debug_assert!(taken, "whoever looks has made sure of a place");
        self.list(cell, index);
    }
}

impl EventChannel for RtemsChannel {
    type Notifier = RtemsNotifier;

    fn add(&mut self, socket: Socket, token: Token, interest: Interest) -> Result<(), Error> {
        let cell = cell_of(self.cells, socket).ok_or(Error::NoRoom)?;
        if cell.is_watched() {
            return Err(Error::Registration);
        }
        let index = socket.0 as u32;
        cell.begin((self.mail.queue.sender().0, index), token, interest);
        if let Err(errno) = self.feed.watch(socket, cell, interest) {
            cell.end();
            return Err(Error::System(errno));
        }
        self.list(cell, index);
        Ok(())
    }

    fn set_interest(
        &mut self,
        socket: Socket,
        token: Token,
        interest: Interest,
    ) -> Result<(), Error> {
        let cell = self.watched(socket)?;
        cell.change(token, interest);
        self.feed
            .change(socket, cell, interest)
            .map_err(Error::System)?;
        self.list(cell, socket.0 as u32);
        Ok(())
    }

    fn remove(&mut self, socket: Socket) -> Result<(), Error> {
        let cell = self.watched(socket)?;
        cell.end();
        self.feed.unwatch(socket).map_err(Error::System)
    }

    fn wait(&mut self, events: &mut EventList, until: Deadline) -> Result<(), Error> {
        events.clear();
        self.turns.begin();
        for _ in 0..self.listed {
            if events.room() == KEPT_FOR_MESSAGES {
                break;
            }
            if let Some(index) = self.unlist_first() {
                self.look(index, events);
            }
        }
        let mut patience = match until {
            _ if events.room() < EventList::CAPACITY => Patience::None,
            Deadline::Now | Deadline::After(0) => Patience::None,
            Deadline::After(milliseconds) => Patience::Ticks(clock::ticks_of(milliseconds)),
            Deadline::Never => Patience::Endless,
        };
        while events.room() > 0 {
            let entry = self
                .mail
                .queue
                .receive(patience)
                .map_err(|StatusCode(code)| Error::System(code as i32))?;
            match entry {
                None => {
                    if patience != Patience::None {
                        self.turns.slept();
                    }
                    break;
                }
                Some(Entry::Cell(index)) => self.look(index, events),
                Some(Entry::Letter(index)) => {
                    let message = self.mail.open(index);
                    let taken = events.push(Event::Message(message));
                    debug_assert!(taken, "there was room");
                }
            }
            patience = Patience::None;
        }
        Ok(())
    }

    fn notifier(&self) -> RtemsNotifier {
        self.mail.notifier()
    }
}

impl RtemsChannel {
    fn watched(&self, socket: Socket) -> Result<&'static Cell, Error> {
        cell_of(self.cells, socket)
            .filter(|cell| cell.is_watched())
            .ok_or(Error::Registration)
    }
}

impl Drop for RtemsChannel {
    fn drop(&mut self) {
        // Nothing may be told of once the queue is gone.
        for (index, cell) in (0..).zip(self.cells) {
            if cell.is_watched() {
                cell.end();
                let _ = self.feed.unwatch(Socket(index));
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::feed::{lose, tell};
    use crate::memory::Memory;
    use crate::sys;
    use crate::task::TURNS;
    use capuchin_core::event::{Full, Message, Notifier};
    use std::boxed::Box;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::string::ToString;
    use std::vec::Vec;

    const DESCRIPTORS: usize = 1_024;
    const MESSAGES: usize = 8;

    fn room() -> Room {
        let memory: &'static Memory<DESCRIPTORS, MESSAGES> = Box::leak(Box::default());
        memory.room()
    }

    fn token(index: u32) -> Token {
        Token {
            index,
            generation: 0,
        }
    }

    #[test]
    fn queue_takes_every_cell_and_every_message_at_once() {
        let room = room();
        let mut channel = RtemsChannel::new(room, MESSAGES).unwrap();
        let queue = channel.mail.queue.sender().0;
        // Every cell is watched, though there are no such sockets: nothing can be found silent.
        for (index, cell) in (0..).zip(room.cells()) {
            cell.begin((queue, index), token(index), Interest::BOTH);
        }
        let notifier = channel.notifier();
        for _round in 0..3 {
            // Everything that can be told and sent, several times over, with nobody receiving.
            for _ in 0..5 {
                for cell in room.cells() {
                    tell(cell, Direction::Receive);
                    tell(cell, Direction::Send);
                }
            }
            assert_eq!(sys::pending(queue), DESCRIPTORS, "an entry for each cell");
            for number in 0..MESSAGES as u64 {
                assert_eq!(notifier.send(Message::Application(number)), Ok(()));
            }
            assert_eq!(notifier.send(Message::Application(99)), Err(Full));
            assert_eq!(
                sys::pending(queue),
                room.area.places(),
                "every place is used"
            );
            // All of it arrives, and every place is free again.
            let mut events = EventList::new();
            let mut received = Vec::new();
            loop {
                channel.wait(&mut events, Deadline::Now).unwrap();
                if events.as_slice().is_empty() {
                    break;
                }
                for event in events.as_slice() {
                    match *event {
                        Event::Message(message) => received.push(message),
                        Event::Ready { token, .. } => {
                            let cell = &room.cells()[token.index as usize];
                            for direction in [Direction::Receive, Direction::Send] {
                                cell.try_out(direction);
                            }
                        }
                    }
                }
            }
            let sent = (0..MESSAGES as u64).map(Message::Application);
            assert_eq!(received, sent.collect::<Vec<_>>());
            assert_eq!((sys::pending(queue), channel.listed), (0, 0));
        }
    }

    #[test]
    fn socket_that_the_feed_lost_is_watched_anew() {
        let room = room();
        let mut channel = RtemsChannel::new(room, MESSAGES).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let number = Socket(socket.as_raw_fd());
        let cell = &room.cells()[number.0 as usize];
        channel.add(number, token(1), Interest::READ).unwrap();
        let mut events = EventList::new();
        // Looked into, and found to have nothing.
        channel.wait(&mut events, Deadline::Now).unwrap();
        channel.wait(&mut events, Deadline::Now).unwrap();
        channel.feed.unwatch(number).unwrap();
        let address = socket.local_addr().unwrap();
        socket.send_to(b"a", address).unwrap();
        let silence = Deadline::After(50);
        channel.wait(&mut events, silence).unwrap();
        assert_eq!(events.as_slice(), [], "nobody tells of it");
        lose(cell);
        let told = Event::Ready {
            token: token(1),
            readiness: Readiness::READABLE,
        };
        let begin = std::time::Instant::now();
        while events.as_slice().is_empty() && begin.elapsed().as_secs() < 5 {
            channel.wait(&mut events, silence).unwrap();
        }
        assert_eq!(events.as_slice(), [told]);
        // One that nobody watches any more is left alone.
        channel.remove(number).unwrap();
        lose(cell);
        channel.wait(&mut events, silence).unwrap();
        assert_eq!(events.as_slice(), []);
    }

    #[test]
    fn memory_has_one_channel_at_a_time() {
        let room = room();
        let channel = RtemsChannel::new(room, MESSAGES).unwrap();
        let second = RtemsChannel::new(room, MESSAGES).map(drop);
        assert_eq!(second, Err(StartError::InUse));
        let notifier = channel.notifier();
        drop(channel);
        assert_eq!(notifier.send(Message::Stop), Err(Full));
        assert!(RtemsChannel::new(room, MESSAGES).is_ok());
        let too_many = RtemsChannel::new(room, MESSAGES + 1).map(drop);
        assert_eq!(too_many, Err(StartError::Messages));
    }

    #[test]
    fn queues_that_are_used_up_are_reported_with_what_to_raise() {
        let channels: Vec<_> = (0..sys::MAXIMUM_MESSAGE_QUEUES)
            .map(|_| RtemsChannel::new(room(), 1).unwrap())
            .collect();
        let room = room();
        let refused = RtemsChannel::new(room, 1).map(drop).unwrap_err();
        assert_eq!(refused, StartError::Queue(StatusCode::TOO_MANY));
        assert!(
            refused
                .to_string()
                .contains("CONFIGURE_MAXIMUM_MESSAGE_QUEUES")
        );
        drop(channels);
        assert!(
            RtemsChannel::new(room, 1).is_ok(),
            "the memory was given back"
        );
    }

    /// All messages that are there.
    fn messages(channel: &mut RtemsChannel) -> Vec<Event> {
        let mut events = EventList::new();
        channel.wait(&mut events, Deadline::Now).unwrap();
        events.as_slice().to_vec()
    }

    #[test]
    fn notifier_that_outlived_its_channel_reaches_no_other() {
        let room = room();
        let first = RtemsChannel::new(room, MESSAGES).unwrap();
        let (queue, stale) = (first.mail.queue.sender().0, first.notifier());
        drop(first);
        let mut second = RtemsChannel::new(room, MESSAGES).unwrap();
        assert_eq!(
            second.mail.queue.sender().0,
            queue,
            "the identifier comes again"
        );
        assert_eq!(stale.send(Message::Stop), Err(Full));
        assert_eq!(messages(&mut second), []);
        assert_eq!(second.notifier().send(Message::Drain), Ok(()));
        assert_eq!(messages(&mut second), [Event::Message(Message::Drain)]);
    }

    #[test]
    fn notifier_that_outlived_its_channel_reaches_no_other_memory_s() {
        let first = RtemsChannel::new(room(), MESSAGES).unwrap();
        let (queue, stale) = (first.mail.queue.sender().0, first.notifier());
        drop(first);
        // Its letters are fewer than those that the stale one would name.
        let mut second = RtemsChannel::new(room(), 1).unwrap();
        assert_eq!(
            second.mail.queue.sender().0,
            queue,
            "the identifier comes again"
        );
        for _ in 0..MESSAGES {
            assert_eq!(stale.send(Message::Stop), Err(Full));
        }
        assert_eq!(messages(&mut second), []);
    }

    #[test]
    fn channel_goes_when_whoever_is_sending_is_done() {
        let room = room();
        let channel = RtemsChannel::new(room, MESSAGES).unwrap();
        let notifier = channel.notifier();
        let (entered, entry) = std::sync::mpsc::channel();
        let (resume, resumed) = std::sync::mpsc::channel();
        let sender = std::thread::spawn(move || {
            // Overtaken by the end of its channel, in the middle of sending.
            notifier.send_and(Message::Stop, || {
                entered.send(()).unwrap();
                resumed.recv().unwrap();
            })
        });
        entry.recv().unwrap();
        let end = std::thread::spawn(move || drop(channel));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!end.is_finished());
        assert_eq!(RtemsChannel::new(room, 1).map(drop), Err(StartError::InUse));
        resume.send(()).unwrap();
        assert_eq!(sender.join().unwrap(), Ok(()));
        end.join().unwrap();
        let mut next = RtemsChannel::new(room, MESSAGES).unwrap();
        assert_eq!(messages(&mut next), []);
    }

    #[test]
    fn busy_worker_lets_equals_go_first_now_and_then() {
        let mut channel = RtemsChannel::new(room(), MESSAGES).unwrap();
        let notifier = channel.notifier();
        let mut events = EventList::new();
        let before = sys::yields();
        for _ in 0..4 * TURNS {
            notifier.send(Message::Drain).unwrap();
            channel.wait(&mut events, Deadline::Never).unwrap();
        }
        assert!(sys::yields() - before >= 3, "once in {TURNS} waits");
        let before = sys::yields();
        for _ in 0..TURNS + 2 {
            channel.wait(&mut events, Deadline::After(1)).unwrap();
        }
        assert!(sys::yields() - before <= 1, "who sleeps need not yield");
    }

    #[test]
    fn descriptor_beyond_the_memory_is_refused() {
        let memory: &'static Memory<1, 1> = Box::leak(Box::default());
        let mut channel = RtemsChannel::new(memory.room(), 1).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let added = channel.add(Socket(socket.as_raw_fd()), token(1), Interest::READ);
        assert_eq!(added, Err(Error::NoRoom));
    }
}
