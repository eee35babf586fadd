//! The store of groups of pictures.

use std::sync::Arc;

use dvrgate_model::{ByteOrigin, Frame, Result, TrackToken, Utc, UtcRange};
use futures::future::BoxFuture;

/// Frames from one clean point to the next, of one track. For sound and metadata: the units of
/// about a second.
#[derive(Clone, Debug)]
pub struct Gop {
    /// The track.
    pub track: TrackToken,
    /// From the first unit to the first unit after it (or the end of the span).
    pub range: UtcRange,
    /// The units, in decode order; the first is clean. Never empty.
    pub frames: Vec<Frame>,
}

/// Names a stored GOP: its track and the instant of its first unit.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GopKey {
    /// The track.
    pub track: TrackToken,
    /// First unit.
    pub start: Utc,
}

/// What is stored of a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Stored GOPs that overlap the range, by time.
    pub gops: Vec<(GopKey, UtcRange)>,
    /// Parts of the range that are not stored, by time. (Whether there is footage, the index says.)
    pub missing: Vec<UtcRange>,
}

/// Keeps footage: bounded, crash-safe, answered from memory but for the frames themselves.
pub trait MediaStore: std::fmt::Debug + Send + Sync {
    /// What is stored of a range. From memory.
    fn cover(&self, track: &TrackToken, range: UtcRange) -> Result<Coverage>;

    /// A stored GOP; [`dvrgate_model::ErrorKind::NotFound`] once evicted.
    fn gop(&self, key: &GopKey) -> BoxFuture<'_, Result<Arc<Gop>>>;

    /// Stores a GOP; one of the same key is kept as it is (footage does not change).
    fn put(&self, gop: Gop, origin: Arc<ByteOrigin>) -> BoxFuture<'_, Result<GopKey>>;
}
