//! The timeout of sessions, which may be changed while the server runs (RFC 2326 12.37; R7.2-6).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Seconds that a session lives without a sign of life. Shared by clones; a session keeps the value
/// that it began with, as its client was told that one.
#[derive(Clone, Debug)]
pub struct SessionTimeout(Arc<AtomicU32>);

impl Default for SessionTimeout {
    /// RTSP's own: a minute.
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(60)))
    }
}

impl SessionTimeout {
    /// The value for sessions that begin now.
    pub fn get(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed).into())
    }

    /// Whole seconds count.
    pub fn set(&self, timeout: Duration) {
        let seconds = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
        self.0.store(seconds, Ordering::Relaxed);
    }
}
