//! What a call brings with it.

use std::sync::Arc;
use std::time::Instant;

use dvrgate_model::ports::Clock;

use crate::transport::Transports;

/// Who waits for a call. Higher ones are served first when a recorder's sessions are scarce.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Priority {
    /// Index sync and prefetch: nobody waits.
    #[default]
    Backfill,
    /// An export job.
    Export,
    /// Somebody is looking at a screen.
    Replay,
}

/// The context of one call: transports, deadline, priority and clock. Cheap to clone.
/// Cancellation is dropping the future.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Ways to the recorder; they count against its budgets.
    pub transports: Arc<dyn Transports>,
    /// Give up at this time.
    pub deadline: Option<Instant>,
    /// See [`Priority`].
    pub priority: Priority,
    /// For time stamps around a clock reading.
    pub clock: Arc<dyn Clock>,
}
