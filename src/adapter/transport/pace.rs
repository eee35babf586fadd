//! How fast a recorder is asked: one request at a time leaves the queue, first come, first served.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use ::tokio::sync::Mutex as AsyncMutex;
use dvrgate_model::{Error, Result};
use governor::clock::Clock;
use governor::{Quota, RateLimiter};

type Limiter = RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    TimerClock,
    governor::middleware::NoOpMiddleware<Instant>,
>;

/// The way to the recorder delays one request more than another by about so much. The rate holds at
/// the recorder all the same: any second there sees no more requests than it allows.
const JITTER: Duration = Duration::from_millis(100);

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
    pub fn new(requests_per_second: f64) -> Result<Self> {
        let rate = requests_per_second;
        if !rate.is_finite() || rate <= 0.0 {
            return Err(Error::invalid(format!(
                "requests_per_second = {rate}: use a number above 0, for instance 5"
            )));
        }
        let second = Duration::from_secs(1) + JITTER;
        let quota = Duration::try_from_secs_f64(second.as_secs_f64() / rate)
            .ok()
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
