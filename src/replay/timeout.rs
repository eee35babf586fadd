//! The timeout of replay sessions: set by the replay service, used by the RTSP server (R7.2-6).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shared by clones. The default is RTSP's own: a minute.
#[derive(Clone, Debug)]
pub struct SessionTimeout(Arc<AtomicU64>);

impl Default for SessionTimeout {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(60)))
    }
}

impl SessionTimeout {
    /// The value for sessions that begin now.
    pub fn get(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    /// Whole seconds count.
    pub fn set(&self, timeout: Duration) {
        self.0.store(timeout.as_secs(), Ordering::Relaxed);
    }
}
