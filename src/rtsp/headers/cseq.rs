//! `CSeq`: the number of a request (RFC 2326 12.17). Its low byte goes into the replay extension.

use std::fmt;
use std::str::FromStr;

use super::BadHeader;

/// The number of a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CSeq(pub u32);

impl FromStr for CSeq {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        text.trim().parse().map(Self).map_err(|_| BadHeader { header: "CSeq", why: "not a number" })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    #[test]
    fn table() {
        check_table(&[("1", CSeq(1), "1"), (" 4294967295 ", CSeq(u32::MAX), "4294967295")]);
        check_refused::<CSeq>(&["", "-1", "x", "4294967296"]);
    }
}
