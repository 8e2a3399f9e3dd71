//! Whose a listener is, when it rests, and who closes what nobody will serve.

mod sim;

use capuchin_core::acceptor::Acceptor;
use capuchin_core::event::{
    Deadline, Error as ChannelError, Event, EventChannel, EventList, Full, Interest, Message,
    Notifier, Readiness, Token,
};
use capuchin_core::stats::Stats;
use capuchin_core::transport::{Clock, Error, Socket, Then, Transport};
use sim::rig::{Setup, run};
use sim::{Net, SimFile};
use std::cell::RefCell;
use std::rc::Rc;

/// A channel, a transport and a clock in one, with nothing behind them.
#[derive(Clone, Default)]
struct Stage(Rc<RefCell<Props>>);

#[derive(Default)]
struct Props {
    waits: u32,
    accepts: u32,
    /// The channel has no more room than this.
    room: usize,
    watched: Vec<(Socket, Token)>,
    closed: Vec<Socket>,
}

/// Waits of the play in which time passes by one millisecond.
const WAITS_PER_MS: u32 = 100;

/// Waits of the play until it is over.
const WAITS: u32 = 1_500;

impl EventChannel for Stage {
    type Notifier = Nobody;

    fn add(&mut self, socket: Socket, token: Token, _: Interest) -> Result<(), ChannelError> {
        let mut props = self.0.borrow_mut();
        if props.watched.len() == props.room {
            return Err(ChannelError::NoRoom);
        }
        props.watched.push((socket, token));
        Ok(())
    }

    fn set_interest(&mut self, _: Socket, _: Token, _: Interest) -> Result<(), ChannelError> {
        Ok(())
    }

    fn remove(&mut self, socket: Socket) -> Result<(), ChannelError> {
        let mut props = self.0.borrow_mut();
        assert!(!props.closed.contains(&socket), "remove comes before close");
        props.watched.retain(|&(watched, _)| watched != socket);
        Ok(())
    }

    /// Every listener is ready all the time, and something else ends each wait at once.
    fn wait(&mut self, events: &mut EventList, _: Deadline) -> Result<(), ChannelError> {
        events.clear();
        let mut props = self.0.borrow_mut();
        props.waits += 1;
        let message = if props.waits < WAITS {
            Message::Application(0)
        } else {
            Message::Stop
        };
        assert!(events.push(Event::Message(message)));
        for &(_, token) in &props.watched {
            assert!(events.push(Event::Ready {
                token,
                readiness: Readiness::READABLE,
            }));
        }
        Ok(())
    }

    fn notifier(&self) -> Nobody {
        Nobody
    }
}

impl Transport for Stage {
    type File = ();

    fn accept(&mut self, _: Socket) -> Result<Socket, Error> {
        self.0.borrow_mut().accepts += 1;
        Err(Error::Exhausted)
    }
    fn receive(&mut self, _: Socket, _: &mut [u8]) -> Result<usize, Error> {
        unreachable!("an acceptor only accepts")
    }
    fn send(&mut self, _: Socket, _: &[&[u8]], _: Then) -> Result<usize, Error> {
        unreachable!("an acceptor only accepts")
    }
    fn send_file(&mut self, _: Socket, _: (), _: u64, _: u64) -> Result<usize, Error> {
        unreachable!("an acceptor only accepts")
    }
    fn shutdown(&mut self, _: Socket) -> Result<(), Error> {
        unreachable!("an acceptor only accepts")
    }
    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        let mut props = self.0.borrow_mut();
        assert!(!props.closed.contains(&socket), "closed twice");
        props.closed.push(socket);
        Ok(())
    }
}

impl Clock for Stage {
    fn monotonic(&mut self) -> u64 {
        u64::from(self.0.borrow().waits / WAITS_PER_MS)
    }
    fn unix_time(&mut self) -> u64 {
        0
    }
}

#[derive(Clone)]
struct Nobody;

impl Notifier for Nobody {
    fn send(&self, _: Message) -> Result<(), Full> {
        Err(Full)
    }
}

/// Hands an acceptor on this stage, with one worker, to `play`.
fn with_acceptor(stage: &Stage, play: impl FnOnce(&mut Acceptor<'_, Stage, Stage, Stage, Nobody>)) {
    let stats = Stats::new();
    let mut handed = [0];
    let (workers, stats) = ([Nobody], [&stats]);
    let [channel, transport, clock] = [stage.clone(), stage.clone(), stage.clone()];
    let mut acceptor = Acceptor::new(channel, transport, clock, &workers, &stats, &mut handed);
    play(&mut acceptor);
}

#[test]
fn acceptor_without_descriptors_rests_by_the_clock_whatever_else_wakes_it() {
    let stage = Stage::default();
    stage.0.borrow_mut().room = 1;
    with_acceptor(&stage, |acceptor| {
        acceptor.listen(Socket(3)).unwrap();
        acceptor.run().unwrap();
    });
    let props = stage.0.borrow();
    // 15 milliseconds, of which it rests 10 at a time.
    assert_eq!((props.waits, props.accepts), (WAITS, 2));
}

#[test]
fn listeners_that_never_ran_are_closed_with_their_acceptor() {
    let stage = Stage::default();
    stage.0.borrow_mut().room = 2;
    with_acceptor(&stage, |acceptor| {
        acceptor.listen(Socket(3)).unwrap();
        acceptor.listen(Socket(4)).unwrap();
        assert_eq!(stage.0.borrow().closed, []);
    });
    assert_eq!(stage.0.borrow().closed, [Socket(3), Socket(4)]);
    assert_eq!(stage.0.borrow().watched, []);
}

#[test]
fn listener_that_cannot_be_watched_is_closed_at_once() {
    let stage = Stage::default();
    stage.0.borrow_mut().room = 1;
    with_acceptor(&stage, |acceptor| {
        acceptor.listen(Socket(3)).unwrap();
        assert_eq!(acceptor.listen(Socket(4)), Err(ChannelError::NoRoom));
        assert_eq!(stage.0.borrow().closed, [Socket(4)]);
    });
    assert_eq!(stage.0.borrow().closed, [Socket(4), Socket(3)]);
}

#[test]
fn listeners_beyond_the_limit_are_closed_too() {
    let stage = Stage::default();
    stage.0.borrow_mut().room = usize::MAX;
    with_acceptor(&stage, |acceptor| {
        let limit = capuchin_core::server::LISTENERS as i32;
        for number in 0..limit {
            acceptor.listen(Socket(number)).unwrap();
        }
        let beyond = Socket(limit);
        assert_eq!(acceptor.listen(beyond), Err(ChannelError::NoRoom));
        assert_eq!(stage.0.borrow().closed, [beyond]);
    });
}

/// A transport on which an acceptor hands over one more connection while the first is closed.
struct Late {
    net: Net,
    handed_over: bool,
}

impl Transport for Late {
    type File = SimFile;

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        self.net.accept(listener)
    }
    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.net.receive(socket, buffer)
    }
    fn send(&mut self, socket: Socket, parts: &[&[u8]], then: Then) -> Result<usize, Error> {
        Transport::send(&mut self.net, socket, parts, then)
    }
    fn send_file(
        &mut self,
        socket: Socket,
        file: SimFile,
        offset: u64,
        length: u64,
    ) -> Result<usize, Error> {
        self.net.send_file(socket, file, offset, length)
    }
    fn shutdown(&mut self, socket: Socket) -> Result<(), Error> {
        self.net.shutdown(socket)
    }
    fn close(&mut self, socket: Socket) -> Result<(), Error> {
        if socket != sim::LISTENER && !std::mem::replace(&mut self.handed_over, true) {
            let late = self.net.connect(1_000);
            let mut world = self.net.world();
            world.backlog.retain(|&waiting| waiting != late);
            world.messages.push_back(Message::Adopt(late));
        }
        self.net.close(socket)
    }
}

#[test]
fn connection_that_is_handed_over_while_a_worker_stops_is_closed() {
    let net = Net::new();
    let late = Late {
        net: net.clone(),
        handed_over: false,
    };
    run(&Setup::default(), &net, net.clone(), late, |turn, _, _| {
        net.connect(1_000);
        turn();
        net.world().messages.push_back(Message::Stop);
        turn();
        // That every socket was closed is looked at for every test.
        assert_eq!(net.world().pipes.len(), 2);
    });
}
