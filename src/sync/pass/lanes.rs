//! The part of a pass that lists segments: what is new, and what is older.

use std::sync::Arc;

use dvrgate_index::{Change, blocking};
use dvrgate_model::{
    ClockMap, Convention, Hint, Recording, RecordingStatus, RecordingToken, Result, Segment, Utc,
    UtcRange,
};

use super::{HOUR_US, Pass, doubled, purpose};
use crate::history::affected;
use crate::merge::{Lane, Window, merge};
use crate::restate::{all_segments, history_of};
use crate::windows::{Older, Plan, Watermark};
use crate::{Stage, history, listing, metadata};

/// One listing and how far it has come.
pub(super) struct Track {
    pub(super) lane: Lane,
    pub(super) plan: Plan,
    /// Whether the channel records, where the recorder says so.
    says: Option<bool>,
    /// It was listed before this pass.
    pub(super) is_known: bool,
    /// A part that failed is left alone for this pass.
    pub(super) failed: bool,
}

impl Track {
    /// Everything back to the horizon, or to where the recorder says that it begins, is known.
    pub fn is_complete(&self) -> bool {
        self.plan.mark().is_some_and(|m| m.older != Older::Open)
    }

    /// Nothing more is found in this pass.
    pub fn is_settled(&self) -> bool {
        self.failed || self.is_complete()
    }
}

/// What a window held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) items: usize,
    /// Something in it is still being recorded.
    growing: bool,
}

impl Pass<'_> {
    pub(super) fn lanes(&self) -> Result<Vec<Track>> {
        let snapshot = self.syncer.index.snapshot();
        let Some(record) = &self.record else { return Ok(Vec::new()) };
        if !self.device.adapter.capabilities().segments.offered {
            return Ok(Vec::new());
        }
        let mut lanes = Vec::new();
        for channel in &record.identity.channels {
            for stream in &channel.streams {
                let token = RecordingToken::derive(&self.device.id, channel.id, *stream);
                let Some(recording) = snapshot.recording(&token)? else { continue };
                let mark = snapshot.watermark(&self.device.id, &purpose(&token))?;
                let mark = mark.as_deref().and_then(Watermark::parse);
                let plan = Plan::new(mark, self.cut(), self.syncer.clock.utc());
                let events = metadata::known(&*snapshot, &self.device.id, &token)?;
                let events = events != metadata::Known::No;
                let lane = Lane::new(channel.id, *stream, &recording, events);
                let (says, is_known) = (channel.recording, mark.is_some());
                lanes.push(Track { lane, plan, says, is_known, failed: false });
            }
        }
        Ok(lanes)
    }

    /// What is new of one lane.
    pub(super) async fn fresh(&mut self, track: &mut Track, map: &ClockMap) -> Result<()> {
        let range = self.steady(track.plan.fresh(), map);
        let news_from = track.plan.mark().map(|m| m.head);
        let mut plan = track.plan;
        plan.fresh_done(range);
        let read = self.window(&track.lane, map, range, Some(&plan), news_from).await;
        self.tell(Stage::Fresh, Some(range), plan.fraction());
        match read {
            Ok(found) => {
                track.plan = plan;
                self.tell_status(track, found.growing).await?;
            }
            Err(e) => {
                track.failed = true;
                self.tolerate(track.lane.recording.as_str(), e)?;
            }
        }
        Ok(())
    }

    /// A recorder that does not say whether it records shows it by a segment that grows.
    pub(super) async fn tell_status(&mut self, track: &Track, growing: bool) -> Result<()> {
        let Some(recording) = self.syncer.index.snapshot().recording(&track.lane.recording)? else {
            return Ok(());
        };
        let status = match (track.says, growing, recording.status) {
            (Some(_), _, said) => said,
            (None, true, _) => RecordingStatus::Recording,
            (None, false, RecordingStatus::Recording) => RecordingStatus::Stopped,
            (None, false, other) => other,
        };
        if status == recording.status {
            return Ok(());
        }
        let recording = Recording { status, ..(*recording).clone() };
        self.apply(vec![Change::Recording(Box::new(recording))]).await
    }

    /// What is older, the newest of all lanes first.
    pub(super) async fn backfill(
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
                Ok(found) => {
                    track.plan.back_done(range, found.items);
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

    /// Lists one window of a lane, merges it, and applies the difference in one batch. Returns what
    /// was listed. `news_from`: history from here on is published.
    pub(super) async fn window(
        &mut self,
        lane: &Lane,
        map: &ClockMap,
        range: UtcRange,
        plan: Option<&Plan>,
        news_from: Option<Utc>,
    ) -> Result<Found> {
        let index = Arc::clone(&self.syncer.index);
        // Footage that was fetched meanwhile may have shown another encoding.
        let snapshot = index.snapshot();
        let lane = &match snapshot.recording(&lane.recording)? {
            Some(recording) => lane.refreshed(&*snapshot, &recording)?,
            None => return Ok(Found { items: 0, growing: false }),
        };
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
        let recording = index.snapshot().recording(&lane.recording)?;
        if let (Some(touched), Some(recording)) = (touched(&merged.put, &known), recording) {
            let put = merged.put.iter().map(|s| ((s.track.clone(), s.id), s)).collect();
            let tracks = lane.tracks.clone();
            let history = history_of(&index, &recording, tracks, touched, &put).await?;
            changes.extend(history.changes);
            if let Some(from) = news_from {
                news = history::news(history.new, history.kept, from, &merged.put, &known);
            }
        }
        if let Some(mark) = plan.and_then(Plan::mark) {
            changes.push(self.watermark(&purpose(&lane.recording), &mark.to_string()));
        }
        self.apply(changes).await?;
        for event in &news {
            self.syncer.sink.publish(event);
        }
        let growing = listed.items.iter().any(|s| s.growing);
        Ok(Found { items: listed.items.len(), growing })
    }
}

/// Where the segments may lie that the items could be, in either pass of a reading.
fn reach(range: UtcRange, map: &ClockMap, items: &[dvrgate_adapter::SourceSegment]) -> UtcRange {
    let mut reach = range;
    for item in items {
        let start = map.to_utc(&item.start, Hint::NotAfter(Utc::MIN)).utc;
        let end = map.to_utc(&item.end, Hint::NotBefore(Utc::MAX)).utc;
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

pub(super) fn fraction(lanes: &[Track]) -> f64 {
    let sum: f64 = lanes.iter().map(|l| l.plan.fraction()).sum();
    if lanes.is_empty() { 1.0 } else { sum / lanes.len() as f64 }
}
