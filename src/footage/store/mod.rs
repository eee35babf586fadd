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
mod open;
pub mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dvrgate_model::{
    ByteOrigin, CodecParams, Error, ErrorKind, Fault, Frame, MediaTime, Result, TrackToken, Utc,
    UtcRange,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{Coverage, Gop, GopKey, MediaStore, Pin};
use directory::{Directory, Entry};
use file::{GopFile, Referred, Space};
use record::{FrameRecord, GopRecord, Record};

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
/// Unsynced bytes that start a sync.
const SYNC_BYTES: u64 = 64 << 20;
/// A media file holds footage of one such period.
const PERIOD_US: i64 = 3_600_000_000;
/// Codec parameters are shared between files while there are not more of them than this.
const MAX_INTERNED: usize = 4096;
/// Longer track tokens do not become file names.
const MAX_TOKEN_BYTES: usize = 64;

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

impl Shared {
    fn put(&self, gop: &Gop, transfer: &TransferState) -> Result<GopKey> {
        let (record, mut before) = self.describe(gop)?;
        let media_bytes = record.media_len();
        before
            .push((Referred::Transfer(transfer.id), encode_origin(transfer.id, &transfer.origin)));
        let side_bytes: usize = before.iter().map(|(_, b)| b.len()).sum();
        let record_bytes = record::encode(&Record::Gop(GopRecord {
            media_offset: u64::MAX,
            media_crc: u32::MAX,
            transfer: transfer.id,
            ..record.clone()
        }));
        // With the largest offset, so the true record is no longer.
        let reserved = media_bytes + (side_bytes + record_bytes.len()) as u64;

        let mut evicted = Vec::new();
        let chosen = {
            let mut state = self.state.lock();
            if let Some(there) = covered(&state.directory, &gop.track, gop.range) {
                return Ok(GopKey { track: gop.track.clone(), start: there });
            }
            self.make_room(&mut state, reserved, &mut evicted).map(|()| {
                let file = self.file_for(&mut state, gop, media_bytes);
                file.space.reserve(reserved);
                file
            })
        };
        // Unlinking may take milliseconds, so not under the lock.
        for file in evicted {
            if let Err(e) = file.unlink() {
                tracing::warn!(file = file.id, error = %e, "an evicted footage file stays on disk");
            }
        }
        let file = chosen?;

        let written = file.append(&gop.frames, &before, |media_offset| {
            record::encode(&Record::Gop(GopRecord {
                media_offset,
                media_crc: record.media_crc,
                transfer: transfer.id,
                ..record.clone()
            }))
        });
        let place = match written {
            Ok(place) => place,
            Err(e) => {
                file.space.release(reserved);
                self.forget_if_empty(&file);
                return Err(self.write_error(e));
            }
        };
        let written = media_bytes + place.before_bytes + u64::from(place.record_len);
        file.space.release(reserved.saturating_sub(written));
        file.know(|k| {
            for f in &gop.frames {
                k.params.entry(params_id(&f.params)).or_insert_with(|| Arc::clone(&f.params));
            }
            k.transfers.entry(transfer.id).or_insert_with(|| Arc::clone(&transfer.origin));
        });
        {
            let mut files = transfer.files.lock();
            if !files.iter().any(|f| f.as_ptr() == Arc::as_ptr(&file)) {
                files.push(Arc::downgrade(&file));
            }
        }

        let start = gop.range.start();
        {
            let mut state = self.state.lock();
            let Some(held) = state.files.get_mut(&file.id) else {
                return Err(Error::new(ErrorKind::LimitExceeded, "evicted while it was written"));
            };
            held.span = Some(held.span.map_or(gop.range, |r| r.hull(&gop.range)));
            for old in superseded(&state.directory, gop) {
                state.directory.remove(&gop.track, old);
            }
            let entry = Entry {
                end: gop.range.end(),
                file: Arc::clone(&file),
                // Sidecars stay far below 4 GiB: a media file has at most 64 MiB.
                record_offset: place.record_offset as u32,
                record_len: place.record_len,
                verified: true,
            };
            state.directory.insert(&gop.track, start, entry);
        }
        if self.unsynced.fetch_add(reserved, Ordering::Relaxed) + reserved >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(gop.key())
    }

    /// The GOP's record, without place and transfer, and what it refers to.
    fn describe(&self, gop: &Gop) -> Result<(GopRecord, Vec<(Referred, Vec<u8>)>)> {
        let first = gop.frames.first().ok_or_else(|| Error::invalid("a GOP without units"))?;
        if !first.kind.is_clean() {
            return Err(Error::invalid("a GOP whose first unit is not clean"));
        }
        if gop.track.as_str().len() > MAX_TOKEN_BYTES {
            return Err(Error::invalid("a track token of more than 64 bytes"));
        }
        let bytes = gop.bytes();
        if bytes > MAX_GOP_BYTES || gop.frames.len() > record::MAX_FRAMES {
            return Err(Error::new(ErrorKind::LimitExceeded, "a GOP too large to store")
                .with("bytes", bytes)
                .with("units", gop.frames.len()));
        }
        let mut before = vec![(Referred::Track, record::encode(&Record::Track(gop.track.clone())))];
        let mut crc = crc32fast::Hasher::new();
        let mut frames = Vec::with_capacity(gop.frames.len());
        let (mut shown, mut params) = (None, 0);
        for f in &gop.frames {
            if f.media.rate_hz != first.media.rate_hz {
                return Err(Error::invalid("a GOP with two media clocks"));
            }
            if shown.is_none_or(|p| !Arc::ptr_eq(p, &f.params)) {
                shown = Some(&f.params);
                params = params_id(&f.params);
                before.push((
                    Referred::Params(params),
                    record::encode(&Record::Params(params, (*f.params).clone())),
                ));
            }
            crc.update(&f.data);
            frames.push(FrameRecord {
                // At most MAX_GOP_BYTES, checked above.
                len: f.data.len() as u32,
                at: f.at,
                ticks: f.media.ticks,
                kind: f.kind,
                params,
            });
        }
        let record = GopRecord {
            start: gop.range.start(),
            end: gop.range.end(),
            source: gop.source,
            media_offset: 0,
            media_crc: crc.finalize(),
            transfer: 0,
            rate_hz: first.media.rate_hz,
            frames,
        };
        Ok((record, before))
    }

    /// Takes files out until `bytes` more fit into the budget.
    fn make_room(
        &self,
        state: &mut State,
        bytes: u64,
        evicted: &mut Vec<Arc<GopFile>>,
    ) -> Result<()> {
        let full = |why: &str| {
            Err(Error::new(ErrorKind::LimitExceeded, format!("the footage store is full: {why}"))
                .with("budget_bytes", self.budget)
                .with("wanted_bytes", bytes))
        };
        if bytes > self.budget {
            return full("one GOP is larger than the budget");
        }
        let mut freed = 0;
        while self.total.load(Ordering::Relaxed).saturating_sub(freed) + bytes > self.budget {
            let pinned = |h: &Held| {
                state.pins.values().any(|(track, range)| {
                    *track == h.file.track && h.span.is_some_and(|span| span.overlaps(range))
                })
            };
            let oldest = state
                .files
                .values()
                .filter(|h| !pinned(h))
                .min_by_key(|h| h.file.used.load(Ordering::Relaxed))
                .map(|h| h.file.id);
            let Some(held) = oldest.and_then(|id| state.files.remove(&id)) else {
                return full("what is in it is pinned or being read");
            };
            if let Some(span) = held.span {
                state.directory.remove_file(&held.file, span);
            }
            state.active.retain(|_, id| *id != held.file.id);
            self.counts.evicted_files.fetch_add(1, Ordering::Relaxed);
            // Someone who still maps it keeps its bytes on disk.
            if Arc::strong_count(&held.file.space) == 1 {
                freed += held.file.space.bytes();
            }
            evicted.push(held.file);
        }
        Ok(())
    }

    /// The file that a GOP is appended to, made if need be.
    fn file_for(&self, state: &mut State, gop: &Gop, media_bytes: u64) -> Arc<GopFile> {
        let slot = (gop.track.clone(), gop.range.start().micros().div_euclid(PERIOD_US));
        let usable = |h: &&Held| h.file.promise(media_bytes);
        let active = state.active.get(&slot).and_then(|id| state.files.get(id)).filter(usable);
        let file = match active {
            Some(held) => Arc::clone(&held.file),
            None => {
                let id = state.next_file;
                state.next_file += 1;
                let capacity = self.file_bytes.max(media_bytes);
                let space = Space::new(Arc::clone(&self.total), 0);
                let file = Arc::new(GopFile::create(&self.dir, id, &gop.track, capacity, space));
                // A new file has room for its first GOP.
                file.promise(media_bytes);
                state.files.insert(id, Held { file: Arc::clone(&file), span: None });
                state.active.insert(slot, id);
                file
            }
        };
        self.touch(&file);
        file
    }

    fn touch(&self, file: &GopFile) {
        file.used.store(self.tick.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn forget_if_empty(&self, file: &Arc<GopFile>) {
        let mut state = self.state.lock();
        if state.files.get(&file.id).is_some_and(|h| h.span.is_none()) {
            state.files.remove(&file.id);
            state.active.retain(|_, id| *id != file.id);
            drop(state);
            // Whatever cannot be removed now is removed when the store is opened next.
            let _ = file.unlink();
        }
    }

    fn write_error(&self, e: std::io::Error) -> Error {
        let full =
            matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let (kind, message) = match full {
            true => (ErrorKind::LimitExceeded, "the disk of the footage store is full"),
            false => (ErrorKind::Internal, "the footage store cannot be written"),
        };
        Error::new(kind, message)
            .with_fault(Fault::Gateway)
            .during("put")
            .with("dir", self.dir.display())
            .because(e)
    }

    fn gop(&self, key: &GopKey) -> Result<Gop> {
        let gone = || {
            Error::not_found("no such GOP in the footage store")
                .with("track", &key.track)
                .with("start", key.start)
        };
        let entry = {
            let state = self.state.lock();
            state.directory.get(&key.track, key.start).cloned().ok_or_else(gone)?
        };
        self.touch(&entry.file);
        let read = self.read(&key.track, &entry);
        match read {
            Ok(gop) => {
                if !entry.verified
                    && let Some(e) = self.state.lock().directory.get_mut(&key.track, key.start)
                {
                    e.verified = true;
                }
                Ok(gop)
            }
            Err(why) => {
                // Either damage, or an eviction that overtook us.
                let mut state = self.state.lock();
                let same = |e: &Entry| {
                    e.file.id == entry.file.id && e.record_offset == entry.record_offset
                };
                if state.directory.get(&key.track, key.start).is_some_and(same) {
                    state.directory.remove(&key.track, key.start);
                    self.counts.damaged_gops.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(track = %key.track, start = %key.start, why, "dropped a damaged GOP; it will be fetched again");
                }
                Err(gone())
            }
        }
    }

    fn read(&self, track: &TrackToken, entry: &Entry) -> std::result::Result<Gop, &'static str> {
        let file = &entry.file;
        let bytes = file
            .read_record(u64::from(entry.record_offset), entry.record_len)
            .map_err(|_| "its sidecar cannot be read")?;
        let Some((Record::Gop(record), _)) = record::decode(&bytes) else {
            return Err("its sidecar record is damaged");
        };
        let media = file
            .slice(record.media_offset, record.media_len())
            .map_err(|_| "its media file cannot be read")?;
        if !entry.verified && crc32fast::hash(&media) != record.media_crc {
            return Err("its media does not match the checksum");
        }
        gop_of(track, file, &record, &media).ok_or("its parameters are missing")
    }

    fn finish(&self, transfer: &TransferState, sha256: Option<[u8; 32]>, bytes: u64) -> Result<()> {
        let origin = Arc::new(ByteOrigin { what: transfer.origin.what.clone(), sha256, bytes });
        let record = encode_origin(transfer.id, &origin);
        for file in transfer.files.lock().iter().filter_map(Weak::upgrade) {
            file.know(|k| {
                k.transfers.insert(transfer.id, Arc::clone(&origin));
            });
            file.space.reserve(record.len() as u64);
            if let Err(e) = file.note(&record) {
                file.space.release(record.len() as u64);
                return Err(self.write_error(e));
            }
        }
        self.sync()
    }

    fn sync(&self) -> Result<()> {
        self.unsynced.store(0, Ordering::Relaxed);
        let dirty: Vec<_> = {
            let state = self.state.lock();
            let files = state.files.values().map(|h| &h.file);
            files.filter(|f| f.dirty.load(Ordering::Relaxed)).cloned().collect()
        };
        if dirty.is_empty() {
            return Ok(());
        }
        for file in dirty {
            match file.sync() {
                // Evicted in between.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                other => other.map_err(|e| self.write_error(e))?,
            }
        }
        std::fs::File::open(&self.dir).and_then(|d| d.sync_all()).map_err(|e| self.write_error(e))
    }

    /// One `Arc` for equal parameters, so that a change of them is a change of pointer.
    fn intern(&self, id: u64, params: CodecParams) -> Arc<CodecParams> {
        let mut map = self.interned.lock();
        if let Some(known) = map.get(&id).and_then(Weak::upgrade) {
            return known;
        }
        if map.len() >= MAX_INTERNED {
            map.retain(|_, p| p.strong_count() > 0);
        }
        let params = Arc::new(params);
        if map.len() < MAX_INTERNED {
            map.insert(id, Arc::downgrade(&params));
        }
        params
    }
}

fn gop_of(track: &TrackToken, file: &GopFile, record: &GopRecord, media: &Bytes) -> Option<Gop> {
    let origin = file.transfer(record.transfer);
    let mut frames = Vec::with_capacity(record.frames.len());
    let mut params: Option<(u64, Arc<CodecParams>)> = None;
    let mut offset = 0;
    for f in &record.frames {
        let shared = match &params {
            Some((id, p)) if *id == f.params => Arc::clone(p),
            _ => file.params(f.params)?,
        };
        params = Some((f.params, Arc::clone(&shared)));
        let end = offset + f.len as usize;
        frames.push(Frame {
            track: track.clone(),
            at: f.at,
            media: MediaTime { ticks: f.ticks, rate_hz: record.rate_hz },
            kind: f.kind,
            params: shared,
            data: media.slice(offset..end),
            origin: origin.clone(),
        });
        offset = end;
    }
    Some(Gop {
        track: track.clone(),
        range: UtcRange::clamped(record.start, record.end),
        source: record.source,
        frames,
    })
}

/// The stored GOP that covers half of that time or more.
fn covered(directory: &Directory, track: &TrackToken, range: UtcRange) -> Option<Utc> {
    let range = nonempty(range);
    let covers = |r: &&UtcRange| {
        nonempty(**r).intersect(&range).is_some_and(|i| i.duration_us() * 2 >= range.duration_us())
    };
    directory.overlapping(track, range).iter().find(covers).map(|r| r.start())
}

/// Stored GOPs of whose time the new one covers half or more.
fn superseded(directory: &Directory, gop: &Gop) -> Vec<Utc> {
    let range = nonempty(gop.range);
    let covered = |r: &UtcRange| {
        let r = nonempty(*r);
        r.intersect(&range).is_some_and(|i| i.duration_us() * 2 >= r.duration_us())
    };
    let stored = directory.overlapping(&gop.track, range);
    stored.into_iter().filter(covered).map(|r| r.start()).collect()
}

/// A GOP of no length still holds its first instant.
fn nonempty(r: UtcRange) -> UtcRange {
    UtcRange::clamped(r.start(), r.end().max(r.start().plus_us(1)))
}

fn encode_origin(id: u64, origin: &ByteOrigin) -> Vec<u8> {
    record::encode(&Record::Transfer(id, origin.clone()))
}

/// The number of parameters: the start of their SHA-256.
fn params_id(params: &CodecParams) -> u64 {
    let sum = Sha256::digest(record::params_bytes(params));
    sum.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}
