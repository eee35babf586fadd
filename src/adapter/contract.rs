//! The trait that every recorder family implements, and the values that cross it.
//!
//! Times are the recorder's own: queries and requests carry readings ([`SourceRange`]) to which
//! the clock map has already been applied; answers carry [`SourceTime`].

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use dvrgate_media::container::Demuxed;
use dvrgate_model::{
    ChannelId, Civil, ClockReading, DeviceId, Error, ErrorKind, Identity, Items, Locator, Result,
    SourceRange, SourceTime, StreamKind, Vendor, ZoneRule,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::{Capabilities, Cx, Mapping};

/// How well something fits: 0 not at all, 255 certainly.
pub type Score = u8;

/// Footage as the recorder sends it.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Footage that arrives as access units, because the transport already frames it.
pub type UnitStream = BoxStream<'static, Result<Demuxed>>;

/// Makes adapters of one family. A value without state; `src/vendors.rs` lists them all.
pub trait Connector: Debug + Send + Sync {
    /// The name used in the configuration and for the mapping.
    fn vendor(&self) -> Vendor;

    /// How well a greeting fits this family.
    fn recognise(&self, banner: &Banner) -> Score;

    /// Checks the settings and makes the adapter. Contacts nothing.
    fn connect(&self, settings: DeviceSettings, mapping: Arc<Mapping>) -> Result<Arc<dyn Adapter>>;
}

/// What a recorder shows before any log-in.
#[derive(Clone, Debug, Default)]
pub struct Banner {
    /// HTTP `Server:` header.
    pub server: String,
    /// Realm of the digest challenge.
    pub realm: String,
    /// First bytes that it sends on its own.
    pub greeting: Bytes,
}

/// One `[[device]]` of the configuration, as the adapter needs it.
#[derive(Clone)]
pub struct DeviceSettings {
    /// Its name.
    pub id: DeviceId,
    /// Where it is: `http://…`, `file:///…`.
    pub url: url::Url,
    /// RTSP where it differs from what the recorder says.
    pub rtsp: Option<url::Url>,
    /// User name; empty where none is needed.
    pub username: String,
    /// Password; never printed.
    pub password: String,
    /// Zone rule by the operator: wins over what the recorder declares.
    pub zone: Option<ZoneRule>,
}

impl Debug for DeviceSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceSettings")
            .field("id", &self.id)
            .field("url", &self.url.as_str())
            .field("username", &self.username)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

/// One recorder. Every call may be made at any time from any task; calls that the capabilities do
/// not declare never arrive (the gate layer answers them).
pub trait Adapter: Debug + Send + Sync {
    /// What this recorder can do. May become more exact after [`Adapter::identify`].
    fn capabilities(&self) -> Capabilities;

    /// What it is and which channels it has.
    fn identify<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<Identity>>;

    /// One look at its clock.
    fn clock<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, Result<ClockReading>>;

    /// One page of the segments that touch the window, in the declared order. Items may reach
    /// beyond the window, or be clipped to it where [`crate::ListSupport::clips`] says so.
    fn list_segments<'a>(
        &'a self,
        cx: &'a Cx,
        query: SegmentQuery,
    ) -> BoxFuture<'a, Result<Page<SourceSegment>>>;

    /// Where the oldest footage of the window begins, or a reading before that (the start of its
    /// day), by a few cheap questions; `None` where there is none. How sure that is, says
    /// [`crate::ListSupport::oldest`]; recorders that cannot tell do not implement it.
    fn oldest<'a>(
        &'a self,
        _cx: &'a Cx,
        _query: OldestQuery,
    ) -> BoxFuture<'a, Result<Option<Civil>>> {
        let message = "this recorder does not tell where its footage begins";
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Unsupported, message))))
    }

    /// One page of the events of the window.
    fn list_events<'a>(
        &'a self,
        cx: &'a Cx,
        query: EventQuery,
    ) -> BoxFuture<'a, Result<Page<SourceEvent>>>;

    /// Opens footage. The session that it costs is held until the stream is dropped.
    fn open<'a>(&'a self, cx: &'a Cx, request: FootageRequest) -> BoxFuture<'a, Result<Footage>>;

    /// Starts or stops recording.
    fn control<'a>(
        &'a self,
        cx: &'a Cx,
        request: ControlRequest,
    ) -> BoxFuture<'a, Result<ControlState>>;

    /// Events while they happen, until dropped. The stream reconnects by itself and yields an
    /// error for each outage; it ends only when asking again is pointless.
    fn watch<'a>(&'a self, cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>>;
}

/// Which segments are wanted.
#[derive(Clone, Debug)]
pub struct SegmentQuery {
    /// Of this channel.
    pub channel: ChannelId,
    /// Of this stream.
    pub stream: StreamKind,
    /// That touch this window ([`dvrgate_model::Convention::Listing`]).
    pub window: SourceRange,
    /// `None` for the first page; then what the page before said.
    pub cursor: Option<PageCursor>,
}

/// Of which footage the beginning is wanted.
#[derive(Clone, Copy, Debug)]
pub struct OldestQuery {
    /// Of this channel.
    pub channel: ChannelId,
    /// Of this stream.
    pub stream: StreamKind,
    /// In this window ([`dvrgate_model::Convention::Listing`]).
    pub window: SourceRange,
}

/// Which events are wanted.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// In this window ([`dvrgate_model::Convention::WallClock`]).
    pub window: SourceRange,
    /// `None` for the first page; then what the page before said.
    pub cursor: Option<PageCursor>,
}

/// Where the next page starts. Opaque: only the adapter that issued it reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageCursor(pub Bytes);

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` after the last page.
    pub next: Option<PageCursor>,
    /// The recorder's cap was reached: there is more in the window than it will ever list. The
    /// caller halves the window and asks again.
    pub capped: bool,
}

/// A segment as listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceSegment {
    /// Its channel.
    pub channel: ChannelId,
    /// Its stream.
    pub stream: StreamKind,
    /// First instant.
    pub start: SourceTime,
    /// First instant after it: adapters of recorders that list inclusive ends add their grain.
    pub end: SourceTime,
    /// Why it was recorded: the recorder's code, to be looked up in the mapping.
    pub code: Box<str>,
    /// Size, where listed.
    pub bytes: Option<u64>,
    /// How to fetch it.
    pub locator: Locator,
    /// What the recorder calls it (a file name), or empty. Part of the segment's identity, so it
    /// must not change while the segment grows.
    pub key: Bytes,
    /// Still being recorded.
    pub growing: bool,
}

/// An event as listed or pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceEvent {
    /// Of this channel; `None` for the recorder itself.
    pub channel: Option<ChannelId>,
    /// When, in the recorder's words.
    pub time: Option<SourceTime>,
    /// What: the recorder's code, to be looked up in the mapping.
    pub code: Box<str>,
    /// Begins or is on; `None` where the code has no state.
    pub active: Option<bool>,
    /// Other values of the recorder, for the mapping's items.
    pub items: Items,
    /// Received this long ago? Live events are stamped on receipt when their time cannot be used.
    pub live: bool,
}

/// Which footage is wanted.
#[derive(Clone, Debug)]
pub struct FootageRequest {
    /// Of this channel.
    pub channel: ChannelId,
    /// Of this stream.
    pub stream: StreamKind,
    /// From the clean point at or before the start, up to the end
    /// ([`dvrgate_model::Convention::Listing`]).
    pub window: SourceRange,
    /// The segment it lies in, as listed: needed where only [`crate::FootageSupport::by_segment`]
    /// is declared, a help elsewhere.
    pub locator: Option<Locator>,
    /// First and last reading of that segment, as listed.
    pub segment: Option<SourceRange>,
    /// Byte to go on at, where [`crate::FootageSupport::resume`] is declared.
    pub resume: u64,
}

/// An open transfer.
pub struct Footage {
    /// What comes.
    pub body: FootageBody,
    /// What it is, for the provenance chain: the recorder's own name of it.
    pub what: String,
    /// The reading of the first unit as far as the recorder told it, for transports whose media
    /// carries no time of its own; units' own anchors win.
    pub start: Option<Civil>,
}

/// See [`Footage::body`].
pub enum FootageBody {
    /// Bytes for a demuxer.
    Bytes(ByteStream, FormatHint),
    /// Access units.
    Units(UnitStream),
}

impl Debug for Footage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = match &self.body {
            FootageBody::Bytes(_, hint) => format!("bytes, {hint:?}"),
            FootageBody::Units(_) => "units".to_owned(),
        };
        f.debug_struct("Footage").field("body", &body).field("what", &self.what).finish()
    }
}

/// How to read bytes of footage. Standard containers are named; a vendor's own container comes
/// with its demuxer.
pub enum FormatHint {
    /// MPEG program stream (ISO/IEC 13818-1), with whatever envelope before the first pack.
    MpegPs,
    /// MPEG transport stream.
    MpegTs,
    /// This demuxer reads it.
    Vendor(Box<dyn dvrgate_media::container::Demuxer>),
}

impl Debug for FormatHint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FormatHint::MpegPs => "MpegPs",
            FormatHint::MpegTs => "MpegTs",
            FormatHint::Vendor(_) => "Vendor",
        })
    }
}

/// Start or stop recording on a channel.
#[derive(Clone, Debug)]
pub struct ControlRequest {
    /// Which channel.
    pub channel: ChannelId,
    /// On or off.
    pub record: bool,
}

/// What the recorder says it does now.
#[derive(Clone, Debug)]
pub struct ControlState {
    /// Recording by hand.
    pub recording: bool,
}
