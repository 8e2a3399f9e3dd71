//! The network card: virtio-net on PCI, as a device of the stack.

use crate::{interrupts, pci};
use capuchin_rtems::Knocker;
use core::cell::RefCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::Command;
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Frames that the card takes in before anybody looks, and that may be on their way out.
const FRAMES: usize = 8;

/// A frame's bytes with the card's header.
const FRAME: usize = 1_528;

/// Ethernet's longest frame.
const LONGEST: usize = 1_514;

/// Pages that the card's two queues lie in.
const PAGES: usize = 4;

#[repr(C, align(4096))]
struct Pages([[u8; PAGE_SIZE]; PAGES]);

static mut MEMORY: Pages = Pages([[0; PAGE_SIZE]; PAGES]);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The PC: memory is where it seems to be, and devices see the same.
pub struct Pc;

// SAFETY: addresses are physical ones here; pages are handed out once.
unsafe impl Hal for Pc {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = TAKEN.fetch_add(pages, SeqCst);
        assert!(
            first + pages <= PAGES,
            "the card's queues have {PAGES} pages"
        );
        let begin = (&raw mut MEMORY).cast::<u8>();
        // SAFETY: within the memory, which nobody else uses.
        let page = unsafe { NonNull::new_unchecked(begin.add(first * PAGE_SIZE)) };
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

/// Memory for frames.
pub struct Frames {
    receive: [Frame; FRAMES],
    send: [Frame; FRAMES],
}

impl Frames {
    /// For a static.
    pub const fn new() -> Self {
        Self {
            receive: [[0; FRAME]; FRAMES],
            send: [[0; FRAME]; FRAMES],
        }
    }
}

struct Inner {
    raw: Raw,
    /// What the card fills, by its number for it.
    receive: [Option<&'static mut Frame>; FRAMES],
    /// What is on its way, by the card's number, with its length.
    sending: [Option<(&'static mut Frame, usize)>; FRAMES],
    free: heapless::Vec<&'static mut Frame, FRAMES>,
    line: u8,
}

/// The card.
pub struct Card(RefCell<Inner>);

/// Why there is no card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardError {
    /// PCI has none.
    None,
    /// It cannot be used.
    Unusable,
}

impl Card {
    /// The first card of the machine.
    pub fn find(frames: &'static mut Frames) -> Result<Self, CardError> {
        let mut root = pci::root();
        let (device, _) = root
            .enumerate_bus(0)
            .find(|(_, info)| virtio_device_type(info) == Some(DeviceType::Network))
            .ok_or(CardError::None)?;
        root.set_command(
            device,
            Command::IO_SPACE | Command::MEMORY_SPACE | Command::BUS_MASTER,
        );
        let line = pci::interrupt_line(device);
        if usize::from(line) >= interrupts::LINES {
            return Err(CardError::Unusable);
        }
        let transport = PciTransport::new::<Pc, _>(&mut root, device);
        let transport = transport.map_err(|_| CardError::Unusable)?;
        let raw = Raw::new(transport).map_err(|_| CardError::Unusable)?;
        let mut inner = Inner {
            raw,
            receive: [const { None }; FRAMES],
            sending: [const { None }; FRAMES],
            free: heapless::Vec::new(),
            line,
        };
        for frame in &mut frames.receive {
            inner.give(frame);
        }
        for frame in &mut frames.send {
            let _ = inner.free.push(frame);
        }
        Ok(Self(RefCell::new(inner)))
    }

    /// Its address.
    pub fn address(&self) -> [u8; 6] {
        self.0.borrow().raw.mac_address()
    }

    /// From now on it knocks when it has something.
    pub fn knock_with(&self, knocker: Knocker) {
        let line = self.0.borrow().line;
        // SAFETY: written before the line can interrupt.
        unsafe { KNOCKER = Some((knocker, line)) };
        interrupts::handle(line, interrupted);
        interrupts::unmask(line);
    }
}

static mut KNOCKER: Option<(Knocker, u8)> = None;

/// The card's line stays up until it is asked what it wants, which the worker does: it is masked until
/// then.
fn interrupted() {
    // SAFETY: it was written before, and is not again.
    if let Some((knocker, line)) = unsafe { KNOCKER } {
        interrupts::mask(line);
        knocker.knock();
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
            // meanwhile is looked for.
            inner.raw.ack_interrupt();
            interrupts::unmask(inner.line);
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
