//! Names of things. Tokens are derived from device, channel and stream, so an index that is
//! rebuilt from nothing has the same tokens (ONVIF Recording Control 4.1: tokens are persistent).

use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    };
}

text_id! {
    /// A recorder, as the configuration names it (`[[device]] id`): letters, digits, `_`, at most 24.
    DeviceId
}
text_id! {
    /// A recorder family, as the configuration names it: `hikvision`, `folder`, …
    Vendor
}
text_id! {
    /// ONVIF RecordingToken (at most 64 characters).
    RecordingToken
}
text_id! {
    /// ONVIF TrackToken. Unique in the whole gateway, not only in its recording.
    TrackToken
}

/// A channel of a recorder in the gateway's numbering: the number that the recorder's own index
/// uses for it (1-based; holes are possible).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelId(pub u32);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which stream of a channel was recorded.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum StreamKind {
    /// Full quality; what recorders keep unless told otherwise.
    #[default]
    Main,
    /// Reduced quality.
    Sub,
}

impl RecordingToken {
    /// `yard-3` for the main stream of channel 3 of `yard`, `yard-3-sub` for its sub stream.
    pub fn derive(device: &DeviceId, channel: ChannelId, stream: StreamKind) -> Self {
        match stream {
            StreamKind::Main => Self::new(format!("{device}-{channel}")),
            StreamKind::Sub => Self::new(format!("{device}-{channel}-sub")),
        }
    }
}

impl TrackToken {
    /// `yard-3-video`; `yard-3-video-2` for the second encoding that the channel ever had
    /// (`generation` counts from 1).
    pub fn derive(recording: &RecordingToken, kind: crate::TrackKind, generation: u32) -> Self {
        let kind = match kind {
            crate::TrackKind::Video => "video",
            crate::TrackKind::Audio => "audio",
            crate::TrackKind::Metadata => "metadata",
        };
        match generation {
            0 | 1 => Self::new(format!("{recording}-{kind}")),
            n => Self::new(format!("{recording}-{kind}-{n}")),
        }
    }
}

/// A segment: stable over syncs, because it is computed from track, source start and the
/// recorder's own name for the segment (see [`SegmentId::derive`]).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// `key` is what the recorder calls the segment (file name, cluster, …), or empty.
    pub fn derive(track: &TrackToken, source_start: &str, key: &[u8]) -> Self {
        Self(fnv64(&[track.as_str().as_bytes(), source_start.as_bytes(), key]))
    }

    /// The name that a segment of track `from` has as a segment of track `to`. It does not matter
    /// over which tracks one goes from the first to the last.
    #[must_use]
    pub fn moved(self, from: &TrackToken, to: &TrackToken) -> Self {
        let of = |track: &TrackToken| fnv64(&[track.as_str().as_bytes()]);
        Self(self.0 ^ of(from) ^ of(to))
    }
}

/// One pass of index sync. Rising; every row of the index names the run that last touched it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SyncRunId(pub u64);

/// FNV-1a over the parts with a separator between them: stable for ever, unlike the standard
/// library's hasher. Not for untrusted keys in hash tables.
pub(crate) fn fnv64(parts: &[&[u8]]) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    let mut byte = |b: u8| {
        h ^= u64::from(b);
        h = h.wrapping_mul(0x0000_0100_0000_01b3);
    };
    for part in parts {
        part.iter().copied().for_each(&mut byte);
        byte(0xff);
    }
    // A final avalanche: FNV's low bits are weak for short keys.
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_stable() {
        let r = RecordingToken::derive(&"yard".into(), ChannelId(3), StreamKind::Main);
        assert_eq!(r.as_str(), "yard-3");
        assert_eq!(TrackToken::derive(&r, crate::TrackKind::Video, 1).as_str(), "yard-3-video");
        assert_eq!(TrackToken::derive(&r, crate::TrackKind::Audio, 2).as_str(), "yard-3-audio-2");
    }

    #[test]
    fn segment_ids_separate_their_parts() {
        let t = TrackToken::from("t");
        assert_ne!(SegmentId::derive(&t, "ab", b"c"), SegmentId::derive(&t, "a", b"bc"));
        assert_eq!(SegmentId::derive(&t, "a", b""), SegmentId::derive(&t, "a", b""));
    }

    #[test]
    fn segments_move_between_tracks_and_back() {
        let [a, b, c] = ["a", "b", "c"].map(TrackToken::from);
        let id = SegmentId::derive(&a, "x", b"y");
        assert_eq!(id.moved(&a, &b).moved(&b, &c), id.moved(&a, &c));
        assert_eq!(id.moved(&a, &b).moved(&b, &a), id);
        assert_ne!(id.moved(&a, &b), id);
    }
}
