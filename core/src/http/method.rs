//! Request methods (RFC 9110 section 9).
//!
//! A method is a case-sensitive token. The eight of RFC 9110 and `PATCH` (RFC 5789) have a name
//! here; any other token is [`Method::Other`], whose spelling the head keeps for logs. The engine
//! answers those, and CONNECT, with 501: no service sees them. (With a target that goes with other
//! methods only, such as `*`, it is 400; see [`crate::http::head`].)

/// What the client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// Transfer the representation.
    Get,
    /// The same as GET without the content.
    Head,
    /// Process the content.
    Post,
    /// Replace the representation by the content.
    Put,
    /// Remove the resource.
    Delete,
    /// Open a tunnel.
    Connect,
    /// Tell what may be done.
    Options,
    /// Send the request back.
    Trace,
    /// Change part of the representation (RFC 5789).
    Patch,
    /// A well-formed token that is none of the above.
    Other,
}

impl Method {
    /// Every method with a name of its own; [`Method::Other`] is not among them.
    pub const KNOWN: [Self; 9] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Connect,
        Self::Options,
        Self::Trace,
        Self::Patch,
    ];

    /// The method spelled by `token`; methods are case-sensitive.
    #[must_use]
    pub fn from_token(token: &[u8]) -> Self {
        // A match is faster, and in an image too large.
        if cfg!(target_os = "rtems") {
            let known = Self::KNOWN.into_iter();
            let mut known = known.filter(|known| known.as_str().as_bytes() == token);
            return known.next().unwrap_or(Self::Other);
        }
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// The method's token, as for `Allow`; empty for [`Method::Other`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other => "",
        }
    }

    /// Whether the method only reads (RFC 9110 section 9.2.1).
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// The inverse of `method as u8`; numbers that stand for none are [`Method::Other`].
    #[inline]
    pub(super) const fn from_number(number: u8) -> Self {
        if (number as usize) < Self::KNOWN.len() {
            Self::KNOWN[number as usize]
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_and_number_lead_back_to_the_method() {
        for method in Method::KNOWN {
            assert_eq!(Method::from_token(method.as_str().as_bytes()), method);
            assert_eq!(Method::from_number(method as u8), method);
        }
        assert_eq!(Method::from_number(Method::Other as u8), Method::Other);
        assert_eq!(Method::from_number(255), Method::Other);
    }

    #[test]
    fn methods_are_case_sensitive() {
        for token in [&b"get"[..], b"Get", b"GETS", b"", b"BREW"] {
            assert_eq!(Method::from_token(token), Method::Other);
        }
    }
}
