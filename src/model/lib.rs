//! The storage model: recordings, tracks, segments, frames, events, and the time they happened.
//!
//! IEC 62676-2-32 clause 4.2 (storage model); ONVIF Recording Control 4.1 and annex B. Everything
//! above speaks these types. No async, no I/O, no database, and no time-zone library in the public
//! interface.

mod codec;
mod error;
mod event;
mod frame;
mod id;
pub mod ports;
mod recording;
mod segment;
pub mod time;

pub use codec::{Codec, CodecParams, FrameKind, TrackKind};
pub use error::{Error, ErrorKind, Fault, Result, Retry};
pub use event::{EventId, EventOrigin, Item, Items, RecordingEvent, Topic, topics};
pub use frame::{ByteOrigin, Frame, MediaTime};
pub use id::{
    ChannelId, DeviceId, RecordingToken, SegmentId, StreamKind, SyncRunId, TrackToken, Vendor,
};
pub use recording::{
    Channel, DeviceRecord, DeviceState, Identity, Origin, Recording, RecordingStatus,
    SourceInformation, Track,
};
pub use segment::{Locator, Reason, Segment, SegmentState, Span};
pub use time::{
    Basis, Civil, ClockEpoch, ClockEpochId, ClockMap, ClockReading, Convention, Direction, Hint,
    SourceRange, SourceTime, Stamp, Utc, UtcRange, ZoneClaim, ZoneRule, ZoneTrust,
};
