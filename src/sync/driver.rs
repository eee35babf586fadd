//! The background: looks at every recorder again and again, and follows its alert stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dvrgate_adapter::Device;
use dvrgate_model::{Error, ErrorKind, Fault, Retry};
use tokio::task::JoinSet;

use crate::Syncer;
use crate::pass::Due;

impl Syncer {
    /// Runs until `shutdown` is true (or its sender is gone). Whatever is being done then is
    /// dropped: batches are atomic, so nothing is left half done.
    pub async fn run(self: Arc<Self>, mut shutdown: tokio::sync::watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for device in self.devices.clone() {
            let syncer = Arc::clone(&self);
            let watched = device.clone();
            tasks.spawn(async move { syncer.follow(&device).await });
            if self.options.watch {
                let syncer = Arc::clone(&self);
                tasks.spawn(async move { syncer.listen(&watched).await });
            }
        }
        // An error means that the sender is gone.
        shutdown.wait_for(|stop| *stop).await.ok();
        tasks.shutdown().await;
    }

    /// Passes over one recorder, for ever.
    async fn follow(&self, device: &Device) {
        let mut told = None;
        loop {
            let due = self.due(device).await;
            let pause = match self.pass(device, due, &|_| {}).await {
                Ok(report) => {
                    told = None;
                    // What failed is not asked again at once.
                    let more = !report.complete && report.errors.is_empty();
                    if more { BACKFILL_PAUSE } else { self.options.fresh_every }
                }
                Err(e) => {
                    // Once, not with every pass that fails for the same reason.
                    match remedy(&e).filter(|todo| told != Some(*todo)) {
                        Some(todo) => {
                            tracing::warn!(device = %device.id, error = %e, todo, "sync failed");
                            told = Some(todo);
                        }
                        None => tracing::info!(device = %device.id, error = %e, "sync failed"),
                    }
                    self.pause_after(&e)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// What is due, whoever did it last.
    async fn due(&self, device: &Device) -> Due {
        let o = &self.options;
        let backfill = o.backfill_windows;
        let Some(timers) = self.turns.get(&device.id) else {
            return Due { backfill, ..Due::everything() };
        };
        let (timers, now) = (timers.lock().await, self.clock.now());
        Due {
            identify: timers.identify.is_due(now, o.identify_every),
            clock: timers.clock.is_due(now, o.clock_every),
            oldest: timers.oldest.is_due(now, o.oldest_every),
            backfill,
        }
    }

    /// The alert stream of one recorder, as long as that makes sense.
    async fn listen(&self, device: &Device) {
        while device.adapter.capabilities().watch {
            if !self.watch(device).await {
                return;
            }
            tokio::time::sleep(self.options.fresh_every).await;
        }
    }

    fn pause_after(&self, e: &Error) -> Duration {
        let usual = self.options.fresh_every;
        match (e.kind(), e.retry()) {
            // Nothing is sent until the settings change; look now and then whether they did.
            (ErrorKind::Unauthenticated, _) => usual.max(LOCKED_OUT_PAUSE),
            (_, Retry::Later(after)) => usual.max(after),
            _ => usual,
        }
    }
}

/// What the operator can do about a failed sync.
fn remedy(e: &Error) -> Option<&'static str> {
    match (e.kind(), e.fault()) {
        (ErrorKind::LimitExceeded, Fault::Gateway) => Some("make space on the disk of data_dir"),
        (ErrorKind::Damaged | ErrorKind::Internal, Fault::Gateway) => {
            Some("see that data_dir can be written, and start the gateway again")
        }
        (ErrorKind::Unauthenticated, _) => {
            Some("correct username and password of the device, and start the gateway again")
        }
        (ErrorKind::PermissionDenied, _) => {
            Some("give the account on the recorder the right to play back and to search")
        }
        (ErrorKind::Unreachable, _) => Some("see that the recorder is on and the address right"),
        _ => None,
    }
}

/// When what was done last.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    identify: Timer,
    clock: Timer,
    oldest: Timer,
}

impl Timers {
    pub fn done(&mut self, now: Instant, due: Due) {
        for (timer, was_due) in [
            (&mut self.identify, due.identify),
            (&mut self.clock, due.clock),
            (&mut self.oldest, due.oldest),
        ] {
            if was_due {
                timer.0 = Some(now);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Timer(Option<Instant>);

impl Timer {
    fn is_due(&self, now: Instant, every: Duration) -> bool {
        self.0.is_none_or(|last| now.saturating_duration_since(last) >= every)
    }
}

/// Between passes while there is back-fill to do: others get their turn.
const BACKFILL_PAUSE: Duration = Duration::from_millis(200);
const LOCKED_OUT_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_can_mend_comes_with_the_remedy() {
        let of = |kind, fault| remedy(&Error::new(kind, "test").with_fault(fault));
        let full = of(ErrorKind::LimitExceeded, Fault::Gateway).unwrap();
        assert!(full.contains("space") && full.contains("data_dir"), "{full}");
        let refused = of(ErrorKind::Unauthenticated, Fault::Device).unwrap();
        assert!(refused.contains("password"), "{refused}");
        // The recorder's own limits, and what passes by itself.
        assert_eq!(of(ErrorKind::LimitExceeded, Fault::Device), None);
        assert_eq!(of(ErrorKind::Busy, Fault::Device), None);
        assert_eq!(of(ErrorKind::Damaged, Fault::Device), None);
    }
}
