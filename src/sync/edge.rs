//! When a recorder's clock shows its next second: an engine over readings, without clock or socket.
//!
//! A clock that shows whole seconds tells its offset only at the edge between two of them. A
//! reading that was sent at `before` and shows the old second says that the edge comes after
//! `before`; one that was answered at `after` and shows the new second says that it came before
//! `after`. That holds however long the way took in either direction, so a reading that was delayed
//! narrows little and never misleads (Marzullo's intersection over Cristian's bounds). The engine
//! chooses when to ask next: while the edge may lie anywhere, as often as the recorder may be
//! asked, in one sweep; once it is known better than that, in the middle of what is left, a second
//! later. What was believed before says where to look first, and nothing else.

use dvrgate_model::Utc;

use crate::clock::MAX_DRIFT_PPB;

/// One reading: at some instant from `before` to `after` the clock was in
/// `[shown, shown + resolution)`.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Ours, just before the question went out.
    pub before: Utc,
    /// Theirs, with the zone taken off.
    pub shown: Utc,
    /// Ours, just after the answer came.
    pub after: Utc,
    /// Smallest step of their clock.
    pub resolution_us: i64,
}

/// Offsets from `low_us` to `high_us`: theirs minus ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval {
    /// Least.
    pub low_us: i64,
    /// Greatest.
    pub high_us: i64,
}

impl Interval {
    /// As of the answer.
    fn of(r: &Reading) -> Self {
        let (low_us, high_us) =
            (r.shown.since_us(r.after), r.shown.since_us(r.before) + r.resolution_us);
        Self { low_us, high_us: high_us.max(low_us) }.aged(r.after.since_us(r.before))
    }

    /// What it is that much later.
    fn aged(self, by_us: i64) -> Self {
        let drift_us = i128::from(by_us.max(0)) * i128::from(MAX_DRIFT_PPB) / 1_000_000_000;
        self.wider(drift_us as i64 + 1)
    }

    /// All offsets within `around_us` of one.
    pub fn around(offset_us: i64, around_us: u64) -> Self {
        let around_us = i64::try_from(around_us).unwrap_or(i64::MAX / 4);
        Self {
            low_us: offset_us.saturating_sub(around_us),
            high_us: offset_us.saturating_add(around_us),
        }
    }

    /// From the least to the greatest.
    pub fn width_us(self) -> i64 {
        self.high_us.saturating_sub(self.low_us)
    }

    /// What both allow: turned over where they contradict each other.
    fn and(self, other: Self) -> Self {
        Self { low_us: self.low_us.max(other.low_us), high_us: self.high_us.min(other.high_us) }
    }

    fn wider(self, by_us: i64) -> Self {
        Self { low_us: self.low_us - by_us, high_us: self.high_us + by_us }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Search {
    /// Least time between two questions.
    pause_us: i64,
    /// Readings, besides those of sweeps.
    most: usize,
    hint: Option<Hint>,
    /// It is enough to see that the offset is still in there.
    checked: Option<Interval>,
    known: Option<Known>,
    /// What the next reading is for.
    plan: Plan,
    /// When the first answer came.
    since: Option<Utc>,
    /// Readings of sweeps, and others.
    swept: usize,
    aimed: usize,
}

/// Where the offset is expected.
#[derive(Clone, Copy, Debug)]
struct Hint {
    offsets: Interval,
    /// Forgotten then: it helped at the two edges before, or it does not help.
    until: Option<Utc>,
}

/// Why something is asked at that time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Plan {
    /// Is the edge after the earliest time at which it is expected?
    Begin,
    /// The next of many.
    Sweep,
    /// Is it before the latest time at which it is expected?
    End,
    /// In which half is it?
    Halve,
}

/// What readings said so far.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Holds the offset at `at`.
    within: Interval,
    at: Utc,
    /// Shortest round trip.
    trip_us: i64,
    /// When the last question went out.
    sent: Utc,
    resolution_us: i64,
}

impl Search {
    /// At most one question in `pause_us`, and at most `most` besides those of sweeps.
    pub fn new(pause_us: i64, most: usize) -> Self {
        Self {
            pause_us: pause_us.max(0),
            most,
            hint: None,
            checked: None,
            known: None,
            plan: Plan::Halve,
            since: None,
            swept: 0,
            aimed: 0,
        }
    }

    /// The offset is believed to be in there. Wrong hints cost time and nothing else.
    pub fn expect(&mut self, offsets: Interval) {
        self.hint = Some(Hint { offsets: offsets.wider(MARGIN_US), until: None });
    }

    /// The same for an offset that was measured so short a while ago that it only has to be seen
    /// whether it still holds.
    pub fn check(&mut self, offsets: Interval) {
        self.expect(offsets);
        self.checked = Some(offsets);
    }

    /// Takes a reading.
    pub fn observe(&mut self, r: &Reading) {
        match self.plan {
            Plan::Sweep => self.swept += 1,
            _ => self.aimed += 1,
        }
        if let (Plan::Begin, Some(hint)) = (self.plan, &mut self.hint) {
            hint.until.get_or_insert(r.before.plus_us(r.resolution_us + r.resolution_us / 2));
        }
        self.hint = self.hint.filter(|h| h.until.is_none_or(|until| r.after < until));
        self.since.get_or_insert(r.after);
        let new = Interval::of(r);
        let trip_us = r.after.since_us(r.before).max(0);
        let (within, trip_us) = match self.known {
            None => (new, trip_us),
            Some(known) => {
                let both = known.within.aged(r.after.since_us(known.at)).and(new);
                let apart_us = -both.width_us();
                let within = match apart_us {
                    ..=0 => both,
                    // A display that is refreshed irregularly: the edge is about there.
                    us if us <= r.resolution_us / 4 => {
                        Interval { low_us: both.high_us, high_us: both.low_us }
                    }
                    // The clock was set meanwhile.
                    _ => {
                        self.hint = None;
                        new
                    }
                };
                (within, trip_us.min(known.trip_us))
            }
        };
        let (at, sent, resolution_us) = (r.after, r.before, r.resolution_us.max(1));
        self.known = Some(Known { within, at, trip_us, sent, resolution_us });
    }

    /// How long to wait before the next question, in microseconds; `None`: enough is known, or
    /// enough was asked.
    pub fn next(&mut self, now: Utc) -> Option<i64> {
        let Some(known) = self.known else { return Some(0) };
        if self.is_enough(&known) {
            return None;
        }
        let ready_us = known.sent.plus_us(self.pause_us).since_us(now).max(0);
        // Times are counted from the earliest instant at which the edge can be.
        let phase_us =
            (now.plus_us(ready_us).micros() + known.within.high_us).rem_euclid(known.resolution_us);
        let (plan, target_us, latest_us) = self.plan(&known);
        self.plan = plan;
        let wait_us = match target_us - phase_us {
            ahead_us @ 0.. => ahead_us,
            // Late, but not too late for this edge.
            _ if phase_us <= latest_us => 0,
            behind_us => behind_us.rem_euclid(known.resolution_us),
        };
        Some(ready_us + wait_us)
    }

    /// What to ask when, and up to when asking it is still worth it, after the earliest instant at
    /// which the edge can be.
    fn plan(&self, known: &Known) -> (Plan, i64, i64) {
        let (within, trip_us) = (known.within, known.trip_us);
        if trip_us >= known.resolution_us {
            // The way is coarser than the clock: no instant is better than another.
            return (Plan::Halve, 0, i64::MAX);
        }
        let usable = 0..known.resolution_us / 2;
        let likely = self.hint.filter(|h| usable.contains(&h.offsets.and(within).width_us()));
        let (from_us, to_us) = match likely {
            Some(Hint { offsets, .. }) => {
                let likely = offsets.and(within);
                (within.high_us - likely.high_us, within.high_us - likely.low_us)
            }
            None => (0, within.width_us()),
        };
        let left_us = to_us - from_us;
        if from_us > 2 * trip_us + MARGIN_US {
            return (Plan::Begin, from_us - trip_us, from_us + left_us / 2);
        }
        let step_us = self.pause_us.max(left_us / SWEEP);
        let at_once = step_us.max(2 * trip_us) <= NARROW_US && left_us > NARROW_US * 3 / 4;
        if (at_once || left_us >= 3 * step_us) && self.swept < SWEEP as usize {
            return (Plan::Sweep, from_us + step_us, to_us);
        }
        if likely.is_some() && within.width_us() - to_us > 2 * trip_us + MARGIN_US {
            return (Plan::End, to_us, to_us + NARROW_US / 4);
        }
        let middle_us = from_us + left_us / 2;
        (Plan::Halve, (middle_us - trip_us / 2).max(0), middle_us + left_us / 4)
    }

    fn is_enough(&self, known: &Known) -> bool {
        let most = self.most.max(1);
        let took_us = self.since.map_or(0, |since| known.at.since_us(since).max(0));
        // Each edge that was waited for counts.
        let edges = usize::try_from(took_us / known.resolution_us).unwrap_or(usize::MAX);
        let enough_us = match self.aimed.max(edges.min(self.swept + self.aimed)) {
            n if n >= most => i64::MAX,
            n if n >= PATIENCE => FAIR_US.max(known.trip_us * 3 / 2),
            n if n >= CONTENT => FAIR_US,
            // Two edges were looked at as closely as the machine let us.
            _ if self.pause_us <= NARROW_US && edges >= 1 => FAIR_US,
            _ if self.checked.is_some_and(|i| i.and(known.within).width_us() >= 0) => FAIR_US,
            _ => NARROW_US,
        };
        let coarse_us =
            if known.resolution_us > 1_000_000 { known.resolution_us / COARSE } else { 0 };
        known.within.width_us() <= enough_us.max(coarse_us)
    }

    /// What holds the offset, and when it did.
    pub fn found(&self) -> Option<(Interval, Utc)> {
        self.known.map(|k| (k.within, k.at))
    }
}

/// Of a clock without seconds a sweep tells enough: each edge that is waited for takes a minute.
const COARSE: i64 = 20;
/// Narrow enough: its middle is less than half a frame off.
const NARROW_US: i64 = 32_000;
/// Good enough where more would take long: its middle is less than a frame off.
const FAIR_US: i64 = 60_000;
/// Timers wake up this late, and hints are believed this much less.
const MARGIN_US: i64 = 3_000;
/// Questions of one sweep over all that is possible.
const SWEEP: i64 = 48;
/// Readings after which fair is good enough.
const CONTENT: usize = 6;
/// Readings after which a long way to the recorder is taken for granted.
const PATIENCE: usize = 8;
