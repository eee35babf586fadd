//! Footage by RTSP: URL, anchor and end of a playback that says little about either.
//!
//! The device begins at the key frame before the asked time (2 to 9 s early) and echoes the asked
//! time, so the anchor is an interval. It sends no end: after the last frame it falls silent, or
//! goes on. So the end is counted in media time, or heard as silence by the driver. Some firmware
//! sends packets of its own between those of the pictures; a clock in them makes a better anchor.

use dvrgate_media::container::{Anchor, Demuxed};
use dvrgate_model::{Civil, Convention, MediaTime, Result, SourceRange, TrackKind};

use crate::container;
use crate::wire::Generation;
use crate::wire::uri::PlaybackUri;

/// Playback starts up to this much before the asked time.
const LEAD_US: i64 = 9_000_000;
/// Payload type of the vendor's own packets.
pub(crate) const PRIVATE_PAYLOAD: u8 = 0x70;
/// A clock further from the window is none: the layout of those packets was not seen in captures.
const PLAUSIBLE_US: i64 = 60_000_000;
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
    /// The window on the device's wall clock.
    wall: SourceRange,
    /// The clock of a private packet: belongs to the next picture.
    clock: Option<Civil>,
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
    /// Of a window in listing readings; wall clock minus listing reading in microseconds.
    pub(crate) fn new(window: SourceRange, wall_ahead_us: i64) -> Self {
        let enough_us = window.duration_us() + LEAD_US + TAIL_US;
        let wall = |c: Civil, us| c.plus_us(wall_ahead_us + us);
        let wall =
            SourceRange::new(wall(window.start, -PLAUSIBLE_US), wall(window.end, PLAUSIBLE_US));
        Self { start: window.start, wall, clock: None, enough_us, first: None }
    }

    /// Takes a packet of the vendor's own. Fails for encrypted footage.
    pub(crate) fn private(&mut self, payload: &[u8]) -> Result<()> {
        let clock = container::private_packet(payload)?;
        self.clock = clock.filter(|c| self.wall.contains(*c)).or(self.clock);
        Ok(())
    }

    /// Puts the anchor before the first picture and finds the end.
    pub(crate) fn take(&mut self, item: Demuxed) -> Told {
        let Demuxed::Unit(unit) = &item else { return Told::Pass(vec![item]) };
        if unit.kind != TrackKind::Video {
            return Told::Pass(vec![item]);
        }
        let media = unit.media;
        let elapsed_us = self.first.map(|first| media.micros() - first.micros());
        if elapsed_us.is_some_and(|us| us > self.enough_us) {
            return Told::Over;
        }
        let is_first = self.first.is_none();
        self.first.get_or_insert(media);
        let (civil, convention, resolution_us) = match self.clock.take() {
            Some(clock) => (clock, Convention::WallClock, container::RESOLUTION_US),
            None if is_first => (self.start.plus_us(-LEAD_US), Convention::Listing, LEAD_US as u64),
            None => return Told::Pass(vec![item]),
        };
        let anchor = Anchor { media, civil, convention, resolution_us };
        Told::Pass(vec![Demuxed::Anchor(anchor), item])
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
        let mut p = Progress::new(window, 3_600_000_000);
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
    fn a_clock_between_the_packets_is_an_anchor_if_it_can_be() {
        let window = SourceRange::new(at("2025-04-28T15:06:18"), at("2025-04-28T15:06:48"));
        let mut p = Progress::new(window, 3_600_000_000);
        let packet = [0, 1, 0, 4, b'H', b'K', 1, 0, 0x19, 0x4e, 0x40, 0x64, 0xa2, 0xdf, 0, 0];
        p.private(&packet).unwrap();
        let Told::Pass(first) = p.take(picture(1)) else { panic!() };
        let Demuxed::Anchor(a) = &first[0] else { panic!("{first:?}") };
        assert_eq!(
            (a.civil.to_string(), a.resolution_us),
            ("2025-04-28T16:06:18.091000".into(), 1_000)
        );
        let mut later = packet;
        later[8] += 1;
        p.private(&later).unwrap();
        assert!(matches!(p.take(picture(2)), Told::Pass(items) if items.len() == 1));
        assert!(p.private(&[0x40, 0, 0, 0]).is_err());
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
