//! Asks again where the error says that it can help, a bounded number of times, with growing
//! pauses.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use dvrgate_model::{Error, ErrorKind, Result, Retry};
use futures::future::BoxFuture;

use super::{Around, Call, Op};
use crate::Cx;
use crate::transport::tokio::{now, sleep};

/// How often and how soon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retries {
    /// Calls in all, the first included.
    pub attempts: u32,
    /// Pause after the first; doubled with each.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct RetryLayer(Retries);

impl RetryLayer {
    /// With these bounds.
    pub fn new(retries: Retries) -> Self {
        Self(retries)
    }

    /// How long to wait before asking again, or `None` where that is pointless.
    fn pause(&self, error: &Error, attempt: u32) -> Option<Duration> {
        let Retry::Later(asked) = error.retry() else { return None };
        let never = matches!(
            error.kind(),
            ErrorKind::Unauthenticated | ErrorKind::PermissionDenied | ErrorKind::InvalidArgument
        );
        if never || attempt >= self.0.attempts {
            return None;
        }
        let grown = self.0.first_pause.saturating_mul(2u32.saturating_pow(attempt - 1));
        Some(jittered(grown.max(asked).min(self.0.longest_pause)))
    }
}

/// Up to a quarter longer, so that devices that fell together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8) % 256;
    pause + pause.mul_f64(random as f64 / 1024.0)
}

impl Around for RetryLayer {
    fn around<'a, T: Send + 'a>(
        &'a self,
        cx: &'a Cx,
        op: Op,
        call: Call<'a, T>,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            let mut attempt = 1;
            loop {
                let error = match call(cx.clone()).await {
                    Ok(value) => return Ok(value),
                    Err(e) => e,
                };
                let pause = self.pause(&error, attempt);
                let late = |p: &Duration| cx.deadline.is_some_and(|d| now() + *p >= d);
                let Some(pause) = pause.filter(|p| !late(p)) else {
                    let tired = attempt > 1 && matches!(error.retry(), Retry::Later(_));
                    return Err(match tired {
                        true => error.with_retry(Retry::Exhausted).with("attempts", attempt),
                        false => error,
                    });
                };
                tracing::debug!(op = op.name(), attempt, error = %error, ?pause, "asking again");
                sleep(pause).await;
                attempt += 1;
            }
        })
    }
}
