//! Writing: which file a GOP goes to, what makes room for it, when it is durable.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use dvrgate_model::{
    ByteOrigin, CodecParams, Error, ErrorKind, Fault, Result, TrackToken, Utc, UtcRange,
};
use sha2::{Digest, Sha256};

use super::directory::{Directory, Entry, Restated};
use super::file::{GopFile, Referred, Space};
use super::record::{self, FrameRecord, GopRecord, Record};
use super::{Held, MAX_GOP_BYTES, Shared, State, TransferState};
use crate::{Gop, GopKey};

/// Unsynced bytes that start a sync.
const SYNC_BYTES: u64 = 64 << 20;
/// A media file holds footage of one such period.
const PERIOD_US: i64 = 3_600_000_000;
/// Longer track tokens do not become file names.
const MAX_TOKEN_BYTES: usize = 64;

/// Records that must stand before a GOP's.
type Before = Vec<(Referred, Vec<u8>)>;

impl Shared {
    pub(super) fn put(&self, gop: &Gop, transfer: &TransferState) -> Result<GopKey> {
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
                source: gop.source,
                restated: Restated::default(),
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
    fn describe(&self, gop: &Gop) -> Result<(GopRecord, Before)> {
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
    pub(super) fn make_room(
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

    pub(super) fn touch(&self, file: &GopFile) {
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

    pub(super) fn finish(
        &self,
        transfer: &TransferState,
        sha256: Option<[u8; 32]>,
        bytes: u64,
    ) -> Result<()> {
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

    pub(super) fn sync(&self) -> Result<()> {
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
}

/// The stored GOP that covers half of that time or more.
pub(super) fn covered(directory: &Directory, track: &TrackToken, range: UtcRange) -> Option<Utc> {
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
