use bytes::Bytes;
use dvrgate_media::container::Anchor;
use dvrgate_model::{ClockEpoch, ClockMap, Codec, MediaTime, RecordingStatus, ZoneRule, ZoneTrust};

use super::*;
use crate::fetch::fake::recording;
use crate::synthetic::{T0, at_ms, params, range_ms};

fn assembler() -> Assembler {
    let epoch = ClockEpoch::assumed("yard".into(), ZoneRule::utc(), ZoneTrust::WallClock);
    let timing = Timing::new(ClockMap::new(vec![], epoch), T0);
    let start = (Civil::from_micros_as_if_utc(T0.micros()), Convention::WallClock);
    let recording = Arc::new(recording(RecordingStatus::Stopped));
    Assembler::new(recording, timing, start, range_ms(-60_000, 600_000), vec![], "file")
}

fn unit_of(kind: TrackKind, ms: i64, frame: FrameKind) -> Demuxed {
    Demuxed::Unit(Unit {
        kind,
        media: MediaTime { ticks: ms * 90, rate_hz: 90_000 },
        frame,
        data: Bytes::from(ms.to_string()),
    })
}

fn key(ms: i64) -> Demuxed {
    unit_of(TrackKind::Video, ms, FrameKind::Key)
}

fn predicted(ms: i64) -> Demuxed {
    unit_of(TrackKind::Video, ms, FrameKind::Predicted)
}

fn sound(ms: i64) -> Demuxed {
    unit_of(TrackKind::Audio, ms, FrameKind::Audio)
}

fn anchor(media_ms: i64, civil_ms: i64) -> Demuxed {
    Demuxed::Anchor(Anchor {
        media: MediaTime { ticks: media_ms * 90, rate_hz: 90_000 },
        civil: Civil::from_micros_as_if_utc(at_ms(civil_ms).micros()),
        convention: Convention::WallClock,
        resolution_us: 1000,
    })
}

fn video() -> Demuxed {
    Demuxed::Params(params(Codec::H264))
}

fn feed(a: &mut Assembler, items: impl IntoIterator<Item = Demuxed>) -> Vec<Gop> {
    items.into_iter().for_each(|i| a.push(i));
    std::iter::from_fn(|| a.pull()).collect()
}

/// Track, range and units, in milliseconds.
fn shape(g: &Gop) -> (String, (i64, i64), Vec<i64>) {
    let ms = |t: Utc| t.since_us(T0) / 1000;
    (
        g.track.to_string(),
        (ms(g.range.start()), ms(g.range.end())),
        g.frames.iter().map(|f| ms(f.at.utc)).collect(),
    )
}

#[test]
fn units_before_the_first_clean_point_and_before_parameters_are_dropped() {
    let mut a = assembler();
    let got = feed(
        &mut a,
        [anchor(0, 0), key(0), video(), predicted(40), key(1000), predicted(1040), key(2000)],
    );
    let shapes: Vec<_> = got.iter().map(shape).collect();
    assert_eq!(shapes, [("yard-1-video".into(), (1000, 2000), vec![1000, 1040])]);
    assert_eq!(got[0].source.unwrap().civil.micros_as_if_utc(), at_ms(1000).micros());
}

#[test]
fn the_last_piece_is_whole_only_at_the_end_of_a_section() {
    let items = || [video(), anchor(0, 0), key(0), predicted(40), key(1000), predicted(1040)];
    let mut a = assembler();
    assert_eq!(feed(&mut a, items()).len(), 1);
    assert_eq!(a.finish(Ending::Cut), Some(at_ms(1000)));
    assert!(a.pull().is_none());

    let mut a = assembler();
    feed(&mut a, items());
    assert_eq!(a.finish(Ending::Section(at_ms(1500))), None);
    assert_eq!(shape(&a.pull().unwrap()).1, (1000, 1500));

    // A listed end that is far away or before the last unit does not count.
    for (listed, end) in [(60_000, 1040 + 5000), (500, 1080)] {
        let mut a = assembler();
        feed(&mut a, items());
        a.finish(Ending::Section(at_ms(listed)));
        assert_eq!(shape(&a.pull().unwrap()).1, (1000, end));
    }
}

#[test]
fn intra_only_video_is_stored_in_pieces_of_half_a_second() {
    let mut a = assembler();
    let keys = (0..30).map(|i| key(i * 40));
    let got = feed(&mut a, [video(), anchor(0, 0)].into_iter().chain(keys));
    let lengths: Vec<usize> = got.iter().map(|g| g.frames.len()).collect();
    assert_eq!(lengths, [13, 13]);
}

#[test]
fn sound_is_cut_at_whole_seconds_wherever_the_transfer_begins() {
    let mut a = assembler();
    let pcm = Demuxed::Params(params(Codec::Pcmu));
    let units = (0..30).map(|i| sound(640 + i * 100));
    let got = feed(&mut a, [pcm, anchor(0, 0)].into_iter().chain(units));
    let ranges: Vec<_> = got.iter().map(|g| shape(g).1).collect();
    assert_eq!(ranges, [(640, 1040), (1040, 2040), (2040, 3040)]);
    assert_eq!(got[0].track.as_str(), "yard-1-audio");
}

#[test]
fn a_jump_ends_a_section_with_the_last_units_interval() {
    let mut a = assembler();
    let items = [
        video(),
        anchor(0, 0),
        key(0),
        predicted(80),
        // The media clock goes on; the recorder's clock says that ten seconds are missing.
        anchor(160, 10_160),
        key(160),
        predicted(240),
        anchor(1160, 11_160),
        key(1160),
    ];
    let shapes: Vec<_> = feed(&mut a, items).iter().map(shape).collect();
    let v = || "yard-1-video".to_owned();
    assert_eq!(
        shapes,
        [(v(), (0, 160), vec![0, 80]), (v(), (10_160, 11_160), vec![10_160, 10_240])]
    );
}

#[test]
fn stamps_rise_over_key_and_predicted_units() {
    // R8.3-14: the anchor of the second GOP steps back by 100 ms.
    let mut a = assembler();
    let items = [
        video(),
        anchor(0, 0),
        key(0),
        predicted(950),
        anchor(1000, 880),
        key(1000),
        predicted(1040),
        predicted(1080),
        key(2000),
    ];
    let got = feed(&mut a, items);
    let all: Vec<Utc> = got.iter().flat_map(|g| g.frames.iter().map(|f| f.at.utc)).collect();
    assert!(all.windows(2).all(|w| w[0] < w[1]), "{all:?}");
}

#[test]
fn bidirectional_units_keep_their_own_instant() {
    let mut a = assembler();
    let b = unit_of(TrackKind::Video, 40, FrameKind::Bidirectional);
    let got = feed(&mut a, [video(), anchor(0, 0), key(0), predicted(80), b, key(1000)]);
    assert_eq!(shape(&got[0]).2, [0, 80, 40]);
}

#[test]
fn nonsense_stamps_and_endless_gops_are_bounded() {
    let mut a = assembler();
    let far = [video(), anchor(0, 0), key(0), predicted(900_000_000), predicted(40)];
    assert!(feed(&mut a, far).is_empty());
    let long = (2..MAX_FRAMES as i64 + 100).map(|i| predicted(i * 5));
    let got = feed(&mut a, long.take_while(|_| true));
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].frames.len(), MAX_FRAMES);
}

#[test]
fn a_codec_goes_to_its_own_track_or_to_one_of_its_kind() {
    let mut a = assembler();
    a.push(Demuxed::Params(params(Codec::H265)));
    // Listed as H.264, but the footage knows better.
    let got = feed(&mut a, [anchor(0, 0), key(0), key(1000)]);
    assert_eq!(got[0].track.as_str(), "yard-1-video");
    assert_eq!(got[0].frames[0].params.codec, Codec::H265);
    // No metadata track: nowhere to go.
    a.push(Demuxed::Params(params(Codec::Metadata)));
    let document = unit_of(TrackKind::Metadata, 0, FrameKind::Metadata);
    let later = unit_of(TrackKind::Metadata, 5000, FrameKind::Metadata);
    assert!(feed(&mut a, [document, later]).is_empty());
}

#[test]
fn knows_when_it_has_enough() {
    let mut a = assembler();
    let pcm = Demuxed::Params(params(Codec::Pcmu));
    feed(&mut a, [video(), pcm, anchor(0, 0), key(0), sound(0), sound(800), key(1000)]);
    assert!(!a.reached(at_ms(1000)), "sound is behind");
    feed(&mut a, [sound(1000)]);
    assert!(a.reached(at_ms(1000)));
    assert!(!a.reached(at_ms(1001)));
}
