//! A file as a stream of access units, with the recorder's time of its first picture in front.

use std::path::{Path, PathBuf};

use dvrgate_adapter::UnitStream;
use dvrgate_media::container::{Anchor, Demuxed};
use dvrgate_model::{Civil, Convention, Error, Locator, MediaTime, Result, Utc, UtcRange};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::convert::Times;

/// What a segment's locator holds.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Place {
    /// Below the folder.
    pub(crate) path: String,
    /// Of the first picture: microseconds since 1970.
    start_us: i64,
    resolution_us: u64,
}

/// Units on their way between the thread that reads and the task that wants them.
const UNITS_AHEAD: usize = 32;
/// Longest locator that is read.
const MAX_LOCATOR_BYTES: usize = 8 << 10;

impl Place {
    pub(crate) fn new(path: &str, times: &Times) -> Self {
        Self {
            path: path.to_owned(),
            start_us: times.range.start().micros(),
            resolution_us: times.resolution_us,
        }
    }

    pub(crate) fn locator(&self) -> Locator {
        // A structure of numbers and texts always has a JSON form.
        Locator(serde_json::to_vec(self).unwrap_or_default().into())
    }

    pub(crate) fn read(locator: &Locator) -> Result<Self> {
        Some(&locator.0)
            .filter(|l| l.len() <= MAX_LOCATOR_BYTES)
            .and_then(|l| serde_json::from_slice(l).ok())
            .ok_or_else(|| Error::invalid("not a locator of a folder"))
    }

    /// The reading that belongs to media time 0, in the folder's convention: UTC.
    fn anchor(&self) -> Anchor {
        Anchor {
            media: MediaTime { ticks: 0, rate_hz: 1_000_000 },
            civil: self.first_reading(),
            convention: Convention::Listing,
            resolution_us: self.resolution_us,
        }
    }

    /// The reading that [`dvrgate_adapter::Footage::start`] wants.
    pub(crate) fn first_reading(&self) -> Civil {
        Civil::from_micros_as_if_utc(self.start_us)
    }

    /// Part of the file that the window asks for, in microseconds from its first picture.
    pub(crate) fn part(&self, window: UtcRange) -> (i64, i64) {
        let from = |t: Utc| t.micros().saturating_sub(self.start_us);
        (from(window.start()).max(0), from(window.end()))
    }
}

/// Opens a file and reads it on a thread of the blocking pool, from the clean point at or before
/// `from_us` up to `until_us`. Dropping the stream ends the thread.
pub(crate) async fn open(
    path: PathBuf,
    place: &Place,
    from_us: i64,
    until_us: i64,
) -> Result<UnitStream> {
    let anchor = place.anchor();
    let (to, from) = mpsc::channel(UNITS_AHEAD);
    let (opened, is_open) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        match dvrgate_ffmpeg::packets(&path, from_us) {
            Ok(packets) => {
                // Nobody waits any more: sending the units will fail too.
                let _ = opened.send(Ok(()));
                send(packets, until_us, &to, &path);
            }
            Err(e) => {
                let _ = opened.send(Err(e));
            }
        }
    });
    is_open.await.map_err(|e| Error::internal("the reading thread is gone").because(e))??;
    let units = futures::stream::unfold(from, |mut from| async move {
        let item = from.recv().await?;
        Some((item, from))
    });
    let first = futures::stream::once(std::future::ready(Ok(Demuxed::Anchor(anchor))));
    Ok(first.chain(units).boxed())
}

fn send(
    packets: dvrgate_ffmpeg::Packets,
    until_us: i64,
    to: &mpsc::Sender<Result<Demuxed>>,
    path: &Path,
) {
    for item in packets {
        let beyond = match &item {
            // Units that are shown later may be followed by some that are shown before the end, but
            // a clean one ends all that came before.
            Ok(Demuxed::Unit(u)) => u.media.micros() >= until_us && u.frame.is_clean(),
            _ => false,
        };
        if beyond || to.blocking_send(item).is_err() {
            tracing::trace!(file = %path.display(), beyond, "reading ended before the file did");
            return;
        }
    }
}
