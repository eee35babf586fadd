//! What differs from vendor to vendor in a program stream, as a trait that their crates implement.

use dvrgate_model::{Civil, Codec, CodecParams, Convention, Result};

/// A descriptor of a program stream map: ISO/IEC 13818-1 2.6.1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descriptor {
    /// `descriptor_tag`; 0x40 and up are private.
    pub tag: u8,
    /// What follows tag and length.
    pub data: Vec<u8>,
}

/// One elementary stream of a program stream map.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProgramStream {
    /// `stream_type`: ISO/IEC 13818-1 table 2-34, 0x80 and up are private.
    pub stream_type: u8,
    /// `elementary_stream_id`: 0xE0 to 0xEF video, 0xC0 to 0xDF audio.
    pub stream_id: u8,
    /// Its descriptors.
    pub descriptors: Vec<Descriptor>,
}

/// A program stream map: ISO/IEC 13818-1 2.5.4.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProgramMap {
    /// Of the whole program.
    pub descriptors: Vec<Descriptor>,
    /// In the order of the map.
    pub streams: Vec<ProgramStream>,
}

/// A reading of the recorder's clock. It belongs to the next picture that has a time stamp and
/// becomes an [`crate::container::Anchor`] in front of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// What the clock showed.
    pub civil: Civil,
    /// How it is to be read.
    pub convention: Convention,
    /// Its smallest step.
    pub resolution_us: u64,
}

/// A vendor's deviations. Every method has the standard's behaviour as its default; an error from
/// any of them ends the demuxing (encrypted footage, a container that is not the expected one).
pub trait PsPolicy: Send {
    /// Takes what stands before the first pack or packet; called once, with an empty slice where
    /// there is nothing.
    fn envelope(&mut self, bytes: &[u8]) -> Result<()> {
        let _ = bytes;
        Ok(())
    }

    /// How many bytes may stand before the first pack.
    fn max_envelope_bytes(&self) -> usize {
        super::MAX_ENVELOPE_BYTES
    }

    /// The encoding behind a `stream_type` of the map; `None` leaves that stream out.
    fn codec(&self, stream_type: u8, stream_id: u8) -> Option<Codec> {
        let _ = stream_id;
        super::standard_codec(stream_type)
    }

    /// The encoding of a stream that no map has described so far, for instance from the envelope.
    /// `None` leaves it to the demuxer, which recognises H.264 and H.265 by their parameter sets
    /// and leaves sound out.
    fn unmapped_codec(&self, stream_id: u8) -> Option<Codec> {
        let _ = stream_id;
        None
    }

    /// Adds what the vendor's descriptors say to what is known before any access unit: frame rate,
    /// sample rate, channels. Parameter sets win over size and rate given here.
    /// `stream` is `None` for a stream without map.
    fn refine(&self, stream: Option<&ProgramStream>, params: &mut CodecParams) {
        let _ = (stream, params);
    }

    /// Sees every map, also repeated ones. Gives the reading that stands in its descriptors.
    fn program_map(&mut self, map: &ProgramMap) -> Result<Option<Reading>> {
        let _ = map;
        Ok(None)
    }

    /// Sees the payload of private packets (`stream_id` 0xBD and 0xBF), which are never passed on.
    fn private(&mut self, stream_id: u8, payload: &[u8]) -> Result<Option<Reading>> {
        let _ = (stream_id, payload);
        Ok(None)
    }
}

/// No deviations.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardPolicy;

impl PsPolicy for StandardPolicy {}
