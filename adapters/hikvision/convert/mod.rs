//! From the vendor's words to source types: the only place that knows both vocabularies.

mod channels;
mod events;
mod time;

pub(crate) use channels::{Numbering, channels, track_id};
pub(crate) use events::{alert, log_entry};
pub(crate) use time::{Clock, clock, reading};

use dvrgate_adapter::SourceSegment;
use dvrgate_adapter::mapping::Ends;
use dvrgate_model::{ChannelId, Civil, Locator, SourceTime, StreamKind, ZoneClaim, ZoneTrust};

use crate::wire::WireError;
use crate::wire::search::Match;

/// A segment whose end is younger than this may still grow: ends lag by minutes.
const OPEN_US: i64 = 120_000_000;

/// How listed times are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing {
    /// What a listed end means.
    pub(crate) ends: Ends,
    /// Whether zone claims are believed.
    pub(crate) trust: ZoneTrust,
    /// The device's clock now, in the convention of listings.
    pub(crate) now: Option<Civil>,
    /// It went back not long ago: later readings are of the past.
    pub(crate) went_back: bool,
}

/// One listed segment. `None` for pictures and for other tracks, which some firmware mixes in.
pub(crate) fn segment(
    m: &Match,
    channel: ChannelId,
    stream: StreamKind,
    how: Listing,
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
    // A clock that was set back while recording leaves ends before starts: nothing is in them.
    if listing_civil(&end, how.trust) <= listing_civil(&start, how.trust) {
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

    fn listing(now: &str) -> Listing {
        Listing {
            ends: Ends::InclusiveSecond,
            trust: ZoneTrust::WallClock,
            now: reading(now).map(|t| t.civil),
            went_back: false,
        }
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
