//! Opening a store after whatever happened, and checking one without changing it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dvrgate_model::{Error, ErrorKind, Result, TrackToken, UtcRange};
use parking_lot::Mutex;

use super::directory::{Entry, Restated};
use super::file::{GopFile, Known, MEDIA_EXT, SIDECAR_EXT, Space, stem};
use super::record::{self, GopRecord, Record};
use super::{
    Counts, FILES_IN_BUDGET, GopStore, Held, MAX_FILE_BYTES, MIN_FILE_BYTES, Shared, State,
    StoreOptions,
};

/// What was found when a store was opened.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Opened {
    /// Pairs of files.
    pub files: u64,
    /// GOPs in them.
    pub gops: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// GOPs that were not whole: cut off, or their sidecar record damaged.
    pub dropped_gops: u64,
    /// Bytes that no whole GOP owns and that were cut off.
    pub dropped_bytes: u64,
    /// One line for each thing that was not as it should be.
    pub notes: Vec<String>,
}

/// What [`check`] found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Check {
    /// Pairs of files.
    pub files: u64,
    /// GOPs whose bytes match their checksum.
    pub sound_gops: u64,
    /// GOPs whose bytes do not.
    pub damaged_gops: u64,
    /// Bytes that no GOP owns.
    pub stray_bytes: u64,
    /// One line for each thing that is not as it should be.
    pub notes: Vec<String>,
}

/// No sidecar is read beyond this: 64 MiB of media in units of a few bytes stay below.
const MAX_SIDECAR_BYTES: u64 = 512 << 20;
const LOCK_FILE: &str = "lock";

pub(super) fn open(options: StoreOptions) -> Result<(GopStore, Opened)> {
    let dir = options.dir;
    let failed = |e: io::Error| {
        Error::internal("the footage store cannot be opened").with("dir", dir.display()).because(e)
    };
    fs::create_dir_all(&dir).map_err(failed)?;
    let lock = File::create(dir.join(LOCK_FILE)).map_err(failed)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
        |e| {
            Error::new(ErrorKind::Conflict, "another process uses the footage store")
                .with("dir", dir.display())
                .because(e)
        },
    )?;

    let shared = Arc::new(Shared {
        file_bytes: (options.budget_bytes / FILES_IN_BUDGET).clamp(MIN_FILE_BYTES, MAX_FILE_BYTES),
        budget: options.budget_bytes,
        total: Arc::new(AtomicU64::new(0)),
        state: Mutex::new(State { next_file: 1, ..State::default() }),
        interned: Mutex::default(),
        tick: AtomicU64::new(0),
        next_transfer: AtomicU64::new(1),
        unsynced: AtomicU64::new(0),
        counts: Counts::default(),
        _lock: lock,
        dir: dir.clone(),
    });
    let mut report = Opened::default();
    let mut pairs = list(&dir).map_err(failed)?;
    pairs.sort_by_key(|p| p.id);
    // The newest first: of two GOPs of the same time, the later one was fetched because the
    // earlier one was not whole.
    for pair in pairs.iter().rev() {
        take(&shared, pair, &mut report).map_err(failed)?;
    }
    let mut evicted = Vec::new();
    {
        let mut state = shared.state.lock();
        state.next_file = pairs.last().map_or(1, |p| p.id + 1);
        for held in state.files.values() {
            held.file.used.store(held.file.id, std::sync::atomic::Ordering::Relaxed);
        }
        shared.tick.store(state.next_file, std::sync::atomic::Ordering::Relaxed);
        shared.make_room(&mut state, 0, &mut evicted)?;
    }
    for file in evicted {
        file.unlink().map_err(failed)?;
    }
    let state = shared.state.lock();
    report.files = state.files.len() as u64;
    report.gops = state.directory.len() as u64;
    report.bytes = shared.total.load(std::sync::atomic::Ordering::Relaxed);
    drop(state);
    for note in &report.notes {
        tracing::warn!(dir = %dir.display(), "{note}");
    }
    Ok((GopStore(shared), report))
}

/// Reads a whole store and compares it with its checksums. Changes nothing; works beside a running
/// gateway, where the newest GOPs may be missing from the count.
pub fn check(dir: &Path) -> Result<Check> {
    let failed = |e: io::Error| {
        Error::internal("the footage store cannot be read").with("dir", dir.display()).because(e)
    };
    let mut report = Check::default();
    for pair in list(dir).map_err(failed)? {
        report.files += 1;
        let scan = pair.scan().map_err(failed)?;
        report.notes.extend(scan.notes.iter().cloned());
        report.damaged_gops += scan.damaged_records;
        let Ok(media) = File::open(&pair.media) else {
            report.damaged_gops += scan.gops.len() as u64;
            report.notes.push(format!("{}: no media", pair.name));
            continue;
        };
        let media_len = media.metadata().map_err(failed)?.len();
        let mut owned = 0;
        for (_, _, gop) in &scan.gops {
            use std::os::unix::fs::FileExt;
            let len = gop.media_len();
            let mut bytes = vec![0; len.min(MAX_FILE_BYTES * 2) as usize];
            let whole = media.read_exact_at(&mut bytes, gop.media_offset).is_ok();
            if whole && crc32fast::hash(&bytes) == gop.media_crc {
                report.sound_gops += 1;
                owned += len;
            } else {
                report.damaged_gops += 1;
                report.notes.push(format!("{}: GOP at {} is damaged", pair.name, gop.start));
            }
        }
        report.stray_bytes += media_len.saturating_sub(owned);
    }
    Ok(report)
}

/// A media file and its sidecar, one of which may be missing.
#[derive(Debug)]
struct Pair {
    id: u64,
    name: String,
    media: PathBuf,
    sidecar: PathBuf,
}

/// What a sidecar holds.
#[derive(Debug, Default)]
struct Scan {
    track: Option<TrackToken>,
    known: Known,
    /// Offset, length, record.
    gops: Vec<(u64, u32, GopRecord)>,
    /// Where the last sound record ends.
    sound_bytes: u64,
    len: u64,
    /// With sound ones behind them.
    damaged_records: u64,
    notes: Vec<String>,
}

fn list(dir: &Path) -> io::Result<Vec<Pair>> {
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let (Some(name), Some(ext)) =
            (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|s| s.to_str()))
        else {
            continue;
        };
        if ext != MEDIA_EXT && ext != SIDECAR_EXT {
            continue;
        }
        let Some(id) = name.rsplit('.').next().and_then(|hex| u64::from_str_radix(hex, 16).ok())
        else {
            continue;
        };
        pairs.entry(name.to_owned()).or_insert_with(|| Pair {
            id,
            name: name.to_owned(),
            media: dir.join(format!("{name}.{MEDIA_EXT}")),
            sidecar: dir.join(format!("{name}.{SIDECAR_EXT}")),
        });
    }
    Ok(pairs.into_values().collect())
}

impl Pair {
    fn scan(&self) -> io::Result<Scan> {
        let bytes = match fs::metadata(&self.sidecar) {
            Ok(m) if m.len() <= MAX_SIDECAR_BYTES => fs::read(&self.sidecar)?,
            Ok(_) => Vec::new(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        let mut scan = Scan { len: bytes.len() as u64, ..Scan::default() };
        let mut at = 0;
        while at < bytes.len() {
            let Some((record, len)) = record::decode(&bytes[at..]) else {
                // Torn or damaged: go on at the next sound record, if there is one.
                let next = (at + 1..bytes.len()).find(|i| {
                    bytes[*i..].starts_with(&record::MAGIC)
                        && record::decode(&bytes[*i..]).is_some()
                });
                scan.damaged_records += u64::from(next.is_some());
                let end = next.unwrap_or(bytes.len());
                scan.notes.push(match next {
                    Some(_) => {
                        format!("{}.{SIDECAR_EXT}: {} bytes are damaged", self.name, end - at)
                    }
                    None => format!("{}.{SIDECAR_EXT}: ends within a record", self.name),
                });
                at = end;
                continue;
            };
            match record {
                Record::Track(token) => scan.track = Some(token),
                Record::Params(id, params) => {
                    scan.known.params.insert(id, Arc::new(params));
                }
                Record::Transfer(id, origin) => {
                    scan.known.transfers.insert(id, Arc::new(origin));
                }
                Record::Gop(gop) => scan.gops.push((at as u64, len as u32, gop)),
            }
            at += len;
            scan.sound_bytes = at as u64;
        }
        Ok(scan)
    }
}

/// Writes the sidecar anew with the GOPs that are left, so that it does not promise the others.
fn rewrite(pair: &Pair, scan: &Scan) -> io::Result<()> {
    let known = &scan.known;
    let params = known.params.iter().map(|(id, p)| Record::Params(*id, (**p).clone()));
    let transfers = known.transfers.iter().map(|(id, t)| Record::Transfer(*id, (**t).clone()));
    let gops = scan.gops.iter().map(|(_, _, gop)| Record::Gop(gop.clone()));
    let records = scan.track.clone().map(Record::Track).into_iter();
    let records = records.chain(params).chain(transfers).chain(gops);
    let bytes: Vec<u8> = records.flat_map(|r| record::encode(&r)).collect();
    let fresh = pair.sidecar.with_extension("new");
    fs::write(&fresh, bytes)?;
    File::open(&fresh)?.sync_data()?;
    fs::rename(&fresh, &pair.sidecar)
}

/// Takes a pair into the directory, as far as it is whole, and cuts off the rest.
fn take(shared: &Arc<Shared>, pair: &Pair, report: &mut Opened) -> io::Result<()> {
    let mut scan = pair.scan()?;
    report.notes.append(&mut scan.notes);
    let media_len = match fs::metadata(&pair.media) {
        Ok(m) => m.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    let named = scan.track.as_ref().is_some_and(|t| stem(pair.id, t) == pair.name);
    let listed = scan.gops.len() as u64;
    let inside = |gop: &GopRecord| {
        gop.media_offset.checked_add(gop.media_len()).is_some_and(|end| end <= media_len)
            && gop.frames.iter().all(|f| scan.known.params.contains_key(&f.params))
    };
    scan.gops.retain(|(offset, _, gop)| named && *offset <= u64::from(u32::MAX) && inside(gop));
    let lost = listed - scan.gops.len() as u64;
    if lost > 0 {
        report.notes.push(format!("{}: {lost} GOPs are not in the media file", pair.name));
        if named && !scan.gops.is_empty() {
            rewrite(pair, &scan)?;
            let kept = pair.scan()?;
            scan = Scan { damaged_records: scan.damaged_records, ..kept };
        }
    }
    let owned = scan.gops.iter().map(|(_, _, g)| g.media_offset + g.media_len()).max();
    let tail = media_len - owned.unwrap_or(0);
    let torn = scan.len - scan.sound_bytes;
    // Media comes first, so whatever was being written left bytes there.
    let unfinished = u64::from(tail > 0 && lost == 0);
    report.dropped_gops += scan.damaged_records + lost + unfinished;
    report.dropped_bytes += tail + torn;
    if tail > 0 {
        report.notes.push(format!("{}: {tail} bytes of an unfinished GOP cut off", pair.name));
    }
    let (Some(owned), Some(track)) = (owned, &scan.track) else {
        for path in [&pair.media, &pair.sidecar] {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        return Ok(());
    };
    if tail > 0 {
        File::options().write(true).open(&pair.media)?.set_len(owned)?;
    }
    if torn > 0 {
        File::options().write(true).open(&pair.sidecar)?.set_len(scan.sound_bytes)?;
    }

    let known = Known {
        params: std::mem::take(&mut scan.known.params)
            .into_iter()
            .map(|(id, p)| (id, shared.intern(id, (*p).clone())))
            .collect(),
        transfers: std::mem::take(&mut scan.known.transfers),
    };
    let space = Space::new(Arc::clone(&shared.total), owned + scan.sound_bytes);
    let file = Arc::new(GopFile::reopen(&shared.dir, pair.id, track, owned, space, known));
    let mut state = shared.state.lock();
    let mut span: Option<UtcRange> = None;
    for (offset, len, gop) in scan.gops.iter().rev() {
        let range = UtcRange::clamped(gop.start, gop.end);
        if super::write::covered(&state.directory, track, range).is_some() {
            continue;
        }
        span = Some(span.map_or(range, |r| r.hull(&range)));
        let entry = Entry {
            end: gop.end,
            file: Arc::clone(&file),
            record_offset: *offset as u32,
            record_len: *len,
            source: gop.source,
            restated: Restated::default(),
            verified: false,
        };
        state.directory.insert(track, gop.start, entry);
    }
    state.files.insert(pair.id, Held { file, span });
    Ok(())
}
