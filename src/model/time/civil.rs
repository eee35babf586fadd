//! A reading of a calendar and a clock, with no zone applied.

use std::fmt;

/// Year, month, day and time of day as a recorder shows them. Ordered as written, which in the
/// doubled autumn hour is not the order in which they happened.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Civil {
    year: i16,
    month: u8,
    day: u8,
    micros_of_day: i64,
}

const DAY_US: i64 = 86_400_000_000;

impl Civil {
    /// `None` unless year 1 to 9999, month, day, hour 0 to 23, minute and second are in range.
    /// Second 60 is taken as 59 (recorders that write a leap second), hour 24 only as 24:00:00,
    /// which is the next day's midnight.
    pub fn new(year: i16, month: u8, day: u8, hour: u8, min: u8, sec: u8, us: u32) -> Option<Self> {
        let sec = if sec == 60 { 59 } else { sec };
        let midnight = hour == 24 && min == 0 && sec == 0 && us == 0;
        if !(1..=9999).contains(&year)
            || !(1..=12).contains(&month)
            || day == 0
            || day > days_in_month(year, month)
            || (hour > 23 && !midnight)
            || min > 59
            || sec > 59
            || us > 999_999
        {
            return None;
        }
        let micros_of_day = (i64::from(hour) * 3600 + i64::from(min) * 60 + i64::from(sec))
            * 1_000_000
            + i64::from(us);
        let civil = Self { year, month, day, micros_of_day };
        Some(if midnight { Self::from_micros_as_if_utc(civil.micros_as_if_utc()) } else { civil })
    }

    /// Year, month, day.
    pub fn date(&self) -> (i16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Hour, minute, second, microsecond.
    pub fn time(&self) -> (u8, u8, u8, u32) {
        let s = self.micros_of_day / 1_000_000;
        (
            (s / 3600) as u8,
            (s / 60 % 60) as u8,
            (s % 60) as u8,
            (self.micros_of_day % 1_000_000) as u32,
        )
    }

    /// Microseconds since 1970 if this reading were UTC: a linear scale for differences.
    pub fn micros_as_if_utc(&self) -> i64 {
        days_from_civil(self.year, self.month, self.day) * DAY_US + self.micros_of_day
    }

    /// The reverse of [`Civil::micros_as_if_utc`]; clamped to years 1 to 9999.
    pub fn from_micros_as_if_utc(us: i64) -> Self {
        let us = us.clamp(super::Utc::MIN.micros(), super::Utc::MAX.micros());
        let (year, month, day) = civil_from_days(us.div_euclid(DAY_US));
        Self { year, month, day, micros_of_day: us.rem_euclid(DAY_US) }
    }

    /// Moved by `us` microseconds on the linear scale.
    #[must_use]
    pub fn plus_us(&self, us: i64) -> Self {
        Self::from_micros_as_if_utc(self.micros_as_if_utc().saturating_add(us))
    }

    /// Midnight of the same day.
    #[must_use]
    pub fn start_of_day(&self) -> Self {
        Self { micros_of_day: 0, ..*self }
    }

    /// Reads `YYYY-MM-DDThh:mm[:ss[.f]]` (`T` or blank between date and time) at the start of
    /// `text` and returns what follows.
    pub fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let b = text.as_bytes();
        let num = |from: usize, len: usize| -> Option<u32> {
            let part = b.get(from..from + len)?;
            part.iter()
                .try_fold(0u32, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
        };
        let at = |i: usize| b.get(i).copied();
        if at(4) != Some(b'-') || at(7) != Some(b'-') || at(13) != Some(b':') {
            return None;
        }
        if !matches!(at(10), Some(b'T' | b't' | b' ')) {
            return None;
        }
        let (mut sec, mut us, mut used) = (0, 0, 16);
        if at(16) == Some(b':') {
            sec = num(17, 2)?;
            used = 19;
            if at(19) == Some(b'.') {
                let digits = b[20..].iter().take_while(|d| d.is_ascii_digit()).count();
                if digits == 0 || digits > 9 {
                    return None;
                }
                let kept = digits.min(6);
                us = num(20, kept)? * 10u32.pow(6 - kept as u32);
                used = 20 + digits;
            }
        }
        let civil = Self::new(
            num(0, 4)? as i16,
            num(5, 2)? as u8,
            num(8, 2)? as u8,
            num(11, 2)? as u8,
            num(14, 2)? as u8,
            sec as u8,
            us,
        )?;
        Some((civil, &text[used..]))
    }
}

/// `2026-11-25T03:11:30`, with six digits of fraction where not zero.
impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (h, m, s, us) = self.time();
        write!(f, "{:04}-{:02}-{:02}T{h:02}:{m:02}:{s:02}", self.year, self.month, self.day)?;
        if us > 0 {
            write!(f, ".{us:06}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn days_in_month(year: i16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant's algorithm).
fn days_from_civil(year: i16, month: u8, day: u8) -> i64 {
    let y = i64::from(year) - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (i64::from(month) + 9) % 12;
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

fn civil_from_days(days: i64) -> (i16, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u8;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u8;
    ((yoe + era * 400 + i64::from(month <= 2)) as i16, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_calendar_cycle_survives() {
        let mut previous = None;
        for days in days_from_civil(1900, 1, 1)..days_from_civil(2300, 1, 1) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
            assert!(previous < Some((y, m, d)));
            previous = Some((y, m, d));
        }
    }

    #[test]
    fn limits() {
        assert!(Civil::new(2023, 2, 29, 0, 0, 0, 0).is_none());
        assert!(Civil::new(2024, 2, 29, 23, 59, 59, 999_999).is_some());
        assert!(Civil::new(2024, 13, 1, 0, 0, 0, 0).is_none());
        assert!(Civil::new(2024, 1, 1, 24, 0, 1, 0).is_none());
        assert_eq!(
            Civil::new(2024, 12, 31, 24, 0, 0, 0).map(|c| c.to_string()).as_deref(),
            Some("2025-01-01T00:00:00")
        );
    }
}
