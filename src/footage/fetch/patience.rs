//! Whether and when a transfer that broke is taken up again. Pure.
//!
//! A viewer shall notice no more than a pause, and a recorder that is in trouble shall not be
//! hammered: what brings footage goes on almost at once, what brings none waits longer each time,
//! and neither many attempts without footage nor a long time without any are borne.

use std::time::{Duration, Instant};

use dvrgate_model::{Error, ErrorKind, Retry};

/// Pause after a break that brought footage, and the first after one that did not; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Breaks in a row that brought nothing.
const MAX_FRUITLESS: u32 = 4;
/// Without footage for this long the transfer is given up: a viewer's session lasts a minute.
const GIVE_UP: Duration = Duration::from_secs(45);

/// What one stretch of footage has gone through.
#[derive(Debug)]
pub(super) struct Patience {
    fruitless: u32,
    /// When something came last.
    fed: Instant,
}

impl Patience {
    pub(super) fn new(now: Instant) -> Self {
        Self { fruitless: 0, fed: now }
    }

    /// How long to wait before the footage is asked for again after this break; `None` where that
    /// does not help. `progressed`: this attempt brought footage.
    pub(super) fn pause(
        &mut self,
        error: &Error,
        progressed: bool,
        now: Instant,
    ) -> Option<Duration> {
        let Retry::Later(asked) = error.retry() else { return None };
        let asked = match error.kind() {
            // The connection is gone, the recorder is not: the layers beneath wait for it.
            ErrorKind::Unreachable | ErrorKind::Timeout => Duration::ZERO,
            // Somebody else has the session, or the request rate is used up.
            ErrorKind::Busy | ErrorKind::RateLimited => asked,
            // Whatever it says of itself: a second try is useless or, as with passwords, harmful.
            _ => return None,
        };
        if progressed {
            (self.fruitless, self.fed) = (0, now);
        } else {
            self.fruitless += 1;
        }
        let starved = now.saturating_duration_since(self.fed) >= GIVE_UP;
        if self.fruitless > MAX_FRUITLESS || starved {
            return None;
        }
        let grown = FIRST_PAUSE * 2u32.pow(self.fruitless);
        Some(grown.max(asked).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(kind: ErrorKind) -> Error {
        Error::new(kind, "broke off")
    }

    #[test]
    fn what_brings_footage_goes_on_at_once_and_what_does_not_waits_longer_each_time() {
        let now = Instant::now();
        let mut p = Patience::new(now);
        let unreachable = broken(ErrorKind::Unreachable);
        for _ in 0..100 {
            assert_eq!(p.pause(&unreachable, true, now), Some(FIRST_PAUSE));
        }
        let pauses: Vec<_> = (0..6).map(|_| p.pause(&unreachable, false, now)).collect();
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(pauses, [ms(500), ms(1_000), ms(2_000), ms(4_000), None, None]);
        assert_eq!(p.pause(&unreachable, true, now), Some(FIRST_PAUSE), "it lives");
    }

    #[test]
    fn a_long_time_without_footage_is_not_borne() {
        let now = Instant::now();
        let mut p = Patience::new(now);
        let stalled = broken(ErrorKind::Timeout);
        assert!(p.pause(&stalled, false, now + Duration::from_secs(20)).is_some());
        assert!(p.pause(&stalled, false, now + Duration::from_secs(44)).is_some());
        assert_eq!(p.pause(&stalled, false, now + GIVE_UP), None);
        assert!(p.pause(&stalled, true, now + GIVE_UP).is_some());
    }

    #[test]
    fn a_busy_recorder_is_given_the_time_it_asked_for() {
        let now = Instant::now();
        let busy = |s| broken(ErrorKind::Busy).with_retry(Retry::Later(Duration::from_secs(s)));
        let pause = |s| Patience::new(now).pause(&busy(s), true, now);
        assert_eq!(pause(2), Some(Duration::from_secs(2)));
        assert_eq!(pause(600), Some(LONGEST_PAUSE));
    }

    #[test]
    fn refused_log_ins_and_what_stays_as_it_is_are_never_tried_again() {
        use ErrorKind::*;
        let now = Instant::now();
        for kind in [Unauthenticated, PermissionDenied, NotFound, Unsupported, Malformed, Damaged] {
            assert_eq!(Patience::new(now).pause(&broken(kind), true, now), None, "{kind:?}");
            let hopeful = broken(kind).with_retry(Retry::Later(Duration::ZERO));
            assert_eq!(Patience::new(now).pause(&hopeful, true, now), None, "{kind:?}");
        }
        // The layers beneath tried it often enough.
        let tired = broken(Unreachable).with_retry(Retry::Exhausted);
        assert_eq!(Patience::new(now).pause(&tired, true, now), None);
    }
}
