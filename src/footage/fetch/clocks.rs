//! Keeps the instants of stored footage in step with what is known of the recorders' clocks.

use std::collections::HashMap;

use dvrgate_index::{Scope, Snapshot};
use dvrgate_model::{ClockMap, DeviceId, Origin, Recording, Result};
use parking_lot::Mutex;

use crate::GopStore;

/// The clocks that stored footage was last stated by.
#[derive(Debug, Default)]
pub(crate) struct Clocks(Mutex<HashMap<DeviceId, ClockMap>>);

impl Clocks {
    /// Restates the footage of a recording's recorder if its clock is seen differently now.
    pub(crate) fn refresh(
        &self,
        store: &GopStore,
        snapshot: &dyn Snapshot,
        recording: &Recording,
    ) -> Result<()> {
        let Origin::Device { device, .. } = &recording.origin else { return Ok(()) };
        let clock = snapshot.clock(device)?;
        let mut known = self.0.lock();
        if known.get(device) == Some(&clock) {
            return Ok(());
        }
        let of_device = |r: &&std::sync::Arc<Recording>| matches!(&r.origin, Origin::Device { device: d, .. } if d == device);
        let recordings = snapshot.recordings(&Scope::all())?;
        let tracks = recordings.iter().filter(of_device).flat_map(|r| &r.tracks);
        let tracks: Vec<_> = tracks.map(|t| t.token.clone()).collect();
        let moved = store.restate(&tracks, &clock);
        if moved > 0 {
            tracing::info!(%device, moved, "restated stored footage by a newer clock");
        }
        known.insert(device.clone(), clock);
        Ok(())
    }

    /// Makes the next [`Clocks::refresh`] look again: footage was stored by an older clock.
    pub(crate) fn forget(&self, device: &DeviceId) {
        self.0.lock().remove(device);
    }
}
