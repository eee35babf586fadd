//! What every simulated recorder's servers are built of: listeners on port 0 with a graceful stop,
//! an HTTP/1.1 server that can misbehave, digest and lock-out.

pub mod digest;
pub mod http;
mod listener;
pub mod login;

pub use listener::Listener;
