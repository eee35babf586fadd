//! The server: an engine for each connection, and the trait of what it serves.
//!
//! RFC 2326 with ONVIF Streaming 5.2 and 6; IEC 62676-2-32 clause 8. [`Connection`] takes bytes and
//! answers, and gives bytes and questions; it has no socket and no clock. `tokio.rs` runs it
//! ([`Server`]). What is played comes from an [`Application`].
//!
//! ```text
//!  bytes ──> Reader ──> Connection ──> Want::{Describe, Bind, Play} ──> driver ──> Application
//!  bytes <── Packets <── Session (pace, packetizers) <── units of the playback <──────┘
//! ```
//!
//! Choices where the standards leave one: a session belongs to its connection and ends with it; one
//! session at a time per connection; a PLAY that arrives during a closed range waits for its end
//! unless it says Immediate, during an open one it is a seek; footage never waits longer than it was
//! recorded, gaps are skipped.

mod application;
mod connection;
mod dispatch;
mod playback;
mod pump;
mod queue;
mod seats;
mod session;
mod setup;
#[cfg(test)]
mod tests;
mod timeout;
mod tokio;
pub mod transport;
mod udp;
mod uri;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dvrgate_auth::{DigestGate, Throttle};
use dvrgate_model::Utc;

pub use self::application::{
    Application, DescribeRequest, Media, PlayMedia, PlayRequest, Playing, Presentation, Unit,
};
pub use self::connection::{Connection, Want};
pub use self::timeout::SessionTimeout;
pub use self::tokio::{Server, Shared, serve_connection};
pub use self::udp::{BadGroups, Destination, Group, Groups};

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Who may come in; `None` lets everybody in.
    pub gate: Option<DigestGate>,
    /// The brake on guessing passwords.
    pub throttle: Option<Arc<Throttle>>,
    /// A session ends after this long without a sign of life (R8.7-3). Read when one begins.
    pub session_timeout: SessionTimeout,
    /// A connection without a session ends after this long without a message.
    pub idle_timeout: Duration,
    /// Connections at the same time. Beyond it one without a session gives way to the next; where all
    /// have one, that is closed at once.
    pub max_connections: usize,
    /// Multicast addresses that clients may ask for; `None` refuses multicast.
    pub multicast: Option<Groups>,
    /// `Server:` header.
    pub name: String,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            gate: None,
            throttle: None,
            session_timeout: SessionTimeout::default(),
            idle_timeout: Duration::from_secs(60),
            max_connections: 2048,
            multicast: None,
            name: "dvrgate".to_owned(),
        }
    }
}

/// Ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Of the client.
    pub remote: IpAddr,
    /// Of the server: goes into SDP.
    pub local: IpAddr,
}

/// Both clocks, read by the driver.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic: deadlines.
    pub instant: Instant,
    /// Wall clock: nonces, sender reports.
    pub utc: Utc,
}

/// Wake-ups of all sessions fall on a grid of this step: one wake-up sends for many.
pub const TICK: Duration = Duration::from_millis(5);
