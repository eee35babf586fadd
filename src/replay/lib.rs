//! Replay: clause 7 (replay URIs and configuration) and clause 8 (playback over RTSP).
//!
//! * `service`: ONVIF Replay Control 5, over SOAP.
//! * `playback`: ONVIF Streaming 6, the application side of the RTSP server.

pub mod playback;
pub mod service;
