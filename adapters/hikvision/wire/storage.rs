//! `ContentMgmt/Storage`: disks, cards and network volumes.
//!
//! Free space of 0 is healthy on a full disk that overwrites, for ever; a bay without a disk is
//! listed as `notexist`.

use dvrgate_adapter::transport::HttpRequest;

use super::xml::Element;
use super::{Generation, WireError, get};

/// Asks for the volumes.
pub(crate) fn request(g: Generation) -> HttpRequest {
    get(g.path("/ContentMgmt/Storage"))
}

/// `hdd` or `nas`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Volume {
    /// `id`.
    pub(crate) id: String,
    /// `status`: `ok`, `unformatted`, `error`, `notexist`, …
    pub(crate) status: String,
    /// `capacity`, decimal megabytes.
    pub(crate) capacity_mb: u64,
    /// `property`: `RW`, `RO`, `Redund`.
    pub(crate) property: String,
}

impl Volume {
    /// Whether something can be recorded on it.
    pub(crate) fn records(&self) -> bool {
        ["ok", "idle"].iter().any(|s| self.status.eq_ignore_ascii_case(s))
            && !self.property.eq_ignore_ascii_case("RO")
            && self.capacity_mb > 0
    }
}

/// `storage`: all volumes of all kinds.
pub(crate) fn parse(document: &Element) -> Result<Vec<Volume>, WireError> {
    let wanted = "storage";
    if !document.is(wanted) {
        return Err(WireError::Root { found: document.name.clone(), wanted });
    }
    Ok(document
        .children
        .iter()
        .filter(|list| ["hddList", "nasList", "ssdList"].iter().any(|n| list.is(n)))
        .flat_map(|list| &list.children)
        .map(|v| Volume {
            id: v.string_at(&["id"]),
            status: v.string_at(&["status"]),
            capacity_mb: v.number_at(&["capacity"]).unwrap_or(0),
            property: v.string_at(&["property"]),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const STORAGE: &[u8] = include_bytes!("../fixtures/storage.xml");

    #[test]
    fn a_full_disk_is_healthy_and_an_empty_bay_is_none() {
        let v = testing::parse(STORAGE, parse).unwrap();
        let seen: Vec<_> = v.iter().map(|v| (v.status.as_str(), v.records())).collect();
        assert_eq!(seen, [("ok", true), ("notexist", false), ("ok", true)]);
        assert_eq!(v[0].capacity_mb, 3_815_447);
    }

    #[test]
    fn truncations() {
        testing::sweep(STORAGE, parse);
    }
}
