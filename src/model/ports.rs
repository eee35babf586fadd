//! Where crates meet that may not know one another.

use std::fmt::Debug;
use std::time::Instant;

use futures::future::BoxFuture;

use crate::{DeviceId, RecordingEvent, Result, Utc};

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

/// Tells whether what fills recordings is in reach (recording asks, who keeps the devices answers).
pub trait Sources: Debug + Send + Sync {
    /// What keeps us from that recorder; `None` while it answers, and before it was asked.
    fn trouble(&self, device: &DeviceId) -> Option<Trouble>;
}

/// What keeps us from a recorder.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Trouble {
    /// It does not answer.
    Unreachable,
    /// It refused our credentials.
    LoginRefused,
    /// It answers that it has no room for us.
    NoSession,
}
