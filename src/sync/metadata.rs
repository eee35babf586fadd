//! Metadata tracks: what there is of them when.
//!
//! The content of a metadata track are the events of its recording (they are read out of the index
//! when it is played). It is recorded whenever video is, once any event of the recording is known:
//! so its segments stand beside those of the video. A watermark remembers of which recordings
//! events are known, and whether the segments from before the first event were made.

use std::collections::BTreeSet;
use std::sync::Arc;

use dvrgate_index::encodings::video_tracks;
use dvrgate_index::{Change, Index, Snapshot, blocking};
use dvrgate_model::{
    DeviceId, Direction, Recording, RecordingEvent, RecordingToken, Result, Segment, SyncRunId,
    TrackKind, UtcRange,
};

use crate::Counts;
use crate::restate::{PAGE, apply, rebuild_history};

/// Whether events of a recording are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Known {
    /// None yet.
    No,
    /// Some; the metadata track lacks its older segments.
    New,
    /// Some, and the track is whole.
    Yes,
}

/// See [`Known`].
pub fn known(snapshot: &dyn Snapshot, device: &DeviceId, r: &RecordingToken) -> Result<Known> {
    Ok(match snapshot.watermark(device, &purpose(r))?.as_deref() {
        None => Known::No,
        Some(WHOLE) => Known::Yes,
        Some(_) => Known::New,
    })
}

/// What to remember beside events that are applied.
pub fn remember(
    snapshot: &dyn Snapshot,
    device: &DeviceId,
    events: &[RecordingEvent],
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for recording in events.iter().map(|e| &e.recording).collect::<BTreeSet<_>>() {
        if known(snapshot, device, recording)? == Known::No {
            changes.push(watermark(device, recording, NEW));
        }
    }
    Ok(changes)
}

/// Makes the segments from before the first event was known, and their history.
pub async fn complete(
    index: &Arc<dyn Index>,
    run: SyncRunId,
    device: &DeviceId,
    recording: &Recording,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let metadata = recording.tracks.iter().find(|t| t.kind == TrackKind::Metadata);
    if let Some(metadata) = metadata {
        let pictures: Vec<_> = video_tracks(recording).map(|t| t.token.clone()).collect();
        let mut after = None;
        loop {
            let select = dvrgate_index::SegmentSelect {
                tracks: Some(pictures.clone()),
                range: UtcRange::ALL,
                states: None,
                direction: Direction::Forward,
                limit: PAGE,
                after,
            };
            let page = blocking(index.snapshot(), move |s| s.segments(&select)).await?;
            let beside = |s: Segment| Segment {
                id: s.id.moved(&s.track, &metadata.token),
                track: metadata.token.clone(),
                bytes: None,
                ..s
            };
            let changes = page.items.into_iter().map(|s| Change::Segment(Box::new(beside(s))));
            counts += apply(index, run, changes.collect()).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        counts += rebuild_history(index, run, recording).await?;
    }
    counts += apply(index, run, vec![watermark(device, &recording.token, WHOLE)]).await?;
    Ok(counts)
}

fn watermark(device: &DeviceId, recording: &RecordingToken, value: &str) -> Change {
    let (device, value) = (device.clone(), value.to_owned());
    Change::Watermark { device, purpose: purpose(recording), value }
}

fn purpose(recording: &RecordingToken) -> String {
    format!("metadata:{recording}")
}

const NEW: &str = "new";
const WHOLE: &str = "whole";
