//! The part of a pass that looks at the clock, and restates what a new clock map moves.

use dvrgate_index::Change;
use dvrgate_model::{Result, Utc, ZoneRule};

use super::{EVENTS, Pass, RESTATE, purpose};
use crate::Stage;
use crate::clock::{Verdict, Why, judge, unmeasured};
use crate::measure::measure;
use crate::restate::{Order, restate};

impl Pass<'_> {
    pub(super) async fn look_at_clock(&mut self) -> Result<()> {
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
        let newest = epochs.iter().max_by_key(|e| e.id);
        let m = match measure(self.device, reads, believed.as_ref(), newest).await {
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
    pub(super) async fn learn(
        &mut self,
        verdict: Verdict,
        checked: Option<(ZoneRule, Utc)>,
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
    pub(super) async fn finish_restating(&mut self) -> Result<()> {
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
}

fn order_name(why: Why) -> &'static str {
    if why == Why::Zone { "unknown" } else { "as-before" }
}
