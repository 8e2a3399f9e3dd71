//! Lines of a log on their way to its destination: a bounded queue, and one thread that writes.
//!
//! Nobody waits for the queue. What does not fit it, and what the destination does not take, is lost
//! and counted; a line that was written in part is ended before the next. The access log and the
//! command's own log are both built on this; how losses are said is theirs.

use capuchin_posix::pause;
use capuchin_posix::queue::{Nothing, Receiver, Refused, Sender, queue};
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often [`LineQueue::flush`] looks.
const FLUSH_TICK: Duration = Duration::from_millis(1);

/// What both ends share.
#[derive(Debug, Default)]
struct Counts {
    /// Bytes that are queued or being written.
    bytes: AtomicUsize,
    /// Lines.
    lost: AtomicU64,
}

impl Counts {
    fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::SeqCst);
    }
}

/// A queue for up to `batches` of lines, and for up to `bytes` of them; a single larger batch is taken,
/// too, while nothing else waits.
#[must_use]
pub fn line_queue(batches: usize, bytes: usize) -> (LineQueue, LineWriter) {
    let (sender, receiver) = queue(batches);
    let counts = Arc::new(Counts::default());
    let writer = LineWriter {
        receiver,
        counts: Arc::clone(&counts),
        output: None,
        is_torn: false,
    };
    let queue = LineQueue {
        sender,
        counts,
        capacity: bytes,
    };
    (queue, writer)
}

/// The end for those who log.
#[derive(Clone, Debug)]
pub struct LineQueue {
    sender: Sender<Vec<u8>>,
    counts: Arc<Counts>,
    /// In bytes.
    capacity: usize,
}

impl LineQueue {
    /// Queues whole lines, at once or not at all. Where nobody will write them any more they are lost.
    ///
    /// # Errors
    /// Gives the lines back while the queue is full: a caller that does not try again reports the loss by
    /// [`LineQueue::lose`].
    pub fn put(&self, batch: Vec<u8>) -> Result<(), Vec<u8>> {
        let bytes = batch.len();
        let before = self.counts.bytes.fetch_add(bytes, Ordering::SeqCst);
        let result = if before > 0 && before + bytes > self.capacity {
            Err(Refused::Full(batch))
        } else {
            self.sender.send(batch)
        };
        let Err(refused) = result else {
            return Ok(());
        };
        self.counts.bytes.fetch_sub(bytes, Ordering::SeqCst);
        match refused {
            Refused::Full(batch) => Err(batch),
            Refused::Closed(batch) => {
                self.lose(lines_in(&batch));
                Ok(())
            }
        }
    }

    /// Counts lines as lost.
    pub fn lose(&self, lines: u64) {
        self.counts.lose(lines);
    }

    /// Lines lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::SeqCst)
    }

    /// Waits until everything is written or lost; `false` when that takes longer than `patience`.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let begin = Instant::now();
        while self.counts.bytes.load(Ordering::SeqCst) > 0 {
            if begin.elapsed() > patience {
                return false;
            }
            pause(FLUSH_TICK);
        }
        true
    }
}

/// The end for the thread that writes.
pub struct LineWriter {
    receiver: Receiver<Vec<u8>>,
    counts: Arc<Counts>,
    output: Option<Box<dyn Write + Send>>,
    /// The last line was written only in part: the next must not continue it.
    is_torn: bool,
}

impl LineWriter {
    /// From now on lines go to `output`; to `None` all are lost.
    pub fn set_output(&mut self, output: Option<Box<dyn Write + Send>>) {
        (self.output, self.is_torn) = (output, false);
    }

    /// Whether there is an output.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.output.is_some()
    }

    /// The next batch, to be written and then handed to [`LineWriter::done`].
    ///
    /// # Errors
    /// [`Nothing`], when there is none.
    pub fn next(&mut self, patience: Option<Duration>) -> Result<Vec<u8>, Nothing> {
        self.receiver.wait(patience)
    }

    /// Writes whole lines. Those that are not wholly written are counted as lost.
    ///
    /// # Errors
    /// Why they were not written.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_or(lines, &mut |_| {})
    }

    /// As [`LineWriter::write`]. `failed` is called with the error before the lines are counted as lost, so before any
    /// thread can report the loss.
    ///
    /// # Errors
    /// As [`LineWriter::write`].
    pub fn write_or(&mut self, lines: &[u8], failed: &mut dyn FnMut(&io::Error)) -> io::Result<()> {
        let mut written = 0;
        let result = self.put_out(lines, &mut written);
        if let Err(error) = &result {
            failed(error);
            self.counts.lose(lines_in(&lines[written..]));
            if written > 0 {
                self.is_torn = lines[written - 1] != b'\n';
            }
        }
        result
    }

    /// A batch from [`LineWriter::next`] needs its room in the queue no more.
    pub fn done(&mut self, batch: &[u8]) {
        self.counts.bytes.fetch_sub(batch.len(), Ordering::SeqCst);
    }

    /// Lines lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::SeqCst)
    }

    /// Writes all of it; `written` says how much was, also after an error.
    fn put_out(&mut self, lines: &[u8], written: &mut usize) -> io::Result<()> {
        let Some(output) = &mut self.output else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if self.is_torn {
            output.write_all(b"\n")?;
            self.is_torn = false;
        }
        while *written < lines.len() {
            match output.write(&lines[*written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        output.flush()
    }
}

impl fmt::Debug for LineWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineWriter")
    }
}

fn lines_in(batch: &[u8]) -> u64 {
    batch.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Takes as many bytes as it has room for, then nothing.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut taken = self.0.lock().unwrap();
            let count = bytes.len().min(taken.1);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            taken.1 -= count;
            taken.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn line_written_in_part_is_lost_and_ended_before_the_next() {
        let (queue, mut writer) = line_queue(4, 1_000);
        let disk = Disk::default();
        disk.0.lock().unwrap().1 = 8;
        writer.set_output(Some(Box::new(disk.clone())));
        assert!(writer.write(b"first\nsecond\nthird\n").is_err());
        assert!(writer.write(b"fourth\n").is_err());
        assert_eq!((queue.lost(), writer.lost()), (3, 3));
        disk.0.lock().unwrap().1 = 100;
        assert!(writer.write(b"fifth\n").is_ok());
        assert_eq!(disk.0.lock().unwrap().0, b"first\nse\nfifth\n");
        assert_eq!(queue.lost(), 3);
    }

    #[test]
    fn error_is_told_before_lines_count_as_lost() {
        let (queue, mut writer) = line_queue(4, 1_000);
        writer.set_output(Some(Box::new(Disk::default())));
        let mut told = None;
        let result = writer.write_or(b"line\n", &mut |error| {
            told = Some((error.kind(), queue.lost()));
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(told, Some((io::ErrorKind::StorageFull, 0)));
        assert_eq!(queue.lost(), 1);
    }

    #[test]
    fn queue_takes_as_many_batches_and_bytes_as_it_may_and_no_more() {
        let (queue, mut writer) = line_queue(3, 10);
        for (batch, taken) in [("1234\n", true), ("6789\n", true), ("\n", false)] {
            assert_eq!(queue.put(batch.into()).is_ok(), taken, "{batch:?}");
        }
        let batch = writer.next(None).unwrap();
        assert!(
            queue.put(b"\n".into()).is_err(),
            "it is still being written"
        );
        writer.done(&batch);
        for taken in [true, true, false] {
            assert_eq!(queue.put(b"\n".into()).is_ok(), taken, "three batches");
        }
        assert_eq!(queue.lost(), 0, "what is given back is not lost yet");
        // A larger one is taken alone.
        let (queue, mut writer) = line_queue(3, 10);
        assert!(queue.put(vec![b'\n'; 11]).is_ok() && queue.put(b"\n".into()).is_err());
        let batch = writer.next(None).unwrap();
        writer.done(&batch);
        assert!(queue.put(b"\n".into()).is_ok());
    }

    #[test]
    fn lines_for_a_writer_that_is_gone_are_lost_and_nobody_waits_for_them() {
        let (queue, writer) = line_queue(3, 10);
        drop(writer);
        assert!(queue.put(b"a\nb\n".into()).is_ok());
        assert_eq!(queue.lost(), 2);
        assert!(queue.flush(Duration::ZERO));
    }

    #[test]
    fn flush_waits_for_the_batch_that_is_being_written() {
        let (queue, mut writer) = line_queue(3, 10);
        assert!(queue.flush(Duration::ZERO));
        assert!(queue.put(b"a\n".into()).is_ok());
        let batch = writer.next(None).unwrap();
        assert!(!queue.flush(Duration::ZERO));
        writer.done(&batch);
        assert!(queue.flush(Duration::ZERO));
    }
}
