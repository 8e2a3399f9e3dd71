//! What to boot, and the words that QEMU is started with for it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// The network stack of an image, and with it the board support package (BSP), the network device
/// and the memory it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// RTEMS's old stack: BSP i386/pc386, an NE2000 on the ISA bus.
    Legacy,
    /// FreeBSD's stack on RTEMS: BSP i386/pc686, an Intel 82574L on the PCI bus.
    Libbsd,
    /// Capuchin's own stack: BSP i386/pc386 or no RTEMS at all, a virtio card on the PCI bus.
    Own,
}

impl Stack {
    /// Its name in options and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Libbsd => "libbsd",
            Self::Own => "own",
        }
    }

    /// RAM in MB when nothing else is asked for.
    #[must_use]
    pub const fn memory_mb(self) -> u32 {
        match self {
            Self::Legacy => 64,
            Self::Libbsd => 256,
            Self::Own => 8,
        }
    }

    /// The BSP when the environment names no other.
    #[must_use]
    pub const fn default_bsp(self) -> &'static str {
        match self {
            Self::Legacy | Self::Own => "pc386",
            Self::Libbsd => "pc686",
        }
    }

    /// The device as QEMU wants it named.
    const fn device(self) -> &'static str {
        match self {
            // Where the driver of RTEMS looks for it.
            Self::Legacy => "ne2k_isa,netdev=net0,iobase=0x300,irq=9",
            // Nothing boots over the network: without its ROM it works where that is not installed.
            Self::Libbsd => "e1000e,netdev=net0,romfile=",
            Self::Own => "virtio-net-pci,netdev=net0,romfile=",
        }
    }
}

/// A TCP port of this machine (on 127.0.0.1) that leads to one of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Here; 0 lets a free one be chosen.
    pub host: u16,
    /// In the guest.
    pub guest: u16,
}

impl Forward {
    /// From a port that is chosen at boot.
    #[must_use]
    pub const fn to(guest: u16) -> Self {
        Self { host: 0, guest }
    }
}

/// A machine to boot.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its network stack.
    pub stack: Stack,
    /// The image: a multiboot kernel, as RTEMS's linker makes them.
    pub image: PathBuf,
    /// The image's command line.
    pub append: String,
    /// RAM in MB.
    pub memory_mb: u32,
    /// Where the HTTP server is reached.
    pub http: Forward,
    /// Other ports: of a status page, for example.
    pub others: Vec<Forward>,
    /// Whether the guest may open connections to what this machine can reach. It cannot by
    /// default; forwarded ports work either way.
    pub outside: bool,
    /// Whether every frame on its way from or to the guest comes to [`crate::Machine::take_wire`].
    pub wire: bool,
    /// A file that everything on the console is written to as well.
    pub console_file: Option<PathBuf>,
    /// Everything on the console goes to this process's standard output as it comes, and
    /// [`crate::Machine::hand_on_input`] can be called.
    pub interactive: bool,
    /// Once this is set, every wait ends with [`crate::Error::Interrupted`]: for signal handlers.
    pub interrupt: Option<&'static AtomicBool>,
}

impl Spec {
    /// RTEMS prints and reads at the first serial port only when it is told to.
    pub const DEFAULT_APPEND: &str = "--console=/dev/com1";

    /// The guest's port when no other is named.
    pub const DEFAULT_GUEST_PORT: u16 = 80;

    /// The usual machine for an image with this stack.
    #[must_use]
    pub fn new(stack: Stack, image: impl Into<PathBuf>) -> Self {
        Self {
            stack,
            image: image.into(),
            append: Self::DEFAULT_APPEND.to_owned(),
            memory_mb: stack.memory_mb(),
            http: Forward::to(Self::DEFAULT_GUEST_PORT),
            others: Vec::new(),
            outside: false,
            wire: false,
            console_file: None,
            interactive: false,
            interrupt: None,
        }
    }

    /// All forwards, the HTTP server's first.
    #[must_use]
    pub fn forwards(&self) -> Vec<Forward> {
        std::iter::once(self.http)
            .chain(self.others.iter().copied())
            .collect()
    }

    /// The image's name in the directory that QEMU is started in. It stands in front of the image's
    /// command line, of which the BSPs keep 255 bytes: a long path would push out the last options.
    pub(crate) const IMAGE: &str = "image";

    /// QEMU's arguments with ports that were chosen. The monitor's socket is `monitor` in the
    /// directory that QEMU is started in.
    pub(crate) fn arguments(&self, forwards: &[Forward]) -> Vec<OsString> {
        let mut network = format!(
            "user,id=net0,restrict={}",
            if self.outside { "off" } else { "on" }
        );
        for Forward { host, guest } in forwards {
            network.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
        }
        let memory = self.memory_mb.to_string();
        let fixed: [&[&str]; 9] = [
            &["-accel", "tcg", "-m", &memory],
            // A reset ends QEMU: an image that fails does not start over and over.
            &["-nodefaults", "-display", "none", "-no-reboot"],
            &["-serial", "stdio"],
            &["-netdev", &network],
            &["-device", self.stack.device()],
            &["-monitor", "unix:monitor,server=on,wait=off"],
            &["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
            &["-append", &self.append],
            &["-kernel", Self::IMAGE],
        ];
        let words = fixed.iter().flat_map(|words| words.iter());
        let mut words: Vec<OsString> = words.map(|&word| word.into()).collect();
        if self.wire {
            words.extend(crate::wire::arguments().into_iter().map(OsString::from));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(spec: &Spec, forwards: &[Forward]) -> String {
        let words = spec.arguments(forwards);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn each_stack_has_its_device_and_memory() {
        let forwards = [Forward {
            host: 4_000,
            guest: 80,
        }];
        let legacy = line(&Spec::new(Stack::Legacy, "image"), &forwards);
        assert!(legacy.contains("ne2k_isa,netdev=net0,iobase=0x300,irq=9"));
        assert!(legacy.contains("-m 64 "), "{legacy}");
        assert!(legacy.contains("-append --console=/dev/com1 -kernel image"));
        let libbsd = line(&Spec::new(Stack::Libbsd, "image"), &forwards);
        assert!(libbsd.contains("-device e1000e,netdev=net0"), "{libbsd}");
        assert!(libbsd.contains("-m 256 "), "{libbsd}");
        let own = line(&Spec::new(Stack::Own, "image"), &forwards);
        assert!(own.contains("-device virtio-net-pci,netdev=net0"), "{own}");
        assert!(own.contains("-m 8 "), "{own}");
    }

    #[test]
    fn every_forward_is_on_the_loopback_address_and_the_guest_is_kept_in() {
        let mut spec = Spec::new(Stack::Legacy, "image");
        spec.others.push(Forward::to(9_000));
        assert_eq!(spec.forwards().len(), 2);
        let chosen = [(4_000, 80), (4_001, 9_000)].map(|(host, guest)| Forward { host, guest });
        let expected = "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:4000-:80,\
                        hostfwd=tcp:127.0.0.1:4001-:9000 ";
        assert!(line(&spec, &chosen).contains(expected));
        spec.outside = true;
        assert!(line(&spec, &chosen).contains("restrict=off"));
    }
}
