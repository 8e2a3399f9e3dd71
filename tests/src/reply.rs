//! A strict parser for replies: anything a client might misread is a failure.
//!
//! Stricter than RFC 9112 asks of clients, on purpose: it is what makes the suites able to fail.
//! It looks at bytes only; reading them is [`crate::client`]'s business.

/// What the request was, as far as it decides how its reply is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Any method but HEAD, over HTTP/1.1.
    Get,
    /// HEAD over HTTP/1.1: a head, and no content whatever it says.
    Head,
    /// Any method but HEAD, over HTTP/1.0: no interim reply, no transfer coding.
    Get10,
    /// HEAD over HTTP/1.0.
    Head10,
}

impl Asked {
    /// Whether the request was HEAD.
    #[must_use]
    pub fn is_head(self) -> bool {
        matches!(self, Self::Head | Self::Head10)
    }

    /// Whether the client speaks HTTP/1.0.
    #[must_use]
    pub fn is_http10(self) -> bool {
        matches!(self, Self::Get10 | Self::Head10)
    }
}

/// How the content that follows a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// None follows.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All until the end of the connection.
    UntilClose,
}

/// A reply's status line and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 100 to 599.
    pub status: u16,
    /// The minor version: 0 or 1.
    pub minor: u8,
    /// Names as sent, values without white space around.
    pub fields: Vec<(String, String)>,
    /// How the content is framed.
    pub framing: Framing,
    /// Whether the server will close the connection after this reply.
    pub close: bool,
}

impl Head {
    /// The value of a field that is there once; `None` when it is missing or repeated.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self
            .fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// How often a field is there.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .count()
    }

    /// Whether a field with a list as value names `element`.
    #[must_use]
    pub fn lists(&self, name: &str, element: &str) -> bool {
        let values = self
            .fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        values
            .flat_map(|(_, value)| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(element))
    }
}

/// Bytes of a reply's head that a client of the suites takes.
const HEAD_LIMIT: usize = 64 * 1024;

/// The head at the front of `bytes` and its length; `None` while its end has not arrived.
///
/// # Errors
/// What is malformed, as early as it can be seen.
pub fn head(bytes: &[u8], asked: Asked) -> Result<Option<(Head, usize)>, String> {
    let start = &b"HTTP/1."[..bytes.len().min(7)];
    if !bytes.starts_with(start) {
        return Err("the reply does not begin with \"HTTP/1.\"".into());
    }
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        if bytes.len() > HEAD_LIMIT {
            return Err("the reply's head has no end".into());
        }
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "the reply's head is no UTF-8")?;
    if text
        .bytes()
        .any(|byte| byte == 0x7f || (byte < b' ' && !b"\t\r\n".contains(&byte)))
    {
        return Err("the reply's head has control bytes".into());
    }
    let mut lines = text.split("\r\n");
    let (minor, status) = status_line(lines.next().unwrap_or_default())?;
    let fields = lines.map(field_line).collect::<Result<Vec<_>, _>>()?;
    let mut head = Head {
        status,
        minor,
        fields,
        framing: Framing::None,
        close: false,
    };
    head.framing = framing(&head, asked)?;
    head.close = closes(&head, asked);
    complete(&head, asked)?;
    Ok(Some((head, end + 4)))
}

fn status_line(line: &str) -> Result<(u8, u16), String> {
    let malformed = || format!("malformed status line {line:?}");
    let bytes = line.as_bytes();
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        minor @ (b'0' | b'1'),
        b' ',
        code @ ..,
    ] = bytes
    else {
        return Err(malformed());
    };
    let [
        a @ b'1'..=b'5',
        b @ b'0'..=b'9',
        c @ b'0'..=b'9',
        b' ',
        reason @ ..,
    ] = code
    else {
        return Err(malformed());
    };
    if reason.iter().any(|byte| b"\r\n\t".contains(byte)) {
        return Err(malformed());
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    Ok((minor - b'0', digit(a) * 100 + digit(b) * 10 + digit(c)))
}

fn field_line(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("field line {line:?} has no colon"))?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("field name {name:?} is no token"));
    }
    if value.contains(['\r', '\n']) {
        return Err(format!("field {name} has a lone CR or LF"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn framing(head: &Head, asked: Asked) -> Result<Framing, String> {
    let (lengths, codings) = (
        head.count("Content-Length"),
        head.count("Transfer-Encoding"),
    );
    if lengths > 1 || codings > 1 || (lengths == 1 && codings == 1) {
        return Err("the reply's framing is ambiguous".into());
    }
    let bodiless = head.status < 200 || head.status == 204;
    if bodiless && lengths + codings > 0 {
        return Err(format!(
            "a {} has Content-Length or Transfer-Encoding",
            head.status
        ));
    }
    let length = match head.field("Content-Length") {
        Some(digits) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!("Content-Length {digits:?} is no number"));
        }
        Some(digits) => Some(
            digits
                .parse::<u64>()
                .map_err(|_| "Content-Length overflows")?,
        ),
        None => None,
    };
    if let Some(coding) = head.field("Transfer-Encoding") {
        if asked.is_http10() || head.minor == 0 {
            return Err("Transfer-Encoding for an HTTP/1.0 client".into());
        }
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err(format!("Transfer-Encoding {coding:?} was never asked for"));
        }
    }
    Ok(if bodiless || head.status == 304 || asked.is_head() {
        Framing::None
    } else if codings == 1 {
        Framing::Chunked
    } else {
        length.map_or(Framing::UntilClose, Framing::Length)
    })
}

fn closes(head: &Head, asked: Asked) -> bool {
    if head.status < 200 {
        return false;
    }
    head.lists("Connection", "close")
        || head.framing == Framing::UntilClose
        || ((asked.is_http10() || head.minor == 0) && !head.lists("Connection", "keep-alive"))
}

/// What each status owes its client (RFC 9110), and what we owe every one: `Date`.
fn complete(head: &Head, asked: Asked) -> Result<(), String> {
    let status = head.status;
    if status < 200 {
        return if asked.is_http10() {
            Err("an interim reply to an HTTP/1.0 client".into())
        } else {
            Ok(())
        };
    }
    for (name, value) in &head.fields {
        let single = [
            "Date",
            "Content-Type",
            "ETag",
            "Last-Modified",
            "Location",
            "Content-Range",
            "Connection",
        ];
        if single.iter().any(|one| one.eq_ignore_ascii_case(name)) && head.count(name) != 1 {
            return Err(format!("{name} is repeated, {value:?} and another"));
        }
    }
    for name in ["Date", "Last-Modified"] {
        if head.field(name).is_some_and(|value| !is_date(value)) {
            return Err(format!("{name} is no IMF-fixdate"));
        }
    }
    let owed: &[&str] = match status {
        206 if !head
            .field("Content-Type")
            .is_some_and(|kind| kind.starts_with("multipart/byteranges")) =>
        {
            &["Date", "Content-Range"]
        }
        301 | 302 | 303 | 307 | 308 => &["Date", "Location"],
        401 => &["Date", "WWW-Authenticate"],
        405 => &["Date", "Allow"],
        416 => &["Date", "Content-Range"],
        _ => &["Date"],
    };
    if let Some(name) = owed.iter().find(|name| head.count(name) == 0) {
        return Err(format!("a {status} without {name}"));
    }
    let range = head.field("Content-Range").unwrap_or_default();
    if status == 416 && !range.strip_prefix("bytes */").is_some_and(is_number) {
        return Err(format!("a 416 with Content-Range {range:?}"));
    }
    if status == 408 && !head.lists("Connection", "close") {
        return Err("a 408 that does not close".into());
    }
    // A persistent connection needs a length; that holds for HEAD, too, where it is only told.
    if head.framing == Framing::UntilClose
        && !asked.is_http10()
        && !head.lists("Connection", "close")
    {
        return Err("content without length, coding or Connection: close".into());
    }
    Ok(())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `text` has the form `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
#[must_use]
pub fn is_date(text: &str) -> bool {
    let form = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    text.len() == form.len()
        && text
            .bytes()
            .zip(form)
            .enumerate()
            .all(|(at, (byte, &kind))| match kind {
                _ if at >= 26 => byte == kind,
                b'A' => byte.is_ascii_uppercase(),
                b'a' => byte.is_ascii_lowercase(),
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
        && ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&&text[..3])
}

/// The size in a chunk's first line, line end not included.
///
/// # Errors
/// When it is not 1 to 16 hexadecimal digits; extensions were never asked for.
pub fn chunk_size(line: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    if text.is_empty() || text.len() > 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!(
            "malformed chunk size {:?}",
            line.escape_ascii().to_string()
        ));
    }
    u64::from_str_radix(text, 16).map_err(|error| error.to_string())
}
