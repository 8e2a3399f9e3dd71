//! Which part of a directory a request asks for, and in which order: the query of a listing.
//!
//! `?sort=name|size|time`, `&order=asc|desc`, and where the page begins: `&page=last`, or
//! `&after=NAME` (with a slash for a directory) and, sorted by size or time, `&value=NUMBER`. All
//! may be left out. Unknown parameters, and values that are not written as the links of a listing write
//! them, are ignored.

use super::order::{Begin, Key};
use std::fmt::Write;

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Size,
    Time,
}

impl Sort {
    pub const ALL: [Self; 3] = [Self::Name, Self::Size, Self::Time];

    /// As it is written in a query.
    pub fn text(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Time => "time",
        }
    }
}

/// How a listing is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub by: Sort,
    pub descending: bool,
}

impl Order {
    pub const DEFAULT: Self = Self {
        by: Sort::Name,
        descending: false,
    };
}

/// Bytes of the longest name of a file (`NAME_MAX` of Linux and FreeBSD).
const NAME_LIMIT: usize = 255;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(super) order: Order,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    First,
    After {
        name: Box<[u8]>,
        directory: bool,
        value: u64,
    },
    Last,
}

impl View {
    /// The first page by name, which a listing without query is.
    pub(super) const DEFAULT: Self = Self {
        order: Order::DEFAULT,
        place: Place::First,
    };

    /// What a cache knows the page of the directory at `path` by. A path has no NUL, so nothing else has
    /// this key.
    pub(crate) fn cache_key(&self, path: &[u8]) -> Box<[u8]> {
        [path, b"\0", self.query().as_bytes()].concat().into()
    }

    pub(super) fn first(order: Order) -> Self {
        Self {
            order,
            place: Place::First,
        }
    }

    pub(super) fn last(order: Order) -> Self {
        Self {
            order,
            place: Place::Last,
        }
    }

    pub(super) fn after(order: Order, key: Key<'_>) -> Self {
        let place = Place::After {
            name: key.name.into(),
            directory: key.directory,
            value: match order.by {
                Sort::Name => 0,
                Sort::Size | Sort::Time => key.value,
            },
        };
        Self { order, place }
    }

    /// Reads a query; `None` if it asks for what a listing without query is.
    pub(crate) fn of_query(query: &[u8]) -> Option<Self> {
        Some(Self::read(query)).filter(|view| *view != Self::DEFAULT)
    }

    fn read(query: &[u8]) -> Self {
        let mut order = Order::DEFAULT;
        let (mut is_last, mut after, mut value) = (false, None, 0);
        for parameter in query.split(|&byte| byte == b'&') {
            let Some(equals) = parameter.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let (name, text) = (&parameter[..equals], &parameter[equals + 1..]);
            match (name, text) {
                (b"sort", _) => {
                    let known = Sort::ALL.iter().find(|sort| sort.text().as_bytes() == text);
                    order.by = known.copied().unwrap_or(order.by);
                }
                (b"order", b"asc") => order.descending = false,
                (b"order", b"desc") => order.descending = true,
                (b"page", b"last") => is_last = true,
                (b"after", _) => after = decoded(text).or(after),
                (b"value", _) => value = decimal(text).unwrap_or(value),
                _ => {}
            }
        }
        if is_last {
            return Self::last(order);
        }
        let Some(after) = after else {
            return Self::first(order);
        };
        let (name, directory) = match after.strip_suffix(b"/") {
            Some(name) => (name, true),
            None => (&*after, false),
        };
        if name.is_empty() || name.len() > NAME_LIMIT || name.iter().any(|&b| matches!(b, 0 | b'/'))
        {
            return Self::first(order);
        }
        let key = Key {
            directory,
            value,
            name,
        };
        Self::after(order, key)
    }

    /// The query for this view, without `?`, as the links of a listing write it: other queries may ask for the
    /// same view. Empty for the first page by name.
    pub(super) fn query(&self) -> String {
        let mut query = String::new();
        let mut put = |name: &str, value: &str| {
            let separator = if query.is_empty() { "" } else { "&" };
            // Writing to a string cannot fail.
            let _ = write!(query, "{separator}{name}={value}");
        };
        if self.order != Order::DEFAULT {
            put("sort", self.order.by.text());
            put("order", if self.order.descending { "desc" } else { "asc" });
        }
        match &self.place {
            Place::First => {}
            Place::Last => put("page", "last"),
            Place::After {
                name,
                directory,
                value,
            } => {
                let mut name = encoded(name);
                if *directory {
                    name.push('/');
                }
                put("after", &name);
                if self.order.by != Sort::Name {
                    put("value", &value.to_string());
                }
            }
        }
        query
    }

    pub(super) fn begin(&self) -> Begin<'_> {
        match &self.place {
            Place::First => Begin::First,
            Place::Last => Begin::Last,
            Place::After {
                name,
                directory,
                value,
            } => Begin::After(Key {
                directory: *directory,
                value: *value,
                name,
            }),
        }
    }
}

/// A name in a link: every byte but the unreserved ones of RFC 3986 section 2.3 is percent-encoded.
pub(super) fn encoded(name: &[u8]) -> String {
    let mut link = String::with_capacity(name.len());
    for &byte in name {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            let _ = write!(link, "%{byte:02X}");
        }
    }
    link
}

/// The reverse of it; `None` where a `%` is not followed by two hexadecimal digits.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(bytes)
}

/// A number of digits only.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = text.first()?.is_ascii_digit();
    std::str::from_utf8(text)
        .ok()?
        .parse()
        .ok()
        .filter(|_| digits)
}
