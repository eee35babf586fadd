//! Playback and live pictures over RTSP: requests in, answers out, and a player per session.
//!
//! RFC 2326 as this vendor understands it. `session` decides, `tokio` drives the sockets.

mod message;
mod rtp;
mod sdp;
mod session;
mod tokio;

pub(crate) use tokio::start;
