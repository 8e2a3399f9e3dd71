//! What an answer of FreeBSD's sendfile(2) means. A file of its own so that it is tested on every
//! system.
//!
//! The call tells two things: an error, and how many bytes went out before it. On a non-blocking
//! socket the error is EAGAIN whenever the socket took less than was offered, with bytes or without:
//! neither does EAGAIN say that nothing was sent, nor that all was.

/// What has become of the bytes that were offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The socket took so many; 0 at the end of the file.
    Sent(usize),
    /// None went out, and this call cannot send them: they have to be copied.
    Copy,
    /// None went out, for this reason.
    Failed(i32),
}

/// `error` is 0 where the call succeeded; `sent` is what it wrote to `sbytes`.
pub(crate) fn outcome(error: i32, sent: i64) -> Outcome {
    // Whatever stopped it: these bytes are on their way, and must not be sent twice. An error that
    // stays is met again by the next call.
    if let Ok(sent @ 1..) = usize::try_from(sent) {
        return Outcome::Sent(sent);
    }
    match error {
        0 => Outcome::Sent(0),
        // No regular file, a file system that does not hand its files on like this, or a page that
        // somebody else is at: reading the file does, or waits.
        libc::EINVAL | libc::EOPNOTSUPP | libc::EBUSY => Outcome::Copy,
        error => Outcome::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Copy, Failed, Sent};

    #[test]
    fn full_socket_that_took_a_part_has_sent_that_part_and_not_all() {
        // Servers have taken EAGAIN for "all sent", and cut files short.
        assert_eq!(outcome(libc::EAGAIN, 4_096), Sent(4_096));
        assert_eq!(outcome(libc::EAGAIN, 0), Failed(libc::EAGAIN));
    }

    #[test]
    fn bytes_that_went_out_count_whatever_stopped_the_rest() {
        for error in [
            0,
            libc::EINTR,
            libc::EBUSY,
            libc::EIO,
            libc::EPIPE,
            libc::EINVAL,
        ] {
            assert_eq!(outcome(error, 1), Sent(1), "{error}");
            assert_eq!(outcome(error, 0x7fff_f000), Sent(0x7fff_f000), "{error}");
        }
    }

    #[test]
    fn success_without_bytes_is_the_end_of_the_file() {
        assert_eq!(outcome(0, 0), Sent(0));
    }

    #[test]
    fn what_cannot_be_sent_in_place_is_copied_and_other_errors_are_told() {
        for error in [libc::EINVAL, libc::EOPNOTSUPP, libc::EBUSY] {
            assert_eq!(outcome(error, 0), Copy, "{error}");
        }
        for error in [
            libc::EINTR,
            libc::EPIPE,
            libc::ENOTCONN,
            libc::EIO,
            libc::ENOBUFS,
        ] {
            assert_eq!(outcome(error, 0), Failed(error), "{error}");
        }
        // No system tells less than nothing; it would not count as bytes.
        assert_eq!(outcome(libc::EAGAIN, -1), Failed(libc::EAGAIN));
    }
}
