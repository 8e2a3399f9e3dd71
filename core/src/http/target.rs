//! Request targets and authorities (RFC 9112 section 3.2, RFC 3986 section 3.2).

use super::error::HeadError;
use super::method::Method;
use super::scan;

/// The four forms of a request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Form {
    /// `/path?query`
    Origin,
    /// `http://authority/path?query`
    Absolute,
    /// `*`, of OPTIONS only
    Asterisk,
    /// `host:port`, of CONNECT only
    Authority,
}

/// The form of `target`, which has no spaces and no control bytes.
///
/// # Errors
/// [`HeadError::TargetForm`] when `method` does not go with it or its authority is malformed;
/// [`HeadError::Misdirected`] for a well-formed target of `https`.
#[inline]
pub(super) fn form(method: Method, target: &[u8]) -> Result<Form, HeadError> {
    match target {
        [b'/', ..] if method != Method::Connect => Ok(Form::Origin),
        _ => other_form(method, target),
    }
}

/// What is not a plain path.
#[inline(never)]
fn other_form(method: Method, target: &[u8]) -> Result<Form, HeadError> {
    if method == Method::Connect {
        return match authority(target) {
            Some(Authority {
                named: true,
                port: Some(1..),
            }) => Ok(Form::Authority),
            _ => Err(HeadError::TargetForm),
        };
    }
    if target == b"*" && method == Method::Options {
        return Ok(Form::Asterisk);
    }
    let parts = Absolute::split(target).ok_or(HeadError::TargetForm)?;
    match authority(parts.authority) {
        // RFC 9110 section 4.2.1: an http URI without a host is invalid.
        Some(Authority { named: true, .. }) if parts.secure => Err(HeadError::Misdirected),
        Some(Authority { named: true, .. }) => Ok(Form::Absolute),
        _ => Err(HeadError::TargetForm),
    }
}

/// The parts of an absolute-form target.
pub(super) struct Absolute<'b> {
    /// The scheme is `https`.
    pub secure: bool,
    /// `host` or `host:port`; user information is refused (RFC 9110 section 4.2.4).
    pub authority: &'b [u8],
    /// What follows: empty, or beginning with `/`, `?` or `#`.
    pub rest: &'b [u8],
}

impl<'b> Absolute<'b> {
    /// Splits `target`; `None` when its scheme is not `http` or `https`.
    pub(super) fn split(target: &'b [u8]) -> Option<Self> {
        scan::looked_at(target.len());
        let colon = target.iter().position(|&byte| byte == b':')?;
        let (scheme, rest) = target.split_at(colon);
        let after = rest.strip_prefix(b"://")?;
        let secure = scheme.eq_ignore_ascii_case(b"https");
        if !secure && !scheme.eq_ignore_ascii_case(b"http") {
            return None;
        }
        let end = after
            .iter()
            .position(|&byte| matches!(byte, b'/' | b'?' | b'#'))
            .unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        Some(Self {
            secure,
            authority,
            rest,
        })
    }
}

/// What a valid `host [":" port]` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// The host is not empty.
    pub named: bool,
    /// The port, when there are digits after the colon.
    pub port: Option<u16>,
}

/// Checks `uri-host [":" port]`: a registered name (which covers IPv4) or an IPv6 literal, with at
/// most a 16-bit port. Address literals of future versions and zone identifiers are not taken, nor
/// are names with a `%` or a comma: no name in DNS has them, an application that maps hosts to
/// directories would decode the one, and the other joins the values of two fields.
#[cfg_attr(not(target_os = "rtems"), inline(always))]
pub(super) fn authority(value: &[u8]) -> Option<Authority> {
    let length = match value.first() {
        Some(b'[') => ipv6_literal(value)?,
        _ => scan::host_end(value, 0),
    };
    let port = match value.get(length..)? {
        [] => None,
        [b':', digits @ ..] => {
            scan::looked_at(digits.len());
            port(digits)?
        }
        _ => return None,
    };
    // An empty host with a port names nothing.
    (length > 0 || value.is_empty()).then_some(Authority {
        named: length > 0,
        port,
    })
}

/// The length of the bracketed address that `value` begins with.
#[cold]
fn ipv6_literal(value: &[u8]) -> Option<usize> {
    let end = value.iter().position(|&byte| byte == b']')?;
    is_ipv6(value.get(1..end)?).then_some(end + 1)
}

/// Whether `text` is an IPv6 address (RFC 3986 section 3.2.2): as `Ipv6Addr`'s parser tells, which in an
/// image is large for one question.
#[cfg_attr(target_os = "rtems", inline(never))]
fn is_ipv6(text: &[u8]) -> bool {
    let (mut groups, mut gap, mut rest) = (0, false, text);
    if let Some(behind) = rest.strip_prefix(b"::") {
        gap = true;
        rest = behind;
    }
    while !(gap && rest.is_empty()) {
        let end = rest.iter().position(|&byte| byte == b':');
        let group = &rest[..end.unwrap_or(rest.len())];
        if end.is_none() && is_ipv4(group) {
            groups += 2;
        } else if (1..=4).contains(&group.len()) && group.iter().all(u8::is_ascii_hexdigit) {
            groups += 1;
        } else {
            return false;
        }
        let Some(end) = end else { break };
        rest = &rest[end + 1..];
        match rest.strip_prefix(b":") {
            Some(behind) if !gap => {
                gap = true;
                rest = behind;
            }
            // Nothing behind a colon, or a second gap: no group begins like that.
            _ if rest.is_empty() => return false,
            _ => {}
        }
    }
    if gap { groups < 8 } else { groups == 8 }
}

fn is_ipv4(text: &[u8]) -> bool {
    let is_octet = |octet: &[u8]| {
        let number = octet.iter().take(4).fold(0, |number, &digit| {
            number * 10 + u32::from(digit.wrapping_sub(b'0'))
        });
        octet.iter().all(u8::is_ascii_digit)
            && (octet == b"0" || octet.len() <= 3 && !matches!(octet.first(), None | Some(b'0')))
            && number < 256
    };
    text.split(|&byte| byte == b'.').count() == 4 && text.split(|&byte| byte == b'.').all(is_octet)
}

/// Digits of the longest port that is taken, leading zeros included.
const PORT_DIGIT_LIMIT: usize = 5;

/// The port that `digits` spell; RFC 3986 allows none at all. `None` when it is malformed.
#[expect(clippy::option_option, reason = "outer: malformed; inner: not given")]
#[inline]
pub(super) fn port(digits: &[u8]) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    if digits.len() > PORT_DIGIT_LIMIT {
        return None;
    }
    let mut port = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Five digits fit.
        port = port * 10 + u32::from(digit);
    }
    u16::try_from(port).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv6Addr;

    #[test]
    fn ipv6_addresses_are_those_of_the_standard_library() {
        let pieces = [
            "",
            ":",
            "::",
            "0",
            "1",
            "ab",
            "fFfF",
            "12345",
            "g",
            "1.2.3.4",
            "1.2.3",
            "01.2.3.4",
            "256.1.1.1",
            ".",
            "1::",
            "::1",
            "1:2:3:4:5:6:7",
            "1:2:3",
        ];
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let (mut yes, mut no) = (0, 0);
        for _ in 0..200_000 {
            let mut text = std::string::String::new();
            for n in 0..random(10) {
                if n > 0 && random(8) > 0 {
                    text.push(':');
                }
                text.push_str(
                    pieces[if random(3) > 0 {
                        3 + random(4)
                    } else {
                        random(pieces.len())
                    }],
                );
            }
            let expected = text.parse::<Ipv6Addr>().is_ok();
            assert_eq!(is_ipv6(text.as_bytes()), expected, "{text}");
            *(if expected { &mut yes } else { &mut no }) += 1;
        }
        assert!(yes > 1_000 && no > 1_000, "{yes} {no}");
    }

    #[test]
    fn authorities() {
        let named = |port| Some(Authority { named: true, port });
        let cases: &[(&str, Option<Authority>)] = &[
            (
                "",
                Some(Authority {
                    named: false,
                    port: None,
                }),
            ),
            ("example.org", named(None)),
            ("EXAMPLE.org:", named(None)),
            ("127.0.0.1:8080", named(Some(8080))),
            ("a:65535", named(Some(65535))),
            ("a:0080", named(Some(80))),
            ("a_b-c.~!$&'()*+;=", named(None)),
            ("[::1]", named(None)),
            ("[2001:db8::7]:80", named(Some(80))),
            ("[::ffff:1.2.3.4]", named(None)),
            ("a:65536", None),
            ("a:000080", None),
            ("a:1:2", None),
            ("a:+1", None),
            ("a:8 0", None),
            (":80", None),
            (":", None),
            ("%41%5f", None),
            ("%2e%2e", None),
            ("a%2fb", None),
            ("a,b", None),
            ("a, a", None),
            ("%4", None),
            ("%4x", None),
            ("user@host", None),
            ("a b", None),
            ("a/b", None),
            ("a\\b", None),
            ("a?b", None),
            ("a\tb", None),
            ("\u{e4}.de", None),
            ("[::1", None),
            ("::1", None),
            ("[]", None),
            ("[1.2.3.4]", None),
            ("[::1]x", None),
            ("[::1%25eth0]", None),
            ("[v1.a]", None),
            ("[[::1]]", None),
        ];
        for (value, expected) in cases {
            assert_eq!(authority(value.as_bytes()), *expected, "{value:?}");
        }
    }

    #[test]
    fn forms_go_with_methods() {
        use HeadError::{Misdirected, TargetForm};
        use Method::{Connect, Get, Options, Other};
        let cases: &[(Method, &str, Result<Form, HeadError>)] = &[
            (Get, "/", Ok(Form::Origin)),
            (Get, "//evil/x", Ok(Form::Origin)),
            (Options, "/a?b", Ok(Form::Origin)),
            (Options, "*", Ok(Form::Asterisk)),
            (Get, "*", Err(TargetForm)),
            (Other, "*", Err(TargetForm)),
            (Options, "**", Err(TargetForm)),
            (Options, "*/x", Err(TargetForm)),
            (Get, "http://a", Ok(Form::Absolute)),
            (Get, "HTTP://a:1/b?c", Ok(Form::Absolute)),
            (Get, "http://a?b", Ok(Form::Absolute)),
            (Options, "http://[::1]:80", Ok(Form::Absolute)),
            (Get, "http:/a", Err(TargetForm)),
            (Get, "http:///a", Err(TargetForm)),
            (Get, "http://:80/a", Err(TargetForm)),
            (Get, "http://u@a/", Err(TargetForm)),
            (Get, "http://a:b/", Err(TargetForm)),
            (Get, "ftp://a/", Err(TargetForm)),
            (Get, "https://a/", Err(Misdirected)),
            (Get, "HTTPS://[::1]:443?b", Err(Misdirected)),
            (Options, "https://a", Err(Misdirected)),
            (Get, "https://:443/", Err(TargetForm)),
            (Get, "https:///", Err(TargetForm)),
            (Get, "://a/", Err(TargetForm)),
            (Get, "a/b", Err(TargetForm)),
            (Get, "?a", Err(TargetForm)),
            (Get, "a:80", Err(TargetForm)),
            (Connect, "a:80", Ok(Form::Authority)),
            (Connect, "[::1]:443", Ok(Form::Authority)),
            (Connect, "a:1", Ok(Form::Authority)),
            (Connect, "a:65535", Ok(Form::Authority)),
            (Connect, "a:0", Err(TargetForm)),
            (Connect, "a:00000", Err(TargetForm)),
            (Connect, "a", Err(TargetForm)),
            (Connect, "a:", Err(TargetForm)),
            (Connect, ":80", Err(TargetForm)),
            (Connect, "/", Err(TargetForm)),
            (Connect, "*", Err(TargetForm)),
            (Connect, "http://a:80/", Err(TargetForm)),
        ];
        for (method, target, expected) in cases {
            let found = form(*method, target.as_bytes());
            assert_eq!(found, *expected, "{method:?} {target}");
        }
    }
}
