//! PCI's configuration space, by the two ports that every PC has for it.

use crate::port;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction, PciRoot};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// The way to the configuration space.
pub struct Ports;

impl Ports {
    fn select(device: DeviceFunction, register: u8) {
        let address = ENABLE
            | u32::from(device.bus) << 16
            | u32::from(device.device) << 11
            | u32::from(device.function) << 8
            | u32::from(register & !3);
        // SAFETY: both ports are PCI's; nobody else uses them, for there is one task that does.
        unsafe { port::write32(ADDRESS, address) };
    }
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, device: DeviceFunction, register: u8) -> u32 {
        Self::select(device, register);
        // SAFETY: as above.
        unsafe { port::read32(DATA) }
    }

    fn write_word(&mut self, device: DeviceFunction, register: u8, data: u32) {
        Self::select(device, register);
        // SAFETY: as above.
        unsafe { port::write32(DATA, data) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// The bus.
pub fn root() -> PciRoot<Ports> {
    PciRoot::new(Ports)
}

/// The line of the interrupt controller that the firmware has led a device's interrupt to.
pub fn interrupt_line(device: DeviceFunction) -> u8 {
    Ports.read_word(device, 0x3c) as u8
}
