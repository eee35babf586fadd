//! What is known without asking the recorder again: stretches that hold no footage although the
//! index says so, and stretches that failed a moment ago. Bounded, and forgotten after a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dvrgate_model::{Error, RecordingToken, TrackToken, Utc, UtcRange};
use parking_lot::Mutex;

/// How long an empty stretch is believed to be empty.
const EMPTY_FOR: Duration = Duration::from_secs(600);
/// How long a failed stretch is not tried again.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// At most this many of each are remembered, the oldest forgotten first.
const MAX_REMEMBERED: usize = 4096;

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    empty: Mutex<VecDeque<(Instant, TrackToken, UtcRange)>>,
    failed: Mutex<VecDeque<(Instant, RecordingToken, UtcRange, Error)>>,
}

impl Memory {
    /// Remembers that the recorder has nothing there.
    pub(crate) fn note_empty(&self, track: &TrackToken, range: UtcRange, now: Instant) {
        remember(&mut self.empty.lock(), (now + EMPTY_FOR, track.clone(), range));
    }

    /// The stretch around an instant that is known to be empty.
    pub(crate) fn empty_at(&self, track: &TrackToken, at: Utc, now: Instant) -> Option<UtcRange> {
        let mut empty = self.empty.lock();
        empty.retain(|(until, ..)| *until > now);
        empty.iter().rev().find(|(_, t, r)| t == track && r.contains(at)).map(|(_, _, r)| *r)
    }

    /// Remembers that a transfer failed.
    pub(crate) fn note_failed(
        &self,
        recording: &RecordingToken,
        range: UtcRange,
        error: Error,
        now: Instant,
    ) {
        remember(&mut self.failed.lock(), (now + FAILED_FOR, recording.clone(), range, error));
    }

    /// Why the stretch around an instant could not be fetched a moment ago.
    pub(crate) fn failed_at(
        &self,
        recording: &RecordingToken,
        at: Utc,
        now: Instant,
    ) -> Option<(UtcRange, Error)> {
        let mut failed = self.failed.lock();
        failed.retain(|(until, ..)| *until > now);
        let found = failed.iter().rev().find(|(_, t, r, _)| t == recording && r.contains(at));
        found.map(|(_, _, r, e)| (*r, e.share()))
    }
}

fn remember<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() >= MAX_REMEMBERED {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{at_ms, range_ms};

    #[test]
    fn remembers_for_a_while_and_not_without_bound() {
        let (m, now) = (Memory::default(), Instant::now());
        m.note_empty(&"v".into(), range_ms(0, 10), now);
        let at = |ms, now| m.empty_at(&"v".into(), at_ms(ms), now);
        assert_eq!(at(5, now), Some(range_ms(0, 10)));
        assert_eq!(at(10, now), None);
        assert_eq!(m.empty_at(&"w".into(), at_ms(5), now), None);
        assert_eq!(at(5, now + EMPTY_FOR), None);

        m.note_failed(&"r".into(), range_ms(0, 10), Error::malformed("x"), now);
        assert!(m.failed_at(&"r".into(), at_ms(5), now).is_some());
        assert!(m.failed_at(&"r".into(), at_ms(5), now + FAILED_FOR).is_none());

        for i in 0..2 * MAX_REMEMBERED as i64 {
            m.note_empty(&"v".into(), range_ms(i, i + 1), now);
        }
        assert_eq!(m.empty.lock().len(), MAX_REMEMBERED);
    }
}
