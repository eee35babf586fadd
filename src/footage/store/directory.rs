//! Where every stored GOP is: in memory, sorted by time, one small entry each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dvrgate_model::{ClockEpochId, ClockMap, TrackToken, Utc, UtcRange};

use super::file::GopFile;
use crate::Reading;

/// Instants that are wrong by no more than this stay as they are.
const RESTATE_TOLERANCE_US: u64 = 1_000;

/// Where a GOP is.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) end: Utc,
    pub(super) file: Arc<GopFile>,
    pub(super) record_offset: u32,
    pub(super) record_len: u32,
    /// The recorder's reading at the first unit.
    pub(super) source: Option<Reading>,
    /// What was learnt since about the instants in the sidecar.
    pub(super) restated: Restated,
    /// The bytes were seen to match their checksum since the program started.
    pub(super) verified: bool,
}

/// How far the instants of a GOP are to be moved, and the epoch that says so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Restated {
    pub(super) shift_us: i64,
    pub(super) by: Option<(ClockEpochId, u64)>,
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

    /// Moves the GOPs of a track to where their readings are by that clock. Calls `moved` with the
    /// file and new range of each that moves.
    pub(super) fn restate(
        &mut self,
        track: &TrackToken,
        clock: &ClockMap,
        mut moved: impl FnMut(&GopFile, UtcRange),
    ) -> usize {
        let Some(map) = self.tracks.get_mut(track) else { return 0 };
        let wrong = |(start, e): (&Utc, &Entry)| {
            let stored = start.plus_us(-e.restated.shift_us);
            let stamp = e.source?.to_utc(clock, stored);
            let shift_us = stamp.utc.since_us(stored);
            let by = Some((stamp.epoch, stamp.uncertainty_us));
            let off = shift_us.abs_diff(e.restated.shift_us) > RESTATE_TOLERANCE_US;
            off.then_some((*start, Restated { shift_us, by }))
        };
        let wrong: Vec<(Utc, Restated)> = map.iter().filter_map(wrong).collect();
        let taken: Vec<_> = wrong
            .iter()
            .filter_map(|(start, restated)| Some((*start, map.remove(start)?, *restated)))
            .collect();
        for (start, mut entry, restated) in taken {
            let by_us = restated.shift_us - entry.restated.shift_us;
            let start = start.plus_us(by_us);
            entry.end = entry.end.plus_us(by_us);
            entry.restated = restated;
            moved(&entry.file, UtcRange::clamped(start, entry.end));
            // Where a step of the clock makes two meet, one is left.
            self.gops -= usize::from(map.insert(start, entry).is_some());
        }
        wrong.len()
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
