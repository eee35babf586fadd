//! Times and channel numbers in file names, by patterns of the mapping.

use dvrgate_adapter::Mapping;
use dvrgate_model::{Civil, Error, Result};

/// Patterns of one mapping: `name-1`, `name-2`, … of its `[paths]`, in that order.
#[derive(Clone, Debug)]
pub(crate) struct Grammars(Vec<Pattern>);

/// What a name says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Named {
    /// The part of the name that is the time, as written.
    pub(crate) raw: String,
    pub(crate) start: Civil,
    /// `start` is UTC (seconds since 1970), not a wall clock.
    pub(crate) is_utc: bool,
    pub(crate) end: Option<Civil>,
    pub(crate) channel: Option<u32>,
    /// Smallest step of the pattern's fields.
    pub(crate) resolution_us: u64,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
    /// Directories that it looks at besides the name.
    directories: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Literal(u8),
    Anything,
    Channel,
    /// Seconds since 1970.
    Epoch,
    Field(Field),
}

/// Calendar fields in falling order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Milli,
}

/// Patterns that a mapping may have.
const MAX_PATTERNS: usize = 64;
/// Wildcards that one pattern may have: matching takes a power of it.
const MAX_WILDCARDS: usize = 3;
/// Longer names are cut: no file system has them.
const MAX_NAME_BYTES: usize = 512;
const MAX_CHANNEL_DIGITS: usize = 4;
const EPOCH_DIGITS: usize = 10;
/// Years in which footage can have been recorded; keeps digits that mean something else out.
const YEARS: std::ops::RangeInclusive<u32> = 1990..=2199;

impl Grammars {
    /// Reads the patterns of a mapping.
    pub(crate) fn of(mapping: &Mapping) -> Result<Self> {
        (1..=MAX_PATTERNS)
            .map(|n| mapping.path(&format!("name-{n}"), ""))
            .filter(|text| !text.is_empty())
            .map(Pattern::parse)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// What the first fitting pattern reads in a path without extension, `/` between its parts.
    pub(crate) fn read(&self, path: &str) -> Option<Named> {
        self.0.iter().find_map(|p| p.read(path))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            parts.push(match byte {
                b'*' => Part::Anything,
                b'%' => match rest.next() {
                    Some(b'Y') => Part::Field(Field::Year),
                    Some(b'm') => Part::Field(Field::Month),
                    Some(b'd') => Part::Field(Field::Day),
                    Some(b'H') => Part::Field(Field::Hour),
                    Some(b'M') => Part::Field(Field::Minute),
                    Some(b'S') => Part::Field(Field::Second),
                    Some(b'f') => Part::Field(Field::Milli),
                    Some(b's') => Part::Epoch,
                    Some(b'C') => Part::Channel,
                    Some(b'%') => Part::Literal(b'%'),
                    _ => {
                        return Err(Error::invalid(format!(
                            "file-name pattern {text:?}: use %Y %m %d %H %M %S %f %s %C or %%"
                        )));
                    }
                },
                other => Part::Literal(other.to_ascii_lowercase()),
            });
        }
        if parts.iter().filter(|p| **p == Part::Anything).count() > MAX_WILDCARDS {
            return Err(Error::invalid(format!(
                "file-name pattern {text:?}: at most {MAX_WILDCARDS} wildcards"
            )));
        }
        let has = |part| parts.contains(&part);
        let dated = [Field::Year, Field::Month, Field::Day, Field::Hour, Field::Minute]
            .into_iter()
            .all(|f| has(Part::Field(f)));
        if !dated && !has(Part::Epoch) {
            return Err(Error::invalid(format!(
                "file-name pattern {text:?}: a start needs %Y %m %d %H %M, or %s"
            )));
        }
        let directories = text.bytes().filter(|b| *b == b'/').count();
        Ok(Self { parts, directories })
    }

    fn read(&self, path: &str) -> Option<Named> {
        let from = path.rmatch_indices('/').nth(self.directories).map_or(0, |(at, _)| at + 1);
        let text = path.get(from..)?.as_bytes();
        let text = &text[..text.len().min(MAX_NAME_BYTES)];
        Found::default().walk(&self.parts, text, 0)
    }
}

/// What was found so far.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    start: [Option<u32>; 7],
    end: [Option<u32>; 7],
    in_end: bool,
    epoch: Option<u32>,
    channel: Option<u32>,
    /// First and last byte of the start.
    span: Option<(usize, usize)>,
}

impl Found {
    /// Matches the rest of the pattern with the rest of the text, shortest wildcards first.
    fn walk(self, parts: &[Part], text: &[u8], at: usize) -> Option<Named> {
        let Some((part, parts)) = parts.split_first() else {
            return if at == text.len() { self.finish(text) } else { None };
        };
        match *part {
            Part::Literal(byte) => {
                let fits = text.get(at)?.to_ascii_lowercase() == byte;
                if fits { self.walk(parts, text, at + 1) } else { None }
            }
            Part::Anything => (at..=text.len()).find_map(|next| self.walk(parts, text, next)),
            Part::Channel => {
                let digits = text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
                (1..=digits.min(MAX_CHANNEL_DIGITS)).rev().find_map(|n| {
                    let channel = number(text, at, n).filter(|c| *c > 0);
                    Self { channel: Some(channel?), ..self }.walk(parts, text, at + n)
                })
            }
            Part::Epoch => {
                let epoch = number(text, at, EPOCH_DIGITS)?;
                let span = Some((at, at + EPOCH_DIGITS));
                Self { epoch: Some(epoch), span, ..self }.walk(parts, text, at + EPOCH_DIGITS)
            }
            Part::Field(field) => {
                let width = match field {
                    Field::Year => 4,
                    Field::Milli => 3,
                    _ => 2,
                };
                let value = number(text, at, width)?;
                self.with(field, value, at, width).walk(parts, text, at + width)
            }
        }
    }

    /// A field that comes again begins the end.
    fn with(mut self, field: Field, value: u32, at: usize, width: usize) -> Self {
        let slot = field as usize;
        self.in_end |= self.start[slot].is_some();
        if self.in_end {
            self.end[slot] = Some(value);
        } else {
            self.start[slot] = Some(value);
            self.span = Some((self.span.map_or(at, |(from, _)| from), at + width));
        }
        self
    }

    fn finish(self, text: &[u8]) -> Option<Named> {
        let (from, to) = self.span?;
        let raw = String::from_utf8_lossy(&text[from..to]).into_owned();
        if let Some(epoch) = self.epoch {
            let start = Civil::from_micros_as_if_utc(i64::from(epoch) * 1_000_000);
            if !YEARS.contains(&u32::try_from(start.date().0).ok()?) {
                return None;
            }
            let resolution_us = 1_000_000;
            return Some(Named {
                raw,
                start,
                is_utc: true,
                end: None,
                channel: self.channel,
                resolution_us,
            });
        }
        let start = civil(&self.start)?;
        // An end without date is of the same day, or of the next one.
        let end = if self.in_end {
            let mut fields = self.end;
            for slot in [Field::Year, Field::Month, Field::Day] {
                fields[slot as usize] = fields[slot as usize].or(self.start[slot as usize]);
            }
            let end = civil(&fields)?;
            let dated = self.end[Field::Day as usize].is_some();
            Some(if end < start && !dated { end.plus_us(86_400_000_000) } else { end })
        } else {
            None
        };
        if end.is_some_and(|e| e < start) {
            return None;
        }
        let resolution_us =
            match (self.start[Field::Second as usize], self.start[Field::Milli as usize]) {
                (_, Some(_)) => 1_000,
                (Some(_), None) => 1_000_000,
                (None, None) => 60_000_000,
            };
        Some(Named { raw, start, is_utc: false, end, channel: self.channel, resolution_us })
    }
}

fn civil(fields: &[Option<u32>; 7]) -> Option<Civil> {
    let [year, month, day, hour, minute, second, milli] = *fields;
    let small = |n: u32| u8::try_from(n).ok();
    Civil::new(
        i16::try_from(year.filter(|y| YEARS.contains(y))?).ok()?,
        small(month?)?,
        small(day?)?,
        small(hour?)?,
        small(minute?)?,
        small(second.unwrap_or(0))?,
        milli.unwrap_or(0) * 1000,
    )
}

fn number(text: &[u8], at: usize, width: usize) -> Option<u32> {
    text.get(at..at + width)?.iter().try_fold(0u32, |n, b| {
        let digit = b.is_ascii_digit().then(|| u32::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builtin() -> Grammars {
        let text = include_str!("../../mappings/folder.toml");
        Grammars::of(&Mapping::parse("folder.toml", text).unwrap()).unwrap()
    }

    #[test]
    fn names_of_recorders() {
        let table: &[(&str, &str, Option<u32>, Option<&str>)] = &[
            ("ch01_20240101000000", "2024-01-01T00:00:00", Some(1), None),
            ("NVR_ch12_main_20240229_235959", "2024-02-29T23:59:59", Some(12), None),
            (
                "ch03_20250630120000_20250630121000",
                "2025-06-30T12:00:00",
                Some(3),
                Some("2025-06-30T12:10:00"),
            ),
            ("20240101_000000", "2024-01-01T00:00:00", None, None),
            (
                "export 20240101_000000_20240102_000000",
                "2024-01-01T00:00:00",
                None,
                Some("2024-01-02T00:00:00"),
            ),
            ("cam/2024-05-06T07-08-09Z", "2024-05-06T07:08:09", None, None),
            ("2024-05-06 07.08.09 front", "2024-05-06T07:08:09", None, None),
            ("x20240506T070809", "2024-05-06T07:08:09", None, None),
            ("00000000120240506070809", "2024-05-06T07:08:09", None, None),
            (
                "deep/2024-05-06/23.50.00-00.10.00[R][0@0][0]",
                "2024-05-06T23:50:00",
                None,
                Some("2024-05-07T00:10:00"),
            ),
            ("yard/20240506/070809", "2024-05-06T07:08:09", None, None),
            (
                "disk/2024-05-06/001/dav/07/07.08.09-07.18.09[M][0@0][0]",
                "2024-05-06T07:08:09",
                None,
                Some("2024-05-06T07:18:09"),
            ),
            (
                "XVR_ch2_main_20240506070809_20240506071009",
                "2024-05-06T07:08:09",
                Some(2),
                Some("2024-05-06T07:10:09"),
            ),
            ("XVR_ch2_main_20240506070809", "2024-05-06T07:08:09", Some(2), None),
            ("CH03-2024-05-06-07-08-09", "2024-05-06T07:08:09", Some(3), None),
            ("x 2024-05-06-07-08-09", "2024-05-06T07:08:09", None, None),
            (
                "D4_S20240506070809_E20240506071009",
                "2024-05-06T07:08:09",
                Some(4),
                Some("2024-05-06T07:10:09"),
            ),
            ("Gate-20240506-070809-1714979289", "2024-05-06T07:08:09", None, None),
            ("2024-05-06 07-08-09", "2024-05-06T07:08:09", None, None),
            ("Gate 2024-05-06_07.08.09", "2024-05-06T07:08:09", None, None),
            ("clip_1714979289", "2024-05-06T07:08:09", None, None),
        ];
        let grammars = builtin();
        for (name, start, channel, end) in table {
            let named = grammars.read(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(named.start.to_string(), *start, "{name}");
            assert_eq!(named.channel, *channel, "{name}");
            assert_eq!(named.end.map(|e| e.to_string()).as_deref(), *end, "{name}");
            assert_eq!(named.resolution_us, 1_000_000, "{name}");
        }
        assert_eq!(grammars.read("ch01_20240101000000").unwrap().raw, "20240101000000");
        assert!(grammars.read("clip_1714979289").unwrap().is_utc);
        for name in [
            "",
            "a",
            "movie",
            "IMG_0001",
            "20241301_000000",
            "20240230_000000",
            "99999999999999",
            "ch0",
        ] {
            assert_eq!(grammars.read(name), None, "{name}");
        }
    }

    #[test]
    fn other_steps() {
        let minute = Pattern::parse("%Y%m%d-%H%M").unwrap();
        assert_eq!(minute.read("20240506-0708").unwrap().resolution_us, 60_000_000);
        let milli = Pattern::parse("%Y%m%d%H%M%S%f").unwrap();
        let named = milli.read("20240506070809123").unwrap();
        assert_eq!((named.resolution_us, named.start.time().3), (1_000, 123_000));
    }

    #[test]
    fn patterns_without_a_time_are_refused() {
        for bad in ["%Y", "%q", "%", "*", "%H%M", "*%Y*%m*%d*%H%M"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_and_odd_names_are_survived() {
        let grammars = builtin();
        for name in [
            "2".repeat(4000),
            "ch1".repeat(300),
            "é".repeat(400),
            "20240101_".repeat(60),
            "/".repeat(99),
        ] {
            let _ = grammars.read(&name);
        }
    }
}
