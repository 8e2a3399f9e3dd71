//! Reading a reply's content: by length, by chunks, or to the end of the connection.

use super::{Client, End};
use crate::failure::{Failure, Outcome, show};
use crate::{ensure, fail, reply};
use std::time::Instant;

/// Bytes of the longest line of the chunked coding that is taken.
const LINE_LIMIT: usize = 1024;

impl Client {
    pub(super) fn exactly(
        &mut self,
        length: u64,
        deadline: Instant,
        sink: &mut dyn FnMut(&[u8]) -> Outcome,
    ) -> Outcome {
        let mut left = length;
        while left > 0 {
            if self.unread().is_empty() {
                self.need(
                    deadline,
                    &format!("{left} more of {length} bytes of content"),
                )?;
            }
            let piece = self
                .unread()
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(&self.buffer[self.taken..self.taken + piece])?;
            self.taken += piece;
            left -= piece as u64;
        }
        Ok(())
    }

    pub(super) fn chunks(
        &mut self,
        deadline: Instant,
        sink: &mut dyn FnMut(&[u8]) -> Outcome,
    ) -> Outcome {
        loop {
            let line = self.line(deadline)?;
            let size = reply::chunk_size(&line).map_err(Failure::new)?;
            if size == 0 {
                break;
            }
            self.exactly(size, deadline, sink)?;
            let after = self.line(deadline)?;
            ensure!(
                after.is_empty(),
                "a chunk of {size} bytes is followed by {}",
                show(&after)
            );
        }
        let trailer = self.line(deadline)?;
        ensure!(
            trailer.is_empty(),
            "a trailer that nobody announced: {}",
            show(&trailer)
        );
        Ok(())
    }

    pub(super) fn until_close(
        &mut self,
        deadline: Instant,
        sink: &mut dyn FnMut(&[u8]) -> Outcome,
    ) -> Outcome {
        loop {
            sink(&self.buffer[self.taken..])?;
            self.taken = self.buffer.len();
            match self.end {
                Some(End::Fin) => return Ok(()),
                Some(End::Reset) => {
                    fail!("content that the end of the connection ends was cut by a reset")
                }
                None => self.fill(deadline)?,
            }
        }
    }

    /// A line without its CR LF.
    fn line(&mut self, deadline: Instant) -> Outcome<Vec<u8>> {
        loop {
            let unread = self.unread();
            if let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
                ensure!(
                    end > 0 && unread[end - 1] == b'\r',
                    "a line of the chunked coding ends without CR"
                );
                let line = unread[..end - 1].to_vec();
                self.taken += end + 1;
                return Ok(line);
            }
            ensure!(
                unread.len() < LINE_LIMIT,
                "a line of the chunked coding has no end: {}",
                show(unread)
            );
            self.need(deadline, "a line of the chunked coding")?;
        }
    }
}
