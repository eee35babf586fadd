//! Decoding to brightness only: for checks that look at pictures, and for thumbnails.

use dvrgate_media::codec::annexb;
use dvrgate_media::container::Unit;
use dvrgate_model::{Codec, CodecParams, Error, ErrorKind, MediaTime, Result};
use ffmpeg_next::codec::{self, Id};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Dictionary, Packet, decoder, frame};

/// Largest picture that is decoded: 16 384 by 16 384.
const MAX_PIXELS: &str = "268435456";

/// A picture in shades of gray, row by row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrayFrame {
    /// Of the unit that it was decoded from.
    pub media: MediaTime,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// `width` times `height` bytes; 16 is black and 235 white in most footage.
    pub luma: Vec<u8>,
}

/// Decodes all units of a track. The first one should be clean.
pub fn decode_gray<'a>(
    params: &CodecParams,
    units: impl IntoIterator<Item = &'a Unit>,
) -> Result<Vec<GrayFrame>> {
    let mut decoder = GrayDecoder::new(params)?;
    let mut out = Vec::new();
    for unit in units {
        out.extend(decoder.push(unit)?);
    }
    out.extend(decoder.finish()?);
    Ok(out)
}

/// Decodes units as they come.
pub struct GrayDecoder {
    decoder: decoder::Video,
    codec: Codec,
    /// Parameter sets or headers for the first unit.
    head: Option<Vec<u8>>,
    rate_hz: u32,
    scaler: Option<scaling::Context>,
}

impl std::fmt::Debug for GrayDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrayDecoder").field("codec", &self.codec).finish_non_exhaustive()
    }
}

impl GrayDecoder {
    /// A decoder for video of these params.
    pub fn new(params: &CodecParams) -> Result<Self> {
        crate::prepare();
        let id = match params.codec {
            Codec::H264 => Id::H264,
            Codec::H265 => Id::HEVC,
            Codec::Mpeg4 => Id::MPEG4,
            Codec::Jpeg => Id::MJPEG,
            other => {
                return Err(Error::invalid(format!("{} has no pictures", other.name())));
            }
        };
        let found = decoder::find(id).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("no decoder for {}", params.codec.name()))
        })?;
        let options: Dictionary<'_> = [("max_pixels", MAX_PIXELS)].into_iter().collect();
        let decoder = codec::Context::new_with_codec(found)
            .decoder()
            .open_as_with(found, options)
            .and_then(|d| d.video())
            .map_err(|e| crate::error(e, "the decoder does not open"))?;
        let head = match params.codec {
            Codec::H264 | Codec::H265 => {
                annexb::to_start_codes(&annexb::join(params.parameter_sets.iter().map(|s| &s[..])))
            }
            _ => params.config.to_vec(),
        };
        Ok(Self { decoder, codec: params.codec, head: Some(head), rate_hz: 0, scaler: None })
    }

    /// Takes a unit; gives the pictures that are ready, in the order of showing. A unit that does
    /// not decode gives none.
    pub fn push(&mut self, unit: &Unit) -> Result<Vec<GrayFrame>> {
        let mut data = self.head.take().unwrap_or_default();
        match self.codec {
            Codec::H264 | Codec::H265 => data.extend(annexb::to_start_codes(&unit.data)),
            _ => data.extend_from_slice(&unit.data),
        }
        self.rate_hz = unit.media.rate_hz;
        let mut packet = Packet::copy(&data);
        packet.set_pts(Some(unit.media.ticks));
        match self.decoder.send_packet(&packet) {
            Ok(()) | Err(ffmpeg_next::Error::InvalidData) => self.receive(),
            Err(e) => Err(crate::error(e, "decoding failed")),
        }
    }

    /// Gives the pictures that were still held back.
    pub fn finish(mut self) -> Result<Vec<GrayFrame>> {
        self.decoder.send_eof().map_err(|e| crate::error(e, "decoding failed"))?;
        self.receive()
    }

    fn receive(&mut self) -> Result<Vec<GrayFrame>> {
        let mut out = Vec::new();
        let mut picture = frame::Video::empty();
        while self.decoder.receive_frame(&mut picture).is_ok() {
            let ticks = picture.timestamp().or(picture.pts()).unwrap_or(0);
            let media = MediaTime { ticks, rate_hz: self.rate_hz };
            let (width, height) = (picture.width(), picture.height());
            let luma = if has_luma_plane(picture.format()) {
                rows(&picture)
            } else {
                rows(&self.convert(&picture)?)
            };
            out.push(GrayFrame { media, width, height, luma });
        }
        Ok(out)
    }

    fn convert(&mut self, picture: &frame::Video) -> Result<frame::Video> {
        let (format, width, height) = (picture.format(), picture.width(), picture.height());
        let usable = self.scaler.take().filter(|s| {
            let i = s.input();
            (i.format, i.width, i.height) == (format, width, height)
        });
        let mut scaler = match usable {
            Some(scaler) => scaler,
            None => {
                let flags = scaling::Flags::POINT;
                scaling::Context::get(format, width, height, Pixel::GRAY8, width, height, flags)
                    .map_err(|e| crate::error(e, "this pixel format cannot be converted"))?
            }
        };
        let mut gray = frame::Video::empty();
        scaler.run(picture, &mut gray).map_err(|e| crate::error(e, "conversion failed"))?;
        self.scaler = Some(scaler);
        Ok(gray)
    }
}

/// Whether the first plane is brightness, one byte a pixel.
fn has_luma_plane(format: Pixel) -> bool {
    matches!(
        format,
        Pixel::YUV420P
            | Pixel::YUV422P
            | Pixel::YUV444P
            | Pixel::YUVJ420P
            | Pixel::YUVJ422P
            | Pixel::YUVJ444P
            | Pixel::NV12
            | Pixel::GRAY8
    )
}

/// The first plane without the padding of its rows.
fn rows(picture: &frame::Video) -> Vec<u8> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let stride = picture.stride(0).max(1);
    picture
        .data(0)
        .chunks(stride)
        .take(height)
        .flat_map(|row| row.iter().take(width))
        .copied()
        .collect()
}
