//! The request line (RFC 9112 section 3): `method SP target SP version CRLF`, each space exactly one.

use super::error::HeadError;
use super::fields::Field;
use super::head::{EMPTY_LINE_LIMIT, HeadParser, METHOD_LIMIT, Progress, Stage, flag, pause};
use super::method::Method;
use super::scan;
use super::target::{self, Form};

impl HeadParser {
    /// Scans from wherever the last step stopped up to the end of the request line.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub(super) fn request_line(
        &mut self,
        bytes: &[u8],
        fields: &mut [Field],
    ) -> Result<Progress, HeadError> {
        let mut position = usize::from(self.position);
        let mut mark = usize::from(self.mark);
        let mut stage = self.stage;
        // What most requests begin with, in one look.
        if stage == Stage::Start
            && position == 0
            && bytes.first_chunk().is_some_and(|lead| lead == GET)
            && let Some(entry) = fields.first_mut()
        {
            *entry = Field::numbered(0, GET.len() as u8 - 1, Method::Get as u8);
            scan::looked_at(GET.len());
            position = GET.len();
            mark = position;
            stage = Stage::Target;
        }
        while stage <= Stage::StartLf {
            let Some(&byte) = bytes.get(position) else {
                pause!(self, stage, position, mark);
            };
            stage = match (stage, byte) {
                (Stage::StartLf, b'\n') => Stage::Start,
                (Stage::StartLf, _) => return Err(HeadError::BareCr),
                (_, b'\n') => return Err(HeadError::BareLf),
                (_, b'\r') if position >= 2 * EMPTY_LINE_LIMIT => {
                    return Err(HeadError::EmptyLines);
                }
                (_, b'\r') => Stage::StartLf,
                _ => {
                    mark = position;
                    stage = Stage::Method;
                    break;
                }
            };
            scan::looked_at(1);
            position += 1;
        }
        if stage == Stage::Method {
            position = scan::token_end(bytes, position);
            if position - mark > METHOD_LIMIT {
                return Err(HeadError::MethodTooLong);
            }
            let token = bytes.get(mark..position).unwrap_or_default();
            match bytes.get(position) {
                None => pause!(self, Stage::Method, position, mark),
                Some(b' ') if !token.is_empty() => {}
                Some(_) => return Err(HeadError::Method),
            }
            let entry = fields.first_mut().ok_or(HeadError::TooManyFields)?;
            let method = Method::from_token(token);
            *entry = Field::numbered(mark as u16, token.len() as u8, method as u8);
            scan::looked_at(1);
            position += 1;
            mark = position;
            stage = Stage::Target;
        }
        if stage == Stage::Target {
            position = scan::target_end(bytes, position);
            match bytes.get(position) {
                None => pause!(self, Stage::Target, position, mark),
                Some(b' ') if position > mark => {}
                // A line that ends after the target: HTTP/0.9, or no version.
                Some(b'\r' | b'\n') if position > mark => return Err(HeadError::Version),
                Some(_) => return Err(HeadError::Target),
            }
            let entry = fields.first_mut().ok_or(HeadError::TooManyFields)?;
            *entry = entry.with_value(mark as u16, (position - mark) as u16);
            scan::looked_at(1);
            position += 1;
            mark = position;
            stage = Stage::Version;
        }
        if stage == Stage::Version {
            position = version_end(bytes, mark, position)?;
            if position < mark + VERSION_LINE.len() - 1 {
                pause!(self, Stage::Version, position, mark);
            }
            match bytes.get(mark + 5..mark + 8) {
                Some(b"1.0") => {}
                // RFC 9112 section 2.3: a higher minor version is processed as the highest known.
                Some([b'1', ..]) => self.flags |= flag::HTTP11,
                _ => return Err(HeadError::VersionUnsupported),
            }
        }
        // Only RequestLf is left.
        match bytes.get(position) {
            None => pause!(self, Stage::RequestLf, position, mark),
            Some(b'\n') => {}
            Some(_) => return Err(HeadError::BareCr),
        }
        scan::looked_at(1);
        let entry = fields.first().ok_or(HeadError::TooManyFields)?;
        self.flags |= match target::form(Method::from_number(entry.number()), entry.value(bytes))? {
            Form::Origin => 0,
            Form::Absolute => flag::ABSOLUTE,
            Form::Asterisk => flag::ASTERISK,
            Form::Authority => flag::AUTHORITY,
        };
        self.count = 1;
        pause!(self, Stage::LineStart, position + 1, mark);
    }
}

const GET: &[u8; 4] = b"GET ";

/// What follows the target when all is well.
const VERSION_LINE: &[u8; 10] = b"HTTP/1.1\r\n";

/// Checks the bytes of the version and its CR from `position` on, the version having begun at
/// `mark`; the end of what could be checked.
#[inline]
fn version_end(bytes: &[u8], mark: usize, position: usize) -> Result<usize, HeadError> {
    let expected = VERSION_LINE.len() - 1;
    if position == mark
        && let Some(line) = bytes.get(mark..mark + expected)
        && *line == VERSION_LINE[..expected]
    {
        scan::looked_at(expected);
        return Ok(mark + expected);
    }
    let mut position = position;
    while position < mark + expected {
        let Some(&byte) = bytes.get(position) else {
            break;
        };
        let fits = match position - mark {
            5 | 7 => byte.is_ascii_digit(),
            at => VERSION_LINE.get(at) == Some(&byte),
        };
        if !fits {
            return Err(HeadError::Version);
        }
        scan::looked_at(1);
        position += 1;
    }
    Ok(position)
}
