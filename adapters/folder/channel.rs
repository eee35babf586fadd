//! Channel numbers: from file names, else from directories.

use std::collections::{BTreeMap, BTreeSet};

use dvrgate_model::ChannelId;

/// Files directly in the folder, whose names say no channel.
pub(crate) const ROOT: ChannelId = ChannelId(1);
/// Numbers at the end of directory names are taken up to this one; numbers made from names are
/// above.
const LAST_NUMBERED: u32 = 9_999;
const MADE: u32 = 50_000;

/// What a file belongs to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    /// A channel number in the file's name.
    Number(u32),
    /// The first directory below the folder that is not a date.
    Directory(String),
    /// The folder itself.
    Root,
}

impl Place {
    /// From the number in the name, if any, and the directories from the folder down.
    pub(crate) fn of(number: Option<u32>, directories: &[&str]) -> Self {
        let named = || below_dates(directories).map(|d| Self::Directory(d.to_owned()));
        number.map(Self::Number).or_else(named).unwrap_or(Self::Root)
    }
}

/// The first directory that is not part of a date: `20240506`, `2024-05-06`, or `2024`, `05`, `06`
/// one below the other.
fn below_dates<'a>(directories: &[&'a str]) -> Option<&'a str> {
    let mut in_date = 0;
    directories.iter().copied().find(|name| {
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        let others = name.bytes().filter(|b| !b.is_ascii_digit());
        let plain = others.clone().all(|b| matches!(b, b'-' | b'_' | b'.'));
        let century = ["19", "20", "21"].iter().any(|c| name.starts_with(c));
        if plain && century && matches!(digits, 4 | 6 | 8) {
            in_date = digits;
            return false;
        }
        // Month below a year, day below a month.
        let continues = matches!(in_date, 4 | 6) && digits == 2 && name.len() == 2;
        in_date = if continues { in_date + 2 } else { 0 };
        !continues
    })
}

/// Numbers for all places. A directory has the number at the end of its name if no other one has
/// it; else a number made from its name, the same in every run.
pub(crate) fn numbers(places: &BTreeSet<Place>) -> BTreeMap<Place, ChannelId> {
    let ending = |name: &str| {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        name[name.len() - digits..].parse().ok().filter(|n| (1..=LAST_NUMBERED).contains(n))
    };
    let mut claims: BTreeMap<u32, usize> = BTreeMap::new();
    for place in places {
        if let Place::Directory(name) = place
            && let Some(n) = ending(name)
        {
            *claims.entry(n).or_default() += 1;
        }
    }
    let mut made = BTreeSet::new();
    let mut out = BTreeMap::new();
    for place in places {
        let id = match place {
            Place::Number(n) => *n,
            Place::Root => ROOT.0,
            Place::Directory(name) => match ending(name).filter(|n| claims.get(n) == Some(&1)) {
                Some(n) => n,
                None => {
                    let mut n = LAST_NUMBERED + 1 + fnv(name) % MADE;
                    while !made.insert(n) {
                        n += 1;
                    }
                    n
                }
            },
        };
        out.insert(place.clone(), ChannelId(id));
    }
    out
}

fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(places: &[Place]) -> Vec<u32> {
        let numbers = numbers(&places.iter().cloned().collect());
        places.iter().map(|p| numbers[p].0).collect()
    }

    fn dir(name: &str) -> Place {
        Place::Directory(name.into())
    }

    #[test]
    fn places() {
        assert_eq!(Place::of(Some(7), &["a"]), Place::Number(7));
        assert_eq!(Place::of(None, &["2024-05-06", "cam2", "x"]), dir("cam2"));
        assert_eq!(Place::of(None, &["2024", "05", "06"]), Place::Root);
        for name in ["2", "02", "1001", "cam 2024"] {
            assert_eq!(Place::of(None, &[name, "2024", "05"]), dir(name));
        }
    }

    #[test]
    fn numbers_are_stable() {
        assert_eq!(ids(&[dir("cam2"), dir("ch05"), Place::Number(3), Place::Root]), [2, 5, 3, 1]);
        let named = ids(&[dir("gate"), dir("yard")]);
        assert!(named.iter().all(|n| *n > LAST_NUMBERED));
        assert_eq!(ids(&[dir("gate"), dir("lobby"), dir("yard")])[0], named[0]);
        // Two directories with the same number: neither has it.
        assert!(ids(&[dir("north1"), dir("south1")]).iter().all(|n| *n > LAST_NUMBERED));
    }
}
