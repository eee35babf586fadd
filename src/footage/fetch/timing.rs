//! From the media clock of a transfer to UTC. Pure.
//!
//! A transfer's units stand on one media clock; now and then the stream says which reading of the
//! recorder's clock belongs to a media time. Readings are cut to their resolution, so the truth
//! lies in an interval, and the relation found first is kept while it fits into the interval of
//! every later anchor: equal steps of the media clock stay equal steps of UTC.

use dvrgate_media::container::Anchor;
use dvrgate_model::{Civil, ClockMap, Convention, MediaTime, Stamp, Utc};

use crate::Reading;

/// Anchors that differ by no more than this from the relation in use are noise of the recorder's
/// multiplexer.
const NOISE_US: i64 = 20_000;
/// An anchor that differs by more (and by more than its resolution) is a jump of the footage.
const JUMP_US: i64 = 2_000_000;

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Timing {
    clock: ClockMap,
    /// Where the transfer should begin: places the first reading in the doubled hour.
    expected: Utc,
    relation: Option<Relation>,
}

#[derive(Clone, Copy, Debug)]
struct Relation {
    /// UTC minus media time.
    offset_us: i64,
    /// The last reading, and what it meant.
    reading: Reading,
    stamp: Stamp,
    resolution_us: u64,
    assumed: bool,
}

impl Timing {
    /// For a transfer that should begin at `expected`.
    pub(crate) fn new(clock: ClockMap, expected: Utc) -> Self {
        Self { clock, expected, relation: None }
    }

    /// Takes what the stream says about its time.
    pub(crate) fn anchor(&mut self, anchor: &Anchor) {
        let media_us = anchor.media.micros();
        let near = match &self.relation {
            Some(r) => Utc::from_micros(media_us.saturating_add(r.offset_us)),
            None => self.expected,
        };
        let reading = Reading { civil: anchor.civil, convention: anchor.convention };
        let stamp = reading.to_utc(&self.clock, near);
        let offset_us = stamp.utc.micros().saturating_sub(media_us);
        let resolution = i64::try_from(anchor.resolution_us).unwrap_or(i64::MAX).min(60_000_000);
        // The middle of the interval, where that matters.
        let middle = if resolution > NOISE_US { resolution / 2 } else { 0 };
        let kept = self.relation.map(|r| r.offset_us).filter(|kept| {
            kept.saturating_sub(offset_us).unsigned_abs() <= (JUMP_US + resolution) as u64
        });
        let offset_us = match kept {
            None => offset_us + middle,
            Some(kept) => kept.clamp(offset_us - NOISE_US, offset_us + resolution + NOISE_US),
        };
        self.relation = Some(Relation {
            offset_us,
            reading,
            stamp,
            resolution_us: resolution as u64,
            assumed: false,
        });
    }

    /// Takes the reading of the first unit from elsewhere (what the recorder answered, or what was
    /// asked for), until the stream itself says better.
    pub(crate) fn assume(&mut self, media: MediaTime, civil: Civil, convention: Convention) {
        if self.relation.is_none() {
            self.anchor(&Anchor { media, civil, convention, resolution_us: ASSUMED_RESOLUTION_US });
            if let Some(r) = &mut self.relation {
                r.assumed = true;
                // It is the start of what was asked for, not the middle of a second.
                r.offset_us = r.stamp.utc.micros().saturating_sub(media.micros());
            }
        }
    }

    /// Takes over the instant that stored footage has for a unit, if the anchors allow it. They do
    /// where they are coarse: a clock of whole seconds leaves a second of choice, and every
    /// transfer would choose another way.
    pub(crate) fn settle(&mut self, media: MediaTime, utc: Utc) {
        if let Some(r) = &mut self.relation {
            let offset_us = utc.micros().saturating_sub(media.micros());
            if offset_us.abs_diff(r.offset_us) <= r.resolution_us {
                r.offset_us = offset_us;
            }
        }
    }

    /// How coarse the anchors are.
    pub(crate) fn resolution_us(&self) -> i64 {
        self.relation.map_or(0, |r| r.resolution_us as i64)
    }

    /// Whether the stream said anything about its time.
    pub(crate) fn is_known(&self) -> bool {
        self.relation.is_some()
    }

    /// When a unit was captured.
    pub(crate) fn stamp(&self, media: MediaTime) -> Option<Stamp> {
        let r = self.relation?;
        Some(Stamp {
            utc: Utc::from_micros(media.micros().saturating_add(r.offset_us)),
            uncertainty_us: r.stamp.uncertainty_us.saturating_add(r.resolution_us),
            epoch: r.stamp.epoch,
        })
    }

    /// What the recorder's clock showed then, if the stream said it: as exactly as
    /// [`Timing::stamp`], so that one gives the other.
    pub(crate) fn reading(&self, media: MediaTime) -> Option<Reading> {
        let r = self.relation.filter(|r| !r.assumed)?;
        let since_us = self.stamp(media)?.utc.since_us(r.stamp.utc);
        Some(Reading { civil: r.reading.civil.plus_us(since_us), ..r.reading })
    }
}

/// How exact an assumed start is.
const ASSUMED_RESOLUTION_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use dvrgate_model::{ClockEpoch, ZoneRule, ZoneTrust};

    use super::*;

    fn clock(zone: &str) -> ClockMap {
        let zone = ZoneRule::iana(zone).unwrap();
        ClockMap::new(vec![], ClockEpoch::assumed("d".into(), zone, ZoneTrust::WallClock))
    }

    fn media(ms: i64) -> MediaTime {
        MediaTime { ticks: ms * 90, rate_hz: 90_000 }
    }

    fn anchor(ms: i64, civil: &str, resolution_us: u64) -> Anchor {
        let (civil, _) = Civil::parse_prefix(civil).unwrap();
        Anchor { media: media(ms), civil, convention: Convention::WallClock, resolution_us }
    }

    fn utc(text: &str) -> Utc {
        text.parse().unwrap()
    }

    #[test]
    fn the_doubled_hour_is_placed_by_what_was_asked_for() {
        for (asked, is) in [
            ("2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"),
        ] {
            let mut t = Timing::new(clock("Europe/Bratislava"), utc(asked));
            t.anchor(&anchor(500, "2026-10-25T02:30:00", 1_000));
            assert_eq!(t.stamp(media(500)).unwrap().utc, utc(is));
        }
    }

    #[test]
    fn a_transfer_that_runs_through_the_change_stays_continuous() {
        let mut t = Timing::new(clock("Europe/Bratislava"), utc("2026-10-25T00:59:58Z"));
        t.anchor(&anchor(0, "2026-10-25T02:59:58", 1_000));
        // The clock goes back to 02:00:00 while the media clock goes on.
        t.anchor(&anchor(4_000, "2026-10-25T02:00:02", 1_000));
        assert_eq!(t.stamp(media(4_000)).unwrap().utc, utc("2026-10-25T01:00:02Z"));
        assert_eq!(t.reading(media(5_000)).unwrap().civil.to_string(), "2026-10-25T02:00:03");
    }

    #[test]
    fn whole_second_anchors_do_not_shake_the_stamps() {
        let mut t = Timing::new(clock("UTC"), utc("2026-01-01T00:00:00Z"));
        // The truth is reading + 0.9 s at media 0; anchors every 1.7 s, cut to seconds.
        let truth = |ms: i64| utc("2026-01-01T00:00:00.9Z").plus_us(ms * 1000);
        let mut before: Option<Utc> = None;
        for ms in (0..20_000).step_by(1_700) {
            let civil = Civil::from_micros_as_if_utc(truth(ms).micros() / 1_000_000 * 1_000_000);
            t.anchor(&Anchor { civil, ..anchor(ms, "2026-01-01T00:00:00", 1_000_000) });
            let got = t.stamp(media(ms)).unwrap();
            assert!(got.utc.since_us(truth(ms)).unsigned_abs() <= 500_000 + NOISE_US as u64);
            assert!(got.uncertainty_us >= got.utc.since_us(truth(ms)).unsigned_abs());
            assert!(before.is_none_or(|b| got.utc > b));
            before = Some(got.utc);
        }
        // Anchors at every phase of the second have narrowed it down.
        let end = t.stamp(media(18_700)).unwrap().utc;
        assert!(end.since_us(truth(18_700)).unsigned_abs() < 150_000, "{end}");
    }

    #[test]
    fn noise_is_ignored_and_jumps_are_followed() {
        let mut t = Timing::new(clock("UTC"), utc("2026-01-01T00:00:00Z"));
        t.anchor(&anchor(0, "2026-01-01T00:00:00", 1_000));
        t.anchor(&anchor(1_000, "2026-01-01T00:00:01.012", 1_000));
        assert_eq!(t.stamp(media(2_000)).unwrap().utc, utc("2026-01-01T00:00:02Z"));
        // The recorder went on over a gap of ten minutes; its media clock did not.
        t.anchor(&anchor(2_000, "2026-01-01T00:10:02", 1_000));
        assert_eq!(t.stamp(media(2_000)).unwrap().utc, utc("2026-01-01T00:10:02Z"));
    }

    #[test]
    fn an_assumed_start_gives_way_to_the_stream() {
        let mut t = Timing::new(clock("UTC"), utc("2026-01-01T00:00:00Z"));
        assert!(t.stamp(media(0)).is_none());
        t.assume(media(7), Civil::new(2026, 1, 1, 0, 0, 5, 0).unwrap(), Convention::Listing);
        assert_eq!(t.stamp(media(7)).unwrap().utc, utc("2026-01-01T00:00:05Z"));
        assert!(t.reading(media(7)).is_none());
        t.anchor(&anchor(1007, "2026-01-01T00:00:09", 1_000));
        assert_eq!(t.stamp(media(1007)).unwrap().utc, utc("2026-01-01T00:00:09Z"));
    }
}
