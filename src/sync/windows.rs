//! Which stretch of time is listed next: the newest first, then backwards, then none.
//!
//! Pure. What is done is remembered as a watermark, so a sync that was cut off goes on where it
//! was, and one that is repeated asks for little.

use std::fmt;

use dvrgate_model::{Utc, UtcRange};

/// How far one listing has come: everything from `tail` to `head` is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watermark {
    /// Back-fill came down to here.
    pub tail: Utc,
    /// Everything before this is known.
    pub head: Utc,
    /// What is before `tail`.
    pub older: Older,
}

/// What is known of the time before everything that is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Older {
    /// It was not listed yet.
    Open,
    /// The recorder says that there is nothing, and may overlook something.
    Likely,
    /// There is nothing, or nothing that is looked for.
    Nothing,
}

impl Older {
    const ALL: [Self; 3] = [Self::Open, Self::Likely, Self::Nothing];

    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Likely => "likely",
            Self::Nothing => "complete",
        }
    }
}

/// The text form that the index keeps: `tail head open|likely|complete`.
impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.tail, self.head, self.older.name())
    }
}

impl Watermark {
    /// Reads the text form; `None` for anything else (an older version's).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (tail, head) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let state = parts.next()?;
        let older = Older::ALL.into_iter().find(|o| o.name() == state)?;
        (parts.next().is_none() && tail <= head).then_some(Self { tail, head, older })
    }
}

/// How windows are cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The first window of a new recorder.
    pub first_us: i64,
    /// How far a fresh window reaches back behind the watermark.
    pub overlap_us: i64,
    /// Longest window.
    pub widest_us: i64,
    /// Nothing older is looked for.
    pub horizon_us: i64,
}

/// The windows of one listing.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    mark: Option<Watermark>,
    cut: Cut,
    now: Utc,
    step_us: i64,
    floor: Option<Floor>,
}

/// Where footage begins, as the recorder says.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// Nothing is older.
    pub at: Utc,
    /// Surely.
    pub sure: bool,
}

impl Plan {
    /// Goes on from a watermark. A watermark from the future (our clock was set back) counts as
    /// reaching to the present.
    pub fn new(mark: Option<Watermark>, cut: Cut, now: Utc) -> Self {
        let mark = mark.map(|m| Watermark { head: m.head.min(now), tail: m.tail.min(now), ..m });
        Self { mark, cut, now, step_us: cut.first_us, floor: None }
    }

    /// What is known.
    pub fn mark(&self) -> Option<Watermark> {
        self.mark
    }

    /// From behind the watermark up to a little beyond the present.
    pub fn fresh(&self) -> UtcRange {
        let from = match self.mark {
            Some(m) => m.head.plus_us(-self.cut.overlap_us),
            // No wider than the first window, so that one query answers it.
            None => self.now.plus_us(AHEAD_US - self.cut.first_us),
        };
        UtcRange::clamped(from, self.now.plus_us(AHEAD_US))
    }

    /// Everything of a fresh window was listed.
    pub fn fresh_done(&mut self, window: UtcRange) {
        let mark = self.mark.get_or_insert(Watermark {
            tail: window.start(),
            head: self.now,
            older: Older::Open,
        });
        mark.head = self.now.max(mark.head);
        mark.tail = mark.tail.min(mark.head);
    }

    /// The recorder says where its footage begins.
    pub fn set_floor(&mut self, floor: Floor) {
        self.floor = Some(floor);
        self.settle();
    }

    /// The next window before what is known; `None` when the oldest was reached.
    pub fn back(&self) -> Option<UtcRange> {
        let mark = self.mark.filter(|m| m.older == Older::Open)?;
        let floor = self.floor.map_or(Utc::MIN, |f| f.at);
        let from = mark.tail.plus_us(-self.step_us).max(self.horizon()).max(floor);
        Some(UtcRange::clamped(from, mark.tail)).filter(|w| !w.is_empty())
    }

    /// The next window to look whether the recorder overlooked something; `None` where it did not,
    /// or where there is back-fill to do.
    pub fn beyond(&self) -> Option<UtcRange> {
        let mark = self.mark.filter(|m| m.older == Older::Likely)?;
        let from = mark.tail.plus_us(-self.cut.widest_us).max(self.horizon());
        Some(UtcRange::clamped(from, mark.tail)).filter(|w| !w.is_empty())
    }

    /// Everything of a window of [`Plan::beyond`] was listed: something was there, or not.
    pub fn beyond_done(&mut self, window: UtcRange, found: bool) {
        if let Some(mark) = &mut self.mark {
            mark.tail = window.start();
            if found {
                mark.older = Older::Open;
            }
        }
        self.settle();
    }

    /// What is before the tail follows from where that is.
    fn settle(&mut self) {
        let horizon = self.horizon();
        let Some(mark) = &mut self.mark else { return };
        let floor = self.floor.filter(|f| mark.tail <= f.at);
        if mark.tail <= horizon || floor.is_some_and(|f| f.sure) {
            mark.older = Older::Nothing;
        } else if floor.is_some() {
            mark.older = Older::Likely;
        }
    }

    fn horizon(&self) -> Utc {
        self.now.plus_us(-self.cut.horizon_us)
    }

    /// Everything of a back-fill window was listed: `items` were found.
    pub fn back_done(&mut self, window: UtcRange, items: usize) {
        if let Some(mark) = &mut self.mark {
            mark.tail = window.start();
        }
        self.settle();
        let factor = match items {
            0 => 8,
            n if n < FEW_ITEMS => 2,
            _ => 1,
        };
        self.step_us = self.step_us.saturating_mul(factor).min(self.cut.widest_us);
    }

    /// Other bounds from now on.
    pub fn recut(&mut self, cut: Cut) {
        self.cut = cut;
        self.step_us = self.step_us.min(cut.widest_us);
    }

    /// The window was too full: the next are as wide as what worked.
    pub fn too_full(&mut self, worked_us: i64) {
        self.step_us = worked_us.clamp(1_000_000, self.cut.widest_us);
    }

    /// How much of the time to the horizon (or to the oldest, where that is known) is done.
    pub fn fraction(&self) -> f64 {
        let Some(mark) = self.mark else { return 0.0 };
        if mark.older != Older::Open {
            return 1.0;
        }
        let end = self.floor.map_or(self.horizon(), |f| f.at.max(self.horizon()));
        let (done, all) = (self.now.since_us(mark.tail), self.now.since_us(end));
        (done as f64 / all.max(1) as f64).clamp(0.0, 1.0)
    }
}

/// Fresh windows end a little after the present: our clock and the recorder's may differ by what
/// the clock map does not know.
const AHEAD_US: i64 = 120_000_000;
/// A window with fewer items is followed by one twice as long, an empty one by a longer one still.
const FEW_ITEMS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Cut = Cut {
        first_us: 3_600_000_000,
        overlap_us: 600_000_000,
        widest_us: 32 * 86_400_000_000,
        horizon_us: 400 * 86_400_000_000,
    };

    #[test]
    fn windows_follow_each_other_down_to_the_horizon() {
        let now: Utc = "2026-11-25T12:00:00Z".parse().unwrap();
        let mut plan = Plan::new(None, CUT, now);
        assert_eq!(plan.back(), None, "the newest comes first");
        let fresh = plan.fresh();
        assert!(fresh.contains(now));
        plan.fresh_done(fresh);
        let (mut edge, mut windows, mut last) = (fresh.start(), 0, 0.0);
        while let Some(w) = plan.back() {
            assert_eq!(w.end(), edge, "no hole");
            edge = w.start();
            // Cut off here, it goes on at the same place.
            let text = plan.mark().unwrap().to_string();
            let again = Plan::new(Watermark::parse(&text), CUT, now);
            assert_eq!(again.back().unwrap().end(), w.end());
            plan.back_done(w, 3);
            assert!(plan.fraction() >= last);
            last = plan.fraction();
            windows += 1;
        }
        assert_eq!(edge, now.plus_us(-CUT.horizon_us));
        assert!(windows < 40, "{windows} windows for a year");
        assert_eq!(plan.fraction(), 1.0);
        let later = Plan::new(plan.mark(), CUT, now.plus_us(60_000_000));
        assert_eq!(later.back(), None);
        assert_eq!(later.fresh().start(), now.plus_us(-CUT.overlap_us));
    }

    #[test]
    fn nothing_is_listed_before_the_beginning_but_what_may_have_been_overlooked() {
        let now: Utc = "2026-11-25T12:00:00Z".parse().unwrap();
        let at = now.plus_us(-40 * 86_400_000_000);
        for sure in [true, false] {
            let mut plan = Plan::new(None, CUT, now);
            plan.fresh_done(plan.fresh());
            plan.set_floor(Floor { at, sure });
            let mut tail = plan.fresh().start();
            while let Some(w) = plan.back() {
                plan.back_done(w, 500);
                tail = w.start();
            }
            assert_eq!((tail, plan.fraction()), (at, 1.0));
            let text = plan.mark().unwrap().to_string();
            let mut later = Plan::new(Watermark::parse(&text), CUT, now);
            assert_eq!((later.back(), later.beyond().is_some()), (None, !sure));
            let Some(w) = later.beyond() else { continue };
            assert_eq!((w.end(), w.duration_us()), (at, CUT.widest_us));
            let mut found = later;
            found.beyond_done(w, true);
            assert_eq!(found.back().unwrap().end(), w.start());
            // Nothing, month after month: it comes to its end.
            let mut looks = 0;
            while let Some(w) = later.beyond() {
                later.beyond_done(w, false);
                looks += 1;
            }
            assert_eq!((looks, later.mark().unwrap().older), (12, Older::Nothing));
        }
        // A beginning that is known already is no back-fill.
        let mut plan = Plan::new(None, CUT, now);
        plan.fresh_done(plan.fresh());
        plan.set_floor(Floor { at: now, sure: false });
        assert_eq!((plan.back(), plan.mark().unwrap().older), (None, Older::Likely));
    }

    #[test]
    fn a_full_recorder_is_asked_for_less() {
        let now: Utc = "2026-11-25T12:00:00Z".parse().unwrap();
        let mut plan = Plan::new(None, CUT, now);
        plan.fresh_done(plan.fresh());
        plan.too_full(900_000_000);
        assert_eq!(plan.back().unwrap().duration_us(), 900_000_000);
        plan.back_done(plan.back().unwrap(), FEW_ITEMS);
        assert_eq!(plan.back().unwrap().duration_us(), 900_000_000);
    }

    #[test]
    fn foreign_watermarks_are_not_believed() {
        for text in [
            "",
            "x",
            "2026-01-01T00:00:00Z",
            "2026-01-02T00:00:00Z 2026-01-01T00:00:00Z open",
            "2026-01-01T00:00:00Z 2026-01-02T00:00:00Z open more",
        ] {
            assert_eq!(Watermark::parse(text), None, "{text}");
        }
    }
}
