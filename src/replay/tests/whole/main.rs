//! Replay from outside: the service over SOAP, and playback by a client of another project.
#![allow(clippy::unwrap_used)] // a test may

mod client;
mod service;
mod timeout;
