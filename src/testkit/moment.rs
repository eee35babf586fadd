//! Instants and durations as scenarios write them: `now`, `-6h`, `+1m30s`, RFC 3339.

use std::fmt;
use std::str::FromStr;

use dvrgate_model::{Error, Result, Utc};
use serde::{Deserialize, Deserializer};

/// An instant, absolute or relative to the start of the simulation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// At this instant.
    At(Utc),
    /// So many microseconds after the start (negative: before).
    Relative(i64),
    /// Always the present: what ends here is still going on.
    Now,
}

impl Moment {
    /// The instant, with `start` for the start of the simulation; `None` for [`Moment::Now`].
    pub fn resolve(self, start: Utc) -> Option<Utc> {
        match self {
            Moment::At(t) => Some(t),
            Moment::Relative(us) => Some(start.plus_us(us)),
            Moment::Now => None,
        }
    }
}

impl FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.as_bytes().first() {
            _ if text == "now" => Ok(Moment::Now),
            Some(b'-') => Ok(Moment::Relative(-text[1..].parse::<Span>()?.us)),
            Some(b'+') => Ok(Moment::Relative(text[1..].parse::<Span>()?.us)),
            _ => text.parse().map(Moment::At),
        }
    }
}

/// A duration such as `90s`, `1h30m`, `2d`, `250ms`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Span {
    /// Microseconds.
    pub us: i64,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.us)
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("not a duration such as \"1h30m\": {text:?}"));
        let (mut rest, mut us) = (text, 0i64);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let count: i64 = rest[..digits].parse().map_err(|_| bad())?;
            let unit_len =
                rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
            let unit_us = match &rest[digits..digits + unit_len] {
                "d" => 86_400_000_000,
                "h" => 3_600_000_000,
                "m" => 60_000_000,
                "s" => 1_000_000,
                "ms" => 1_000,
                _ => return Err(bad()),
            };
            us = count.checked_mul(unit_us).and_then(|n| us.checked_add(n)).ok_or_else(bad)?;
            rest = &rest[digits + unit_len..];
        }
        if text.is_empty() { Err(bad()) } else { Ok(Self { us }) }
    }
}

macro_rules! deserialize_from_str {
    ($($t:ty),*) => {$(
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

deserialize_from_str!(Moment, Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let start: Utc = "2026-11-25T12:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Moment>().unwrap().resolve(start);
        assert_eq!(at("-1h30m").unwrap().to_string(), "2026-11-25T10:30:00Z");
        assert_eq!(at("+250ms").unwrap().since_us(start), 250_000);
        assert_eq!(at("2026-10-25T01:00:00Z").unwrap().to_string(), "2026-10-25T01:00:00Z");
        assert_eq!(at("now"), None);
        for bad in ["", "-", "-h", "-3", "-3x", "tomorrow", "-99999999999999999999d"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad:?}");
        }
    }
}
