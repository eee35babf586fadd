//! Hikvision recorders and cameras, and what is sold under other names with the same firmware.
//!
//! ISAPI and its predecessor PSIA over HTTP, RTSP for playback, MPEG program streams with the
//! vendor's descriptors. `docs.md` says what was seen and on which firmware.

mod adapter;
mod bursts;
mod calendar;
mod calibrate;
mod clock;
mod container;
mod convert;
mod download;
mod footage;
#[doc(hidden)] // for the fuzz targets and the replay of their corpus
pub mod fuzz;
mod identity;
mod listing;
mod log;
mod paging;
mod playback;
mod policy;
mod session;
#[cfg(test)]
mod tests;
mod tokio;
mod wire;

use dvrgate_adapter::Connector;

/// Makes adapters of this family.
pub fn connector() -> &'static dyn Connector {
    &adapter::HikConnector
}
