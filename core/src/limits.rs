//! Every limit of a server, with its default.
//!
//! Counts of connections and buffers are given by the memory that a worker is handed
//! ([`crate::pool`]); what is here can be changed without memory.

/// Bytes of a buffer beside head and collected body, in which what frames the body's chunks is received.
pub const FRAMING_BYTES: usize = 32;

/// The least that a buffer leaves for a response: its head, and a short text.
pub const RESPONSE_MINIMUM: usize = 448;

/// Limits and timeouts of one worker. Times are in milliseconds and kept to the wheel's grain
/// ([`crate::timer::GRAIN_MS`]): a deadline never fires early, and at most two grains late.
///
/// ```
/// use capuchin_core::limits::Limits;
///
/// let mut limits = Limits::DEFAULT;
/// limits.connections = 32;
/// limits.idle_ms = 5_000;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in service. For one more the longest idle one is closed; without such it is
    /// refused with 503.
    pub connections: u32,
    /// Bytes of a request's head; of its request line, too. More is 431, or 414. The default leaves
    /// as much again beside a request line of 8,000 bytes, which RFC 9112 section 3 recommends to
    /// take.
    pub head_bytes: u16,
    /// Bytes of a body that is collected ([`crate::reply::Reply::collect_body`]), whatever its head's
    /// length. More is 413.
    pub collect_bytes: u16,
    /// Bytes of a body that is read only to be thrown away, so that the connection lives on; of a
    /// chunked one what frames it counts, too.
    pub drain_bytes: u64,
    /// Bytes of any body. More is 413.
    pub body_bytes: u64,
    /// Requests that one connection may make.
    pub requests_per_connection: u32,
    /// Requests of one connection that are answered before it is the next connection's turn.
    pub turn_requests: u32,
    /// Bytes that one connection may receive or send before it is the next connection's turn.
    pub turn_bytes: u32,
    /// Connections accepted in one turn of a listener.
    pub turn_accepts: u32,
    /// Connections that may wait for a free buffer; beyond that new ones are refused with 503.
    pub waiting: u32,
    /// From accept to the first byte of a request; then the connection is closed silently.
    pub first_byte_ms: u32,
    /// From the first byte of a head to its end; then 408.
    pub head_ms: u32,
    /// Between two pieces of a body; then 408.
    pub body_ms: u32,
    /// For a deferred reply to be completed, then 503; for a streamed one that waits for a ticket to
    /// go on, then the connection breaks off.
    pub handler_ms: u32,
    /// Between two sends while the client does not take the reply; then the connection is reset.
    pub write_ms: u32,
    /// Between two requests; then the connection is closed silently.
    pub idle_ms: u32,
    /// After the last reply, for the client to read it and close.
    pub linger_ms: u32,
    /// For requests in flight to finish after [`crate::event::Message::Drain`].
    pub drain_ms: u32,
}

impl Limits {
    /// Bytes of a connection's buffer that requests may fill: a head, a collected body and
    /// [`FRAMING_BYTES`]. The rest of it is for a response, which is [`RESPONSE_MINIMUM`] at least.
    #[must_use]
    pub const fn request_bytes(&self) -> usize {
        self.head_bytes as usize + self.collect_bytes as usize + FRAMING_BYTES
    }

    /// The defaults: made for a server with thousands of clients, which a small one lowers.
    pub const DEFAULT: Self = Self {
        connections: 16_384,
        head_bytes: 16_384,
        collect_bytes: 8_192,
        drain_bytes: 65_536,
        body_bytes: u64::MAX,
        requests_per_connection: u32::MAX,
        turn_requests: 64,
        turn_bytes: 1 << 20,
        turn_accepts: 64,
        waiting: 16_384,
        first_byte_ms: 20_000,
        head_ms: 10_000,
        body_ms: 30_000,
        handler_ms: 60_000,
        write_ms: 30_000,
        // Longer than the 60 s after which load balancers close idle connections themselves.
        idle_ms: 75_000,
        linger_ms: 2_000,
        // Shorter than the 10 s after which container runtimes kill.
        drain_ms: 8_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
