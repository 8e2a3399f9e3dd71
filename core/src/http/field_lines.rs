//! The field lines (RFC 9112 section 5) up to the empty line, and the rules about them that decide
//! whether a head is valid.

use super::error::HeadError;
use super::fields::{Field, Name, elements};
use super::framing::{Codings, content_length};
use super::head::{HeadParser, NAME_LIMIT, Progress, Stage, flag, pause};
use super::lanes::BY_LANES;
use super::names;
use super::scan;
use super::target;

impl HeadParser {
    /// Scans from wherever the last step stopped up to the end of the head.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn field_lines(
        &mut self,
        bytes: &[u8],
        fields: &mut [Field],
    ) -> Result<Progress, HeadError> {
        let mut position = usize::from(self.position);
        let mut mark = usize::from(self.mark);
        let mut stage = self.stage;
        // Each round is one line; a resumed line enters in its middle.
        loop {
            if stage == Stage::LineStart {
                // Host is among the plain lines. In an image, where a byte is looked at at a time, these
                // would be large code, and Host has a way of its own.
                if BY_LANES {
                    position = self.plain_lines(bytes, position, fields)?;
                } else if let Some(end) = self.host_line(bytes, position, fields) {
                    position = end;
                    continue;
                }
                match bytes.get(position) {
                    None => pause!(self, Stage::LineStart, position, mark),
                    Some(b'\r') => {
                        scan::looked_at(1);
                        position += 1;
                        stage = Stage::EndLf;
                    }
                    Some(b' ' | b'\t') if self.count == 1 => return Err(HeadError::LeadingSpace),
                    Some(b' ' | b'\t') => return Err(HeadError::ObsFold),
                    Some(_) => {
                        mark = position;
                        stage = Stage::Name;
                    }
                }
            }
            if stage >= Stage::EndLf {
                break;
            }
            if stage == Stage::Name {
                position = scan::name_end(bytes, position);
                if position - mark > NAME_LIMIT {
                    return Err(HeadError::NameTooLong);
                }
                match bytes.get(position) {
                    None => pause!(self, Stage::Name, position, mark),
                    Some(b':') => {}
                    Some(&byte) => return Err(name_error(byte)),
                }
                // The range is valid; a branch that never runs costs less than an empty default.
                let Some(name) = bytes.get(mark..position) else {
                    return Err(HeadError::NameByte);
                };
                let known = Name::recognise(name);
                if known.is_none() {
                    check_name(name)?;
                }
                let entry = fields
                    .get_mut(usize::from(self.count))
                    .ok_or(HeadError::TooManyFields)?;
                *entry = Field::named(mark as u16, name.len() as u8, known);
                scan::looked_at(1);
                position += 1;
                stage = Stage::Lead;
            }
            if stage == Stage::Lead {
                while let Some(b' ' | b'\t') = bytes.get(position) {
                    scan::looked_at(1);
                    position += 1;
                }
                if position == bytes.len() {
                    pause!(self, Stage::Lead, position, mark);
                }
                mark = position;
                stage = Stage::Value;
            }
            if stage == Stage::Value {
                position = scan::value_end(bytes, position);
                match bytes.get(position) {
                    None => pause!(self, Stage::Value, position, mark),
                    Some(b'\r') => {}
                    Some(b'\n') => return Err(HeadError::BareLf),
                    Some(_) => return Err(HeadError::ValueByte),
                }
                scan::looked_at(1);
                position += 1;
            }
            match bytes.get(position) {
                None => pause!(self, Stage::ValueLf, position, mark),
                Some(b'\n') => {}
                Some(_) => return Err(HeadError::BareCr),
            }
            scan::looked_at(1);
            let Some(value) = bytes.get(mark..position - 1) else {
                return Err(HeadError::ValueByte);
            };
            let value = scan::trim_end(value);
            let entry = fields
                .get_mut(usize::from(self.count))
                .ok_or(HeadError::TooManyFields)?;
            *entry = entry.with_value(mark as u16, value.len() as u16);
            if let Some(name) = entry.known() {
                self.interpret(name, value)?;
                self.seen |= name.bit();
            }
            self.count += 1;
            position += 1;
            stage = Stage::LineStart;
        }
        if stage == Stage::EndLf {
            match bytes.get(position) {
                None => pause!(self, Stage::EndLf, position, mark),
                Some(b'\n') => {}
                Some(_) => return Err(HeadError::BareCr),
            }
            scan::looked_at(1);
            position += 1;
            self.finish()?;
        }
        self.stage = Stage::Done;
        self.position = position as u16;
        Ok(Progress::Complete { length: position })
    }

    /// What every request of HTTP/1.1 has, in one look: a line `Host: name` or `Host: name:port` that
    /// is all there and has no fault. The end of the line; `None` leaves everything to the general
    /// way, which comes to the same.
    #[inline(never)]
    fn host_line(&mut self, bytes: &[u8], begin: usize, fields: &mut [Field]) -> Option<usize> {
        let [h, o, s, t, colon, space] = *bytes.get(begin..)?.first_chunk()?;
        // Letters differ from capitals by one bit, and from nothing else by it.
        let name = u32::from_le_bytes([h, o, s, t]) | 0x2020_2020;
        if name != u32::from_le_bytes(*b"host") || [colon, space] != *b": " {
            return None;
        }
        if self.met(Name::Host) {
            return None;
        }
        let value = begin + HOST_LEAD;
        let host = scan::host_end(bytes, value);
        let end = match bytes.get(host)? {
            // Whether they are digits, and few enough, is asked below.
            b':' => scan::token_end(bytes, host + 1),
            _ => host,
        };
        if host == value || bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        if end > host {
            target::port(bytes.get(host + 1..end)?)?;
        }
        let entry = fields.get_mut(usize::from(self.count))?;
        self.count = self.count.checked_add(1)?;
        *entry = Field::named(begin as u16, b"host".len() as u8, Some(Name::Host))
            .with_value(value as u16, (end - value) as u16);
        self.seen |= Name::Host.bit();
        scan::looked_at(HOST_LEAD + 2);
        Some(end + 2)
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn met(&self, name: Name) -> bool {
        self.seen & name.bit() != 0
    }

    /// Takes in the value of a line whose field has a meaning for the head as a whole.
    #[inline(always)]
    pub(super) fn interpret(&mut self, name: Name, value: &[u8]) -> Result<(), HeadError> {
        if names::interpreted(name as u8).is_some() {
            self.interpret_known(name, value)?;
        }
        Ok(())
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    fn interpret_known(&mut self, name: Name, value: &[u8]) -> Result<(), HeadError> {
        match name {
            Name::Host => {
                if self.met(Name::Host) {
                    return Err(HeadError::HostRepeated);
                }
                let authority = target::authority(value).ok_or(HeadError::HostInvalid)?;
                if !authority.named {
                    self.flags |= flag::EMPTY_HOST;
                }
            }
            Name::ContentLength => {
                if self.met(Name::ContentLength) {
                    return Err(HeadError::ContentLengthRepeated);
                }
                content_length(value)?;
            }
            Name::TransferEncoding => {
                if !self.has(flag::HTTP11) {
                    return Err(HeadError::CodingInHttp10);
                }
                let codings = self.codings().add(value)?;
                self.flags |= if codings.chunked { flag::CHUNKED } else { 0 };
                self.flags |= if codings.unknown {
                    flag::UNKNOWN_CODING
                } else {
                    0
                };
            }
            Name::Connection => {
                for option in elements(value) {
                    if option.eq_ignore_ascii_case(b"close") {
                        self.flags |= flag::CLOSE;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        self.flags |= flag::KEEP_ALIVE;
                    }
                }
            }
            Name::Expect => {
                for expectation in elements(value).filter(|element| !element.is_empty()) {
                    if !expectation.eq_ignore_ascii_case(b"100-continue") {
                        return Err(HeadError::Expectation);
                    }
                    self.flags |= flag::CONTINUE;
                }
            }
            _ => {}
        }
        if self.met(Name::ContentLength) && name == Name::TransferEncoding
            || self.met(Name::TransferEncoding) && name == Name::ContentLength
        {
            return Err(HeadError::LengthAndCoding);
        }
        Ok(())
    }

    fn codings(&self) -> Codings {
        Codings {
            chunked: self.has(flag::CHUNKED),
            unknown: self.has(flag::UNKNOWN_CODING),
        }
    }

    /// The checks that need the whole head.
    #[cfg_attr(target_os = "rtems", inline(never))]
    fn finish(&self) -> Result<(), HeadError> {
        if self.has(flag::HTTP11) && !self.met(Name::Host) {
            return Err(HeadError::HostMissing);
        }
        // RFC 9112 section 3.3: a server may refuse a path without an authority.
        let other_form = flag::ABSOLUTE | flag::ASTERISK | flag::AUTHORITY;
        if self.has(flag::EMPTY_HOST) && !self.has(other_form) {
            return Err(HeadError::HostInvalid);
        }
        if self.met(Name::TransferEncoding) {
            self.codings().finish()?;
        }
        Ok(())
    }
}

/// Bytes that nearly every Host line begins with.
const HOST_LEAD: usize = b"Host: ".len();

/// Checks a name that is not a known one.
pub(super) fn check_name(name: &[u8]) -> Result<(), HeadError> {
    if name.is_empty() {
        return Err(HeadError::EmptyName);
    }
    if !scan::is_token(name) {
        return Err(HeadError::NameByte);
    }
    Ok(())
}

/// What is wrong when a name ends with `byte` instead of a colon.
#[cold]
fn name_error(byte: u8) -> HeadError {
    match byte {
        b' ' | b'\t' => HeadError::SpaceInName,
        b'\r' => HeadError::NoColon,
        b'\n' => HeadError::BareLf,
        _ => HeadError::NameByte,
    }
}
