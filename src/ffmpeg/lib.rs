//! Files in the usual containers, and pictures out of footage, through FFmpeg's libraries.
//!
//! The only crate that links them. Everything here blocks: callers use a thread of their own. The
//! libraries read local files of a closed set of formats and nothing else, so that a file cannot
//! make them open another one.

mod decode;
mod input;
mod packets;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Once;

use dvrgate_model::{Error, ErrorKind, Fault};

pub use decode::{GrayDecoder, GrayFrame, decode_gray};
pub use input::{Probe, TrackInfo, probe};
pub use packets::{Packets, packets};

/// Prepares the libraries and keeps them from writing to the terminal.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Registers nothing any more; it cannot fail with the versions that are supported.
        let _ = ffmpeg_next::init();
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    });
}

/// What an error of the libraries means.
fn error(e: ffmpeg_next::Error, what: &str) -> Error {
    use ffmpeg_next::Error as E;
    use ffmpeg_next::error::{EACCES, ENOENT, ENOMEM, EPERM};
    let kind = match e {
        E::Other { errno: ENOENT } => ErrorKind::NotFound,
        E::Other { errno: EACCES | EPERM } => ErrorKind::PermissionDenied,
        E::Other { errno: ENOMEM } | E::Bug | E::Bug2 => ErrorKind::Internal,
        E::DecoderNotFound | E::DemuxerNotFound => ErrorKind::Unsupported,
        E::InvalidData | E::Eof => ErrorKind::Damaged,
        _ => ErrorKind::Damaged,
    };
    let fault = if kind == ErrorKind::Internal { Fault::Gateway } else { Fault::Device };
    Error::new(kind, what).with_fault(fault).because(e)
}
