//! Footage on its way from recorders to clients: the GOP store, the read-through fetch and the
//! timeline walker.
//!
//! ONVIF Streaming 6.3, 6.5.4, 6.6, 6.8, 6.9: the marks of the replay extension and the rules where
//! playback starts are computed here and property-tested without a socket.

mod fetch;
mod plan;
mod ports;
mod service;
pub mod store;
#[cfg(test)]
mod synthetic;
mod timeline;

pub use fetch::{Devices, FetchStats};
pub use plan::{Delivery, FrameFilter, FrameStream, Marks, PlayPlan, Timeline};
pub use ports::{Coverage, Gop, GopKey, MediaStore, Pin, Reading};
pub use service::{ChangeCounter, Changes, Footage, FootageOptions, FootageStats, Opened};
pub use store::{GopStore, StoreOptions, StoreStats};
