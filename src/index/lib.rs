//! The index: which footage and which events there are, when, and where they came from.
//!
//! ONVIF Recording Search 5.2 to 5.5 says what is asked of it. [`Index::apply`] is the only write;
//! [`Snapshot`]s answer. Spans are answered from memory by every implementation: PLAY, seek,
//! summaries and coverage never wait for a database.

mod catalog;
pub mod contract;
mod control;
pub mod encodings;
mod memory;
mod net;
mod query;
pub mod sample;
mod spans;

use std::fmt::Debug;
use std::sync::Arc;

use dvrgate_model::{
    ClockEpoch, ClockMap, DeviceId, DeviceRecord, Recording, RecordingEvent, RecordingToken,
    Result, Segment, SegmentId, Span, SyncRunId, TrackToken, Utc, UtcRange,
};
use futures::future::BoxFuture;

pub use catalog::Catalog;
pub use control::{MemoryControl, check_version};
pub use memory::MemoryIndex;
pub use net::{Net, SegmentChange, live_range, same_but_seen};
pub use query::{
    EventCursor, EventSelect, Page, Scope, SegmentCursor, SegmentSelect, SpanCursor, SpanQuery,
    StateQuery, Summary,
};
pub use spans::{SpanMap, TrackEdit, merged};

/// Writes, and opens snapshots.
pub trait Index: Debug + Send + Sync {
    /// Applies a batch: all of it or nothing, durable when the future resolves. Applying the same
    /// batch again changes nothing.
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied>>;

    /// The state after the last batch that was applied. Cheap.
    fn snapshot(&self) -> Arc<dyn Snapshot>;
}

/// A view. Calls marked *memory* return at once and do not change while the snapshot is held; the
/// others may block on a database and are made through [`blocking`]. Each of those is consistent
/// in itself and answers from the snapshot's state or a later one; pages are joined by key-set
/// cursors, so what did not move is neither repeated nor skipped.
pub trait Snapshot: Debug + Send + Sync {
    /// Recordings of the scope, by token. *Memory.*
    fn recordings(&self, scope: &Scope) -> Result<Vec<Arc<Recording>>>;

    /// One recording. *Memory.*
    fn recording(&self, token: &RecordingToken) -> Result<Option<Arc<Recording>>>;

    /// Spans of one track that touch a range, in the asked direction. *Memory.*
    fn spans(&self, query: &SpanQuery) -> Result<Page<Span, SpanCursor>>;

    /// Segments.
    fn segments(&self, select: &SegmentSelect) -> Result<Page<Segment, SegmentCursor>>;

    /// The segments of a track that hold or, in a gap, surround an instant: at most one that ends
    /// at or before `t` (the last), those that contain `t`, and at most one that starts after it
    /// (the first), by start. Segments that are gone or empty do not count.
    fn segments_around(&self, track: &TrackToken, t: Utc) -> Result<Vec<Segment>>;

    /// Events.
    fn events(&self, select: &EventSelect) -> Result<Page<RecordingEvent, EventCursor>>;

    /// For each property (topic, recording, track and source items) its last event at or before an
    /// instant, by time: what virtual start-state events are made of (Recording Search 5.18).
    fn state_at(&self, query: &StateQuery) -> Result<Vec<RecordingEvent>>;

    /// The clock of a recorder; a map with only a fallback where nothing was measured. *Memory.*
    fn clock(&self, device: &DeviceId) -> Result<ClockMap>;

    /// One recorder. *Memory.*
    fn device(&self, device: &DeviceId) -> Result<Option<DeviceRecord>>;

    /// All recorders. *Memory.*
    fn devices(&self) -> Result<Vec<DeviceRecord>>;

    /// GetRecordingSummary: first and last data, number of recordings. *Memory.*
    fn summary(&self) -> Result<Summary>;

    /// How far sync has come, per recorder and purpose (`"segments:yard-1"`, …). *Memory.*
    fn watermark(&self, device: &DeviceId, purpose: &str) -> Result<Option<String>>;

    /// The newest sync run that was applied. *Memory.*
    fn last_run(&self) -> SyncRunId;
}

/// Changes that belong together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Who does it; 0 for changes that no sync run made.
    pub run: SyncRunId,
    /// In order.
    pub changes: Vec<Change>,
}

/// One change. Each is idempotent.
#[derive(Clone, Debug)]
pub enum Change {
    /// Inserts or replaces by id. Parameter sets of channels are not kept.
    Device(Box<DeviceRecord>),
    /// Inserts or replaces by token, its tracks included. `Track::data` is ignored: the index
    /// computes it from the spans. Parameter sets are not kept.
    Recording(Box<Recording>),
    /// Inserts or replaces by device and id.
    Epoch(Box<ClockEpoch>),
    /// Inserts or replaces by track and id. A state of `Gone` takes it out of the spans; the row
    /// stays, so that history can be told.
    Segment(Box<Segment>),
    /// Only the `seen` run of a segment moves.
    Seen(TrackToken, SegmentId),
    /// Inserts; an event whose id is there already is replaced (a corrected clock moves it).
    Event(Box<RecordingEvent>),
    /// Takes events away (derived ones whose cause moved).
    EventGone(dvrgate_model::EventId),
    /// Remembers how far sync has come.
    Watermark {
        /// Of this recorder.
        device: DeviceId,
        /// For this purpose.
        purpose: String,
        /// Whatever the purpose needs.
        value: String,
    },
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Applied {
    /// Segments that were not there before.
    pub segments_new: u64,
    /// Segments whose contents changed.
    pub segments_changed: u64,
    /// Segments that became `Gone`.
    pub segments_gone: u64,
    /// Events that were not there before.
    pub events_new: u64,
}

/// Two segments closer than this belong to one span: recorders lose up to this between files.
pub const SPAN_TOLERANCE_US: i64 = 2_000_000;

/// The range that no one asked to bound.
pub const ALL: UtcRange = UtcRange::ALL;

/// Runs a closure that may block on the blocking pool. The one way services reach the calls of
/// [`Snapshot`] that are not marked *memory*.
pub async fn blocking<T, F>(snapshot: Arc<dyn Snapshot>, f: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&dyn Snapshot) -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(move || f(&*snapshot))
        .await
        .map_err(|e| dvrgate_model::Error::internal("a query on the index panicked").because(e))?
}
