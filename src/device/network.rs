//! The network as the host has it (ONVIF Core 8.2). Reading only: it is configured on the host.

use std::net::IpAddr;

use dvrgate_soap::{Call, Element, Field as _, Reply, ns};

use crate::machine::Interface;
use crate::service::{Device, This};
use crate::wire::{InterfaceInfo, Prefixed, Protocol};

impl Device {
    /// RH4-1.
    pub(crate) async fn get_hostname(self: This, call: Call) -> Reply {
        let information = Element::new(ns::TDS, "HostnameInformation")
            .with(Element::of(ns::TT, "FromDHCP", "false"))
            .with(Element::of(ns::TT, "Name", self.machine.hostname()));
        Ok(call.response().with(information))
    }

    /// RH4-2.
    pub(crate) async fn get_dns(self: This, call: Call) -> Reply {
        let search = self.machine.search_domains().into_iter();
        let information = Element::new(ns::TDS, "DNSInformation")
            .with(Element::of(ns::TT, "FromDHCP", "false"))
            .with_all(search.map(|domain| Element::of(ns::TT, "SearchDomain", domain)))
            .with_all(self.machine.resolvers().into_iter().map(|ip| address("DNSManual", ip)));
        Ok(call.response().with(information))
    }

    /// The host keeps its clock right in its own way; no servers are known here.
    pub(crate) async fn get_ntp(self: This, call: Call) -> Reply {
        let information =
            Element::new(ns::TDS, "NTPInformation").with(Element::of(ns::TT, "FromDHCP", "false"));
        Ok(call.response().with(information))
    }

    /// RH4-3. The interface that the client reached comes first: some clients take the first
    /// hardware address for the identity of the device.
    pub(crate) async fn get_network_interfaces(self: This, call: Call) -> Reply {
        let reached = call.origin.local.ip();
        let mut interfaces = self.machine.interfaces();
        interfaces.sort_by_key(|i| !i.addresses.iter().any(|(ip, _)| *ip == reached));
        Ok(call.response().with_all(interfaces.iter().map(interface)))
    }

    /// RH4-4.
    pub(crate) async fn get_network_protocols(self: This, call: Call) -> Reply {
        let http = self.settings.http_port.unwrap_or(call.origin.local.port());
        let protocols = [
            ("HTTP", Some(http)),
            ("HTTPS", self.settings.https_port),
            ("RTSP", Some(self.settings.rtsp_port)),
        ];
        let open = protocols.into_iter().filter_map(|(name, port)| Some((name, port?)));
        let list: Vec<Protocol> = open
            .map(|(name, port)| Protocol { name: name.to_owned(), enabled: true, port })
            .collect();
        Ok(list.put(call.response(), ns::TDS, "NetworkProtocols"))
    }

    /// RH4-5.
    pub(crate) async fn get_network_default_gateway(self: This, call: Call) -> Reply {
        // The schema wants IPv4 addresses before IPv6 addresses.
        let mut gateways = self.machine.gateways();
        gateways.sort_by_key(IpAddr::is_ipv6);
        let gateway =
            Element::new(ns::TDS, "NetworkGateway").with_all(gateways.into_iter().map(bare));
        Ok(call.response().with(gateway))
    }
}

fn interface(interface: &Interface) -> Element {
    let info = InterfaceInfo {
        name: interface.name.clone(),
        hardware: interface.hardware.clone(),
        mtu: interface.mtu,
    };
    let element = Element::new(ns::TDS, "NetworkInterfaces")
        .with_attribute("token", interface.name.clone())
        .with(Element::of(ns::TT, "Enabled", "true"));
    let element = info.put(element, ns::TT, "Info");
    let (v4, v6): (Vec<_>, Vec<_>) = interface.addresses.iter().partition(|(ip, _)| ip.is_ipv4());
    element.with_all(family(&v4, "IPv4")).with_all(family(&v6, "IPv6"))
}

/// `tt:IPv4` or `tt:IPv6`, if there are addresses of it.
fn family(addresses: &[&(IpAddr, u8)], local: &'static str) -> Option<Element> {
    if addresses.is_empty() {
        return None;
    }
    let v6 = local == "IPv6";
    let (link_local, manual): (Vec<_>, Vec<_>) =
        addresses.iter().partition(|(ip, _)| is_link_local(ip));
    let list = |addresses: Vec<&&(IpAddr, u8)>| -> Vec<Prefixed> {
        let one = |(ip, prefix): &(IpAddr, u8)| Prefixed {
            address: ip.to_string(),
            prefix: u32::from(*prefix),
        };
        addresses.into_iter().map(|a| one(a)).collect()
    };
    let (mut link_local, mut manual) = (list(link_local), list(manual));
    let dhcp = |config: Element, text: &str| config.with_value("DHCP", text);
    let mut config = Element::new(ns::TT, "Config");
    if v6 {
        config = dhcp(config, "Off");
    } else if link_local.len() > 1 {
        // IPv4 allows one; the others are told as if they were set by hand.
        manual.extend(link_local.split_off(1));
    }
    config = manual.put(config, ns::TT, "Manual");
    config = link_local.put(config, ns::TT, "LinkLocal");
    if !v6 {
        config = dhcp(config, "false");
    }
    Some(Element::new(ns::TT, local).with_value("Enabled", "true").with(config))
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// tt:IPAddress.
fn address(local: &'static str, ip: IpAddr) -> Element {
    let kind = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    Element::new(ns::TT, local).with(Element::of(ns::TT, "Type", kind)).with(bare(ip))
}

/// `tt:IPv4Address` or `tt:IPv6Address`.
fn bare(ip: IpAddr) -> Element {
    let local = if ip.is_ipv4() { "IPv4Address" } else { "IPv6Address" };
    Element::of(ns::TT, local, ip.to_string())
}
