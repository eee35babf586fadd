//! The values of RTSP headers, a file each: text in, value out, and back.
//!
//! RFC 2326 section 12 and ONVIF Streaming 6.5. Reading is tolerant of what real clients and
//! recorders send (blanks around `=`, a missing unit, odd case); writing is strict.

mod cseq;
mod frames;
mod immediate;
mod range;
mod rate_control;
mod require;
mod rtp_info;
mod scale;
mod session;
mod transport;

use std::fmt;

pub use cseq::CSeq;
pub use frames::Frames;
pub use immediate::Immediate;
pub use range::{ClockRange, Npt, NptRange, Range};
pub use rate_control::RateControl;
pub use require::{Require, Unsupported};
pub use rtp_info::{RtpInfo, RtpInfoEntry};
pub use scale::{Scale, Speed};
pub use session::Session;
pub use transport::{Lower, Transport};

/// A header whose value cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadHeader {
    /// Name of the header.
    pub header: &'static str,
    /// For the log and the reason phrase.
    pub why: &'static str,
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.header, self.why)
    }
}

impl std::error::Error for BadHeader {}

/// Runs a table of `(wire in, value, wire out)`, and every prefix of each wire through the parser.
#[cfg(test)]
fn check_table<T>(cases: &[(&str, T, &str)])
where
    T: std::str::FromStr<Err = BadHeader> + fmt::Display + PartialEq + fmt::Debug,
{
    for (wire, value, out) in cases {
        let parsed: T = wire.parse().unwrap_or_else(|e| panic!("{wire:?}: {e}"));
        assert_eq!(&parsed, value, "{wire:?}");
        assert_eq!(&value.to_string(), out, "{wire:?}");
        let again: T = out.parse().unwrap_or_else(|e| panic!("{out:?}: {e}"));
        assert_eq!(&again, value, "written form {out:?}");
        for end in 0..wire.len() {
            // Must not panic; whether a prefix means something depends on the header.
            let _ = wire[..end].parse::<T>();
        }
    }
}

/// All of them must be refused.
#[cfg(test)]
fn check_refused<T>(wires: &[&str])
where
    T: std::str::FromStr<Err = BadHeader> + fmt::Debug,
{
    for wire in wires {
        let r = wire.parse::<T>();
        assert!(r.is_err(), "{wire:?} gave {r:?}");
    }
}
