//! The net effect of a batch: one entry a key, the last change wins.
//!
//! What a batch did is told by comparing before with after, not change by change; so a batch that
//! touches a row twice is as idempotent as one that touches it once.

use std::collections::BTreeMap;

use dvrgate_model::{
    ClockEpoch, ClockEpochId, CodecParams, DeviceId, DeviceRecord, EventId, Recording,
    RecordingEvent, RecordingToken, Segment, SegmentId, SegmentState, SyncRunId, TrackToken,
    UtcRange,
};

use crate::{Applied, Batch, Change};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Net {
    /// As in the batch.
    pub run: SyncRunId,
    /// Recorders to put.
    pub devices: BTreeMap<DeviceId, DeviceRecord>,
    /// Recordings to put; the data ranges of their tracks are `None`.
    pub recordings: BTreeMap<RecordingToken, Recording>,
    /// Clock epochs to put.
    pub epochs: BTreeMap<(DeviceId, ClockEpochId), ClockEpoch>,
    /// Segments to put or to mark.
    pub segments: BTreeMap<(TrackToken, SegmentId), SegmentChange>,
    /// Events to put, or to take away (`None`).
    pub events: BTreeMap<EventId, Option<RecordingEvent>>,
    /// Watermarks to put.
    pub watermarks: BTreeMap<(DeviceId, String), String>,
}

/// What becomes of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum SegmentChange {
    /// It is inserted or replaced.
    Put(Box<Segment>),
    /// If it is there, its `seen` becomes the batch's run.
    Seen,
}

impl From<Batch> for Net {
    fn from(batch: Batch) -> Self {
        let mut net = Net { run: batch.run, ..Net::default() };
        for change in batch.changes {
            match change {
                Change::Device(mut d) => {
                    let channels = d.identity.channels.iter_mut();
                    channels.flat_map(|c| [&mut c.video, &mut c.audio]).for_each(forget_sets);
                    net.devices.insert(d.id.clone(), *d);
                }
                Change::Recording(mut r) => {
                    for track in &mut r.tracks {
                        track.data = None;
                        forget_sets(&mut track.params);
                    }
                    net.recordings.insert(r.token.clone(), *r);
                }
                Change::Epoch(e) => {
                    net.epochs.insert((e.device.clone(), e.id), *e);
                }
                Change::Segment(s) => {
                    net.segments.insert((s.track.clone(), s.id), SegmentChange::Put(s));
                }
                Change::Seen(track, id) => {
                    match net.segments.entry((track, id)).or_insert(SegmentChange::Seen) {
                        SegmentChange::Put(s) => s.seen = batch.run,
                        SegmentChange::Seen => {}
                    }
                }
                Change::Event(e) => {
                    net.events.insert(e.id, Some(*e));
                }
                Change::EventGone(id) => {
                    net.events.insert(id, None);
                }
                Change::Watermark { device, purpose, value } => {
                    net.watermarks.insert((device, purpose), value);
                }
            }
        }
        net
    }
}

/// The index keeps size, rates and codec; parameter sets come with the footage.
fn forget_sets(params: &mut Option<CodecParams>) {
    if let Some(params) = params {
        *params = CodecParams {
            width: params.width,
            height: params.height,
            frame_rate: params.frame_rate,
            sample_rate_hz: params.sample_rate_hz,
            channels: params.channels,
            ..CodecParams::new(params.codec)
        };
    }
}

impl Applied {
    /// Counts a segment that was `old` and is `new`. A move of `seen` alone is no change.
    pub fn count_segment(&mut self, old: Option<&Segment>, new: &Segment) {
        match old {
            None => self.segments_new += 1,
            Some(old) if same_but_seen(old, new) => {}
            Some(old) if new.state == SegmentState::Gone && old.state != SegmentState::Gone => {
                self.segments_gone += 1;
            }
            Some(_) => self.segments_changed += 1,
        }
    }
}

/// Whether two states of a segment differ at most in the run that last saw it.
pub fn same_but_seen(a: &Segment, b: &Segment) -> bool {
    let Segment { id, track, start, end, source, reason, state, locator, bytes, seen: _ } = a;
    *id == b.id
        && *track == b.track
        && (*start, *end) == (b.start, b.end)
        && *source == b.source
        && (*reason, *state, *bytes) == (b.reason, b.state, b.bytes)
        && *locator == b.locator
}

/// The range with which a segment counts for spans: none once it is gone.
pub fn live_range(segment: &Segment) -> Option<UtcRange> {
    (segment.state != SegmentState::Gone).then(|| segment.range()).filter(|r| !r.is_empty())
}
