//! The client's side of RTSP: playback of recorders whose footage travels as RTP.
//!
//! RFC 2326, interleaved on one connection (10.12). [`Engine`] speaks RTSP and [`Streams`] turns
//! packets into access units; both are without sockets and clocks. [`Client`] runs them over any
//! connection:
//!
//! ```ignore
//! let mut client = Client::new(tcp, ClientOptions {
//!     url: "rtsp://10.0.0.7/tracks/101?starttime=20210818T151815Z".into(),
//!     username: "reader".into(),
//!     password,
//!     control: ControlUrl::Append,
//!     idle_timeout: Some(Duration::from_secs(8)),
//!     ..Default::default()
//! });
//! client.describe().await?;
//! for media in client.playable() {
//!     client.setup(media).await?;
//! }
//! client.play(&PlayOptions::default()).await?;
//! while let Some(received) = client.next().await? {
//!     // received.media is the section of the description, received.item what it brought.
//! }
//! client.teardown().await?;
//! ```
//!
//! A client that is dropped with a session still says TEARDOWN, as far as the connection lets it:
//! recorders have few playback slots and keep those of broken connections for a minute.

mod address;
mod auth;
mod decoder;
mod engine;
mod options;
mod refusal;
mod streams;
#[cfg(test)]
mod tests;
mod tokio;

pub use self::auth::ClientAuth;
pub use self::engine::{Engine, Event};
pub use self::options::{ClientOptions, ControlUrl, End, PlayOptions, PlayReply};
pub use self::streams::{Incoming, RawPacket, Received, Start, Streams};
pub use self::tokio::Client;
