//! RTSP messages and interleaved packets: bytes in, values out, and back.
//!
//! RFC 2326 sections 4 to 7 and 10.12. Every length is bounded by [`Limits`]; damage is an error,
//! never a panic.

mod fields;
mod reader;
mod request;
mod response;

use std::fmt;

pub use fields::Fields;
pub use reader::{Item, Limits, Reader};
pub use request::{Method, Request};
pub use response::{Response, Status};

/// Bytes that are not RTSP, or too many of them. Nothing after them can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParseError {
    /// Byte of the connection at which the message starts.
    pub at_byte: u64,
    /// For the log.
    pub why: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not RTSP at byte {}: {}", self.at_byte, self.why)
    }
}

impl std::error::Error for ParseError {}
