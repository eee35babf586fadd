//! The part of a pass that reads the recorder's log: what is new, then what is older.

use dvrgate_index::{Change, Scope, blocking};
use dvrgate_model::{ClockMap, Convention, Result, Utc, UtcRange};

use super::{EVENTS, Pass, doubled};
use crate::events::{Places, unknown};
use crate::restate::all_events;
use crate::windows::{Cut, Plan, Watermark};
use crate::{Stage, listing, metadata};

impl Pass<'_> {
    /// What is new of the log. `None` where the recorder has none, or it failed.
    pub(super) async fn fresh_log(&mut self, map: &ClockMap) -> Result<Option<Plan>> {
        let support = self.device.adapter.capabilities().events;
        if !support.offered {
            return Ok(None);
        }
        let snapshot = self.syncer.index.snapshot();
        let mark = snapshot.watermark(&self.device.id, EVENTS)?;
        let mark = mark.as_deref().and_then(Watermark::parse);
        let mut plan = Plan::new(mark, self.log_cut()?, self.syncer.clock.utc());
        let range = self.steady(plan.fresh(), map);
        let news_from = plan.mark().map(|m| m.head);
        plan.fresh_done(range);
        match self.log(map, range, &plan, news_from).await {
            Ok(_) => Ok(Some(plan)),
            Err(e) => self.tolerate("events", e).map(|()| None),
        }
    }

    /// At most `budget` windows of what is older, as far back as there is footage. Returns whether
    /// all is known now.
    pub(super) async fn old_log(
        &mut self,
        plan: Option<Plan>,
        map: &ClockMap,
        budget: usize,
    ) -> Result<bool> {
        let support = self.device.adapter.capabilities().events;
        let Some(mut plan) = plan else { return Ok(!support.offered) };
        // Back-fill found footage meanwhile.
        plan.recut(self.log_cut()?);
        for _ in 0..budget {
            let Some(back) = plan.back() else { break };
            let range = self.steady(back, map);
            let mut next = plan;
            next.back_done(range, usize::MAX);
            let halved = self.report.halved;
            let items = match self.log(map, range, &next, None).await {
                Ok(items) => items,
                Err(e) => return self.tolerate("events", e).map(|()| false),
            };
            plan.back_done(range, items);
            if self.report.halved > halved {
                let parts = (self.report.halved - halved + 1) as i64;
                plan.too_full(range.duration_us() / parts);
            }
            self.tell(Stage::Events, Some(range), plan.fraction());
        }
        Ok(plan.back().is_none())
    }

    /// Nobody looks for what happened before the oldest footage, and logs are slow to read.
    fn log_cut(&self) -> Result<Cut> {
        let cut = self.cut();
        let oldest = self.recordings()?.iter().filter_map(|r| r.data()).map(|d| d.start()).min();
        let now = self.syncer.clock.utc();
        let age_us = oldest.map_or(0, |t| now.since_us(t).max(0)) + DAY_US;
        Ok(Cut { first_us: DAY_US, horizon_us: cut.horizon_us.min(age_us), ..cut })
    }

    /// One window of the log.
    pub(super) async fn log(
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
        let snapshot = self.syncer.index.snapshot();
        changes.extend(metadata::remember(&*snapshot, &self.device.id, &new)?);
        if let Some(mark) = plan.mark() {
            changes.push(self.watermark(EVENTS, &mark.to_string()));
        }
        self.apply(changes).await?;
        for event in new.iter().filter(|e| news_from.is_some_and(|from| e.at.utc >= from)) {
            self.syncer.sink.publish(event);
        }
        Ok(listed.items.len())
    }
}

const DAY_US: i64 = 86_400_000_000;
/// Events this close may be the same one.
const NEAR_US: i64 = 5_000_000;
