//! WS-Discovery (2005/04; ONVIF Core 7): how clients find the gateway on their network.
//!
//! [`Responder`] is the target service without a socket: datagrams in, datagrams out with the delay
//! that each should have. [`tokio`] drives it on UDP port 3702.

mod message;
mod responder;
pub mod scope;
pub mod tokio;

pub use message::{Question, Request, Target, parse};
pub use responder::{Answer, Responder, TYPES};

/// Port of WS-Discovery.
pub const PORT: u16 = 3702;

/// Multicast group of WS-Discovery (IPv4).
pub const GROUP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(239, 255, 255, 250);
