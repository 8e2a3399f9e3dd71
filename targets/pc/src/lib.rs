//! What images for a PC have in common, with RTEMS and without: ports, PCI, and a network card.
//!
//! It promises that a card's interrupt costs its handler two accesses to the device's configuration: it asks
//! the device to keep quiet, and knocks; the worker looks at the card and lets it speak again. So it needs
//! nothing of an interrupt controller but that the line's handler is [`card::interrupted`].
//!
//! It must not know who handles interrupts, and allocates nothing. For other processors it is empty.
#![no_std]

cfg_if::cfg_if! {
    if #[cfg(any(target_arch = "x86", target_arch = "x86_64"))] {
        pub mod card;
        pub mod pci;
        pub mod port;
    }
}
