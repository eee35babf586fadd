//! Which services there are and what they can (ONVIF Core 8.1 and annex A). Every answer is made of
//! what the services of the host say themselves.

use dvrgate_auth::{MAX_NAME_BYTES, MAX_PASSWORD_BYTES};
use dvrgate_soap::{Call, Element, Fault, Field as _, Reply, Service, Simple as _, Value, ns};

use crate::faults;
use crate::service::{Device, This, single};
use crate::users::MAX_USERS;
use crate::wire::{Category, GetCapabilities, GetServices, OnvifVersion};

/// An answer that was built by hand and only has to be put into its element.
pub(crate) struct Built(Vec<Element>);

impl Value for Built {
    fn read(element: &Element) -> Result<Self, Fault> {
        Ok(Built(element.elements().cloned().collect()))
    }

    fn write(&self, element: Element) -> Element {
        element.with_all(self.0.iter().cloned())
    }
}

impl Device {
    /// RH3-1, RH3-2.
    pub(crate) async fn get_services(
        self: This,
        call: Call,
        request: GetServices,
    ) -> Result<Built, Fault> {
        let mut list = Vec::new();
        for service in call.host.services() {
            let capabilities = match request.include_capability {
                Some(true) => Some(capabilities_of(service, &call).await?),
                _ => None,
            };
            let version = service.version();
            let version = OnvifVersion { major: version.0, minor: version.1 };
            let entry = Element::new(ns::TDS, "Service")
                .with_value("Namespace", service.namespace())
                .with_value("XAddr", call.url(service.path()))
                .with_all(capabilities.map(|c| Element::new(ns::TDS, "Capabilities").with(c)));
            list.push(version.put(entry, ns::TDS, "Version"));
        }
        Ok(Built(list))
    }

    /// RH3-3, RH3-6.
    pub(crate) async fn get_service_capabilities(self: This, call: Call) -> Reply {
        let flag = |value: bool| value.format();
        let door = call.host.door();
        let max_users = match self.settings.accounts {
            Some(_) => MAX_USERS,
            None => door.users().len(),
        };
        let hashes: Vec<_> = door.digest().algorithms().iter().rev().map(|a| a.name()).collect();
        let network = Element::new(ns::TDS, "Network")
            .with_attribute("IPFilter", "false")
            .with_attribute("ZeroConfiguration", "false")
            .with_attribute("IPVersion6", flag(self.has_ipv6()))
            .with_attribute("DynDNS", "false")
            .with_attribute("Dot11Configuration", "false")
            .with_attribute("Dot1XConfigurations", "0")
            .with_attribute("HostnameFromDHCP", "false")
            .with_attribute("NTP", "0")
            .with_attribute("DHCPv6", "false");
        let security = Element::new(ns::TDS, "Security")
            .with_attribute("TLS1.0", "false")
            .with_attribute("TLS1.1", "false")
            .with_attribute("TLS1.2", flag(self.settings.https_port.is_some()))
            .with_attribute("OnboardKeyGeneration", "false")
            .with_attribute("AccessPolicyConfig", "false")
            .with_attribute("DefaultAccessPolicy", "true")
            .with_attribute("Dot1X", "false")
            .with_attribute("RemoteUserHandling", "false")
            .with_attribute("X.509Token", "false")
            .with_attribute("SAMLToken", "false")
            .with_attribute("KerberosToken", "false")
            .with_attribute("UsernameToken", "true")
            .with_attribute("HttpDigest", "true")
            .with_attribute("RELToken", "false")
            .with_attribute("JsonWebToken", "false")
            .with_attribute("MaxUsers", max_users.to_string())
            .with_attribute("MaxUserNameLength", MAX_NAME_BYTES.to_string())
            .with_attribute("MaxPasswordLength", MAX_PASSWORD_BYTES.to_string())
            .with_attribute("HashingAlgorithms", hashes.join(","));
        let system = Element::new(ns::TDS, "System")
            .with_attribute("DiscoveryResolve", flag(self.settings.discovery))
            .with_attribute("DiscoveryBye", flag(self.settings.discovery))
            .with_attribute("RemoteDiscovery", "false")
            .with_attribute("SystemBackup", "false")
            .with_attribute("SystemLogging", "false")
            .with_attribute("HttpFirmwareUpgrade", "false")
            .with_attribute("HttpSystemBackup", "false")
            .with_attribute("HttpSystemLogging", "false")
            .with_attribute("HttpSupportInformation", "false")
            .with_attribute("StorageConfiguration", "false")
            .with_attribute("DiscoveryNotSupported", flag(!self.settings.discovery))
            .with_attribute("NetworkConfigNotSupported", "true")
            .with_attribute("UserConfigNotSupported", flag(self.settings.accounts.is_none()));
        let own = Element::new(ns::TDS, "Capabilities").with(network).with(security).with(system);
        Ok(call.response().with(own))
    }

    /// RH3-4. Old clients look for Recording, Search and Replay only here, in the extension.
    pub(crate) async fn get_capabilities(
        self: This,
        call: Call,
        request: GetCapabilities,
    ) -> Result<Built, Fault> {
        let asked = request.categories;
        let all = asked.is_empty() || asked.contains(&Category::All);
        let mut body = Element::new(ns::TDS, "Capabilities");
        // In the order of the schema.
        for category in [
            Category::Analytics,
            Category::Device,
            Category::Events,
            Category::Imaging,
            Category::Media,
            Category::Ptz,
        ] {
            if !all && !asked.contains(&category) {
                continue;
            }
            let part = match category {
                Category::Device => Some(self.device_part(&call)),
                Category::Events => event_part(&call).await?,
                Category::Media => media_part(&call).await?,
                _ => None,
            };
            match part {
                Some(part) => body = body.with(part),
                None if all => {}
                None => return Err(faults::no_such_service(&category.format())),
            }
        }
        if all {
            let extension = [
                recording_part(&call).await?,
                search_part(&call).await?,
                plain_part(&call, ns::TRP, "Replay"),
                receiver_part(&call).await?,
            ];
            let parts: Vec<_> = extension.into_iter().flatten().collect();
            if !parts.is_empty() {
                body = body.with(Element::new(ns::TT, "Extension").with_all(parts));
            }
        }
        Ok(Built(vec![body]))
    }

    fn device_part(&self, call: &Call) -> Element {
        let flag = |e: Element, name: &'static str, value: bool| e.with_value(name, value.format());
        let flags =
            |e: Element, names: &[&'static str]| names.iter().fold(e, |e, n| flag(e, n, false));
        let network = flags(Element::new(ns::TT, "Network"), &["IPFilter", "ZeroConfiguration"]);
        let network = flag(network, "IPVersion6", self.has_ipv6());
        let network = flag(network, "DynDNS", false);
        let system = Element::new(ns::TT, "System");
        let system = flag(system, "DiscoveryResolve", self.settings.discovery);
        let system = flag(system, "DiscoveryBye", self.settings.discovery);
        let system =
            flags(system, &["RemoteDiscovery", "SystemBackup", "SystemLogging", "FirmwareUpgrade"]);
        let version = crate::service::VERSION;
        let version = OnvifVersion { major: version.0, minor: version.1 };
        let system = version.put(system, ns::TT, "SupportedVersions");
        let io = Element::new(ns::TT, "IO")
            .with_value("InputConnectors", "0")
            .with_value("RelayOutputs", "0");
        let security = flags(Element::new(ns::TT, "Security"), &["TLS1.1"]);
        let security = flag(security, "TLS1.2", self.settings.https_port.is_some());
        let security = flags(
            security,
            &[
                "OnboardKeyGeneration",
                "AccessPolicyConfig",
                "X.509Token",
                "SAMLToken",
                "KerberosToken",
                "RELToken",
            ],
        );
        Element::new(ns::TT, "Device")
            .with_value("XAddr", call.url(dvrgate_soap::DEVICE_SERVICE_PATH))
            .with(network)
            .with(system)
            .with(io)
            .with(security)
    }

    fn has_ipv6(&self) -> bool {
        self.machine.interfaces().iter().flat_map(|i| &i.addresses).any(|(ip, _)| ip.is_ipv6())
    }

    /// Deprecated, but asked for by Profile G.
    pub(crate) async fn get_wsdl_url(self: This, call: Call) -> Reply {
        single(&call, "WsdlUrl", "http://www.onvif.org/onvif/ver10/device/wsdl/devicemgmt.wsdl")
    }
}

/// A service's own capabilities element.
async fn capabilities_of(service: &Service, call: &Call) -> Reply {
    let answer = call.host.ask(call, service.namespace(), "GetServiceCapabilities").await?;
    answer
        .child(service.namespace(), "Capabilities")
        .cloned()
        .ok_or_else(|| Fault::receiver("Action", "a service does not know its capabilities"))
}

/// The legacy part of a service, if it is in the host: its address, and its capabilities to fill the
/// rest from.
async fn part(
    call: &Call,
    ns: &'static str,
    local: &'static str,
) -> Result<Option<(Element, Element)>, Fault> {
    let Some(service) = call.host.service(ns) else { return Ok(None) };
    let part = Element::new(ns::TT, local).with_value("XAddr", call.url(service.path()));
    Ok(Some((part, capabilities_of(service, call).await?)))
}

fn plain_part(call: &Call, ns: &'static str, local: &'static str) -> Option<Element> {
    let service = call.host.service(ns)?;
    Some(Element::new(ns::TT, local).with_value("XAddr", call.url(service.path())))
}

/// Copies attributes into elements of the same name; what is absent gets its default.
fn copied(part: Element, from: &Element, names: &[(&'static str, &'static str)]) -> Element {
    names.iter().fold(part, |part, (name, default)| {
        part.with_value(*name, from.attribute(name).unwrap_or(default))
    })
}

async fn event_part(call: &Call) -> Result<Option<Element>, Fault> {
    Ok(part(call, ns::TEV, "Events").await?.map(|(part, own)| {
        let part = copied(part, &own, &[("WSSubscriptionPolicySupport", "false")])
            // Every event service has pull points; the newer capabilities do not ask any more.
            .with_value("WSPullPointSupport", "true");
        copied(part, &own, &[("WSPausableSubscriptionManagerInterfaceSupport", "false")])
    }))
}

async fn media_part(call: &Call) -> Result<Option<Element>, Fault> {
    Ok(part(call, ns::TRT, "Media").await?.map(|(part, own)| {
        let none = Element::new(ns::TRT, "StreamingCapabilities");
        let streaming = own.child(ns::TRT, "StreamingCapabilities").unwrap_or(&none);
        let names = [("RTPMulticast", "false"), ("RTP_TCP", "false"), ("RTP_RTSP_TCP", "false")];
        part.with(copied(Element::new(ns::TT, "StreamingCapabilities"), streaming, &names))
    }))
}

async fn recording_part(call: &Call) -> Result<Option<Element>, Fault> {
    let receivers = call.host.service(ns::TRV).is_some();
    let media = call.host.service(ns::TRT).or_else(|| call.host.service(ns::TR2)).is_some();
    Ok(part(call, ns::TRC, "Recording").await?.map(|(part, own)| {
        let part = part
            .with_value("ReceiverSource", receivers.format())
            .with_value("MediaProfileSource", media.format());
        copied(part, &own, &[("DynamicRecordings", "false"), ("DynamicTracks", "false")])
            .with_value("MaxStringLength", MAX_STRING_CHARS)
    }))
}

async fn search_part(call: &Call) -> Result<Option<Element>, Fault> {
    let part = part(call, ns::TSE, "Search").await?;
    Ok(part.map(|(part, own)| copied(part, &own, &[("MetadataSearch", "false")])))
}

async fn receiver_part(call: &Call) -> Result<Option<Element>, Fault> {
    let names = [
        ("RTP_Multicast", "false"),
        ("RTP_TCP", "false"),
        ("RTP_RTSP_TCP", "false"),
        ("SupportedReceivers", "0"),
        ("MaximumRTSPURILength", "256"),
    ];
    let part = part(call, ns::TRV, "Receiver").await?;
    Ok(part.map(|(part, own)| copied(part, &own, &names)))
}

/// Longest text of a recording's configuration (tt:RecordingCapabilities).
const MAX_STRING_CHARS: &str = "4096";
