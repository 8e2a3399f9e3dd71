//! Chunked bodies (RFC 9112 section 7.1), decoded in place as they arrive.
//!
//! [`ChunkedDecoder`] says which part of the input is body data; it copies nothing and keeps
//! nothing but a few counters. Extensions and trailer fields are checked and skipped.
//!
//! ```
//! use capuchin_core::http::chunked::{ChunkStep, ChunkedDecoder};
//!
//! let mut decoder = ChunkedDecoder::default();
//! let mut input = &b"4\r\nWiki\r\n0\r\n\r\nnext"[..];
//! let mut body = Vec::new();
//! loop {
//!     match decoder.advance(input).unwrap() {
//!         ChunkStep::Data { start, end } => {
//!             body.extend_from_slice(&input[start..end]);
//!             input = &input[end..];
//!         }
//!         ChunkStep::Incomplete { .. } => unreachable!("all is there"),
//!         ChunkStep::End { consumed } => {
//!             input = &input[consumed..];
//!             break;
//!         }
//!     }
//! }
//! assert_eq!((&body[..], input), (&b"Wiki"[..], &b"next"[..]));
//! ```
//!
//! # Promises
//!
//! Any split of the same bytes gives the same data and the same end; each byte is looked at once;
//! no input panics. Bytes that are not data are bounded: those around one chunk by
//! [`SIZE_DIGIT_LIMIT`], [`CHUNK_EXTENSION_LIMIT`] and two line ends, the trailer section by
//! [`TRAILER_LIMIT`]. Each chunk but the last brings at least one byte of data, so whoever bounds the
//! data, or the bytes consumed, bounds the chunks.
//!
//! # What is refused although others take it
//!
//! A lone LF, also in extensions and trailers; white space around a chunk size, but for the "bad
//! white space" before a `;` that RFC 9112 section 7.1.1 tells to accept (it cannot be taken for a
//! line end, so it moves no boundary); extensions that do not follow the grammar, in particular a
//! `;` without a name; a quoted string with control bytes; folded trailer lines; a size of more than
//! [`SIZE_DIGIT_LIMIT`] digits, even if the first ones are zeros.

use super::scan;
use core::fmt;

/// Digits of the longest chunk size that is taken, leading zeros included: all that 64 bits need.
pub const SIZE_DIGIT_LIMIT: u8 = 16;

/// Bytes of extensions that one chunk may have, the `;` included.
pub const CHUNK_EXTENSION_LIMIT: u16 = 256;

/// Bytes of extensions that all chunks of a body may have together.
pub const BODY_EXTENSION_LIMIT: u16 = 16 * 1024;

/// Bytes of the trailer section, line ends included.
pub const TRAILER_LIMIT: u16 = 4 * 1024;

/// What one step of decoding found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkStep {
    /// `input[start..end]` is body data, never empty; everything up to `end` is consumed. Go on
    /// with what follows.
    Data {
        /// Where the data begins.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// All of the input is consumed, and more is needed.
    Incomplete {
        /// The length of the input.
        consumed: usize,
    },
    /// The body is complete; what follows is the next request.
    End {
        /// Bytes of the input that belonged to the body.
        consumed: usize,
    },
}

/// What is wrong with a chunked body. The connection has to be closed: where the next request
/// begins cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChunkError {
    /// A chunk does not begin with hexadecimal digits followed by `;` or a line end.
    Size,
    /// A chunk size has more than [`SIZE_DIGIT_LIMIT`] digits, so that it may not fit into 64 bits.
    SizeOverflow,
    /// An extension does not follow the grammar.
    Extension,
    /// Extensions exceed [`CHUNK_EXTENSION_LIMIT`] or [`BODY_EXTENSION_LIMIT`].
    ExtensionTooLong,
    /// A CR without LF or an LF without CR.
    LineEnd,
    /// A chunk's data is not followed by a line end: it is longer than its size says.
    DataEnd,
    /// A trailer line is not a field line.
    Trailer,
    /// The trailer section exceeds [`TRAILER_LIMIT`].
    TrailerTooLong,
}

impl ChunkError {
    /// The status code of the reply, if none was sent yet: 400, 413 or 431.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::ExtensionTooLong => 413,
            Self::TrailerTooLong => 431,
            _ => 400,
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a chunk without a valid size",
            Self::SizeOverflow => "a chunk size has more digits than any computer needs",
            Self::Extension => "a malformed chunk extension",
            Self::ExtensionTooLong => "too many bytes of chunk extensions",
            Self::LineEnd => "a lone carriage return or line feed between chunks",
            Self::DataEnd => "a chunk is longer than its size",
            Self::Trailer => "a malformed trailer line",
            Self::TrailerTooLong => "too many bytes of trailer fields",
        })
    }
}

impl core::error::Error for ChunkError {}

/// Decodes one chunked body. A new one is made for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkedDecoder {
    /// The size read so far, then the data bytes still to come.
    remaining: u64,
    /// Bytes of this chunk's extensions; in the trailer section, of the section.
    line_bytes: u16,
    /// Bytes of all extensions.
    extension_bytes: u16,
    /// Digits of the size.
    digits: u8,
    stage: Stage,
}

const _: () = assert!(size_of::<ChunkedDecoder>() <= 16);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// In the size, possibly before its first digit.
    #[default]
    Size,
    /// In white space after the size.
    SizeSpace,
    /// After a `;`, before the extension's name.
    NameStart,
    /// In an extension's name.
    Name,
    /// In white space after the name.
    NameSpace,
    /// After `=`, before the value.
    ValueStart,
    /// In a value that is a token.
    Value,
    /// In white space after a value.
    ValueSpace,
    /// In a value that is a quoted string.
    Quoted,
    /// After a backslash in it.
    Escaped,
    /// After its closing quote.
    QuotedEnd,
    /// Before the LF of a size line.
    SizeLf,
    /// In a chunk's data.
    Data,
    /// Before the CR after the data.
    DataCr,
    /// Before the LF after the data.
    DataLf,
    /// At the start of a trailer line.
    LineStart,
    /// In a trailer field's name.
    FieldName,
    /// In its value.
    FieldValue,
    /// Before the LF of its line.
    FieldLf,
    /// Before the last LF.
    EndLf,
    /// The body is complete.
    Done,
}

impl ChunkedDecoder {
    /// Decodes up to the next piece of data, the end, or the end of `input`, which continues where
    /// the last call's consumed bytes ended. After the end nothing more is consumed.
    ///
    /// # Errors
    /// What is wrong with the body; the next call says the same when given the same bytes.
    #[cfg_attr(target_os = "rtems", inline(never))]
    pub fn advance(&mut self, input: &[u8]) -> Result<ChunkStep, ChunkError> {
        // Work on a copy, so that an error repeats.
        let mut next = *self;
        let step = next.run(input)?;
        *self = next;
        Ok(step)
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    fn run(&mut self, input: &[u8]) -> Result<ChunkStep, ChunkError> {
        for (at, &byte) in input.iter().enumerate() {
            match self.stage {
                Stage::Data => {
                    let room = input.len() - at;
                    // The smaller of the two always fits into usize.
                    let length = room.min(usize::try_from(self.remaining).unwrap_or(room));
                    self.remaining -= length as u64;
                    if self.remaining == 0 {
                        self.stage = Stage::DataCr;
                    }
                    return Ok(ChunkStep::Data {
                        start: at,
                        end: at + length,
                    });
                }
                Stage::Done => return Ok(ChunkStep::End { consumed: at }),
                _ => {}
            }
            scan::looked_at(1);
            self.stage = self.control_byte(byte)?;
            if self.stage == Stage::Done {
                return Ok(ChunkStep::End { consumed: at + 1 });
            }
        }
        if self.stage == Stage::Done {
            return Ok(ChunkStep::End { consumed: 0 });
        }
        Ok(ChunkStep::Incomplete {
            consumed: input.len(),
        })
    }

    /// Takes one byte that is not data; the stage after it.
    fn control_byte(&mut self, byte: u8) -> Result<Stage, ChunkError> {
        Ok(match self.stage {
            Stage::Size => self.size_byte(byte)?,
            Stage::SizeSpace => match byte {
                b' ' | b'\t' => self.extension_byte(Stage::SizeSpace)?,
                b';' => self.extension_byte(Stage::NameStart)?,
                _ => return Err(ChunkError::Size),
            },
            Stage::SizeLf => match (byte, self.remaining) {
                (b'\n', 0) => {
                    self.line_bytes = 0;
                    Stage::LineStart
                }
                (b'\n', _) => Stage::Data,
                _ => return Err(ChunkError::LineEnd),
            },
            Stage::DataCr => match byte {
                b'\r' => Stage::DataLf,
                _ => return Err(ChunkError::DataEnd),
            },
            Stage::DataLf => match byte {
                b'\n' => {
                    *self = Self {
                        extension_bytes: self.extension_bytes,
                        ..Self::default()
                    };
                    Stage::Size
                }
                _ => return Err(ChunkError::LineEnd),
            },
            Stage::LineStart
            | Stage::FieldName
            | Stage::FieldValue
            | Stage::FieldLf
            | Stage::EndLf => self.trailer_byte(byte)?,
            _ => {
                let stage = extension_stage(self.stage, byte)?;
                if stage == Stage::SizeLf {
                    stage
                } else {
                    self.extension_byte(stage)?
                }
            }
        })
    }

    fn size_byte(&mut self, byte: u8) -> Result<Stage, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits == SIZE_DIGIT_LIMIT {
                return Err(ChunkError::SizeOverflow);
            }
            self.digits += 1;
            self.remaining = self.remaining << 4 | u64::from(digit);
            return Ok(Stage::Size);
        }
        match byte {
            _ if self.digits == 0 => Err(ChunkError::Size),
            b'\r' => Ok(Stage::SizeLf),
            b';' => self.extension_byte(Stage::NameStart),
            b' ' | b'\t' => self.extension_byte(Stage::SizeSpace),
            b'\n' => Err(ChunkError::LineEnd),
            _ => Err(ChunkError::Size),
        }
    }

    /// Counts a byte of extensions before going on to `stage`.
    fn extension_byte(&mut self, stage: Stage) -> Result<Stage, ChunkError> {
        if self.line_bytes == CHUNK_EXTENSION_LIMIT || self.extension_bytes == BODY_EXTENSION_LIMIT
        {
            return Err(ChunkError::ExtensionTooLong);
        }
        self.line_bytes += 1;
        self.extension_bytes += 1;
        Ok(stage)
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<Stage, ChunkError> {
        if self.line_bytes == TRAILER_LIMIT {
            return Err(ChunkError::TrailerTooLong);
        }
        self.line_bytes += 1;
        match (self.stage, byte) {
            (Stage::LineStart, b'\r') => Ok(Stage::EndLf),
            (Stage::LineStart | Stage::FieldName, _) if scan::is(byte, scan::TOKEN) => {
                Ok(Stage::FieldName)
            }
            (Stage::FieldName, b':') => Ok(Stage::FieldValue),
            (Stage::FieldValue, b'\r') => Ok(Stage::FieldLf),
            (Stage::FieldValue, _) if scan::is(byte, scan::VALUE) => Ok(Stage::FieldValue),
            (Stage::FieldLf, b'\n') => Ok(Stage::LineStart),
            (Stage::EndLf, b'\n') => Ok(Stage::Done),
            (Stage::FieldLf | Stage::EndLf, _) | (_, b'\n') => Err(ChunkError::LineEnd),
            _ => Err(ChunkError::Trailer),
        }
    }
}

/// The grammar of extensions: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
/// White space that nothing but the line end follows is refused.
fn extension_stage(stage: Stage, byte: u8) -> Result<Stage, ChunkError> {
    let token = scan::is(byte, scan::TOKEN);
    Ok(match (stage, byte) {
        (Stage::NameStart | Stage::ValueStart, b' ' | b'\t') => stage,
        (Stage::NameStart | Stage::Name, _) if token => Stage::Name,
        (Stage::ValueStart | Stage::Value, _) if token => Stage::Value,
        (Stage::ValueStart, b'"') => Stage::Quoted,
        (Stage::Name | Stage::NameSpace, b'=') => Stage::ValueStart,
        (Stage::Name | Stage::NameSpace, b' ' | b'\t') => Stage::NameSpace,
        (Stage::Value | Stage::QuotedEnd | Stage::ValueSpace, b' ' | b'\t') => Stage::ValueSpace,
        (Stage::Quoted, b'"') => Stage::QuotedEnd,
        (Stage::Quoted, b'\\') => Stage::Escaped,
        (Stage::Quoted, _) if scan::is(byte, scan::QUOTED) => Stage::Quoted,
        (Stage::Escaped, _) if scan::is(byte, scan::VALUE) => Stage::Quoted,
        (
            Stage::Name | Stage::NameSpace | Stage::Value | Stage::ValueSpace | Stage::QuotedEnd,
            b';',
        ) => Stage::NameStart,
        (Stage::Name | Stage::Value | Stage::QuotedEnd, b'\r') => Stage::SizeLf,
        (_, b'\n') => return Err(ChunkError::LineEnd),
        _ => return Err(ChunkError::Extension),
    })
}
