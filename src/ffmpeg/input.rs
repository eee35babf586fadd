//! Opening a file and reading what its container says.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use dvrgate_model::{CodecParams, Error, Result, TrackKind};
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Dictionary, media};

use crate::stream;

/// Formats that are read: none of them refers to other files. MPEG program and transport streams,
/// ISO files, Matroska, AVI, and bare H.264 and H.265.
const FORMATS: &str = "mov,matroska,avi,mpeg,mpegts,h264,hevc,mjpeg";

/// What a file says about itself.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// FFmpeg's name of the container, for instance `mov,mp4,m4a,3gp,3g2,mj2`.
    pub format: String,
    /// Length, where it is known.
    pub duration_us: Option<i64>,
    /// The `creation_time` tag of the file or else of a stream, as written.
    pub creation_time: Option<String>,
    /// The start time code (`hh:mm:ss:ff`) of the file or else of a stream, as written.
    pub timecode: Option<String>,
    /// All streams.
    pub tracks: Vec<TrackInfo>,
}

/// A stream of a file.
#[derive(Clone, Debug)]
pub struct TrackInfo {
    /// FFmpeg's name of the encoding.
    pub encoding: String,
    /// `None` where it cannot be replayed.
    pub params: Option<CodecParams>,
}

impl Probe {
    /// Params of the first track of a kind that can be replayed.
    pub fn params(&self, kind: TrackKind) -> Option<&CodecParams> {
        self.tracks.iter().filter_map(|t| t.params.as_ref()).find(|p| p.codec.track_kind() == kind)
    }
}

/// Reads what a file says about itself.
pub fn probe(path: &Path) -> Result<Probe> {
    let input = open(path)?;
    let tag = |name: &CStr| {
        let of_streams = || input.streams().find_map(|s| stream::tag(&s.metadata(), name));
        stream::tag(&input.metadata(), name).or_else(of_streams)
    };
    let tracks = input
        .streams()
        .filter(|s| matches!(s.parameters().medium(), media::Type::Video | media::Type::Audio))
        .map(|s| TrackInfo {
            encoding: s.parameters().id().name().to_owned(),
            params: stream::supported(&s).map(|s| s.params),
        })
        .collect();
    Ok(Probe {
        format: input.format().name().to_owned(),
        duration_us: Some(input.duration()).filter(|d| *d > 0),
        creation_time: tag(c"creation_time"),
        timecode: tag(c"timecode"),
        tracks,
    })
}

/// Opens a local file.
pub(crate) fn open(path: &Path) -> Result<Input> {
    crate::prepare();
    let text = path.as_os_str().as_encoded_bytes();
    if !path.is_absolute() || text.contains(&0) {
        return Err(
            Error::invalid("the path of footage must be absolute").with("path", path.display())
        );
    }
    // The binding takes no path that is not UTF-8; an open file has another name that is. It is
    // opened again by that, so that one may be closed afterwards.
    let (usable, _held) = match path.to_str() {
        Some(usable) => (usable.to_owned(), None),
        None => {
            let file = File::open(path).map_err(|e| {
                Error::not_found("the file cannot be opened")
                    .with("path", path.display())
                    .because(e)
            })?;
            (format!("/proc/self/fd/{}", file.as_raw_fd()), Some(file))
        }
    };
    let options: Dictionary<'_> =
        [("protocol_whitelist", "file"), ("format_whitelist", FORMATS)].into_iter().collect();
    // With the protocol named, no character of the path means anything to the library.
    ffmpeg_next::format::input_with_dictionary(&format!("file:{usable}"), options).map_err(|e| {
        crate::error(e, "the file cannot be read as footage").with("path", path.display())
    })
}
