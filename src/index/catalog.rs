//! The part of every index that is in memory: recorders, recordings, clocks, watermarks, spans.
//!
//! A catalogue is cheap to clone; what a clone shares is copied when it is written. An index keeps
//! the newest one and hands it to snapshots.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dvrgate_model::{
    ClockEpoch, ClockMap, DeviceId, DeviceRecord, Recording, RecordingToken, SyncRunId, TrackToken,
    UtcRange, ZoneRule, ZoneTrust,
};

use crate::{Net, Scope, SpanMap, Summary, TrackEdit};

/// See the module documentation.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    devices: Arc<BTreeMap<DeviceId, DeviceRecord>>,
    recordings: Arc<BTreeMap<RecordingToken, Arc<Recording>>>,
    /// Which recording a track belongs to.
    owners: Arc<HashMap<TrackToken, RecordingToken>>,
    /// By id within a recorder.
    epochs: Arc<BTreeMap<DeviceId, Vec<ClockEpoch>>>,
    watermarks: Arc<BTreeMap<(DeviceId, String), String>>,
    spans: SpanMap,
    last_run: SyncRunId,
}

impl Catalog {
    /// Takes over what a batch does to it, segments excepted (see [`Catalog::edit_spans`]).
    pub fn apply(&mut self, net: &Net) {
        self.last_run = self.last_run.max(net.run);
        if !net.devices.is_empty() {
            Arc::make_mut(&mut self.devices)
                .extend(net.devices.iter().map(|(id, d)| (id.clone(), d.clone())));
        }
        for recording in net.recordings.values() {
            self.put_recording(recording.clone());
        }
        for epoch in net.epochs.values() {
            let epochs = Arc::make_mut(&mut self.epochs).entry(epoch.device.clone()).or_default();
            match epochs.binary_search_by_key(&epoch.id, |e| e.id) {
                Ok(i) => epochs[i] = epoch.clone(),
                Err(i) => epochs.insert(i, epoch.clone()),
            }
        }
        if !net.watermarks.is_empty() {
            Arc::make_mut(&mut self.watermarks)
                .extend(net.watermarks.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
    }

    fn put_recording(&mut self, mut recording: Recording) {
        let owners = Arc::make_mut(&mut self.owners);
        if let Some(old) = self.recordings.get(&recording.token) {
            old.tracks.iter().for_each(|t| {
                owners.remove(&t.token);
            });
        }
        for track in &mut recording.tracks {
            track.data = self.spans.hull(&track.token);
            owners.insert(track.token.clone(), recording.token.clone());
        }
        Arc::make_mut(&mut self.recordings).insert(recording.token.clone(), Arc::new(recording));
    }

    /// Follows what a batch did to the segments of a track; see [`SpanMap::edit`].
    pub fn edit_spans<E>(
        &mut self,
        track: &TrackToken,
        edit: &TrackEdit,
        near: impl FnMut(UtcRange) -> Result<Vec<UtcRange>, E>,
    ) -> Result<bool, E> {
        let changed = self.spans.edit(track, edit, near)?;
        if changed {
            self.refresh_data(track);
        }
        Ok(changed)
    }

    /// Replaces the spans of a track, as read from where they were stored.
    pub fn load_spans(&mut self, track: &TrackToken, spans: Vec<UtcRange>) {
        self.spans.load(track, spans);
        self.refresh_data(track);
    }

    fn refresh_data(&mut self, track: &TrackToken) {
        let data = self.spans.hull(track);
        let Some(owner) = self.owners.get(track) else { return };
        let known = self.recordings.get(owner).and_then(|r| r.track(track)).map(|t| t.data);
        if known.is_none_or(|known| known == data) {
            return;
        }
        if let Some(recording) = Arc::make_mut(&mut self.recordings).get_mut(owner) {
            let tracks = &mut Arc::make_mut(recording).tracks;
            tracks.iter_mut().filter(|t| &t.token == track).for_each(|t| t.data = data);
        }
    }

    /// Recordings of the scope, by token.
    pub fn recordings(&self, scope: &Scope) -> Vec<Arc<Recording>> {
        match &scope.recordings {
            None => self.recordings.values().cloned().collect(),
            Some(tokens) => {
                let mut tokens: Vec<_> = tokens.iter().collect();
                tokens.sort_unstable();
                tokens.dedup();
                tokens.into_iter().filter_map(|t| self.recordings.get(t).cloned()).collect()
            }
        }
    }

    /// One recording.
    pub fn recording(&self, token: &RecordingToken) -> Option<&Arc<Recording>> {
        self.recordings.get(token)
    }

    /// The spans.
    pub fn spans(&self) -> &SpanMap {
        &self.spans
    }

    /// The clock of a recorder. Where nothing was measured its zone, if known, is believed and its
    /// clock taken as right.
    pub fn clock(&self, device: &DeviceId) -> ClockMap {
        let epochs = self.epochs.get(device).cloned().unwrap_or_default();
        let zone = self.devices.get(device).and_then(|d| d.zone.clone());
        let (zone, trust) = match epochs.last() {
            Some(newest) => (zone.unwrap_or_else(|| newest.zone.clone()), newest.trust),
            None => (zone.unwrap_or_else(ZoneRule::utc), ZoneTrust::default()),
        };
        ClockMap::new(epochs, ClockEpoch::assumed(device.clone(), zone, trust))
    }

    /// Clock epochs of a recorder by id.
    pub fn epochs(&self, device: &DeviceId) -> &[ClockEpoch] {
        self.epochs.get(device).map_or(&[], Vec::as_slice)
    }

    /// One recorder.
    pub fn device(&self, device: &DeviceId) -> Option<&DeviceRecord> {
        self.devices.get(device)
    }

    /// All recorders by id.
    pub fn devices(&self) -> Vec<DeviceRecord> {
        self.devices.values().cloned().collect()
    }

    /// First and last data, number of recordings.
    pub fn summary(&self) -> Summary {
        Summary {
            data: self.recordings.values().filter_map(|r| r.data()).reduce(|a, b| a.hull(&b)),
            recordings: self.recordings.len() as u64,
        }
    }

    /// How far sync has come.
    pub fn watermark(&self, device: &DeviceId, purpose: &str) -> Option<&String> {
        self.watermarks.get(&(device.clone(), purpose.to_owned()))
    }

    /// The newest sync run that was applied.
    pub fn last_run(&self) -> SyncRunId {
        self.last_run
    }
}
