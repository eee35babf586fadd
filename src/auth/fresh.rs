//! A bounded memory of what was used: exact while it has room, and on the safe side when it has not.

use std::collections::BTreeMap;

use dvrgate_model::Utc;

/// Entries by time and key. When it is full the oldest entry goes, and from then on everything as
/// old as that counts as used: an attacker who fills the table gains nothing, an honest client
/// has to start over with a new nonce.
#[derive(Debug)]
pub(crate) struct Fresh<K, V> {
    entries: BTreeMap<(Utc, K), V>,
    floor: Utc,
    capacity: usize,
}

impl<K: Ord, V: Default> Fresh<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: BTreeMap::new(), floor: Utc::MIN, capacity: capacity.max(1) }
    }

    /// Forgets what is older than `limit`; such things are refused for their age anyway.
    pub(crate) fn expire(&mut self, limit: Utc) {
        while let Some(entry) = self.entries.first_entry() {
            if entry.key().0 >= limit {
                break;
            }
            entry.remove();
        }
    }

    /// The entry, made if need be; `None` when it may have been forgotten.
    pub(crate) fn entry(&mut self, at: Utc, key: K) -> Option<&mut V> {
        let id = (at, key);
        if !self.entries.contains_key(&id) {
            if at <= self.floor {
                return None;
            }
            if self.entries.len() >= self.capacity
                && let Some((oldest, _)) = self.entries.pop_first()
            {
                self.floor = self.floor.max(oldest.0);
                if at <= self.floor {
                    return None;
                }
            }
        }
        Some(self.entries.entry(id).or_default())
    }
}

/// Which numbers of a rising count were seen: the highest, and the 64 below it, because parallel
/// connections overtake one another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    highest: u32,
    below: u64,
    begun: bool,
}

impl Window {
    /// Whether the number is new; it counts as seen from now on.
    pub(crate) fn take(&mut self, n: u32) -> bool {
        if !self.begun {
            *self = Window { highest: n, below: 0, begun: true };
            return true;
        }
        if n > self.highest {
            let step = n - self.highest;
            self.below = if step < 64 { (self.below << step) | (1 << (step - 1)) } else { 0 };
            if step == 64 {
                self.below = 1 << 63;
            }
            self.highest = n;
            return true;
        }
        let behind = self.highest - n;
        if behind == 0 || behind > 64 {
            return false;
        }
        let bit = 1_u64 << (behind - 1);
        let new = self.below & bit == 0;
        self.below |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_window_takes_each_number_once() {
        let mut window = Window::default();
        let mut seen = HashSet::new();
        let mut n: u32 = 200;
        let mut highest = 0;
        let mut random: u64 = 1;
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            n = n.saturating_add_signed(((random >> 33) % 141) as i32 - 60);
            let first = seen.is_empty();
            let expected = first || (n > highest || (highest - n <= 64 && !seen.contains(&n)));
            // A number that fell out of the window is refused whether it was seen or not.
            assert_eq!(window.take(n), expected, "{n} after {highest}");
            seen.insert(n);
            highest = highest.max(n);
        }
    }

    #[test]
    fn a_step_of_exactly_the_window_keeps_the_last_bit() {
        let mut w = Window::default();
        assert!(w.take(10) && w.take(74));
        assert!(!w.take(10), "64 behind and seen");
        assert!(w.take(11), "63 behind and new");
        assert!(w.take(75 + 64) && !w.take(74), "65 behind is out");
    }

    #[test]
    fn what_may_have_been_forgotten_counts_as_used() {
        let at = Utc::from_secs;
        let mut fresh: Fresh<u8, bool> = Fresh::new(2);
        for t in [10, 20, 30] {
            assert!(fresh.entry(at(t), 0).is_some());
        }
        assert!(fresh.entry(at(10), 0).is_none(), "forgotten");
        assert!(fresh.entry(at(10), 1).is_none(), "as old as the forgotten one");
        assert!(fresh.entry(at(20), 0).is_some(), "still known");
        fresh.expire(at(25));
        assert!(fresh.entry(at(26), 0).is_some());
        assert_eq!(fresh.entries.len(), 2);
    }
}
