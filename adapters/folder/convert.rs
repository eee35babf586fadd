//! From what a file, its container and its name say to source times. The only file that weighs
//! them against one another.
//!
//! A listing has one convention, and a folder's is UTC: containers and file systems speak it. What
//! a name says is read in the operator's zone; the doubled hour is decided by when the file was
//! written, or named as undecided. The words themselves stay in `raw`.

use dvrgate_adapter::Mapping;
use dvrgate_ffmpeg::Probe;
use dvrgate_model::{Civil, Codec, Error, Result, SourceTime, Utc, UtcRange, ZoneClaim, ZoneRule};

use crate::grammar::Named;
use crate::walk::Found;

/// How the start of a file was learnt. Its name is the code of the segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Basis {
    /// `creation_time` of the container.
    Container,
    /// The file's name.
    Name,
    /// The file's name, which means two instants, and the earlier one was taken.
    NameDoubled,
    /// When the file was written last, minus its length.
    FileTime,
}

impl Basis {
    /// The code of segments.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Basis::Container => "container",
            Basis::Name => "name",
            Basis::NameDoubled => "name-doubled",
            Basis::FileTime => "file-time",
        }
    }
}

/// The mapping's say in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighing {
    pub(crate) name_first: bool,
    pub(crate) creation_is_wall_clock: bool,
}

/// A file's times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Times {
    pub(crate) range: UtcRange,
    /// The same in the words that it came from.
    pub(crate) start: SourceTime,
    pub(crate) end: SourceTime,
    pub(crate) basis: Basis,
    /// How far the start may be off by the way it was learnt.
    pub(crate) resolution_us: u64,
}

/// File systems keep times to two seconds (FAT), and writing ends some time after recording.
const FILE_TIME_RESOLUTION_US: u64 = 5_000_000;
/// `creation_time` before this is a field that nobody set: 1904, 1970.
const FIRST_YEAR: i16 = 1990;
/// Longer files are not taken as meant: 31 days.
const MAX_DURATION_US: i64 = 31 * 86_400_000_000;

impl Weighing {
    /// Reads the policies of a mapping.
    pub(crate) fn of(mapping: &Mapping) -> Result<Self> {
        const KNOWN: [&str; 2] = ["start", "creation-time"];
        if let Some(unknown) = mapping.policies().find(|p| !KNOWN.contains(p)) {
            return Err(Error::invalid(format!(
                "mapping folder: no policy {unknown:?}; known are {}",
                KNOWN.join(", ")
            )));
        }
        Ok(Self {
            name_first: mapping.policy_of(
                "start",
                &[("container", false), ("name", true)],
                false,
            )?,
            creation_is_wall_clock: mapping.policy_of(
                "creation-time",
                &[("utc", false), ("wall-clock", true)],
                false,
            )?,
        })
    }

    /// The times of a file; `None` where its length cannot be told.
    pub(crate) fn times(
        self,
        file: &Found,
        probe: &Probe,
        named: Option<&Named>,
        zone: &ZoneRule,
    ) -> Option<Times> {
        // The container's length, or what the name says it is.
        let named_us = || {
            let n = named?;
            Some(n.end?.micros_as_if_utc() - n.start.micros_as_if_utc())
        };
        let duration_us = probe.duration_us.or_else(named_us)?;
        if !(1..=MAX_DURATION_US).contains(&duration_us) {
            return None;
        }
        let name = named.map(|n| by_name(n, duration_us, file.written, zone));
        let container = self.by_container(probe, zone);
        let (first, second) = if self.name_first { (name, container) } else { (container, name) };
        let Start { raw, utc, basis, resolution_us } = first.or(second).unwrap_or_else(|| {
            let written = Civil::from_micros_as_if_utc(file.written.micros());
            Start {
                raw: format!("{written}Z - {} s", seconds(duration_us)),
                utc: file.written.plus_us(-duration_us),
                basis: Basis::FileTime,
                resolution_us: FILE_TIME_RESOLUTION_US,
            }
        });
        let end_raw = format!("{raw} + {} s", seconds(duration_us));
        Some(Times {
            range: UtcRange::clamped(utc, utc.plus_us(duration_us)),
            start: source(raw, utc),
            end: source(end_raw, utc.plus_us(duration_us)),
            basis,
            resolution_us,
        })
    }

    fn by_container(self, probe: &Probe, zone: &ZoneRule) -> Option<Start> {
        let raw = probe.creation_time.as_deref()?;
        let (civil, rest) = Civil::parse_prefix(raw)?;
        if civil.date().0 < FIRST_YEAR {
            return None;
        }
        let utc = match offset(rest)? {
            _ if self.creation_is_wall_clock => instants(civil, zone)[0],
            east_s => Utc::from_micros(civil.micros_as_if_utc() - i64::from(east_s) * 1_000_000),
        };
        // ISO files keep whole seconds and are written with a fraction of zeros.
        let resolution_us = if civil.time().3 == 0 { 1_000_000 } else { 1_000 };
        Some(Start { raw: raw.to_owned(), utc, basis: Basis::Container, resolution_us })
    }
}

/// A start and where it came from.
struct Start {
    raw: String,
    utc: Utc,
    basis: Basis,
    resolution_us: u64,
}

fn source(raw: String, utc: Utc) -> SourceTime {
    let civil = Civil::from_micros_as_if_utc(utc.micros());
    SourceTime { raw: raw.into(), civil, zone: ZoneClaim::Utc }
}

fn by_name(named: &Named, duration_us: i64, written: Utc, zone: &ZoneRule) -> Start {
    let start =
        |utc, basis, resolution_us| Start { raw: named.raw.clone(), utc, basis, resolution_us };
    if named.is_utc {
        let utc = Utc::from_micros(named.start.micros_as_if_utc());
        return start(utc, Basis::Name, named.resolution_us);
    }
    let candidates = instants(named.start, zone);
    let &[first, second] = &candidates[..] else {
        return start(candidates[0], Basis::Name, named.resolution_us);
    };
    // Writing ends with the recording, unless the file was copied.
    let after = |utc: Utc| written.since_us(utc.plus_us(duration_us)).unsigned_abs();
    let width = second.since_us(first).unsigned_abs();
    let (utc, away) =
        if after(second) < after(first) { (second, after(second)) } else { (first, after(first)) };
    if away < width / 4 {
        start(utc, Basis::Name, named.resolution_us)
    } else {
        start(first, Basis::NameDoubled, width)
    }
}

/// Seconds east of Greenwich behind a time: nothing and `Z` are none.
fn offset(text: &str) -> Option<i32> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(char::is_ascii_digit).collect();
    if digits.len() != 4 {
        return None;
    }
    let n: i32 = digits.parse().ok()?;
    Some(sign * (n / 100 * 3600 + n % 100 * 60))
}

fn seconds(us: i64) -> String {
    format!("{}.{:03}", us / 1_000_000, us / 1_000 % 1_000)
}

/// When a wall clock showed that: one instant, or two in the doubled hour, the earlier one first. A
/// reading that the zone leaves out is taken by the rule before.
fn instants(civil: Civil, zone: &ZoneRule) -> Vec<Utc> {
    const DAY_US: i64 = 86_400_000_000;
    let us = civil.micros_as_if_utc();
    let at = |offset_secs: i32| Utc::from_micros(us - i64::from(offset_secs) * 1_000_000);
    let around = [-DAY_US, DAY_US].map(|d| zone.offset_secs(Utc::from_micros(us + d)));
    let mut fits: Vec<_> =
        around.into_iter().filter(|o| zone.offset_secs(at(*o)) == *o).map(at).collect();
    if fits.is_empty() {
        fits.push(at(around[0]));
    }
    fits.sort_by_key(|t| t.micros());
    fits.dedup();
    fits
}

/// Whether a file is worth listing: it has pictures or sound that can be replayed.
pub(crate) fn is_footage(probe: &Probe) -> bool {
    probe.tracks.iter().filter_map(|t| t.params.as_ref()).any(|p| p.codec != Codec::Metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Found {
        Found { path: "a.mp4".into(), bytes: 1, written: Utc::from_secs(1_700_000_000) }
    }

    fn probe(creation: Option<&str>) -> Probe {
        Probe {
            creation_time: creation.map(str::to_owned),
            duration_us: Some(4_500_000),
            ..Probe::default()
        }
    }

    fn named() -> Named {
        Named {
            raw: "20240506_070809".into(),
            start: Civil::new(2024, 5, 6, 7, 8, 9, 0).unwrap(),
            is_utc: false,
            end: None,
            channel: None,
            resolution_us: 1_000_000,
        }
    }

    const CONTAINER: Weighing = Weighing { name_first: false, creation_is_wall_clock: false };

    #[test]
    fn the_better_word_wins() {
        let zone = ZoneRule::utc();
        let created = probe(Some("2024-01-02T03:04:05.000000Z"));
        let t = CONTAINER.times(&file(), &created, Some(&named()), &zone).unwrap();
        assert_eq!(
            (t.basis, t.start.civil.to_string().as_str()),
            (Basis::Container, "2024-01-02T03:04:05")
        );
        assert_eq!((t.start.zone, t.resolution_us), (ZoneClaim::Utc, 1_000_000));
        assert_eq!(&*t.end.raw, "2024-01-02T03:04:05.000000Z + 4.500 s");
        let name_first = Weighing { name_first: true, ..CONTAINER };
        let t = name_first.times(&file(), &created, Some(&named()), &zone).unwrap();
        assert_eq!((t.basis, &*t.start.raw), (Basis::Name, "20240506_070809"));
        for unset in
            [None, Some("1904-01-01T00:00:00Z"), Some("1970-01-01T00:00:00.000000Z"), Some("soon")]
        {
            let t = CONTAINER.times(&file(), &probe(unset), Some(&named()), &zone).unwrap();
            assert_eq!(t.basis, Basis::Name, "{unset:?}");
            let t = CONTAINER.times(&file(), &probe(unset), None, &zone).unwrap();
            assert_eq!(
                (t.basis, &*t.start.raw),
                (Basis::FileTime, "2023-11-14T22:13:20Z - 4.500 s")
            );
            assert_eq!(t.end.civil.to_string(), "2023-11-14T22:13:20");
        }
    }

    #[test]
    fn zones_of_the_words() {
        let zone = ZoneRule::iana("Asia/Kolkata").unwrap();
        let start = |w: Weighing, creation: Option<&str>| {
            let t = w.times(&file(), &probe(creation), Some(&named()), &zone).unwrap();
            t.start.civil.to_string()
        };
        let wall = Weighing { creation_is_wall_clock: true, ..CONTAINER };
        assert_eq!(start(CONTAINER, Some("2024-01-02T03:04:05Z")), "2024-01-02T03:04:05");
        assert_eq!(start(CONTAINER, Some("2024-01-02T03:04:05+0200")), "2024-01-02T01:04:05");
        assert_eq!(start(CONTAINER, Some("2024-01-02T03:04:05-02:30")), "2024-01-02T05:34:05");
        assert_eq!(start(wall, Some("2024-01-02T05:30:00Z")), "2024-01-02T00:00:00");
        assert_eq!(start(CONTAINER, None), "2024-05-06T01:38:09");
    }

    #[test]
    fn a_length_is_needed() {
        let mut endless = probe(None);
        endless.duration_us = None;
        assert_eq!(CONTAINER.times(&file(), &endless, Some(&named()), &ZoneRule::utc()), None);
        let end = Civil::new(2024, 5, 6, 7, 18, 9, 0);
        let long = Named { end, ..named() };
        let t = CONTAINER.times(&file(), &endless, Some(&long), &ZoneRule::utc()).unwrap();
        assert_eq!(t.range.end().since_us(t.range.start()), 600_000_000);
    }

    #[test]
    fn the_doubled_and_the_missing_hour() {
        let zone = ZoneRule::iana("Europe/Bratislava").unwrap();
        let autumn = Civil::new(2026, 10, 25, 2, 30, 0, 0).unwrap();
        let both = instants(autumn, &zone);
        assert_eq!(both.len(), 2);
        assert_eq!(both[1].since_us(both[0]), 3_600_000_000);
        assert!(both.iter().all(|t| zone.civil(*t) == autumn));
        assert_eq!(instants(Civil::new(2026, 3, 29, 2, 30, 0, 0).unwrap(), &zone).len(), 1);
        let summer = Civil::new(2026, 7, 1, 12, 0, 0, 0).unwrap();
        let once = instants(summer, &zone);
        assert_eq!((once.len(), zone.civil(once[0])), (1, summer));

        // When the file was written decides; where it was copied later, the code says so.
        let name = Named { start: autumn, ..named() };
        let case = |written: Utc| {
            let file = Found { written, ..file() };
            let t = CONTAINER.times(&file, &probe(None), Some(&name), &zone).unwrap();
            (t.range.start(), t.basis, t.resolution_us)
        };
        for (i, start) in both.iter().enumerate() {
            assert_eq!(case(start.plus_us(9_000_000)), (both[i], Basis::Name, 1_000_000));
        }
        let copied = case(both[1].plus_us(86_400_000_000));
        assert_eq!(copied, (both[0], Basis::NameDoubled, 3_600_000_000));
    }
}
