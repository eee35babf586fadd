//! Deliveries of the timeline to RTP timestamps and due dates (R8.3, R8.5, R8.6).
//!
//! Two kinds of timestamp exist. Without rate control it is the time of the frame: the same for a
//! frame however often it is played. With rate control it is when the frame is to be shown: it
//! rises in the order of showing, so in reverse it falls inside a GOP and rises over the GOPs, and
//! a gap is skipped with one frame interval (nobody wants to watch a gap; RFC 2326 appendix B asks
//! for continuous time over jumps).

use std::collections::HashMap;

use dvrgate_footage::{Delivery, Marks};
use dvrgate_model::{Direction, Frame, FrameKind, TrackKind, TrackToken, Utc};

use super::plan::{Pace, Play};

/// A unit that may be sent.
#[derive(Clone, Debug)]
pub struct Timed {
    /// The unit.
    pub frame: Frame,
    /// Its marks.
    pub marks: Marks,
    /// RTP timestamp, before the track's random base is added.
    pub ticks: u32,
    /// When it is due, in microseconds after the first unit of the playback; `None` without rate
    /// control.
    pub due_us: Option<i64>,
}

/// Where gaps are skipped: the interval used until two frames told a better one.
const DEFAULT_INTERVAL_US: i64 = 40_000;
/// Frames of a GOP that are held back in reverse; a longer GOP is shown in parts.
const MAX_HELD: usize = 4096;

/// One playback's clock.
#[derive(Debug)]
pub struct Presenter {
    direction: Direction,
    /// Recorded microseconds a microsecond of showing; `None`: no rate control.
    speed: Option<f64>,
    section: Option<Section>,
    interval_us: i64,
    last_at: HashMap<TrackToken, Utc>,
    /// Reverse with rate control: the GOP whose last frame is not there yet.
    held: Vec<(Frame, Marks)>,
    after_gap: bool,
    /// Recorded time shown so far, gaps taken out.
    shown_us: i64,
}

/// A stretch without a gap: `at` is shown `offset_us` after the first frame of all.
#[derive(Clone, Copy, Debug)]
struct Section {
    at: Utc,
    offset_us: i64,
}

impl Presenter {
    /// A playback that has not begun.
    pub fn new(play: &Play) -> Self {
        Self {
            direction: play.plan.direction,
            speed: match play.pace {
                Pace::Free => None,
                Pace::Times(n) => Some(n),
            },
            section: None,
            interval_us: DEFAULT_INTERVAL_US,
            last_at: HashMap::new(),
            held: Vec::new(),
            after_gap: false,
            shown_us: 0,
        }
    }

    /// The distance between two pictures, as far as it is known.
    pub(super) fn interval_us(&self) -> i64 {
        self.interval_us
    }

    /// Takes a delivery and appends what may be sent now, in order.
    pub fn push(&mut self, delivery: Delivery, out: &mut Vec<Timed>) {
        match delivery {
            Delivery::Unit { frame, marks } => self.unit(frame, marks, out),
            Delivery::Gap(_) => {
                self.flush(out);
                self.after_gap = true;
            }
            Delivery::LiveEdge(_) => self.flush(out),
        }
    }

    /// Appends what was held back: at the end of the playback.
    pub fn flush(&mut self, out: &mut Vec<Timed>) {
        // Of the held frames the last one in time is shown first.
        let Some(newest) = self.held.iter().map(|(f, _)| f.at.utc).max() else { return };
        self.place(newest);
        let gop = std::mem::take(&mut self.held);
        // The GOP must be there before its first frame is shown.
        let due_us = self.due(self.offset(newest));
        for (frame, marks) in gop {
            let offset = self.offset(frame.at.utc);
            self.shown_us = self.shown_us.max(offset);
            out.push(self.timed(frame, marks, offset, due_us));
        }
    }

    fn unit(&mut self, frame: Frame, marks: Marks, out: &mut Vec<Timed>) {
        self.learn_interval(&frame);
        let Some(_) = self.speed else {
            let ticks = frame_ticks(frame.at.utc, frame.params.clock_rate_hz());
            out.push(Timed { frame, marks, ticks, due_us: None });
            return;
        };
        match self.direction {
            Direction::Forward => {
                self.place(frame.at.utc);
                let offset = self.offset(frame.at.utc);
                self.shown_us = self.shown_us.max(offset);
                let due_us = self.due(offset);
                out.push(self.timed(frame, marks, offset, due_us));
            }
            Direction::Reverse => {
                if marks.discontinuity || self.held.len() == MAX_HELD {
                    self.flush(out);
                }
                let last = marks.end_of_span || marks.terminal;
                // Documents end where they end; pictures of the section may follow.
                let is_document = frame.kind == FrameKind::Metadata;
                self.held.push((frame, marks));
                if last {
                    self.flush(out);
                    self.after_gap |= marks.end_of_span && !is_document;
                }
            }
        }
    }

    /// Begins a new section where there is none or a gap was crossed.
    fn place(&mut self, at: Utc) {
        if self.section.is_some() && !self.after_gap {
            return;
        }
        let offset_us = if self.section.is_some() { self.shown_us + self.interval_us } else { 0 };
        self.section = Some(Section { at, offset_us });
        self.after_gap = false;
    }

    /// Recorded time from the first frame to this one in the order of showing, gaps taken out.
    fn offset(&self, at: Utc) -> i64 {
        let Some(section) = self.section else { return 0 };
        let distance = match self.direction {
            Direction::Forward => at.since_us(section.at),
            Direction::Reverse => section.at.since_us(at),
        };
        section.offset_us + distance
    }

    fn due(&self, offset_us: i64) -> Option<i64> {
        self.speed.map(|speed| (offset_us as f64 / speed) as i64)
    }

    fn timed(&self, frame: Frame, marks: Marks, offset_us: i64, due_us: Option<i64>) -> Timed {
        let shown = (offset_us as f64 / self.speed.unwrap_or(1.0)) as i64;
        let ticks = ticks(shown, frame.params.clock_rate_hz());
        Timed { frame, marks, ticks, due_us }
    }

    /// The distance between two neighbouring pictures is what a gap is replaced with.
    fn learn_interval(&mut self, frame: &Frame) {
        if frame.params.codec.track_kind() != TrackKind::Video {
            return;
        }
        let previous = self.last_at.insert(frame.track.clone(), frame.at.utc);
        let distance = previous.map_or(0, |p| frame.at.utc.since_us(p));
        if (1_000..=1_000_000).contains(&distance) {
            self.interval_us = distance;
        }
    }
}

/// The timestamp that belongs to a frame of that instant, before the track's base is added: its
/// capture time in the clock of the track, wrapped as on the wire.
pub fn frame_ticks(at: Utc, rate_hz: u32) -> u32 {
    ticks(at.micros(), rate_hz)
}

/// Rounded to nearest, so that 40 ms are 3600 ticks wherever they begin.
pub(super) fn ticks(us: i64, rate_hz: u32) -> u32 {
    ((i128::from(us) * i128::from(rate_hz) + 500_000).div_euclid(1_000_000)) as u32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use dvrgate_footage::{FrameFilter, PlayPlan};
    use dvrgate_model::{Codec, CodecParams, FrameKind, MediaTime, Stamp, UtcRange};

    use super::*;

    fn t(ms: i64) -> Utc {
        Utc::from_secs(1_700_000_000).plus_us(ms * 1000)
    }

    fn play(direction: Direction, pace: Pace) -> Play {
        let plan = PlayPlan {
            recording: "r".into(),
            tracks: vec!["v".into()],
            from: t(0),
            until: None,
            direction,
            frames: FrameFilter::All,
            follow_live: false,
            discontinuity: false,
        };
        Play { plan, pace, scale: 1.0 }
    }

    fn unit(ms: i64, key: bool, d: bool, e: bool) -> Delivery {
        let frame = Frame {
            track: "v".into(),
            at: Stamp::exact(t(ms)),
            media: MediaTime { ticks: 0, rate_hz: 90_000 },
            kind: if key { FrameKind::Key } else { FrameKind::Predicted },
            params: Arc::new(CodecParams::new(Codec::H264)),
            data: Bytes::new(),
            origin: None,
        };
        let marks = Marks { clean: key, discontinuity: d, end_of_span: e, terminal: false };
        Delivery::Unit { frame, marks }
    }

    /// Two clips of six frames each, GOPs of three, ten seconds apart, as the timeline delivers
    /// them backwards.
    fn backwards() -> Vec<Delivery> {
        let mut list = Vec::new();
        for (gop, last) in [(10_120, false), (10_000, true), (120, false), (0, true)] {
            list.push(unit(gop, true, true, false));
            list.push(unit(gop + 40, false, false, false));
            list.push(unit(gop + 80, false, false, last));
            if gop == 10_000 {
                list.push(Delivery::Gap(UtcRange::new(t(240), t(10_000)).unwrap()));
            }
        }
        list
    }

    fn run(play: &Play, list: Vec<Delivery>) -> Vec<Timed> {
        let mut presenter = Presenter::new(play);
        let mut out = Vec::new();
        list.into_iter().for_each(|d| presenter.push(d, &mut out));
        presenter.flush(&mut out);
        out
    }

    /// R8.6-8: the worked example of docs/replay.md, Rate-Control: no.
    #[test]
    fn without_rate_control_the_timestamp_is_the_frames_own() {
        let out = run(&play(Direction::Reverse, Pace::Free), backwards());
        let zero = frame_ticks(t(0), 90_000);
        let ticks: Vec<u32> = out.iter().map(|u| u.ticks.wrapping_sub(zero)).collect();
        let want = [
            910_800, 914_400, 918_000, 900_000, 903_600, 907_200, 10_800, 14_400, 18_000, 0, 3_600,
            7_200,
        ];
        assert_eq!(ticks, want);
        assert!(out.iter().all(|u| u.due_us.is_none()));
    }

    /// R8.6-9: the same, Rate-Control: yes.
    #[test]
    fn with_rate_control_the_timestamp_is_the_time_of_showing() {
        let out = run(&play(Direction::Reverse, Pace::Times(1.0)), backwards());
        let ticks: Vec<u32> = out.iter().map(|u| u.ticks).collect();
        let want = [
            7_200, 3_600, 0, 18_000, 14_400, 10_800, 28_800, 25_200, 21_600, 39_600, 36_000, 32_400,
        ];
        assert_eq!(ticks, want);
        // A GOP is due when its first shown frame is, and never before the one before it.
        let due: Vec<i64> = out.iter().map(|u| u.due_us.unwrap() / 1000).collect();
        assert_eq!(due, [0, 0, 0, 120, 120, 120, 240, 240, 240, 360, 360, 360]);
    }

    #[test]
    fn forwards_a_gap_is_skipped_with_one_interval_and_scale_divides() {
        let list = vec![
            unit(0, true, false, false),
            unit(40, false, false, true),
            Delivery::Gap(UtcRange::new(t(80), t(10_000)).unwrap()),
            unit(10_000, true, false, false),
            unit(10_040, false, false, false),
        ];
        let out = run(&play(Direction::Forward, Pace::Times(2.0)), list);
        let due: Vec<i64> = out.iter().map(|u| u.due_us.unwrap()).collect();
        assert_eq!(due, [0, 20_000, 40_000, 60_000]);
        let ticks: Vec<u32> = out.iter().map(|u| u.ticks).collect();
        assert_eq!(ticks, [0, 1800, 3600, 5400]);
    }
}
