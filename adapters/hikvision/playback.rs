//! Footage by RTSP: URL, anchor and end of a playback that says little about either.
//!
//! The device begins at the key frame before the asked time (2 to 9 s early) and echoes the asked
//! time, so the anchor is an interval. It sends no end: after the last frame it falls silent, or
//! goes on. So the end is counted in media time, or heard as silence by the driver.

use dvrgate_media::container::{Anchor, Demuxed};
use dvrgate_model::{Civil, Convention, MediaTime, SourceRange, TrackKind};

use crate::wire::Generation;
use crate::wire::uri::PlaybackUri;

/// Playback starts up to this much before the asked time.
const LEAD_US: i64 = 9_000_000;
/// Footage this much beyond the window is enough for its last picture.
const TAIL_US: i64 = 1_000_000;

/// The URL of a window of a track, without the authority. A listed file keeps its name.
pub(crate) fn uri(
    g: Generation,
    issued: Option<PlaybackUri>,
    track: u32,
    window: SourceRange,
) -> PlaybackUri {
    // Requests say seconds; the end is rounded up.
    let end = window.end.plus_us(999_999);
    match (issued, g) {
        (Some(issued), _) => issued.with_window(window.start, end),
        (None, Generation::Psia) => {
            PlaybackUri::of_path(&format!("/PSIA/streaming/tracks/{track}"), window.start, end)
        }
        (None, _) => PlaybackUri::of_window(track, window.start, end),
    }
}

/// Follows one playback.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Civil,
    /// Media time after which nothing is wanted.
    enough_us: i64,
    first: Option<MediaTime>,
}

/// What to do with an item.
#[derive(Debug)]
pub(crate) enum Told {
    /// Pass these on.
    Pass(Vec<Demuxed>),
    /// The window is over.
    Over,
}

impl Progress {
    /// Of a window in listing readings.
    pub(crate) fn new(window: SourceRange) -> Self {
        let enough_us = window.duration_us() + LEAD_US + TAIL_US;
        Self { start: window.start, enough_us, first: None }
    }

    /// Puts the anchor before the first picture and finds the end.
    pub(crate) fn take(&mut self, item: Demuxed) -> Told {
        let Demuxed::Unit(unit) = &item else { return Told::Pass(vec![item]) };
        if unit.kind != TrackKind::Video {
            return Told::Pass(vec![item]);
        }
        let media = unit.media;
        match self.first {
            Some(first) if media.micros() - first.micros() > self.enough_us => Told::Over,
            Some(_) => Told::Pass(vec![item]),
            None => {
                self.first = Some(media);
                let anchor = Anchor {
                    media,
                    civil: self.start.plus_us(-LEAD_US),
                    convention: Convention::Listing,
                    resolution_us: LEAD_US as u64,
                };
                Told::Pass(vec![Demuxed::Anchor(anchor), item])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dvrgate_media::container::Unit;
    use dvrgate_model::FrameKind;

    use super::*;

    fn at(text: &str) -> Civil {
        Civil::parse_prefix(text).unwrap().0
    }

    fn picture(seconds: i64) -> Demuxed {
        Demuxed::Unit(Unit {
            kind: TrackKind::Video,
            media: MediaTime { ticks: seconds * 90_000, rate_hz: 90_000 },
            frame: FrameKind::Key,
            data: Bytes::new(),
        })
    }

    #[test]
    fn the_first_picture_gets_an_interval_and_the_end_is_counted() {
        let window = SourceRange::new(at("2026-03-01T10:00:00"), at("2026-03-01T10:01:00"));
        let mut p = Progress::new(window);
        let Told::Pass(first) = p.take(picture(500)) else { panic!() };
        let Demuxed::Anchor(a) = &first[0] else { panic!("{first:?}") };
        assert_eq!(
            (a.civil.to_string(), a.resolution_us),
            ("2026-03-01T09:59:51".into(), 9_000_000)
        );
        assert!(matches!(p.take(picture(569)), Told::Pass(_)));
        assert!(matches!(p.take(picture(571)), Told::Over));
    }

    #[test]
    fn urls_by_generation_and_by_file() {
        let window = SourceRange::new(at("2026-03-01T10:00:00"), at("2026-03-01T10:01:00.5"));
        let own = uri(Generation::Isapi, None, 101, window).at("rtsp://h:554");
        assert_eq!(
            own,
            "rtsp://h:554/Streaming/tracks/101/?starttime=20260301T100000Z&endtime=20260301T100101Z"
        );
        let old = uri(Generation::Psia, None, 101, window).at("rtsp://h:554");
        assert!(old.starts_with("rtsp://h:554/PSIA/streaming/tracks/101?starttime="));
        let issued =
            PlaybackUri::parse("rtsp://x/Streaming/tracks/101?starttime=a&endtime=b&name=n&size=1")
                .unwrap();
        let cut = uri(Generation::Isapi, Some(issued), 101, window).at("rtsp://h:554");
        assert_eq!(
            cut,
            "rtsp://h:554/Streaming/tracks/101?starttime=20260301T100000Z&endtime=20260301T100101Z&name=n&size=1"
        );
    }
}
