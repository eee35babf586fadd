//! `Range`: what a PLAY or PAUSE is about (RFC 2326 3.5 to 3.7, 12.29; ONVIF Streaming 6.5.1).
//!
//! `clock=` (absolute UTC) and `npt=` are read; `smpte=` is refused. The first time is where
//! playback starts, so in reverse it is the later one.

use std::fmt;
use std::str::FromStr;

use dvrgate_model::time::epoch;
use dvrgate_model::{Civil, Utc};

use super::BadHeader;

/// A range in one of the units.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Range {
    /// Absolute.
    Clock(ClockRange),
    /// Relative to the start of the presentation.
    Npt(NptRange),
}

/// Absolute UTC. At least one end is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockRange {
    /// Where playback starts; `None` (`clock=-END`): at the beginning of data.
    pub start: Option<Utc>,
    /// Where it ends; `None`: at the end of data.
    pub end: Option<Utc>,
}

/// Normal play time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NptRange {
    /// Where playback starts; `None` (`npt=-END`): at the beginning.
    pub start: Option<Npt>,
    /// Where it ends, in microseconds from the beginning.
    pub end_us: Option<i64>,
}

/// A point of normal play time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Npt {
    /// The live edge.
    Now,
    /// Microseconds from the beginning.
    At(i64),
}

impl Npt {
    /// The instant that many microseconds after the beginning. Some players (GStreamer outside of its
    /// ONVIF mode) take the absolute range of the description for seconds since 1900, and ask in those;
    /// no recording is so long that it could mean anything else.
    pub fn instant(us: i64, start: Utc) -> Utc {
        const UNIX_US: i64 = epoch::NTP_TO_UNIX_SECS * 1_000_000;
        if us >= UNIX_US { Utc::from_micros(us - UNIX_US) } else { start.plus_us(us) }
    }
}

impl Range {
    /// In absolute terms, for a presentation that starts at an instant. `now` stays as it is.
    pub fn absolute(self, presentation: Utc) -> Self {
        let Range::Npt(NptRange { start, end_us }) = self else { return self };
        let start = match start {
            Some(Npt::Now) => return self,
            Some(Npt::At(us)) => Some(Npt::instant(us, presentation)),
            None => None,
        };
        Range::Clock(ClockRange { start, end: end_us.map(|us| Npt::instant(us, presentation)) })
    }
}

const fn bad(why: &'static str) -> BadHeader {
    BadHeader { header: "Range", why }
}

impl FromStr for Range {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        // A `;time=` parameter (RFC 2326 12.29) says when to start doing it; nobody sends it.
        let text = text.split(';').next().unwrap_or_default();
        // Without a unit it is npt: seen from a WebRTC gateway.
        let (unit, value) = text.split_once('=').unwrap_or(("npt", text));
        let unit = unit.trim();
        if unit.eq_ignore_ascii_case("clock") {
            clock(value.trim()).map(Range::Clock)
        } else if unit.eq_ignore_ascii_case("npt") {
            npt(value.trim()).map(Range::Npt)
        } else {
            Err(bad("unit is neither clock nor npt"))
        }
    }
}

fn ends(value: &str) -> Result<(&str, &str), BadHeader> {
    let (a, b) = value.split_once('-').ok_or(bad("no '-' between start and end"))?;
    match (a.trim(), b.trim()) {
        ("", "") => Err(bad("neither start nor end")),
        pair => Ok(pair),
    }
}

fn clock(value: &str) -> Result<ClockRange, BadHeader> {
    let (start, end) = ends(value)?;
    let time = |t: &str| match t {
        "" => Ok(None),
        t => clock_time(t).map(Some).ok_or(bad("not a UTC time YYYYMMDDThhmmss[.f]Z")),
    };
    Ok(ClockRange { start: time(start)?, end: time(end)? })
}

/// `YYYYMMDDThhmmss[.f]Z`, f of one to nine digits cut to microseconds.
fn clock_time(text: &str) -> Option<Utc> {
    let text = text.strip_suffix(['Z', 'z'])?;
    let (whole, fraction) = match text.split_once('.') {
        Some((w, f)) if (1..=9).contains(&f.len()) => (w, f),
        Some(_) => return None,
        None => (text, "0"),
    };
    let b = whole.as_bytes();
    if b.len() != 15
        || !matches!(b[8], b'T' | b't')
        || !fraction.bytes().all(|d| d.is_ascii_digit())
    {
        return None;
    }
    let num = |from: usize, len: usize| {
        b[from..from + len]
            .iter()
            .try_fold(0u32, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
    };
    let us = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let us = us.fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
    let civil = Civil::new(
        num(0, 4)? as i16,
        num(4, 2)? as u8,
        num(6, 2)? as u8,
        num(9, 2)? as u8,
        num(11, 2)? as u8,
        num(13, 2)? as u8,
        us,
    )?;
    Some(Utc::from_micros(civil.micros_as_if_utc()))
}

fn npt(value: &str) -> Result<NptRange, BadHeader> {
    let (start, end) = ends(value)?;
    let start = match start {
        "" => None,
        s if s.eq_ignore_ascii_case("now") => Some(Npt::Now),
        s => Some(Npt::At(npt_time(s)?)),
    };
    let end_us = if end.is_empty() { None } else { Some(npt_time(end)?) };
    Ok(NptRange { start, end_us })
}

/// `SS[.f]` or `HH:MM:SS[.f]`.
fn npt_time(text: &str) -> Result<i64, BadHeader> {
    /// As seconds since 1900 until the year 2172, which some players mean by it.
    const MAX_SECS: u64 = 1 << 33;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut secs = 0u64;
    let mut parts = 0;
    for part in whole.split(':') {
        let n: u64 = part.parse().map_err(|_| bad("not a normal play time"))?;
        secs = secs.checked_mul(60).and_then(|s| s.checked_add(n)).ok_or(bad("too far"))?;
        parts += 1;
    }
    if !(parts == 1 || parts == 3) || !fraction.bytes().all(|d| d.is_ascii_digit()) {
        return Err(bad("not a normal play time"));
    }
    if secs > MAX_SECS {
        return Err(bad("too far"));
    }
    let us = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let us = us.fold(0i64, |n, d| n * 10 + i64::from(d - b'0'));
    Ok(secs as i64 * 1_000_000 + us)
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Clock(r) => r.fmt(f),
            Range::Npt(r) => r.fmt(f),
        }
    }
}

impl fmt::Display for ClockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |f: &mut fmt::Formatter<'_>, t: Option<Utc>| match t {
            None => Ok(()),
            Some(t) => {
                let c = Civil::from_micros_as_if_utc(t.micros());
                let ((y, m, d), (h, min, s, us)) = (c.date(), c.time());
                write!(f, "{y:04}{m:02}{d:02}T{h:02}{min:02}{s:02}")?;
                fraction(f, us)?;
                f.write_str("Z")
            }
        };
        f.write_str("clock=")?;
        time(f, self.start)?;
        f.write_str("-")?;
        time(f, self.end)
    }
}

impl fmt::Display for NptRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |f: &mut fmt::Formatter<'_>, us: i64| {
            write!(f, "{}", us / 1_000_000)?;
            fraction(f, (us % 1_000_000) as u32)
        };
        f.write_str("npt=")?;
        match self.start {
            None => {}
            Some(Npt::Now) => f.write_str("now")?,
            Some(Npt::At(us)) => time(f, us)?,
        }
        f.write_str("-")?;
        self.end_us.map_or(Ok(()), |us| time(f, us))
    }
}

/// `.44` for 440 000 µs; nothing for 0.
fn fraction(f: &mut fmt::Formatter<'_>, us: u32) -> fmt::Result {
    if us == 0 {
        return Ok(());
    }
    let digits = format!("{us:06}");
    write!(f, ".{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    fn clock(start: Option<&str>, end: Option<&str>) -> Range {
        let t = |s: &str| s.parse().unwrap();
        Range::Clock(ClockRange { start: start.map(t), end: end.map(t) })
    }

    fn npt(start: Option<Npt>, end_us: Option<i64>) -> Range {
        Range::Npt(NptRange { start, end_us })
    }

    /// R8.5.2-1, R8.5.2-2, R8.5.2-3, R8.5.2-6
    #[test]
    fn table() {
        let (a, b) = ("2009-06-15T11:49:00.44Z", "2009-06-15T11:50:00Z");
        check_table(&[
            ("clock=20090615T114900.440Z-", clock(Some(a), None), "clock=20090615T114900.44Z-"),
            (
                "clock=20090615T114900.440Z-20090615T115000Z",
                clock(Some(a), Some(b)),
                "clock=20090615T114900.44Z-20090615T115000Z",
            ),
            (
                "clock = 20090615T115000Z - 20090615T114900.440000000Z",
                clock(Some(b), Some(a)),
                "clock=20090615T115000Z-20090615T114900.44Z",
            ),
            ("clock=-20090615T115000Z", clock(None, Some(b)), "clock=-20090615T115000Z"),
            (
                "Clock=20090615T115000Z-;time=19970123T143720Z",
                clock(Some(b), None),
                "clock=20090615T115000Z-",
            ),
            (
                "clock=20090615T114900.000001Z-",
                clock(Some("2009-06-15T11:49:00.000001Z"), None),
                "clock=20090615T114900.000001Z-",
            ),
            ("npt=0.000-", npt(Some(Npt::At(0)), None), "npt=0-"),
            ("0.000-", npt(Some(Npt::At(0)), None), "npt=0-"),
            ("npt=now-", npt(Some(Npt::Now), None), "npt=now-"),
            ("npt=-5", npt(None, Some(5_000_000)), "npt=-5"),
            (
                "npt=1:02:03.5-3724.25",
                npt(Some(Npt::At(3_723_500_000)), Some(3_724_250_000)),
                "npt=3723.5-3724.25",
            ),
        ]);
    }

    #[test]
    fn refused() {
        check_refused::<Range>(&[
            "",
            "clock=",
            "clock=-",
            "clock=20090615T114900Z",
            "clock=20090615T114900-",
            "clock=20090615T114900.Z-",
            "clock=20090615T114900.0123456789Z-",
            "clock=20090631T114900Z-",
            "clock=2009061éT114900Z-",
            "smpte=10:12:33:20-",
            "smpte-25=10:07:00-",
            "npt=1:02-",
            "npt=-1-",
            "npt=99999999999999999999-",
            "bytes=0-",
        ]);
    }
}
