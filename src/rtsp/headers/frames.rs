//! `Frames`: which access units of video are wanted (ONVIF Streaming 6.5.3).

use std::fmt;
use std::str::FromStr;

use super::BadHeader;

/// Which access units of video are wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Frames {
    /// All.
    #[default]
    All,
    /// Intra and predicted, no bidirectional ones.
    Predicted,
    /// Intra only, at least that many milliseconds of recorded time apart.
    Intra {
        /// 0 for all of them.
        interval_ms: u32,
    },
}

impl FromStr for Frames {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        let bad = |why| BadHeader { header: "Frames", why };
        let (name, interval) = match text.split_once('/') {
            Some((n, i)) => (n.trim(), Some(i.trim())),
            None => (text.trim(), None),
        };
        let value = match name {
            n if n.eq_ignore_ascii_case("intra") => Self::Intra {
                interval_ms: match interval {
                    None => 0,
                    Some(i) => i.parse().map_err(|_| bad("interval is not a number"))?,
                },
            },
            n if n.eq_ignore_ascii_case("all") => Self::All,
            n if n.eq_ignore_ascii_case("predicted") => Self::Predicted,
            _ => return Err(bad("none of all, predicted, intra")),
        };
        if interval.is_some() && !matches!(value, Self::Intra { .. }) {
            return Err(bad("only intra takes an interval"));
        }
        Ok(value)
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Predicted => f.write_str("predicted"),
            Self::Intra { interval_ms: 0 } => f.write_str("intra"),
            Self::Intra { interval_ms } => write!(f, "intra/{interval_ms}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    /// R8.5.4-1, R8.5.4-2, R8.5.4-3, R8.5.4-4; what is refused is R8.5.4-5.
    #[test]
    fn table() {
        check_table(&[
            ("all", Frames::All, "all"),
            ("predicted", Frames::Predicted, "predicted"),
            ("intra", Frames::Intra { interval_ms: 0 }, "intra"),
            ("intra/4000", Frames::Intra { interval_ms: 4000 }, "intra/4000"),
            (" Intra / 500 ", Frames::Intra { interval_ms: 500 }, "intra/500"),
        ]);
        check_refused::<Frames>(&["", "all/4000", "predicted/1", "intra/", "intra/x", "key"]);
    }
}
