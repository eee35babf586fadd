//! How this vendor writes things: times, zones, XML, playback URIs.

use dvrgate_model::{Civil, Utc, UtcRange};
use dvrgate_testkit::DeviceClock;

/// Text safe inside an XML element.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `2021-08-18T15:18:15`
pub fn long(civil: Civil) -> String {
    let ((y, mo, d), (h, mi, s, _)) = (civil.date(), civil.time());
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}")
}

/// `20210818T151815`
pub fn compact(civil: Civil) -> String {
    long(civil).replace(['-', ':'], "")
}

/// Reads both forms; what follows the seconds is not looked at.
pub fn read_time(text: &str) -> Option<Civil> {
    let text = text.trim();
    if let Some((civil, _)) = Civil::parse_prefix(text) {
        return Some(civil);
    }
    let b = text.as_bytes();
    if b.len() < 15 || b[8] != b'T' || !text.is_ascii() {
        return None;
    }
    let spaced = format!(
        "{}-{}-{}T{}:{}:{}",
        &text[..4],
        &text[4..6],
        &text[6..8],
        &text[9..11],
        &text[11..13],
        &text[13..15]
    );
    Civil::parse_prefix(&spaced).map(|(civil, _)| civil)
}

/// `+01:00`
pub fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let abs = seconds.unsigned_abs();
    format!("{sign}{:02}:{:02}", abs / 3600, abs / 60 % 60)
}

/// The vendor's spelling of a zone rule, made by watching the clock: `CST-1:00:00` and, where it
/// changes its offset, the rule pair that fits the coming years.
pub fn zone(clock: &DeviceClock, now: Utc) -> String {
    const YEAR_US: i64 = 366 * 86_400_000_000;
    let rule = clock.zone();
    let right = DeviceClock::exact(rule.clone());
    let changes: Vec<(Utc, i32, i32)> = right
        .breaks(UtcRange::clamped(now, now.plus_us(8 * YEAR_US)))
        .into_iter()
        .map(|t| (t, rule.offset_secs(t.plus_us(-1)), rule.offset_secs(t)))
        .collect();
    let (mut forward, mut back) = (Vec::new(), Vec::new());
    for &(t, before, after) in &changes {
        // The rule is written in the wall clock of the time before.
        let wall = Civil::from_micros_as_if_utc(t.micros() + i64::from(before) * 1_000_000);
        if after > before { forward.push(wall) } else { back.push(wall) }
    }
    let standard = changes.first().map_or_else(|| rule.offset_secs(now), |c| c.1.min(c.2));
    let hms = |s: u32| format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    // POSIX sign: west of Greenwich is positive.
    let sign = if standard > 0 { '-' } else { '+' };
    let mut text = format!("CST{sign}{}", hms(standard.unsigned_abs()));
    if let (Some(start), Some(end), Some(first)) =
        (rule_text(&forward), rule_text(&back), changes.first())
    {
        let amount = (first.2 - first.1).unsigned_abs();
        text += &format!(
            "DST{:02}:{:02}:{:02},{start},{end}",
            amount / 3600,
            amount / 60 % 60,
            amount % 60
        );
    }
    text
}

/// `M3.5.0/02:00:00` of readings that are a year apart.
fn rule_text(readings: &[Civil]) -> Option<String> {
    let first = readings.first()?;
    let (_, month, _) = first.date();
    let week = |c: &Civil| (c.date().2 - 1) / 7 + 1;
    let last = |c: &Civil| c.plus_us(7 * 86_400_000_000).date().1 != month;
    let week = if readings.iter().all(last) { 5 } else { week(first) };
    // 1970-01-01 was a Thursday.
    let weekday = (first.micros_as_if_utc().div_euclid(86_400_000_000) + 4).rem_euclid(7);
    let (h, m, s, _) = first.time();
    Some(format!("M{month}.{week}.{weekday}/{h:02}:{m:02}:{s:02}"))
}

/// The leaves of a small XML document: local name and text, in order. None where tags do not
/// match. Attributes and namespaces are not looked at.
pub fn leaves(document: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(document).ok()?;
    let (mut open, mut found) = (Vec::new(), Vec::new());
    let (mut rest, mut content, mut is_leaf, mut roots) = (text, "", false, 0);
    while let Some(at) = rest.find('<') {
        let before = &rest[..at];
        let end = rest[at..].find('>')? + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            if is_leaf {
                content = before;
            }
            let expected: String = open.pop()?;
            if local(name) != expected {
                return None;
            }
            if is_leaf {
                found.push((expected, unescaped(content.trim())));
            }
            is_leaf = false;
            roots += usize::from(open.is_empty());
        } else if let Some(empty) = tag.strip_suffix('/') {
            found.push((local(empty).to_owned(), String::new()));
            is_leaf = false;
        } else {
            if open.len() > 32 {
                return None;
            }
            open.push(local(tag).to_owned());
            is_leaf = true;
        }
    }
    (open.is_empty() && roots == 1).then_some(found)
}

fn local(tag: &str) -> &str {
    let name = tag.split_whitespace().next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// What a playback URI asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlaybackUri {
    /// Channel times 100 and the stream.
    pub track: u32,
    /// From.
    pub start: Civil,
    /// To, its second included; none: to the end.
    pub end: Option<Civil>,
    /// The file, where the recorder itself issued the URI.
    pub name: Option<String>,
}

impl PlaybackUri {
    /// From a URI with any host, or from a path. The path may end in a slash.
    pub fn parse(uri: &str) -> Option<Self> {
        let uri: String = uri.split_whitespace().collect();
        let (path, query) = uri.split_once('?')?;
        let lower = path.to_ascii_lowercase();
        let after = &lower[lower.find("/streaming/tracks/")? + "/streaming/tracks/".len()..];
        let track = after.trim_end_matches('/').parse().ok()?;
        let value = |name: &str| {
            let pair = query.split('&').filter_map(|p| p.split_once('='));
            pair.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
        };
        Some(Self {
            track,
            start: read_time(value("starttime")?)?,
            end: match value("endtime") {
                Some(text) => Some(read_time(text)?),
                None => None,
            },
            name: value("name").map(str::to_owned),
        })
    }

    /// The channel's number.
    pub fn channel(&self) -> u16 {
        (self.track / 100).min(u32::from(u16::MAX)) as u16
    }

    /// 1 for the main stream.
    pub fn stream(&self) -> u32 {
        self.track % 100
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_model::ZoneRule;

    use super::*;

    #[test]
    fn zones_in_the_vendors_spelling() {
        let now = "2026-11-25T12:00:00Z".parse().unwrap();
        for (rule, expected) in [
            ("UTC", "CST+0:00:00"),
            ("Asia/Shanghai", "CST-8:00:00"),
            ("Asia/Kolkata", "CST-5:30:00"),
            ("Europe/Bratislava", "CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/03:00:00"),
            ("America/New_York", "CST+5:00:00DST01:00:00,M3.2.0/02:00:00,M11.1.0/02:00:00"),
            ("Australia/Sydney", "CST-10:00:00DST01:00:00,M10.1.0/02:00:00,M4.1.0/03:00:00"),
            (
                "CET-1CEST,M3.5.0/2,M10.5.0/2",
                "CST-1:00:00DST01:00:00,M3.5.0/02:00:00,M10.5.0/02:00:00",
            ),
        ] {
            let clock = DeviceClock::exact(ZoneRule::parse(rule).unwrap());
            assert_eq!(zone(&clock, now), expected, "{rule}");
        }
    }

    #[test]
    fn playback_uris() {
        let uri = "rtsp://10.0.0.9/Streaming/tracks/201/?\nstarttime=20210818T151815Z\
                   &endtime=20210818T151908Z&name=00000004667000100&size=1400788";
        let parsed = PlaybackUri::parse(uri).unwrap();
        assert_eq!((parsed.channel(), parsed.stream()), (2, 1));
        assert_eq!(parsed.start.to_string(), "2021-08-18T15:18:15");
        assert_eq!(parsed.end.unwrap().to_string(), "2021-08-18T15:19:08");
        assert_eq!(parsed.name.as_deref(), Some("00000004667000100"));
        let short = "/PSIA/streaming/tracks/101?starttime=20210818t151815z";
        assert_eq!(PlaybackUri::parse(short), None);
        for cut in 0..uri.len() {
            let _ = PlaybackUri::parse(&uri[..cut]);
        }
    }

    #[test]
    fn documents() {
        let text = b"<?xml version=\"1.0\"?><a xmlns=\"x\"><b:c>1 &amp; 2</b:c><d/><e> x </e></a>";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(leaves(text).unwrap(), [pair("c", "1 & 2"), pair("d", ""), pair("e", "x")]);
        for cut in 0..text.len() {
            assert_eq!(leaves(&text[..cut]), None, "at {cut}");
        }
        assert_eq!(leaves(b"<a></b>"), None);
        assert_eq!(leaves(b"<a></a><b></b>"), None);
    }
}
