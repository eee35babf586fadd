//! Firmware versions and patterns of names, as `[[match]]` compares them.

use std::cmp::Ordering;

/// A requirement such as `>=3.4, <4.0`: all its parts must hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionReq(Vec<(Op, Vec<u32>)>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Op {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl VersionReq {
    /// Reads a requirement; the operator may be left out for "this version or a longer form of it"
    /// (`3.4` matches `V3.4.92`).
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad =
            || format!("not a version requirement: {text:?}; write for instance \">=3.4, <4.0\"");
        let part = |part: &str| {
            let part = part.trim();
            let ops = [
                (">=", Op::GreaterOrEqual),
                ("<=", Op::LessOrEqual),
                (">", Op::Greater),
                ("<", Op::Less),
                ("=", Op::Equal),
            ];
            let (op, version) = ops
                .iter()
                .find_map(|(sign, op)| Some((*op, part.strip_prefix(sign)?)))
                .unwrap_or((Op::Equal, part));
            let numbers = numbers(version);
            if numbers.is_empty() { Err(bad()) } else { Ok((op, numbers)) }
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the version that a recorder printed satisfies it. One without numbers never does.
    pub fn matches(&self, version: &str) -> bool {
        let version = numbers(version);
        !version.is_empty()
            && self.0.iter().all(|(op, want)| {
                let order = compare(&version, want);
                match op {
                    Op::Less => order == Ordering::Less,
                    Op::LessOrEqual => order != Ordering::Greater || version.starts_with(want),
                    Op::Equal => version.starts_with(want),
                    Op::GreaterOrEqual => order != Ordering::Less,
                    Op::Greater => order == Ordering::Greater && !version.starts_with(want),
                }
            })
    }
}

/// `V3.4.92 build 170518` as 3, 4, 92: the dotted number that stands first.
fn numbers(text: &str) -> Vec<u32> {
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    text[start..]
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .unwrap_or_default()
        .split('.')
        .map_while(|n| n.parse().ok())
        .take(MAX_PARTS)
        .collect()
}

/// Missing parts count as 0.
fn compare(a: &[u32], b: &[u32]) -> Ordering {
    let at = |v: &[u32], i: usize| v.get(i).copied().unwrap_or(0);
    (0..a.len().max(b.len()))
        .map(|i| at(a, i).cmp(&at(b, i)))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

const MAX_PARTS: usize = 8;

/// Whether a name fits a pattern in which `*` stands for any characters. Case does not matter.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        // Every part but the last may match as early as it can.
        if let Some(middle) = last.replace(part) {
            match rest.find(middle) {
                Some(at) => rest = &rest[at + middle.len()..],
                None => return false,
            }
        }
    }
    match last {
        None => rest.is_empty(),
        Some(end) => rest.ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_is_compared_as_a_version() {
        for (req, version, want) in [
            (">=3.4, <4.0", "V3.4.92 build 170518", true),
            (">=3.4, <4.0", "V3.10.1", true),
            (">=3.4, <4.0", "V4.0.0", false),
            (">=3.4, <4.0", "3.3.9", false),
            ("3.4", "V3.4.92", true),
            ("3.4", "V3.40", false),
            ("=4.30.210", "4.30.210", true),
            (">4.0", "4.0.1", false),
            (">4.0", "4.1", true),
            ("<=4.0", "4.0.9", true),
            (">=1", "unknown", false),
            (">=1", "", false),
        ] {
            assert_eq!(VersionReq::parse(req).unwrap().matches(version), want, "{req} {version}");
        }
        for bad in ["", ">=", "new", ">=3.4,"] {
            assert!(VersionReq::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, want) in [
            ("DS-7*", "ds-7608NI", true),
            ("DS-7*", "iDS-7208", false),
            ("*DS-7*-K*", "iDS-7208-K1", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }
}
