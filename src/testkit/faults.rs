//! What can be wrong with a simulated recorder at any moment, and the handle that changes it.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Faults that every simulator knows. All can be changed while it runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The cable is out: open connections break, new ones are reset.
    pub unplugged: bool,
    /// Connections are taken, nothing is ever answered.
    pub silent: bool,
    /// Every answer is bytes that belong to no protocol.
    pub garbage: bool,
    /// This many requests are still refused as busy, then it recovers.
    pub busy_requests: u32,
    /// Footage transfers end, connection and all, after so many bytes.
    pub truncate_after_bytes: Option<u64>,
    /// Footage transfers stop after so many bytes; the connection stays open.
    pub stall_after_bytes: Option<u64>,
    /// One byte in so many of a footage transfer is inverted.
    pub corrupt_every_bytes: Option<u64>,
    /// Footage transfers claim so many bytes more (or less) than they have.
    pub wrong_length_bytes: i64,
    /// One footage transfer in so many breaks after its headers.
    pub drop_after_headers_every: u32,
}

/// Changes a running simulator.
#[derive(Clone, Debug)]
pub struct Control {
    faults: Arc<RwLock<Faults>>,
    plugged: Arc<watch::Sender<bool>>,
}

impl Control {
    /// Starts with these.
    pub fn new(faults: Faults) -> Self {
        let plugged = Arc::new(watch::Sender::new(!faults.unplugged));
        Self { faults: Arc::new(RwLock::new(faults)), plugged }
    }

    /// The faults at the moment.
    pub fn faults(&self) -> Faults {
        self.faults.read().clone()
    }

    /// Changes them; takes effect at once, also on open connections.
    pub fn change(&self, change: impl FnOnce(&mut Faults)) {
        let unplugged = {
            let mut faults = self.faults.write();
            change(&mut faults);
            faults.unplugged
        };
        self.plugged.send_if_modified(|p| std::mem::replace(p, !unplugged) == unplugged);
    }

    /// Takes one refusal of [`Faults::busy_requests`], if there is one.
    pub fn take_busy(&self) -> bool {
        let mut faults = self.faults.write();
        let busy = faults.busy_requests > 0;
        faults.busy_requests = faults.busy_requests.saturating_sub(1);
        busy
    }

    /// Follows whether the cable is in.
    pub fn plugged(&self) -> watch::Receiver<bool> {
        self.plugged.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_runs_out_and_the_plug_is_followed() {
        let control = Control::new(Faults { busy_requests: 1, ..Faults::default() });
        assert!(control.take_busy());
        assert!(!control.take_busy());
        let mut plugged = control.plugged();
        assert!(*plugged.borrow_and_update());
        control.change(|f| f.unplugged = true);
        assert!(plugged.has_changed().unwrap());
        assert!(!*plugged.borrow_and_update());
        control.change(|f| f.garbage = true);
        assert!(!plugged.has_changed().unwrap());
    }
}
