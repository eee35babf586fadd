use dvrgate_model::{Civil, Convention, FrameKind};

use super::*;
use crate::codec::annexb;
use crate::container::Unit;
use crate::container::testmux::*;

const STEP: u64 = 3600;
const FIRST: u64 = 900_000;
const LONG_SLICE: usize = 70_000;

/// Reads the seconds of a clock from the private descriptor and from private packets.
#[derive(Default)]
struct ClockPolicy {
    envelope: Option<Vec<u8>>,
}

fn reading(seconds: u8) -> Reading {
    let civil = Civil::new(2026, 11, 25, 3, 0, seconds, 0).unwrap();
    Reading { civil, convention: Convention::WallClock, resolution_us: 1_000_000 }
}

impl PsPolicy for ClockPolicy {
    fn envelope(&mut self, bytes: &[u8]) -> Result<()> {
        assert!(self.envelope.is_none(), "called once");
        self.envelope = Some(bytes.to_vec());
        if bytes.starts_with(b"sealed") {
            return Err(Error::new(ErrorKind::Unsupported, "sealed"));
        }
        Ok(())
    }

    fn codec(&self, stream_type: u8, _: u8) -> Option<Codec> {
        if stream_type == 0x91 { Some(Codec::Pcmu) } else { standard_codec(stream_type) }
    }

    fn unmapped_codec(&self, stream_id: u8) -> Option<Codec> {
        (self.envelope.as_deref() == Some(b"mulaw") && stream_id == 0xc0).then_some(Codec::Pcmu)
    }

    fn refine(&self, stream: Option<&ProgramStream>, params: &mut CodecParams) {
        if stream.is_some_and(|s| s.stream_type == 0x91) {
            params.sample_rate_hz = 16_000;
        }
    }

    fn program_map(&mut self, map: &ProgramMap) -> Result<Option<Reading>> {
        let seconds = map.descriptors.iter().find(|d| d.tag == 0x40).and_then(|d| d.data.first());
        Ok(seconds.filter(|s| **s < 60).map(|s| reading(*s)))
    }

    fn private(&mut self, _: u8, payload: &[u8]) -> Result<Option<Reading>> {
        Ok(payload.first().filter(|s| **s < 60).map(|s| reading(*s)))
    }
}

/// A group as recorders write it: a pack for each frame, a packet for each NAL unit, a long slice
/// in two packets, sound and private data.
fn group(first: u64, seconds: u8) -> Vec<u8> {
    let key = annexb(&[&slice('I', LONG_SLICE, 7)]);
    let (head, tail) = key.split_at(65_000);
    let mut out = [
        pack(first),
        system(),
        map(&[seconds], &[(0x1b, 0xe0), (0x91, 0xc0), (0xbd, 0xbd)]),
        pes(0xe0, Some(first), &annexb(&[SPS])),
        pes(0xe0, None, &annexb(&[PPS])),
        pes(0xe0, None, head),
        pes(0xe0, None, tail),
        pes(0xc0, Some(first), &[0xd5; 320]),
    ]
    .concat();
    for i in 1..4 {
        let at = first + i * STEP;
        out.extend(pack(at));
        out.extend(pes(0xe0, Some(at), &annexb(&[&slice('P', 300, i as u8)])));
        out.extend(pes(0xbd, None, &[99, 1, 2, 3]));
        out.extend(pes(0xc0, Some(at), &[0xd5; 320]));
    }
    out
}

fn clocked() -> PsDemuxer {
    PsDemuxer::new(Box::new(ClockPolicy::default()))
}

fn run(data: &[u8]) -> Result<Vec<Demuxed>> {
    demux(&mut clocked(), &[data])
}

fn video(items: &[Demuxed]) -> Vec<&Unit> {
    units(items).into_iter().filter(|u| u.kind == TrackKind::Video).collect()
}

fn damage(items: &[Demuxed]) -> u64 {
    items
        .iter()
        .map(|d| if let Demuxed::Damage { skipped_bytes, .. } = d { *skipped_bytes } else { 0 })
        .sum()
}

#[test]
fn a_group_as_recorders_write_it() {
    let items = run(&[group(FIRST, 5), group(FIRST + 4 * STEP, 6)].concat()).unwrap();
    let video = video(&items);
    let times: Vec<_> = video.iter().map(|u| u.media.ticks as u64).collect();
    assert_eq!(times, (0..8).map(|i| FIRST + i * STEP).collect::<Vec<_>>());
    assert_eq!(video[0].frame, FrameKind::Key);
    assert_eq!(video[1].frame, FrameKind::Predicted);
    assert_eq!(video[4].frame, FrameKind::Key);
    let nals: Vec<_> = annexb::lengths(&video[0].data).collect();
    assert_eq!(nals, [SPS, PPS, &slice('I', LONG_SLICE, 7)[..]]);
    assert_eq!(damage(&items), 0);

    let params: Vec<_> = items
        .iter()
        .filter_map(|d| if let Demuxed::Params(p) = d { Some(p) } else { None })
        .collect();
    assert_eq!(params.len(), 2, "one for each stream, none repeated");
    let (v, a) = (params[0], params[1]);
    assert_eq!(
        (v.codec, v.width, v.height, v.frame_rate),
        (Codec::H264, 1920, 1080, Some((25, 1)))
    );
    assert_eq!(v.parameter_sets.as_slice(), [SPS, PPS]);
    assert_eq!((a.codec, a.sample_rate_hz, a.channels), (Codec::Pcmu, 16_000, 1));

    // Anchors stand between the unit before and the unit they belong to.
    let mut order = Vec::new();
    for item in &items {
        match item {
            Demuxed::Anchor(a) => order.push(format!("{} at {}", a.civil.time().2, a.media.ticks)),
            Demuxed::Unit(u) if u.kind == TrackKind::Video => order.push(u.media.ticks.to_string()),
            _ => {}
        }
    }
    assert_eq!(order[..2], ["5 at 900000", "900000"]);
    assert_eq!(order[5..7], ["6 at 914400", "914400"]);
}

#[test]
fn pieces_of_any_size_give_the_same() {
    let data = [vec![0xaa; 30], group(FIRST, 5), vec![0; 70], group(FIRST + 4 * STEP, 6)].concat();
    let whole = trace(&run(&data).unwrap());
    // Every border in the structures, a sample of those inside the long slice.
    for at in (0..data.len()).filter(|at| *at < 400 || at % 977 == 0 || data.len() - at < 800) {
        let halves = demux(&mut clocked(), &[&data[..at], &data[at..]]).unwrap();
        assert_eq!(trace(&halves), whole, "{at}");
    }
    let bytes: Vec<_> = data.chunks(1).collect();
    assert_eq!(trace(&demux(&mut clocked(), &bytes).unwrap()), whole);
}

#[test]
fn every_truncation_gives_the_units_before_it() {
    let data = [group(FIRST, 5), group(FIRST + 4 * STEP, 6)].concat();
    let whole = run(&data).unwrap();
    let whole = video(&whole);
    for end in (0..data.len()).filter(|at| at % 211 == 0 || !(300..70_000).contains(at)) {
        let Ok(items) = run(&data[..end]) else {
            assert!(end < 4, "{end}");
            continue;
        };
        let got = video(&items);
        for (i, unit) in got.iter().enumerate() {
            assert_eq!(unit.media, whole[i].media, "{end}");
            if i + 1 < got.len() {
                assert_eq!(unit.data, whole[i].data, "{end}");
            }
        }
    }
}

#[test]
fn random_damage_costs_little_and_never_panics() {
    let data: Vec<u8> = (0..6).flat_map(|i| group(FIRST + i * 4 * STEP, i as u8)).collect();
    let clean = run(&data).unwrap();
    let clean: Vec<_> = video(&clean).iter().map(|u| u.data.clone()).collect();
    let mut random = Seeded(0x5eed);
    let (mut kept, mut runs) = (0, 0);
    for _ in 0..400 {
        let mut bad = data.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bad.len());
            match random.below(3) {
                0 => bad[at] ^= 1 << random.below(8),
                1 => drop(bad.drain(at..(at + 1 + random.below(300)).min(data.len() - 400))),
                _ => bad[at..].iter_mut().take(64).for_each(|b| *b = 0xff),
            }
        }
        let Ok(items) = run(&bad) else { continue };
        let got = video(&items);
        kept += got.iter().filter(|u| clean.contains(&u.data)).count();
        runs += 1;
        assert!(got.iter().all(|u| annexb::is_whole(&u.data)));
    }
    // At most three places of 24 pictures are hit; a lost one costs the picture it is in, seldom
    // its neighbour.
    assert!(runs > 380, "{runs}");
    assert!(kept > runs * 20, "{kept} of {}", runs * clean.len());
}

#[test]
fn garbage_is_refused_or_survived() {
    let mut random = Seeded(7);
    for length in [0, 1, 3, 4, 20, 4095, 4096, 4097, 5000, 9000] {
        let data: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        assert_eq!(run(&data).is_ok(), length == 0, "{length}");
        let framed = [pack(0), data].concat();
        run(&framed).unwrap();
    }
}

#[test]
fn a_wrong_length_loses_one_picture() {
    let mut data = group(FIRST, 5);
    let group_bytes = data.len();
    data.extend(group(FIRST + 4 * STEP, 6));
    // The length of the second picture's packet, which follows its pack header.
    let second = memmem::find_iter(&data, &PACK_START).nth(1).unwrap();
    let at = second + pack(0).len() + 4;
    data[at..at + 2].copy_from_slice(&400u16.to_be_bytes());
    let items = run(&data).unwrap();
    let times: Vec<_> =
        video(&items).iter().map(|u| (u.media.ticks as u64 - FIRST) / STEP).collect();
    assert_eq!(times, [0, 2, 3, 4, 5, 6, 7]);
    let third = memmem::find_iter(&data[..group_bytes], &PACK_START).nth(2).unwrap();
    let expected = (second + pack(0).len()) as u64..third as u64;
    assert!(items.iter().any(|d| matches!(d, Demuxed::Damage { at_byte, skipped_bytes, why }
        if *at_byte == expected.start && *skipped_bytes == expected.end - expected.start
            && *why == "wrong packet length")));
}

#[test]
fn envelopes() {
    let data = group(FIRST, 5);
    for (envelope, ok) in [(0, true), (40, true), (4096, true), (4097, false)] {
        let framed = [vec![0x40; envelope], data.clone()].concat();
        assert_eq!(run(&framed).is_ok(), ok, "{envelope}");
    }
    let mut sealed = clocked();
    let e = sealed.push(&[b"sealed".to_vec(), data.clone()].concat()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert_eq!(sealed.push(&data).unwrap_err().kind(), ErrorKind::Damaged, "stays refused");
    // Without pack at the start.
    let bare = &data[pack(0).len()..];
    assert_eq!(video(&run(bare).unwrap()).len(), 4);
}

#[test]
fn encodings_without_map() {
    let frame = |at: u64| {
        [
            pack(at),
            pes(0xe0, Some(at), &annexb(&[SPS, PPS, &slice('I', 50, 9)])),
            pes(0xc0, Some(at), &[0x55; 160]),
        ]
        .concat()
    };
    let late = [
        pack(FIRST),
        pes(0xe0, Some(FIRST), &annexb(&[&slice('P', 50, 9)])),
        frame(FIRST + STEP),
        frame(FIRST + 2 * STEP),
    ]
    .concat();
    let items = run(&late).unwrap();
    assert_eq!(video(&items).len(), 2, "the picture before the parameter sets is passed over");
    assert!(damage(&items) > 0);
    assert!(units(&items).iter().all(|u| u.kind == TrackKind::Video));
    let with_hint = run(&[b"mulaw".to_vec(), late].concat()).unwrap();
    assert_eq!(units(&with_hint).iter().filter(|u| u.kind == TrackKind::Audio).count(), 2);
}

#[test]
fn the_encoding_may_change_in_the_middle() {
    let (vps, sps, pps) = crate::codec::tests::h265_sets();
    let idr = [0x26, 0x01, 0xaf, 0x10, 0x20];
    let at = FIRST + 4 * STEP;
    let data = [
        group(FIRST, 5),
        pack(at),
        map(&[6], &[(0x24, 0xe0)]),
        pes(0xe0, Some(at), &annexb(&[vps, sps, pps, &idr])),
    ]
    .concat();
    let items = run(&data).unwrap();
    let video = video(&items);
    assert_eq!(video.len(), 5);
    assert_eq!(video[4].frame, FrameKind::Key);
    let codecs: Vec<_> = items
        .iter()
        .filter_map(|d| if let Demuxed::Params(p) = d { Some(p.codec) } else { None })
        .filter(|c| c.track_kind() == TrackKind::Video)
        .collect();
    assert_eq!(codecs, [Codec::H264, Codec::H265]);
}

#[test]
fn pictures_without_or_with_repeated_time() {
    let nal = |kind| annexb(&[&slice(kind, 40, 8)]);
    let sets = annexb(&[SPS, PPS]);
    let map = map(&[99], &[(0x1b, 0xe0)]);
    // The same time on every packet of a picture, then the same time on the next picture.
    let repeated = [
        pack(FIRST),
        map.clone(),
        pes(0xe0, Some(FIRST), &sets),
        pes(0xe0, Some(FIRST), &nal('I')),
        pes(0xe0, Some(FIRST), &nal('P')),
    ]
    .concat();
    let items = run(&repeated).unwrap();
    let kinds: Vec<_> = video(&items).iter().map(|u| (u.frame, u.media.ticks as u64)).collect();
    assert_eq!(kinds, [(FrameKind::Key, FIRST), (FrameKind::Predicted, FIRST)]);
    // No time on the second picture: the pack's clock.
    let untimed = [
        pack(FIRST),
        map,
        pes(0xe0, Some(FIRST), &[sets, nal('I')].concat()),
        pack(FIRST + STEP),
        pes(0xe0, None, &nal('P')),
    ]
    .concat();
    let items = run(&untimed).unwrap();
    let times: Vec<_> = video(&items).iter().map(|u| u.media.ticks as u64).collect();
    assert_eq!(times, [FIRST, FIRST + STEP]);
}

#[test]
fn packets_without_length_end_at_the_next_start_code() {
    let sets = annexb(&[SPS, PPS, &slice('I', 90_000, 9)]);
    let map = map(&[99], &[(0x1b, 0xe0), (0x90, 0xc0)]);
    let data = [
        pack(FIRST),
        map,
        pes_unbounded(0xe0, Some(FIRST), &sets),
        pes(0xc0, Some(FIRST), &[0xd5; 80]),
        pack(FIRST + STEP),
        pes_unbounded(0xe0, Some(FIRST + STEP), &annexb(&[&slice('P', 40, 9)])),
    ]
    .concat();
    let whole = run(&data).unwrap();
    assert_eq!(video(&whole).len(), 2);
    assert_eq!(video(&whole)[0].data.len(), sets.len());
    assert_eq!(damage(&whole), 0);
    let pieces: Vec<_> = data.chunks(7).collect();
    assert_eq!(trace(&demux(&mut clocked(), &pieces).unwrap()), trace(&whole));
}

#[test]
fn time_goes_on_over_33_bits() {
    let last = (1u64 << 33) - 2 * STEP;
    let data = group(last, 5);
    let items = run(&data).unwrap();
    let ticks: Vec<_> = video(&items).iter().map(|u| u.media.ticks).collect();
    assert_eq!(ticks, (0..4).map(|i| (last + i * STEP) as i64).collect::<Vec<_>>());
}

#[test]
fn bounds_hold() {
    // A map that says it is longer than any may be.
    let mut long = vec![0, 0, 1, 0xbc, 0xff, 0xff];
    long.extend([0; 100]);
    let items = run(&[pack(0), long, group(FIRST, 5)].concat()).unwrap();
    assert_eq!(video(&items).len(), 4);
    // An access unit without end.
    let mut data = [pack(FIRST), map(&[99], &[(0x1b, 0xe0)])].concat();
    data.extend(pes(0xe0, Some(FIRST), &annexb(&[SPS, PPS, &slice('I', 100, 7)])));
    let filler = pes(0xe0, None, &[0x55; 60_000]);
    for _ in 0..=MAX_UNIT_BYTES / 60_000 {
        data.extend_from_slice(&filler);
    }
    data.extend(group(FIRST + STEP, 5));
    let items = run(&data).unwrap();
    assert_eq!(video(&items).len(), 4);
    assert!(damage(&items) > MAX_UNIT_BYTES as u64);
}

#[test]
fn a_damaged_map_is_not_believed() {
    let mut second = group(FIRST + 4 * STEP, 6);
    let at = memmem::find(&second, &[0x1b, 0xe0]).unwrap();
    second[at] = 0x24;
    let items = run(&[group(FIRST, 5), second].concat()).unwrap();
    assert_eq!(video(&items).len(), 8);
    assert!(damage(&items) > 0);
}

#[test]
fn scrambled_packets_are_refused() {
    let mut data = group(FIRST, 5);
    let at = memmem::find(&data, &[0, 0, 1, 0xe0]).unwrap();
    data[at + 6] |= 0x10;
    assert_eq!(run(&data).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn two_fields_make_one_unit() {
    // x264, 704x576 interlaced.
    const FIELDS: &[u8] = &[
        0x67, 0x4d, 0x40, 0x1e, 0xf4, 0x05, 0x81, 0x26, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
        0x00, 0x00, 0x03, 0x00, 0xc8, 0x7c, 0x50, 0xaa, 0x80,
    ];
    let sps = crate::codec::h264::Sps::parse(FIELDS).unwrap();
    assert_eq!((sps.width, sps.height, sps.frames_only), (704, 576, false));
    let field = |kind| annexb(&[&slice(kind, 40, 8)]);
    let key = [annexb(&[FIELDS, &[0x68, 0xde, 0x0f, 0xc8]]), field('I'), field('P')].concat();
    // Both fields in one packet, then each in its own, the second one with the same time, then
    // without.
    let data = [
        pack(FIRST),
        map(&[99], &[(0x1b, 0xe0)]),
        pes(0xe0, Some(FIRST), &key),
        pack(FIRST + STEP),
        pes(0xe0, Some(FIRST + STEP), &field('P')),
        pes(0xe0, Some(FIRST + STEP), &field('P')),
        pack(FIRST + 2 * STEP),
        pes(0xe0, Some(FIRST + 2 * STEP), &field('P')),
        pes(0xe0, None, &field('P')),
    ]
    .concat();
    let items = run(&data).unwrap();
    let video = video(&items);
    let fields: Vec<_> = video
        .iter()
        .map(|u| annexb::lengths(&u.data).filter(|n| crate::codec::h264::is_picture(n)).count())
        .collect();
    assert_eq!(fields, [2, 2, 2]);
    assert_eq!(video[0].frame, FrameKind::Key);
}

#[test]
fn pictures_may_begin_inside_packets() {
    let nal = |kind, size| annexb(&[&slice(kind, size, 8)]);
    let stream = [annexb(&[SPS, PPS]), nal('I', 500), nal('P', 90), nal('P', 90), nal('P', 300)];
    let starts = [0, stream[0].len() + stream[1].len()];
    let bytes = stream.concat();
    // Packets of 200 bytes; each carries the time of the first picture that begins in it.
    let begins: Vec<usize> = {
        let second = starts[1];
        let third = second + stream[2].len();
        vec![0, second, third, third + stream[3].len()]
    };
    let mut data = [pack(FIRST), map(&[99], &[(0x1b, 0xe0)])].concat();
    for (i, piece) in bytes.chunks(200).enumerate() {
        let range = i * 200..i * 200 + piece.len();
        let first = begins.iter().position(|b| range.contains(b));
        data.extend(pes(0xe0, first.map(|n| FIRST + n as u64 * STEP), piece));
    }
    let items = run(&data).unwrap();
    let times: Vec<_> = video(&items).iter().map(|u| u.media.ticks as u64).collect();
    assert_eq!(times, (0..4).map(|n| FIRST + n * STEP).collect::<Vec<_>>());
    assert_eq!(damage(&items), 0);
}
