//! A configured recorder with its layered adapter.

use std::sync::Arc;

use dvrgate_model::ports::Clock;
use dvrgate_model::{DeviceId, Result, Vendor, ZoneRule};

use crate::layers::{self, SessionBudget};
use crate::transport::Transports;
use crate::transport::hyper::HyperTransports;
use crate::{Adapter, Connector, Cx, DeviceLimits, DeviceSettings, Health, Mapping, Priority};

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
    /// How we get on with it.
    pub health: Arc<Health>,
    /// Its playback sessions.
    pub sessions: SessionBudget,
    /// What it survives, after mapping and configuration lowered it.
    pub limits: DeviceLimits,
}

/// What the operator may set about a recorder. Limits lower what the adapter and the mapping say,
/// they never raise it.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Playback sessions that we may use.
    pub playback_sessions: Option<usize>,
    /// Control requests per second.
    pub requests_per_second: Option<f64>,
    /// Control requests at the same time.
    pub parallel_requests: Option<usize>,
    /// Refused log-ins before it locks us out.
    pub logins_before_lockout: Option<usize>,
    /// The layers.
    pub layers: layers::Options,
}

impl DeviceOptions {
    fn lower(&self, limits: DeviceLimits) -> DeviceLimits {
        limits.lowered(self.requests_per_second, self.parallel_requests, self.logins_before_lockout)
    }
}

impl Device {
    /// A recorder as configured. Contacts nothing.
    pub fn connect(
        connector: &dyn Connector,
        settings: DeviceSettings,
        mapping: Arc<Mapping>,
        clock: Arc<dyn Clock>,
        options: &DeviceOptions,
    ) -> Result<Self> {
        let adapter = connector.connect(settings.clone(), Arc::clone(&mapping))?;
        let limits = options.lower(mapping.lower(adapter.capabilities().limits));
        let transports = Arc::new(HyperTransports::new(&settings, &limits)?);
        let vendor = connector.vendor();
        Ok(Self::assemble(settings, vendor, adapter, transports, mapping, clock, options))
    }

    /// The same from given parts: tests bring their own adapter or transports.
    pub fn assemble(
        settings: DeviceSettings,
        vendor: Vendor,
        adapter: Arc<dyn Adapter>,
        transports: Arc<dyn Transports>,
        mapping: Arc<Mapping>,
        clock: Arc<dyn Clock>,
        options: &DeviceOptions,
    ) -> Self {
        let limits = options.lower(mapping.lower(adapter.capabilities().limits));
        let health = Arc::new(Health::default());
        let sessions = SessionBudget::new(1);
        let wished = [
            options.playback_sessions,
            options.layers.playback_sessions,
            mapping.limits().playback_sessions,
        ];
        let layers = layers::Options {
            playback_sessions: wished.into_iter().flatten().min(),
            ..options.layers.clone()
        };
        let (id, inside) = (settings.id.clone(), Arc::clone(&health));
        let adapter = layers::stack(adapter, id, vendor.clone(), inside, sessions.clone(), &layers);
        Self {
            address: address(&settings.url),
            id: settings.id,
            vendor,
            zone: settings.zone,
            adapter,
            transports,
            mapping,
            clock,
            health,
            sessions,
            limits,
        }
    }

    /// A context for a call; the deadline layer sets the deadline.
    pub fn cx(&self, priority: Priority) -> Cx {
        Cx {
            transports: Arc::clone(&self.transports),
            deadline: None,
            priority,
            clock: Arc::clone(&self.clock),
        }
    }

    /// Takes it for new: refused log-ins and outages are forgotten.
    pub fn reset(&self) {
        self.transports.reset();
        self.health.reset();
    }
}

/// Host and port, or the path of a local source.
fn address(url: &url::Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => url.path().to_owned(),
    }
}
