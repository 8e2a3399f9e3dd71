//! The wire between a guest and QEMU's network, in the hands of whoever boots the machine: each frame
//! comes out here, and only what is put back goes on.
//!
//! QEMU has a filter for each direction (`filter-redirector`), which writes frames to one socket and reads
//! them from another, each behind its length. It does nothing else until a write is over: who holds a
//! wire has to go on taking frames, whatever it does with them.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Bytes of the longest frame that QEMU can be given.
const LONGEST: usize = 64 << 10;

/// A filter's sockets, in the directory that QEMU is started in, and what they are to it.
struct Filter {
    /// The queue of the network that it sits in: `rx` is what the network receives.
    queue: &'static str,
    out: &'static str,
    back: &'static str,
}

const FROM_GUEST: Filter = Filter {
    queue: "rx",
    out: "wire-guest-out",
    back: "wire-guest-back",
};

const TO_GUEST: Filter = Filter {
    queue: "tx",
    out: "wire-net-out",
    back: "wire-net-back",
};

/// QEMU's arguments for the filters.
pub(crate) fn arguments() -> Vec<String> {
    let mut words = Vec::new();
    for Filter { queue, out, back } in [FROM_GUEST, TO_GUEST] {
        for socket in [out, back] {
            words.push("-chardev".to_owned());
            words.push(format!(
                "socket,id={socket},path={socket},server=on,wait=off"
            ));
        }
        words.push("-object".to_owned());
        words.push(format!(
            "filter-redirector,id=wire-{queue},netdev=net0,queue={queue},outdev={out},indev={back}"
        ));
    }
    words
}

/// Both directions of a wire.
#[derive(Debug)]
pub struct Wire {
    /// What the guest sends.
    pub from_guest: (Source, Sink),
    /// What the network sends to the guest.
    pub to_guest: (Source, Sink),
}

impl Wire {
    /// Takes the wire of the QEMU that was started in this directory.
    pub(crate) fn take(place: &Path) -> io::Result<Self> {
        let ends = |filter: Filter| -> io::Result<(Source, Sink)> {
            Ok((
                Source(UnixStream::connect(place.join(filter.out))?),
                Sink(UnixStream::connect(place.join(filter.back))?),
            ))
        };
        Ok(Self {
            from_guest: ends(FROM_GUEST)?,
            to_guest: ends(TO_GUEST)?,
        })
    }
}

/// Where frames come out.
#[derive(Debug)]
pub struct Source(UnixStream);

impl Source {
    /// Waits for the next frame; `None` when QEMU has ended.
    ///
    /// # Errors
    /// When what comes is not made of frames.
    pub fn take(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 4];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::Error::other(format!("a frame of {length} bytes")));
        }
        let mut frame = vec![0; length];
        Ok(self.fill(&mut frame)?.then_some(frame))
    }

    /// False at the end.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        match self.0.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if is_end(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Where frames go on.
#[derive(Debug)]
pub struct Sink(UnixStream);

impl Sink {
    /// Has a frame go on its way; false when QEMU has ended. One without bytes is none.
    ///
    /// # Errors
    /// When QEMU does not take it, or it is longer than any.
    pub fn put(&mut self, frame: &[u8]) -> io::Result<bool> {
        if frame.is_empty() {
            return Ok(true);
        }
        if frame.len() > LONGEST {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        match self.0.write_all(&bytes) {
            Ok(()) => Ok(true),
            Err(error) if is_end(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// QEMU's end is closed.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_as_they_were_put_whatever_they_hold() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut sink, mut source) = (Sink(one), Source(other));
        let frames = [vec![0; 1], vec![7; 60], (0..=255).collect(), vec![1; 9_000]];
        for frame in &frames {
            assert!(sink.put(frame).unwrap());
        }
        assert!(sink.put(&[]).unwrap(), "it is left out");
        drop(sink);
        for frame in frames {
            assert_eq!(source.take().unwrap(), Some(frame));
        }
        assert_eq!(source.take().unwrap(), None);
    }

    #[test]
    fn end_of_the_other_side_is_told_and_no_length_is_believed() {
        let (one, other) = UnixStream::pair().unwrap();
        drop(other);
        assert!(!Sink(one).put(&[1]).unwrap());
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(&[0xff; 8]).unwrap();
        assert!(Source(other).take().is_err());
    }

    #[test]
    fn each_direction_has_a_filter_with_two_sockets() {
        let words = arguments().join(" ");
        assert_eq!(words.matches("-chardev socket,").count(), 4);
        let guest = "-object filter-redirector,id=wire-rx,netdev=net0,queue=rx,\
                     outdev=wire-guest-out,indev=wire-guest-back";
        assert!(words.contains(guest), "{words}");
        assert!(words.contains("queue=tx,outdev=wire-net-out"), "{words}");
    }
}
