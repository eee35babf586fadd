//! A container of the tests' own: length, media time, kind, data.

use std::sync::Arc;

use bytes::Bytes;
use dvrgate_media::container::{Anchor, Demuxed, Demuxer, Unit};
use dvrgate_model::{
    Civil, Codec, CodecParams, Convention, FrameKind, MediaTime, Result, TrackKind,
};

use crate::synthetic::params;

#[derive(Debug, Default)]
pub struct Toy {
    buffer: Vec<u8>,
    at: usize,
}

pub fn write(item: &Demuxed) -> Vec<u8> {
    let mut body = Vec::new();
    match item {
        Demuxed::Params(p) => {
            body.push(0);
            body.push(u8::from(p.codec == Codec::Pcmu));
            body.extend(p.width.to_be_bytes());
        }
        Demuxed::Anchor(a) => {
            body.push(1);
            body.extend(a.media.ticks.to_be_bytes());
            body.extend(a.civil.micros_as_if_utc().to_be_bytes());
            body.extend(a.resolution_us.to_be_bytes());
        }
        Demuxed::Unit(u) => {
            body.push(match u.frame {
                FrameKind::Key => 2,
                FrameKind::Predicted => 3,
                _ => 4,
            });
            body.extend(u.media.ticks.to_be_bytes());
            body.extend(&u.data);
        }
        Demuxed::Damage { .. } => {}
    }
    let mut out = (body.len() as u32).to_be_bytes().to_vec();
    out.extend(body);
    out
}

fn int(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(bytes.try_into().unwrap())
}

impl Demuxer for Toy {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.drain(..std::mem::take(&mut self.at));
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn pull(&mut self) -> Option<Demuxed> {
        let rest = &self.buffer[self.at..];
        let len = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let body = rest.get(4..4 + len)?.to_vec();
        self.at += 4 + len;
        let media = |b: &[u8]| MediaTime { ticks: int(&b[1..9]), rate_hz: 90_000 };
        Some(match body[0] {
            0 if body[1] == 1 => Demuxed::Params(params(Codec::Pcmu)),
            0 => {
                let mut p = CodecParams::clone(&params(Codec::H264));
                p.width = u32::from_be_bytes(body[2..6].try_into().unwrap());
                Demuxed::Params(Arc::new(p))
            }
            1 => Demuxed::Anchor(Anchor {
                media: media(&body),
                civil: Civil::from_micros_as_if_utc(int(&body[9..17])),
                convention: Convention::WallClock,
                resolution_us: int(&body[17..25]) as u64,
            }),
            kind => Demuxed::Unit(Unit {
                kind: if kind == 4 { TrackKind::Audio } else { TrackKind::Video },
                media: media(&body),
                frame: [FrameKind::Key, FrameKind::Predicted, FrameKind::Audio]
                    [usize::from(kind) - 2],
                data: Bytes::copy_from_slice(&body[9..]),
            }),
        })
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
