//! `Session`: the name of a session and its timeout (RFC 2326 12.37).

use std::fmt;
use std::str::FromStr;

use super::BadHeader;

/// The name of a session and, in answers, after how many silent seconds it ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Opaque.
    pub id: String,
    /// Seconds; 60 where not said.
    pub timeout_secs: Option<u32>,
}

const MAX_ID: usize = 256;

impl FromStr for Session {
    type Err = BadHeader;

    /// Tolerates any number of blanks before the id and an unreadable timeout.
    fn from_str(text: &str) -> Result<Self, BadHeader> {
        let mut parts = text.split(';').map(str::trim);
        let id = parts.next().unwrap_or_default();
        if id.is_empty() || id.len() > MAX_ID {
            return Err(BadHeader { header: "Session", why: "no id, or too long" });
        }
        let timeout_secs = parts
            .filter_map(|p| p.split_once('='))
            .find(|(k, _)| k.trim().eq_ignore_ascii_case("timeout"))
            .and_then(|(_, v)| v.trim().parse().ok());
        Ok(Self { id: id.to_owned(), timeout_secs })
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match self.timeout_secs {
            Some(t) => write!(f, ";timeout={t}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    #[test]
    fn table() {
        let s = |id: &str, timeout_secs| Session { id: id.into(), timeout_secs };
        check_table(&[
            ("12345678", s("12345678", None), "12345678"),
            ("A1;timeout=60", s("A1", Some(60)), "A1;timeout=60"),
            ("        708345999;timeout=60", s("708345999", Some(60)), "708345999;timeout=60"),
            ("x ; Timeout = 30", s("x", Some(30)), "x;timeout=30"),
            ("x;timeout=soon", s("x", None), "x"),
        ]);
        check_refused::<Session>(&["", "  ", ";timeout=60"]);
    }
}
