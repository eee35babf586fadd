//! Program and transport streams, and what is inside.

use dvrgate_media::codec::{
    Inspector, aac, annexb, h264, h265, jpeg, mpeg4, record, rfc6381, sniff_video,
};
use dvrgate_media::container::ps::PsDemuxer;
use dvrgate_media::container::ts::TsDemuxer;
use dvrgate_media::container::{Demuxed, Demuxer};
use dvrgate_model::Codec;

/// A standard MPEG program stream.
pub fn ps(data: &[u8]) {
    demuxed(data, || Box::new(PsDemuxer::default()));
}

/// An MPEG transport stream.
pub fn ts(data: &[u8]) {
    demuxed(data, || Box::new(TsDemuxer::new()));
}

/// What comes out does not depend on the pieces in which the bytes came.
pub(crate) fn demuxed(data: &[u8], new: impl Fn() -> Box<dyn Demuxer>) {
    let whole = demux(data, data.len().max(1), &mut *new());
    for size in super::piece_sizes(data) {
        let pieces = demux(data, size, &mut *new());
        assert_eq!(pieces, whole, "pieces of {size}");
    }
}

fn demux(data: &[u8], piece: usize, demuxer: &mut dyn Demuxer) -> Vec<String> {
    let mut out = Vec::new();
    for piece in data.chunks(piece) {
        let pushed = demuxer.push(piece);
        take(demuxer, &mut out);
        if let Err(error) = pushed {
            out.push(error.to_string());
            return out;
        }
    }
    let finished = demuxer.finish();
    take(demuxer, &mut out);
    out.extend(finished.err().map(|e| e.to_string()));
    out
}

fn take(demuxer: &mut dyn Demuxer, out: &mut Vec<String>) {
    while let Some(item) = demuxer.pull() {
        if let Demuxed::Params(params) = &item {
            let _ = rfc6381::codec_string(params);
        }
        out.push(format!("{item:?}"));
    }
}

/// A byte that chooses the encoding, then access units behind start codes; and the same bytes as
/// one parameter set, header or configuration of every kind.
pub fn codec(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let codec = match choice % 5 {
        0 => Codec::H264,
        1 => Codec::H265,
        2 => Codec::Mpeg4,
        3 => Codec::Jpeg,
        _ => Codec::Aac,
    };
    let mut inspector = Inspector::new(codec);
    let joined = annexb::join(annexb::units(data));
    assert!(annexb::is_whole(&joined));
    assert_eq!(annexb::to_lengths(data.into()), joined, "in place or not");
    let back = annexb::to_start_codes(&joined);
    assert_eq!(annexb::join(annexb::units(&back)), joined, "lengths to start codes and back");
    inspector.inspect(&joined);
    inspector.inspect(data);
    let _ = rfc6381::codec_string(inspector.params());
    let _ = (sniff_video(data), annexb::leading(data), annexb::is_whole(data));

    let sps = h264::Sps::parse(data);
    let _ = (h264::SliceHead::parse(data), h264::pps_ids(data), h264::is_recovery_point(data));
    let _ = (h264::starts_unit(data), h265::starts_unit(data), h265::Vps::parse(data));
    if let Some(sps) = sps {
        assert!(sps.width > 0 && sps.height > 0);
    }
    let sets: Vec<_> = annexb::units(data).collect();
    let sps = sets.iter().find_map(|n| h265::Sps::parse(n));
    let pps = sets.iter().find_map(|n| h265::Pps::parse(n));
    if let Some((sps, pps)) = sps.zip(pps) {
        for nal in &sets {
            let _ = (h265::slice_pps(nal), h265::slice_type(nal, &pps, &sps), h265::set_ids(nal));
        }
    }
    if let Some(adts) = aac::Adts::parse(data) {
        let config = adts.config();
        assert!(adts.rate_hz > 0 && adts.frame_bytes >= adts.header_bytes);
        assert_eq!(aac::Config::parse(&config.bytes()).map(|c| c.bytes()), Some(config.bytes()));
    }
    if let Some(config) = aac::Config::parse(data) {
        let again = aac::Config::parse(&config.bytes());
        assert_eq!(again.map(|c| c.bytes()), Some(config.bytes()));
    }
    let _ = (jpeg::size(data), mpeg4::Vol::parse(data), mpeg4::vop_type(data), mpeg4::config(data));
    for record in [record::Record::parse_avc(data), record::Record::parse_hevc(data)] {
        if let Some(sample) = record.and_then(|r| r.widen(data)) {
            assert!(annexb::is_whole(&sample));
        }
    }
}
