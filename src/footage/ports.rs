//! The store of groups of pictures, as others see it.

use std::sync::Arc;

use dvrgate_model::{
    Civil, ClockMap, Convention, Frame, Hint, Result, SourceTime, Stamp, TrackToken, Utc, UtcRange,
    ZoneClaim,
};
use futures::future::BoxFuture;

use crate::store::Transfer;

/// What is stored and fetched as one piece of one track: from one clean point to another.
///
/// Of video that is one group of pictures, or several short ones (of JPEG and of intra-only video
/// about half a second); of sound and metadata the units of about a second.
#[derive(Clone, Debug)]
pub struct Gop {
    /// The track.
    pub track: TrackToken,
    /// From the first unit to the first unit after it (or the end of the span).
    pub range: UtcRange,
    /// The recorder's own reading at the first unit, if its footage says it: from it the instants
    /// are computed anew when more is learnt about its clock.
    pub source: Option<Reading>,
    /// The units, in decode order; the first is clean. Never empty.
    pub frames: Vec<Frame>,
}

impl Gop {
    /// The name under which it is stored.
    pub fn key(&self) -> GopKey {
        GopKey { track: self.track.clone(), start: self.range.start() }
    }

    /// Size of the units.
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|f| f.data.len() as u64).sum()
    }
}

/// What a recorder's clock showed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// The calendar and the clock.
    pub civil: Civil,
    /// Which of the recorder's ways of writing time it is.
    pub convention: Convention,
}

impl Reading {
    /// When that was, close to `near`.
    pub fn to_utc(self, clock: &ClockMap, near: Utc) -> Stamp {
        // Listings claim UTC where that is believed at all; the clock map knows whether it is.
        let claim = match self.convention {
            Convention::Listing => ZoneClaim::Utc,
            Convention::WallClock => ZoneClaim::None,
        };
        clock.to_utc(&SourceTime::from_civil(self.civil, claim), Hint::Near(near))
    }
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

    /// A stored GOP; [`dvrgate_model::ErrorKind::NotFound`] once evicted. Its frames are slices of
    /// the mapped file and stay valid for as long as they are held.
    fn gop(&self, key: &GopKey) -> BoxFuture<'_, Result<Arc<Gop>>>;

    /// Begins to store what one transfer from a recorder brings.
    fn transfer(&self, what: &str) -> Transfer;

    /// Stores a GOP. One that is there already (it covers half of the new one's time or more) is
    /// kept as it is and its key returned: footage does not change.
    fn put<'a>(&'a self, gop: Arc<Gop>, transfer: &'a Transfer) -> BoxFuture<'a, Result<GopKey>>;

    /// Ends a transfer: notes size and SHA-256 of the vendor bytes with the GOPs that came from it
    /// and makes them durable.
    fn finish(
        &self,
        transfer: Transfer,
        sha256: Option<[u8; 32]>,
        bytes: u64,
    ) -> BoxFuture<'_, Result<()>>;

    /// Keeps footage of a track and range from being evicted, also what is stored later, until the
    /// pin is dropped.
    fn pin(&self, track: &TrackToken, range: UtcRange) -> Pin;
}

/// Holds footage in the store (exports and evidence).
pub struct Pin {
    pub(crate) release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin")
    }
}
