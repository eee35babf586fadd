//! What is fuzzed: a function for each kind of untrusted input, from bytes to nothing.
//!
//! Both the fuzzers (`fuzz_targets/`) and an ordinary test of the program (`tests/corpus.rs`) call
//! them. A function may refuse its input in any way it likes, but must return; where writing and
//! reading belong together it also says so, by assertions that hold for every input.

mod auth;
mod client;
mod media;
mod recorder;
mod rtsp;
mod server;
mod soap;
mod text;
mod transport;

pub use auth::digest;
pub use client::rtsp_client;
pub use media::{codec, ps, ts};
pub use recorder::{alerts, documents, footage, sidecar};
pub use rtsp::{rtp, rtsp_headers, rtsp_message, sdp};
pub use server::rtsp_server;
pub use soap::{discovery, soap};
pub use text::{filter, mapping, values};
pub use transport::{rtsp_base64, rtsp_opening, rtsp_tunnel, rtsp_websocket};

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders below `corpus/`.
pub const ALL: &[(&str, Target)] = &[
    ("alerts", alerts),
    ("codec", codec),
    ("digest", digest),
    ("discovery", discovery),
    ("documents", documents),
    ("filter", filter),
    ("footage", footage),
    ("mapping", mapping),
    ("ps", ps),
    ("rtp", rtp),
    ("rtsp_base64", rtsp_base64),
    ("rtsp_client", rtsp_client),
    ("rtsp_headers", rtsp_headers),
    ("rtsp_message", rtsp_message),
    ("rtsp_opening", rtsp_opening),
    ("rtsp_server", rtsp_server),
    ("rtsp_tunnel", rtsp_tunnel),
    ("rtsp_websocket", rtsp_websocket),
    ("sdp", sdp),
    ("sidecar", sidecar),
    ("soap", soap),
    ("ts", ts),
    ("values", values),
];

/// Sizes of the pieces in which an input also arrives: as small as can be, and one that depends on
/// the input, so that cuts fall everywhere.
fn piece_sizes(data: &[u8]) -> [usize; 2] {
    let sum = data.iter().fold(data.len(), |n, b| n.wrapping_mul(31).wrapping_add(usize::from(*b)));
    [1, 2 + sum % 61]
}

/// As text, where it is; parsers of texts never see anything else.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
