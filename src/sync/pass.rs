//! One pass over one recorder.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dvrgate_adapter::{Cx, Device, Priority};
use dvrgate_index::{Batch, Change, Scope, blocking};
use dvrgate_model::{
    ChannelId, Civil, ClockEpoch, ClockMap, Convention, DeviceRecord, Error, ErrorKind, Hint,
    Identity, Origin, Recording, RecordingToken, Result, Segment, SegmentState, SourceTime,
    StreamKind, SyncRunId, Utc, UtcRange, ZoneClaim, ZoneTrust,
};

use crate::clock::{Verdict, Why, judge, unmeasured};
use crate::events::{Places, unknown};
use crate::history::affected;
use crate::measure::measure;
use crate::merge::{Lane, Window, merge};
use crate::restate::{Order, all_events, all_segments, history_of, restate};
use crate::windows::{Cut, Plan, Watermark};
use crate::{Counts, OnProgress, Progress, Report, Stage, Syncer, catalogue, listing};

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
        let _alone = match self.busy.get(&device.id) {
            Some(busy) => Some(busy.lock().await),
            None => None,
        };
        let mut pass = Pass::new(self, device, progress);
        let outcome = pass.work(due).await;
        let finished = outcome.is_ok().then(|| self.clock.utc());
        let noted = pass.note(finished).await;
        outcome.and(noted)?;
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

/// One listing and how far it has come.
struct Track {
    lane: Lane,
    plan: Plan,
    /// A part that failed is left alone for this pass.
    failed: bool,
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
        if due.oldest {
            for lane in &mut lanes {
                self.oldest(lane, &map).await?;
            }
        }
        let mut budget = due.backfill;
        self.events(&map, &mut budget).await?;
        self.backfill(&mut lanes, &map, budget).await?;
        self.report.complete = lanes.iter().all(|l| l.plan.mark().is_some_and(|m| m.complete));
        self.tell(Stage::Done, None, fraction(&lanes));
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
        self.record = Some(record);
        Ok(())
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

    async fn look_at_clock(&mut self) -> Result<()> {
        let epochs = self.epochs()?;
        let record = self.record.clone();
        let believed = record.as_ref().and_then(|r| r.zone.clone());
        if !self.device.adapter.capabilities().clock.read {
            let trust = self.device.mapping.zone_trust();
            let epoch = unmeasured(&self.device.id, self.device.zone.as_ref(), trust);
            if epochs.as_slice() == [epoch.clone()] {
                return Ok(());
            }
            let verdict = Verdict::Changed { epochs: vec![epoch], why: Why::First };
            return self.learn(verdict, None).await;
        }
        let reads = self.syncer.options.clock_reads;
        let m = match measure(self.device, reads, believed.as_ref()).await {
            Ok(m) => m,
            // Without any idea of the clock nothing can be placed.
            Err(e) if epochs.is_empty() => return Err(e),
            Err(e) => return self.tolerate("clock", e),
        };
        let checked = record.and_then(|r| r.clock_checked_at);
        let verdict = judge(&self.device.id, &epochs, checked, &m);
        self.report.measured = Some(m.clone());
        self.learn(verdict, Some((m.zone, m.at))).await
    }

    /// Puts what was learnt about the clock into the index and restates what it places.
    async fn learn(
        &mut self,
        verdict: Verdict,
        checked: Option<(dvrgate_model::ZoneRule, Utc)>,
    ) -> Result<()> {
        let mut changes = Vec::new();
        if let Some(record) = &mut self.record {
            if let Some((zone, at)) = checked {
                record.zone = Some(zone);
                record.clock_checked_at = Some(at);
            } else if self.device.zone.is_some() {
                record.zone = self.device.zone.clone();
            }
            changes.push(Change::Device(Box::new(record.clone())));
        }
        let Verdict::Changed { epochs, why } = verdict else {
            self.device.health.warn("clock", None);
            return self.apply(changes).await;
        };
        self.report.clock = Some(why);
        match why {
            Why::Step(by_us) => {
                let seconds = by_us as f64 / 1e6;
                tracing::warn!(device = %self.device.id, seconds, "the recorder's clock was set");
                let text = format!("the clock was set by {seconds:+.1} s");
                self.device.health.warn("clock", Some(text));
            }
            _ => {
                tracing::info!(device = %self.device.id, ?why, "clock map changed");
                self.device.health.warn("clock", None);
            }
        }
        changes.extend(epochs.into_iter().map(|e| Change::Epoch(Box::new(e))));
        changes.push(self.watermark(RESTATE, order_name(why)));
        if matches!(why, Why::First | Why::Zone) {
            // What was asked for by a wrong clock is not what is known now; and the order of the
            // listings, which decides the doubled hour, must be read again.
            let tokens = self.recordings()?;
            changes.extend(tokens.iter().map(|r| self.watermark(&purpose(&r.token), "")));
            changes.push(self.watermark(EVENTS, ""));
        }
        self.apply(changes).await
    }

    /// Restates what a changed clock map moved, if that was not done yet.
    async fn finish_restating(&mut self) -> Result<()> {
        let index = &self.syncer.index;
        let order = match index.snapshot().watermark(&self.device.id, RESTATE)?.as_deref() {
            None | Some("") => return Ok(()),
            Some("unknown") => Order::Unknown,
            Some(_) => Order::AsBefore,
        };
        self.tell(Stage::Restate, None, 0.0);
        let (recordings, map) = (self.recordings()?, self.map()?);
        let counts = restate(index, self.run, &recordings, &map, order).await?;
        self.report.counts += counts;
        self.apply(vec![self.watermark(RESTATE, "")]).await
    }

    fn lanes(&self) -> Result<Vec<Track>> {
        let snapshot = self.syncer.index.snapshot();
        let Some(record) = &self.record else { return Ok(Vec::new()) };
        let segments = self.device.adapter.capabilities().segments;
        if !segments.offered {
            return Ok(Vec::new());
        }
        let mut lanes = Vec::new();
        for channel in &record.identity.channels {
            for stream in &channel.streams {
                let token = RecordingToken::derive(&self.device.id, channel.id, *stream);
                let Some(recording) = snapshot.recording(&token)? else { continue };
                let mark = snapshot.watermark(&self.device.id, &purpose(&token))?;
                let mark = mark.as_deref().and_then(Watermark::parse);
                let plan = Plan::new(mark, self.cut(segments.max_window), self.syncer.clock.utc());
                let lane = catalogue::lane(channel, *stream, &recording);
                lanes.push(Track { lane, plan, failed: false });
            }
        }
        Ok(lanes)
    }

    /// What is new of one lane.
    async fn fresh(&mut self, track: &mut Track, map: &ClockMap) -> Result<()> {
        let range = self.steady(track.plan.fresh(), map);
        let news_from = track.plan.mark().map(|m| m.head);
        let mut plan = track.plan;
        plan.fresh_done(range);
        let read = self.window(&track.lane, map, range, Some(&plan), news_from).await;
        self.tell(Stage::Fresh, Some(range), plan.fraction(None));
        match read {
            Ok(_) => track.plan = plan,
            Err(e) => {
                track.failed = true;
                self.tolerate(track.lane.recording.as_str(), e)?;
            }
        }
        Ok(())
    }

    /// What was overwritten: the oldest stretch is listed again, until something is still there.
    async fn oldest(&mut self, track: &mut Track, map: &ClockMap) -> Result<()> {
        let now = self.syncer.clock.utc();
        let recording = self.syncer.index.snapshot().recording(&track.lane.recording)?;
        let Some(data) = recording.and_then(|r| r.data()).filter(|_| !track.failed) else {
            return Ok(());
        };
        let (mut from, mut width_us) = (data.start(), self.cut(None).first_us);
        while from < data.end() {
            let range = UtcRange::clamped(from, from.plus_us(width_us).min(now));
            if range.is_empty() {
                return Ok(());
            }
            let range = self.steady(range, map);
            self.tell(Stage::Oldest, Some(range), track.plan.fraction(None));
            match self.window(&track.lane, map, range, None, None).await {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(e) => return self.tolerate(track.lane.recording.as_str(), e),
            }
            from = range.end();
            width_us = width_us.saturating_mul(2);
        }
        Ok(())
    }

    /// What is older, the newest of all lanes first.
    async fn backfill(
        &mut self,
        lanes: &mut [Track],
        map: &ClockMap,
        mut budget: usize,
    ) -> Result<()> {
        while budget > 0 {
            let open = lanes.iter_mut().filter(|l| !l.failed && l.plan.back().is_some());
            let Some(track) = open.max_by_key(|l| l.plan.mark().map(|m| m.tail)) else {
                return Ok(());
            };
            budget -= 1;
            let Some(range) = track.plan.back() else { return Ok(()) };
            let range = self.steady(range, map);
            let mut plan = track.plan;
            // Only the watermark of this plan is used; how many items there were only matters for
            // the width of the next window.
            plan.back_done(range, usize::MAX);
            let halved = self.report.halved;
            match self.window(&track.lane, map, range, Some(&plan), None).await {
                Ok(items) => {
                    track.plan.back_done(range, items);
                    if self.report.halved > halved {
                        let parts = (self.report.halved - halved + 1) as i64;
                        track.plan.too_full(range.duration_us() / parts);
                    }
                }
                Err(e) => {
                    track.failed = true;
                    let name = track.lane.recording.clone();
                    self.tolerate(name.as_str(), e)?;
                }
            }
            self.tell(Stage::Backfill, Some(range), fraction(lanes));
        }
        Ok(())
    }

    /// Lists one window of a lane, merges it, and applies the difference in one batch. Returns how
    /// many items were listed. `news_from`: history from here on is published.
    async fn window(
        &mut self,
        lane: &Lane,
        map: &ClockMap,
        range: UtcRange,
        plan: Option<&Plan>,
        news_from: Option<Utc>,
    ) -> Result<usize> {
        let index = Arc::clone(&self.syncer.index);
        let windows = map.source_windows(range, Convention::Listing);
        let (what, twice) = ((lane.channel, lane.stream), |c| doubled(map, c));
        let listed = listing::segments(self.device, &self.cx, what, &windows, twice).await?;
        self.count(&listed);
        if listed.overfull > 0 {
            let text = format!("{}: more segments in a second than are listed", lane.recording);
            self.report.errors.push(text);
        }

        let reach = reach(range, map, &listed.items);
        let tracks = lane.tracks.clone();
        let known = blocking(index.snapshot(), move |s| all_segments(s, &tracks, reach)).await?;
        let window = Window {
            lane,
            range,
            items: &listed.items,
            breaks: &listed.breaks,
            clips: self.device.adapter.capabilities().segments.clips,
            map,
            mapping: &self.device.mapping,
            run: self.run,
        };
        let merged = merge(&window, &known);
        for (code, n) in &merged.unknown_codes {
            *self.report.unknown_codes.entry(code.clone()).or_default() += n;
        }
        let mut changes: Vec<_> = merged.changes().collect();
        let mut news = Vec::new();
        if let Some(touched) = touched(&merged.put, &known) {
            let put: HashMap<_, _> =
                merged.put.iter().map(|s| ((s.track.clone(), s.id), s)).collect();
            if let Some(recording) = index.snapshot().recording(&lane.recording)? {
                let tracks = lane.tracks.clone();
                let history = history_of(&index, &recording, tracks, touched, &put).await?;
                changes.extend(history.changes);
                let growing: Vec<_> = merged
                    .put
                    .iter()
                    .filter(|s| s.state == SegmentState::Growing)
                    .map(|s| s.end.utc)
                    .collect();
                news = history.new;
                // The end of what still grows is no news: it moves with the next look.
                news.retain(|e| {
                    news_from.is_some_and(|from| e.at.utc >= from) && !growing.contains(&e.at.utc)
                });
            }
        }
        if let Some(mark) = plan.and_then(Plan::mark) {
            changes.push(self.watermark(&purpose(&lane.recording), &mark.to_string()));
        }
        self.apply(changes).await?;
        for event in &news {
            self.syncer.sink.publish(event);
        }
        Ok(listed.items.len())
    }

    /// The log: what is new, then what is older.
    async fn events(&mut self, map: &ClockMap, budget: &mut usize) -> Result<()> {
        let support = self.device.adapter.capabilities().events;
        if !support.offered {
            return Ok(());
        }
        let snapshot = self.syncer.index.snapshot();
        let mark = snapshot.watermark(&self.device.id, EVENTS)?;
        let mark = mark.as_deref().and_then(Watermark::parse);
        let mut plan = Plan::new(mark, self.cut(support.max_window), self.syncer.clock.utc());
        let mut range = self.steady(plan.fresh(), map);
        let news_from = plan.mark().map(|m| m.head);
        let mut is_fresh = true;
        loop {
            let mut next = plan;
            match is_fresh {
                true => next.fresh_done(range),
                false => next.back_done(range, usize::MAX),
            }
            let (halved, news_from) = (self.report.halved, news_from.filter(|_| is_fresh));
            let items = match self.log(map, range, &next, news_from).await {
                Ok(items) => items,
                Err(e) => return self.tolerate("events", e),
            };
            self.tell(Stage::Events, Some(range), plan.fraction(None));
            match is_fresh {
                true => plan.fresh_done(range),
                false => plan.back_done(range, items),
            }
            if self.report.halved > halved {
                let parts = (self.report.halved - halved + 1) as i64;
                plan.too_full(range.duration_us() / parts);
            }
            is_fresh = false;
            match plan.back().filter(|_| *budget > 0) {
                Some(back) => range = self.steady(back, map),
                None => return Ok(()),
            }
            *budget -= 1;
        }
    }

    /// One window of the log.
    async fn log(
        &mut self,
        map: &ClockMap,
        range: UtcRange,
        plan: &Plan,
        news_from: Option<Utc>,
    ) -> Result<usize> {
        let windows = map.source_windows(range, Convention::WallClock);
        let listed = listing::events(self.device, &self.cx, &windows, |c| doubled(map, c)).await?;
        self.count(&listed);
        let recordings = self.by_channel()?;
        let places = Places {
            device: &self.device.id,
            map,
            mapping: &self.device.mapping,
            recordings: &recordings,
        };
        let placed = places.log(range, &listed.items, &listed.breaks);
        for (code, n) in placed.unknown_codes {
            *self.report.unknown_codes.entry(code).or_default() += n;
        }
        let new = match (
            placed.events.iter().map(|e| e.at.utc).min(),
            placed.events.iter().map(|e| e.at.utc).max(),
        ) {
            (Some(first), Some(last)) => {
                let (from, to) = (first.plus_us(-NEAR_US), last.plus_us(NEAR_US));
                let scope = Scope { recordings: Some(recordings.into_values().collect()) };
                let snapshot = self.syncer.index.snapshot();
                let known = blocking(snapshot, move |s| all_events(s, scope, from, to, None));
                unknown(placed.events, &known.await?)
            }
            _ => Vec::new(),
        };
        let mut changes: Vec<_> = new.iter().map(|e| Change::Event(Box::new(e.clone()))).collect();
        if let Some(mark) = plan.mark() {
            changes.push(self.watermark(EVENTS, &mark.to_string()));
        }
        self.apply(changes).await?;
        for event in new.iter().filter(|e| news_from.is_some_and(|from| e.at.utc >= from)) {
            self.syncer.sink.publish(event);
        }
        Ok(listed.items.len())
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

    fn cut(&self, max_window: Option<std::time::Duration>) -> Cut {
        let us = |d: std::time::Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        let o = &self.syncer.options;
        let widest_us = max_window.map_or(us(o.horizon), us);
        Cut {
            first_us: us(o.first_window).min(widest_us),
            overlap_us: us(o.overlap),
            widest_us,
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

/// Where the segments may lie that the items could be.
fn reach(range: UtcRange, map: &ClockMap, items: &[dvrgate_adapter::SourceSegment]) -> UtcRange {
    let mut reach = range;
    for item in items {
        let start = map.to_utc(&item.start, Hint::None).utc;
        let end = map.to_utc(&item.end, Hint::None).utc;
        // An hour more: the doubled one is not decided yet.
        reach = reach.hull(&UtcRange::clamped(start.plus_us(-HOUR_US), end.plus_us(HOUR_US)));
    }
    reach
}

/// The stretch in which spans may have changed.
fn touched(put: &[Segment], known: &[Segment]) -> Option<UtcRange> {
    let old = put.iter().filter_map(|s| known.iter().find(|k| k.track == s.track && k.id == s.id));
    let changed = put.iter().chain(old).map(Segment::range).reduce(|a, b| a.hull(&b));
    changed.map(affected)
}

fn fraction(lanes: &[Track]) -> f64 {
    let sum: f64 = lanes.iter().map(|l| l.plan.fraction(None)).sum();
    if lanes.is_empty() { 1.0 } else { sum / lanes.len() as f64 }
}

fn purpose(recording: &RecordingToken) -> String {
    format!("segments:{recording}")
}

fn order_name(why: Why) -> &'static str {
    if why == Why::Zone { "unknown" } else { "as-before" }
}

const EVENTS: &str = "events";
const RESTATE: &str = "restate";
const HOUR_US: i64 = 3_600_000_000;
/// Events this close may be the same one.
const NEAR_US: i64 = 5_000_000;
