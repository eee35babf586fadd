//! Whether the `Z` in a device's listings is its wall clock or UTC: an engine over answers.
//!
//! No flag and no model says it, so the device is asked. The last quarter of an hour is searched
//! twice, once around the local and once around the UTC reading of the device's own clock. Under
//! the right convention the newest footage ends about now; under the wrong one it is missing, or
//! goes on beyond "now" (a clipped or long segment), which footage of the future cannot. Chance can
//! make footage end there under either, so where files can be downloaded, the listed start of one
//! is compared with the clock inside it, which is wall clock always, and that decides.

use std::collections::VecDeque;

use dvrgate_model::{Civil, ZoneTrust};

/// What was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// `Z` is the wall clock.
    Local,
    /// `Z` is UTC.
    Utc,
    /// The device's zone has no offset now: both are the same.
    Same,
    /// Nothing that was recorded decides it.
    Undecided,
}

/// Window before now.
const BEFORE_US: i64 = 15 * 60_000_000;
/// Window after now.
const AFTER_US: i64 = 60_000_000;
/// How far the end of a growing segment lags at most.
const LAG_US: i64 = 150_000_000;
/// How far an end may lie in the future: rounding (of clocks without seconds, half a minute), and
/// the time since the clock was read. Less than [`AFTER_US`].
const AHEAD_US: i64 = 35_000_000;
/// Below this offset nothing can be decided.
const MIN_OFFSET_US: i64 = 10 * 60_000_000;
/// A file's own clock may differ this much from its listed start: footage begins at the key frame
/// before, and the clock may have been set.
const MEDIA_TOLERANCE_US: i64 = 60_000_000;
/// Tracks that are asked at most.
pub(crate) const MAX_TRACKS: usize = 4;

/// What the engine wants to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// The end of the newest footage of that track in that window; then [`Calibration::newest`].
    Search {
        /// Track.
        track: u32,
        /// First reading.
        start: Civil,
        /// Last reading.
        end: Civil,
        /// How offsets in the answer are to be read.
        trust: ZoneTrust,
    },
    /// It is over.
    Done(Verdict),
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Calibration {
    local: Civil,
    utc: Civil,
    tracks: VecDeque<u32>,
    /// Whether the local window of the first track fits, once it was asked for.
    fits_local: Option<bool>,
    verdict: Option<Verdict>,
}

impl Calibration {
    /// From the device's wall clock, its offset from UTC in seconds, and the tracks that are being
    /// recorded, the likeliest first.
    pub(crate) fn new(
        local: Civil,
        offset_seconds: i32,
        tracks: impl IntoIterator<Item = u32>,
    ) -> Self {
        let offset_us = i64::from(offset_seconds) * 1_000_000;
        Self {
            local,
            utc: local.plus_us(-offset_us),
            tracks: tracks.into_iter().take(MAX_TRACKS).collect(),
            fits_local: None,
            verdict: (offset_us.abs() < MIN_OFFSET_US).then_some(Verdict::Same),
        }
    }

    /// What to ask next.
    pub(crate) fn poll(&self) -> Step {
        match (self.verdict, self.tracks.front()) {
            (Some(verdict), _) => Step::Done(verdict),
            (None, None) => Step::Done(Verdict::Undecided),
            (None, Some(track)) => {
                let (now, trust) = match self.fits_local {
                    None => (self.local, ZoneTrust::WallClock),
                    Some(_) => (self.utc, ZoneTrust::Claimed),
                };
                let (start, end) = (now.plus_us(-BEFORE_US), now.plus_us(AFTER_US));
                Step::Search { track: *track, start, end, trust }
            }
        }
    }

    /// Answers [`Step::Search`]: `None` where nothing was listed or the window was refused. The
    /// end is in the convention of the request.
    pub(crate) fn newest(&mut self, end: Option<Civil>) {
        let fits = |now: Civil| {
            end.is_some_and(|e| e >= now.plus_us(-LAG_US) && e <= now.plus_us(AHEAD_US))
        };
        let Some(fits_local) = self.fits_local.take() else {
            self.fits_local = Some(fits(self.local));
            return;
        };
        match (fits_local, fits(self.utc)) {
            (true, false) => self.verdict = Some(Verdict::Local),
            (false, true) => self.verdict = Some(Verdict::Utc),
            // Both by chance, or neither: the next track.
            _ => drop(self.tracks.pop_front()),
        }
    }
}

/// The verdict of one file: its listed start, and the wall clock inside it.
pub(crate) fn by_media(listed: Civil, inside: Civil, offset_seconds: i32) -> Verdict {
    let offset_us = i64::from(offset_seconds) * 1_000_000;
    if offset_us.abs() < MIN_OFFSET_US {
        return Verdict::Same;
    }
    let ahead = inside.micros_as_if_utc() - listed.micros_as_if_utc();
    match (ahead.abs() <= MEDIA_TOLERANCE_US, (ahead - offset_us).abs() <= MEDIA_TOLERANCE_US) {
        (true, false) => Verdict::Local,
        (false, true) => Verdict::Utc,
        _ => Verdict::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Civil {
        Civil::parse_prefix(text).unwrap().0
    }

    /// A device at 12:00 local that recorded from 6:00 on, `lag` seconds ago still.
    fn run(offset: i32, means_utc: bool, clips: bool, file_us: Option<i64>) -> Verdict {
        let local = at("2026-03-10T12:00:00");
        let offset_us = i64::from(offset) * 1_000_000;
        let mut c = Calibration::new(local, offset, [101]);
        loop {
            match c.poll() {
                Step::Done(v) => return v,
                Step::Search { track, start, end, .. } => {
                    assert_eq!(track, 101);
                    // Its footage in the convention that it uses.
                    let shift = if means_utc { -offset_us } else { 0 };
                    let first = local.plus_us(shift - 20 * 3_600_000_000);
                    let last = local.plus_us(shift - 5_000_000);
                    let answer = (start < last && end > first).then(|| {
                        let mut e = last;
                        if let Some(us) = file_us {
                            // The file that holds the end of the window.
                            let in_file = end.micros_as_if_utc().div_euclid(us) + 1;
                            e = Civil::from_micros_as_if_utc(in_file * us).min(last);
                        }
                        if clips { e.min(end) } else { e }
                    });
                    c.newest(answer);
                }
            }
        }
    }

    #[test]
    fn local_and_utc_are_told_apart_on_both_sides_of_greenwich() {
        for offset in [3_600, 7_200, 19_800, 28_800, 39_600, -10_800, -18_000, -28_800] {
            for clips in [false, true] {
                for file_us in [None, Some(120_000_000), Some(3_600_000_000)] {
                    let told = |utc| run(offset, utc, clips, file_us);
                    assert_eq!(told(false), Verdict::Local, "{offset} {clips} {file_us:?}");
                    assert_eq!(told(true), Verdict::Utc, "{offset} {clips} {file_us:?}");
                }
            }
        }
        assert_eq!(run(0, true, false, None), Verdict::Same);
    }

    #[test]
    fn without_footage_nothing_is_decided() {
        let mut c = Calibration::new(at("2026-03-10T12:00:00"), 3_600, [101, 201]);
        let mut asked = 0;
        while let Step::Search { .. } = c.poll() {
            c.newest(None);
            asked += 1;
        }
        assert_eq!((asked, c.poll()), (4, Step::Done(Verdict::Undecided)));
        let none = Calibration::new(at("2026-03-10T12:00:00"), 3_600, []);
        assert_eq!(none.poll(), Step::Done(Verdict::Undecided));
    }

    #[test]
    fn a_file_tells_by_its_own_clock() {
        let listed = at("2026-03-10T08:00:00");
        assert_eq!(by_media(listed, at("2026-03-10T07:59:55"), 3_600), Verdict::Local);
        assert_eq!(by_media(listed, at("2026-03-10T08:59:58"), 3_600), Verdict::Utc);
        assert_eq!(by_media(listed, at("2026-03-10T11:00:00"), 3_600), Verdict::Undecided);
        assert_eq!(by_media(listed, at("2026-03-10T08:00:00"), 0), Verdict::Same);
    }
}
