//! One pass over one recorder.

mod clock;
mod lanes;
mod log;
mod oldest;

use std::collections::BTreeMap;
use std::sync::Arc;

use dvrgate_adapter::{Cx, Device, Priority};
use dvrgate_index::{Batch, Change, Scope, blocking, encodings};
use dvrgate_model::{
    ChannelId, Civil, ClockEpoch, ClockMap, CodecParams, Convention, DeviceRecord, Error,
    ErrorKind, Hint, Identity, Origin, Recording, RecordingToken, Result, SourceTime, StreamKind,
    SyncRunId, Utc, UtcRange, ZoneClaim, ZoneTrust,
};

use crate::restate::rebuild_history;
use crate::windows::Cut;
use crate::{Counts, OnProgress, Progress, Report, Stage, Syncer, catalogue, listing, metadata};
use lanes::Track;

/// What a pass does besides looking at what is new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub identify: bool,
    pub clock: bool,
    pub oldest: bool,
    /// Back-fill windows, at most.
    pub backfill: usize,
}

impl Due {
    pub fn everything() -> Self {
        Self { identify: true, clock: true, oldest: true, backfill: usize::MAX }
    }
}

impl Syncer {
    /// One pass. The state of the recorder is written even where it fails.
    pub(crate) async fn pass(
        &self,
        device: &Device,
        due: Due,
        progress: OnProgress<'_>,
    ) -> Result<Report> {
        let mut turn = match self.turns.get(&device.id) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let began = self.clock.now();
        let mut pass = Pass::new(self, device, progress);
        let outcome = pass.work(due).await;
        let finished = outcome.is_ok().then(|| self.clock.utc());
        let noted = pass.note(finished).await;
        outcome.and(noted)?;
        if let Some(timers) = &mut turn {
            timers.done(began, due);
        }
        Ok(pass.report)
    }
}

struct Pass<'a> {
    syncer: &'a Syncer,
    device: &'a Device,
    cx: Cx,
    run: SyncRunId,
    progress: OnProgress<'a>,
    report: Report,
    record: Option<DeviceRecord>,
    items: u64,
}

impl<'a> Pass<'a> {
    fn new(syncer: &'a Syncer, device: &'a Device, progress: OnProgress<'a>) -> Self {
        let run = syncer.next_run();
        let report = Report {
            device: device.id.clone(),
            run,
            counts: Counts::default(),
            windows: 0,
            pages: 0,
            halved: 0,
            clock: None,
            measured: None,
            unknown_codes: BTreeMap::new(),
            errors: Vec::new(),
            complete: false,
        };
        let cx = device.cx(Priority::Backfill);
        Self { syncer, device, cx, run, progress, report, record: None, items: 0 }
    }

    async fn work(&mut self, due: Due) -> Result<()> {
        self.record = self.syncer.index.snapshot().device(&self.device.id)?;
        if due.identify || self.record.is_none() {
            self.tell(Stage::Identify, None, 0.0);
            self.identify().await?;
        }
        if due.clock || self.epochs()?.is_empty() {
            self.tell(Stage::Clock, None, 0.0);
            self.look_at_clock().await?;
        }
        self.finish_restating().await?;
        let map = self.map()?;
        let mut lanes = self.lanes()?;
        for lane in &mut lanes {
            self.fresh(lane, &map).await?;
        }
        let log = self.fresh_log(&map).await?;
        if due.oldest {
            for lane in &mut lanes {
                self.overwritten(lane, &map).await?;
                self.beyond(lane, &map).await?;
            }
        }
        if due.backfill > 0 {
            for lane in &mut lanes {
                self.floor(lane, &map).await?;
            }
        }
        self.backfill(&mut lanes, &map, due.backfill).await?;
        let listed = lanes.iter().all(Track::is_complete);
        // The log is read back as far as there is footage: that must be known first.
        let budget = if lanes.iter().all(Track::is_settled) { due.backfill } else { 0 };
        let read = self.old_log(log, &map, budget).await?;
        self.complete_metadata().await?;
        self.rewrite_history().await?;
        self.report.complete = listed && read;
        self.tell(Stage::Done, None, lanes::fraction(&lanes));
        Ok(())
    }

    /// Metadata tracks of recordings whose first event became known.
    async fn complete_metadata(&mut self) -> Result<()> {
        for recording in self.recordings()? {
            let index = &self.syncer.index;
            let known = metadata::known(&*index.snapshot(), &self.device.id, &recording.token)?;
            if known == metadata::Known::New {
                let made = metadata::complete(index, self.run, &self.device.id, &recording).await?;
                self.report.counts += made;
            }
        }
        Ok(())
    }

    /// History of recordings whose footage turned out to be of another encoding.
    async fn rewrite_history(&mut self) -> Result<()> {
        for recording in self.recordings()? {
            let index = &self.syncer.index;
            if encodings::is_history_stale(&*index.snapshot(), &recording)? {
                self.report.counts += rebuild_history(index, self.run, &recording).await?;
                self.apply(encodings::history_written(&recording).into_iter().collect()).await?;
            }
        }
        Ok(())
    }

    /// Writes how the pass ended.
    async fn note(&mut self, finished: Option<Utc>) -> Result<()> {
        let mut record = catalogue::device(self.device, None, self.record.as_ref());
        record.last_sync_at = finished.or(record.last_sync_at);
        self.apply(vec![Change::Device(Box::new(record))]).await
    }

    async fn identify(&mut self) -> Result<()> {
        let identity = self.device.adapter.identify(&self.cx).await?;
        let record = catalogue::device(self.device, Some(identity.clone()), self.record.as_ref());
        let mut changes = vec![Change::Device(Box::new(record.clone()))];
        changes.extend(self.catalogue(&identity)?);
        self.apply(changes).await?;
        let before = self.record.replace(record);
        for (channel, video) in reconfigured(before.as_ref(), &identity) {
            // Since the last look, nobody knows when.
            let since = before.as_ref().and_then(|b| b.last_sync_at);
            let since = since.unwrap_or_else(|| self.syncer.clock.utc());
            self.open_track(channel, video, UtcRange::clamped(since, Utc::MAX)).await?;
        }
        Ok(())
    }

    /// R5.1-3: a channel was set to another encoding; a track of it takes what is recorded since.
    async fn open_track(
        &mut self,
        channel: ChannelId,
        video: CodecParams,
        since: UtcRange,
    ) -> Result<()> {
        let snapshot = self.syncer.index.snapshot();
        let token = RecordingToken::derive(&self.device.id, channel, StreamKind::Main);
        let Some(recording) = snapshot.recording(&token)? else { return Ok(()) };
        tracing::info!(%recording.token, codec = video.codec.name(), "another encoding");
        let said = catalogue::picture(&token, video);
        let learnt = blocking(snapshot, move |s| encodings::learn(s, &recording, since, &said));
        let changes = learnt.await?.changes;
        self.apply(changes).await
    }

    /// Recordings that are new or differ.
    fn catalogue(&self, identity: &Identity) -> Result<Vec<Change>> {
        let snapshot = self.syncer.index.snapshot();
        let mut changes = Vec::new();
        for channel in &identity.channels {
            for stream in &channel.streams {
                let token = RecordingToken::derive(&self.device.id, channel.id, *stream);
                let old = snapshot.recording(&token)?;
                let new =
                    catalogue::recording(self.device, identity, channel, *stream, old.as_ref());
                if old.is_none_or(|old| !catalogue::same(&old, &new)) {
                    changes.push(Change::Recording(Box::new(new)));
                }
            }
        }
        Ok(changes)
    }

    fn by_channel(&self) -> Result<BTreeMap<ChannelId, RecordingToken>> {
        by_channel(&self.recordings()?)
    }

    /// The recordings of this recorder.
    fn recordings(&self) -> Result<Vec<Arc<Recording>>> {
        recordings_of(self.syncer, self.device)
    }

    fn epochs(&self) -> Result<Vec<ClockEpoch>> {
        Ok(self.syncer.index.snapshot().clock(&self.device.id)?.epochs().to_vec())
    }

    fn map(&self) -> Result<ClockMap> {
        self.syncer.index.snapshot().clock(&self.device.id)
    }

    fn cut(&self) -> Cut {
        let us = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        let o = &self.syncer.options;
        Cut {
            first_us: us(o.first_window),
            overlap_us: us(o.overlap),
            widest_us: WIDEST_US,
            horizon_us: us(o.horizon),
        }
    }

    /// A window that does not begin inside a doubled hour, where the order of a listing would have
    /// nothing to begin with.
    fn steady(&self, range: UtcRange, map: &ClockMap) -> UtcRange {
        let mut start = range.start();
        for _ in 0..3 {
            let shown = map.to_source(start, Convention::Listing);
            if !shown.iter().any(|c| doubled(map, *c)) {
                break;
            }
            start = start.plus_us(-HOUR_US);
        }
        UtcRange::clamped(start, range.end())
    }

    fn watermark(&self, purpose: &str, value: &str) -> Change {
        Change::Watermark {
            device: self.device.id.clone(),
            purpose: purpose.to_owned(),
            value: value.to_owned(),
        }
    }

    async fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let applied = self.syncer.index.apply(Batch { run: self.run, changes }).await?;
        self.report.counts += applied.into();
        Ok(())
    }

    fn count<T>(&mut self, listed: &listing::Listed<T>) {
        self.report.windows += 1;
        self.report.pages += listed.pages;
        self.report.halved += listed.halved;
        self.items += listed.items.len() as u64;
    }

    /// An error of one part: noted, unless the recorder as a whole cannot be asked.
    fn tolerate(&mut self, part: &str, e: Error) -> Result<()> {
        use ErrorKind::*;
        match e.kind() {
            Unauthenticated | Unreachable | Timeout | Cancelled | Internal => Err(e),
            _ => {
                tracing::warn!(device = %self.device.id, part, error = %e, "sync of a part failed");
                self.report.errors.push(format!("{part}: {e}"));
                Ok(())
            }
        }
    }

    fn tell(&self, stage: Stage, window: Option<UtcRange>, fraction: f64) {
        let device = &self.device.id;
        (self.progress)(&Progress { device, stage, window, items: self.items, fraction });
    }
}

/// Channels whose main stream has another encoding than when the recorder was asked last.
fn reconfigured(before: Option<&DeviceRecord>, now: &Identity) -> Vec<(ChannelId, CodecParams)> {
    let channels = before.map(|b| b.identity.channels.as_slice()).unwrap_or_default();
    let old = |id| channels.iter().find(|c| c.id == id)?.video.as_ref();
    let changed = now.channels.iter().filter_map(|c| {
        let video = c.video.as_ref()?;
        old(c.id).is_some_and(|o| o.codec != video.codec).then(|| (c.id, video.clone()))
    });
    changed.collect()
}

/// Whether the recorder's clock shows that reading twice.
fn doubled(map: &ClockMap, reading: Civil) -> bool {
    if map.newest().trust == ZoneTrust::Claimed {
        return false;
    }
    let said = SourceTime::from_civil(reading, ZoneClaim::None);
    let blind = map.to_utc(&said, Hint::None);
    blind.uncertainty_us > map.to_utc(&said, Hint::Near(blind.utc)).uncertainty_us
}

/// The recordings of a recorder in the index.
pub(crate) fn recordings_of(syncer: &Syncer, device: &Device) -> Result<Vec<Arc<Recording>>> {
    let mut all = syncer.index.snapshot().recordings(&Scope::all())?;
    all.retain(|r| matches!(&r.origin, Origin::Device { device: d, .. } if *d == device.id));
    Ok(all)
}

/// The recording that events of a channel belong to: its main stream's.
pub(crate) fn by_channel(
    recordings: &[Arc<Recording>],
) -> Result<BTreeMap<ChannelId, RecordingToken>> {
    let main = recordings.iter().filter_map(|r| match &r.origin {
        Origin::Device { channel, stream: StreamKind::Main, .. } => {
            Some((*channel, r.token.clone()))
        }
        _ => None,
    });
    Ok(main.collect())
}

fn purpose(recording: &RecordingToken) -> String {
    format!("segments:{recording}")
}

const EVENTS: &str = "events";
const RESTATE: &str = "restate";
/// Longest window: what it holds is one batch of the index, and is lost when the gateway is killed
/// meanwhile.
const WIDEST_US: i64 = 32 * 24 * HOUR_US;
const HOUR_US: i64 = 3_600_000_000;
