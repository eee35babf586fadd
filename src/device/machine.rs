//! The host that the gateway runs on, as far as the device service shows it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Facts about the host. Calls are quick and may be made from async code.
pub trait Machine: Debug + Send + Sync {
    /// Network interfaces that are up, without loopback unless there is nothing else.
    fn interfaces(&self) -> Vec<Interface>;
    /// Name servers.
    fn resolvers(&self) -> Vec<IpAddr>;
    /// Domains in which short names are looked up.
    fn search_domains(&self) -> Vec<String>;
    /// Default gateways.
    fn gateways(&self) -> Vec<IpAddr>;
    /// The host's name, or an empty text.
    fn hostname(&self) -> String;
}

/// A network interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    /// As the host calls it.
    pub name: String,
    /// Hardware address: `00:11:22:33:44:55`.
    pub hardware: String,
    /// Largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Addresses with the length of their network prefix.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A Linux host: system calls, `/sys`, `/proc`, `/etc/resolv.conf`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinuxMachine;

impl Machine for LinuxMachine {
    fn interfaces(&self) -> Vec<Interface> {
        let found = if_addrs::get_if_addrs().unwrap_or_default();
        let (loopback, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|i| i.is_loopback());
        let usable = if others.is_empty() { loopback } else { others };
        let mut byname: BTreeMap<String, Interface> = BTreeMap::new();
        for i in usable {
            let prefix = match &i.addr {
                if_addrs::IfAddr::V4(v4) => u32::from(v4.netmask).count_ones(),
                if_addrs::IfAddr::V6(v6) => u128::from(v6.netmask).count_ones(),
            };
            let address = (i.addr.ip(), u8::try_from(prefix).unwrap_or(u8::MAX));
            let entry = byname.entry(i.name.clone()).or_insert_with(|| Interface {
                hardware: of_interface(&i.name, "address")
                    .unwrap_or_else(|| NO_HARDWARE.to_owned()),
                mtu: of_interface(&i.name, "mtu").and_then(|t| t.parse().ok()),
                name: i.name,
                addresses: Vec::new(),
            });
            entry.addresses.push(address);
        }
        byname.into_values().collect()
    }

    fn resolvers(&self) -> Vec<IpAddr> {
        let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        let values = resolv_conf(&text, "nameserver");
        // A scope such as `%eth0` after a link-local address is not part of it.
        values.iter().filter_map(|v| v.split('%').next()?.parse().ok()).collect()
    }

    fn search_domains(&self) -> Vec<String> {
        resolv_conf(&fs::read_to_string(RESOLV_CONF).unwrap_or_default(), "search")
    }

    fn gateways(&self) -> Vec<IpAddr> {
        let v4 = fs::read_to_string("/proc/net/route").unwrap_or_default();
        let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
        gateways_v4(&v4).map(IpAddr::V4).chain(gateways_v6(&v6).map(IpAddr::V6)).collect()
    }

    fn hostname(&self) -> String {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().to_owned()
    }
}

fn of_interface(name: &str, fact: &str) -> Option<String> {
    // The name comes from the kernel; still it must stay one component of the path.
    let plain = !name.contains('/') && name != "..";
    let text =
        fs::read_to_string(format!("/sys/class/net/{name}/{fact}")).ok().filter(|_| plain)?;
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// Values of all lines with a keyword.
fn resolv_conf(text: &str, keyword: &str) -> Vec<String> {
    let lines = text.lines().map(|l| l.split(['#', ';']).next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(keyword)).then(|| words.map(str::to_owned).collect::<Vec<_>>())
        })
        .flatten()
        .collect()
}

/// Gateways of `/proc/net/route`: hex in host byte order, destination and mask 0.
fn gateways_v4(text: &str) -> impl Iterator<Item = Ipv4Addr> {
    text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let hex = |i: usize| u32::from_str_radix(fields.get(i)?, 16).ok();
        let (destination, gateway, mask) = (hex(1)?, hex(2)?, hex(7)?);
        let is_default = destination == 0 && mask == 0 && gateway != 0;
        is_default.then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

/// Gateways of `/proc/net/ipv6_route`: destination, its prefix, source, its prefix, next hop.
fn gateways_v6(text: &str) -> impl Iterator<Item = Ipv6Addr> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let hop = u128::from_str_radix(fields.get(4)?, 16).ok()?;
        let is_default = fields.first()?.bytes().all(|b| b == b'0') && *fields.get(1)? == "00";
        (is_default && hop != 0).then(|| Ipv6Addr::from(hop))
    })
}

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What is shown for an interface without a hardware address.
const NO_HARDWARE: &str = "00:00:00:00:00:00";

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn resolver_files_are_read_word_by_word() {
        let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1 # first\nnameserver fe80::1%eth0\n\
                    search a.example  b.example\noptions ndots:2\nnameservers 192.0.2.8\n";
        assert_eq!(resolv_conf(text, "nameserver"), ["192.0.2.1", "fe80::1%eth0"]);
        assert_eq!(resolv_conf(text, "search"), ["a.example", "b.example"]);
        assert!(resolv_conf("", "search").is_empty());
    }

    #[test]
    fn only_default_routes_have_a_gateway() {
        let hex = format!("{:08X}", u32::from_ne_bytes([192, 0, 2, 1]));
        let text = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             eth0 00000000 {hex} 0003 0 0 100 00000000 0 0 0\n\
             eth0 00000000 00000000 0003 0 0 100 00000000 0 0 0\n\
             eth0 0002A8C0 {hex} 0001 0 0 100 00FFFFFF 0 0 0\n\
             broken line\n"
        );
        assert_eq!(gateways_v4(&text).collect::<Vec<_>>(), [Ipv4Addr::new(192, 0, 2, 1)]);

        let zero = "0".repeat(32);
        let hop = format!("{:032x}", u128::from("fe80::1".parse::<Ipv6Addr>().unwrap()));
        let text = format!(
            "{zero} 00 {zero} 00 {hop} 00000400 00000001 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n\
             20010db8{} 40 {zero} 00 {hop} 00000100 00000001 00000000 00000001 eth0\nx\n",
            "0".repeat(24)
        );
        assert_eq!(
            gateways_v6(&text).collect::<Vec<_>>(),
            ["fe80::1".parse::<Ipv6Addr>().unwrap()]
        );
    }

    #[test]
    fn this_host_has_an_interface() {
        let interfaces = LinuxMachine.interfaces();
        assert!(!interfaces.is_empty());
        for i in &interfaces {
            assert!(!i.addresses.is_empty(), "{i:?}");
            assert_eq!(i.hardware.len(), NO_HARDWARE.len(), "{i:?}");
        }
    }
}
