//! Events while they happen: from a recorder's alert stream into the index and to subscribers.

use std::sync::Arc;

use dvrgate_adapter::{Device, Priority, SourceEvent};
use dvrgate_index::{Batch, Change, Scope, blocking};
use dvrgate_model::{ErrorKind, Result, SyncRunId};
use futures::StreamExt;

use crate::events::{Places, States, unknown};
use crate::pass::{by_channel, recordings_of};
use crate::restate::all_events;
use crate::{Syncer, metadata};

impl Syncer {
    /// Follows the alert stream until it ends for good; the adapter reconnects by itself. Returns
    /// whether asking again can help.
    pub(crate) async fn watch(&self, device: &Device) -> bool {
        let cx = device.cx(Priority::Export);
        let mut stream = device.adapter.watch(&cx);
        let mut states = States::default();
        while let Some(item) = stream.next().await {
            let taken = match item {
                Ok(event) => self.take(device, &event, &mut states).await,
                Err(e) => Err(e),
            };
            match taken {
                Ok(()) => {}
                Err(e)
                    if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::Unauthenticated) =>
                {
                    tracing::info!(device = %device.id, error = %e, "no alert stream");
                    return false;
                }
                Err(e) => tracing::info!(device = %device.id, error = %e, "alert stream"),
            }
        }
        true
    }

    /// One pushed event.
    async fn take(&self, device: &Device, event: &SourceEvent, states: &mut States) -> Result<()> {
        let received = self.clock.utc();
        let map = self.index.snapshot().clock(&device.id)?;
        let recordings = by_channel(&recordings_of(self, device)?)?;
        let places = Places {
            device: &device.id,
            map: &map,
            mapping: &device.mapping,
            recordings: &recordings,
        };
        let Some(placed) = places.live(event, received) else { return Ok(()) };
        if !states.is_news(&placed) {
            return Ok(());
        }
        let scope = Scope { recordings: Some(vec![placed.recording.clone()]) };
        let (from, to) = (placed.at.utc.plus_us(-NEAR_US), placed.at.utc.plus_us(NEAR_US));
        let index = Arc::clone(&self.index);
        let known = blocking(index.snapshot(), move |s| all_events(s, scope, from, to, None));
        for event in unknown(vec![placed], &known.await?) {
            // No sync run made it.
            let mut changes = vec![Change::Event(Box::new(event.clone()))];
            let told = std::slice::from_ref(&event);
            changes.extend(metadata::remember(&*index.snapshot(), &device.id, told)?);
            index.apply(Batch { run: SyncRunId::default(), changes }).await?;
            self.sink.publish(&event);
        }
        Ok(())
    }
}

const NEAR_US: i64 = 5_000_000;
