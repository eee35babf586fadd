//! The index in DuckDB: rows on disk, spans and everything small in memory.
//!
//! One writer thread takes batches from a queue and commits them in groups: when `apply` resolves,
//! the batch is in DuckDB's write-ahead log and flushed to disk. Readers are cloned connections.
//! `schema.sql` says what is stored and offers views to users.
//!
//! # Consistency
//!
//! A snapshot's memory part (recordings, spans, clocks, watermarks, recorders) is one shared,
//! immutable catalogue as of one commit. Its database part is not frozen: each call runs in a
//! transaction of its own and sees the newest commit. A snapshot is held for as long as a client
//! reads pages, and a DuckDB transaction held that long would keep the log from being checkpointed
//! and old row versions from being freed; key-set cursors make pages of different commits join
//! without repeating or skipping what did not move, which is all that the services need.

mod apply;
mod error;
mod filter;
mod load;
mod migrations;
mod names;
mod pool;
mod query;
mod rows;
mod small;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use duckdb::{OptionalExt, params};
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use dvrgate_index::{
    Applied, Batch, Catalog, EventCursor, EventSelect, Index, Page, Scope, SegmentCursor,
    SegmentSelect, Snapshot, SpanCursor, SpanQuery, StateQuery, Summary,
};
use dvrgate_model::ports::{ControlStore, Versioned};
use dvrgate_model::{
    ClockMap, DeviceId, DeviceRecord, Error, Recording, RecordingEvent, RecordingToken, Result,
    Segment, Span, SyncRunId, TrackToken, Utc,
};

use state::Shared;
use writer::{Job, Outcome, Work, Writer};

/// How to open the index.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file, usually `<data_dir>/index.duckdb`; made if it is not there.
    pub path: PathBuf,
    /// What DuckDB may use; it spills to a folder beside the file beyond that.
    pub memory_limit_bytes: u64,
    /// Threads of one query.
    pub threads: usize,
}

impl Options {
    /// Enough for dozens of channels on a small machine.
    pub const DEFAULT_MEMORY_LIMIT_BYTES: u64 = 96 << 20;

    /// The usual limits.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), memory_limit_bytes: Self::DEFAULT_MEMORY_LIMIT_BYTES, threads: 2 }
    }
}

/// An open index, and what had to be done to open it.
#[derive(Debug)]
pub struct Opened {
    /// The index.
    pub index: DuckDbIndex,
    /// Where the file could not be used, it was set aside and the index is empty: what was wrong
    /// and where the file is now. The caller syncs everything anew.
    pub recovered: Option<String>,
}

/// See the module documentation. Dropping it waits for what is queued and closes the file.
#[derive(Debug)]
pub struct DuckDbIndex {
    shared: Arc<Shared>,
    /// `None` only while it is dropped.
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl DuckDbIndex {
    /// Opens the index. A file that is damaged or of a version that this program does not know is
    /// renamed to `<path>.corrupt-<n>`; one that is locked, forbidden or on a full disk is left
    /// alone and an error. Blocks: a second for a million spans.
    pub fn open(options: Options) -> Result<Opened> {
        let (found, recovered) = match load::load(&options) {
            Ok(found) => (found, None),
            Err(e) if e.is_circumstance() => {
                return Err(Error::from(e).with("path", options.path.display()));
            }
            Err(e) => {
                let aside = load::set_aside(&options.path).map_err(Error::from)?;
                let told = format!("{}: {e}; kept as {}", options.path.display(), aside.display());
                tracing::error!(error = %e, kept = %aside.display(), "the index is rebuilt");
                (load::load(&options).map_err(Error::from)?, Some(told))
            }
        };
        let shared = Arc::new(Shared::default());
        let (jobs, queue) = channel();
        let writer = Writer::new(options, shared.clone(), queue, found);
        let thread = std::thread::Builder::new()
            .name("index-writer".into())
            .spawn(move || writer.run())
            .map_err(|e| Error::internal("cannot start the index's writer").because(e))?;
        let index = DuckDbIndex { shared, jobs: Some(jobs), writer: Some(thread) };
        Ok(Opened { index, recovered })
    }

    /// Brings the table behind the view `spans` up to date, which otherwise happens a moment after
    /// the last write.
    pub async fn flush(&self) -> Result<()> {
        self.submit(Work::Flush).await.map(|_| ())
    }

    async fn submit(&self, work: Work) -> Result<Outcome> {
        let (done, answer) = oneshot::channel();
        let gone = || Error::internal("the index's writer has ended");
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job { work, done }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Runs a query of the control store on the blocking pool.
    async fn control<T: Send + 'static>(
        &self,
        f: impl FnOnce(&duckdb::Connection) -> error::Result<T> + Send + 'static,
    ) -> Result<T> {
        let pool = self.shared.pool()?;
        tokio::task::spawn_blocking(move || Ok(pool.read(f)?))
            .await
            .map_err(|e| Error::internal("a query on the control store panicked").because(e))?
    }
}

impl Drop for DuckDbIndex {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the index's writer panicked");
        }
        if let Some(pool) = self.shared.pool.write().take() {
            pool.close();
        }
    }
}

impl Index for DuckDbIndex {
    fn apply(&self, batch: Batch) -> BoxFuture<'_, Result<Applied>> {
        Box::pin(async move {
            match self.submit(Work::Apply(batch)).await.map_err(|e| e.during("apply"))? {
                Outcome::Applied(applied) => Ok(applied),
                other => Err(Error::internal(format!("a batch became {other:?}"))),
            }
        })
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let catalog = self.shared.catalog.read().clone();
        Arc::new(DuckDbSnapshot { catalog, shared: self.shared.clone() })
    }
}

/// A snapshot; see the module documentation.
#[derive(Debug)]
struct DuckDbSnapshot {
    catalog: Arc<Catalog>,
    shared: Arc<Shared>,
}

impl DuckDbSnapshot {
    fn read<T>(
        &self,
        op: &'static str,
        f: impl FnOnce(&duckdb::Connection) -> error::Result<T>,
    ) -> Result<T> {
        let pool = self.shared.pool()?;
        pool.read(f).map_err(|e| Error::from(e).during(op))
    }
}

impl Snapshot for DuckDbSnapshot {
    fn recordings(&self, scope: &Scope) -> Result<Vec<Arc<Recording>>> {
        Ok(self.catalog.recordings(scope))
    }

    fn recording(&self, token: &RecordingToken) -> Result<Option<Arc<Recording>>> {
        Ok(self.catalog.recording(token).cloned())
    }

    fn spans(&self, query: &SpanQuery) -> Result<Page<Span, SpanCursor>> {
        Ok(self.catalog.spans().page(query))
    }

    fn segments(&self, select: &SegmentSelect) -> Result<Page<Segment, SegmentCursor>> {
        self.read("segments", |db| query::segments(db, &self.shared, select))
    }

    fn segments_around(&self, track: &TrackToken, t: Utc) -> Result<Vec<Segment>> {
        let spans = self.catalog.spans().of(track);
        self.read("segments_around", |db| query::segments_around(db, &self.shared, track, spans, t))
    }

    fn events(&self, select: &EventSelect) -> Result<Page<RecordingEvent, EventCursor>> {
        self.read("events", |db| query::events(db, &self.shared, select))
    }

    fn state_at(&self, query: &StateQuery) -> Result<Vec<RecordingEvent>> {
        self.read("state_at", |db| query::state_at(db, &self.shared, query))
    }

    fn clock(&self, device: &DeviceId) -> Result<ClockMap> {
        Ok(self.catalog.clock(device))
    }

    fn device(&self, device: &DeviceId) -> Result<Option<DeviceRecord>> {
        Ok(self.catalog.device(device).cloned())
    }

    fn devices(&self) -> Result<Vec<DeviceRecord>> {
        Ok(self.catalog.devices())
    }

    fn summary(&self) -> Result<Summary> {
        Ok(self.catalog.summary())
    }

    fn watermark(&self, device: &DeviceId, purpose: &str) -> Result<Option<String>> {
        Ok(self.catalog.watermark(device, purpose).cloned())
    }

    fn last_run(&self) -> SyncRunId {
        self.catalog.last_run()
    }
}

impl ControlStore for DuckDbIndex {
    fn get(&self, kind: &str, key: &str) -> BoxFuture<'_, Result<Option<Versioned>>> {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        Box::pin(self.control(move |db| {
            let sql = "SELECT version, value FROM control WHERE kind = ? AND key = ?";
            let found = db.query_row(sql, params![kind, key], |row| {
                Ok(Versioned { version: row.get(0)?, value: row.get(1)? })
            });
            Ok(found.optional()?)
        }))
    }

    fn put(
        &self,
        kind: &str,
        key: &str,
        value: String,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<u64>> {
        let work = Work::Put { kind: kind.to_owned(), key: key.to_owned(), value, expected };
        Box::pin(async move {
            match self.submit(work).await? {
                Outcome::Version(version) => Ok(version),
                other => Err(Error::internal(format!("a put became {other:?}"))),
            }
        })
    }

    fn delete(&self, kind: &str, key: &str) -> BoxFuture<'_, Result<()>> {
        let work = Work::Delete { kind: kind.to_owned(), key: key.to_owned() };
        Box::pin(async move { self.submit(work).await.map(|_| ()) })
    }

    fn list(&self, kind: &str) -> BoxFuture<'_, Result<Vec<(String, Versioned)>>> {
        let kind = kind.to_owned();
        Box::pin(self.control(move |db| {
            let sql = "SELECT key, version, value FROM control WHERE kind = ? ORDER BY key";
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.query(params![kind])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let versioned = Versioned { version: row.get(1)?, value: row.get(2)? };
                all.push((row.get(0)?, versioned));
            }
            Ok(all)
        }))
    }
}
