//! Encodings and containers: pure functions and engines, bytes in, values out.
//!
//! ISO/IEC 14496-10, -12, -15, 23008-2, 13818-1; RFC 6381. No sockets, no clock, no files.

pub mod codec;
pub mod container;
