//! What stands around every adapter, so that no vendor has to think of it.
//!
//! From the outside in: *trace* writes what is done, *health* leaves a dead recorder alone, *gate*
//! refuses what is not declared before a packet is sent, *deadline* bounds every call, *govern*
//! shares the playback sessions, *retry* asks again where that helps, and *chaos*, in tests only,
//! does harm.

mod around;
pub mod chaos;
mod deadline;
mod gate;
pub mod govern;
mod health;
mod retry;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::Arc;

use dvrgate_model::{DeviceId, Vendor};

use crate::{Adapter, Health};

pub use around::{Around, Call, Layered, Op};
pub use chaos::{Fault, Faults};
pub use deadline::{Deadline, Deadlines};
pub use gate::Gate;
pub use govern::{Govern, Permit, SessionBudget};
pub use health::Watchful;
pub use retry::{Retries, RetryLayer};
pub use trace::Trace;

/// How the layers behave.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long calls may take.
    pub deadlines: Deadlines,
    /// Playback sessions; `None` takes what the adapter declares. Never more than that.
    pub playback_sessions: Option<usize>,
    /// How often calls are repeated.
    pub retries: Retries,
    /// Harm, for tests.
    pub faults: Option<Faults>,
}

/// An adapter inside all its layers.
pub fn stack(
    adapter: Arc<dyn Adapter>,
    device: DeviceId,
    vendor: Vendor,
    health: Arc<Health>,
    sessions: SessionBudget,
    options: &Options,
) -> Arc<dyn Adapter> {
    let adapter: Arc<dyn Adapter> = match &options.faults {
        Some(faults) => Arc::new(Layered::new(faults.clone(), adapter)),
        None => adapter,
    };
    let adapter = Layered::new(RetryLayer::new(options.retries), adapter);
    let adapter = Govern::new(sessions, options.playback_sessions, adapter);
    let adapter = Layered::new(Deadline::new(options.deadlines), adapter);
    let adapter = Gate::new(adapter);
    let adapter = Layered::new(Watchful::new(health), adapter);
    Arc::new(Layered::new(Trace::new(device, vendor), adapter))
}
