//! One transfer: asks the recorder for a stretch, segment by segment, and stores what comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use dvrgate_adapter::{
    ByteStream, Device, FootageBody, FootageRequest, FormatHint, Priority, SeekGrain, UnitStream,
};
use dvrgate_index::SegmentSelect;
use dvrgate_media::container::ps::PsDemuxer;
use dvrgate_media::container::ts::TsDemuxer;
use dvrgate_media::container::{Demuxed, Demuxer};
use dvrgate_model::{
    ChannelId, ClockMap, Convention, Direction, Error, ErrorKind, Origin, Recording, Result, Retry,
    Segment, SegmentState, SourceRange, StreamKind, Track, TrackKind, TrackToken, Utc, UtcRange,
};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::FetchShared;
use super::assemble::{Assembler, Ending, Landmark};
use super::flight::Flight;
use super::timing::Timing;
use crate::{Gop, MediaStore};

/// A transfer goes on this far beyond its stretch, to see the end of the last GOP: first try, then
/// longer for recorders with longer GOPs.
const TAILS_US: [i64; 3] = [6_000_000, 30_000_000, 120_000_000];
/// Recorders that start at whole seconds may skip the clean point before: asked this much earlier.
const SECOND_LEAD_US: i64 = 2_000_000;
/// A stretch without footage shorter than this is not worth remembering.
const MIN_HOLE_US: i64 = 250_000;
/// Nothing received for this long: the recorder stalls.
const STALL: Duration = Duration::from_secs(20);
/// A broken transfer goes on at its byte this often.
const MAX_RESUMES: u32 = 3;
/// No more segments are looked at for one stretch.
const MAX_SEGMENTS: usize = 2_000;
/// Stored GOPs so long before and after the beginning of a transfer are compared with its first
/// unit, and no more of them than so many.
const LANDMARKS_US: (i64, i64) = (15_000_000, 2_000_000);
const MAX_LANDMARKS: usize = 12;
/// Stamps further outside what was asked for are nonsense.
const BOUNDS_US: i64 = 2 * 3_600_000_000;

/// What a task of the fetcher does.
pub(super) struct Job {
    pub(super) shared: Arc<FetchShared>,
    pub(super) recording: Arc<Recording>,
    pub(super) device: Arc<Device>,
    pub(super) flight: Arc<Flight>,
    pub(super) priority: Priority,
}

/// What was brought, per track.
type Brought = HashMap<TrackToken, Vec<UtcRange>>;

/// How one open transfer ended.
enum Pumped {
    /// Everything that was wanted came; the rest was not read.
    Enough,
    /// The recorder had no more.
    Ended,
}

impl Job {
    pub(super) async fn run(&self) -> Result<()> {
        let wanted = self.flight.range;
        let Origin::Device { channel, stream, .. } = &self.recording.origin else {
            return Err(Error::not_found("no recorder is behind this recording"));
        };
        let segments = self.segments(wanted).await?;
        let snapshot = self.shared.index.snapshot();
        let clock = snapshot.clock(&self.device.id)?;
        let mut brought = Brought::new();
        // Footage behind this is still being recorded: that nothing came does not mean that there
        // is nothing.
        let mut settled = wanted.end();
        for segment in &segments {
            let Some(part) = segment.range().intersect(&wanted) else { continue };
            self.fetch_part(segment, part, &clock, (*channel, *stream), &mut brought).await?;
            if segment.state == SegmentState::Growing {
                let newest = brought.values().flatten().map(|r| r.end()).max();
                settled = settled.min(newest.unwrap_or(part.start()));
            }
        }
        self.note_holes(UtcRange::clamped(wanted.start(), settled), &brought);
        if self.shared.index.snapshot().clock(&self.device.id)? != clock {
            // Measured anew while this ran.
            self.shared.clocks.forget(&self.device.id);
        }
        Ok(())
    }

    /// The segments of the stretch, those of the picture if it has any (sound is recorded in the
    /// same ones).
    async fn segments(&self, range: UtcRange) -> Result<Vec<Segment>> {
        for track in &self.recording.tracks {
            let select = SegmentSelect {
                tracks: Some(vec![track.token.clone()]),
                range,
                states: None,
                direction: Direction::Forward,
                limit: MAX_SEGMENTS,
                after: None,
            };
            let snapshot = self.shared.index.snapshot();
            let page = dvrgate_index::blocking(snapshot, move |s| s.segments(&select)).await?;
            if !page.items.is_empty() {
                return Ok(page.items);
            }
        }
        Ok(Vec::new())
    }

    /// Fetches a part of a segment, with longer tails until the last GOP was seen whole.
    async fn fetch_part(
        &self,
        segment: &Segment,
        part: UtcRange,
        clock: &ClockMap,
        channel: (ChannelId, StreamKind),
        brought: &mut Brought,
    ) -> Result<()> {
        let support = self.device.adapter.capabilities().footage;
        let mut from = match support.seek {
            SeekGrain::CleanPoint => part.start(),
            SeekGrain::Second => {
                part.start().plus_us(-SECOND_LEAD_US).max(segment.start.utc).min(part.start())
            }
            SeekGrain::Segment => segment.start.utc,
        };
        for tail in TAILS_US {
            let end = match support.seek {
                SeekGrain::Segment => segment.end.utc,
                _ => part.end().plus_us(tail).min(segment.end.utc),
            };
            let window = UtcRange::clamped(from, end);
            let cut =
                self.fetch_window(segment, window, part.end(), clock, channel, brought).await?;
            // The end of the segment while it grows is no end; it is asked for again later.
            let growing = segment.state == SegmentState::Growing;
            match cut {
                Some(start) if start < part.end() && end < segment.end.utc && !growing => {
                    from = start;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Fetches a window of a segment. Returns the start of a last GOP that was not seen whole.
    async fn fetch_window(
        &self,
        segment: &Segment,
        window: UtcRange,
        enough: Utc,
        clock: &ClockMap,
        (channel, stream): (ChannelId, StreamKind),
        brought: &mut Brought,
    ) -> Result<Option<Utc>> {
        let mut cut = None;
        let listed = listed(segment, clock);
        let mut sources = clock.source_windows(window, Convention::Listing);
        // A segment ends where the recorder says, also where its clock went back in the last group
        // of pictures and no longer shows that reading.
        if let Some(last) = sources.last_mut().filter(|_| window.end() >= segment.end.utc) {
            last.end = last.end.max(listed.end);
        }
        for source in sources {
            let request = FootageRequest {
                channel,
                stream,
                window: source,
                locator: Some(segment.locator.clone()),
                segment: Some(listed),
                resume: 0,
            };
            let timing = Timing::new(clock.clone(), window.start());
            let ending = match segment.state {
                SegmentState::Growing => Ending::Cut,
                _ if window.end() < segment.end.utc => Ending::Cut,
                _ => Ending::Section(segment.end.utc),
            };
            cut = self.transfer(request, timing, window, enough, ending, brought).await?;
        }
        Ok(cut)
    }

    /// Opens, reads and stores one answer of the recorder.
    async fn transfer(
        &self,
        request: FootageRequest,
        timing: Timing,
        window: UtcRange,
        enough: Utc,
        ending: Ending,
        brought: &mut Brought,
    ) -> Result<Option<Utc>> {
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
            ),
            hash: Sha256::new(),
            bytes: 0,
            brought,
        };
        let pumped = match opened.body {
            FootageBody::Units(units) => landing.pump_units(units, enough).await?,
            FootageBody::Bytes(bytes, hint) => {
                landing.pump_bytes(bytes, demuxer(hint), &request, enough).await?
            }
        };
        let cut = landing.assembler.finish(match pumped {
            Pumped::Enough => Ending::Cut,
            Pumped::Ended => ending,
        });
        landing.land().await;
        let (sum, bytes) = (landing.hash.finalize().into(), landing.bytes);
        self.shared.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Err(e) = self.shared.store.finish(landing.transfer, Some(sum), bytes).await {
            tracing::warn!(error = %e, "the origin of footage could not be noted");
        }
        Ok(cut)
    }

    /// What is stored of the picture around the beginning of a transfer.
    async fn landmarks(&self, start: Utc) -> Vec<Landmark> {
        let is_video = |t: &&Track| t.kind == TrackKind::Video;
        let Some(track) = self.recording.tracks.iter().find(is_video) else { return Vec::new() };
        let around =
            UtcRange::clamped(start.plus_us(-LANDMARKS_US.0), start.plus_us(LANDMARKS_US.1));
        let stored = self.shared.store.cover(&track.token, around).unwrap_or_default().gops;
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

    async fn open(&self, request: &FootageRequest) -> Result<dvrgate_adapter::Footage> {
        self.shared.counts.opens.fetch_add(1, Ordering::Relaxed);
        let cx = self.device.cx(self.priority);
        let footage = self.device.adapter.open(&cx, request.clone()).await?;
        self.flight.state.lock().opened = true;
        tracing::debug!(recording = %self.recording.token, window = ?request.window, what = %footage.what, "fetching footage");
        Ok(footage)
    }

    /// Remembers where the index promised footage and none came.
    fn note_holes(&self, wanted: UtcRange, brought: &Brought) {
        let now = self.device.clock.now();
        for track in &self.recording.tracks {
            let mut pieces = brought.get(&track.token).cloned().unwrap_or_default();
            pieces.sort_by_key(|r| r.start());
            let mut at = wanted.start();
            let hole = |from: Utc, to: Utc| {
                let hole = UtcRange::clamped(from, to.min(wanted.end()));
                if hole.duration_us() > MIN_HOLE_US {
                    self.shared.memory.note_empty(&track.token, hole, now);
                }
            };
            for piece in pieces {
                hole(at, piece.start());
                at = at.max(piece.end());
            }
            hole(at, wanted.end());
        }
    }
}

/// Where the units of one answer go.
struct Landing<'a> {
    job: &'a Job,
    transfer: crate::store::Transfer,
    assembler: Assembler,
    hash: Sha256,
    bytes: u64,
    brought: &'a mut Brought,
}

impl Landing<'_> {
    async fn pump_units(&mut self, mut units: UnitStream, enough: Utc) -> Result<Pumped> {
        while let Some(item) = next(&mut units).await? {
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
            let broken = match next(&mut stream).await {
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
            let stored = self.job.shared.store.put(Arc::clone(&gop), &self.transfer).await;
            if let Err(e) = &stored {
                tracing::warn!(error = %e, "footage is played but not stored");
            }
            self.brought.entry(gop.track.clone()).or_default().push(gop.range);
            self.job.flight.landed(&gop, stored.is_err());
        }
    }
}

async fn next<S: futures::Stream + Unpin>(stream: &mut S) -> Result<Option<S::Item>> {
    tokio::time::timeout(STALL, stream.next()).await.map_err(|_| {
        Error::new(ErrorKind::Timeout, "the recorder sends no more footage")
            .with("seconds", STALL.as_secs())
    })
}

/// First and last reading of a segment. One that ends in the second pass of the doubled hour may
/// end before it begins; then the last reading that it shows at all.
fn listed(segment: &Segment, clock: &ClockMap) -> SourceRange {
    let (start, end) = (segment.source.0.civil, segment.source.1.civil);
    if end > start {
        return SourceRange::new(start, end);
    }
    let shown = clock.source_windows(segment.range(), Convention::Listing);
    SourceRange::new(start, shown.iter().map(|w| w.end).max().unwrap_or(end))
}

fn demuxer(hint: FormatHint) -> Box<dyn Demuxer> {
    match hint {
        FormatHint::MpegPs => Box::new(PsDemuxer::default()),
        FormatHint::MpegTs => Box::new(TsDemuxer::new()),
        FormatHint::Vendor(demuxer) => demuxer,
    }
}
