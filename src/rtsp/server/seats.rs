//! Who gives way where all places are taken: of the connections without a session the one that came
//! first. A session needs a log-in, so nobody keeps others out by connections that say nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// The connections of a listener in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: VecDeque<Seat>,
}

/// One connection's.
#[derive(Clone, Debug, Default)]
pub struct Seat(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    busy: AtomicBool,
    leave: CancellationToken,
}

/// Seats of connections that have ended are cleared away at this length, and at each doubling.
const CLEAR_AT: usize = 64;

impl Seats {
    /// For a connection that was accepted.
    pub(super) fn take(&mut self) -> Seat {
        let full = self.taken.len() == self.taken.capacity() && self.taken.len() >= CLEAR_AT;
        if full {
            self.taken.retain(Seat::is_held);
        }
        let seat = Seat::default();
        self.taken.push_back(seat.clone());
        seat
    }

    /// Asks one to leave; `false` where all have sessions.
    pub(super) fn free_one(&mut self) -> bool {
        self.taken.retain(Seat::is_held);
        let silent = self.taken.iter().position(|s| !s.0.busy.load(Ordering::Relaxed));
        let Some(seat) = silent.and_then(|n| self.taken.remove(n)) else { return false };
        seat.0.leave.cancel();
        true
    }
}

impl Seat {
    /// Whether somebody depends on this connection.
    pub(super) fn set_busy(&self, busy: bool) {
        self.0.busy.store(busy, Ordering::Relaxed);
    }

    /// Resolves when this connection must leave.
    pub(super) async fn must_leave(&self) {
        self.0.leave.cancelled().await;
    }

    /// Whether its connection still is.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(seat: &Seat) -> bool {
        seat.0.leave.is_cancelled()
    }

    #[test]
    fn the_oldest_without_a_session_gives_way() {
        let mut seats = Seats::default();
        let all: Vec<Seat> = (0..4).map(|_| seats.take()).collect();
        all[0].set_busy(true);
        assert!(seats.free_one());
        assert_eq!(all.iter().map(leaves).collect::<Vec<_>>(), [false, true, false, false]);
        all[3].set_busy(true);
        assert!(seats.free_one() && leaves(&all[2]));
        assert!(!seats.free_one(), "all others have sessions");
        all[0].set_busy(false);
        assert!(seats.free_one() && leaves(&all[0]) && !leaves(&all[3]));
    }

    #[test]
    fn those_that_ended_are_forgotten() {
        let mut seats = Seats::default();
        let stays = seats.take();
        for _ in 0..10_000 {
            drop(seats.take());
        }
        assert!(seats.taken.len() <= 2 * CLEAR_AT, "{}", seats.taken.len());
        assert!(seats.free_one() && leaves(&stays) && !seats.free_one());
    }
}
