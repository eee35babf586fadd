//! Where crates meet that may not know one another.

use std::fmt::Debug;
use std::time::Instant;

use futures::future::BoxFuture;

use crate::{RecordingEvent, RecordingToken, Result, Utc};

/// Reads the time. Sleeping is the drivers' business.
pub trait Clock: Debug + Send + Sync {
    /// Wall clock.
    fn utc(&self) -> Utc;
    /// Monotonic clock.
    fn now(&self) -> Instant;
}

/// Takes events for delivery to subscribers (recording and sync publish, event delivers).
pub trait EventSink: Debug + Send + Sync {
    /// Never blocks; a full sink drops the oldest.
    fn publish(&self, event: &RecordingEvent);
}

/// An [`EventSink`] for gateways without subscribers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvents;

impl EventSink for NoEvents {
    fn publish(&self, _event: &RecordingEvent) {}
}

/// Persistent control objects: jobs, receivers, configurations. A version guards each against a
/// lost update.
pub trait ControlStore: Debug + Send + Sync {
    /// The object, or `None`.
    fn get(&self, kind: &str, key: &str) -> BoxFuture<'_, Result<Option<Versioned>>>;
    /// Writes if the stored version is `expected` (`None`: must not exist yet), else
    /// [`crate::ErrorKind::Conflict`]. Returns the new version.
    fn put(
        &self,
        kind: &str,
        key: &str,
        value: String,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<u64>>;
    /// Deletes; deleting what is not there succeeds.
    fn delete(&self, kind: &str, key: &str) -> BoxFuture<'_, Result<()>>;
    /// All keys of a kind, in order.
    fn list(&self, kind: &str) -> BoxFuture<'_, Result<Vec<(String, Versioned)>>>;
}

/// A value of the [`ControlStore`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Versioned {
    /// Rising with every write.
    pub version: u64,
    /// The object as JSON.
    pub value: String,
}

/// Asks for the state of the pull behind a recording job (recording asks, receiver or sync acts).
pub trait JobControl: Debug + Send + Sync {
    /// Whether something is being recorded into that recording now.
    fn is_recording(&self, recording: &RecordingToken) -> bool;
}
