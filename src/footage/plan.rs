//! What is asked of a playback, and what it yields.

use dvrgate_model::{Direction, Frame, RecordingToken, Result, TrackToken, Utc, UtcRange};
use futures::stream::BoxStream;

/// Access units and gaps in the order of delivery: all tracks of the plan interleaved by time
/// forwards; in reverse GOP by GOP backwards with units forward.
pub type FrameStream = BoxStream<'static, Result<Delivery>>;

/// Walks recorded time.
pub trait Timeline: std::fmt::Debug + Send + Sync {
    /// Starts a walk. Nothing is fetched before the stream is polled; dropping it ends the fetch
    /// (unless others wait for the same footage).
    fn play(&self, plan: PlayPlan) -> FrameStream;
}

/// One playback.
#[derive(Clone, Debug)]
pub struct PlayPlan {
    /// Of this recording.
    pub recording: RecordingToken,
    /// These of its tracks.
    pub tracks: Vec<TrackToken>,
    /// Where to start. Forward: the clean point at or before it, in a gap the first clean point
    /// after the gap. Reverse: the GOP that holds it, in a gap the last GOP before the gap.
    pub from: Utc,
    /// Where to end: forward exclusive; reverse the earlier bound, inclusive. `None`: end of data.
    pub until: Option<Utc>,
    /// Which way.
    pub direction: Direction,
    /// Which units of video.
    pub frames: FrameFilter,
    /// At the newest footage wait for more, instead of ending: while the recording is growing, and
    /// without `until` also when it is not, for it may be taken up again.
    pub follow_live: bool,
    /// Set D on the first unit of every track (PLAY with Immediate; Streaming 6.3).
    pub discontinuity: bool,
}

/// ONVIF Streaming 6.5.3, header `Frames`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FrameFilter {
    /// All of them.
    #[default]
    All,
    /// Without bidirectional ones.
    Predicted,
    /// Clean points only.
    Intra {
        /// At least this far apart, in microseconds; 0 for all.
        min_interval_us: i64,
    },
}

/// What a playback yields.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// An access unit.
    Unit {
        /// The unit.
        frame: Frame,
        /// Its marks.
        marks: Marks,
    },
    /// No footage here; playback goes on behind it (in its direction).
    Gap(UtcRange),
    /// All data before this instant was delivered, but for one unit per track that is held back
    /// until it is known whether it ends a section; more units follow when they are recorded (only
    /// with `follow_live`). Where there was nothing, the instant asked for.
    LiveEdge(Utc),
}

/// C, E, D and T of the replay extension (ONVIF Streaming 6.3; table "When to set which bit" of
/// docs/replay.md).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// C: a decoder may start here.
    pub clean: bool,
    /// E: last unit of a contiguous section.
    pub end_of_span: bool,
    /// D: does not follow the unit before it in time.
    pub discontinuity: bool,
    /// T: last unit of this playback, and the recording has no more. (Not set where an interval of
    /// [`FrameFilter::Intra`] swallows everything behind the last gap.)
    pub terminal: bool,
}
