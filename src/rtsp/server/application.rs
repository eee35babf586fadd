//! What a server serves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dvrgate_auth::Identity;
use dvrgate_model::{CodecParams, Result, TrackToken, Utc, UtcRange};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::headers::{Frames, Range, RateControl};
use crate::rtp::ReplayExtension;

/// Presentations and their playback. Errors become RTSP statuses by
/// [`crate::message::Status::of`].
pub trait Application: fmt::Debug + Send + Sync {
    /// What is behind a path; asked at DESCRIBE, and at SETUP without one.
    fn describe(&self, request: DescribeRequest) -> BoxFuture<'_, Result<Presentation>>;

    /// Starts a playback. Resolves when it is known where it begins; the answer to PLAY waits for
    /// it.
    fn play(&self, request: PlayRequest) -> BoxFuture<'_, Result<Playing>>;
}

/// What is asked at DESCRIBE.
#[derive(Clone, Debug)]
pub struct DescribeRequest {
    /// Path of the URI, without query and trailing slash.
    pub path: String,
    /// Who asks.
    pub user: Identity,
}

/// What is behind a path.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// For people.
    pub name: String,
    /// From the first to the last data.
    pub range: Option<UtcRange>,
    /// Its tracks. At most 32.
    pub media: Vec<Media>,
}

/// One track.
#[derive(Clone, Debug)]
pub struct Media {
    /// ONVIF TrackToken.
    pub track: TrackToken,
    /// As far as they are known.
    pub params: CodecParams,
}

/// What is asked at PLAY.
#[derive(Clone, Debug)]
pub struct PlayRequest {
    /// As in [`DescribeRequest`].
    pub path: String,
    /// Who asks.
    pub user: Identity,
    /// The tracks that are set up.
    pub media: Vec<PlayMedia>,
    /// As asked; `None`: at `position`, or at the beginning.
    pub range: Option<Range>,
    /// Capture time of the unit that would be next, where something was played in this session.
    pub position: Option<Utc>,
    /// As asked.
    pub scale: Option<f64>,
    /// As asked.
    pub speed: Option<f64>,
    /// Who sets the pace.
    pub rate_control: RateControl,
    /// Which units; `None` where the client did not say.
    pub frames: Option<Frames>,
    /// What is sent does not follow what was sent before: D on the first unit.
    pub discontinuity: bool,
}

/// A track that is set up.
#[derive(Clone, Debug)]
pub struct PlayMedia {
    /// Index in [`Presentation::media`].
    pub index: usize,
    /// Its token.
    pub track: TrackToken,
    /// Random per session: what timestamps that belong to frames are counted from.
    pub base: u32,
    /// The timestamp at which a playback goes on whose timestamps are times of showing.
    pub next: u32,
}

/// A playback.
pub struct Playing {
    /// Where it really begins; `None` where there is nothing to play.
    pub start: Option<Utc>,
    /// Where it will end, if that was asked.
    pub end: Option<Utc>,
    /// The scale in use: negative for reverse.
    pub scale: f64,
    /// For each track the RTP timestamp that belongs to `start`.
    pub rtp_times: Vec<(usize, u32)>,
    /// Units in the order of delivery. When it ends the session stays in the playing state.
    pub units: BoxStream<'static, Result<Unit>>,
}

impl fmt::Debug for Playing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Playing")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("scale", &self.scale)
            .finish_non_exhaustive()
    }
}

/// An access unit to be sent.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Index in [`Presentation::media`].
    pub media: usize,
    /// RTP timestamp.
    pub rtp_time: u32,
    /// Capture time and marks. The server sets `cseq`.
    pub replay: ReplayExtension,
    /// What a decoder must know for it.
    pub params: Arc<CodecParams>,
    /// Framed as [`dvrgate_model::Frame::data`] says.
    pub data: Bytes,
    /// When it is sent, from the start of the playback; `None`: as soon as the transport takes it.
    pub due: Option<Duration>,
}
