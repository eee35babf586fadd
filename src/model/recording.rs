//! Recordings, tracks, and the recorders they come from (ONVIF Recording Control 4.1, 5).

use std::time::Duration;

use crate::{
    ChannelId, Codec, CodecParams, DeviceId, RecordingToken, StreamKind, TrackKind, TrackToken,
    Utc, UtcRange, Vendor, ZoneRule,
};

/// A container for tracks: here, one channel of one recorder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recording {
    /// Persistent name.
    pub token: RecordingToken,
    /// Where it comes from, as tt:RecordingSourceInformation.
    pub source: SourceInformation,
    /// tt:RecordingConfiguration/Content: free text.
    pub content: String,
    /// At least the video track.
    pub tracks: Vec<Track>,
    /// How long the recorder keeps it, where it says so (MaximumRetentionTime).
    pub retention: Option<Duration>,
    /// What is behind it.
    pub origin: Origin,
    /// tt:RecordingInformation/RecordingStatus.
    pub status: RecordingStatus,
}

impl Recording {
    /// From the earliest to the latest data of any track (EarliestRecording, LatestRecording).
    pub fn data(&self) -> Option<UtcRange> {
        self.tracks.iter().filter_map(|t| t.data).reduce(|a, b| a.hull(&b))
    }

    /// The track of that token.
    pub fn track(&self, token: &TrackToken) -> Option<&Track> {
        self.tracks.iter().find(|t| &t.token == token)
    }
}

/// What stands behind a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A channel of a recorder that an adapter speaks to.
    Device {
        /// Which recorder.
        device: DeviceId,
        /// Which channel.
        channel: ChannelId,
        /// Which of its streams.
        stream: StreamKind,
    },
    /// A receiver object pulls a stream and the gateway itself records it.
    Receiver {
        /// ONVIF ReceiverToken.
        receiver: String,
    },
}

/// tt:RecordingSourceInformation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SourceInformation {
    /// A URI that is unique for the source (at most 128 characters).
    pub source_id: String,
    /// Name of the camera (at most 20 characters in the standard; longer ones are cut on the wire).
    pub name: String,
    /// Where it is.
    pub location: String,
    /// What it is.
    pub description: String,
    /// URI of the device service.
    pub address: String,
}

/// tt:RecordingStatus.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RecordingStatus {
    /// Data was never recorded.
    Initiated,
    /// Recording now.
    Recording,
    /// Has data; not recording.
    Stopped,
    /// Being deleted.
    Removing,
    /// Removed.
    Removed,
    /// The recorder does not say.
    #[default]
    Unknown,
}

/// A series of data of one kind and one encoding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Track {
    /// Persistent name, unique in the gateway.
    pub token: TrackToken,
    /// Video, audio or metadata.
    pub kind: TrackKind,
    /// Free text.
    pub description: String,
    /// `None` until the first footage or listing told it.
    pub codec: Option<Codec>,
    /// The newest parameters known; the index keeps size, rates and codec, not parameter sets.
    pub params: Option<CodecParams>,
    /// From the first to the last data (DataFrom, DataTo); `None` while empty.
    pub data: Option<UtcRange>,
}

/// How the gateway gets on with a recorder.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DeviceState {
    /// Not asked yet.
    #[default]
    Unknown,
    /// Answers.
    Ready,
    /// Answers, but something is wrong (clock step, missing channel, errors).
    Degraded,
    /// Refused our credentials; nothing is sent until the configuration changes.
    LockedOut,
    /// No connection.
    Unreachable,
}

/// What a recorder says it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// Product name.
    pub model: String,
    /// Serial number as printed; may hold any character.
    pub serial: String,
    /// Firmware version and build.
    pub firmware: String,
    /// Manufacturer or label, where given.
    pub manufacturer: String,
    /// Name that the operator gave it.
    pub name: String,
    /// Channels it has, in its own order.
    pub channels: Vec<Channel>,
}

/// One channel of a recorder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// The number that the recorder's index uses.
    pub id: ChannelId,
    /// Name that the operator gave it; may be empty.
    pub name: String,
    /// Address of the camera behind it, where it is a network camera.
    pub address: String,
    /// Streams that are recorded.
    pub streams: Vec<StreamKind>,
    /// Whether it has a signal now, where the recorder says so.
    pub online: Option<bool>,
    /// Whether the recorder is recording it now, where it says so.
    pub recording: Option<bool>,
    /// Video parameters of the main stream, where the recorder says so.
    pub video: Option<CodecParams>,
    /// Sound that is recorded with it, where the recorder says so.
    pub audio: Option<CodecParams>,
    /// How long footage is kept, where the recorder says so.
    pub retention: Option<Duration>,
}

/// The index's row for a recorder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceRecord {
    /// As configured.
    pub id: DeviceId,
    /// As configured.
    pub vendor: Vendor,
    /// What it said it is.
    pub identity: Identity,
    /// Host and port as configured, without credentials.
    pub address: String,
    /// How the gateway gets on with it.
    pub state: DeviceState,
    /// Zone rule in force.
    pub zone: Option<ZoneRule>,
    /// When its clock was last measured.
    pub clock_checked_at: Option<Utc>,
    /// When an index sync last ended well.
    pub last_sync_at: Option<Utc>,
}
