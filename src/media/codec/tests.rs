//! H.265 and whole access units; sets and slice heads are x265's (322x242, 25 fps, B frames).

use dvrgate_model::{Codec, CodecParams, FrameKind};

use super::annexb::{is_whole, join, lengths};
use super::*;

const VPS: &[u8] = &[
    0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03,
    0x00, 0x00, 0x03, 0x00, 0x3c, 0x95, 0x90, 0x09,
];
const SPS: &[u8] = &[
    0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
    0x00, 0x3c, 0xa0, 0x0a, 0x48, 0x0f, 0x9c, 0x92, 0x65, 0x95, 0x92, 0x49, 0x32, 0xbc, 0x05, 0xa0,
    0x20, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0x21,
];
const PPS: &[u8] = &[0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40];
const IDR: &[u8] = &[0x28, 0x01, 0xaf, 0x1d, 0x20, 0xaa, 0xd1, 0x81];
const CRA: &[u8] = &[0x2a, 0x01, 0xac, 0x28, 0x5d, 0x25, 0xc6, 0x08];
const P: &[u8] = &[0x02, 0x01, 0xd0, 0x19, 0x5f, 0x84, 0x31, 0x8e];
const B: &[u8] = &[0x02, 0x01, 0xe0, 0x44, 0x97, 0xe1, 0x84, 0x84];

pub(crate) fn h265_sets() -> (&'static [u8], &'static [u8], &'static [u8]) {
    (VPS, SPS, PPS)
}

#[test]
fn h265_sets_are_read() {
    let sps = h265::Sps::parse(SPS).unwrap();
    assert_eq!((sps.width, sps.height, sps.frame_rate), (322, 242, Some((25, 1))));
    assert_eq!((sps.profile.profile, sps.profile.level, sps.profile.high_tier), (1, 60, false));
    assert!(sps.max_reorder > 0);
    assert_eq!(h265::Vps::parse(VPS).unwrap().id, 0);
    let params = CodecParams {
        parameter_sets: [SPS].map(bytes::Bytes::from_static).as_slice().into(),
        ..CodecParams::new(Codec::H265)
    };
    assert_eq!(rfc6381::codec_string(&params).as_deref(), Some("hvc1.1.6.L60.90"));
}

#[test]
fn h265_truncations_and_flips_never_panic() {
    for set in [VPS, SPS, PPS, IDR, B] {
        for end in 0..set.len() {
            let cut = &set[..end];
            if let Some(sps) = h265::Sps::parse(cut) {
                assert_eq!((sps.width, sps.height), (322, 242));
            }
            let _ = (
                h265::Vps::parse(cut),
                h265::Pps::parse(cut),
                h265::slice_pps(cut),
                h265::set_ids(cut),
            );
        }
        for bit in 0..set.len() * 8 {
            let mut bad = set.to_vec();
            bad[bit / 8] ^= 0x80 >> (bit % 8);
            let mut inspector = Inspector::new(Codec::H265);
            inspector.inspect(&join([VPS, SPS, PPS]));
            inspector.inspect(&join([&bad[..], IDR, B]));
        }
    }
    assert_eq!(h265::Sps::parse(&SPS[..20]), None);
}

#[test]
fn h265_kinds() {
    let mut inspector = Inspector::new(Codec::H265);
    let kind = |i: &mut Inspector, nals: &[&[u8]]| i.inspect(&join(nals.iter().copied())).kind;
    assert_eq!(kind(&mut inspector, &[VPS, SPS, PPS, IDR]), FrameKind::Key);
    assert_eq!(kind(&mut inspector, &[P]), FrameKind::Predicted);
    assert_eq!(kind(&mut inspector, &[B]), FrameKind::Bidirectional);
    assert_eq!(kind(&mut inspector, &[CRA]), FrameKind::Key);
    let params = inspector.params();
    assert_eq!((params.width, params.height), (322, 242));
    assert_eq!(params.parameter_sets.as_slice(), [VPS, SPS, PPS]);
    assert!(h265::starts_unit(B) && h265::starts_unit(VPS) && !h265::starts_unit(&[0x02, 1, 0x10]));
}

#[test]
fn units_are_only_looked_at_and_sets_are_kept() {
    const SPS: &[u8] = h264::tests::SPS_1080;
    const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x00];
    let mut inspector = Inspector::new(Codec::H264);
    let unit = join([SPS, PPS, IDR]);
    let first = inspector.inspect(&unit);
    assert_eq!(first, Inspected { kind: FrameKind::Key, has_content: true, changed: true });
    let again = inspector.inspect(&unit);
    assert!(!again.changed);
    assert_eq!(lengths(&unit).collect::<Vec<_>>(), [SPS, PPS, IDR]);
    assert!(is_whole(&unit));
    // Sets alone are no content.
    assert!(!inspector.inspect(&join([SPS])).has_content);
    // Another level makes other parameters, and the PPS of the old one is gone.
    let mut other = SPS.to_vec();
    other[3] = 0x29;
    assert!(inspector.inspect(&join([&other[..]])).changed);
    assert_eq!(inspector.params().parameter_sets.as_slice(), [&other[..]]);
    // An I picture that is not IDR starts a group only with its sets or as recovery point.
    const I: &[u8] = &[0x41, 0x88, 0x84];
    const RECOVERY: &[u8] = &[0x06, 0x06, 0x01, 0xc4, 0x80];
    let kind = |i: &mut Inspector, nals: &[&[u8]]| i.inspect(&join(nals.iter().copied())).kind;
    assert_eq!(kind(&mut inspector, &[I]), FrameKind::Predicted);
    assert_eq!(kind(&mut inspector, &[SPS, PPS, I]), FrameKind::Key);
    assert_eq!(kind(&mut inspector, &[RECOVERY, I]), FrameKind::Key);
    assert_eq!(kind(&mut inspector, &[&[0x01, 0x9e, 0x62]]), FrameKind::Bidirectional);
}

#[test]
fn what_the_container_says_counts_until_the_stream_says_more() {
    let mut base = CodecParams::new(Codec::H264);
    (base.width, base.height, base.frame_rate) = (704, 576, Some((12, 1)));
    let mut inspector = Inspector::with_base(base);
    assert_eq!(inspector.params().width, 704);
    inspector.inspect(&join([h264::tests::SPS_1080]));
    assert_eq!((inspector.params().width, inspector.params().frame_rate), (1920, Some((25, 1))));
    let alaw = Inspector::new(Codec::Pcma);
    assert_eq!((alaw.params().sample_rate_hz, alaw.params().channels), (8000, 1));
}

#[test]
fn video_is_recognised_by_its_sets() {
    let framed = |nals: &[&[u8]]| annexb::to_start_codes(&join(nals.iter().copied()));
    assert_eq!(sniff_video(&framed(&[VPS, SPS, PPS, IDR])), Some(Codec::H265));
    assert_eq!(sniff_video(&framed(&[h264::tests::SPS_1080])), Some(Codec::H264));
    assert_eq!(sniff_video(&framed(&[P, B])), None);
    assert_eq!(sniff_video(&[]), None);
}
