//! RTSP and RTP: messages, headers, packets, a server engine and a client engine.
//!
//! RFC 2326, 3550, 3551, 6184, 7798, 3640, 4566; ONVIF Streaming 5 and 6; IEC 62676-2-32 clause 8.
//! Everything but the two files named `tokio.rs` is free of sockets and clocks.

pub mod client;
pub mod headers;
pub mod message;
pub mod rtp;
pub mod sdp;
pub mod server;
