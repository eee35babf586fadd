//! Who may log in: one account, counted failures, lock-out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::counters::Counters;

/// Counts wrong passwords per user and address and locks when there were too many.
#[derive(Debug)]
pub struct LoginGuard {
    /// Wrong attempts until the lock; none: never locks.
    attempts: Option<u32>,
    lock: Duration,
    counters: Counters,
    ledger: Mutex<HashMap<(String, IpAddr), Entry>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    wrong: u32,
    ever_wrong: bool,
    locked_until: Option<Instant>,
}

/// How a user at an address stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// How long it is locked out for.
    pub locked_for: Option<Duration>,
    /// Attempts left.
    pub attempts_left: u32,
}

impl LoginGuard {
    /// `attempts` wrong ones lock for `lock`.
    pub fn new(attempts: Option<u32>, lock: Duration, counters: Counters) -> Self {
        Self { attempts, lock, counters, ledger: Mutex::default() }
    }

    /// Judges an attempt: whether it may pass. Even the right password does not pass a lock.
    pub fn judge(&self, user: &str, from: IpAddr, right: bool, now: Instant) -> bool {
        let mut ledger = self.ledger.lock();
        let entry = ledger.entry((user.to_owned(), from)).or_default();
        if entry.locked_until.is_some_and(|until| until <= now) {
            *entry = Entry { ever_wrong: entry.ever_wrong, ..Entry::default() };
        }
        let locked = entry.locked_until.is_some();
        if right && !locked {
            entry.wrong = 0;
            return true;
        }
        let again = std::mem::replace(&mut entry.ever_wrong, true);
        entry.wrong += 1;
        let lock = !locked && self.attempts.is_some_and(|n| entry.wrong >= n);
        if lock {
            entry.locked_until = Some(now + self.lock);
        }
        self.counters.count(|r| {
            r.log_ins_refused += 1;
            r.log_ins_after_refusal += u64::from(again);
            r.lock_outs += u64::from(lock);
        });
        false
    }

    /// How it stands, without spending an attempt.
    pub fn standing(&self, user: &str, from: IpAddr, now: Instant) -> Standing {
        let ledger = self.ledger.lock();
        let entry = ledger.get(&(user.to_owned(), from)).copied().unwrap_or_default();
        let locked_for = entry.locked_until.and_then(|until| until.checked_duration_since(now));
        let locked_for = locked_for.filter(|d| !d.is_zero());
        let wrong =
            if entry.locked_until.is_some() && locked_for.is_none() { 0 } else { entry.wrong };
        let attempts_left = self.attempts.map_or(u32::MAX, |n| n.saturating_sub(wrong));
        Standing { locked_for, attempts_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_wrong_passwords_lock_even_the_right_one_out() {
        let counters = Counters::default();
        let guard = LoginGuard::new(Some(3), Duration::from_secs(1800), counters.clone());
        let (here, now) = (IpAddr::from([127, 0, 0, 1]), Instant::now());
        assert!(!guard.judge("admin", here, false, now));
        assert!(guard.judge("admin", here, true, now));
        for left in [2, 1, 0] {
            assert!(!guard.judge("admin", here, false, now));
            assert_eq!(guard.standing("admin", here, now).attempts_left, left);
        }
        assert!(!guard.judge("admin", here, true, now));
        assert!(guard.judge("admin", IpAddr::from([127, 0, 0, 2]), true, now));
        let locked = guard.standing("admin", here, now + Duration::from_secs(800)).locked_for;
        assert_eq!(locked, Some(Duration::from_secs(1000)));
        assert!(guard.judge("admin", here, true, now + Duration::from_secs(1800)));
        let r = counters.read();
        assert_eq!((r.log_ins_refused, r.log_ins_after_refusal, r.lock_outs), (5, 4, 1));
    }
}
