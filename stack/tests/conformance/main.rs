//! The conformance suite of event channels on a stack of one's own, over the test double of RTEMS's
//! directives: the sockets are the stack's, their clients those of another machine at the other end of a
//! wire.

mod machine;
mod wire;

use capuchin_core::conformance::{Aide, Lab, cases};
use capuchin_core::transport::{Clock, Error, Socket, Then, Transport};
use capuchin_posix::lab::tell_table;
use capuchin_rtems::{Mail, Memory as QueueMemory, Room, TickClock};
use capuchin_stack::{Net, StackChannel, StackTransport};
use libtest_mimic::{Arguments, Failed, Trial};
use machine::{Machine, SERVER, net};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use wire::Card;

const MESSAGES: usize = 5_000;

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(5);

const STACK_BYTES: usize = 32 << 20;

/// Numbers of clients' sockets begin here.
const CLIENTS: i32 = 1 << 16;

struct StackLab {
    net: &'static RefCell<Net<Card>>,
    transport: StackTransport<'static, Card>,
    clients: Machine,
    rooms: [Room; 2],
    clock: TickClock,
    begin: Instant,
    ports: HashMap<i32, u16>,
    port: u16,
    open: Vec<Socket>,
}

impl StackLab {
    fn new() -> Self {
        let (card, other) = wire::cards();
        let mut clock = TickClock::new();
        let net: &'static _ =
            Box::leak(Box::new(RefCell::new(net(card, SERVER, clock.monotonic()))));
        Self {
            net,
            transport: StackTransport::new(net),
            clients: Machine::start(other),
            rooms: std::array::from_fn(|_| {
                let memory: &'static _ = Box::leak(Box::new(QueueMemory::<1, MESSAGES>::new()));
                memory.room()
            }),
            clock,
            begin: Instant::now(),
            ports: HashMap::new(),
            port: 1_000,
            open: Vec::new(),
        }
    }

    fn poll(&mut self) {
        let now = self.clock.monotonic();
        self.net.borrow_mut().poll(now);
    }

    /// Calls `done` until it is, while the stack works.
    fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            self.poll();
            if let Some(result) = done(self) {
                return Some(result);
            }
            thread::sleep(Duration::from_micros(200));
        }
        None
    }

    /// Does something with a socket's transport, whosever it is.
    fn on<T>(&mut self, socket: Socket, act: impl FnOnce(&mut dyn FnMut(Act) -> Answer) -> T) -> T {
        let client = Socket(socket.0 - CLIENTS);
        if client.0 >= 0 {
            return self
                .clients
                .with(|transport| act(&mut |what| what.on(transport, client)));
        }
        self.poll();
        let result = act(&mut |what| what.on(&mut self.transport, socket));
        self.poll();
        result
    }
}

/// What can be done with a socket.
enum Act<'b> {
    Receive(&'b mut [u8]),
    Send(&'b [u8]),
    Shutdown,
    Abort,
    Close,
}

type Answer = Result<usize, Error>;

impl Act<'_> {
    fn on<T: Transport>(self, transport: &mut T, socket: Socket) -> Answer {
        match self {
            Self::Receive(buffer) => transport.receive(socket, buffer),
            Self::Send(bytes) => transport.send(socket, &[bytes], Then::Nothing),
            Self::Shutdown => transport.shutdown(socket).map(|()| 0),
            Self::Abort => {
                transport.abort(socket);
                Ok(0)
            }
            Self::Close => transport.close(socket).map(|()| 0),
        }
    }
}

impl Lab for StackLab {
    type Channel = StackChannel<'static, Card>;
    const PAIRS: usize = 70;
    const LONG_QUEUE: usize = MESSAGES;

    fn channel(&mut self, messages: usize) -> Option<Self::Channel> {
        let mail = self
            .rooms
            .iter()
            .find_map(|&room| Mail::new(room, messages).ok())?;
        StackChannel::new(self.net, mail).ok()
    }

    fn pair(&mut self) -> Option<(Socket, Socket)> {
        let listener = self.listener()?;
        let client = self.connect(listener)?;
        let accepted = self.until(|lab| lab.accept(listener).ok())?;
        self.close(listener);
        Some((accepted, client))
    }

    fn listener(&mut self) -> Option<Socket> {
        self.port += 1;
        let port = self.port;
        let listener = self.net.borrow_mut().listen(port, 2).ok()?;
        self.ports.insert(listener.0, port);
        self.open.push(listener);
        Some(listener)
    }

    fn connect(&mut self, listener: Socket) -> Option<Socket> {
        let port = *self.ports.get(&listener.0)?;
        let client = self.clients.connect(port)?;
        self.until(|lab| lab.clients.is_connected(client).then_some(()))?;
        let socket = Socket(client.0 + CLIENTS);
        self.open.push(socket);
        Some(socket)
    }

    fn accept(&mut self, listener: Socket) -> Result<Socket, Error> {
        self.poll();
        let socket = self.transport.accept(listener)?;
        self.open.push(socket);
        Ok(socket)
    }

    fn receive(&mut self, socket: Socket, buffer: &mut [u8]) -> Result<usize, Error> {
        self.on(socket, |act| act(Act::Receive(buffer)))
    }

    fn send(&mut self, socket: Socket, bytes: &[u8]) -> Result<usize, Error> {
        self.on(socket, |act| act(Act::Send(bytes)))
    }

    fn half_close(&mut self, socket: Socket) {
        let _ = self.on(socket, |act| act(Act::Shutdown));
    }

    fn close(&mut self, socket: Socket) {
        self.open.retain(|&open| open != socket);
        let _ = self.on(socket, |act| act(Act::Close));
    }

    fn reset(&mut self, socket: Socket) {
        let _ = self.on(socket, |act| act(Act::Abort));
        self.close(socket);
    }

    fn now(&mut self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }

    fn together(
        &mut self,
        count: usize,
        task: &(dyn Fn(usize, &dyn Aide) + Sync),
        meanwhile: &mut dyn FnMut(&mut Self),
    ) {
        let helper = Helper(self.clients.clone());
        thread::scope(|scope| {
            for number in 0..count {
                let helper = &helper;
                scope.spawn(move || task(number, helper));
            }
            meanwhile(self);
        });
    }

    fn tidy(&mut self) {
        while let Some(socket) = self.open.last().copied() {
            self.close(socket);
        }
    }
}

struct Helper(Machine);

impl Aide for Helper {
    fn nap(&self, milliseconds: u32) {
        match milliseconds {
            0 => thread::yield_now(),
            some => thread::sleep(Duration::from_millis(some.into())),
        }
    }

    fn poke(&self, socket: Socket) {
        let client = Socket(socket.0 - CLIENTS);
        let _ = self
            .0
            .with(|transport| transport.send(client, &[b"p"], Then::Nothing));
    }

    /// The double has no signals that interrupt directives, as RTEMS has none.
    fn interrupt(&self) -> bool {
        false
    }
}

fn main() {
    // A case at a time: the double's kernel is one for the process.
    static ONE: Mutex<()> = Mutex::new(());
    let trials = cases::<StackLab>().into_iter().map(|case| {
        Trial::test(case.name, move || {
            let _one = ONE.lock();
            // A stack's memory is made on the thread's before it gets its place.
            let run = thread::Builder::new().stack_size(STACK_BYTES);
            let run = run.spawn(move || case.run(&mut StackLab::new()))?;
            match run.join() {
                Ok(outcome) => outcome.map_err(|failure| Failed::from(failure.to_string())),
                Err(_) => Err(Failed::from("the case panicked")),
            }
        })
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    tell_table("double/stack", conclusion.num_passed, conclusion.num_failed);
    conclusion.exit();
}
