//! Status codes and their reason phrases (RFC 9110 section 15).

use core::fmt;

/// A three-digit status code, 100 to 599.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal;)*) => {
        impl Status {
            $(#[doc = concat!($code, " ", $reason)] pub const $name: Self = Self($code);)*

        }

        /// The status lines that are known here, by their places.
        const LINES: [&str; PLACES] = {
            let mut lines = [""; PLACES];
            $(
                let at = place($code);
                assert!(lines[at].is_empty(), "each code has a place of its own");
                lines[at] = concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n");
            )*
            lines
        };
    };
}

statuses! {
    CONTINUE = 100 "Continue";
    OK = 200 "OK";
    CREATED = 201 "Created";
    ACCEPTED = 202 "Accepted";
    NO_CONTENT = 204 "No Content";
    PARTIAL_CONTENT = 206 "Partial Content";
    MOVED_PERMANENTLY = 301 "Moved Permanently";
    FOUND = 302 "Found";
    SEE_OTHER = 303 "See Other";
    NOT_MODIFIED = 304 "Not Modified";
    TEMPORARY_REDIRECT = 307 "Temporary Redirect";
    PERMANENT_REDIRECT = 308 "Permanent Redirect";
    BAD_REQUEST = 400 "Bad Request";
    UNAUTHORIZED = 401 "Unauthorized";
    FORBIDDEN = 403 "Forbidden";
    NOT_FOUND = 404 "Not Found";
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    NOT_ACCEPTABLE = 406 "Not Acceptable";
    REQUEST_TIMEOUT = 408 "Request Timeout";
    CONFLICT = 409 "Conflict";
    GONE = 410 "Gone";
    LENGTH_REQUIRED = 411 "Length Required";
    PRECONDITION_FAILED = 412 "Precondition Failed";
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    URI_TOO_LONG = 414 "URI Too Long";
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type";
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable";
    EXPECTATION_FAILED = 417 "Expectation Failed";
    MISDIRECTED_REQUEST = 421 "Misdirected Request";
    UNPROCESSABLE_CONTENT = 422 "Unprocessable Content";
    UPGRADE_REQUIRED = 426 "Upgrade Required";
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    REQUEST_HEADER_FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large";
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    NOT_IMPLEMENTED = 501 "Not Implemented";
    BAD_GATEWAY = 502 "Bad Gateway";
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    GATEWAY_TIMEOUT = 504 "Gateway Timeout";
    HTTP_VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
}

/// Where the codes of each class begin in [`LINES`], up to their end.
const CLASSES: [u8; 6] = [0, 1, 8, 17, 49, 55];
const PLACES: usize = CLASSES[5] as usize;
/// What stands before a reason phrase in a status line.
const BEFORE_REASON: usize = "HTTP/1.1 200 ".len();

/// The place of a code in [`LINES`], or their end.
const fn place(code: u16) -> usize {
    let class = (code / 100) as usize;
    if class < 1 || class > 5 {
        return PLACES;
    }
    let place = CLASSES[class - 1] as usize + (code % 100) as usize;
    if place < CLASSES[class] as usize {
        place
    } else {
        PLACES
    }
}

impl Status {
    /// The reason phrase that the IANA registry gives, or an empty one.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.line()
            .and_then(|line| line.get(BEFORE_REASON..line.len() - 2))
            .unwrap_or("")
    }

    /// The whole status line, line end included, for the codes that are known here.
    #[must_use]
    pub(crate) fn line(self) -> Option<&'static str> {
        LINES
            .get(place(self.0))
            .copied()
            .filter(|line| !line.is_empty())
    }

    /// The status of this number; `None` outside 100 to 599.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 599 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// A code that one of the engine's own errors names; anything else becomes 500.
    #[must_use]
    pub const fn from_error(code: u16) -> Self {
        if code >= 400 && code <= 599 {
            Self(code)
        } else {
            Self::INTERNAL_SERVER_ERROR
        }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether a reply of this status never carries content: 1xx, 204 and 304 (RFC 9112 section 6.3).
    #[must_use]
    pub const fn is_bodiless(self) -> bool {
        self.0 < 200 || self.0 == 204 || self.0 == 304
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
