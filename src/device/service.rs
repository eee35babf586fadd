//! The table of operations (ONVIF Core 8; access classes as given there, those of operations that
//! were removed from it by analogy).

use std::sync::Arc;

use dvrgate_soap::{Access, Call, DEVICE_SERVICE_PATH, Service, Version, ns};
use tokio::sync::Notify;

use crate::discovery::scope;
use crate::machine::Machine;
use crate::state::State;
use crate::users::Accounts;

/// What the device says about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway's name, for the scope list.
    pub name: String,
    /// Where it is, for the scope list: `country/city`, or any text.
    pub location: Option<String>,
    /// Maker.
    pub manufacturer: String,
    /// Product.
    pub model: String,
    /// Release.
    pub firmware_version: String,
    /// Serial number; made out of the endpoint's address when absent.
    pub serial_number: Option<String>,
    /// Hardware, for the scope list too.
    pub hardware_id: String,
    /// ONVIF profiles that the gateway fulfils: `["G"]`.
    pub profiles: Vec<String>,
    /// Where RTSP is listened for.
    pub rtsp_port: u16,
    /// Where plain HTTP is listened for; `None`: where the request came in.
    pub http_port: Option<u16>,
    /// Where HTTPS is listened for.
    pub https_port: Option<u16>,
    /// Whether WS-Discovery runs; the capabilities say so.
    pub discovery: bool,
    /// Where accounts that clients make are kept; without it they can make none.
    pub accounts: Option<Arc<dyn Accounts>>,
    /// Told when a client wants a restart; without it none is offered.
    pub restart: Option<Arc<Notify>>,
}

impl Settings {
    /// Those of this program under a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            location: None,
            manufacturer: "dvrgate".to_owned(),
            model: "dvrgate".to_owned(),
            firmware_version: env!("CARGO_PKG_VERSION").to_owned(),
            serial_number: None,
            hardware_id: std::env::consts::ARCH.to_owned(),
            profiles: Vec::new(),
            rtsp_port: 554,
            http_port: None,
            https_port: None,
            discovery: true,
            accounts: None,
            restart: None,
        }
    }

    /// Scopes that belong to the device (ONVIF Core 7.3.2.2: profile, hardware, name).
    pub fn fixed_scopes(&self) -> Vec<String> {
        let profiles = self.profiles.iter().map(|p| scope::onvif("Profile", p));
        let own = [scope::onvif("hardware", &self.hardware_id), scope::onvif("name", &self.name)];
        profiles.chain(own).collect()
    }

    /// Scopes that a new device starts with.
    pub fn initial_scopes(&self) -> Vec<String> {
        self.location.iter().map(|l| scope::onvif("location", l)).collect()
    }
}

/// The device service.
#[derive(Debug)]
pub struct Device {
    pub(crate) settings: Settings,
    pub(crate) state: Arc<State>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) changing_users: tokio::sync::Mutex<()>,
}

impl Device {
    /// A device over its state and its host.
    pub fn new(settings: Settings, state: Arc<State>, machine: Arc<dyn Machine>) -> Arc<Self> {
        Arc::new(Self { settings, state, machine, changing_users: tokio::sync::Mutex::default() })
    }

    /// The service.
    pub fn service(self: &Arc<Self>) -> Service {
        use Access::*;
        let table = Service::table(ns::TDS, DEVICE_SERVICE_PATH, VERSION, Arc::clone(self));
        table
            .typed("GetServices", PreAuth, Self::get_services)
            .on("GetServiceCapabilities", PreAuth, Self::get_service_capabilities)
            .typed("GetCapabilities", PreAuth, Self::get_capabilities)
            .on("GetWsdlUrl", PreAuth, Self::get_wsdl_url)
            // Network
            .on("GetHostname", PreAuth, Self::get_hostname)
            .on("GetDNS", ReadSystem, Self::get_dns)
            .on("GetNTP", ReadSystem, Self::get_ntp)
            .on("GetNetworkInterfaces", ReadSystem, Self::get_network_interfaces)
            .on("GetNetworkProtocols", ReadSystem, Self::get_network_protocols)
            .on("GetNetworkDefaultGateway", ReadSystem, Self::get_network_default_gateway)
            // System
            .on("GetDeviceInformation", ReadSystem, Self::get_device_information)
            .on("GetSystemDateAndTime", PreAuth, Self::get_system_date_and_time)
            .on("GetScopes", ReadSystem, Self::get_scopes)
            .typed("SetScopes", WriteSystem, Self::set_scopes)
            .typed("AddScopes", WriteSystem, Self::add_scopes)
            .typed("RemoveScopes", WriteSystem, Self::remove_scopes)
            .on("GetDiscoveryMode", ReadSystem, Self::get_discovery_mode)
            .typed("SetDiscoveryMode", WriteSystem, Self::set_discovery_mode)
            .on("SystemReboot", Unrecoverable, Self::system_reboot)
            // Security
            .typed("GetUsers", ReadSystemSecret, Self::get_users)
            .typed("CreateUsers", WriteSystem, Self::create_users)
            .typed("DeleteUsers", WriteSystem, Self::delete_users)
            .typed("SetUser", WriteSystem, Self::set_user)
            .on("GetEndpointReference", PreAuth, Self::get_endpoint_reference)
            .unsupported(UNSUPPORTED)
            .build()
    }

    /// The serial number.
    pub(crate) fn serial(&self) -> String {
        self.settings.serial_number.clone().unwrap_or_else(|| self.state.serial())
    }
}

/// The release of the Core specification that this follows.
pub(crate) const VERSION: Version = Version(18, 12);

/// What the host's own tools are for, what a recorder has no use for, and what was removed from the
/// specification.
const UNSUPPORTED: &[(&str, Access)] = {
    use Access::*;
    &[
        // Network
        ("SetHostname", WriteSystem),
        ("SetHostnameFromDHCP", WriteSystem),
        ("SetDNS", WriteSystem),
        ("SetNTP", WriteSystem),
        ("GetDynamicDNS", ReadSystem),
        ("SetDynamicDNS", WriteSystem),
        ("SetNetworkInterfaces", WriteSystem),
        ("SetNetworkProtocols", WriteSystem),
        ("SetNetworkDefaultGateway", WriteSystem),
        ("GetZeroConfiguration", ReadSystem),
        ("SetZeroConfiguration", WriteSystem),
        ("GetIPAddressFilter", ReadSystem),
        ("SetIPAddressFilter", WriteSystem),
        ("AddIPAddressFilter", WriteSystem),
        ("RemoveIPAddressFilter", WriteSystem),
        ("GetDot11Capabilities", ReadSystem),
        ("GetDot11Status", ReadSystem),
        ("ScanAvailableDot11Networks", ReadSystem),
        // System
        ("SetSystemDateAndTime", WriteSystem),
        ("SetSystemFactoryDefault", Unrecoverable),
        ("StartFirmwareUpgrade", Unrecoverable),
        ("UpgradeFirmware", Unrecoverable),
        ("UpgradeSystemFirmware", Unrecoverable),
        ("GetSystemUris", ReadSystem),
        ("GetSystemBackup", ReadSystemSecret),
        ("RestoreSystem", Unrecoverable),
        ("StartSystemRestore", Unrecoverable),
        ("GetSystemLog", ReadSystemSecret),
        ("GetSystemSupportInformation", ReadSystemSecret),
        ("GetGeoLocation", ReadSystem),
        ("SetGeoLocation", WriteSystem),
        ("DeleteGeoLocation", WriteSystem),
        ("GetRemoteDiscoveryMode", ReadSystem),
        ("SetRemoteDiscoveryMode", WriteSystem),
        ("GetDPAddresses", ReadSystem),
        ("SetDPAddresses", WriteSystem),
        // Security
        ("SetHashingAlgorithm", WriteSystem),
        ("GetAccessPolicy", ReadSystemSecret),
        ("SetAccessPolicy", WriteSystem),
        ("GetUserRoles", ReadSystem),
        ("SetUserRole", WriteSystem),
        ("DeleteUserRole", WriteSystem),
        ("GetRemoteUser", ReadSystem),
        ("SetRemoteUser", WriteSystem),
        ("GetPasswordComplexityOptions", ReadSystem),
        ("GetPasswordComplexityConfiguration", ReadSystem),
        ("SetPasswordComplexityConfiguration", WriteSystem),
        ("GetPasswordHistoryConfiguration", ReadSystem),
        ("SetPasswordHistoryConfiguration", WriteSystem),
        ("GetAuthFailureWarningOptions", ReadSystem),
        ("GetAuthFailureWarningConfiguration", ReadSystem),
        ("SetAuthFailureWarningConfiguration", WriteSystem),
        ("CreateCertificate", WriteSystem),
        ("GetCertificates", ReadSystem),
        ("GetCertificatesStatus", ReadSystem),
        ("SetCertificatesStatus", WriteSystem),
        ("DeleteCertificates", Unrecoverable),
        ("GetPkcs10Request", ReadSystem),
        ("LoadCertificates", WriteSystem),
        ("LoadCertificateWithPrivateKey", WriteSystem),
        ("GetCertificateInformation", ReadSystem),
        ("GetCACertificates", ReadSystem),
        ("LoadCACertificates", WriteSystem),
        ("GetClientCertificateMode", ReadSystem),
        ("SetClientCertificateMode", WriteSystem),
        ("CreateDot1XConfiguration", WriteSystem),
        ("SetDot1XConfiguration", WriteSystem),
        ("GetDot1XConfiguration", ReadSystem),
        ("GetDot1XConfigurations", ReadSystem),
        ("DeleteDot1XConfiguration", WriteSystem),
        // Inputs, outputs, storage
        ("GetRelayOutputs", ReadMedia),
        ("SetRelayOutputSettings", Actuate),
        ("SetRelayOutputState", Actuate),
        ("SendAuxiliaryCommand", Actuate),
        ("GetStorageConfigurations", ReadMedia),
        ("CreateStorageConfiguration", Actuate),
        ("GetStorageConfiguration", ReadMedia),
        ("SetStorageConfiguration", Actuate),
        ("DeleteStorageConfiguration", Actuate),
    ]
};

/// The handlers' common shape.
pub(crate) type This = Arc<Device>;

/// An answer that is one element deep.
pub(crate) fn single(
    call: &Call,
    local: &'static str,
    text: impl Into<String>,
) -> dvrgate_soap::Reply {
    Ok(call.response().with_value(local, text))
}
