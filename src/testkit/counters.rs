//! What a simulated recorder saw of its clients: the proof that it was treated with care.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Counts; cheap to clone, all clones are the same counters.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    readings: CounterReadings,
    recent: VecDeque<Instant>,
}

/// How it stands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct CounterReadings {
    /// Requests of the control protocol.
    pub requests: u64,
    /// Most requests in any one second.
    pub requests_per_second_max: u64,
    /// Requests by what they asked for (method and path without numbers and query).
    pub requests_by_path: BTreeMap<String, u64>,
    /// Connections open now.
    pub connections_open: u64,
    /// Most connections at one time.
    pub connections_max: u64,
    /// Playback sessions and downloads open now.
    pub playback_open: u64,
    /// Most of them at one time.
    pub playback_max: u64,
    /// All of them so far.
    pub playback_started: u64,
    /// Those that were refused because the recorder had no more.
    pub playback_refused: u64,
    /// Sessions whose connection broke without a good-bye.
    pub playback_abandoned: u64,
    /// Requests with credentials that were wrong.
    pub log_ins_refused: u64,
    /// Requests with wrong credentials after such credentials had been refused before.
    pub log_ins_after_refusal: u64,
    /// Times the recorder locked a client out.
    pub lock_outs: u64,
    /// Event streams open now.
    pub event_streams_open: u64,
    /// Bytes of answers, footage included.
    pub bytes_sent: u64,
    /// Bytes of footage.
    pub footage_bytes_sent: u64,
    /// What a client did that it must not: one line each, at most [`MAX_SINS`].
    pub sins: Vec<String>,
}

/// More lines of [`CounterReadings::sins`] are not kept.
pub const MAX_SINS: usize = 1000;
const MAX_PATHS: usize = 500;

impl Counters {
    /// All of them, at one moment.
    pub fn read(&self) -> CounterReadings {
        self.0.lock().readings.clone()
    }

    /// Changes them.
    pub fn count(&self, change: impl FnOnce(&mut CounterReadings)) {
        change(&mut self.0.lock().readings);
    }

    /// A request came in.
    pub fn request(&self, now: Instant, what: &str) {
        let inner = &mut *self.0.lock();
        inner.readings.requests += 1;
        let paths = &mut inner.readings.requests_by_path;
        if paths.len() < MAX_PATHS || paths.contains_key(what) {
            *paths.entry(what.to_owned()).or_default() += 1;
        }
        inner.recent.push_back(now);
        while inner.recent.front().is_some_and(|&t| now.duration_since(t) >= Duration::from_secs(1))
        {
            inner.recent.pop_front();
        }
        let rate = inner.recent.len() as u64;
        inner.readings.requests_per_second_max = inner.readings.requests_per_second_max.max(rate);
    }

    /// Notes a client's misdeed.
    pub fn sin(&self, what: impl Into<String>) {
        let inner = &mut *self.0.lock();
        if inner.readings.sins.len() < MAX_SINS {
            inner.readings.sins.push(what.into());
        }
    }

    /// Takes one of `limit` playback sessions, or counts a refusal. Dropping the slot frees it.
    pub fn playback_slot(&self, limit: u64) -> Option<PlaybackSlot> {
        let r = &mut self.0.lock().readings;
        if r.playback_open >= limit {
            r.playback_refused += 1;
            return None;
        }
        r.playback_open += 1;
        r.playback_started += 1;
        r.playback_max = r.playback_max.max(r.playback_open);
        Some(PlaybackSlot(self.clone()))
    }

    /// An open connection, until the guard is dropped.
    pub fn connection(&self) -> ConnectionGuard {
        let r = &mut self.0.lock().readings;
        r.connections_open += 1;
        r.connections_max = r.connections_max.max(r.connections_open);
        ConnectionGuard(self.clone())
    }
}

/// One of the recorder's playback sessions.
#[derive(Debug)]
pub struct PlaybackSlot(Counters);

impl Drop for PlaybackSlot {
    fn drop(&mut self) {
        self.0.count(|r| r.playback_open -= 1);
    }
}

/// One open connection.
#[derive(Debug)]
pub struct ConnectionGuard(Counters);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.count(|r| r.connections_open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_limited_and_come_back() {
        let counters = Counters::default();
        let first = counters.playback_slot(1);
        assert!(first.is_some());
        assert!(counters.playback_slot(1).is_none());
        drop(first);
        assert!(counters.playback_slot(1).is_some());
        let r = counters.read();
        assert_eq!((r.playback_max, r.playback_started, r.playback_refused), (1, 2, 1));
        assert_eq!(r.playback_open, 0);
    }

    #[test]
    fn the_busiest_second_is_kept() {
        let counters = Counters::default();
        let start = Instant::now();
        for ms in [0, 100, 900, 1050, 3000] {
            counters.request(start + Duration::from_millis(ms), "GET /x");
        }
        let r = counters.read();
        assert_eq!(r.requests_per_second_max, 3);
        assert_eq!(r.requests_by_path["GET /x"], 5);
    }
}
