//! How the gateway gets on with a recorder: a small state machine fed with the outcome of calls.
//!
//! `Unknown` → `Ready` with the first answer; `Degraded` while something is wrong with the answers
//! or the clock; `Unreachable` while there are none, with a growing pause between attempts;
//! `LockedOut` once it refused our credentials, until the settings change.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dvrgate_model::ports::Trouble;
use dvrgate_model::{DeviceState, Error, ErrorKind, Result, Retry};
use parking_lot::Mutex;

use crate::Priority;

/// See the module documentation. Shared by the layers, sync and metrics.
#[derive(Debug, Default)]
pub struct Health(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    answered: bool,
    locked_out: bool,
    /// Calls in a row without an answer.
    silent: u32,
    unreachable: bool,
    next_try: Option<Instant>,
    /// What is wrong, by subject.
    warnings: BTreeMap<&'static str, String>,
}

impl Health {
    /// The state now.
    pub fn state(&self) -> DeviceState {
        self.0.lock().state()
    }

    /// What keeps us from the recorder, if anything does.
    pub fn trouble(&self) -> Option<Trouble> {
        let inner = self.0.lock();
        match inner.state() {
            DeviceState::LockedOut => Some(Trouble::LoginRefused),
            DeviceState::Unreachable => Some(Trouble::Unreachable),
            _ if inner.warnings.contains_key(SESSIONS) => Some(Trouble::NoSession),
            _ => None,
        }
    }

    /// What is wrong, by subject: for people.
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        self.0.lock().warnings.iter().map(|(k, v)| (*k, v.clone())).collect()
    }

    /// Whether a call may be made. While the recorder is unreachable only somebody who looks at a
    /// screen may try before the pause is over.
    pub fn admit(&self, now: Instant, priority: Priority) -> Result<()> {
        let inner = self.0.lock();
        if inner.locked_out {
            let message = "the recorder refused the credentials; nothing is sent until they change";
            return Err(Error::new(ErrorKind::Unauthenticated, message));
        }
        let wait = inner.next_try.map_or(Duration::ZERO, |t| t.saturating_duration_since(now));
        if wait.is_zero() || priority == Priority::Replay {
            return Ok(());
        }
        let message = format!("no answer; the next try is in {} s", wait.as_secs_f32().ceil());
        Err(Error::new(ErrorKind::Unreachable, message).with_retry(Retry::Later(wait)))
    }

    /// Takes the outcome of a call; returns the states before and after where they differ.
    pub fn observe(
        &self,
        now: Instant,
        outcome: Result<(), &Error>,
    ) -> Option<(DeviceState, DeviceState)> {
        let mut inner = self.0.lock();
        let before = inner.state();
        match outcome.map_err(|e| (e.kind(), e)) {
            Ok(()) => inner.answer(None),
            Err((ErrorKind::Unauthenticated, _)) => inner.locked_out = true,
            Err((kind @ (ErrorKind::Unreachable | ErrorKind::Timeout), _)) => {
                inner.silence(now, kind == ErrorKind::Unreachable);
            }
            Err((ErrorKind::Malformed | ErrorKind::Damaged, e)) => {
                inner.answer(Some((ANSWERS, e)));
            }
            Err((ErrorKind::Busy, e)) => inner.answer(Some((SESSIONS, e))),
            // Not the recorder's answer at all.
            Err((
                ErrorKind::InvalidArgument
                | ErrorKind::Cancelled
                | ErrorKind::Internal
                | ErrorKind::NotImplemented
                | ErrorKind::RateLimited
                | ErrorKind::Unsupported,
                _,
            )) => {}
            Err(_) => inner.answer(None),
        }
        let after = inner.state();
        (before != after).then_some((before, after))
    }

    /// Says or takes back that something is wrong, for instance with the clock.
    pub fn warn(&self, subject: &'static str, what: Option<String>) {
        let mut inner = self.0.lock();
        match what {
            Some(text) => inner.warnings.insert(subject, text),
            None => inner.warnings.remove(subject),
        };
    }

    /// The settings changed: everything is unknown again.
    pub fn reset(&self) {
        *self.0.lock() = Inner::default();
    }
}

impl Inner {
    fn state(&self) -> DeviceState {
        if self.locked_out {
            DeviceState::LockedOut
        } else if self.unreachable {
            DeviceState::Unreachable
        } else if !self.warnings.is_empty() || self.silent > 0 {
            DeviceState::Degraded
        } else if self.answered {
            DeviceState::Ready
        } else {
            DeviceState::Unknown
        }
    }

    fn answer(&mut self, wrong: Option<(&'static str, &Error)>) {
        self.answered = true;
        self.silent = 0;
        self.unreachable = false;
        self.next_try = None;
        self.warnings.remove(ANSWERS);
        self.warnings.remove(SESSIONS);
        if let Some((subject, e)) = wrong {
            self.warnings.insert(subject, e.to_string());
        }
    }

    fn silence(&mut self, now: Instant, certain: bool) {
        // Who looks at a screen may try in the pause, and several may at once. That teaches nothing
        // new, and keeps sync no longer from noticing that the recorder is back.
        if self.next_try.is_some_and(|t| now < t) {
            return;
        }
        self.silent = self.silent.saturating_add(1);
        if certain || self.silent >= TIMEOUTS_TO_UNREACHABLE {
            self.unreachable = true;
            let pause = FIRST_PAUSE * 2u32.saturating_pow(self.silent.min(16) - 1);
            self.next_try = Some(now + pause.min(LONGEST_PAUSE));
        }
    }
}

/// Subject of the warning about answers that cannot be read.
const ANSWERS: &str = "answers";
/// Subject of the warning about answers that it has no room for us.
const SESSIONS: &str = "sessions";
/// One lost answer is no outage.
const TIMEOUTS_TO_UNREACHABLE: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "test")
    }

    #[test]
    fn states_follow_the_outcome_of_calls() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.state(), DeviceState::Unknown);
        let change = health.observe(now, Ok(()));
        assert_eq!(change, Some((DeviceState::Unknown, DeviceState::Ready)));
        assert_eq!(health.observe(now, Ok(())), None);
        health.observe(now, Err(&error(ErrorKind::Busy)));
        assert_eq!(health.state(), DeviceState::Degraded);
        assert_eq!(health.trouble(), Some(Trouble::NoSession));
        health.observe(now, Err(&error(ErrorKind::Malformed)));
        assert_eq!((health.state(), health.trouble()), (DeviceState::Degraded, None));
        health.observe(now, Ok(()));
        assert_eq!(health.state(), DeviceState::Ready);
        health.warn("clock", Some("stepped by 3600 s".into()));
        assert_eq!(health.state(), DeviceState::Degraded);
        health.warn("clock", None);
        assert_eq!(health.state(), DeviceState::Ready);
        for _ in 0..TIMEOUTS_TO_UNREACHABLE - 1 {
            health.observe(now, Err(&error(ErrorKind::Timeout)));
            assert_eq!((health.state(), health.trouble()), (DeviceState::Degraded, None));
        }
        health.observe(now, Err(&error(ErrorKind::Timeout)));
        assert_eq!(health.state(), DeviceState::Unreachable);
        assert_eq!(health.trouble(), Some(Trouble::Unreachable));
        health.observe(now, Err(&error(ErrorKind::Unauthenticated)));
        assert_eq!(health.state(), DeviceState::LockedOut);
        assert_eq!(health.trouble(), Some(Trouble::LoginRefused));
        assert!(health.admit(now, Priority::Replay).is_err());
        health.reset();
        assert_eq!(health.trouble(), None);
        assert!(health.admit(now, Priority::Backfill).is_ok());
    }

    #[test]
    fn an_unreachable_recorder_is_left_alone_for_growing_times() {
        let health = Health::default();
        let mut now = Instant::now();
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            health.observe(now, Err(&error(ErrorKind::Unreachable)));
            assert!(health.admit(now, Priority::Replay).is_ok());
            for _ in 0..10 {
                health.observe(now, Err(&error(ErrorKind::Unreachable)));
            }
            let refused = health.admit(now, Priority::Backfill).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unreachable);
            let Retry::Later(pause) = refused.retry() else { panic!("{refused:?}") };
            assert!(pause >= last && pause <= LONGEST_PAUSE, "{pause:?}");
            last = pause;
            now += pause;
            assert!(health.admit(now, Priority::Backfill).is_ok());
        }
        assert_eq!(last, LONGEST_PAUSE);
        health.observe(now, Ok(()));
        assert!(health.admit(now, Priority::Backfill).is_ok());
    }
}
