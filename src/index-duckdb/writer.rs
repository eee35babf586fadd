//! The one thread that writes: queued batches become one transaction, so that many callers share
//! one flush to disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use duckdb::{Connection, OptionalExt, params};
use tokio::sync::oneshot;

use dvrgate_index::{Applied, Batch, check_version};
use dvrgate_model::{Error, Result};

use crate::Options;
use crate::apply::{Pending, apply};
use crate::error::{DbError, Result as DbResult};
use crate::load::{Filters, Loaded, Open, load};
use crate::rows::Us;
use crate::state::Shared;

/// Something to write, and whom to tell.
pub(crate) struct Job {
    pub work: Work,
    pub done: oneshot::Sender<Result<Outcome>>,
}

/// What to write.
#[derive(Clone)]
pub(crate) enum Work {
    Apply(Batch),
    Put {
        kind: String,
        key: String,
        value: String,
        expected: Option<u64>,
    },
    Delete {
        kind: String,
        key: String,
    },
    /// Bring the table `span` up to date now.
    Flush,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Applied(Applied),
    Version(u64),
    Done,
}

/// See the module documentation.
pub(crate) struct Writer {
    options: Options,
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    /// `None` after a failure that only opening anew repairs.
    open: Option<Open>,
    flushed_at: Instant,
}

/// Jobs in one transaction.
const GROUP_MAX: usize = 64;
/// The table `span` is brought up to date when nothing was written for this long …
const FLUSH_IDLE: Duration = Duration::from_millis(250);
/// … and at the latest this long after the last time.
const FLUSH_LATEST: Duration = Duration::from_secs(5);

impl Writer {
    /// A writer on what opening found, which is shared from now on.
    pub fn new(options: Options, shared: Arc<Shared>, jobs: Receiver<Job>, found: Loaded) -> Self {
        let mut writer = Self { options, shared, jobs, open: None, flushed_at: Instant::now() };
        writer.install(found);
        writer
    }

    fn install(&mut self, found: Loaded) {
        let Loaded { pool, writer, catalog, names, properties, bounds } = found;
        *self.shared.names.write() = Arc::new(names);
        *self.shared.properties.write() = properties;
        *self.shared.bounds.write() = bounds;
        *self.shared.catalog.write() = Arc::new(catalog);
        *self.shared.pool.write() = Some(Arc::new(pool));
        self.open = Some(writer);
    }

    /// Works until the other end of the queue is gone.
    pub fn run(mut self) {
        self.try_flush();
        self.load_filters();
        loop {
            let dirty = self.open.as_ref().is_some_and(|o| !o.dirty.is_empty());
            let first = if dirty {
                match self.jobs.recv_timeout(FLUSH_IDLE) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.try_flush();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match self.jobs.recv() {
                    Ok(job) => job,
                    Err(_) => break,
                }
            };
            let mut group = vec![first];
            group.extend(self.jobs.try_iter().take(GROUP_MAX - 1));
            self.work(group);
            if self.flushed_at.elapsed() > FLUSH_LATEST {
                self.try_flush();
            }
        }
        self.try_flush();
    }

    fn work(&mut self, group: Vec<Job>) {
        if group.len() > 1 {
            let work = group.iter().map(|job| job.work.clone()).collect();
            if let Ok(outcomes) = self.commit(work) {
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    // Whoever asked may have gone away; it is written all the same.
                    let _ = job.done.send(outcome);
                }
                return;
            }
            // One of them spoilt it for all: each on its own.
        }
        for job in group {
            let result = self.commit(vec![job.work]);
            let outcome = result.and_then(|mut o| {
                o.pop().unwrap_or_else(|| Err(Error::internal("a job without an outcome")))
            });
            let _ = job.done.send(outcome);
        }
    }

    /// Does it all in one transaction. The outer error: nothing was done.
    fn commit(&mut self, work: Vec<Work>) -> Result<Vec<Result<Outcome>>> {
        if self.open.is_none() {
            let found = load(&self.options)?;
            self.install(found);
            tracing::info!("the index is open again");
        }
        let result = self.transaction(work);
        if let Err(e) = &result {
            tracing::warn!(error = %e, "a batch was not written");
            if e.is_fatal() {
                self.open = None;
                if let Some(pool) = self.shared.pool.write().take() {
                    pool.close();
                }
            }
        }
        Ok(result?)
    }

    fn transaction(&mut self, work: Vec<Work>) -> DbResult<Vec<Result<Outcome>>> {
        let shared = self.shared.clone();
        let Some(open) = &mut self.open else {
            return Err(DbError::Row("no open database".into()));
        };
        let mut filters = match open.filters.take() {
            Some(filters) => filters,
            None => Filters::load(&open.db)?,
        };
        let mut pending = Pending {
            catalog: (**shared.catalog.read()).clone(),
            properties: HashMap::new(),
            bounds: *shared.bounds.read(),
            dirty: Default::default(),
            names: shared.names().mark(),
        };
        open.db.execute_batch("BEGIN")?;
        let mut flush = false;
        let all = || {
            let mut outcomes = Vec::with_capacity(work.len());
            for work in work {
                outcomes.push(match work {
                    Work::Apply(batch) => {
                        let applied = apply(open, &mut filters, &shared, &mut pending, batch)?;
                        Ok(Outcome::Applied(applied))
                    }
                    Work::Put { kind, key, value, expected } => {
                        put(&open.db, &kind, &key, &value, expected)?.map(Outcome::Version)
                    }
                    Work::Delete { kind, key } => {
                        let key = params![kind, key];
                        open.db.execute("DELETE FROM control WHERE kind = ? AND key = ?", key)?;
                        Ok(Outcome::Done)
                    }
                    Work::Flush => {
                        flush = true;
                        Ok(Outcome::Done)
                    }
                });
            }
            open.db.execute_batch("COMMIT")?;
            Ok(outcomes)
        };
        let result = all();
        // What a rolled-back batch left in the filters is a false "perhaps" and no more.
        open.filters = Some(filters);
        match &result {
            Err(_) => {
                // The error above says more than that of the rollback.
                let _ = open.db.execute_batch("ROLLBACK");
                if shared.names().mark() != pending.names {
                    shared.change_names(|names| names.rollback(pending.names));
                }
            }
            Ok(_) => {
                open.dirty.extend(pending.dirty);
                shared.properties.write().extend(pending.properties);
                *shared.bounds.write() = pending.bounds;
                *shared.catalog.write() = Arc::new(pending.catalog);
                if flush {
                    self.flush()?;
                }
            }
        }
        result
    }

    /// Before the first batch asks for them, while the readers are at work already.
    fn load_filters(&mut self) {
        let Some(open) = &mut self.open else { return };
        match Filters::load(&open.db) {
            Ok(filters) => open.filters = Some(filters),
            // The first batch tries again and tells its caller.
            Err(e) => tracing::warn!(error = %e, "the keys of the index cannot be read"),
        }
    }

    fn try_flush(&mut self) {
        if let Err(e) = self.flush() {
            // Nothing is lost: start-up computes what is missing.
            tracing::warn!(error = %e, "the table of spans is behind");
            self.flushed_at = Instant::now();
        }
    }

    /// Brings the table `span` up to date.
    fn flush(&mut self) -> DbResult<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        self.flushed_at = Instant::now();
        if open.dirty.is_empty() {
            return Ok(());
        }
        let spans = self.shared.catalog.read().spans().clone();
        open.db.execute_batch("BEGIN")?;
        let written = {
            let names = self.shared.names();
            let dirty = open.dirty.iter().filter_map(|id| Some((*id, names.tracks.name(*id)?)));
            let edits = dirty.map(|(id, token)| {
                let (old, new) = (open.stored.of(token), spans.of(token));
                let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
                let (old, new) = (&old[head..], &new[head..]);
                let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b);
                let tail = tail.count();
                (id, &old[..old.len() - tail], &new[..new.len() - tail])
            });
            write_spans(&open.db, edits)
        };
        if let Err(e) = written.and_then(|()| Ok(open.db.execute_batch("COMMIT")?)) {
            let _ = open.db.execute_batch("ROLLBACK");
            return Err(e);
        }
        open.dirty.clear();
        open.stored = spans;
        Ok(())
    }
}

/// Replaces spans, track by track: number, rows that go, rows that come.
fn write_spans<'a>(
    db: &Connection,
    edits: impl Iterator<Item = (u32, &'a [dvrgate_model::UtcRange], &'a [dvrgate_model::UtcRange])>,
) -> DbResult<()> {
    let mut come = Vec::new();
    let mut any_goes = false;
    {
        let mut go = db.appender("stage_span")?;
        for (id, old, new) in edits {
            for span in old {
                go.append_row(params![id, Us::from(span.start())])?;
                any_goes = true;
            }
            come.extend(new.iter().map(|span| (id, *span)));
        }
        go.flush()?;
    }
    if any_goes {
        db.execute_batch(
            "DELETE FROM span USING stage_span k
             WHERE span.track_id = k.track_id AND span.start_time = k.start_time;
             DELETE FROM stage_span;",
        )?;
    }
    let mut to = db.appender("span")?;
    for (id, span) in come {
        to.append_row(params![id, Us::from(span.start()), Us::from(span.end())])?;
    }
    to.flush()?;
    db.execute_batch("DELETE FROM dirty_track")?;
    Ok(())
}

fn put(
    db: &Connection,
    kind: &str,
    key: &str,
    value: &str,
    expected: Option<u64>,
) -> DbResult<Result<u64>> {
    let found: Option<u64> = db
        .query_row(
            "SELECT version FROM control WHERE kind = ? AND key = ?",
            params![kind, key],
            |r| r.get(0),
        )
        .optional()?;
    if let Err(conflict) = check_version(kind, key, found, expected) {
        return Ok(Err(conflict));
    }
    db.execute_batch("UPDATE counter SET value = value + 1 WHERE name = 'control'")?;
    let counter = "SELECT value FROM counter WHERE name = 'control'";
    let version: u64 = db.query_row(counter, [], |r| r.get(0))?;
    db.execute("DELETE FROM control WHERE kind = ? AND key = ?", params![kind, key])?;
    db.execute("INSERT INTO control VALUES (?, ?, ?, ?)", params![kind, key, version, value])?;
    Ok(Ok(version))
}
