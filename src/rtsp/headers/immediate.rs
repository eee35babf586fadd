//! `Immediate`: whether a PLAY replaces the running one at once (ONVIF Streaming 6.9.1).

use std::fmt;
use std::str::FromStr;

use super::BadHeader;

/// `Immediate: yes` or `no`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Immediate(pub bool);

impl FromStr for Immediate {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        match text.trim() {
            t if t.eq_ignore_ascii_case("yes") => Ok(Self(true)),
            t if t.eq_ignore_ascii_case("no") => Ok(Self(false)),
            _ => Err(BadHeader { header: "Immediate", why: "neither yes nor no" }),
        }
    }
}

impl fmt::Display for Immediate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { "yes" } else { "no" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    #[test]
    fn table() {
        check_table(&[("yes", Immediate(true), "yes"), (" No ", Immediate(false), "no")]);
        check_refused::<Immediate>(&["", "1", "yesno"]);
    }
}
