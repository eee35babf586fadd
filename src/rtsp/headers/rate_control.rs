//! `Rate-Control`: whether the server paces delivery (ONVIF Streaming 6.5.2).

use std::fmt;
use std::str::FromStr;

use super::BadHeader;

/// Who sets the pace. A missing header means the server does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RateControl {
    /// `yes`: real time, times Scale.
    #[default]
    Server,
    /// `no`: as fast as the transport takes it.
    Client,
}

impl FromStr for RateControl {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        match text.trim() {
            t if t.eq_ignore_ascii_case("yes") => Ok(Self::Server),
            t if t.eq_ignore_ascii_case("no") => Ok(Self::Client),
            _ => Err(BadHeader { header: "Rate-Control", why: "neither yes nor no" }),
        }
    }
}

impl fmt::Display for RateControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "yes",
            Self::Client => "no",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    #[test]
    fn r8_5_3_table() {
        check_table(&[
            ("yes", RateControl::Server, "yes"),
            ("NO", RateControl::Client, "no"),
            (" no\t", RateControl::Client, "no"),
        ]);
        check_refused::<RateControl>(&["", "off", "y"]);
        assert_eq!(RateControl::default(), RateControl::Server, "R8.5.3-1");
    }
}
