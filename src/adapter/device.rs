//! A configured recorder with its layered adapter.

use std::sync::Arc;

use dvrgate_model::ports::Clock;
use dvrgate_model::{DeviceId, Vendor, ZoneRule};

use crate::transport::Transports;
use crate::{Adapter, Cx, Mapping, Priority};

/// A recorder that is ready to be asked. Shared by sync, footage and the commands.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name in the configuration.
    pub id: DeviceId,
    /// Its family.
    pub vendor: Vendor,
    /// Host and port for people; no credentials.
    pub address: String,
    /// Zone by the operator: wins over what the recorder declares.
    pub zone: Option<ZoneRule>,
    /// The adapter inside its layers.
    pub adapter: Arc<dyn Adapter>,
    /// Ways to it.
    pub transports: Arc<dyn Transports>,
    /// Its effective mapping.
    pub mapping: Arc<Mapping>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Device {
    /// A context for a call; the deadline layer sets the deadline.
    pub fn cx(&self, priority: Priority) -> Cx {
        Cx {
            transports: Arc::clone(&self.transports),
            deadline: None,
            priority,
            clock: Arc::clone(&self.clock),
        }
    }
}
