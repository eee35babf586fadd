//! What a recorder can do, as data. The gate layer refuses what is not declared before a packet is
//! sent, the contract suite picks its tests from it, and `probe` prints it.

use std::time::Duration;

/// Everything an adapter declares about one recorder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capabilities {
    /// Reading and setting the clock.
    pub clock: ClockSupport,
    /// Listing recorded segments.
    pub segments: ListSupport,
    /// Listing past events (a log).
    pub events: ListSupport,
    /// Fetching footage.
    pub footage: FootageSupport,
    /// Starting and stopping recording.
    pub control: ControlSupport,
    /// Whether events are pushed while they happen.
    pub watch: bool,
    /// What the recorder survives.
    pub limits: DeviceLimits,
}

/// See [`Capabilities::clock`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClockSupport {
    /// The clock can be read.
    pub read: bool,
    /// The zone rule can be read with it.
    pub zone: bool,
    /// The clock can be set (dvrgate never does so by itself).
    pub set: bool,
}

/// How a listing is asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ListOrder {
    /// Oldest first.
    #[default]
    OldestFirst,
    /// Newest first.
    NewestFirst,
    /// None that can be relied on.
    Unordered,
}

/// Whether a recorder tells where its oldest footage begins, without listing all of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OldestSupport {
    /// It does not.
    #[default]
    No,
    /// It may overlook what lies beyond a gap of a month: that must be looked for later.
    Likely,
    /// Nothing is older.
    Surely,
}

/// What a listing can do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ListSupport {
    /// There is one.
    pub offered: bool,
    /// At most this many items for one query, over all its pages; the window must then be halved.
    /// `None`: no such bound is known.
    pub max_results: Option<usize>,
    /// Widest window that one query may have.
    pub max_window: Option<Duration>,
    /// Order of the items.
    pub order: ListOrder,
    /// Items may be clipped to the window (their start or end is then the window's).
    pub clips: bool,
    /// See [`OldestSupport`]; of footage only.
    pub oldest: OldestSupport,
}

/// How exactly footage starts where it was asked to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SeekGrain {
    /// At the asked instant or the clean point before it.
    #[default]
    CleanPoint,
    /// At a whole second.
    Second,
    /// Only from the start of a segment.
    Segment,
}

/// What fetching footage can do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FootageSupport {
    /// By time, without knowing the segment.
    pub by_time: bool,
    /// By the locator of a listed segment.
    pub by_segment: bool,
    /// A broken transfer can go on at a byte.
    pub resume: bool,
    /// See [`SeekGrain`].
    pub seek: SeekGrain,
    /// Length of one fetch that suits the recorder; a fetch is never longer unless asked to be.
    pub chunk: Duration,
    /// Playback sessions that the recorder has in all.
    pub max_sessions: usize,
    /// Only forwards in real time (fetching a minute takes a minute).
    pub real_time_only: bool,
}

/// See [`Capabilities::control`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ControlSupport {
    /// Recording can be started and stopped by hand.
    pub start_stop: bool,
}

/// What the recorder survives. Configuration may lower these, never raise them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceLimits {
    /// Control requests per second.
    pub requests_per_second: f64,
    /// Control requests at the same time. Fewer are made where that many refusals in a row could
    /// lock us out.
    pub parallel_requests: usize,
    /// Refused log-ins before it locks us out; at most one less is ever spent.
    pub logins_before_lockout: usize,
}

impl DeviceLimits {
    /// Least time from one request to the next: any second at the recorder sees no more requests
    /// than it allows, though the way delays one more than another.
    pub fn pause(&self) -> Duration {
        let second = Duration::from_secs(1) + JITTER;
        Duration::try_from_secs_f64(second.as_secs_f64() / self.requests_per_second)
            .unwrap_or(Duration::MAX)
    }

    /// These limits where the given ones are not lower still.
    #[must_use]
    pub fn lowered(
        self,
        requests_per_second: Option<f64>,
        parallel_requests: Option<usize>,
        logins_before_lockout: Option<usize>,
    ) -> Self {
        let least = |ours: usize, theirs: Option<usize>| theirs.map_or(ours, |t| t.min(ours));
        Self {
            requests_per_second: requests_per_second
                .map_or(self.requests_per_second, |r| r.min(self.requests_per_second)),
            parallel_requests: least(self.parallel_requests, parallel_requests),
            logins_before_lockout: least(self.logins_before_lockout, logins_before_lockout),
        }
    }
}

impl Default for DeviceLimits {
    fn default() -> Self {
        Self { requests_per_second: 5.0, parallel_requests: 2, logins_before_lockout: 3 }
    }
}

/// The way to the recorder delays one request more than another by about so much.
const JITTER: Duration = Duration::from_millis(100);
