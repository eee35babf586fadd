//! One media file and its sidecar: appended to by one writer, mapped by readers.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dvrgate_model::{ByteOrigin, CodecParams, Frame, TrackToken};
use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;

/// Bytes on disk, shared with the store's total. Dropped last by whoever still maps the file: an
/// unlinked file occupies the disk until then.
#[derive(Debug)]
pub(super) struct Space {
    bytes: AtomicU64,
    total: Arc<AtomicU64>,
}

impl Space {
    pub(super) fn new(total: Arc<AtomicU64>, bytes: u64) -> Arc<Self> {
        total.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Self { bytes: AtomicU64::new(bytes), total })
    }

    /// Counts bytes that are about to be written.
    pub(super) fn reserve(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes back what was reserved and not written.
    pub(super) fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A media file with its sidecar.
#[derive(Debug)]
pub(super) struct GopFile {
    pub(super) id: u64,
    pub(super) track: TrackToken,
    media: PathBuf,
    sidecar: PathBuf,
    /// The media file never grows beyond this: the length of its mapping.
    pub(super) capacity: u64,
    pub(super) space: Arc<Space>,
    /// Rises with every use; the least recently used file is evicted first.
    pub(super) used: AtomicU64,
    /// Media bytes written and about to be written.
    promised: AtomicU64,
    /// Nothing more is appended: of an earlier run, evicted, or damaged by a failed write.
    closed: AtomicBool,
    /// Has bytes that were not synced.
    pub(super) dirty: AtomicBool,
    writer: Mutex<Writer>,
    map: Mutex<Weak<Mapping>>,
    known: Mutex<Known>,
}

/// How far the file was written; what was promised in the sidecar.
#[derive(Debug, Default)]
struct Writer {
    media_len: u64,
    sidecar_len: u64,
    params: HashSet<u64>,
}

/// What the GOPs of the file refer to.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) params: HashMap<u64, Arc<CodecParams>>,
    pub(super) transfers: HashMap<u64, Arc<ByteOrigin>>,
}

/// Where an append put things.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) record_offset: u64,
    pub(super) record_len: u32,
    /// Length of the records that had to stand before it.
    pub(super) before_bytes: u64,
}

pub(super) const MEDIA_EXT: &str = "media";
pub(super) const SIDECAR_EXT: &str = "gops";

impl GopFile {
    /// A new, empty file; made on the first append.
    pub(super) fn create(
        dir: &Path,
        id: u64,
        track: &TrackToken,
        capacity: u64,
        space: Arc<Space>,
    ) -> Self {
        Self::with(dir, id, track, capacity, space, Known::default(), true)
    }

    /// A file of an earlier run: only read.
    pub(super) fn reopen(
        dir: &Path,
        id: u64,
        track: &TrackToken,
        media_len: u64,
        space: Arc<Space>,
        known: Known,
    ) -> Self {
        Self::with(dir, id, track, media_len, space, known, false)
    }

    fn with(
        dir: &Path,
        id: u64,
        track: &TrackToken,
        capacity: u64,
        space: Arc<Space>,
        known: Known,
        writable: bool,
    ) -> Self {
        let stem = stem(id, track);
        Self {
            id,
            track: track.clone(),
            media: dir.join(format!("{stem}.{MEDIA_EXT}")),
            sidecar: dir.join(format!("{stem}.{SIDECAR_EXT}")),
            capacity,
            space,
            used: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            promised: AtomicU64::new(0),
            closed: AtomicBool::new(!writable),
            writer: Mutex::default(),
            map: Mutex::new(Weak::new()),
            known: Mutex::new(known),
        }
    }

    /// Promises room for a GOP of that size, or says that there is none. A promise that is not
    /// used is lost. Called under the store's lock.
    pub(super) fn promise(&self, bytes: u64) -> bool {
        let promised = self.promised.load(Ordering::Relaxed).saturating_add(bytes);
        let fits = promised <= self.capacity && !self.closed.load(Ordering::Relaxed);
        if fits {
            self.promised.store(promised, Ordering::Relaxed);
        }
        fits
    }

    /// Appends a GOP. `record` makes its sidecar record once the offset is known; `before` are
    /// records that must stand before it. On failure the file is as it was.
    pub(super) fn append(
        &self,
        frames: &[Frame],
        before: &[(Referred, Vec<u8>)],
        record: impl FnOnce(u64) -> Vec<u8>,
    ) -> io::Result<Place> {
        let mut w = self.writer.lock();
        if self.closed.load(Ordering::Relaxed) {
            return Err(io::Error::other("the file is closed"));
        }
        let fresh = w.sidecar_len == 0;
        let mut sidecar = Vec::new();
        for (what, bytes) in before {
            let needed = match what {
                Referred::Track => fresh,
                Referred::Params(id) => !w.params.contains(id),
                Referred::Transfer(id) => !self.known.lock().transfers.contains_key(id),
            };
            if needed {
                sidecar.extend_from_slice(bytes);
            }
        }
        let record_offset = w.sidecar_len + sidecar.len() as u64;
        let gop = record(w.media_len);
        let record_len = gop.len() as u32;
        sidecar.extend_from_slice(&gop);

        // The media first: what the sidecar speaks of must be there.
        let written = (|| {
            let media_bytes = write_frames(&open_to_append(&self.media)?, frames)?;
            open_to_append(&self.sidecar)?.write_all(&sidecar)?;
            Ok(media_bytes)
        })();
        match written {
            Ok(media_bytes) => {
                w.media_len += media_bytes;
                w.sidecar_len += sidecar.len() as u64;
                for (what, _) in before {
                    if let Referred::Params(id) = what {
                        w.params.insert(*id);
                    }
                }
                self.dirty.store(true, Ordering::Relaxed);
                Ok(Place {
                    record_offset,
                    record_len,
                    before_bytes: sidecar.len() as u64 - u64::from(record_len),
                })
            }
            Err(e) => {
                let undone = cut(&self.media, w.media_len).and(cut(&self.sidecar, w.sidecar_len));
                self.closed.fetch_or(undone.is_err(), Ordering::Relaxed);
                Err(e)
            }
        }
    }

    /// Appends a record that belongs to no single GOP.
    pub(super) fn note(&self, record: &[u8]) -> io::Result<()> {
        let mut w = self.writer.lock();
        if self.closed.load(Ordering::Relaxed) || w.sidecar_len == 0 {
            return Ok(());
        }
        match open_to_append(&self.sidecar).and_then(|mut f| f.write_all(record)) {
            Ok(()) => {
                w.sidecar_len += record.len() as u64;
                self.dirty.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(e) => {
                let undone = cut(&self.sidecar, w.sidecar_len);
                self.closed.fetch_or(undone.is_err(), Ordering::Relaxed);
                Err(e)
            }
        }
    }

    /// Notes what GOPs of this file refer to.
    pub(super) fn know(&self, f: impl FnOnce(&mut Known)) {
        f(&mut self.known.lock());
    }

    pub(super) fn params(&self, id: u64) -> Option<Arc<CodecParams>> {
        self.known.lock().params.get(&id).cloned()
    }

    pub(super) fn transfer(&self, id: u64) -> Option<Arc<ByteOrigin>> {
        self.known.lock().transfers.get(&id).cloned()
    }

    /// A piece of the sidecar.
    pub(super) fn read_record(&self, offset: u64, len: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        File::open(&self.sidecar)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// A piece of the media file that was written, without copying.
    pub(super) fn slice(&self, offset: u64, len: u64) -> io::Result<Bytes> {
        if offset.checked_add(len).is_none_or(|end| end > self.capacity) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the file"));
        }
        if len == 0 {
            return Ok(Bytes::new());
        }
        let map = self.mapping()?;
        Ok(Bytes::from_owner(Region { map, offset: offset as usize, len: len as usize }))
    }

    fn mapping(&self) -> io::Result<Arc<Mapping>> {
        let mut slot = self.map.lock();
        if let Some(map) = slot.upgrade() {
            return Ok(map);
        }
        let file = File::open(&self.media)?;
        // Longer than the file for now: pages become valid as the writer appends.
        let raw = MmapOptions::new().len(self.capacity as usize).map_raw_read_only(&file)?;
        let map = Arc::new(Mapping { raw, _space: Arc::clone(&self.space) });
        *slot = Arc::downgrade(&map);
        Ok(map)
    }

    /// Makes durable what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.dirty.swap(false, Ordering::Relaxed) {
            File::open(&self.media)?.sync_data()?;
            File::open(&self.sidecar)?.sync_data()?;
        }
        Ok(())
    }

    /// Takes the file out of the directory. Mappings of it stay valid.
    pub(super) fn unlink(&self) -> io::Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        // An append that is under way ends first; it would make the files anew.
        let _writer = self.writer.lock();
        let gone = |r: io::Result<()>| match r {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
        // The sidecar last: media without a sidecar would be a mystery, a sidecar without media
        // says what is missing.
        gone(std::fs::remove_file(&self.media))?;
        gone(std::fs::remove_file(&self.sidecar))
    }
}

/// What a record that stands before a GOP is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Referred {
    Track,
    Params(u64),
    Transfer(u64),
}

/// The file's name without extension: `yard-3-video.0000002a`.
pub(super) fn stem(id: u64, track: &TrackToken) -> String {
    let mut name = String::new();
    for b in track.as_str().bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(b)),
            _ => name.push_str(&format!("%{b:02x}")),
        }
    }
    format!("{name}.{id:08x}")
}

#[derive(Debug)]
struct Mapping {
    raw: MmapRaw,
    _space: Arc<Space>,
}

/// A part of a mapping that was written before it was handed out.
struct Region {
    map: Arc<Mapping>,
    offset: usize,
    len: usize,
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `slice` checked that the region lies inside the mapping, and hands out only what
        // the sidecar or an append says was written, so it lies inside the file too. Written bytes
        // never change and the file is never cut below them: it is only appended to, and unlinked
        // whole, which leaves the mapping intact. The store's directory is locked against other
        // gateways; a user who truncates files under a running one gets SIGBUS, as with any
        // program that maps its data.
        unsafe { std::slice::from_raw_parts(self.map.raw.as_ptr().add(self.offset), self.len) }
    }
}

fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn cut(path: &Path, len: u64) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => file.set_len(len),
        Err(e) if e.kind() == io::ErrorKind::NotFound && len == 0 => Ok(()),
        Err(e) => Err(e),
    }
}

/// Gathers the frames into as few calls as the system allows.
fn write_frames(mut file: &File, frames: &[Frame]) -> io::Result<u64> {
    let mut slices: Vec<IoSlice<'_>> =
        frames.iter().filter(|f| !f.data.is_empty()).map(|f| IoSlice::new(&f.data)).collect();
    let mut rest = &mut slices[..];
    let mut written = 0;
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                written += n as u64;
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}
