//! One answer of a recorder: opened, read, cut into GOPs and stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use dvrgate_adapter::{ByteStream, FootageBody, FootageRequest, FormatHint, UnitStream};
use dvrgate_index::{Batch, encodings};
use dvrgate_media::container::ps::PsDemuxer;
use dvrgate_media::container::ts::TsDemuxer;
use dvrgate_media::container::{Demuxed, Demuxer};
use dvrgate_model::{
    Convention, Error, ErrorKind, FrameKind, Result, Retry, TrackToken, Utc, UtcRange,
};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::assemble::{Assembler, Ending, Landmark};
use super::job::Job;
use super::timing::Timing;
use crate::{Gop, MediaStore};

/// A broken stream of bytes goes on at its byte this often, where the recorder can.
const MAX_RESUMES: u32 = 3;
/// Stored GOPs so long before and after the beginning of a transfer are compared with its first
/// unit, and no more of them than so many.
const LANDMARKS_US: (i64, i64) = (15_000_000, 2_000_000);
const MAX_LANDMARKS: usize = 12;
/// Stamps further outside what was asked for are nonsense.
const BOUNDS_US: i64 = 2 * 3_600_000_000;
/// An answer that ends this long before its time broke off, whatever the connection says. Listings
/// are exact to a second, and clocks known to some.
const EARLY_US: i64 = 5_000_000;

/// What is asked of a recorder.
pub(super) struct Asked {
    pub(super) request: FootageRequest,
    pub(super) timing: Timing,
    /// The same window in UTC.
    pub(super) window: UtcRange,
    /// What begins here or later is not wanted.
    pub(super) enough: Utc,
    /// Where the section ends, if the window reaches there.
    pub(super) section: Option<Utc>,
    /// Up to where there must be footage by all that is known.
    pub(super) promised: Option<Utc>,
    /// An attempt before this one found no more from there on.
    pub(super) ended_there: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fetched {
    /// All there is.
    Whole,
    /// All but the end of the GOP that begins there.
    Cut(Utc),
    /// The recorder ended the answer long before its time.
    Early,
}

/// How reading ended.
enum Pumped {
    /// Everything that was wanted came; the rest was not read.
    Enough,
    /// The recorder had no more.
    Ended,
}

impl Job {
    /// Opens, reads and stores one answer of the recorder.
    pub(super) async fn transfer(&self, asked: Asked) -> Result<Fetched> {
        let Asked { request, timing, window, enough, section, promised, ended_there } = asked;
        let opened = self.open(&request).await?;
        let start = (opened.start.unwrap_or(request.window.start), Convention::Listing);
        let bounds =
            UtcRange::clamped(window.start().plus_us(-BOUNDS_US), window.end().plus_us(BOUNDS_US));
        let mut landing = Landing {
            job: self,
            transfer: self.shared.store.transfer(&opened.what),
            assembler: Assembler::new(
                Arc::clone(&self.recording),
                timing,
                start,
                bounds,
                self.landmarks(window.start()).await,
                &opened.what,
            )
            .seen(encodings::is_seen(&*self.shared.index.snapshot(), &self.recording)?),
            hash: Sha256::new(),
            bytes: 0,
            pictures_of: None,
            told_unstored: false,
        };
        let before = self.flight.newest(window);
        let pumped = match opened.body {
            FootageBody::Units(units) => landing.pump_units(units, enough).await,
            FootageBody::Bytes(bytes, hint) => {
                landing.pump_bytes(bytes, demuxer(hint), &request, enough).await
            }
        };
        let pumped = match pumped {
            Ok(pumped) => pumped,
            Err(broken) => {
                // The GOP that broke comes again, whole; of those before it nothing is lost.
                landing.assembler.finish(Ending::Cut);
                landing.close().await;
                return Err(broken);
            }
        };
        let newest = landing.assembler.newest().filter(|n| *n > window.start());
        let short = newest.zip(promised).is_some_and(|(n, end)| end.since_us(n) > EARLY_US);
        // What ends twice at the same place ends there.
        let early = short
            && matches!(pumped, Pumped::Ended)
            && (!ended_there || self.flight.newest(window) > before);
        let ending = match (&pumped, section) {
            (Pumped::Ended, Some(end)) if !early => Ending::Section(end),
            _ => Ending::Cut,
        };
        let cut = landing.assembler.finish(ending);
        landing.land().await;
        landing.close().await;
        Ok(match cut {
            _ if early => Fetched::Early,
            Some(start) => Fetched::Cut(start),
            None => Fetched::Whole,
        })
    }

    /// What is stored of the picture around the beginning of a transfer.
    async fn landmarks(&self, start: Utc) -> Vec<Landmark> {
        let around =
            UtcRange::clamped(start.plus_us(-LANDMARKS_US.0), start.plus_us(LANDMARKS_US.1));
        let mut stored: Vec<_> = encodings::video_tracks(&self.recording)
            .flat_map(|t| self.shared.store.cover(&t.token, around).unwrap_or_default().gops)
            .collect();
        stored.sort_by_key(|(_, range)| range.start());
        let mut landmarks = Vec::new();
        for (key, range) in stored.into_iter().rev().take(MAX_LANDMARKS) {
            if let Ok(gop) = self.shared.store.gop(&key).await
                && let Some(first) = gop.frames.first()
            {
                landmarks.push(Landmark { range, first: first.data.clone() });
            }
        }
        landmarks
    }

    /// Tells the index of which encoding pictures are. Where that is news their segment moves to the
    /// track of it (R5.1-3).
    async fn tell_encoding(&self, gop: &Gop) -> Result<()> {
        let snapshot = self.shared.index.snapshot();
        let Some(recording) = snapshot.recording(&self.recording.token)? else { return Ok(()) };
        let Some(said) = gop.frames.first().map(|f| Arc::clone(&f.params)) else { return Ok(()) };
        let stretch = gop.range;
        let changes = dvrgate_index::blocking(snapshot, move |s| {
            encodings::see(s, &recording, stretch, &said)
        });
        let changes = changes.await?;
        if !changes.is_empty() {
            let batch = Batch { changes, ..Batch::default() };
            self.shared.index.apply(batch).await?;
        }
        Ok(())
    }

    async fn open(&self, request: &FootageRequest) -> Result<dvrgate_adapter::Footage> {
        self.shared.counts.opens.fetch_add(1, Ordering::Relaxed);
        let priority = self.flight.state.lock().priority;
        let cx = self.device.cx(priority);
        let footage = self.device.adapter.open(&cx, request.clone()).await?;
        self.flight.state.lock().opened = true;
        tracing::debug!(recording = %self.recording.token, window = ?request.window, what = %footage.what, "fetching footage");
        Ok(footage)
    }
}

/// Where the units of one answer go.
struct Landing<'a> {
    job: &'a Job,
    transfer: crate::store::Transfer,
    assembler: Assembler,
    hash: Sha256,
    bytes: u64,
    /// The index was told that the pictures are of this track.
    pictures_of: Option<TrackToken>,
    /// The log was told that nothing is stored.
    told_unstored: bool,
}

impl Landing<'_> {
    async fn pump_units(&mut self, mut units: UnitStream, enough: Utc) -> Result<Pumped> {
        while let Some(item) = self.next(&mut units).await? {
            let item = item?;
            if let Demuxed::Unit(unit) = &item {
                self.hash.update(&unit.data);
                self.bytes += unit.data.len() as u64;
            }
            self.assembler.push(item);
            self.land().await;
            if self.assembler.reached(enough) {
                return Ok(Pumped::Enough);
            }
        }
        Ok(Pumped::Ended)
    }

    async fn pump_bytes(
        &mut self,
        mut stream: ByteStream,
        mut demuxer: Box<dyn Demuxer>,
        request: &FootageRequest,
        enough: Utc,
    ) -> Result<Pumped> {
        let mut resumes = 0;
        loop {
            let broken = match self.next(&mut stream).await {
                Ok(Some(Ok(bytes))) => {
                    self.take(&bytes, &mut *demuxer)?;
                    self.land().await;
                    if self.assembler.reached(enough) {
                        return Ok(Pumped::Enough);
                    }
                    continue;
                }
                Ok(None) => break,
                Ok(Some(Err(e))) | Err(e) => e,
            };
            let support = self.job.device.adapter.capabilities().footage;
            if !support.resume || resumes == MAX_RESUMES || broken.retry() == Retry::Never {
                return Err(broken);
            }
            resumes += 1;
            tracing::debug!(error = %broken, at = self.bytes, "footage broke off; going on there");
            // The session of the broken stream first.
            drop(std::mem::replace(&mut stream, futures::stream::empty().boxed()));
            let again = FootageRequest { resume: self.bytes, ..request.clone() };
            match self.job.open(&again).await?.body {
                FootageBody::Bytes(bytes, _) => stream = bytes,
                FootageBody::Units(_) => return Err(broken),
            }
        }
        demuxer.finish()?;
        self.drain(&mut *demuxer);
        Ok(Pumped::Ended)
    }

    fn take(&mut self, bytes: &Bytes, demuxer: &mut dyn Demuxer) -> Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let pushed = demuxer.push(bytes);
        // What came before the failure is good.
        self.drain(demuxer);
        pushed
    }

    fn drain(&mut self, demuxer: &mut dyn Demuxer) {
        while let Some(item) = demuxer.pull() {
            self.assembler.push(item);
        }
    }

    /// Stores what is whole and tells those who wait.
    async fn land(&mut self) {
        while let Some(gop) = self.assembler.pull() {
            let gop: Arc<Gop> = Arc::new(gop);
            let is_video = gop.frames.first().is_some_and(|f| f.kind == FrameKind::Key);
            if is_video && self.pictures_of.as_ref() != Some(&gop.track) {
                self.pictures_of = Some(gop.track.clone());
                if let Err(e) = self.job.tell_encoding(&gop).await {
                    tracing::warn!(error = %e, "the encoding of footage could not be noted");
                }
            }
            let stored = self.job.shared.store.put(Arc::clone(&gop), &self.transfer).await;
            match &stored {
                // Once a transfer: a full disk is not helped by a line for every group.
                Err(e) if !std::mem::replace(&mut self.told_unstored, true) => {
                    tracing::warn!(error = %e, "footage is played but not stored");
                }
                Err(e) => tracing::debug!(error = %e, "footage is played but not stored"),
                Ok(_) => {}
            }
            self.job.flight.landed(&gop, stored.is_err());
        }
    }

    /// Notes with what was stored which bytes it came from.
    async fn close(self) {
        let (sum, bytes) = (self.hash.finalize().into(), self.bytes);
        self.job.shared.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Err(e) = self.job.shared.store.finish(self.transfer, Some(sum), bytes).await {
            tracing::warn!(error = %e, "the origin of footage could not be noted");
        }
    }

    async fn next<S: futures::Stream + Unpin>(&self, stream: &mut S) -> Result<Option<S::Item>> {
        let stall = self.job.shared.stall;
        tokio::time::timeout(stall, stream.next()).await.map_err(|_| {
            Error::new(ErrorKind::Timeout, "the recorder sends no more footage")
                .with("seconds", stall.as_secs_f32())
        })
    }
}

fn demuxer(hint: FormatHint) -> Box<dyn Demuxer> {
    match hint {
        FormatHint::MpegPs => Box::new(PsDemuxer::default()),
        FormatHint::MpegTs => Box::new(TsDemuxer::new()),
        FormatHint::Vendor(demuxer) => demuxer,
    }
}
