//! What a container says about one of its streams, and how its packets are framed.

use std::ffi::CStr;

use bytes::{Bytes, BytesMut};
use dvrgate_media::codec::record::Record;
use dvrgate_media::codec::{Inspector, aac, annexb, mpeg4};
use dvrgate_model::{Codec, CodecParams};
use ffmpeg_next::codec::Id;
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{DictionaryRef, ffi};

/// Longest configuration of a stream that is read.
const MAX_EXTRADATA_BYTES: usize = 64 << 10;

/// How the packets of a stream become the bytes of units.
#[derive(Clone, Debug)]
pub(crate) enum Framing {
    /// NAL units behind lengths.
    Lengths(Record),
    /// NAL units behind start codes.
    StartCodes,
    /// AAC, perhaps with ADTS headers.
    Aac,
    /// As it is.
    Whole,
}

/// A stream that can be replayed.
#[derive(Clone, Debug)]
pub(crate) struct Supported {
    pub(crate) params: CodecParams,
    pub(crate) framing: Framing,
}

/// Reads what the container says. `None` for an encoding that cannot be replayed.
pub(crate) fn supported(stream: &Stream<'_>) -> Option<Supported> {
    let parameters = stream.parameters();
    let codec = match parameters.id() {
        Id::H264 => Codec::H264,
        Id::HEVC => Codec::H265,
        Id::MPEG4 => Codec::Mpeg4,
        Id::MJPEG => Codec::Jpeg,
        Id::PCM_ALAW => Codec::Pcma,
        Id::PCM_MULAW => Codec::Pcmu,
        Id::AAC => Codec::Aac,
        _ => return None,
    };
    let raw = Raw::read(&parameters);
    let mut params = CodecParams::new(codec);
    (params.width, params.height) = (raw.width, raw.height);
    (params.sample_rate_hz, params.channels) = (raw.sample_rate_hz, raw.channels);
    let rate = stream.avg_frame_rate();
    if let (Ok(num @ 1..), Ok(den @ 1..)) =
        (u32::try_from(rate.numerator()), u32::try_from(rate.denominator()))
    {
        params.frame_rate = Some((num, den));
    }
    let framing = match codec {
        Codec::H264 | Codec::H265 => {
            let record = match codec {
                Codec::H264 => Record::parse_avc(&raw.extradata),
                _ => Record::parse_hevc(&raw.extradata),
            };
            match record {
                Some(record) => {
                    params.parameter_sets = record.parameter_sets.clone().into();
                    Framing::Lengths(record)
                }
                None => {
                    let sets = annexb::units(&raw.extradata).map(Bytes::copy_from_slice);
                    params.parameter_sets = sets.collect();
                    Framing::StartCodes
                }
            }
        }
        Codec::Aac => {
            if aac::Config::parse(&raw.extradata).is_some() {
                params.config = Bytes::from(raw.extradata);
            }
            Framing::Aac
        }
        Codec::Mpeg4 => {
            let config = mpeg4::config(&raw.extradata).unwrap_or_default();
            params.config = Bytes::copy_from_slice(config);
            Framing::Whole
        }
        _ => Framing::Whole,
    };
    // The inspector reads the parameter sets: size and rate are theirs, and what is no set goes.
    let params = CodecParams::clone(Inspector::with_base(params).params());
    Some(Supported { params, framing })
}

impl Supported {
    /// A packet to the bytes of a unit, with the params where the packet tells other ones.
    /// `None` where it is not framed as its stream says.
    pub(crate) fn unit(&mut self, packet: &[u8]) -> Option<Bytes> {
        match &self.framing {
            Framing::Lengths(record) => record.widen(packet).or_else(|| {
                // Seen in files cut from streams: start codes although the header says lengths.
                annexb::leading(packet)?;
                Some(annexb::to_lengths(BytesMut::from(packet)))
            }),
            Framing::StartCodes => {
                let data = annexb::to_lengths(BytesMut::from(packet));
                (!data.is_empty()).then_some(data)
            }
            Framing::Aac => Some(match aac::Adts::parse(packet) {
                Some(adts) if adts.frame_bytes == packet.len() => {
                    self.params.config = Bytes::from(adts.config().bytes());
                    Bytes::copy_from_slice(&packet[adts.header_bytes..])
                }
                _ => Bytes::copy_from_slice(packet),
            }),
            Framing::Whole => Some(Bytes::copy_from_slice(packet)),
        }
    }
}

/// The value of a tag. (The binding takes tags for valid UTF-8 without looking.)
pub(crate) fn tag(tags: &DictionaryRef<'_>, name: &CStr) -> Option<String> {
    // SAFETY: `tags` borrows the dictionary, `name` ends in NUL, and the entry that is found lives
    // as long as the dictionary does; its value is a C string, copied before the borrow ends.
    let value = unsafe {
        let entry = ffi::av_dict_get(tags.as_ptr(), name.as_ptr(), std::ptr::null(), 0);
        CStr::from_ptr(entry.as_ref()?.value)
    };
    Some(value.to_string_lossy().into_owned())
}

/// Fields of `AVCodecParameters` that the binding does not give.
struct Raw {
    width: u32,
    height: u32,
    sample_rate_hz: u32,
    channels: u16,
    extradata: Vec<u8>,
}

impl Raw {
    fn read(parameters: &ffmpeg_next::codec::Parameters) -> Self {
        // SAFETY: `parameters` keeps the structure alive while it is borrowed here. `extradata` is
        // null or points to `extradata_size` bytes by the contract of libavcodec, and is copied
        // before the borrow ends.
        let (raw, extradata) = unsafe {
            let raw = &*parameters.as_ptr();
            let size = usize::try_from(raw.extradata_size).unwrap_or(0);
            let extradata = if raw.extradata.is_null() || size > MAX_EXTRADATA_BYTES {
                Vec::new()
            } else {
                std::slice::from_raw_parts(raw.extradata, size).to_vec()
            };
            (raw, extradata)
        };
        Self {
            width: u32::try_from(raw.width).unwrap_or(0),
            height: u32::try_from(raw.height).unwrap_or(0),
            sample_rate_hz: u32::try_from(raw.sample_rate).unwrap_or(0),
            channels: u16::try_from(raw.ch_layout.nb_channels).unwrap_or(0),
            extradata,
        }
    }
}
