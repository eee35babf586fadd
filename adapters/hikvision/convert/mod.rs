//! From the vendor's words to source types: the only place that knows both vocabularies.

mod channels;
mod events;
mod time;

pub(crate) use channels::{Numbering, channels, track_id};
pub(crate) use events::{alert, log_entry};
pub(crate) use time::{Clock, clock, reading};

use dvrgate_adapter::SourceSegment;
use dvrgate_adapter::mapping::Ends;
use dvrgate_model::{
    ChannelId, Civil, Locator, SourceTime, StreamKind, Utc, ZoneClaim, ZoneRule, ZoneTrust,
};

use crate::wire::WireError;
use crate::wire::search::Match;

/// A segment whose end is younger than this may still grow: ends lag by minutes.
const OPEN_US: i64 = 120_000_000;

/// How listed times are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing<'a> {
    /// What a listed end means.
    pub(crate) ends: Ends,
    /// Whether zone claims are believed.
    pub(crate) trust: ZoneTrust,
    /// The device's clock now, in the convention of listings.
    pub(crate) now: Option<Civil>,
    /// It went back not long ago: later readings are of the past.
    pub(crate) went_back: bool,
    /// Its zone, where that is known.
    pub(crate) zone: Option<&'a ZoneRule>,
}

/// One listed segment. `None` for pictures and for other tracks, which some firmware mixes in.
pub(crate) fn segment(
    m: &Match,
    channel: ChannelId,
    stream: StreamKind,
    how: Listing<'_>,
) -> Result<Option<SourceSegment>, WireError> {
    let other = m.track != track_id(channel, stream);
    if other || m.content.eq_ignore_ascii_case("picture") {
        return Ok(None);
    }
    let read = |element, text: &str| {
        reading(text)
            .ok_or_else(|| WireError::Value { element, value: text.chars().take(60).collect() })
    };
    let (start, mut end) = (read("startTime", &m.start)?, read("endTime", &m.end)?);
    let growing = how.now.is_some_and(|now| {
        let end = listing_civil(&end, how.trust);
        let passed = how.went_back && end > now.plus_us(OPEN_US);
        end.plus_us(OPEN_US) > now && !passed
    });
    if how.ends == Ends::InclusiveSecond {
        end.civil = end.civil.plus_us(1_000_000);
    }
    // A clock that was set back while recording leaves ends before starts: nothing is in them. In
    // autumn it goes back by its rule, and there is.
    let is_back = listing_civil(&end, how.trust) <= listing_civil(&start, how.trust);
    let by_rule = || {
        let rule = how.zone.filter(|_| how.trust == ZoneTrust::WallClock);
        rule.is_some_and(|r| goes_back_between(r, start.civil, end.civil))
    };
    if is_back && !by_rule() {
        return Ok(None);
    }
    Ok(Some(SourceSegment {
        channel,
        stream,
        start,
        end,
        code: m.record_type.as_str().into(),
        bytes: m.uri.size(),
        locator: Locator(m.uri.text().into()),
        key: m.name.clone().into(),
        growing,
    }))
}

/// Whether a clock of that zone goes back after the first reading and before the second, which is
/// the later one although it looks earlier.
fn goes_back_between(rule: &ZoneRule, first: Civil, second: Civil) -> bool {
    let offset_s =
        |near: Civil, us| rule.offset_secs(Utc::from_micros(near.micros_as_if_utc()).plus_us(us));
    // As far from UTC as zones are, so on the one and on the other side of the change.
    let (before, after) = (offset_s(first, -DAY_PART_US), offset_s(second, DAY_PART_US));
    let utc = |c: Civil, offset_s: i32| c.micros_as_if_utc() - i64::from(offset_s) * 1_000_000;
    before > after && utc(first, before) < utc(second, after)
}

/// Longer than any zone is from Greenwich, shorter than the time between two changes.
const DAY_PART_US: i64 = 15 * 3_600_000_000;

/// The reading of a listed time in the convention of requests: a believed offset is taken off.
pub(crate) fn listing_civil(t: &SourceTime, trust: ZoneTrust) -> Civil {
    match (trust, t.zone) {
        (ZoneTrust::Claimed, ZoneClaim::Offset(s)) => t.civil.plus_us(-i64::from(s) * 1_000_000),
        _ => t.civil,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{search, testing};

    const PAGE: &[u8] = include_bytes!("../fixtures/search_page.xml");

    fn listing(now: &str) -> Listing<'static> {
        Listing {
            ends: Ends::InclusiveSecond,
            trust: ZoneTrust::WallClock,
            now: reading(now).map(|t| t.civil),
            went_back: false,
            zone: None,
        }
    }

    /// `02:50:17` summer time to `02:00:17` winter time is a file of ten minutes.
    #[test]
    fn a_file_in_which_the_clock_goes_back_by_its_rule() {
        let page = testing::parse(PAGE, search::parse).unwrap();
        let zone = ZoneRule::parse("Europe/Bratislava").unwrap();
        let listed = |start: &str, end: &str, zone: Option<&ZoneRule>| {
            let mut m = page.items[0].clone();
            (m.start, m.end) = (start.into(), end.into());
            let how = Listing { zone, ..listing("2027-01-01T00:00:00") };
            segment(&m, ChannelId(1), StreamKind::Main, how).unwrap()
        };
        let (start, end) = ("2026-10-25T02:50:17Z", "2026-10-25T02:00:17Z");
        let file = listed(start, end, Some(&zone)).unwrap();
        assert_eq!(file.end.civil.to_string(), "2026-10-25T02:00:18");
        assert_eq!(listed(start, end, None), None);
        // A day later, and more than an hour back.
        assert_eq!(listed("2026-10-26T02:50:17Z", "2026-10-26T02:00:17Z", Some(&zone)), None);
        assert_eq!(listed("2026-10-25T02:50:17Z", "2026-10-25T01:40:17Z", Some(&zone)), None);
    }

    #[test]
    fn listed_segments() {
        let page = testing::parse(PAGE, search::parse).unwrap();
        let all: Vec<_> = page
            .items
            .iter()
            .map(|m| {
                segment(m, ChannelId(1), StreamKind::Main, listing("2026-08-18T15:22:30"))
                    .unwrap()
                    .unwrap()
            })
            .collect();
        assert_eq!(&*all[0].start.raw, "2026-08-18T15:18:15Z");
        assert_eq!(&*all[0].end.raw, "2026-08-18T15:19:08Z");
        assert_eq!(all[0].end.civil.to_string(), "2026-08-18T15:19:09");
        assert_eq!(
            (&*all[0].code, all[0].bytes, all[0].growing),
            ("timing", Some(1_400_788), false)
        );
        assert_eq!(&all[0].key[..], b"00000004667000100");
        assert!(
            all[0].locator.0.starts_with(b"rtsp://192.0.2.40/Streaming/tracks/101/?starttime=")
        );
        assert!(all[1].growing, "its end is 90 s old");
        // An hour before, as after the end of summer time: the same readings are of the past.
        let back = Listing { went_back: true, ..listing("2026-08-18T14:22:30") };
        let past = segment(&page.items[1], ChannelId(1), StreamKind::Main, back).unwrap().unwrap();
        assert!(!past.growing);
        let other =
            segment(&page.items[0], ChannelId(2), StreamKind::Main, listing("2027-01-01T00:00:00"));
        assert_eq!(other, Ok(None));
    }

    #[test]
    fn offsets_are_taken_off_only_where_they_are_believed() {
        let t = reading("2026-07-21T08:00:00+02:00").unwrap();
        assert_eq!(listing_civil(&t, ZoneTrust::WallClock).to_string(), "2026-07-21T08:00:00");
        assert_eq!(listing_civil(&t, ZoneTrust::Claimed).to_string(), "2026-07-21T06:00:00");
    }
}
