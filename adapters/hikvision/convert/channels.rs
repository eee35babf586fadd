//! Channels, and the numbers that different interfaces give to one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dvrgate_model::{Channel, ChannelId, Codec, CodecParams, StreamKind};

use crate::wire::channels::Input;
use crate::wire::streams::Stream;
use crate::wire::tracks::Track;

/// Number of a track, and of a live stream: channel · 100 + 1 for the main stream, 2 for the sub
/// stream.
pub(crate) fn track_id(channel: ChannelId, stream: StreamKind) -> u32 {
    channel.0.saturating_mul(100).saturating_add(match stream {
        StreamKind::Main => 1,
        StreamKind::Sub => 2,
    })
}

/// The reverse of [`track_id`]; `None` for pictures and transcoded streams.
pub(crate) fn stream_of(track: u32) -> Option<(ChannelId, StreamKind)> {
    let stream = match track % 100 {
        1 => StreamKind::Main,
        2 => StreamKind::Sub,
        _ => return None,
    };
    (track >= 100).then_some((ChannelId(track / 100), stream))
}

/// Events number network cameras differently from everything else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbering {
    analogue: BTreeSet<u32>,
    cameras: Vec<u32>,
}

/// Events give the first network camera this number plus one, unless a channel of that number
/// exists.
const CAMERA_BASE: u32 = 32;

impl Numbering {
    /// From the two lists of inputs.
    pub(crate) fn new(analogue: &[Input], cameras: &[Input]) -> Self {
        let mut cameras: Vec<u32> = cameras.iter().map(|c| c.id).collect();
        cameras.sort_unstable();
        Self { analogue: analogue.iter().map(|c| c.id).collect(), cameras }
    }

    /// `channelID` of an event: the channel of that number, else network camera n − 32. A number
    /// that fits nothing is kept.
    pub(crate) fn of_event(&self, n: u32) -> ChannelId {
        if self.analogue.contains(&n) || self.cameras.contains(&n) {
            return ChannelId(n);
        }
        let camera = n.checked_sub(CAMERA_BASE).and_then(|k| self.camera(k));
        camera.unwrap_or(ChannelId(n))
    }

    /// `dynChannelID` of an event.
    pub(crate) fn of_dynamic(&self, n: u32) -> ChannelId {
        if self.cameras.contains(&n) {
            return ChannelId(n);
        }
        let k = if n > CAMERA_BASE { n - CAMERA_BASE } else { n };
        self.camera(k).unwrap_or(ChannelId(n))
    }

    /// The number in a log entry: plain, `D1` for the first network camera, `A1` for an input.
    pub(crate) fn of_log(&self, text: &str) -> Option<ChannelId> {
        let text = text.trim();
        if let Some(k) = text.strip_prefix(['D', 'd']) {
            return k.parse().ok().map(|k| self.of_dynamic(k));
        }
        let n: u32 = text.strip_prefix(['A', 'a']).unwrap_or(text).parse().ok()?;
        (n > 0).then(|| self.of_event(n))
    }

    /// Network camera k, counted from 1: numbered behind the inputs on hybrids, from 1 on network
    /// recorders; with holes, the k-th of the list.
    fn camera(&self, k: u32) -> Option<ChannelId> {
        let behind = self.analogue.last().copied().unwrap_or(0).checked_add(k)?;
        let listed = |id: u32| self.cameras.contains(&id).then_some(id);
        listed(behind)
            .or_else(|| listed(k).filter(|_| self.analogue.is_empty()))
            .or_else(|| self.cameras.get(usize::try_from(k).ok()?.checked_sub(1)?).copied())
            .map(ChannelId)
    }
}

/// All channels of a device: inputs first, then network cameras, by number. Where neither list is
/// offered, what has tracks is a channel.
pub(crate) fn channels(
    analogue: &[Input],
    cameras: &[Input],
    status: &[Input],
    streams: &[Stream],
    tracks: &[Track],
) -> Vec<Channel> {
    let tracks: BTreeMap<u32, &Track> = tracks.iter().map(|t| (t.id, t)).collect();
    let streams: BTreeMap<u32, &Stream> = streams.iter().map(|s| (s.id, s)).collect();
    let online: BTreeMap<u32, Option<bool>> = status.iter().map(|s| (s.id, s.online)).collect();
    let mut inputs: BTreeMap<u32, Input> = BTreeMap::new();
    for input in analogue.iter().chain(cameras) {
        let known = inputs.entry(input.id).or_insert_with(|| input.clone());
        known.online = online.get(&input.id).copied().flatten().or(input.online);
    }
    if inputs.is_empty() {
        let numbers = tracks.keys().chain(streams.keys()).filter_map(|t| stream_of(*t));
        for (id, _) in numbers {
            inputs.entry(id.0).or_insert_with(|| Input { id: id.0, ..Input::default() });
        }
    }
    inputs.into_values().map(|input| channel(input, &streams, &tracks)).collect()
}

fn channel(
    input: Input,
    streams: &BTreeMap<u32, &Stream>,
    tracks: &BTreeMap<u32, &Track>,
) -> Channel {
    let id = ChannelId(input.id);
    let main = track_id(id, StreamKind::Main);
    let (stream, track) = (streams.get(&main), tracks.get(&main));
    // Recorders list sub tracks that they never record; one counts only if its schedule is on.
    let sub = tracks.get(&track_id(id, StreamKind::Sub)).and_then(|t| t.scheduled) == Some(true);
    let records = track.and_then(|t| t.scheduled).map(|on| on && input.online != Some(false));
    let continuous = track.is_some_and(|t| t.mode.eq_ignore_ascii_case("CMR"));
    Channel {
        id,
        name: input.name,
        address: input.address,
        streams: if sub { vec![StreamKind::Main, StreamKind::Sub] } else { vec![StreamKind::Main] },
        online: input.online,
        // By schedule and by event, whether it records now is not said.
        recording: records.filter(|on| !*on || continuous),
        video: stream.and_then(|s| video(s)),
        audio: stream
            .filter(|_| track.and_then(|t| t.saves_audio) != Some(false))
            .and_then(|s| audio(s)),
        retention: track
            .and_then(|t| t.expiry_days)
            .filter(|d| *d > 0)
            .map(|d| Duration::from_secs(u64::from(d) * 86_400)),
    }
}

fn video(s: &Stream) -> Option<CodecParams> {
    let codec = match s.video_codec.to_ascii_uppercase().replace('.', "").as_str() {
        c if c.starts_with("H264") => Codec::H264,
        c if c.starts_with("H265") => Codec::H265,
        c if c.starts_with("MPEG4") => Codec::Mpeg4,
        c if c.starts_with("MJPEG") => Codec::Jpeg,
        _ => return None,
    };
    let mut params = CodecParams::new(codec);
    (params.width, params.height) = (s.width, s.height);
    params.frame_rate = (s.centi_fps > 0).then(|| reduced(s.centi_fps, 100));
    Some(params)
}

/// 2 500 / 100 as 25 / 1.
fn reduced(n: u32, d: u32) -> (u32, u32) {
    let (mut a, mut b) = (n, d);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    (n / a.max(1), d / a.max(1))
}

fn audio(s: &Stream) -> Option<CodecParams> {
    let codec = match s.audio_codec.as_deref()?.to_ascii_lowercase().as_str() {
        "g.711ulaw" => Codec::Pcmu,
        "g.711alaw" => Codec::Pcma,
        "g.726" => Codec::G726 { kbit: 16 },
        "aac" => Codec::Aac,
        // G.722.1, MP2L2, PCM and MP3 have no standard replay.
        _ => return None,
    };
    let mut params = CodecParams::new(codec);
    let khz = s.audio_khz.as_deref().and_then(|k| k.parse::<f64>().ok());
    params.sample_rate_hz = match khz.filter(|k| (1.0..=192.0).contains(k)) {
        Some(khz) => (khz * 1000.0).round() as u32,
        None if codec == Codec::Aac => 16_000,
        None => 8_000,
    };
    params.channels = 1;
    Some(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{channels as lists, streams, testing, tracks};

    fn inputs(ids: &[u32]) -> Vec<Input> {
        ids.iter().map(|id| Input { id: *id, ..Input::default() }).collect()
    }

    #[test]
    fn numbers_of_events_on_all_kinds_of_recorder() {
        let hybrid = Numbering::new(&inputs(&[1, 2, 3, 4, 5, 6, 7, 8]), &inputs(&[9, 10]));
        assert_eq!(hybrid.of_event(3), ChannelId(3));
        assert_eq!(hybrid.of_event(34), ChannelId(10));
        assert_eq!(hybrid.of_event(9), ChannelId(9));
        assert_eq!(hybrid.of_dynamic(1), ChannelId(9));
        let nvr = Numbering::new(&[], &inputs(&[1, 2, 3]));
        assert_eq!(nvr.of_event(34), ChannelId(2));
        assert_eq!(nvr.of_dynamic(33), ChannelId(1));
        let holes = Numbering::new(&[], &inputs(&[2, 5]));
        assert_eq!(holes.of_event(33), ChannelId(2));
        assert_eq!(holes.of_event(77), ChannelId(77));
        let large: Vec<u32> = (1..=64).collect();
        assert_eq!(Numbering::new(&[], &inputs(&large)).of_event(33), ChannelId(33));
    }

    #[test]
    fn numbers_of_log_entries() {
        let n = Numbering::new(&inputs(&[1, 2]), &inputs(&[3, 4]));
        assert_eq!(n.of_log("2"), Some(ChannelId(2)));
        assert_eq!(n.of_log("D2"), Some(ChannelId(4)));
        assert_eq!(n.of_log("A1"), Some(ChannelId(1)));
        for none in ["", "0", "x", "D", "é"] {
            assert_eq!(n.of_log(none), None, "{none}");
        }
        assert_eq!(n.of_event(u32::MAX), ChannelId(u32::MAX));
    }

    #[test]
    fn tracks_and_channels() {
        assert_eq!(track_id(ChannelId(9), StreamKind::Sub), 902);
        assert_eq!(stream_of(902), Some((ChannelId(9), StreamKind::Sub)));
        assert_eq!(stream_of(103), None);
        assert_eq!(stream_of(1), None);
        assert_eq!(track_id(ChannelId(u32::MAX), StreamKind::Main), u32::MAX);
    }

    #[test]
    fn a_hybrid_recorder_as_a_whole() {
        let read = |d: &[u8], p| testing::parse(d, p).unwrap();
        let list = channels(
            &read(include_bytes!("../fixtures/channels_analogue.xml"), lists::parse_analogue),
            &read(include_bytes!("../fixtures/channels_proxy.xml"), lists::parse_proxy),
            &read(include_bytes!("../fixtures/channels_proxy_status.xml"), lists::parse_proxy),
            &testing::parse(include_bytes!("../fixtures/streams.xml"), streams::parse).unwrap(),
            &testing::parse(include_bytes!("../fixtures/tracks.xml"), tracks::parse).unwrap(),
        );
        let seen: Vec<_> = list.iter().map(|c| (c.id.0, c.name.as_str(), c.online)).collect();
        assert_eq!(
            seen,
            [
                (1, "Gate & yard", Some(true)),
                (2, "", Some(false)),
                (4, "Camera 04", None),
                (9, "ramp", Some(true)),
                (10, "roof", Some(false)),
            ]
        );
        let first = &list[0];
        assert_eq!(first.streams, [StreamKind::Main]);
        assert_eq!(first.recording, Some(true));
        assert_eq!(first.retention, Some(Duration::from_secs(30 * 86_400)));
        let v = first.video.as_ref().unwrap();
        assert_eq!((v.codec, v.width, v.height, v.frame_rate), (Codec::H265, 960, 1088, None));
        assert_eq!(first.audio.as_ref().unwrap().codec, Codec::Pcmu);
        assert_eq!(reduced(2_500, 100), (25, 1));
        assert_eq!(reduced(1_250, 100), (25, 2));
    }

    #[test]
    fn without_lists_the_tracks_are_the_channels() {
        let tracks = [Track { id: 201, ..Track::default() }, Track { id: 203, ..Track::default() }];
        let list = channels(&[], &[], &[], &[], &tracks);
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].id, ChannelId(2));
    }
}
