//! Index sync: what recorders list becomes recordings, segments and events of the index.
//!
//! Per recorder: what it is, its clock, then windows of its listings, the newest first and
//! backwards from there. Each window is compared with the index and applied as one batch with its
//! watermark, so a sync that is cut off goes on where it was, and one that is repeated changes
//! nothing. Times stay in the recorder's own words beside the stamps; a clock that is measured
//! better restates them.

mod catalogue;
mod clock;
mod driver;
mod edge;
mod events;
mod history;
mod listing;
mod measure;
mod merge;
mod metadata;
mod order;
mod pass;
mod restate;
#[cfg(test)]
mod tests;
mod watch;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dvrgate_adapter::Device;
use dvrgate_index::{Applied, Index};
use dvrgate_model::ports::{Clock, EventSink};
use dvrgate_model::{DeviceId, Error, Result, SyncRunId, UtcRange};
use futures::StreamExt;

pub use clock::{Measurement, Why};
use driver::Timers;

/// Keeps the index in step with the recorders.
#[derive(Debug)]
pub struct Syncer {
    devices: Vec<Device>,
    index: Arc<dyn Index>,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn EventSink>,
    options: Options,
    runs: AtomicU64,
    /// One pass at a time for each recorder, and when it did what.
    turns: BTreeMap<DeviceId, tokio::sync::Mutex<Timers>>,
}

/// How sync behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pause between looks at what is new.
    pub fresh_every: Duration,
    /// Pause between measurements of the clock.
    pub clock_every: Duration,
    /// Pause between questions what the recorder is.
    pub identify_every: Duration,
    /// Pause between looks at what was overwritten.
    pub oldest_every: Duration,
    /// Readings of one measurement of the clock, at most, besides those of one sweep over a second
    /// where the recorder may be asked that often.
    pub clock_reads: usize,
    /// How far back a look at what is new reaches behind the last one.
    pub overlap: Duration,
    /// The first window of a new recorder.
    pub first_window: Duration,
    /// No footage older than this is looked for.
    pub horizon: Duration,
    /// Back-fill windows between two looks at what is new.
    pub backfill_windows: usize,
    /// Recorders that are synchronised at the same time.
    pub parallel_devices: usize,
    /// Whether the recorders' alert streams are followed.
    pub watch: bool,
}

impl Default for Options {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            fresh_every: Duration::from_secs(20),
            clock_every: minutes(10),
            identify_every: minutes(10),
            oldest_every: minutes(10),
            clock_reads: 12,
            overlap: minutes(10),
            first_window: minutes(6 * 60),
            horizon: minutes(60 * 24 * 400),
            backfill_windows: 4,
            parallel_devices: 8,
            watch: true,
        }
    }
}

/// What the index counted, added up over batches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Segments that were not there before.
    pub segments_new: u64,
    /// Segments whose contents changed.
    pub segments_changed: u64,
    /// Segments that the recorder no longer has.
    pub segments_gone: u64,
    /// Events that were not there before.
    pub events_new: u64,
}

impl From<Applied> for Counts {
    fn from(a: Applied) -> Self {
        Self {
            segments_new: a.segments_new,
            segments_changed: a.segments_changed,
            segments_gone: a.segments_gone,
            events_new: a.events_new,
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.segments_new += other.segments_new;
        self.segments_changed += other.segments_changed;
        self.segments_gone += other.segments_gone;
        self.events_new += other.events_new;
    }
}

/// What a sync of one recorder did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which recorder.
    pub device: DeviceId,
    /// The run, as rows of the index name it.
    pub run: SyncRunId,
    /// Changes of the index.
    pub counts: Counts,
    /// Windows that were listed.
    pub windows: u64,
    /// Pages that were read for them.
    pub pages: u64,
    /// How often a window was halved because the recorder's cap was reached.
    pub halved: u64,
    /// What was learnt about the clock; `None` where all was as believed.
    pub clock: Option<Why>,
    /// The newest measurement of the clock.
    pub measured: Option<Measurement>,
    /// Codes that the mapping does not know, with how often they were met.
    pub unknown_codes: BTreeMap<Box<str>, u64>,
    /// What went wrong with parts of it.
    pub errors: Vec<String>,
    /// Everything back to the horizon, or to where the recorder says that it begins, is known.
    pub complete: bool,
}

/// How far a sync is: for progress bars.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress<'a> {
    /// Which recorder.
    pub device: &'a DeviceId,
    /// What is done now.
    pub stage: Stage,
    /// The window that was listed last.
    pub window: Option<UtcRange>,
    /// Segments and events that were listed so far.
    pub items: u64,
    /// How much of the time back to the horizon is known, from 0 to 1.
    pub fraction: f64,
}

/// See [`Progress::stage`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Asking what it is.
    Identify,
    /// Measuring its clock.
    Clock,
    /// Times are computed anew.
    Restate,
    /// Listing what is new.
    Fresh,
    /// Looking what was overwritten.
    Oldest,
    /// Listing what is older.
    Backfill,
    /// Reading the log.
    Events,
    /// All is done.
    Done,
}

/// Takes progress. Called often; must not block.
pub type OnProgress<'a> = &'a (dyn Fn(&Progress<'_>) + Send + Sync);

impl Syncer {
    /// Contacts nothing.
    pub fn new(
        devices: Vec<Device>,
        index: Arc<dyn Index>,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn EventSink>,
        options: Options,
    ) -> Self {
        let runs = AtomicU64::new(index.snapshot().last_run().0);
        let turns = devices.iter().map(|d| (d.id.clone(), tokio::sync::Mutex::default())).collect();
        Self { devices, index, clock, sink, options, runs, turns }
    }

    /// The recorders.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// One whole pass over one recorder: everything new, everything overwritten, and everything
    /// old that is not known yet. An error means that the recorder could not be asked at all; what
    /// went wrong with parts of it is in the report.
    pub async fn sync_device(&self, id: &DeviceId, progress: OnProgress<'_>) -> Result<Report> {
        self.pass(self.device(id)?, pass::Due::everything(), progress).await
    }

    /// [`Syncer::sync_device`] for all recorders; one that fails does not touch the others.
    pub async fn sync_all(&self, progress: OnProgress<'_>) -> Vec<(DeviceId, Result<Report>)> {
        let passes = self.devices.iter().map(|device| async move {
            (device.id.clone(), self.pass(device, pass::Due::everything(), progress).await)
        });
        let parallel = self.options.parallel_devices.max(1);
        futures::stream::iter(passes).buffered(parallel).collect().await
    }

    fn device(&self, id: &DeviceId) -> Result<&Device> {
        self.devices.iter().find(|d| d.id == *id).ok_or_else(|| {
            let known: Vec<_> = self.devices.iter().map(|d| d.id.as_str()).collect();
            let known = known.join(", ");
            Error::not_found(format!("no device {:?}; there are: {known}", id.as_str()))
        })
    }

    fn next_run(&self) -> SyncRunId {
        SyncRunId(self.runs.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
