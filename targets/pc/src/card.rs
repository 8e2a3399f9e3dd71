//! A network card: virtio-net on PCI, as a device of the stack. There is one.

use crate::{pci, port};
use capuchin_rtems::Knocker;
use core::cell::RefCell;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{Command, DeviceFunction};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Frames that the card takes in before anybody looks.
const FRAMES: usize = 8;

/// Frames that may be on their way out.
const SENT_FRAMES: usize = 4;

/// A frame's bytes with the card's header.
const FRAME: usize = 1_528;

/// Ethernet's longest frame.
const LONGEST: usize = 1_514;

/// Pages that the card's two queues lie in.
const PAGES: usize = 4;

#[repr(C, align(4096))]
struct Pages([[u8; PAGE_SIZE]; PAGES]);

static mut MEMORY: Pages = Pages([[0; PAGE_SIZE]; PAGES]);
/// How many are handed out.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// Whether a driver owns the card and its pages.
static IS_CLAIMED: AtomicBool = AtomicBool::new(false);

/// The right to drive the card. It is a driver's last field, so that it is given back only after the rest of the
/// driver, which still uses the pages while it is dropped.
struct Claim(());

impl Claim {
    fn take() -> Option<Self> {
        (!IS_CLAIMED.swap(true, SeqCst)).then_some(Self(()))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        IS_CLAIMED.store(false, SeqCst);
    }
}

/// The machine: memory is where it seems to be, and devices see the same.
struct Pc;

// SAFETY: addresses are physical ones here; pages are handed out once.
unsafe impl Hal for Pc {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = TAKEN.fetch_add(pages, SeqCst);
        assert!(
            first + pages <= PAGES,
            "the card's queues have {PAGES} pages"
        );
        let begin = (&raw mut MEMORY).cast::<u8>();
        // SAFETY: within the memory, which nobody else uses; a driver before this one may have.
        let page = unsafe {
            let page = begin.add(first * PAGE_SIZE);
            page.write_bytes(0, pages * PAGE_SIZE);
            NonNull::new_unchecked(page)
        };
        (page.as_ptr() as usize as PhysAddr, page)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        let Some(pointer) = NonNull::new(address as usize as *mut u8) else {
            unreachable!("no device has its registers at 0")
        };
        pointer
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as usize as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

type Raw = VirtIONetRaw<Pc, PciTransport, FRAMES>;
type Frame = [u8; FRAME];

/// Memory for frames, and what the card has them by.
#[derive(Debug)]
pub struct Frames {
    receive: [Frame; FRAMES],
    send: [Frame; SENT_FRAMES],
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames {
    /// For a static.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            receive: [[0; FRAME]; FRAMES],
            send: [[0; FRAME]; SENT_FRAMES],
        }
    }
}

struct Inner {
    raw: Raw,
    /// What the card fills, by its number for it.
    receive: [Option<&'static mut Frame>; FRAMES],
    /// What is on its way, by the card's number, with its length.
    sending: [Option<(&'static mut Frame, usize)>; FRAMES],
    free: heapless::Vec<&'static mut Frame, SENT_FRAMES>,
    device: DeviceFunction,
}

/// The card.
pub struct Card(
    RefCell<Inner>,
    #[allow(dead_code, reason = "held until the driver is gone")] Claim,
);

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").finish_non_exhaustive()
    }
}

/// Why there is no card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CardError {
    /// Somebody has it already.
    InUse,
    /// PCI has none.
    None,
    /// Its interrupt leads nowhere.
    Line(u8),
    /// It is none that the driver knows how to use.
    Unusable,
}

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("the network card has a driver already: start the network once"),
            Self::None => {
                f.write_str("there is no virtio network card: give QEMU -device virtio-net-pci")
            }
            Self::Line(line) => write!(
                f,
                "the network card's interrupt has line {line}, which the controller has not: let the firmware \
                 set it up"
            ),
            Self::Unusable => f.write_str(
                "the virtio network card refuses its driver: give QEMU -device virtio-net-pci without options",
            ),
        }
    }
}

impl core::error::Error for CardError {}

/// What the card may do, and with that keep quiet.
const MAY: Command = Command::IO_SPACE
    .union(Command::MEMORY_SPACE)
    .union(Command::BUS_MASTER);
const MAY_QUIETLY: Command = MAY.union(Command::INTERRUPT_DISABLE);

impl Card {
    /// The first card of the machine. It keeps quiet until somebody is to be knocked for.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn find(frames: &'static mut Frames) -> Result<Self, CardError> {
        let claim = Claim::take().ok_or(CardError::InUse)?;
        TAKEN.store(0, SeqCst);
        let mut root = pci::root();
        let (device, _) = root
            .enumerate_bus(0)
            .find(|(_, info)| virtio_device_type(info) == Some(DeviceType::Network))
            .ok_or(CardError::None)?;
        pci::command(device, MAY_QUIETLY);
        IS_QUIET.store(true, SeqCst);
        let line = pci::interrupt_line(device);
        if line >= LINES {
            return Err(CardError::Line(line));
        }
        let transport = PciTransport::new::<Pc, _>(&mut root, device);
        let transport = transport.map_err(|_| CardError::Unusable)?;
        let raw = Raw::new(transport).map_err(|_| CardError::Unusable)?;
        let mut inner = Inner {
            raw,
            receive: [const { None }; FRAMES],
            sending: [const { None }; FRAMES],
            free: heapless::Vec::new(),
            device,
        };
        for frame in &mut frames.receive {
            inner.give(frame);
        }
        for frame in &mut frames.send {
            let _ = inner.free.push(frame);
        }
        Ok(Self(RefCell::new(inner), claim))
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> [u8; 6] {
        self.0.borrow().raw.mac_address()
    }

    /// The line of the interrupt controller that it interrupts by: its handler is [`interrupted`].
    #[must_use]
    pub fn line(&self) -> u8 {
        pci::interrupt_line(self.0.borrow().device)
    }
}

impl capuchin_stack::Card for Card {
    fn knock_with(&mut self, knocker: Option<Knocker>) {
        let device = self.0.get_mut().device;
        // SAFETY: the handler, which reads it, does not come between.
        port::without_interrupts(|| unsafe { HOOK = Some((device, knocker)) });
        // It may have had something before, of which nobody was told.
        if let Some(knocker) = knocker {
            knocker.knock();
        }
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // Before its driver tells the card: it is a word in the card's configuration.
        pci::command(self.0.get_mut().device, MAY_QUIETLY);
        // SAFETY: the handler, which reads it, does not come between.
        port::without_interrupts(|| unsafe { HOOK = None });
    }
}

/// Lines that a PC's two controllers have.
const LINES: u8 = 16;

/// The card, and who is knocked.
static mut HOOK: Option<(DeviceFunction, Option<Knocker>)> = None;

/// The card keeps quiet until the worker has looked at it.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// To be called by the handler of the card's line. The line stays up until the card is asked what it wants,
/// which the worker does, or is to keep quiet, which it is until then.
pub fn interrupted() {
    // SAFETY: it is written with interrupts off.
    if let Some((device, knocker)) = unsafe { HOOK } {
        pci::command(device, MAY_QUIETLY);
        IS_QUIET.store(true, SeqCst);
        if let Some(knocker) = knocker {
            knocker.knock();
        }
    }
}

impl Inner {
    /// Has the card fill a frame.
    fn give(&mut self, frame: &'static mut Frame) {
        // SAFETY: nobody looks at it before the card has given it back.
        if let Ok(number) = unsafe { self.raw.receive_begin(frame) } {
            self.receive[usize::from(number)] = Some(frame);
        }
    }

    /// Takes back frames that have been sent.
    fn reclaim(&mut self) {
        while let Some(number) = self.raw.poll_transmit() {
            let Some((frame, length)) = self.sending[usize::from(number)].take() else {
                return;
            };
            // SAFETY: it is what was handed over with this number.
            let _ = unsafe { self.raw.transmit_complete(number, &frame[..length]) };
            let _ = self.free.push(frame);
        }
    }

    /// A frame that came, if there is another to answer it with.
    fn take_with_answer(&mut self) -> Option<(&'static mut Frame, usize, usize)> {
        self.reclaim();
        if self.free.is_empty() {
            return None;
        }
        self.take()
    }

    /// A frame that came, where its packet begins, and its length.
    fn take(&mut self) -> Option<(&'static mut Frame, usize, usize)> {
        let number = self.raw.poll_receive()?;
        let frame = self.receive[usize::from(number)].take()?;
        // SAFETY: it is what was handed over with this number.
        match unsafe { self.raw.receive_complete(number, frame) } {
            Ok((begin, length)) => Some((frame, begin, length)),
            Err(_) => {
                self.give(frame);
                None
            }
        }
    }
}

impl Device for Card {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let inner = self.0.get_mut();
        let taken = inner.take_with_answer().or_else(|| {
            // Nothing to do: from here on it interrupts again, also when a frame has been sent. What came
            // meanwhile is looked for. It is asked only while it keeps quiet: a line that goes down when the
            // controller has begun to tell of it is told as another, which RTEMS never acknowledges.
            if !IS_QUIET.load(SeqCst) {
                return None;
            }
            inner.raw.ack_interrupt();
            // Another device may have the line, too.
            port::without_interrupts(|| {
                IS_QUIET.store(false, SeqCst);
                pci::command(inner.device, MAY);
            });
            inner.take_with_answer()
        });
        let (frame, begin, length) = taken?;
        Some((
            Received {
                card: &self.0,
                frame: Some(frame),
                begin,
                length,
            },
            Sending(&self.0),
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        let inner = self.0.get_mut();
        inner.reclaim();
        (!inner.free.is_empty()).then_some(Sending(&self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST;
        capabilities
    }
}

/// A frame that came.
#[expect(missing_debug_implementations, reason = "nobody prints it")]
pub struct Received<'c> {
    card: &'c RefCell<Inner>,
    frame: Option<&'static mut Frame>,
    begin: usize,
    length: usize,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let packet = self.frame.as_ref().map_or(&[][..], |frame| &frame[..]);
        take(
            packet
                .get(self.begin..self.begin + self.length)
                .unwrap_or(&[]),
        )
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.card.borrow_mut().give(frame);
        }
    }
}

/// Leave to send a frame.
#[expect(missing_debug_implementations, reason = "nobody prints it")]
pub struct Sending<'c>(&'c RefCell<Inner>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut inner = self.0.borrow_mut();
        let Some(frame) = inner.free.pop() else {
            unreachable!("there was a frame when the token was made, and it is one at a time")
        };
        let begin = inner.raw.fill_buffer_header(frame).unwrap_or(0);
        let result = write(&mut frame[begin..begin + length]);
        let whole = begin + length;
        // SAFETY: nobody looks at it before the card has given it back.
        match unsafe { inner.raw.transmit_begin(&frame[..whole]) } {
            Ok(number) => inner.sending[usize::from(number)] = Some((frame, whole)),
            // Lost, as frames may be.
            Err(_) => {
                let _ = inner.free.push(frame);
            }
        }
        result
    }
}
