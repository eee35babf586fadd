//! Who is asking: users, HTTP and RTSP Digest, WS-Security username tokens, and the brake on guessing.
//!
//! ONVIF Core 5.9; RFC 7616 (Digest, with RFC 2617 and 2069 clients accepted); WS-UsernameToken 1.1.
//! Pure: no sockets, no clock of its own. Both servers, SOAP and RTSP, ask the same gates:
//!
//! ```text
//! let gate = DigestGate::new("dvrgate", users, DigestSettings::default());
//! match gate.verify("POST", "/onvif/device_service", header, now) {
//!     Ok(identity) => …,                       // identity.level against the operation's access class
//!     Err(refusal) => gate.challenge_after(&refusal, now),   // one WWW-Authenticate value each
//! }
//! ```
//!
//! [`Throttle`] is asked before a password is looked at and told afterwards how it went. HTTP Basic is
//! always refused: it would carry the password over the wire in the clear.

mod digest;
mod fresh;
mod gate;
mod header;
mod nonce;
mod throttle;
mod token;
mod users;

pub use digest::Algorithm;
pub use gate::{DigestGate, DigestSettings, Offer, Refusal};
pub use header::{Credentials, HeaderError};
pub use throttle::{Throttle, ThrottleSettings};
pub use token::{TextPasswords, TokenGate, TokenPassword, TokenSettings, UsernameToken};
pub use users::{Identity, Level, MAX_NAME_BYTES, MAX_PASSWORD_BYTES, Secret, User, Users};
