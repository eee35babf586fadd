//! Times as these devices write them: a dozen spellings of one format.

use dvrgate_model::Civil;

/// What follows the digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Suffix {
    /// Nothing, or nothing that can be read.
    None,
    /// `Z`.
    Utc,
    /// Seconds east of Greenwich.
    Offset(i32),
}

/// No zone is farther from Greenwich.
const MAX_OFFSET_SECONDS: i32 = 15 * 3600;

/// Reads `2022-03-02T17:08:16+01:00` and its relatives: without suffix, without seconds, with `Z`,
/// with a one-digit hour in the offset (`-8:00`), with the sign lost (`…:2800:00`), and the compact
/// form of URIs (`20210818T151815Z`).
pub(crate) fn parse(text: &str) -> Option<(Civil, Suffix)> {
    let text = text.trim();
    let (civil, rest) = Civil::parse_prefix(text).or_else(|| compact(text))?;
    Some((civil, suffix(rest)))
}

fn compact(text: &str) -> Option<(Civil, &str)> {
    let digits = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = text.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    if !text.get(8..9)?.eq_ignore_ascii_case("T") {
        return None;
    }
    let two = |at: usize| digits(at..at + 2).map(|n| n as u8);
    let civil = Civil::new(digits(0..4)? as i16, two(4)?, two(6)?, two(9)?, two(11)?, two(13)?, 0)?;
    Some((civil, text.get(15..)?))
}

fn suffix(text: &str) -> Suffix {
    let text = text.trim();
    if text.eq_ignore_ascii_case("Z") {
        return Suffix::Utc;
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((h, m)) => (h, m),
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => return Suffix::None,
    };
    let number = |t: &str| {
        let plain = (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| t.parse::<i32>().ok()).flatten()
    };
    match (number(hours), number(minutes)) {
        (Some(h), Some(m)) if m < 60 && h * 3600 + m * 60 <= MAX_OFFSET_SECONDS => {
            let s = h * 3600 + m * 60;
            Suffix::Offset(if negative { -s } else { s })
        }
        _ => Suffix::None,
    }
}

/// `2021-08-16T00:00:00Z`: how a search asks, whatever the `Z` means to the device. Rounded down to
/// the second.
pub(crate) fn write(civil: Civil) -> String {
    let ((y, mo, d), (h, mi, s, _)) = (civil.date(), civil.time());
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}Z")
}

/// `20210816T000000Z`: how URIs and RTSP ranges ask.
pub(crate) fn write_compact(civil: Civil) -> String {
    let ((y, mo, d), (h, mi, s, _)) = (civil.date(), civil.time());
    format!("{y:04}{mo:02}{d:02}T{h:02}{mi:02}{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_seen() {
        let at =
            |text| parse(text).map(|(c, s)| (c.to_string(), s)).unwrap_or_else(|| panic!("{text}"));
        for (text, civil, suffix) in [
            ("2022-03-02T17:08:16+01:00", "2022-03-02T17:08:16", Suffix::Offset(3600)),
            ("2026-09-09T17:02:40", "2026-09-09T17:02:40", Suffix::None),
            ("2009-11-14T15:27Z", "2009-11-14T15:27:00", Suffix::Utc),
            ("2016-12-24T18:59:49-8:00", "2016-12-24T18:59:49", Suffix::Offset(-28_800)),
            ("2021-04-06T18:04:2800:00", "2021-04-06T18:04:28", Suffix::Offset(0)),
            (" 2021-08-18T15:18:15Z\n", "2021-08-18T15:18:15", Suffix::Utc),
            ("20210818T151815Z", "2021-08-18T15:18:15", Suffix::Utc),
            ("20210818t151815", "2021-08-18T15:18:15", Suffix::None),
            ("2021-08-18 15:18:15+0530", "2021-08-18T15:18:15", Suffix::Offset(19_800)),
            ("2021-08-18T15:18:15+99:00", "2021-08-18T15:18:15", Suffix::None),
        ] {
            assert_eq!(at(text), (civil.to_owned(), suffix), "{text}");
        }
        for bad in ["", "now", "2021-13-01T00:00:00", "20211301T000000Z", "2021é818T151815Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_prefix_panics() {
        for text in ["2016-12-24T18:59:49.123456-8:00", "20210818T151815Z", "２０２１0818T151815Z"]
        {
            for n in (0..text.len()).filter(|n| text.is_char_boundary(*n)) {
                let _ = parse(&text[..n]);
            }
        }
    }

    #[test]
    fn written_forms_are_read_back() {
        let (c, _) = parse("2024-02-29T23:59:58Z").unwrap();
        assert_eq!(parse(&write(c)), Some((c, Suffix::Utc)));
        assert_eq!(parse(&write_compact(c)), Some((c, Suffix::Utc)));
    }
}
