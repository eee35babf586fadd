//! Instants and ranges in UTC.

use std::fmt;
use std::str::FromStr;

use super::Civil;
use crate::{Error, Result};

/// Microseconds since 1970-01-01T00:00:00Z without leap seconds (POSIX).
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Utc(i64);

impl Utc {
    /// 0001-01-01T00:00:00Z: no recorder is older.
    pub const MIN: Utc = Utc(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z: the last instant that xs:dateTime and DuckDB both write.
    pub const MAX: Utc = Utc(253_402_300_799_999_999);

    /// From microseconds, clamped to [`Utc::MIN`] and [`Utc::MAX`].
    pub const fn from_micros(us: i64) -> Self {
        if us < Self::MIN.0 {
            Self::MIN
        } else if us > Self::MAX.0 {
            Self::MAX
        } else {
            Self(us)
        }
    }

    /// From whole seconds.
    pub const fn from_secs(s: i64) -> Self {
        Self::from_micros(s.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Moved by `us` microseconds, clamped.
    #[must_use]
    pub const fn plus_us(self, us: i64) -> Self {
        Self::from_micros(self.0.saturating_add(us))
    }

    /// `self - earlier` in microseconds.
    pub const fn since_us(self, earlier: Utc) -> i64 {
        self.0 - earlier.0
    }
}

/// RFC 3339 with `Z`; the fraction is left out when zero, else six digits.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", Civil::from_micros_as_if_utc(self.0))
    }
}

impl fmt::Debug for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads RFC 3339: `2026-11-25T03:11:30Z`, with a fraction of one to nine digits (cut to
/// microseconds), `Z` or an offset. A time without either is refused: UTC must be said.
impl FromStr for Utc {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("not an RFC 3339 time with zone: {text:?}"));
        let (civil, rest) = Civil::parse_prefix(text).ok_or_else(bad)?;
        let offset_s = match rest.as_bytes() {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let digit = |b: &u8| b.is_ascii_digit().then(|| i64::from(b - b'0'));
                let two = |a, b| Some(digit(a)? * 10 + digit(b)?);
                let s = two(h1, h2).ok_or_else(bad)? * 3600 + two(m1, m2).ok_or_else(bad)? * 60;
                if *sign == b'-' { -s } else { s }
            }
            _ => return Err(bad()),
        };
        Ok(Self::from_micros(civil.micros_as_if_utc() - offset_s * 1_000_000))
    }
}

/// A half-open range: `start` belongs to it, `end` does not.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct UtcRange {
    start: Utc,
    end: Utc,
}

impl UtcRange {
    /// Everything.
    pub const ALL: UtcRange = UtcRange { start: Utc::MIN, end: Utc::MAX };

    /// Refuses an end before the start.
    pub fn new(start: Utc, end: Utc) -> Result<Self> {
        if end < start {
            return Err(Error::invalid(format!("range ends ({end}) before it starts ({start})")));
        }
        Ok(Self { start, end })
    }

    /// Takes an end before the start as an empty range at the start.
    pub fn clamped(start: Utc, end: Utc) -> Self {
        Self { start, end: end.max(start) }
    }

    /// First instant.
    pub const fn start(&self) -> Utc {
        self.start
    }

    /// First instant after it.
    pub const fn end(&self) -> Utc {
        self.end
    }

    /// Length in microseconds.
    pub const fn duration_us(&self) -> i64 {
        self.end.0 - self.start.0
    }

    /// Whether it has no instant.
    pub const fn is_empty(&self) -> bool {
        self.end.0 <= self.start.0
    }

    /// Whether the instant belongs to it.
    pub fn contains(&self, t: Utc) -> bool {
        self.start <= t && t < self.end
    }

    /// Whether both share an instant.
    pub fn overlaps(&self, other: &UtcRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether they overlap or follow without a gap longer than `tolerance_us`.
    pub fn touches(&self, other: &UtcRange, tolerance_us: i64) -> bool {
        self.start.0 <= other.end.0.saturating_add(tolerance_us)
            && other.start.0 <= self.end.0.saturating_add(tolerance_us)
    }

    /// What both share, if anything.
    pub fn intersect(&self, other: &UtcRange) -> Option<UtcRange> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(UtcRange { start, end })
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn hull(&self, other: &UtcRange) -> UtcRange {
        UtcRange { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl fmt::Display for UtcRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} .. {}", self.start, self.end)
    }
}

impl fmt::Debug for UtcRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which way time runs in a search or a playback.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Direction {
    /// Towards later times.
    #[default]
    Forward,
    /// Towards earlier times.
    Reverse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, us) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2009-06-15T11:49:00.440000Z", 1_245_066_540_440_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("9999-12-31T23:59:59.999999Z", Utc::MAX.micros()),
        ] {
            let t: Utc = text.parse().unwrap();
            assert_eq!(t.micros(), us, "{text}");
            assert_eq!(t.to_string(), text);
        }
        let with_offset: Utc = "2022-03-02T17:08:16+01:00".parse().unwrap();
        assert_eq!(with_offset.to_string(), "2022-03-02T16:08:16Z");
        for bad in ["", "2022-03-02", "2022-03-02T17:08:16", "2022-02-30T00:00:00Z", "x"] {
            assert!(bad.parse::<Utc>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_are_half_open() {
        let r = |a, b| UtcRange::new(Utc::from_secs(a), Utc::from_secs(b)).unwrap();
        assert!(r(0, 10).contains(Utc::from_secs(0)));
        assert!(!r(0, 10).contains(Utc::from_secs(10)));
        assert!(!r(0, 10).overlaps(&r(10, 20)));
        assert!(r(0, 10).touches(&r(10, 20), 0));
        assert!(!r(0, 10).touches(&r(11, 20), 999_999));
        assert!(r(0, 10).touches(&r(11, 20), 1_000_000));
        assert_eq!(r(0, 10).intersect(&r(5, 20)), Some(r(5, 10)));
        assert_eq!(r(0, 10).intersect(&r(10, 20)), None);
        assert!(UtcRange::new(Utc::from_secs(1), Utc::from_secs(0)).is_err());
    }
}
