//! Session descriptions: written for our clients, read from recorders.
//!
//! RFC 4566; the `fmtp` of RFC 6184, 7798, 3640, 6416; ONVIF Streaming 6.2 (`a=x-onvif-track`).

mod names;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Remote, RemoteMedia};
pub use write::{Description, MediaDescription, payload_type};
