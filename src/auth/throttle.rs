//! The brake on guessing: after a few wrong passwords the next try has to wait, longer each time.
//!
//! Counted per address and user, so that a stranger cannot lock a user out from elsewhere, and per
//! address alone, so that trying many names does not help. During the wait nothing is verified.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// How the brake behaves.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleSettings {
    /// Wrong passwords of one user from one address that cost nothing.
    pub free: u32,
    /// Wrong passwords of any users from one address that cost nothing.
    pub free_per_address: u32,
    /// The first wait; each further wrong password doubles it.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// After this long without a wrong password all is forgotten.
    pub memory: Duration,
    /// How many counters are kept; the one that was silent longest goes first.
    pub counters: usize,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        Self {
            free: 5,
            free_per_address: 20,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            memory: Duration::from_secs(900),
            counters: 8192,
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Throttle {
    settings: ThrottleSettings,
    counters: Mutex<HashMap<Key, Counter>>,
}

/// Names are hashed: they come from strangers and may be long.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Key(IpAddr, Option<[u8; 16]>);

#[derive(Clone, Copy, Debug)]
struct Counter {
    wrong: u32,
    last: Instant,
}

impl Throttle {
    /// A brake that has seen nothing yet.
    pub fn new(settings: ThrottleSettings) -> Self {
        Self { settings, counters: Mutex::new(HashMap::new()) }
    }

    /// Whether a password may be tried now; if not, how long to wait.
    pub fn admit(&self, from: IpAddr, user: &str, now: Instant) -> Result<(), Duration> {
        let counters = self.counters.lock();
        let wait = keys(from, user)
            .iter()
            .filter_map(|key| Some(self.remaining(key, counters.get(key)?, now)))
            .max()
            .unwrap_or_default();
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// A wrong password.
    pub fn wrong(&self, from: IpAddr, user: &str, now: Instant) {
        let mut counters = self.counters.lock();
        for key in keys(from, user) {
            self.make_room(&mut counters, &key, now);
            let counter = counters.entry(key).or_insert(Counter { wrong: 0, last: now });
            if now.saturating_duration_since(counter.last) > self.settings.memory {
                counter.wrong = 0;
            }
            *counter = Counter { wrong: counter.wrong.saturating_add(1), last: now };
        }
    }

    /// The right password: the user's counter starts over. The address keeps its own, or an
    /// attacker with one account could guess the others unhindered.
    pub fn right(&self, from: IpAddr, user: &str) {
        let [_, pair] = keys(from, user);
        self.counters.lock().remove(&pair);
    }

    fn remaining(&self, key: &Key, counter: &Counter, now: Instant) -> Duration {
        let free =
            if key.1.is_some() { self.settings.free } else { self.settings.free_per_address };
        let passed = now.saturating_duration_since(counter.last);
        if counter.wrong < free.max(1) || passed > self.settings.memory {
            return Duration::ZERO;
        }
        let doublings = (counter.wrong - free.max(1)).min(31);
        let wait = self.settings.first_wait.saturating_mul(1 << doublings);
        wait.min(self.settings.longest_wait).saturating_sub(passed)
    }

    fn make_room(&self, counters: &mut HashMap<Key, Counter>, key: &Key, now: Instant) {
        if counters.len() < self.settings.counters.max(2) || counters.contains_key(key) {
            return;
        }
        counters.retain(|_, c| now.saturating_duration_since(c.last) <= self.settings.memory);
        // Drops an eighth at once, so that a flood of names costs one pass in a thousand calls.
        let excess = (counters.len() + 1).saturating_sub(self.settings.counters.max(2));
        if excess > 0 {
            let mut ages: Vec<_> = counters.iter().map(|(k, c)| (c.last, *k)).collect();
            let drop = excess.max(ages.len() / 8).min(ages.len()).max(1);
            ages.select_nth_unstable_by_key(drop - 1, |(last, _)| *last);
            for (_, key) in &ages[..drop] {
                counters.remove(key);
            }
        }
    }
}

/// The address alone, and the address with the user.
fn keys(from: IpAddr, user: &str) -> [Key; 2] {
    let from = network(from);
    let hash = Sha256::digest(user.as_bytes());
    let mut name = [0; 16];
    name.copy_from_slice(&hash[..16]);
    [Key(from, None), Key(from, Some(name))]
}

/// A host owns a whole /64 of IPv6 addresses; an IPv4 address may come dressed as IPv6.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_is_forgotten() {
        let throttle = Throttle::new(ThrottleSettings::default());
        let mut now = Instant::now();
        for _ in 0..4 {
            throttle.wrong(A, "admin", now);
            assert_eq!(throttle.admit(A, "admin", now), Ok(()));
        }
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            throttle.wrong(A, "admin", now);
            assert_eq!(throttle.admit(A, "admin", now), Err(seconds(wait)));
            assert_eq!(throttle.admit(A, "other", now), Ok(()), "another user");
            assert_eq!(throttle.admit(B, "admin", now), Ok(()), "from elsewhere");
            now += seconds(wait);
            assert_eq!(throttle.admit(A, "admin", now), Ok(()), "after the wait");
        }
        throttle.wrong(A, "admin", now + seconds(901));
        assert_eq!(throttle.admit(A, "admin", now + seconds(901)), Ok(()), "forgotten");
    }

    #[test]
    fn the_right_password_starts_over() {
        let throttle = Throttle::new(ThrottleSettings::default());
        let now = Instant::now();
        (0..6).for_each(|_| throttle.wrong(A, "admin", now));
        assert!(throttle.admit(A, "admin", now).is_err());
        throttle.right(A, "admin");
        assert_eq!(throttle.admit(A, "admin", now), Ok(()));
    }

    #[test]
    fn many_names_from_one_address_do_not_help() {
        let throttle = Throttle::new(ThrottleSettings::default());
        let now = Instant::now();
        (0..20).for_each(|i| throttle.wrong(A, &format!("user{i}"), now));
        assert_eq!(throttle.admit(A, "fresh", now), Err(seconds(1)));
        throttle.right(A, "user0");
        assert!(
            throttle.admit(A, "fresh", now).is_err(),
            "one right password clears one user only"
        );
        assert_eq!(throttle.admit(B, "fresh", now), Ok(()));
    }

    #[test]
    fn a_whole_ipv6_network_is_one_address() {
        let throttle = Throttle::new(ThrottleSettings::default());
        let now = Instant::now();
        for i in 0..5 {
            throttle.wrong(format!("2001:db8::{i}").parse().unwrap(), "admin", now);
        }
        assert!(throttle.admit("2001:db8::ffff".parse().unwrap(), "admin", now).is_err());
        assert!(throttle.admit("2001:db8:0:1::1".parse().unwrap(), "admin", now).is_ok());
        (0..5).for_each(|_| throttle.wrong("::ffff:192.0.2.1".parse().unwrap(), "admin", now));
        assert!(throttle.admit(A, "admin", now).is_err());
    }

    #[test]
    fn the_table_stays_bounded_and_drops_the_oldest() {
        let settings =
            ThrottleSettings { counters: 64, free: 1, free_per_address: 1, ..Default::default() };
        let throttle = Throttle::new(settings);
        let start = Instant::now();
        for i in 0..1000_u32 {
            let from = IpAddr::from((0x0a00_0000 + i).to_be_bytes());
            throttle.wrong(from, "x", start + Duration::from_millis(u64::from(i)));
            assert!(throttle.counters.lock().len() <= 64);
        }
        let newest = IpAddr::from((0x0a00_0000 + 999_u32).to_be_bytes());
        assert!(throttle.admit(newest, "x", start + Duration::from_millis(999)).is_err());
    }
}
