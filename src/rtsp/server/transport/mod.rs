//! What RTSP travels in besides a plain connection: the tunnel over HTTP, WebSocket, TLS.
//!
//! ONVIF Streaming 5.1.1.5 (tunnel), 5.1.1.6 and 7 (WebSocket), 22.12 (RTSPS). A connection says with
//! its first bytes what it is ([`opening`]), so every port takes all of them. What is inside is a
//! stream of bytes for the same engine, with the same log-in: HTTP itself asks for none.
//!
//! ```text
//!  GET  ─────────────────────────── Tunnel ──┐
//!  POST ── base64 ── Pairs ────────────┘     ├── Connection
//!  WebSocket ── frames ── WebSocket ─────────┘
//! ```
//!
//! The connection of a POST carries nothing else to its end, whatever its Content-Length says:
//! players announce 32 kB and send for hours. So no byte of it is ever read as HTTP.

pub mod base64;
pub mod frames;
pub mod opening;
mod pairs;
#[cfg(test)]
mod tests;
mod tokio;
mod tunnel;
mod websocket;

pub use self::opening::WEBSOCKET_PATH;
pub(super) use self::pairs::Pairs;
pub(super) use self::tokio::serve_seated;
pub use self::tokio::{Stream, Via, serve_any};
