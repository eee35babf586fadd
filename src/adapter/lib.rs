//! What a recorder family must provide, and everything around it that is the same for all of them.
//!
//! An [`Adapter`] returns what the recorder said, in the recorder's time and codes. It computes no
//! UTC time and no ONVIF topic: that is done once, in `sync` and `footage`, through the clock map
//! and the mapping. Around every adapter stand the [`layers`]: trace, health, gate, deadline,
//! govern, retry (and, in tests, faults). An adapter opens no socket itself: [`Cx`] brings the transports.

pub mod capability;
pub mod contract;
pub mod cx;
pub mod device;
pub mod health;
pub mod layers;
pub mod mapping;
pub mod suite;
pub mod transport;

pub use capability::{
    Capabilities, ClockSupport, ControlSupport, DeviceLimits, FootageSupport, ListOrder,
    ListSupport, OldestSupport, SeekGrain,
};
pub use contract::{
    Adapter, Banner, ByteStream, Connector, ControlRequest, ControlState, DeviceSettings,
    EventQuery, Footage, FootageBody, FootageRequest, FormatHint, OldestQuery, Page, PageCursor,
    Score, SegmentQuery, SourceEvent, SourceSegment, UnitStream,
};
pub use cx::{Cx, Priority};
pub use device::{Device, DeviceOptions};
pub use health::Health;
pub use mapping::Mapping;
