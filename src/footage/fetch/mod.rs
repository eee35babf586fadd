//! Read-through: what is not in the store is fetched from the recorder, once for all who wait.
//!
//! A transfer is for one stretch of one recording; whoever wants an instant that a running transfer
//! is for joins it instead of asking the recorder again. GOPs are handed on as they arrive. The
//! last one to leave ends the transfer. Who is served first where a recorder's sessions are scarce
//! is decided by the adapter's layers, from the priority.

mod assemble;
mod clocks;
mod flight;
mod job;
mod memory;
mod patience;
mod timing;
mod transfer;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dvrgate_adapter::{Device, Priority, SeekGrain};
use dvrgate_index::{Index, SegmentSelect};
use dvrgate_model::{
    DeviceId, Direction, Error, Origin, Recording, RecordingToken, Result, TrackToken, Utc,
    UtcRange,
};
use parking_lot::Mutex;

use crate::{GopStore, MediaStore};
use clocks::Clocks;
use flight::Flight;
pub(crate) use flight::{Standing, Ticket};
use memory::Memory;

/// Finds the recorders.
pub trait Devices: std::fmt::Debug + Send + Sync {
    /// The recorder of that name, if it is configured.
    fn device(&self, id: &DeviceId) -> Option<Arc<Device>>;
}

/// Length of one transfer where the recorder does not say what suits it, and its bounds.
const DEFAULT_CHUNK_US: i64 = 60_000_000;
const MIN_CHUNK_US: i64 = 10_000_000;
const MAX_CHUNK_US: i64 = 600_000_000;
/// A transfer for a seek begins at a multiple of this.
const SEEK_GRID_US: i64 = 5_000_000;

/// What was fetched since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FetchStats {
    /// Transfers that run now.
    pub running: u64,
    /// Transfers begun.
    pub transfers: u64,
    /// Of these, ahead of need.
    pub prefetches: u64,
    /// Times that somebody joined a running transfer.
    pub joins: u64,
    /// Times that a recorder was asked to open footage.
    pub opens: u64,
    /// Times that a transfer broke and was taken up again.
    pub breaks: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Transfers that failed.
    pub failures: u64,
    /// Transfers that everybody left before their end.
    pub abandoned: u64,
}

/// Fetches. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher(Arc<FetchShared>);

#[derive(Debug)]
pub(crate) struct FetchShared {
    pub(super) store: GopStore,
    pub(super) index: Arc<dyn Index>,
    pub(super) devices: Arc<dyn Devices>,
    pub(super) memory: Memory,
    pub(super) clocks: Clocks,
    flights: Mutex<HashMap<RecordingToken, Vec<Arc<Flight>>>>,
    next_id: AtomicU64,
    pub(super) counts: Counts,
    /// A recorder that sends nothing for this long stalls.
    pub(super) stall: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    transfers: AtomicU64,
    prefetches: AtomicU64,
    joins: AtomicU64,
    pub(super) opens: AtomicU64,
    pub(super) breaks: AtomicU64,
    pub(super) bytes: AtomicU64,
    failures: AtomicU64,
    abandoned: AtomicU64,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// This instant at least.
    pub(crate) at: Utc,
    /// The stretch around it that is not stored and where footage should be.
    pub(crate) hole: UtcRange,
    /// Which way playback goes.
    pub(crate) direction: Direction,
    /// Where it ends, if it is known.
    pub(crate) until: Option<Utc>,
    pub(crate) priority: Priority,
}

/// Why there will be no transfer, and for which stretch.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: Error,
    pub(crate) range: UtcRange,
}

impl Fetcher {
    /// `stall`: a recorder that sends nothing for this long stalls.
    pub(crate) fn new(
        store: GopStore,
        index: Arc<dyn Index>,
        devices: Arc<dyn Devices>,
        stall: Duration,
    ) -> Self {
        Self(Arc::new(FetchShared {
            store,
            index,
            devices,
            memory: Memory::default(),
            clocks: Clocks::default(),
            flights: Mutex::default(),
            next_id: AtomicU64::new(1),
            counts: Counts::default(),
            stall,
        }))
    }

    pub(crate) fn stats(&self) -> FetchStats {
        let c = &self.0.counts;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        FetchStats {
            running: self.0.flights.lock().values().map(|f| f.len() as u64).sum(),
            transfers: get(&c.transfers),
            prefetches: get(&c.prefetches),
            joins: get(&c.joins),
            opens: get(&c.opens),
            breaks: get(&c.breaks),
            bytes: get(&c.bytes),
            failures: get(&c.failures),
            abandoned: get(&c.abandoned),
        }
    }

    /// The stretch around an instant that holds no footage whatever the index says.
    pub(crate) fn empty_at(
        &self,
        recording: &Recording,
        track: &TrackToken,
        at: Utc,
    ) -> Option<UtcRange> {
        let now = self.0.device_of(recording).ok()?.clock.now();
        self.0.memory.empty_at(track, at, now)
    }

    /// Restates stored footage of the recording's recorder if its clock is seen differently now.
    pub(crate) fn refresh_clock(&self, recording: &Recording) -> Result<()> {
        let snapshot = self.0.index.snapshot();
        self.0.clocks.refresh(&self.0.store, &*snapshot, recording)
    }

    /// Length of one transfer of that recording.
    pub(crate) fn chunk_us(&self, recording: &Recording) -> Result<i64> {
        Ok(chunk_us(&*self.0.device_of(recording)?))
    }

    /// Joins the transfer that is for that instant, or begins one.
    pub(crate) async fn join(
        &self,
        recording: &Arc<Recording>,
        wish: Wish,
    ) -> Result<Ticket, Refused> {
        let shared = &self.0;
        let refused = |error, range| Refused { error, range };
        let device = shared.device_of(recording).map_err(|e| refused(e, wish.hole))?;
        let token = &recording.token;
        if let Some((range, e)) = shared.memory.failed_at(token, wish.at, device.clock.now()) {
            return Err(refused(e, range));
        }
        let mut range = stretch(&wish, chunk_us(&device));
        if device.adapter.capabilities().footage.seek == SeekGrain::Segment {
            // It comes whole or not at all.
            let segment = shared.segment_at(recording, wish.at).await;
            range = segment.map_err(|e| refused(e, range))?.unwrap_or(range);
        }
        let mut flights = shared.flights.lock();
        let list = flights.entry(token.clone()).or_default();
        if let Some(flight) = list.iter().find(|f| f.range.contains(wish.at)) {
            shared.counts.joins.fetch_add(1, Ordering::Relaxed);
            let ticket = Ticket::new(Arc::clone(flight), Arc::clone(shared));
            shared.raise(recording, &device, flight, wish.priority);
            return Ok(ticket);
        }
        // Not what others fetch already.
        for other in list.iter() {
            let r = other.range;
            if r.start() > wish.at {
                range = UtcRange::clamped(range.start(), range.end().min(r.start()));
            } else {
                range = UtcRange::clamped(range.start().max(r.end()), range.end());
            }
        }
        let pins = recording.tracks.iter().map(|t| shared.store.pin(&t.token, range)).collect();
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let flight = Arc::new(Flight::new(id, token.clone(), range, wish.priority, pins));
        list.push(Arc::clone(&flight));
        shared.counts.transfers.fetch_add(1, Ordering::Relaxed);
        if wish.priority == Priority::Backfill {
            shared.counts.prefetches.fetch_add(1, Ordering::Relaxed);
        }
        let ticket = Ticket::new(Arc::clone(&flight), Arc::clone(shared));
        shared.start(recording, &device, &flight);
        Ok(ticket)
    }
}

impl FetchShared {
    pub(super) fn device_of(&self, recording: &Recording) -> Result<Arc<Device>> {
        match &recording.origin {
            Origin::Device { device, .. } => self.devices.device(device).ok_or_else(|| {
                Error::not_found("the recorder of this footage is not configured")
                    .with("device", device)
            }),
            Origin::Receiver { .. } => {
                Err(Error::not_found("no recorder is behind this recording"))
            }
        }
    }

    async fn segment_at(&self, recording: &Recording, at: Utc) -> Result<Option<UtcRange>> {
        let select = SegmentSelect {
            tracks: Some(recording.tracks.iter().map(|t| t.token.clone()).collect()),
            range: UtcRange::clamped(at, at.plus_us(1)),
            states: None,
            direction: Direction::Forward,
            limit: 1,
            after: None,
        };
        let page =
            dvrgate_index::blocking(self.index.snapshot(), move |s| s.segments(&select)).await?;
        Ok(page.items.first().map(|s| s.range()).filter(|r| r.contains(at)))
    }

    fn start(
        self: &Arc<Self>,
        recording: &Arc<Recording>,
        device: &Arc<Device>,
        flight: &Arc<Flight>,
    ) {
        let job = job::Job {
            shared: Arc::clone(self),
            recording: Arc::clone(recording),
            device: Arc::clone(device),
            flight: Arc::clone(flight),
        };
        let (shared, landed) = (Arc::clone(self), Arc::clone(flight));
        let task = tokio::spawn(async move {
            let outcome = job.run().await;
            if let Err(e) = &outcome {
                shared.counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(recording = %landed.recording, range = %landed.range, error = %e, "footage could not be fetched");
                // What was fetched ahead of need keeps nobody from asking who needs it.
                if landed.state.lock().priority > Priority::Backfill {
                    let now = job.device.clock.now();
                    shared.memory.note_failed(&landed.recording, landed.range, e.share(), now);
                }
            }
            shared.remove(&mut shared.flights.lock(), &landed);
            landed.end(outcome);
        });
        flight.state.lock().task = Some(task.abort_handle());
    }

    /// Somebody more important waits: begins anew with their priority, unless the recorder has
    /// answered already; then their priority counts if the transfer breaks.
    fn raise(
        self: &Arc<Self>,
        recording: &Arc<Recording>,
        device: &Arc<Device>,
        flight: &Arc<Flight>,
        priority: Priority,
    ) {
        {
            let mut state = flight.state.lock();
            if state.priority >= priority {
                return;
            }
            state.priority = priority;
            if state.opened {
                return;
            }
            if let Some(task) = state.task.take() {
                task.abort();
            }
        }
        self.start(recording, device, flight);
    }

    fn remove(
        &self,
        flights: &mut HashMap<RecordingToken, Vec<Arc<Flight>>>,
        flight: &Flight,
    ) -> bool {
        let Some(list) = flights.get_mut(&flight.recording) else { return false };
        let before = list.len();
        list.retain(|f| f.id != flight.id);
        let removed = list.len() < before;
        if list.is_empty() {
            flights.remove(&flight.recording);
        }
        removed
    }

    /// A ticket is given back.
    fn leave(&self, flight: &Flight) {
        let mut flights = self.flights.lock();
        let mut state = flight.state.lock();
        state.tickets -= 1;
        // One that brought all it was for ends by itself in a moment, and then says which bytes
        // its GOPs came from.
        if state.tickets > 0 || state.has_brought(flight.range.end()) {
            return;
        }
        let task = state.task.take();
        drop(state);
        if self.remove(&mut flights, flight)
            && let Some(task) = task
        {
            task.abort();
            self.counts.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn chunk_us(device: &Device) -> i64 {
    let support = device.adapter.capabilities().footage;
    match i64::try_from(support.chunk.as_micros()).unwrap_or(i64::MAX) {
        // A chunk takes as long as it lasts, and reverse playback waits for the whole of it.
        _ if support.real_time_only => MIN_CHUNK_US,
        0 => DEFAULT_CHUNK_US,
        us => us.clamp(MIN_CHUNK_US, MAX_CHUNK_US),
    }
}

/// The stretch that one transfer fetches: inside the hole, and on the grid of chunks, so that
/// transfers do not shift against each other. Forwards it begins near the wanted instant; in
/// reverse it ends near it. A sliver is fetched together with its neighbour, and so is the rest of
/// a playback that ends in the next chunk.
fn stretch(wish: &Wish, chunk_us: i64) -> UtcRange {
    let at = wish.at.micros();
    let floor = |grid: i64| at.div_euclid(grid) * grid;
    let (cell, seek) = (floor(chunk_us), floor(SEEK_GRID_US));
    let (mut start, mut end) = match wish.direction {
        Direction::Forward => (seek, cell + chunk_us),
        Direction::Reverse => (cell, seek + SEEK_GRID_US),
    };
    if end - start < chunk_us / 4 {
        match wish.direction {
            Direction::Forward => end += chunk_us,
            Direction::Reverse => start -= chunk_us,
        }
    }
    let rest = wish.until.map(|u| u.plus_us(SEEK_GRID_US - 1).micros().div_euclid(SEEK_GRID_US));
    if let (Direction::Forward, Some(rest)) = (wish.direction, rest)
        && rest * SEEK_GRID_US <= cell + 2 * chunk_us
    {
        end = end.max(rest * SEEK_GRID_US);
    }
    let wanted = UtcRange::clamped(Utc::from_micros(start), Utc::from_micros(end));
    let inside = wanted.intersect(&wish.hole).filter(|r| r.contains(wish.at));
    inside.unwrap_or(UtcRange::clamped(wish.at, wish.at.plus_us(1)))
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
