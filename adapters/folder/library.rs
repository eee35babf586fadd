//! What the folder holds now. Containers are read once for each version of a file.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvrgate_ffmpeg::Probe;
use dvrgate_model::{ChannelId, Result, Utc, UtcRange, ZoneRule};
use parking_lot::Mutex;

use crate::channel::{self, Place};
use crate::convert::{self, Basis, Times, Weighing};
use crate::grammar::{Grammars, Named};
use crate::walk::{self, Found};

/// The folder with what is known of its files.
#[derive(Debug)]
pub(crate) struct Library {
    root: PathBuf,
    grammars: Grammars,
    weighing: Weighing,
    zone: ZoneRule,
    growing_us: i64,
    known: Mutex<HashMap<String, Known>>,
}

/// A file as it was when it was read.
#[derive(Debug)]
struct Known {
    bytes: u64,
    written: Utc,
    /// `None` where it is no footage.
    probe: Option<Arc<Probe>>,
    /// It was told that nobody knows how long it is.
    told: bool,
}

/// A file that can be replayed.
#[derive(Clone, Debug)]
pub(crate) struct Clip {
    pub(crate) file: Found,
    pub(crate) channel: ChannelId,
    pub(crate) times: Times,
    pub(crate) growing: bool,
}

/// A channel and its newest file.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) channel: ChannelId,
    pub(crate) name: String,
    pub(crate) newest: Option<Arc<Probe>>,
}

/// A file with what its name says.
struct Placed {
    file: Found,
    place: Place,
    named: Option<Named>,
}

impl Library {
    pub(crate) fn new(
        root: PathBuf,
        grammars: Grammars,
        weighing: Weighing,
        zone: ZoneRule,
        growing_us: i64,
    ) -> Self {
        Self { root, grammars, weighing, zone, growing_us, known: Mutex::default() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn zone(&self) -> &ZoneRule {
        &self.zone
    }

    /// The channels. Blocks.
    pub(crate) fn shelves(&self) -> Result<Vec<Shelf>> {
        let placed = self.placed()?;
        let numbers = channel::numbers(&placed.iter().map(|p| p.place.clone()).collect());
        let mut shelves: Vec<Shelf> = Vec::new();
        // From the newest path: a shelf's parameters are those of its first file that can be read.
        for p in placed.iter().rev() {
            let id = numbers[&p.place];
            let at = shelves.iter().position(|s| s.channel == id).unwrap_or_else(|| {
                let name = match &p.place {
                    Place::Directory(name) => walk::shown(name),
                    _ => String::new(),
                };
                shelves.push(Shelf { channel: id, name, newest: None });
                shelves.len() - 1
            });
            if shelves[at].newest.is_none() {
                shelves[at].newest = self.probe(&p.file);
            }
        }
        shelves.retain(|s| s.newest.is_some());
        shelves.sort_by_key(|s| s.channel);
        Ok(shelves)
    }

    /// Files of a channel that may touch the range, by start and path. Blocks.
    pub(crate) fn clips(
        &self,
        channel: ChannelId,
        window: UtcRange,
        now: Utc,
    ) -> Result<Vec<Clip>> {
        let placed = self.placed()?;
        let numbers = channel::numbers(&placed.iter().map(|p| p.place.clone()).collect());
        let mut clips = Vec::new();
        for p in placed {
            if numbers[&p.place] != channel {
                continue;
            }
            let Some(probe) = self.probe(&p.file) else { continue };
            let Some(times) = self.weighing.times(&p.file, &probe, p.named.as_ref(), &self.zone)
            else {
                self.tell_once(&p.file.path);
                continue;
            };
            let growing = now.since_us(p.file.written) < self.growing_us;
            if growing && times.basis == Basis::FileTime {
                // Its start would move with every look, and with it the name of the segment.
                continue;
            }
            if times.range.overlaps(&window) {
                clips.push(Clip { file: p.file, channel, times, growing });
            }
        }
        clips.sort_by_cached_key(|c| {
            let (start, path) = Self::order(c);
            (start, path.to_owned())
        });
        Ok(clips)
    }

    /// What clips are ordered by: first instant, then path.
    pub(crate) fn order(clip: &Clip) -> (i64, &str) {
        (clip.times.range.start().micros(), &clip.file.path)
    }

    fn placed(&self) -> Result<Vec<Placed>> {
        let files = walk::files(&self.root)?;
        let present: BTreeSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
        self.known.lock().retain(|path, _| present.contains(path.as_str()));
        Ok(files.into_iter().map(|file| self.place(file)).collect())
    }

    fn place(&self, file: Found) -> Placed {
        let stem = file.path.rsplit_once('.').map_or(file.path.as_str(), |(stem, _)| stem);
        let named = self.grammars.read(stem);
        let mut directories: Vec<&str> = stem.split('/').collect();
        directories.pop();
        let place = Place::of(named.as_ref().and_then(|n| n.channel), &directories);
        Placed { place, named, file }
    }

    /// A bare stream says nothing about its length, nor does its name: once for each version.
    fn tell_once(&self, path: &str) {
        let mut known = self.known.lock();
        if let Some(k) = known.get_mut(path)
            && !std::mem::replace(&mut k.told, true)
        {
            tracing::warn!(
                file = walk::shown(path),
                "left out: neither container nor name tell its length; name it START_END or put it into a container"
            );
        }
    }

    /// What the container says; read again only when the file changed.
    fn probe(&self, file: &Found) -> Option<Arc<Probe>> {
        if let Some(known) = self.known.lock().get(&file.path)
            && (known.bytes, known.written) == (file.bytes, file.written)
        {
            return known.probe.clone();
        }
        let read =
            walk::resolve(&self.root, &file.path).and_then(|path| dvrgate_ffmpeg::probe(&path));
        let probe = match read {
            Ok(probe) if convert::is_footage(&probe) => Some(Arc::new(probe)),
            Ok(_) => None,
            Err(e) => {
                let file = walk::shown(&file.path);
                tracing::warn!(file, error = %e, "left out: not readable as footage");
                None
            }
        };
        let known =
            Known { bytes: file.bytes, written: file.written, probe: probe.clone(), told: false };
        self.known.lock().insert(file.path.clone(), known);
        probe
    }
}
