//! Identity, time, scopes and discovery mode (ONVIF Core 8.3).

use dvrgate_model::{Civil, Utc};
use dvrgate_soap::{Call, Element, Fault, Field as _, Reply, Simple as _, Value as _, ns};

use crate::service::{Device, This, single};
use crate::wire::{
    Discovery, DiscoveryMode, Done, Information, Scope, ScopeDefinition, ScopeItems, SetScopes,
};

impl Device {
    /// RH5-1.
    pub(crate) async fn get_device_information(self: This, call: Call) -> Reply {
        let information = Information {
            manufacturer: self.settings.manufacturer.clone(),
            model: self.settings.model.clone(),
            firmware_version: self.settings.firmware_version.clone(),
            serial_number: self.serial(),
            hardware_id: self.settings.hardware_id.clone(),
        };
        Ok(information.write(call.response()))
    }

    /// RH5-2. The gateway speaks UTC only, so local time is the same; the clock is the host's, which
    /// is `Manual` as far as this interface goes.
    pub(crate) async fn get_system_date_and_time(self: This, call: Call) -> Reply {
        let now = call.host.clock().utc();
        let zone = Element::new(ns::TT, "TimeZone").with_value("TZ", "UTC0");
        let time = Element::new(ns::TDS, "SystemDateAndTime")
            .with(Element::of(ns::TT, "DateTimeType", "Manual"))
            .with(Element::of(ns::TT, "DaylightSavings", "false"))
            .with(zone)
            .with(date_time("UTCDateTime", now))
            .with(date_time("LocalDateTime", now));
        Ok(call.response().with(time))
    }

    /// RH6-12, as the three that follow.
    pub(crate) async fn get_scopes(self: This, call: Call) -> Reply {
        let list = |definition: ScopeDefinition, scopes: Vec<String>| -> Vec<Scope> {
            scopes.into_iter().map(|item| Scope { definition, item }).collect()
        };
        let mut scopes = list(ScopeDefinition::Fixed, self.state.fixed_scopes().to_vec());
        scopes.extend(list(ScopeDefinition::Configurable, self.state.configurable_scopes()));
        Ok(scopes.put(call.response(), ns::TDS, "Scopes"))
    }

    pub(crate) async fn set_scopes(self: This, _: Call, request: SetScopes) -> Result<Done, Fault> {
        if request.scopes.is_empty() {
            return Err(Fault::invalid_args("Scopes is missing"));
        }
        self.state.set_scopes(request.scopes).await?;
        Ok(Done {})
    }

    pub(crate) async fn add_scopes(
        self: This,
        _: Call,
        request: ScopeItems,
    ) -> Result<Done, Fault> {
        if request.items.is_empty() {
            return Err(Fault::invalid_args("ScopeItem is missing"));
        }
        self.state.add_scopes(request.items).await?;
        Ok(Done {})
    }

    pub(crate) async fn remove_scopes(
        self: This,
        _: Call,
        request: ScopeItems,
    ) -> Result<ScopeItems, Fault> {
        if request.items.is_empty() {
            return Err(Fault::invalid_args("ScopeItem is missing"));
        }
        self.state.remove_scopes(&request.items).await?;
        Ok(request)
    }

    /// RH6-11, as the next one.
    pub(crate) async fn get_discovery_mode(self: This, call: Call) -> Reply {
        let mode = match self.settings.discovery && self.state.is_discoverable() {
            true => DiscoveryMode::Discoverable,
            false => DiscoveryMode::NonDiscoverable,
        };
        single(&call, "DiscoveryMode", mode.format())
    }

    pub(crate) async fn set_discovery_mode(
        self: This,
        call: Call,
        request: Discovery,
    ) -> Result<Done, Fault> {
        if !self.settings.discovery {
            return Err(Fault::not_supported(call.operation()));
        }
        self.state.set_discoverable(request.mode == DiscoveryMode::Discoverable).await?;
        Ok(Done {})
    }

    /// RH5-5: what a client can restart is the gateway, not its host. Whoever restarts it lets running
    /// requests end first, and this is one.
    pub(crate) async fn system_reboot(self: This, call: Call) -> Reply {
        let Some(restart) = &self.settings.restart else {
            return Err(Fault::not_supported(call.operation()));
        };
        tracing::warn!(user = %call.identity.name, peer = %call.origin.peer, "restart asked for");
        restart.notify_one();
        single(&call, "Message", "the gateway restarts")
    }

    pub(crate) async fn get_endpoint_reference(self: This, call: Call) -> Reply {
        single(&call, "GUID", self.state.endpoint())
    }
}

/// tt:DateTime: time before date.
fn date_time(local: &'static str, at: Utc) -> Element {
    let civil = Civil::from_micros_as_if_utc(at.micros());
    let ((year, month, day), (hour, minute, second, _)) = (civil.date(), civil.time());
    let time = Element::new(ns::TT, "Time")
        .with_value("Hour", hour.to_string())
        .with_value("Minute", minute.to_string())
        .with_value("Second", second.to_string());
    let date = Element::new(ns::TT, "Date")
        .with_value("Year", year.to_string())
        .with_value("Month", month.to_string())
        .with_value("Day", day.to_string());
    Element::new(ns::TT, local).with(time).with(date)
}
