//! How fast a recorder is asked: one request at a time leaves the queue, first come, first served.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use ::tokio::sync::Mutex as AsyncMutex;
use dvrgate_model::{Error, Result};
use governor::clock::Clock;
use governor::{Quota, RateLimiter};

use crate::DeviceLimits;

type Limiter = RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    TimerClock,
    governor::middleware::NoOpMiddleware<Instant>,
>;

/// See the module documentation.
pub(super) struct Pace {
    /// Held by whoever is next.
    turn: AsyncMutex<Limiter>,
}

/// The clock of the timers, so that the limiter and its waits agree.
#[derive(Clone, Copy, Debug)]
struct TimerClock;

impl Clock for TimerClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        super::tokio::now()
    }
}

impl Pace {
    pub fn new(limits: &DeviceLimits) -> Result<Self> {
        let rate = limits.requests_per_second;
        if !rate.is_finite() || rate <= 0.0 {
            return Err(Error::invalid(format!(
                "requests_per_second = {rate}: use a number above 0, for instance 5"
            )));
        }
        let quota = Some(limits.pause())
            .filter(|pause| *pause < Duration::MAX)
            .and_then(Quota::with_period)
            .ok_or_else(|| Error::invalid(format!("requests_per_second = {rate} is no rate")))?
            .allow_burst(NonZeroU32::MIN);
        Ok(Self { turn: AsyncMutex::new(RateLimiter::direct_with_clock(quota, TimerClock)) })
    }

    /// Waits for its turn.
    pub async fn turn(&self) {
        let limiter = self.turn.lock().await;
        while let Err(not_until) = limiter.check() {
            super::tokio::sleep(not_until.wait_time_from(TimerClock.now())).await;
        }
    }
}
