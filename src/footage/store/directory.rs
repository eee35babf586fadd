//! Where every stored GOP is: in memory, sorted by time, one small entry each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dvrgate_model::{TrackToken, Utc, UtcRange};

use super::file::GopFile;

/// Where a GOP is.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) end: Utc,
    pub(super) file: Arc<GopFile>,
    pub(super) record_offset: u32,
    pub(super) record_len: u32,
    /// The bytes were seen to match their checksum since the program started.
    pub(super) verified: bool,
}

/// The directory of all tracks.
#[derive(Debug, Default)]
pub(super) struct Directory {
    tracks: HashMap<TrackToken, BTreeMap<Utc, Entry>>,
    gops: usize,
}

impl Directory {
    pub(super) fn len(&self) -> usize {
        self.gops
    }

    pub(super) fn get(&self, track: &TrackToken, start: Utc) -> Option<&Entry> {
        self.tracks.get(track)?.get(&start)
    }

    pub(super) fn get_mut(&mut self, track: &TrackToken, start: Utc) -> Option<&mut Entry> {
        self.tracks.get_mut(track)?.get_mut(&start)
    }

    /// Replaces what had the same start.
    pub(super) fn insert(&mut self, track: &TrackToken, start: Utc, entry: Entry) {
        let map = match self.tracks.get_mut(track) {
            Some(map) => map,
            None => self.tracks.entry(track.clone()).or_default(),
        };
        self.gops += usize::from(map.insert(start, entry).is_none());
    }

    /// Forgets one GOP.
    pub(super) fn remove(&mut self, track: &TrackToken, start: Utc) {
        if let Some(map) = self.tracks.get_mut(track) {
            self.gops -= usize::from(map.remove(&start).is_some());
        }
    }

    /// Forgets all GOPs of a file that lie in `range`; returns how many.
    pub(super) fn remove_file(&mut self, file: &GopFile, range: UtcRange) -> usize {
        let Some(map) = self.tracks.get_mut(&file.track) else { return 0 };
        let starts: Vec<Utc> = map
            .range(range.start()..=range.end())
            .filter(|(_, e)| e.file.id == file.id)
            .map(|(start, _)| *start)
            .collect();
        for start in &starts {
            map.remove(start);
        }
        if map.is_empty() {
            self.tracks.remove(&file.track);
        }
        self.gops -= starts.len();
        starts.len()
    }

    /// The first GOP that ends after `from` and starts after `beyond`, as its range.
    pub(super) fn forward(
        &self,
        track: &TrackToken,
        from: Utc,
        beyond: Option<Utc>,
    ) -> Option<UtcRange> {
        let map = self.tracks.get(track)?;
        let range = |(start, e): (&Utc, &Entry)| UtcRange::clamped(*start, e.end);
        let fits = |r: &UtcRange| r.end() > from && beyond.is_none_or(|b| r.start() > b);
        // Overlaps are smaller than half a GOP, so one of the two before `from` may reach it.
        let before = map.range(..from).rev().take(2).map(range).filter(fits).last();
        before.or_else(|| map.range(from..).map(range).find(fits))
    }

    /// The last GOP that starts before `until`, as its range.
    pub(super) fn reverse(&self, track: &TrackToken, until: Utc) -> Option<UtcRange> {
        let (start, e) = self.tracks.get(track)?.range(..until).next_back()?;
        Some(UtcRange::clamped(*start, e.end))
    }

    /// All GOPs that overlap a range, by start.
    pub(super) fn overlapping(&self, track: &TrackToken, range: UtcRange) -> Vec<UtcRange> {
        let Some(map) = self.tracks.get(track) else { return Vec::new() };
        let before = map.range(..range.start()).rev().take(2).collect::<Vec<_>>();
        before
            .into_iter()
            .rev()
            .chain(map.range(range.start()..range.end()))
            .map(|(start, e)| UtcRange::clamped(*start, e.end))
            .filter(|r| r.overlaps(&range))
            .collect()
    }
}
