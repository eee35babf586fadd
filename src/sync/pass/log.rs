//! The part of a pass that reads the recorder's log: what is new, then what is older.

use dvrgate_index::{Change, Scope, blocking};
use dvrgate_model::{ClockMap, Convention, Result, Utc, UtcRange};

use super::{EVENTS, Pass, doubled};
use crate::events::{Places, unknown};
use crate::restate::all_events;
use crate::windows::{Plan, Watermark};
use crate::{Stage, listing};

impl Pass<'_> {
    /// The log: what is new, then at most `budget` windows of what is older. Returns whether all is
    /// known now.
    pub(super) async fn events(&mut self, map: &ClockMap, mut budget: usize) -> Result<bool> {
        let support = self.device.adapter.capabilities().events;
        if !support.offered {
            return Ok(true);
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
                Err(e) => return self.tolerate("events", e).map(|()| false),
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
            match plan.back().filter(|_| budget > 0) {
                Some(back) => range = self.steady(back, map),
                None => return Ok(plan.mark().is_some_and(|m| m.complete)),
            }
            budget -= 1;
        }
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

/// Events this close may be the same one.
const NEAR_US: i64 = 5_000_000;
