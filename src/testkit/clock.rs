//! Clocks: the machine's, and one that tests move by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dvrgate_model::Utc;
use dvrgate_model::ports::Clock;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn utc(&self) -> Utc {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Utc::from_micros(since.as_micros() as i64)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that starts where it is told and moves when it is told; optionally it runs as well.
#[derive(Debug)]
pub struct SimulatedClock {
    started: Instant,
    origin: Utc,
    running: bool,
    moved_us: AtomicI64,
}

impl SimulatedClock {
    /// Stands still at `utc` until moved.
    pub fn frozen_at(utc: Utc) -> Self {
        Self { started: Instant::now(), origin: utc, running: false, moved_us: AtomicI64::new(0) }
    }

    /// Runs from `utc` at the speed of the machine's clock.
    pub fn running_from(utc: Utc) -> Self {
        Self { running: true, ..Self::frozen_at(utc) }
    }

    /// Moves both readings forward.
    pub fn advance(&self, by: Duration) {
        self.moved_us.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }

    fn passed_us(&self) -> i64 {
        let ran = if self.running { self.started.elapsed().as_micros() as i64 } else { 0 };
        ran + self.moved_us.load(Ordering::SeqCst)
    }
}

impl Clock for SimulatedClock {
    fn utc(&self) -> Utc {
        self.origin.plus_us(self.passed_us())
    }

    fn now(&self) -> Instant {
        self.started + Duration::from_micros(self.passed_us() as u64)
    }
}
