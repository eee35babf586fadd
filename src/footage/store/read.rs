//! Reading: from a key to frames that are slices of the mapped file.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dvrgate_model::{
    CodecParams, Error, Frame, MediaTime, Result, Stamp, TrackToken, Utc, UtcRange,
};

use super::Shared;
use super::directory::{Entry, Restated};
use super::file::GopFile;
use super::record::{self, GopRecord, Record};
use crate::{Gop, GopKey};

/// Codec parameters are shared between files while there are not more of them than this.
const MAX_INTERNED: usize = 4096;

impl Shared {
    pub(super) fn gop(&self, key: &GopKey) -> Result<Gop> {
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
        let mut gop = gop_of(track, file, &record, &media).ok_or("its parameters are missing")?;
        restate(&mut gop, entry.restated);
        Ok(gop)
    }

    /// One `Arc` for equal parameters, so that a change of them is a change of pointer.
    pub(super) fn intern(&self, id: u64, params: CodecParams) -> Arc<CodecParams> {
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

/// Moves the instants of a GOP.
fn restate(gop: &mut Gop, restated: Restated) {
    let Some((epoch, uncertainty_us)) = restated.by else { return };
    let moved = |t: Utc| t.plus_us(restated.shift_us);
    gop.range = UtcRange::clamped(moved(gop.range.start()), moved(gop.range.end()));
    for f in &mut gop.frames {
        let uncertainty_us = f.at.uncertainty_us.max(uncertainty_us);
        f.at = Stamp { utc: moved(f.at.utc), uncertainty_us, epoch };
    }
}
