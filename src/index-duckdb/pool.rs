//! One open database and the connections that read it.

use parking_lot::{Condvar, Mutex};

use duckdb::{Config, Connection};

use crate::Options;
use crate::error::Result;

/// Readers at the same time; more wait. Each may use DuckDB's threads, of which there are two.
const READERS: usize = 4;

/// See the module documentation.
pub(crate) struct Pool {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    /// Only cloned. `None` once the pool is closed.
    root: Option<Connection>,
    idle: Vec<Connection>,
    busy: usize,
}

impl Pool {
    /// Opens the file, or makes it.
    pub fn open(options: &Options) -> Result<Self> {
        let memory = format!("{}B", options.memory_limit_bytes);
        let config = Config::default()
            .max_memory(&memory)?
            .threads(options.threads.max(1) as i64)?
            .enable_autoload_extension(false)?
            .enable_external_access(false)?
            // Pages here are a few hundred rows of one row group: fetching their columns in a
            // second pass doubles the time (measured, docs/benchmarks.md).
            .with("late_materialization_max_rows", "0")?;
        let root = Connection::open_with_flags(&options.path, config)?;
        Ok(Self {
            inner: Mutex::new(Inner { root: Some(root), idle: Vec::new(), busy: 0 }),
            changed: Condvar::new(),
        })
    }

    /// A connection that is not of the pool.
    pub fn connect(&self) -> Result<Connection> {
        match &self.inner.lock().root {
            Some(root) => Ok(root.try_clone()?),
            None => Err(duckdb::Error::InvalidQuery.into()),
        }
    }

    /// Runs `f` with a connection.
    pub fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = {
            let mut inner = self.inner.lock();
            while inner.busy >= READERS {
                self.changed.wait(&mut inner);
            }
            let connection = match (inner.idle.pop(), &inner.root) {
                (Some(idle), Some(_)) => idle,
                (None, Some(root)) => root.try_clone()?,
                (_, None) => return Err(duckdb::Error::InvalidQuery.into()),
            };
            inner.busy += 1;
            connection
        };
        let guard = Return { pool: self, connection: Some(connection) };
        match &guard.connection {
            Some(connection) => f(connection),
            None => Err(duckdb::Error::InvalidQuery.into()),
        }
    }

    /// Waits for all readers and closes every connection of the pool.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        inner.root = None;
        inner.idle.clear();
        while inner.busy > 0 {
            self.changed.wait(&mut inner);
        }
    }
}

/// Gives the connection back even if the query panics.
struct Return<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Return<'_> {
    fn drop(&mut self) {
        let mut inner = self.pool.inner.lock();
        inner.busy -= 1;
        if inner.root.is_some() {
            inner.idle.extend(self.connection.take());
        } else {
            self.connection = None;
        }
        self.pool.changed.notify_all();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("Pool").field("idle", &inner.idle.len()).field("busy", &inner.busy).finish()
    }
}
