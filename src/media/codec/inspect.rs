//! Looks at access units one after the other: what each is to a decoder, and what is known of the
//! stream so far. Units are never changed.

use std::sync::Arc;

use bytes::Bytes;
use dvrgate_model::{Codec, CodecParams, FrameKind, TrackKind};

use super::h264::SliceType;
use super::sets::{self, SetMap};
use super::{aac, annexb, g711, h264, h265, jpeg, mpeg4};

/// What an access unit is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inspected {
    /// To a decoder.
    pub kind: FrameKind,
    /// It carries a picture, sound or a document; without, it has parameter sets or the like only.
    pub has_content: bool,
    /// [`Inspector::params`] changed.
    pub changed: bool,
}

/// Keeps the parameters of one elementary stream while its access units pass.
#[derive(Clone, Debug)]
pub struct Inspector {
    base: CodecParams,
    params: Arc<CodecParams>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    H264 {
        sps: SetMap<h264::Sps>,
        pps: SetMap<u8>,
        active: Option<u8>,
    },
    H265 {
        vps: SetMap<Option<(u32, u32)>>,
        sps: SetMap<h265::Sps>,
        pps: SetMap<h265::Pps>,
        active: Option<u8>,
    },
    Mpeg4 {
        config: Bytes,
    },
    Jpeg {
        size: (u32, u32),
    },
    Other,
}

/// Longest configuration of an MPEG-4 Part 2 stream that is kept.
const MAX_CONFIG_BYTES: usize = 1024;

impl Inspector {
    /// Knows nothing but the encoding.
    pub fn new(codec: Codec) -> Self {
        let base = match codec {
            Codec::Pcmu | Codec::Pcma | Codec::G726 { .. } => g711::params(codec),
            _ => CodecParams::new(codec),
        };
        Self::with_base(base)
    }

    /// Knows what a container says. Parameter sets among it count as seen; those of the stream win.
    pub fn with_base(mut base: CodecParams) -> Self {
        let given = std::mem::take(&mut base.parameter_sets);
        let state = match base.codec {
            Codec::H264 => State::H264 { sps: SetMap::new(), pps: SetMap::new(), active: None },
            Codec::H265 => State::H265 {
                vps: SetMap::new(),
                sps: SetMap::new(),
                pps: SetMap::new(),
                active: None,
            },
            Codec::Mpeg4 => State::Mpeg4 { config: std::mem::take(&mut base.config) },
            Codec::Jpeg => State::Jpeg { size: (base.width, base.height) },
            _ => State::Other,
        };
        let mut inspector = Self { params: Arc::new(base.clone()), base, state };
        for nal in &given {
            inspector.state.take_set(nal);
        }
        inspector.rebuild();
        inspector
    }

    /// Exchanges what the container says; says whether the parameters changed.
    pub fn set_base(&mut self, base: CodecParams) -> bool {
        debug_assert_eq!(base.codec, self.base.codec);
        self.base = base;
        self.rebuild()
    }

    /// What is known of the stream.
    pub fn params(&self) -> &Arc<CodecParams> {
        &self.params
    }

    /// Looks at an access unit, framed as in [`dvrgate_model::Frame`].
    pub fn inspect(&mut self, unit: &[u8]) -> Inspected {
        let (kind, has_content) = match self.base.codec.track_kind() {
            TrackKind::Audio => (FrameKind::Audio, !unit.is_empty()),
            TrackKind::Metadata => (FrameKind::Metadata, !unit.is_empty()),
            TrackKind::Video => self.state.look(unit),
        };
        Inspected { kind, has_content, changed: self.rebuild() }
    }

    fn rebuild(&mut self) -> bool {
        let mut params = self.base.clone();
        self.state.describe(&mut params);
        let changed = params != *self.params;
        if changed {
            self.params = Arc::new(params);
        }
        changed
    }
}

impl State {
    /// Keeps the NAL unit if it is a parameter set.
    fn take_set(&mut self, nal: &[u8]) {
        match self {
            State::H264 { sps, pps, .. } => match h264::nal_type(nal) {
                h264::nal::SPS => {
                    if let Some(parsed) = h264::Sps::parse(nal) {
                        let id = parsed.id;
                        if sets::put(sps, id, nal, parsed) {
                            // Sets that build on a replaced one are not valid any more; those that
                            // are come again behind it.
                            pps.retain(|_, e| e.parsed != id);
                        }
                    }
                }
                h264::nal::PPS => {
                    if let Some((id, of)) = h264::pps_ids(nal) {
                        sets::put(pps, id, nal, of);
                    }
                }
                _ => {}
            },
            State::H265 { vps, sps, pps, .. } => match h265::nal_type(nal) {
                h265::nal::VPS => {
                    if let Some((id, _)) = h265::set_ids(nal) {
                        let rate = h265::Vps::parse(nal).and_then(|v| v.frame_rate);
                        sets::put(vps, id, nal, rate);
                    }
                }
                h265::nal::SPS => {
                    if let Some(parsed) = h265::Sps::parse(nal) {
                        let id = parsed.id;
                        if sets::put(sps, id, nal, parsed) {
                            pps.retain(|_, e| e.parsed.sps != id);
                        }
                    }
                }
                h265::nal::PPS => {
                    if let Some(parsed) = h265::Pps::parse(nal) {
                        sets::put(pps, parsed.id, nal, parsed);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Kind of a video unit and whether it has a picture.
    fn look(&mut self, unit: &[u8]) -> (FrameKind, bool) {
        match self {
            State::H264 { .. } => self.look_h264(unit),
            State::H265 { .. } => self.look_h265(unit),
            State::Mpeg4 { config } => {
                if let Some(found) = mpeg4::config(unit)
                    && found.len() <= MAX_CONFIG_BYTES
                    && config != found
                {
                    *config = Bytes::copy_from_slice(found);
                }
                let low_delay = mpeg4::Vol::parse(config).is_some_and(|v| v.low_delay);
                match mpeg4::vop_type(unit) {
                    Some(mpeg4::VopType::I) => (FrameKind::Key, true),
                    Some(mpeg4::VopType::B) if !low_delay => (FrameKind::Bidirectional, true),
                    Some(_) => (FrameKind::Predicted, true),
                    None => (FrameKind::Predicted, false),
                }
            }
            State::Jpeg { size } => {
                if let Some(found) = jpeg::size(unit) {
                    *size = found;
                }
                (FrameKind::Key, !unit.is_empty())
            }
            State::Other => (FrameKind::Predicted, !unit.is_empty()),
        }
    }

    fn look_h264(&mut self, unit: &[u8]) -> (FrameKind, bool) {
        let (mut seen, mut idr, mut intra_only, mut bipredicted) = (false, false, true, false);
        let (mut has_sps, mut recovery) = (false, false);
        for nal in annexb::lengths(unit) {
            match h264::nal_type(nal) {
                h264::nal::SPS | h264::nal::PPS => {
                    has_sps |= h264::nal_type(nal) == h264::nal::SPS;
                    self.take_set(nal);
                }
                h264::nal::SEI => recovery |= h264::is_recovery_point(nal),
                _ if !h264::is_picture(nal) => {}
                kind => {
                    seen = true;
                    idr |= kind == h264::nal::IDR;
                    let Some(head) = h264::SliceHead::parse(nal) else { continue };
                    intra_only &= head.slice_type == SliceType::I;
                    bipredicted |= head.slice_type == SliceType::B;
                    if let State::H264 { pps, active, .. } = self
                        && let Some(entry) = pps.get(&head.pps)
                    {
                        *active = Some(entry.parsed);
                    }
                }
            }
        }
        let State::H264 { sps, active, .. } = self else { return (FrameKind::Predicted, seen) };
        let reorders = active_set(sps, *active).and_then(|s| s.max_reorder) != Some(0);
        // Besides IDR, recorders start groups at I pictures with their parameter sets repeated, and
        // encoders with open groups mark theirs as recovery points.
        let kind = if seen && (idr || intra_only && (recovery || has_sps)) {
            FrameKind::Key
        } else if bipredicted && reorders {
            FrameKind::Bidirectional
        } else {
            FrameKind::Predicted
        };
        (kind, seen)
    }

    fn look_h265(&mut self, unit: &[u8]) -> (FrameKind, bool) {
        let (mut seen, mut irap, mut bipredicted) = (false, false, false);
        for nal in annexb::lengths(unit) {
            if !h265::is_picture(nal) {
                self.take_set(nal);
                continue;
            }
            seen = true;
            irap |= h265::is_irap(nal);
            let State::H265 { sps, pps, active, .. } = self else { continue };
            let Some(pps) = h265::slice_pps(nal).and_then(|id| pps.get(&id)) else { continue };
            *active = Some(pps.parsed.sps);
            if let Some(sps) = sps.get(&pps.parsed.sps) {
                let kind = h265::slice_type(nal, &pps.parsed, &sps.parsed);
                bipredicted |= kind == Some(SliceType::B) && sps.parsed.max_reorder > 0;
            }
        }
        let kind = match (irap, bipredicted) {
            (true, _) => FrameKind::Key,
            (_, true) => FrameKind::Bidirectional,
            _ => FrameKind::Predicted,
        };
        (kind, seen)
    }

    /// Adds what is known.
    fn describe(&self, params: &mut CodecParams) {
        match self {
            State::H264 { sps, pps, active } => {
                if let Some(sps) = active_set(sps, *active) {
                    (params.width, params.height) = (sps.width, sps.height);
                    params.frame_rate = sps.frame_rate.or(params.frame_rate);
                }
                sets::bytes_of(sps, &mut params.parameter_sets);
                sets::bytes_of(pps, &mut params.parameter_sets);
            }
            State::H265 { vps, sps, pps, active } => {
                if let Some(sps) = active_set(sps, *active) {
                    (params.width, params.height) = (sps.width, sps.height);
                    let of_vps = vps.get(&sps.vps).and_then(|v| v.parsed);
                    params.frame_rate = sps.frame_rate.or(of_vps).or(params.frame_rate);
                }
                sets::bytes_of(vps, &mut params.parameter_sets);
                sets::bytes_of(sps, &mut params.parameter_sets);
                sets::bytes_of(pps, &mut params.parameter_sets);
            }
            State::Mpeg4 { config } => {
                if let Some(vol) = mpeg4::Vol::parse(config) {
                    (params.width, params.height) = (vol.width, vol.height);
                    params.frame_rate = vol.frame_rate.or(params.frame_rate);
                }
                params.config = config.clone();
            }
            State::Jpeg { size } => (params.width, params.height) = *size,
            State::Other => {
                if params.codec == Codec::Aac
                    && let Some(config) = aac::Config::parse(&params.config)
                {
                    params.sample_rate_hz = config.rate_hz;
                    params.channels = config.channels.max(params.channels);
                }
            }
        }
    }
}

fn active_set<T>(map: &SetMap<T>, active: Option<u8>) -> Option<&T> {
    let entry = active.and_then(|id| map.get(&id)).or_else(|| map.values().next())?;
    Some(&entry.parsed)
}
