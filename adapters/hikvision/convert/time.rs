//! Clock texts and zone texts.

use dvrgate_model::{SourceTime, Utc, ZoneClaim, ZoneRule};

use crate::wire::datetime::{self, Suffix};
use crate::wire::time::Time;

/// A time as written, with its claim.
pub(crate) fn reading(text: &str) -> Option<SourceTime> {
    let (civil, suffix) = datetime::parse(text)?;
    let zone = match suffix {
        Suffix::None => ZoneClaim::None,
        Suffix::Utc => ZoneClaim::Utc,
        Suffix::Offset(s) => ZoneClaim::Offset(s),
    };
    Some(SourceTime { raw: text.trim().into(), civil, zone })
}

/// The device's clock: its digits are always wall clock, and its offset is no more than a hint
/// (right clocks with wrong offsets exist). The zone text wins over the offset.
pub(crate) fn clock(time: &Time) -> Option<Clock> {
    let mut shown = reading(&time.local)?;
    let offset = match shown.zone {
        ZoneClaim::Offset(s) => Some(s),
        _ => None,
    };
    let rule = time
        .zone
        .as_deref()
        .and_then(zone_rule)
        .or_else(|| offset.and_then(|s| ZoneRule::fixed(s).ok()));
    // The claim is kept only where the rule agrees with it.
    let agrees = |s: i32| {
        let utc = Utc::from_micros(shown.civil.micros_as_if_utc() - i64::from(s) * 1_000_000);
        rule.as_ref().is_some_and(|r| r.offset_secs(utc) == s)
    };
    shown.zone = offset.filter(|s| agrees(*s)).map_or(ZoneClaim::None, ZoneClaim::Offset);
    // `2009-11-14T15:27Z`: without seconds.
    let to_the_second = shown.raw.as_bytes().get(16) == Some(&b':');
    let resolution_us = if to_the_second { 1_000_000 } else { 60_000_000 };
    Some(Clock { shown, rule, resolution_us })
}

/// What a device says about its clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// What it shows.
    pub(crate) shown: SourceTime,
    /// Its zone rule.
    pub(crate) rule: Option<ZoneRule>,
    /// Its smallest step.
    pub(crate) resolution_us: u64,
}

/// `CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00`. The letters say nothing; the sign is
/// that of POSIX (west is positive); behind `DST` stands by how much the clock is moved, not a zone.
pub(crate) fn zone_rule(text: &str) -> Option<ZoneRule> {
    let text: String = text.split_whitespace().collect();
    let (standard, daylight) = match text.split_once("DST") {
        Some((s, d)) => (s, Some(d)),
        None => (text.as_str(), None),
    };
    let at = standard.find(|c: char| !c.is_ascii_alphabetic())?;
    let west = signed_seconds(standard.get(at..)?)?;
    if west.abs() > MAX_OFFSET_SECONDS {
        return None;
    }
    let Some(daylight) = daylight else { return ZoneRule::fixed(-west).ok() };
    let mut parts = daylight.split(',');
    let moved = signed_seconds(parts.next()?)?;
    let (begin, end) = (parts.next()?, parts.next()?);
    if moved == 0 {
        return ZoneRule::fixed(-west).ok();
    }
    ZoneRule::posix(&format!(
        "STD{}DST{},{},{}",
        offset(west),
        offset(west - moved),
        change(begin)?,
        change(end)?
    ))
    .ok()
}

/// No zone is farther from Greenwich.
const MAX_OFFSET_SECONDS: i32 = 15 * 3600;

/// `-1:00:00`, `+5:30:00`, `01:00:00`.
fn signed_seconds(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut parts = digits.splitn(3, ':').map(|p| p.parse::<u8>().ok());
    let hours = i32::from(parts.next()??);
    let minutes = i32::from(parts.next().unwrap_or(Some(0))?);
    let seconds = i32::from(parts.next().unwrap_or(Some(0))?);
    (minutes < 60 && seconds < 60).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

fn offset(seconds: i32) -> String {
    let (sign, abs) = if seconds < 0 { ("-", -seconds) } else { ("", seconds) };
    format!("{sign}{}:{:02}:{:02}", abs / 3600, abs / 60 % 60, abs % 60)
}

/// `M3.5.0/02:00:00`, checked field by field.
fn change(text: &str) -> Option<String> {
    let (day, time) = text.split_once('/').unwrap_or((text, "02:00:00"));
    let mut fields = day.strip_prefix(['M', 'm'])?.split('.').map(|f| f.parse::<u8>().ok());
    let (month, week, weekday) = (fields.next()??, fields.next()??, fields.next()??);
    let fits = (1..=12).contains(&month) && (1..=5).contains(&week) && weekday <= 6;
    let seconds = signed_seconds(time).filter(|s| (0..=24 * 3600).contains(s))?;
    fits.then(|| format!("M{month}.{week}.{weekday}/{}", offset(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_at(rule: &str, utc: &str) -> i32 {
        zone_rule(rule).unwrap_or_else(|| panic!("{rule}")).offset_secs(utc.parse().unwrap())
    }

    #[test]
    fn the_vendors_zone_texts() {
        let (winter, summer) = ("2026-01-15T12:00:00Z", "2026-07-15T12:00:00Z");
        for (rule, w, s) in [
            ("CST-8:00:00", 28_800, 28_800),
            ("CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00", 3_600, 7_200),
            ("CST+0:00:00DST01:00:00,M3.5.0/00:00:00,M10.5.0/00:00:00", 0, 3_600),
            ("CST-2:00:00DST01:00:00,M3.5.5/02:00:00,M10.5.0/02:00:00", 7_200, 10_800),
            ("CST+5:00:00DST01:00:00,M3.2.0/02:00:00,M11.1.0/02:00:00", -18_000, -14_400),
            ("CST+4:00:00DST01:00:00,M9.1.6/24:00:00,M4.1.6/24:00:00", -10_800, -14_400),
            ("CST-10:00:00DST01:00:00,M10.1.0/02:00:00,M4.1.0/03:00:00", 39_600, 36_000),
            ("CST-5:30:00", 19_800, 19_800),
            ("CST-1:00:00DST00:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00", 3_600, 3_600),
            ("CST-1:00:00DST01:00:00,\n M3.5.0/02:00:00,M10.5.0/03:00:00", 3_600, 7_200),
        ] {
            assert_eq!((offset_at(rule, winter), offset_at(rule, summer)), (w, s), "{rule}");
        }
    }

    #[test]
    fn the_changes_are_to_the_second() {
        // The installer's variant ends summer an hour early.
        let eu = "CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00";
        let installer = "CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/02:00:00";
        assert_eq!(offset_at(eu, "2026-10-25T00:59:59Z"), 7_200);
        assert_eq!(offset_at(eu, "2026-10-25T01:00:00Z"), 3_600);
        assert_eq!(offset_at(installer, "2026-10-24T23:59:59Z"), 7_200);
        assert_eq!(offset_at(installer, "2026-10-25T00:00:00Z"), 3_600);
    }

    #[test]
    fn nonsense_is_no_zone() {
        let good = "CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00";
        for bad in [
            "",
            "CST",
            "CST-99:00:00",
            "CST-1:00:00DST",
            "CST-1:00:00DST01:00:00,M13.5.0/02:00:00,M10.5.0/03:00:00",
        ] {
            assert_eq!(zone_rule(bad), None, "{bad}");
        }
        for n in 0..good.len() {
            let _ = zone_rule(&good[..n]);
        }
    }

    #[test]
    fn a_wrong_offset_is_dropped_and_a_right_one_kept() {
        let time = |local: &str, zone: Option<&str>| {
            let t =
                Time { local: local.into(), zone: zone.map(str::to_owned), mode: String::new() };
            let c = clock(&t).unwrap();
            assert_eq!(c.resolution_us, if local.len() == 17 { 60_000_000 } else { 1_000_000 });
            (c.shown, c.rule)
        };
        let (t, rule) = time(
            "2026-09-09T17:02:40+02:00",
            Some("CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00"),
        );
        assert_eq!(t.zone, ZoneClaim::Offset(7_200));
        assert!(rule.is_some());
        let (t, rule) = time("2026-09-09T17:02:40+08:00", Some("CST-1:00:00"));
        assert_eq!((t.zone, rule.unwrap().as_str()), (ZoneClaim::None, "UTC+01:00"));
        let (t, rule) = time("2026-09-09T17:02:40-8:00", None);
        assert_eq!((t.zone, rule.unwrap().as_str()), (ZoneClaim::Offset(-28_800), "UTC-08:00"));
        let (t, rule) = time("2009-11-14T15:27Z", None);
        assert_eq!((t.zone, rule), (ZoneClaim::None, None));
    }
}
