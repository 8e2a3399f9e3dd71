//! The protocol, sans I/O: bytes in, values out. No module here knows of sockets or connections.

pub(crate) mod byteranges;
pub mod chunked;
pub mod conditional;
pub mod date;
pub mod encoding;
mod error;
mod field_lines;
pub mod fields;
pub mod framing;
pub mod head;
mod lanes;
pub mod media_type;
pub mod method;
mod names;
pub mod path;
mod plain;
pub mod range;
mod request_line;
pub(crate) mod scan;
pub mod status;
mod target;
mod view;
pub mod write;
