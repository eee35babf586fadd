//! What a track is encoded with: plain data, no parsing (that is `dvrgate-media`).

use bytes::Bytes;
use smallvec::SmallVec;

/// The kinds of track the storage model knows (ONVIF Recording Control 4.1: one encoding a track).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TrackKind {
    /// Moving pictures.
    Video,
    /// Sound.
    Audio,
    /// ONVIF metadata (XML).
    Metadata,
}

/// Encodings that can be replayed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Codec {
    /// ISO/IEC 14496-10; RFC 6184.
    H264,
    /// ISO/IEC 23008-2; RFC 7798.
    H265,
    /// ISO/IEC 14496-2 (MPEG-4 Part 2); RFC 6416.
    Mpeg4,
    /// Baseline JPEG; RFC 2435.
    Jpeg,
    /// ITU-T G.711 µ-law.
    Pcmu,
    /// ITU-T G.711 A-law.
    Pcma,
    /// ITU-T G.726; the bit rate in kbit/s is 16, 24, 32 or 40.
    G726 {
        /// 16, 24, 32 or 40.
        kbit: u8,
    },
    /// ISO/IEC 14496-3 AAC; RFC 3640.
    Aac,
    /// `vnd.onvif.metadata`.
    Metadata,
}

impl Codec {
    /// The kind of track that carries this encoding.
    pub fn track_kind(self) -> TrackKind {
        match self {
            Codec::H264 | Codec::H265 | Codec::Mpeg4 | Codec::Jpeg => TrackKind::Video,
            Codec::Pcmu | Codec::Pcma | Codec::G726 { .. } | Codec::Aac => TrackKind::Audio,
            Codec::Metadata => TrackKind::Metadata,
        }
    }

    /// Name as the index and the logs write it, for instance `H264`, `PCMU`, `G726-32`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::H264 => "H264",
            Codec::H265 => "H265",
            Codec::Mpeg4 => "MPEG4",
            Codec::Jpeg => "JPEG",
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G726 { kbit: 16 } => "G726-16",
            Codec::G726 { kbit: 24 } => "G726-24",
            Codec::G726 { kbit: 40 } => "G726-40",
            Codec::G726 { .. } => "G726-32",
            Codec::Aac => "AAC",
            Codec::Metadata => "METADATA",
        }
    }

    /// The reverse of [`Codec::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "H264" => Codec::H264,
            "H265" => Codec::H265,
            "MPEG4" => Codec::Mpeg4,
            "JPEG" => Codec::Jpeg,
            "PCMU" => Codec::Pcmu,
            "PCMA" => Codec::Pcma,
            "G726-16" => Codec::G726 { kbit: 16 },
            "G726-24" => Codec::G726 { kbit: 24 },
            "G726-32" => Codec::G726 { kbit: 32 },
            "G726-40" => Codec::G726 { kbit: 40 },
            "AAC" => Codec::Aac,
            "METADATA" => Codec::Metadata,
            _ => return None,
        })
    }
}

/// What a decoder must be told before the first unit. A change of resolution or parameter sets
/// makes new params on the same track; a change of codec makes a new track.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CodecParams {
    /// The encoding.
    pub codec: Codec,
    /// Picture size in pixels after cropping; 0 where it does not apply or is not known.
    pub width: u32,
    /// See `width`.
    pub height: u32,
    /// Frames per second as numerator and denominator, if known.
    pub frame_rate: Option<(u32, u32)>,
    /// Samples per second; 0 for pictures.
    pub sample_rate_hz: u32,
    /// Sound channels; 0 for pictures.
    pub channels: u16,
    /// H.264: SPS then PPS; H.265: VPS, SPS, PPS; each one NAL unit without start code or length.
    pub parameter_sets: SmallVec<[Bytes; 3]>,
    /// Anything else: AudioSpecificConfig for AAC, the VOL header for MPEG-4 Part 2; else empty.
    pub config: Bytes,
}

impl CodecParams {
    /// Params of `codec` with nothing known yet.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            width: 0,
            height: 0,
            frame_rate: None,
            sample_rate_hz: 0,
            channels: 0,
            parameter_sets: SmallVec::new(),
            config: Bytes::new(),
        }
    }

    /// RTP clock rate: 90 kHz for video and metadata, the sample rate for sound
    /// (8 kHz where unknown; RFC 3551).
    pub fn clock_rate_hz(&self) -> u32 {
        match self.codec.track_kind() {
            TrackKind::Video | TrackKind::Metadata => 90_000,
            TrackKind::Audio if self.sample_rate_hz > 0 => self.sample_rate_hz,
            TrackKind::Audio => 8_000,
        }
    }
}

/// What one access unit is to a decoder.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FrameKind {
    /// Decodable on its own; starts a GOP (IDR or other clean random access point).
    Key,
    /// Refers backwards only.
    Predicted,
    /// Refers forwards too, so decode order differs from capture order.
    Bidirectional,
    /// Sound: always decodable.
    Audio,
    /// A metadata document: always decodable.
    Metadata,
}

impl FrameKind {
    /// Whether a decoder may start here (the C mark of ONVIF Streaming 6.3).
    pub fn is_clean(self) -> bool {
        !matches!(self, FrameKind::Predicted | FrameKind::Bidirectional)
    }
}
