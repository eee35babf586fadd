//! A transfer under way, seen by those who wait for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dvrgate_adapter::Priority;
use dvrgate_model::{Error, RecordingToken, Result, TrackToken, Utc, UtcRange};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::FetchShared;
use crate::{Gop, Pin};

/// GOPs that could not be stored are kept in memory up to this; the oldest go first.
const MAX_MEMORY_BYTES: u64 = 64 << 20;
/// Sound and picture of one instant are never further apart in a transfer.
const INTERLEAVE_US: i64 = 3_000_000;

/// One transfer and what it has brought so far.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: u64,
    pub(super) recording: RecordingToken,
    /// What it is for. It may bring a little more at both ends.
    pub(super) range: UtcRange,
    pub(super) state: Mutex<FlightState>,
    /// Rises with every GOP and at the end.
    version: watch::Sender<u64>,
    pub(super) _pins: Vec<Pin>,
}

#[derive(Debug, Default)]
pub(super) struct FlightState {
    /// Tickets out. Changed under the lock of the list of flights only.
    pub(super) tickets: usize,
    /// Of the most important one who waits.
    pub(super) priority: Priority,
    /// The recorder answered: it is not asked anew because of the priority.
    pub(super) opened: bool,
    pub(super) task: Option<AbortHandle>,
    outcome: Option<Result<()>>,
    /// What was brought, per track, in the order in which it came.
    brought: HashMap<TrackToken, Vec<UtcRange>>,
    unstored: BTreeMap<(TrackToken, Utc), Arc<Gop>>,
    unstored_bytes: u64,
}

impl Flight {
    pub(super) fn new(
        id: u64,
        recording: RecordingToken,
        range: UtcRange,
        priority: Priority,
        pins: Vec<Pin>,
    ) -> Self {
        let state = FlightState { priority, ..FlightState::default() };
        let (version, _) = watch::channel(0);
        Self { id, recording, range, state: Mutex::new(state), version, _pins: pins }
    }

    /// Says that a GOP is there; `unstored` where the store could not take it.
    pub(super) fn landed(&self, gop: &Arc<Gop>, unstored: bool) {
        {
            let mut state = self.state.lock();
            state.brought.entry(gop.track.clone()).or_default().push(gop.range);
            if unstored {
                state.unstored_bytes += gop.bytes();
                state.unstored.insert((gop.track.clone(), gop.range.start()), Arc::clone(gop));
                while state.unstored_bytes > MAX_MEMORY_BYTES
                    && let Some((_, old)) = state.unstored.pop_first()
                {
                    state.unstored_bytes -= old.bytes();
                }
            }
        }
        self.version.send_modify(|v| *v += 1);
    }

    /// Where a transfer of this part goes on: the end of what was brought of it, of the track that
    /// is behind. A track that ended earlier does not count. `None` where nothing was brought.
    pub(super) fn goes_on_at(&self, part: UtcRange) -> Option<Utc> {
        let state = self.state.lock();
        let within = |pieces: &Vec<UtcRange>| {
            let of_part =
                pieces.iter().filter(|r| r.end() > part.start() && r.start() < part.end());
            of_part.map(|r| r.end()).max()
        };
        let ends: Vec<Utc> = state.brought.values().filter_map(within).collect();
        let furthest = *ends.iter().max()?;
        let behind = |e: &Utc| furthest.since_us(*e) <= INTERLEAVE_US;
        ends.into_iter().filter(behind).min()
    }

    /// End of all that was brought of this part.
    pub(super) fn newest(&self, part: UtcRange) -> Option<Utc> {
        let state = self.state.lock();
        let of_part = state.brought.values().flatten().filter(|r| r.start() < part.end());
        of_part.map(|r| r.end()).filter(|end| *end > part.start()).max()
    }

    /// What was brought of a track.
    pub(super) fn brought(&self, track: &TrackToken) -> Vec<UtcRange> {
        self.state.lock().brought.get(track).cloned().unwrap_or_default()
    }

    pub(super) fn end(&self, outcome: Result<()>) {
        self.state.lock().outcome = Some(outcome);
        self.version.send_modify(|v| *v += 1);
    }
}

impl FlightState {
    /// Whether what belongs before `end` was brought, of the track that is furthest.
    pub(super) fn has_brought(&self, end: Utc) -> bool {
        self.brought.values().flatten().any(|r| r.end() >= end)
    }

    /// Up to where one track was brought.
    fn reached(&self, track: &TrackToken) -> Utc {
        let pieces = self.brought.get(track).into_iter().flatten();
        pieces.map(|r| r.end()).max().unwrap_or(Utc::MIN)
    }
}

/// The right to wait for a transfer. When the last one of a flight is dropped, the transfer is
/// abandoned and the recorder's session released.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) flight: Arc<Flight>,
    pub(super) fetcher: Arc<FetchShared>,
    seen: watch::Receiver<u64>,
}

/// How a transfer stands.
#[derive(Debug)]
pub(crate) enum Standing {
    /// More is to come.
    Flying,
    /// All is there.
    Landed,
    /// It failed.
    Failed(Error),
}

impl Ticket {
    /// Called under the lock of the list of flights.
    pub(super) fn new(flight: Arc<Flight>, fetcher: Arc<FetchShared>) -> Self {
        flight.state.lock().tickets += 1;
        let seen = flight.version.subscribe();
        Self { flight, fetcher, seen }
    }

    /// What the transfer is for.
    pub(crate) fn range(&self) -> UtcRange {
        self.flight.range
    }

    /// How it stands. What happens after this wakes [`Ticket::changed`].
    pub(crate) fn standing(&mut self) -> Standing {
        self.seen.mark_unchanged();
        match &self.flight.state.lock().outcome {
            None => Standing::Flying,
            Some(Ok(())) => Standing::Landed,
            Some(Err(e)) => Standing::Failed(e.share()),
        }
    }

    /// Waits until something happened since [`Ticket::standing`].
    pub(crate) async fn changed(&mut self) {
        // The flight is held, so the sender is there.
        let _ = self.seen.changed().await;
    }

    /// Up to where nothing more of the track is to come: units come in order, and tracks side by
    /// side.
    pub(crate) fn passed_until(&self, track: &TrackToken) -> Utc {
        let state = self.flight.state.lock();
        let all = state.brought.values().flatten().map(|r| r.end()).max();
        let others = all.map_or(Utc::MIN, |r| r.plus_us(-INTERLEAVE_US));
        state.reached(track).max(others)
    }

    /// Whether it runs on only to see the end of what it was for.
    pub(crate) fn is_closing(&self) -> bool {
        let state = self.flight.state.lock();
        state.outcome.is_none() && state.has_brought(self.flight.range.end())
    }

    /// Whether the store could not take what it brought.
    pub(crate) fn is_unstored(&self) -> bool {
        !self.flight.state.lock().unstored.is_empty()
    }

    /// As [`crate::GopStore::forward`], among the GOPs that could not be stored.
    pub(crate) fn forward(
        &self,
        track: &TrackToken,
        from: Utc,
        beyond: Option<Utc>,
    ) -> Option<Arc<Gop>> {
        let state = self.flight.state.lock();
        let of_track = state.unstored.values().filter(|g| g.track == *track);
        let mut fitting =
            of_track.filter(|g| g.range.end() > from && beyond.is_none_or(|b| g.range.start() > b));
        fitting.next().cloned()
    }

    /// As [`crate::GopStore::reverse`], among the GOPs that could not be stored.
    pub(crate) fn reverse(&self, track: &TrackToken, until: Utc) -> Option<Arc<Gop>> {
        let state = self.flight.state.lock();
        let before = state.unstored.range(..(track.clone(), until)).next_back();
        before.filter(|((t, _), _)| t == track).map(|(_, g)| Arc::clone(g))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.fetcher.leave(&self.flight);
    }
}
