//! The GOP store: footage on disk, bounded and crash-safe.
//!
//! One directory holds pairs of files, each pair of one track and one hour of footage:
//! `yard-3-video.0000002a.media` with the units one after the other, and `.gops` beside it, a row
//! of checksummed records (see [`record`]) that say what the bytes are. Both are only appended to,
//! media first, by the run that made them; a later run only reads them. So whatever moment a
//! process is killed at, opening finds every GOP whose `put` returned and cuts off at most the one
//! that was being written. Bytes go to disk in groups: when a transfer ends and after each
//! 64 MiB; a power cut can lose what was written since, and what it damaged is noticed by
//! checksum at the first touch, dropped, and fetched again.
//!
//! The directory of GOPs is in memory; frames are slices of mapped files. Whole files are evicted,
//! least recently used first, pinned ones never; one that is still being read vanishes from the
//! directory at once and from the disk with its last reader, and counts until then.

mod directory;
mod file;
mod leb128;
mod open;
mod read;
pub mod record;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use dvrgate_model::{ByteOrigin, ClockMap, CodecParams, Error, Result, TrackToken, Utc, UtcRange};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::{Coverage, Gop, GopKey, MediaStore, Pin};
use directory::Directory;
use file::GopFile;

pub use open::{Check, Opened, check};

/// Where and how much.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Directory; made if it is not there. No other process may use it at the same time.
    pub dir: PathBuf,
    /// Bound of all files together.
    pub budget_bytes: u64,
}

/// No media file grows beyond this (one that holds a single larger GOP excepted).
const MAX_FILE_BYTES: u64 = 64 << 20;
/// A smaller budget is divided into at least this many files, so that eviction is gradual.
const FILES_IN_BUDGET: u64 = 32;
const MIN_FILE_BYTES: u64 = 64 << 10;
/// No GOP is larger.
pub(crate) const MAX_GOP_BYTES: u64 = 64 << 20;

/// The store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GopStore(Arc<Shared>);

/// What the store did since it was opened, and holds now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StoreStats {
    /// GOPs.
    pub gops: u64,
    /// Pairs of files.
    pub files: u64,
    /// On disk, with files that were evicted and are still being read.
    pub bytes: u64,
    /// Bound of `bytes`.
    pub budget_bytes: u64,
    /// GOPs read.
    pub hits: u64,
    /// GOPs asked for that were not there (any more).
    pub misses: u64,
    /// GOPs written.
    pub puts: u64,
    /// GOPs that could not be written.
    pub failed_puts: u64,
    /// Files evicted.
    pub evicted_files: u64,
    /// GOPs dropped because they did not match their checksum.
    pub damaged_gops: u64,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    budget: u64,
    file_bytes: u64,
    total: Arc<AtomicU64>,
    state: Mutex<State>,
    interned: Mutex<HashMap<u64, Weak<CodecParams>>>,
    /// Clock of use.
    tick: AtomicU64,
    next_transfer: AtomicU64,
    unsynced: AtomicU64,
    counts: Counts,
    _lock: std::fs::File,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    puts: AtomicU64,
    failed_puts: AtomicU64,
    evicted_files: AtomicU64,
    damaged_gops: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    directory: Directory,
    files: HashMap<u64, Held>,
    active: HashMap<(TrackToken, i64), u64>,
    pins: HashMap<u64, (TrackToken, UtcRange)>,
    next_file: u64,
    next_pin: u64,
}

/// A file and the hull of its GOPs.
#[derive(Debug)]
struct Held {
    file: Arc<GopFile>,
    span: Option<UtcRange>,
}

/// What one transfer from a recorder stores; see [`MediaStore::transfer`].
#[derive(Debug)]
pub struct Transfer(Arc<TransferState>);

#[derive(Debug)]
struct TransferState {
    id: u64,
    origin: Arc<ByteOrigin>,
    /// Weak, so that a transfer under way does not keep evicted files.
    files: Mutex<Vec<Weak<GopFile>>>,
}

impl GopStore {
    /// Opens the store, after whatever happened to the process before. Reads all sidecars: some
    /// milliseconds per thousand GOPs.
    pub fn open(options: StoreOptions) -> Result<(Self, Opened)> {
        open::open(options)
    }

    /// What it holds and did.
    pub fn stats(&self) -> StoreStats {
        let s = &*self.0;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let state = s.state.lock();
        StoreStats {
            gops: state.directory.len() as u64,
            files: state.files.len() as u64,
            bytes: get(&s.total),
            budget_bytes: s.budget,
            hits: get(&s.counts.hits),
            misses: get(&s.counts.misses),
            puts: get(&s.counts.puts),
            failed_puts: get(&s.counts.failed_puts),
            evicted_files: get(&s.counts.evicted_files),
            damaged_gops: get(&s.counts.damaged_gops),
        }
    }

    /// The directory it lives in.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The first stored GOP that ends after `from` and, if given, starts after `beyond`. From
    /// memory.
    pub fn forward(&self, track: &TrackToken, from: Utc, beyond: Option<Utc>) -> Option<UtcRange> {
        self.0.state.lock().directory.forward(track, from, beyond)
    }

    /// The last stored GOP that starts before `until`. From memory.
    pub fn reverse(&self, track: &TrackToken, until: Utc) -> Option<UtcRange> {
        self.0.state.lock().directory.reverse(track, until)
    }

    /// Moves the GOPs of these tracks to where their readings are by that clock: more was learnt
    /// about it. Returns how many moved. Done anew after each start.
    pub fn restate(&self, tracks: &[TrackToken], clock: &ClockMap) -> usize {
        let State { directory, files, .. } = &mut *self.0.state.lock();
        let mut moved = 0;
        for track in tracks {
            moved += directory.restate(track, clock, |file, range| {
                if let Some(held) = files.get_mut(&file.id) {
                    held.span = Some(held.span.map_or(range, |s| s.hull(&range)));
                }
            });
        }
        moved
    }

    /// Makes durable whatever was written. Blocks.
    pub fn flush(&self) -> Result<()> {
        self.0.sync()
    }

    /// Stores a GOP. Blocks; see [`MediaStore::put`].
    pub fn put_blocking(&self, gop: &Gop, transfer: &Transfer) -> Result<GopKey> {
        let result = self.0.put(gop, &transfer.0);
        let count = match result {
            Ok(_) => &self.0.counts.puts,
            Err(_) => &self.0.counts.failed_puts,
        };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Reads a GOP. Blocks where the bytes are not in the page cache.
    pub fn gop_blocking(&self, key: &GopKey) -> Result<Arc<Gop>> {
        let result = self.0.gop(key);
        let count = match result {
            Ok(_) => &self.0.counts.hits,
            Err(_) => &self.0.counts.misses,
        };
        count.fetch_add(1, Ordering::Relaxed);
        result.map(Arc::new)
    }
}

impl MediaStore for GopStore {
    fn cover(&self, track: &TrackToken, range: UtcRange) -> Result<Coverage> {
        let gops = self.0.state.lock().directory.overlapping(track, range);
        let mut missing = Vec::new();
        let mut at = range.start();
        for r in &gops {
            if r.start() > at {
                missing.push(UtcRange::clamped(at, r.start()));
            }
            at = at.max(r.end());
        }
        if at < range.end() {
            missing.push(UtcRange::clamped(at, range.end()));
        }
        let key = |start| GopKey { track: track.clone(), start };
        Ok(Coverage { gops: gops.iter().map(|r| (key(r.start()), *r)).collect(), missing })
    }

    fn gop(&self, key: &GopKey) -> BoxFuture<'_, Result<Arc<Gop>>> {
        let verified =
            self.0.state.lock().directory.get(&key.track, key.start).is_none_or(|e| e.verified);
        let (store, key) = (self.clone(), key.clone());
        Box::pin(async move {
            if verified {
                // The frame table is small; the frames' pages are touched by whoever sends them.
                return store.gop_blocking(&key);
            }
            on_blocking_pool(move || store.gop_blocking(&key)).await
        })
    }

    fn transfer(&self, what: &str) -> Transfer {
        Transfer(Arc::new(TransferState {
            id: self.0.next_transfer.fetch_add(1, Ordering::Relaxed),
            origin: Arc::new(ByteOrigin { what: what.to_owned(), sha256: None, bytes: 0 }),
            files: Mutex::default(),
        }))
    }

    fn put<'a>(&'a self, gop: Arc<Gop>, transfer: &'a Transfer) -> BoxFuture<'a, Result<GopKey>> {
        let (store, transfer) = (self.clone(), Transfer(Arc::clone(&transfer.0)));
        Box::pin(on_blocking_pool(move || store.put_blocking(&gop, &transfer)))
    }

    fn finish(
        &self,
        transfer: Transfer,
        sha256: Option<[u8; 32]>,
        bytes: u64,
    ) -> BoxFuture<'_, Result<()>> {
        let store = self.clone();
        Box::pin(on_blocking_pool(move || store.0.finish(&transfer.0, sha256, bytes)))
    }

    fn pin(&self, track: &TrackToken, range: UtcRange) -> Pin {
        let mut state = self.0.state.lock();
        let id = state.next_pin;
        state.next_pin += 1;
        state.pins.insert(id, (track.clone(), range));
        let shared = Arc::downgrade(&self.0);
        let release = move || {
            if let Some(shared) = shared.upgrade() {
                shared.state.lock().pins.remove(&id);
            }
        };
        Pin { release: Some(Box::new(release)) }
    }
}

async fn on_blocking_pool<T: Send + 'static>(
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .map_err(|e| Error::internal("a task of the footage store failed").because(e))?
}
