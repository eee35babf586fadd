//! Which multicast addresses are in use. Every stream has a group of its own: what is replayed
//! belongs to one session, and only its client says where it goes on.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Where a multicast stream goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Group {
    /// Of the group.
    pub address: Ipv4Addr,
    /// For RTP and RTCP.
    pub ports: (u16, u16),
    /// How many routers may pass it on.
    pub ttl: u8,
}

/// The addresses that a server may send to. Clones share what is in use.
#[derive(Clone, Debug)]
pub struct Groups {
    first: Ipv4Addr,
    count: u32,
    taken: Arc<Mutex<HashSet<Key>>>,
}

/// What receivers tell streams apart by. The port alone must do where a receiver listens to all
/// groups of its host, so no two streams share one while there are others.
type Key = (Ipv4Addr, u16);

/// A group that is in use until this is dropped.
#[derive(Debug)]
pub struct Lease {
    group: Group,
    taken: Arc<Mutex<HashSet<Key>>>,
}

/// Even ports from here on (RFC 3550 section 11), below those that systems hand out themselves.
const FIRST_PORT: u16 = 20_000;
const PORTS: u32 = 6_000;
/// Without a wish of the client a stream stays on its link.
const TTL: u8 = 1;
/// A wish for more is cut: 32 is a site.
const MAX_TTL: u8 = 32;

impl Groups {
    /// A group: the one wished if it is free and ours, or else any; `None` if there is none left.
    pub fn lease(
        &self,
        address: Option<Ipv4Addr>,
        ports: Option<(u16, u16)>,
        ttl: Option<u8>,
    ) -> Option<Lease> {
        let mut taken = self.taken.lock();
        let address = address.filter(|a| self.holds(*a));
        let ports = ports.filter(|(a, b)| *a >= 1024 && a % 2 == 0 && *b == a + 1);
        let wished = address.zip(ports).map(|(a, p)| (a, p.0)).filter(|k| !taken.contains(k));
        let (address, port) = match wished {
            Some(key) => key,
            // More than are taken: one of them is free.
            None => (0..=taken.len() as u32)
                .map(|n| (address.unwrap_or_else(|| self.at(n)), ports.map_or(port(n), |p| p.0)))
                .chain((0..=taken.len() as u32).map(|n| (self.at(n), port(n))))
                .find(|k| !taken.contains(k))?,
        };
        taken.insert((address, port));
        let ttl = ttl.unwrap_or(TTL).clamp(1, MAX_TTL);
        let group = Group { address, ports: (port, port + 1), ttl };
        Some(Lease { group, taken: Arc::clone(&self.taken) })
    }

    fn at(&self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first).saturating_add(n % self.count))
    }

    fn holds(&self, address: Ipv4Addr) -> bool {
        u32::from(address).checked_sub(u32::from(self.first)).is_some_and(|n| n < self.count)
    }

    #[cfg(test)]
    fn in_use(&self) -> usize {
        self.taken.lock().len()
    }
}

/// `n` below [`PORTS`] gives different ones.
fn port(n: u32) -> u16 {
    FIRST_PORT + (n % PORTS) as u16 * 2
}

impl Lease {
    /// What is leased.
    pub fn group(&self) -> Group {
        self.group
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.taken.lock().remove(&(self.group.address, self.group.ports.0));
    }
}

/// Why a range is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected multicast addresses as ADDRESS/PREFIX, for instance 239.255.64.0/24")]
pub struct BadGroups;

impl FromStr for Groups {
    type Err = BadGroups;

    fn from_str(text: &str) -> Result<Self, BadGroups> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| BadGroups)?;
        let prefix: u32 = prefix.parse().map_err(|_| BadGroups)?;
        // 224.0.0.0/4 in all; 224.0.0.x is for the protocols of routers.
        let control = address.octets()[..3] == [224, 0, 0];
        if !(4..=32).contains(&prefix) || !address.is_multicast() || control {
            return Err(BadGroups);
        }
        let count = 1u32 << (32 - prefix);
        if u32::from(address) % count != 0 {
            return Err(BadGroups);
        }
        Ok(Self { first: address, count, taken: Arc::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> Groups {
        text.parse().unwrap()
    }

    #[test]
    fn ranges() {
        for text in ["239.255.64.0/24", "239.1.2.3", "232.0.0.0/8", "239.255.255.255/32"] {
            assert!(text.parse::<Groups>().is_ok(), "{text}");
        }
        for text in [
            "",
            "239.255.64.0/",
            "239.255.64.1/24",
            "10.0.0.0/8",
            "224.0.0.0/24",
            "224.0.0.5",
            "239.0.0.0/33",
            "239.0.0.0/0",
            "ff15::1/120",
            "host/24",
        ] {
            assert_eq!(text.parse::<Groups>().err(), Some(BadGroups), "{text}");
        }
    }

    /// R8.T-2: streams never share a group, and what ends gives its one back.
    #[test]
    fn every_stream_has_its_own() {
        let groups = groups("239.255.64.0/30");
        let leases: Vec<Lease> =
            (0..100).map(|_| groups.lease(None, None, None).unwrap()).collect();
        let ports: HashSet<_> = leases.iter().map(|l| l.group().ports).collect();
        assert_eq!((ports.len(), groups.in_use()), (100, 100));
        for lease in &leases {
            let Group { address, ports: (a, b), ttl } = lease.group();
            assert!(address.octets()[..3] == [239, 255, 64] && address.octets()[3] < 4);
            assert_eq!((a % 2, b, ttl), (0, a + 1, 1));
        }
        drop(leases);
        assert_eq!(groups.in_use(), 0);
    }

    #[test]
    fn wishes_are_met_where_they_can_be() {
        let groups = groups("239.255.64.0/24");
        let address = Ipv4Addr::new(239, 255, 64, 200);
        let ours = Some(address);
        let foreign = Some(Ipv4Addr::new(239, 255, 65, 1));
        let ports = Some((5000, 5001));
        let lease = groups.lease(ours, ports, Some(4)).unwrap();
        assert_eq!(lease.group(), Group { address, ports: (5000, 5001), ttl: 4 });
        // Taken, so another one; nobody is sent into somebody else's network by a wish.
        let second = groups.lease(ours, ports, Some(0)).unwrap().group();
        assert!(second != lease.group() && second.ttl == 1);
        let third = groups.lease(foreign, ports, Some(255)).unwrap();
        assert!(groups.holds(third.group().address));
        assert_eq!((third.group().ports, third.group().ttl), ((5000, 5001), 32));
        for odd in [(5001, 5002), (5000, 5002), (22, 23), (0, 1), (65_535, 0)] {
            let ports = groups.lease(None, Some(odd), None).unwrap().group().ports;
            assert_eq!(ports.0 % 2, 0, "{odd:?}");
            assert!(ports.0 >= 1024 && ports.1 == ports.0 + 1);
        }
    }

    #[test]
    fn one_address_has_many_ports_but_not_endlessly() {
        let groups = groups("239.255.64.7");
        let mut leases = Vec::new();
        while let Some(lease) = groups.lease(None, None, None) {
            leases.push(lease);
        }
        assert_eq!(leases.len(), PORTS as usize);
        leases.swap_remove(17);
        assert!(groups.lease(None, None, None).is_some());
    }
}
