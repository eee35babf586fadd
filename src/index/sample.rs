//! A small index for the tests of services: two recordings of one recorder, minute by minute.
//!
//! `yard-1` has video in minutes 0 to 10 and 20 to 30, sound in 0 to 10, and motion at minute 5;
//! `yard-2` has the same tracks and no data.

use std::sync::Arc;

use dvrgate_model::{
    ChannelId, Civil, Codec, CodecParams, EventOrigin, Items, Locator, Origin, Reason, Recording,
    RecordingEvent, RecordingStatus, RecordingToken, Result, Segment, SegmentId, SegmentState,
    SourceInformation, SourceTime, Stamp, StreamKind, SyncRunId, Topic, Track, TrackKind,
    TrackToken, Utc, ZoneClaim, topics,
};

use crate::{Batch, Change, Index as _, MemoryIndex};

/// 2026-11-25T10:00:00Z.
const START: Utc = Utc::from_secs(1_795_600_800);

/// That minute of the sample.
pub fn at(minute: i64) -> Utc {
    START.plus_us(minute * 60_000_000)
}

/// The sample in memory.
pub async fn yard() -> Result<Arc<MemoryIndex>> {
    let (one, two) = (recording(1), recording(2));
    let (video, audio) = (TrackToken::new("yard-1-video"), TrackToken::new("yard-1-audio"));
    let mut changes = vec![segment(&video, 0, 10), segment(&video, 20, 30), segment(&audio, 0, 10)];
    for (minute, on) in [(0, "true"), (10, "false"), (20, "true"), (30, "false")] {
        let items = Items::new([("RecordingToken", "yard-1")], [("IsRecording", on)]);
        changes.push(event(&one, None, minute, topics::RECORDING_STATE, items));
        let source = [("RecordingToken", "yard-1"), ("Track", "yard-1-video")];
        let items = Items::new(source, [("IsDataPresent", on)]);
        changes.push(event(&one, Some(&video), minute, topics::TRACK_STATE, items));
    }
    let motion = Items::new([("Source", "1")], [("State", "true")]);
    changes.push(event(&one, None, 5, topics::MOTION_ALARM, motion));
    changes.splice(0..0, [one, two].map(|r| Change::Recording(Box::new(r))));
    let index = MemoryIndex::new();
    index.apply(Batch { run: SyncRunId(1), changes }).await?;
    Ok(Arc::new(index))
}

/// The recording of that channel: H.264 at 704 by 576 and G.711.
pub fn recording(channel: u32) -> Recording {
    let channel = ChannelId(channel);
    let token = RecordingToken::derive(&"yard".into(), channel, StreamKind::Main);
    Recording {
        source: SourceInformation {
            source_id: format!("urn:yard:{channel}"),
            name: format!("Camera {channel}"),
            location: "Basement".into(),
            ..SourceInformation::default()
        },
        content: "all day".into(),
        tracks: vec![
            track(&token, TrackKind::Video, Codec::H264),
            track(&token, TrackKind::Audio, Codec::Pcma),
        ],
        retention: None,
        origin: Origin::Device { device: "yard".into(), channel, stream: StreamKind::Main },
        status: RecordingStatus::Unknown,
        token,
    }
}

/// The only track of that kind.
pub fn track(recording: &RecordingToken, kind: TrackKind, codec: Codec) -> Track {
    let mut params = CodecParams::new(codec);
    if kind == TrackKind::Video {
        (params.width, params.height, params.frame_rate) = (704, 576, Some((25, 1)));
    }
    Track {
        token: TrackToken::derive(recording, kind, 1),
        kind,
        description: String::new(),
        codec: Some(codec),
        params: Some(params),
        data: None,
    }
}

/// A segment of a track between two minutes.
pub fn segment(track: &TrackToken, from: i64, to: i64) -> Change {
    stretch(track, at(from), at(to), SegmentState::Closed)
}

/// A segment of a track; one that starts at the same instant takes its place.
pub fn stretch(track: &TrackToken, from: Utc, to: Utc, state: SegmentState) -> Change {
    let said =
        |t: Utc| SourceTime::from_civil(Civil::from_micros_as_if_utc(t.micros()), ZoneClaim::None);
    Change::Segment(Box::new(Segment {
        id: SegmentId::derive(track, &from.to_string(), b""),
        track: track.clone(),
        start: Stamp::exact(from),
        end: Stamp::exact(to),
        source: (said(from), said(to)),
        reason: Reason::Continuous,
        state,
        locator: Locator::default(),
        bytes: None,
        seen: SyncRunId(1),
    }))
}

fn event(
    recording: &Recording,
    track: Option<&TrackToken>,
    minute: i64,
    topic: &str,
    items: Items,
) -> Change {
    let (recording, topic) = (recording.token.clone(), Topic::new(topic));
    Change::Event(Box::new(RecordingEvent {
        id: RecordingEvent::derive_id(&recording, &topic, &items, &minute.to_string()),
        recording,
        track: track.cloned(),
        at: Stamp::exact(at(minute)),
        source: None,
        topic,
        items,
        property: true,
        origin: EventOrigin::Derived,
    }))
}
