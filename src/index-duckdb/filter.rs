//! Which keys were surely never stored: saves the look-up for rows that are new, as most are.
//!
//! A chain of blocked Bloom filters, each twice the one before: 24 bits a key, one cache line a
//! question, about one false "perhaps" in 20,000. A false answer costs a look-up, never a row.

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    blocks: Vec<[u64; 8]>,
    capacity: usize,
    len: usize,
}

const BITS_PER_KEY: usize = 24;
/// Of 512 in a block.
const BITS_SET: u32 = 9;
const SMALLEST: usize = 16 * 1024;

impl Filter {
    /// With room for that many keys before it has to grow.
    pub fn with_capacity(keys: usize) -> Self {
        Self { parts: vec![Part::new(keys.max(SMALLEST))] }
    }

    /// Remembers a key.
    pub fn insert(&mut self, key: u64) {
        if self.parts.last().is_none_or(|p| p.len >= p.capacity) {
            let capacity = self.parts.last().map_or(SMALLEST, |p| p.capacity * 2);
            self.parts.push(Part::new(capacity));
        }
        if let Some(part) = self.parts.last_mut() {
            part.len += 1;
            let (block, bits) = part.place(key);
            for (word, bits) in part.blocks[block].iter_mut().zip(bits) {
                *word |= bits;
            }
        }
    }

    /// `false`: was surely never inserted.
    pub fn may_contain(&self, key: u64) -> bool {
        self.parts.iter().any(|part| {
            let (block, bits) = part.place(key);
            part.blocks[block].iter().zip(bits).all(|(word, bits)| word & bits == bits)
        })
    }
}

impl Part {
    fn new(capacity: usize) -> Self {
        Self { blocks: vec![[0; 8]; (capacity * BITS_PER_KEY).div_ceil(512)], capacity, len: 0 }
    }

    fn place(&self, key: u64) -> (usize, [u64; 8]) {
        let hash = mix(key);
        let block = (u128::from(hash) * self.blocks.len() as u128) >> 64;
        let mut bits = [0; 8];
        let mut more = mix(hash ^ 0x5851_f42d_4c95_7f2d);
        for i in 0..BITS_SET {
            if i == 7 {
                more = mix(more ^ hash);
            }
            bits[(more & 7) as usize] |= 1 << (more >> 3 & 63);
            more >>= 9;
        }
        (block as usize, bits)
    }
}

/// One number for a segment's track and id.
pub(crate) fn segment_key(track_id: u32, id: u64) -> u64 {
    id ^ mix(u64::from(track_id) + 1)
}

/// The finaliser of MurmurHash3.
fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_forgets_and_seldom_errs() {
        let mut filter = Filter::with_capacity(0);
        for key in 0..100_000 {
            filter.insert(segment_key((key % 7) as u32, key));
        }
        assert!(filter.parts.len() > 1);
        for key in 0..100_000 {
            assert!(filter.may_contain(segment_key((key % 7) as u32, key)), "{key}");
        }
        let wrong = (100_000..1_100_000u64)
            .filter(|key| filter.may_contain(segment_key((key % 7) as u32, *key)))
            .count();
        assert!(wrong < 500, "{wrong} of a million");
    }
}
