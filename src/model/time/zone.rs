//! Zone rules: from UTC to a wall clock and back. The only file that knows the zone library.

use std::fmt;

use jiff::tz::{AmbiguousOffset, TimeZone};

use super::{Civil, Utc};
use crate::{Error, Result};

/// How a wall clock follows UTC.
#[derive(Clone)]
pub struct ZoneRule {
    text: Box<str>,
    zone: TimeZone,
}

/// The instants that show one wall-clock reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Instants {
    /// The usual case.
    One(Utc),
    /// Autumn: shown twice.
    Two(Utc, Utc),
    /// Spring: never shown. Both continuations: of the rule before and of the rule after.
    None(Utc, Utc),
}

impl ZoneRule {
    /// A wall clock that shows UTC.
    pub fn utc() -> Self {
        Self { text: "UTC".into(), zone: TimeZone::UTC }
    }

    /// A fixed offset in seconds east of Greenwich.
    pub fn fixed(seconds: i32) -> Result<Self> {
        let offset = jiff::tz::Offset::from_seconds(seconds)
            .map_err(|e| Error::invalid(format!("zone offset {seconds} s")).because(e))?;
        let (sign, abs) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
        let text = match abs % 60 {
            0 => format!("UTC{sign}{:02}:{:02}", abs / 3600, abs / 60 % 60),
            s => format!("UTC{sign}{:02}:{:02}:{s:02}", abs / 3600, abs / 60 % 60),
        };
        Ok(Self { text: text.into(), zone: TimeZone::fixed(offset) })
    }

    /// A name of the IANA database, for instance `Europe/Bratislava`.
    pub fn iana(name: &str) -> Result<Self> {
        let zone = TimeZone::get(name).map_err(|e| {
            Error::invalid(format!(
                "no time zone {name:?}; use an IANA name such as \"Europe/Bratislava\""
            ))
            .because(e)
        })?;
        Ok(Self { text: name.into(), zone })
    }

    /// A POSIX rule, for instance `CET-1CEST,M3.5.0,M10.5.0/3`: what recorders know, one rule for
    /// all years.
    pub fn posix(rule: &str) -> Result<Self> {
        let zone = TimeZone::posix(rule)
            .map_err(|e| Error::invalid(format!("not a POSIX zone rule: {rule:?}")).because(e))?;
        Ok(Self { text: rule.into(), zone })
    }

    /// Reads what [`ZoneRule::as_str`] writes.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "UTC" {
            return Ok(Self::utc());
        }
        if let Some(offset) = text.strip_prefix("UTC").filter(|o| o.starts_with(['+', '-'])) {
            // Numbers of 16 bits cannot overflow the sum.
            let parts = offset[1..].split(':').map(|p| p.parse::<u16>().ok().map(i32::from));
            let secs = parts.zip([3600, 60, 1]).try_fold(0, |sum, (n, unit)| Some(sum + n? * unit));
            let abs =
                secs.ok_or_else(|| Error::invalid(format!("not an offset from UTC: {text:?}")))?;
            return Self::fixed(if offset.starts_with('-') { -abs } else { abs });
        }
        if text.contains(',') {
            Self::posix(text)
        } else {
            Self::iana(text).or_else(|e| Self::posix(text).map_err(|_| e))
        }
    }

    /// The rule as text: `UTC`, `UTC+05:30`, an IANA name or a POSIX rule.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Seconds east of Greenwich at that instant.
    pub fn offset_secs(&self, t: Utc) -> i32 {
        match jiff::Timestamp::from_microsecond(t.micros()) {
            Ok(ts) => self.zone.to_offset(ts).seconds(),
            Err(_) => 0,
        }
    }

    /// What the wall clock shows at that instant.
    pub fn civil(&self, t: Utc) -> Civil {
        Civil::from_micros_as_if_utc(
            t.micros().saturating_add(i64::from(self.offset_secs(t)) * 1_000_000),
        )
    }

    /// When the wall clock shows that reading.
    pub(crate) fn instants(&self, civil: Civil) -> Instants {
        let us = civil.micros_as_if_utc();
        let with = |o: jiff::tz::Offset| Utc::from_micros(us - i64::from(o.seconds()) * 1_000_000);
        let ((y, m, d), (h, min, s, frac)) = (civil.date(), civil.time());
        let at = jiff::civil::DateTime::new(
            y,
            m as i8,
            d as i8,
            h as i8,
            min as i8,
            s as i8,
            frac as i32 * 1000,
        );
        let Ok(at) = at else { return Instants::One(Utc::from_micros(us)) };
        match self.zone.to_ambiguous_timestamp(at).offset() {
            AmbiguousOffset::Unambiguous { offset } => Instants::One(with(offset)),
            AmbiguousOffset::Fold { before, after } => Instants::Two(with(before), with(after)),
            AmbiguousOffset::Gap { before, after } => Instants::None(with(before), with(after)),
        }
    }

    /// Every change of offset inside the range, with the offsets in seconds before and after.
    pub(crate) fn changes(&self, range: super::UtcRange) -> Vec<(Utc, i32, i32)> {
        let (Ok(from), Ok(to)) = (
            jiff::Timestamp::from_microsecond(range.start().micros()),
            jiff::Timestamp::from_microsecond(range.end().micros()),
        ) else {
            return Vec::new();
        };
        self.zone
            .following(from)
            .take_while(|t| t.timestamp() < to)
            .map(|t| {
                let at = Utc::from_micros(t.timestamp().as_microsecond());
                (at, self.offset_secs(at.plus_us(-1)), t.offset().seconds())
            })
            .filter(|(_, before, after)| before != after)
            .collect()
    }
}

impl PartialEq for ZoneRule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ZoneRule {}

impl fmt::Debug for ZoneRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for ZoneRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
