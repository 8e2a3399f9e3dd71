//! PCI's configuration space, by the two ports that every PC has for it.

use crate::port;
use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// The command register, and the status beside it, of which a bit is cleared by writing a one.
const COMMAND: u8 = 0x04;
const INTERRUPT_LINE: u8 = 0x3c;

/// The way to the configuration space.
#[derive(Debug)]
pub struct Ports;

impl Ports {
    /// Does something with the data port while the other one is set to a register. Whoever was interrupted in
    /// the midst of the same finds it as it was.
    fn with<T>(device: DeviceFunction, register: u8, act: impl FnOnce() -> T) -> T {
        let address = ENABLE
            | u32::from(device.bus) << 16
            | u32::from(device.device) << 11
            | u32::from(device.function) << 8
            | u32::from(register & !3);
        port::without_interrupts(|| {
            // SAFETY: both ports are PCI's; nobody comes between, and the address is as it was at the end.
            unsafe {
                let before = port::read32(ADDRESS);
                port::write32(ADDRESS, address);
                let result = act();
                port::write32(ADDRESS, before);
                result
            }
        })
    }
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, device: DeviceFunction, register: u8) -> u32 {
        // SAFETY: reading a register of a device changes nothing.
        Self::with(device, register, || unsafe { port::read32(DATA) })
    }

    fn write_word(&mut self, device: DeviceFunction, register: u8, data: u32) {
        // SAFETY: what the driver means to write.
        Self::with(device, register, || unsafe { port::write32(DATA, data) });
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// The bus.
#[must_use]
pub fn root() -> PciRoot<Ports> {
    PciRoot::new(Ports)
}

/// What a device may do.
pub fn command(device: DeviceFunction, command: Command) {
    Ports.write_word(device, COMMAND, command.bits().into());
}

/// The line of the interrupt controller that the firmware has led a device's interrupt to.
#[must_use]
pub fn interrupt_line(device: DeviceFunction) -> u8 {
    Ports.read_word(device, INTERRUPT_LINE) as u8
}
