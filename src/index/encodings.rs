//! Which encoding the pictures of a recording had when (R5.1-3).
//!
//! A track has one encoding for its whole life. When a recorder is set to another one, or its
//! footage turns out to be of another, a track of that encoding is opened and takes the segments of
//! that time; when it goes back, so does the first track. What is believed is a step function of time,
//! kept as a watermark: sync gives each listed segment to the track of its time, and what footage
//! shows overrules what the recorder said.

use std::fmt;

use dvrgate_model::{
    Codec, CodecParams, DeviceId, Direction, Origin, Recording, Result, Segment, SegmentState,
    Track, TrackKind, TrackToken, Utc, UtcRange,
};

use crate::{Change, SPAN_TOLERANCE_US, SegmentSelect, Snapshot};

/// See the module documentation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Encodings {
    /// From when on which encoding is believed; before the first one, that of the first track.
    steps: Vec<(Utc, Option<Codec>)>,
}

/// More steps than this are not remembered; a recorder is not set up so often.
const MAX_STEPS: usize = 1024;

impl Encodings {
    /// What is believed of a recording.
    pub fn of(snapshot: &dyn Snapshot, recording: &Recording) -> Result<Self> {
        let Some(device) = device(recording) else { return Ok(Self::default()) };
        let text = snapshot.watermark(device, &purpose(recording))?;
        Ok(text.map_or_else(Self::default, |t| Self::parse(&t)))
    }

    /// What is believed at an instant; `None`: that of the first track.
    pub fn at(&self, t: Utc) -> Option<Codec> {
        let behind = self.steps.partition_point(|(from, _)| *from <= t);
        self.steps.get(behind.checked_sub(1)?)?.1
    }

    /// Pictures of `range` have that encoding (`None`: that of the first track). Returns whether
    /// that is news.
    pub fn learn(&mut self, range: UtcRange, codec: Option<Codec>) -> bool {
        let before = self.clone();
        let after = self.at(range.end());
        self.steps.retain(|(from, _)| *from < range.start() || *from > range.end());
        let at = self.steps.partition_point(|(from, _)| *from < range.start());
        self.steps.splice(at..at, [(range.start(), codec), (range.end(), after)]);
        let mut last = None;
        self.steps.retain(|(_, codec)| std::mem::replace(&mut last, *codec) != *codec);
        let many = self.steps.len().saturating_sub(MAX_STEPS);
        self.steps.drain(..many);
        *self != before
    }

    fn parse(text: &str) -> Self {
        let step = |word: &str| {
            let (from, codec) = word.split_once(':')?;
            Some((Utc::from_micros(from.parse().ok()?), Codec::from_name(codec)))
        };
        Self { steps: text.split_ascii_whitespace().filter_map(step).collect() }
    }
}

impl fmt::Display for Encodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (from, codec)) in self.steps.iter().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{}:{}", from.micros(), codec.map_or("-", Codec::name))?;
        }
        Ok(())
    }
}

/// The instant whose encoding is that of a segment: listings are in whole seconds, so that segments
/// overlap at their ends.
pub fn instant_of(segment: &UtcRange) -> Utc {
    segment.start().plus_us((segment.duration_us() / 2).min(SPAN_TOLERANCE_US))
}

/// The tracks of the pictures, the first one first.
pub fn video_tracks(recording: &Recording) -> impl Iterator<Item = &Track> {
    recording.tracks.iter().filter(|t| t.kind == TrackKind::Video)
}

/// The track that takes the pictures of an instant.
pub fn video_track_at<'a>(
    recording: &'a Recording,
    encodings: &Encodings,
    t: Utc,
) -> Option<&'a Track> {
    let believed = encodings.at(t);
    let of = believed.and_then(|codec| video_tracks(recording).find(|t| t.codec == Some(codec)));
    of.or_else(|| video_tracks(recording).next())
}

/// Pictures were seen: what the recorder had said of their encoding is confirmed or put right.
pub fn is_seen(snapshot: &dyn Snapshot, recording: &Recording) -> Result<bool> {
    let Some(device) = device(recording) else { return Ok(true) };
    Ok(snapshot.watermark(device, &seen_purpose(recording))?.is_some())
}

/// The track for pictures of that encoding. As long as none were `seen` the first track takes
/// whatever comes; then each encoding has its own.
pub fn track_for(recording: &Recording, codec: Codec, seen: bool) -> TrackToken {
    let tracks = || video_tracks(recording);
    let known = tracks().find(|t| t.codec == Some(codec));
    let open = || tracks().find(|t| t.codec.is_none());
    let first = || tracks().next().filter(|_| !seen);
    match known.or_else(open).or_else(first) {
        Some(track) => track.token.clone(),
        None => {
            let n = u32::try_from(tracks().count()).unwrap_or(u32::MAX).saturating_add(1);
            TrackToken::derive(&recording.token, TrackKind::Video, n)
        }
    }
}

/// What the index must take up when footage of a stretch is at hand, whose pictures are as `said`.
/// The segment that holds the stretch has one encoding. Blocks on the index where that is news.
pub fn see(
    snapshot: &dyn Snapshot,
    recording: &Recording,
    stretch: UtcRange,
    said: &CodecParams,
) -> Result<Vec<Change>> {
    let Some(device) = device(recording) else { return Ok(Vec::new()) };
    let seen = is_seen(snapshot, recording)?;
    let token = track_for(recording, said.codec, seen);
    let mut changes = Vec::new();
    if !seen {
        let mut put_right = recording.clone();
        let of = put_right.tracks.iter_mut().find(|t| t.token == token);
        if let Some(track) = of.filter(|t| t.codec != Some(said.codec)) {
            (track.codec, track.params) = (Some(said.codec), Some(said.clone()));
            changes.push(Change::Recording(Box::new(put_right)));
        }
        let (device, purpose) = (device.clone(), seen_purpose(recording));
        changes.push(Change::Watermark { device, purpose, value: "yes".to_owned() });
        return Ok(changes);
    }
    let believed = Encodings::of(snapshot, recording)?;
    let middle = stretch.start().plus_us(stretch.duration_us() / 2);
    if video_track_at(recording, &believed, middle).is_some_and(|t| t.token == token) {
        return Ok(changes);
    }
    let around = segments(snapshot, recording, UtcRange::clamped(middle, middle.plus_us(1)))?;
    let holds = |s: &&Segment| instant_of(&s.range()) <= middle;
    let range =
        around.iter().rev().find(holds).or(around.first()).map_or(stretch, |s| match s.state {
            // What comes is as what is being recorded.
            SegmentState::Growing => UtcRange::clamped(s.start.utc, Utc::MAX),
            _ => s.range(),
        });
    let track = Track {
        token,
        kind: TrackKind::Video,
        description: String::new(),
        codec: Some(said.codec),
        params: Some(said.clone()),
        data: None,
    };
    Ok(learn(snapshot, recording, range, &track)?.changes)
}

/// What was learnt of the pictures of some time.
#[derive(Debug)]
pub struct Learnt {
    /// The track of that encoding.
    pub track: TrackToken,
    /// What the index must take up.
    pub changes: Vec<Change>,
}

/// Pictures of `range` have the encoding of `track` (its token does not matter): the track of it is
/// opened if there is none, and takes the segments of that time. Blocks on the index.
pub fn learn(
    snapshot: &dyn Snapshot,
    recording: &Recording,
    range: UtcRange,
    said: &Track,
) -> Result<Learnt> {
    let Some(codec) = said.codec else {
        return Ok(Learnt { track: said.token.clone(), changes: Vec::new() });
    };
    let mut changed = recording.clone();
    let known = video_tracks(recording).find(|t| t.codec == Some(codec));
    let track = match known {
        Some(track) => track.token.clone(),
        None => {
            let token = track_for(recording, codec, true);
            changed.tracks.push(Track { token: token.clone(), data: None, ..said.clone() });
            token
        }
    };
    let mut encodings = Encodings::of(snapshot, recording)?;
    let is_first = video_tracks(recording).next().is_some_and(|t| t.token == track);
    let news = encodings.learn(range, (!is_first).then_some(codec));
    let mut changes = Vec::new();
    if known.is_none() {
        changes.push(Change::Recording(Box::new(changed.clone())));
    }
    let Some(device) = device(recording).filter(|_| news) else {
        return Ok(Learnt { track, changes });
    };
    for segment in segments(snapshot, &changed, range)? {
        let at = instant_of(&segment.range());
        let Some(to) = video_track_at(&changed, &encodings, at) else { continue };
        if to.token != segment.track {
            let id = segment.id.moved(&segment.track, &to.token);
            let moved = Segment { id, track: to.token.clone(), ..segment.clone() };
            changes.push(Change::Segment(Box::new(moved)));
            let gone = Segment { state: SegmentState::Gone, ..segment };
            changes.push(Change::Segment(Box::new(gone)));
        }
    }
    changes.push(Change::Watermark {
        device: device.clone(),
        purpose: purpose(recording),
        value: encodings.to_string(),
    });
    changes.push(stale(device, recording, true));
    Ok(Learnt { track, changes })
}

/// Whether segments moved between tracks since the history of the recording was written.
pub fn is_history_stale(snapshot: &dyn Snapshot, recording: &Recording) -> Result<bool> {
    let Some(device) = device(recording) else { return Ok(false) };
    let said = snapshot.watermark(device, &history_purpose(recording))?;
    Ok(said.is_some_and(|s| s == STALE))
}

/// The history is written.
pub fn history_written(recording: &Recording) -> Option<Change> {
    Some(stale(device(recording)?, recording, false))
}

fn segments(
    snapshot: &dyn Snapshot,
    recording: &Recording,
    range: UtcRange,
) -> Result<Vec<Segment>> {
    let tracks: Vec<_> = video_tracks(recording).map(|t| t.token.clone()).collect();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = snapshot.segments(&SegmentSelect {
            tracks: Some(tracks.clone()),
            range,
            states: None,
            direction: Direction::Forward,
            limit: PAGE,
            after,
        })?;
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn stale(device: &DeviceId, recording: &Recording, is: bool) -> Change {
    let value = if is { STALE } else { "" }.to_owned();
    Change::Watermark { device: device.clone(), purpose: history_purpose(recording), value }
}

fn device(recording: &Recording) -> Option<&DeviceId> {
    match &recording.origin {
        Origin::Device { device, .. } => Some(device),
        Origin::Receiver { .. } => None,
    }
}

fn purpose(recording: &Recording) -> String {
    format!("encodings:{}", recording.token)
}

fn seen_purpose(recording: &Recording) -> String {
    format!("pictures:{}", recording.token)
}

fn history_purpose(recording: &Recording) -> String {
    format!("history:{}", recording.token)
}

const STALE: &str = "stale";
const PAGE: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{at, recording, segment, stretch, track};
    use crate::{Batch, Index, MemoryIndex, SpanQuery};

    fn range(from: i64, to: i64) -> UtcRange {
        UtcRange::clamped(at(from), at(to))
    }

    #[test]
    fn what_is_believed_is_a_step_function() {
        let mut e = Encodings::default();
        assert_eq!(e.at(at(5)), None);
        assert!(!e.learn(range(0, 10), None), "nothing new");
        assert!(e.learn(range(10, 20), Some(Codec::H265)));
        assert!(!e.learn(range(12, 20), Some(Codec::H265)), "known");
        let said = |e: &Encodings| [5, 10, 19, 20].map(|m| e.at(at(m)).is_some());
        assert_eq!(said(&e), [false, true, true, false]);
        assert!(e.learn(UtcRange::clamped(at(15), Utc::MAX), Some(Codec::H265)));
        assert_eq!(said(&e), [false, true, true, true]);
        assert!(e.learn(range(10, 12), None));
        assert_eq!((e.at(at(11)), e.at(at(12))), (None, Some(Codec::H265)));
        assert_eq!(Encodings::parse(&e.to_string()), e);
        // It goes back for good.
        assert!(e.learn(UtcRange::ALL, None));
        assert_eq!(e, Encodings::default());
        for i in 0..3000 {
            e.learn(range(2 * i, 2 * i + 1), Some(Codec::H265));
        }
        assert!(e.steps.len() <= MAX_STEPS && e.at(at(2 * 2999)) == Some(Codec::H265));
    }

    /// R5.1-3: the track of the other encoding takes the segments of its time, and gives them back.
    #[tokio::test]
    async fn segments_go_to_the_track_of_their_encoding() {
        let index = MemoryIndex::new();
        let r = recording(1);
        let video = r.tracks[0].token.clone();
        let mut changes = vec![Change::Recording(Box::new(r.clone()))];
        changes.extend([(0, 10), (10, 20)].map(|(from, to)| segment(&video, from, to)));
        // Listed to the second.
        let early = at(20).plus_us(-900_000);
        changes.push(stretch(&video, early, at(30), SegmentState::Closed));
        index.apply(Batch { run: Default::default(), changes }).await.unwrap();
        let spans = |track: &TrackToken| -> Vec<UtcRange> {
            let query = SpanQuery {
                track: track.clone(),
                range: UtcRange::ALL,
                direction: Direction::Forward,
                limit: 10,
                after: None,
            };
            index.snapshot().spans(&query).unwrap().items.into_iter().map(|s| s.range).collect()
        };
        let said = track(&r.token, TrackKind::Video, Codec::H265);
        let learnt = learn(&*index.snapshot(), &r, range(10, 20), &said).unwrap();
        assert_eq!(learnt.track.as_str(), "yard-1-video-2");
        let batch = Batch { run: Default::default(), changes: learnt.changes };
        index.apply(batch.clone()).await.unwrap();
        assert_eq!(spans(&video), [range(0, 10), UtcRange::clamped(early, at(30))]);
        assert_eq!(spans(&learnt.track), [range(10, 20)]);
        let now = index.snapshot().recording(&r.token).unwrap().unwrap();
        let codecs: Vec<_> = video_tracks(&now).map(|t| t.codec.unwrap()).collect();
        assert_eq!(codecs, [Codec::H264, Codec::H265]);
        assert!(is_history_stale(&*index.snapshot(), &now).unwrap());
        // Known already: nothing to do.
        let again = learn(&*index.snapshot(), &now, range(12, 20), &said).unwrap();
        assert_eq!((again.track, again.changes.len()), (learnt.track.clone(), 0));
        // It was not so: the first track takes them back, under the names that they had.
        let back = learn(&*index.snapshot(), &now, range(10, 20), &r.tracks[0]).unwrap();
        assert_eq!(back.track, video);
        index.apply(Batch { run: Default::default(), changes: back.changes }).await.unwrap();
        assert_eq!(spans(&video), [range(0, 30)]);
        assert!(spans(&learnt.track).is_empty());
        let all = segments(&*index.snapshot(), &now, UtcRange::ALL).unwrap();
        assert_eq!(all.len(), 3);
    }

    /// As long as no picture was seen the first track is of whatever encoding comes; then another
    /// encoding takes the whole segment to a track of its own.
    #[tokio::test]
    async fn footage_overrules_what_the_recorder_said() {
        let index = MemoryIndex::new();
        let r = recording(1);
        let video = r.tracks[0].token.clone();
        let mut changes = vec![Change::Recording(Box::new(r.clone()))];
        changes.extend([(0, 10), (10, 20)].map(|(from, to)| segment(&video, from, to)));
        index.apply(Batch { run: Default::default(), changes }).await.unwrap();
        let see = async |minute: i64, codec: Codec| {
            let snapshot = index.snapshot();
            let r = snapshot.recording(&r.token).unwrap().unwrap();
            let stretch = UtcRange::clamped(at(minute), at(minute).plus_us(2_000_000));
            let changes = see(&*snapshot, &r, stretch, &CodecParams::new(codec)).unwrap();
            let n = changes.len();
            index.apply(Batch { run: Default::default(), changes }).await.unwrap();
            let r = index.snapshot().recording(&r.token).unwrap().unwrap();
            let tracks = video_tracks(&r).map(|t| (t.codec.unwrap(), t.data));
            (n, tracks.collect::<Vec<_>>())
        };
        // It had said H.264.
        let (_, tracks) = see(3, Codec::H265).await;
        assert_eq!(tracks, [(Codec::H265, Some(range(0, 20)))]);
        assert_eq!(see(4, Codec::H265).await.0, 0, "known");
        let (_, tracks) = see(12, Codec::H264).await;
        assert_eq!(tracks, [(Codec::H265, Some(range(0, 10))), (Codec::H264, Some(range(10, 20)))]);
        assert_eq!(see(13, Codec::H264).await.0, 0, "known");
    }
}
