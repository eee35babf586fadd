//! Search sessions: R6.2.3, ONVIF Recording Search 5.2.3.
//!
//! A session lives from Find to the answer that says `Completed`, to EndSearch, or until nobody
//! named it for its keep-alive time. The index answers at once, so a result request never has to
//! wait: it takes the next page and either there is more or the search is complete.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dvrgate_model::ports::Clock;
use dvrgate_model::{Error, ErrorKind, Result, Utc};
use parking_lot::Mutex;
use rand::Rng;

/// Sessions at the same time. Some clients never end theirs and wait for the keep-alive to expire.
pub const MAX_SESSIONS: usize = 256;
/// What a client may ask for; longer wishes are shortened (R6.7-4 asks for at least 10 s).
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(120);
/// A wish of zero would be dead on arrival.
const MIN_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Sessions whose state is an `S` each: one table a kind of search, so that a token of one kind is
/// unknown to another (R6.1-2).
#[derive(Debug)]
pub struct Sessions<S> {
    clock: Arc<dyn Clock>,
    table: Mutex<HashMap<String, Entry<S>>>,
}

#[derive(Debug)]
struct Entry<S> {
    keep_alive: Duration,
    expires: Instant,
    /// Results that may still be delivered; `None` for no bound.
    left: Option<u64>,
    /// Taken out while a request works on it.
    state: Option<S>,
    /// What EndSearch reports.
    reached: Utc,
}

/// What a result request works on. Give it back with [`Sessions::put_back`] or drop it to end the
/// session.
#[derive(Debug)]
pub struct Lease<S> {
    token: String,
    /// The session's own state.
    pub state: S,
    /// Results that may still be delivered.
    pub left: Option<u64>,
}

impl<S> Sessions<S> {
    /// No sessions yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, table: Mutex::default() }
    }

    /// Starts a session and returns its token: 128 random bits, so none is ever used again
    /// (R6.2.3-1, R6.2.3-6).
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] when [`MAX_SESSIONS`] are open.
    pub fn start(
        &self,
        state: S,
        keep_alive: Duration,
        max_matches: Option<u64>,
        start: Utc,
    ) -> Result<String> {
        let now = self.clock.now();
        let mut table = self.table.lock();
        table.retain(|_, e| e.expires > now);
        if table.len() >= MAX_SESSIONS {
            return Err(Error::new(ErrorKind::LimitExceeded, "too many search sessions are open"));
        }
        let keep_alive = keep_alive.clamp(MIN_KEEP_ALIVE, MAX_KEEP_ALIVE);
        let token = format!("search-{:032x}", rand::rng().random::<u128>());
        table.insert(
            token.clone(),
            Entry {
                keep_alive,
                expires: now + keep_alive,
                left: max_matches,
                state: Some(state),
                reached: start,
            },
        );
        Ok(token)
    }

    /// Takes a session for a result request and restarts its keep-alive (R6.2.3-3).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a token that is unknown, ended, expired, or in use by another
    /// request at this moment.
    pub fn take(&self, token: &str) -> Result<Lease<S>> {
        let now = self.clock.now();
        let mut table = self.table.lock();
        table.retain(|_, e| e.expires > now);
        let entry = table.get_mut(token).ok_or_else(unknown)?;
        entry.expires = now + entry.keep_alive;
        let state = entry.state.take().ok_or_else(unknown)?;
        Ok(Lease { token: token.to_owned(), state, left: entry.left })
    }

    /// Gives a session back after `delivered` results that reached `reached`. Nothing happens where
    /// EndSearch came in between.
    pub fn put_back(&self, lease: Lease<S>, delivered: u64, reached: Utc) {
        let now = self.clock.now();
        if let Some(entry) = self.table.lock().get_mut(&lease.token) {
            entry.state = Some(lease.state);
            entry.left = lease.left.map(|left| left.saturating_sub(delivered));
            entry.reached = reached;
            entry.expires = now + entry.keep_alive;
        }
    }

    /// Ends a session that is complete (R6.2.3-4).
    pub fn complete(&self, lease: Lease<S>) {
        self.table.lock().remove(&lease.token);
    }

    /// EndSearch: where the search has come to (R6.15-2), or `None` for an unknown token.
    pub fn end(&self, token: &str) -> Option<Utc> {
        let now = self.clock.now();
        let mut table = self.table.lock();
        table.retain(|_, e| e.expires > now);
        table.remove(token).map(|e| e.reached)
    }
}

fn unknown() -> Error {
    Error::not_found("no such search session; it may have ended or expired")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct TestClock(Mutex<Instant>);

    impl TestClock {
        fn pass(&self, secs: f64) {
            *self.0.lock() += Duration::from_secs_f64(secs);
        }
    }

    impl Clock for TestClock {
        fn utc(&self) -> Utc {
            Utc::default()
        }
        fn now(&self) -> Instant {
            *self.0.lock()
        }
    }

    fn sessions() -> (Arc<TestClock>, Sessions<u32>) {
        let clock = Arc::new(TestClock(Mutex::new(Instant::now())));
        (clock.clone(), Sessions::new(clock))
    }

    fn start(s: &Sessions<u32>) -> String {
        s.start(7, Duration::from_secs(10), Some(3), Utc::from_secs(5)).unwrap()
    }

    #[test]
    fn a_session_lives_while_it_is_named() {
        // R6.2.3-2, R6.2.3-3
        let (clock, s) = sessions();
        let token = start(&s);
        for _ in 0..3 {
            clock.pass(9.0);
            let lease = s.take(&token).unwrap();
            s.put_back(lease, 1, Utc::from_secs(6));
        }
        clock.pass(10.1);
        assert_eq!(s.take(&token).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(s.end(&token), None);
    }

    #[test]
    fn end_and_completion_forget_the_token() {
        // R6.2.3-4, R6.2.3-5, R6.15-1, R6.15-2, R6.15-4
        let (_, s) = sessions();
        let token = start(&s);
        assert_eq!(s.end(&token), Some(Utc::from_secs(5)), "not begun: the start point");
        assert_eq!(s.end(&token), None);
        let token = start(&s);
        let lease = s.take(&token).unwrap();
        assert_eq!((lease.state, lease.left), (7, Some(3)));
        s.complete(lease);
        assert!(s.take(&token).is_err());
    }

    #[test]
    fn end_search_wins_over_a_request_in_progress() {
        let (_, s) = sessions();
        let token = start(&s);
        let lease = s.take(&token).unwrap();
        assert!(s.take(&token).is_err(), "one request at a time");
        assert!(s.end(&token).is_some());
        s.put_back(lease, 0, Utc::default());
        assert!(s.take(&token).is_err());
    }

    #[test]
    fn tokens_differ_and_are_bounded_in_number() {
        // R6.2.3-1, R6.2.3-6, R6.7-7
        let (clock, s) = sessions();
        let tokens: std::collections::HashSet<String> =
            (0..MAX_SESSIONS).map(|_| start(&s)).collect();
        assert_eq!(tokens.len(), MAX_SESSIONS);
        assert!(tokens.iter().all(|t| t.len() <= 64));
        let refused = s.start(0, Duration::from_secs(10), None, Utc::default()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
        clock.pass(11.0);
        start(&s);
    }
}
