//! Payloads of packets to access units, for one elementary stream of either MPEG container.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dvrgate_model::{Codec, CodecParams, FrameKind, MediaTime, TrackKind};

use super::clock90k::RATE_HZ;
use super::{Demuxed, Unit};
use crate::codec::{self, Inspector, aac, annexb};

/// Largest access unit; a key frame of a 4K camera has some hundreds of KiB.
pub const MAX_UNIT_BYTES: usize = 8 << 20;

/// Collects payloads until the access unit is complete.
#[derive(Debug)]
pub(crate) struct Elementary {
    codec: Codec,
    inspector: Inspector,
    announced: bool,
    open: BytesMut,
    /// Byte of the stream at which `open` began.
    at_byte: u64,
    /// Presentation time of `open`.
    pts: Option<i64>,
    /// The start of the next unit is awaited: what comes before it belongs to a lost one.
    lost: bool,
    /// AAC: what `open` begins with belongs to a frame that began in the packet before.
    carried: Option<(usize, i64)>,
}

/// A payload with what its packet said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) pts: Option<i64>,
    /// Clock of the container, for units that have no time of their own.
    pub(crate) clock: Option<i64>,
    pub(crate) data: &'a [u8],
    pub(crate) at_byte: u64,
}

impl Elementary {
    pub(crate) fn new(base: CodecParams) -> Self {
        Self {
            codec: base.codec,
            inspector: Inspector::with_base(base),
            announced: false,
            open: BytesMut::new(),
            at_byte: 0,
            pts: None,
            lost: true,
            carried: None,
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Exchanges what the container says about the stream.
    pub(crate) fn set_base(&mut self, base: CodecParams) {
        if self.inspector.set_base(base) {
            self.announced = false;
        }
    }

    /// Whether this payload begins an access unit.
    pub(crate) fn begins_unit(&self, p: &Payload<'_>) -> bool {
        if self.codec.track_kind() == TrackKind::Audio {
            return p.pts.is_some();
        }
        match (p.pts, self.pts) {
            (Some(_), None) => true,
            (Some(new), Some(old)) if new != old => true,
            // Recorders that repeat the time on every packet of a picture, or leave it out.
            _ => self.follows_picture(p.data) || self.open.is_empty() && self.can_begin(p.data),
        }
    }

    fn can_begin(&self, data: &[u8]) -> bool {
        match self.codec {
            Codec::H264 | Codec::H265 => {
                annexb::leading(data).is_some_and(|n| codec::starts_unit(self.codec, n))
            }
            Codec::Jpeg => data.starts_with(&[0xff, 0xd8]),
            Codec::Mpeg4 => data.starts_with(&[0, 0, 1]),
            _ => true,
        }
    }

    /// Whether the open unit has its picture and the data begins another one.
    fn follows_picture(&self, data: &[u8]) -> bool {
        if self.open.is_empty() || !self.can_begin(data) {
            return false;
        }
        match self.codec {
            Codec::H264 | Codec::H265 => {
                annexb::units(&self.open).any(|n| codec::is_picture(self.codec, n))
            }
            Codec::Mpeg4 => codec::mpeg4::vop_type(&self.open).is_some(),
            _ => true,
        }
    }

    /// Takes a payload. What it completes goes to `out`.
    pub(crate) fn push(&mut self, p: Payload<'_>, begins: bool, out: &mut VecDeque<Demuxed>) {
        if begins {
            self.complete(out);
            if self.open.is_empty() {
                self.at_byte = p.at_byte;
            }
            self.pts = p.pts.or(p.clock);
            self.lost = self.pts.is_none();
        }
        if self.lost {
            return;
        }
        if self.open.len() + p.data.len() > MAX_UNIT_BYTES {
            self.open.extend_from_slice(p.data);
            self.drop_open("access unit too large", out);
            return;
        }
        self.open.extend_from_slice(p.data);
    }

    /// Something of the stream is missing: the open unit gets no more bytes.
    pub(crate) fn interrupt(&mut self, out: &mut VecDeque<Demuxed>) {
        self.complete(out);
        if !self.open.is_empty() {
            self.drop_open("interrupted access unit", out);
        }
        self.carried = None;
        self.lost = true;
    }

    /// No more bytes come.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Demuxed>) {
        self.complete(out);
        if !self.open.is_empty() {
            self.drop_open("no picture in the last access unit", out);
        }
    }

    fn drop_open(&mut self, why: &'static str, out: &mut VecDeque<Demuxed>) {
        let skipped_bytes = self.open.len() as u64;
        self.open.clear();
        self.lost = true;
        self.carried = None;
        out.push_back(Demuxed::Damage { at_byte: self.at_byte, skipped_bytes, why });
    }

    /// Turns the open bytes into units, unless they still lack a picture: then they stay open and
    /// the next unit follows them.
    fn complete(&mut self, out: &mut VecDeque<Demuxed>) {
        let (Some(pts), false) = (self.pts, self.open.is_empty()) else { return };
        match self.codec {
            Codec::H264 | Codec::H265 => {
                let has_picture =
                    annexb::units(&self.open).any(|n| codec::is_picture(self.codec, n));
                if has_picture {
                    let data = annexb::to_lengths(std::mem::take(&mut self.open));
                    self.emit(pts, data, out);
                } else if annexb::leading(&self.open).is_none() {
                    self.drop_open("no start code", out);
                }
            }
            Codec::Aac if aac::Adts::parse(&self.open).is_some() => self.complete_adts(pts, out),
            _ => {
                let data = std::mem::take(&mut self.open).freeze();
                self.emit(pts, data, out);
            }
        }
    }

    /// ADTS frames to units without headers. A frame that is cut by the end of the packet waits
    /// for the next packet.
    fn complete_adts(&mut self, pts: i64, out: &mut VecDeque<Demuxed>) {
        let data = std::mem::take(&mut self.open).freeze();
        let (carried, mut at_pts) = self.carried.take().unwrap_or((0, pts));
        let mut at = 0;
        while let Some(adts) = data.get(at..).and_then(aac::Adts::parse) {
            if at >= carried && at_pts < pts {
                at_pts = pts;
            }
            let Some(frame) = data.get(at + adts.header_bytes..at + adts.frame_bytes) else {
                break;
            };
            self.set_config(&adts);
            let range = at + adts.header_bytes..at + adts.header_bytes + frame.len();
            self.emit(at_pts, data.slice(range), out);
            at += adts.frame_bytes;
            let step = i64::from(RATE_HZ) * i64::from(aac::FRAME_SAMPLES);
            at_pts += step / i64::from(adts.rate_hz);
        }
        if at < data.len() {
            self.open.extend_from_slice(&data[at..]);
            self.carried = Some((self.open.len(), at_pts));
        }
    }

    fn set_config(&mut self, adts: &aac::Adts) {
        let config = adts.config().bytes();
        if self.inspector.params().config != config {
            let mut base = CodecParams::new(Codec::Aac);
            base.config = Bytes::from(config);
            self.set_base(base);
        }
    }

    fn emit(&mut self, pts: i64, data: Bytes, out: &mut VecDeque<Demuxed>) {
        let seen = self.inspector.inspect(&data);
        if seen.changed || !self.announced {
            self.announced = true;
            out.push_back(Demuxed::Params(Arc::clone(self.inspector.params())));
        }
        out.push_back(Demuxed::Unit(Unit {
            kind: self.codec.track_kind(),
            media: MediaTime { ticks: pts, rate_hz: RATE_HZ },
            frame: if self.codec.track_kind() == TrackKind::Audio {
                FrameKind::Audio
            } else {
                seen.kind
            },
            data,
        }));
    }
}
