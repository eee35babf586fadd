//! Mappings: what is data and differs by vendor, brand or firmware.
//!
//! `mappings/*.toml` say what a recorder's codes mean and which of the vendor's named deviations
//! are in force. They hold no control flow: a difference that needs code is a policy in the
//! vendor's crate that a mapping switches. `docs/mappings.md` describes the documents.

mod document;
mod event;
mod schema;
#[cfg(test)]
mod tests;
mod version;

use dvrgate_model::{Error, ErrorKind, Reason, Result, Retry, Vendor, ZoneTrust};

use crate::DeviceLimits;

pub use document::{Document, Layer, resolve};
pub use event::MappedEvent;
pub use schema::{
    Ends, EventMapping, ItemMapping, Limits, Match, SCHEMA, Schema, Segments, Time, ZonePolicy,
};
pub use version::VersionReq;

/// The effective mapping of one recorder.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    schema: Schema,
    explained: Vec<Explained>,
}

/// One value of a mapping and the document that it comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explained {
    /// Dotted key, for instance `segments.reason.motion`.
    pub path: String,
    /// As TOML.
    pub value: String,
    /// Name of the document.
    pub origin: String,
}

impl Mapping {
    /// A single document that applies to everything, whatever its `[[match]]` says.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let document = Document::local(name, text);
        let vendor = Vendor::from(document.parse()?.vendor.as_str());
        let without_match = {
            let mut table: toml::Table =
                toml::from_str(text).map_err(|e| Error::invalid(name.to_owned()).because(e))?;
            table.remove("match");
            table.to_string()
        };
        resolve(&vendor, &[Document::local(name, without_match)], None)
    }

    fn from_parts(schema: Schema, explained: Vec<Explained>) -> Self {
        Self { schema, explained }
    }

    /// The effective document, value by value, in the order of the keys.
    pub fn explain(&self) -> &[Explained] {
        &self.explained
    }

    /// Why a segment with that code was recorded; [`Reason::Unknown`] for a code that the mapping
    /// does not know.
    pub fn reason(&self, code: &str) -> Reason {
        find(&self.schema.segments.reason, code).map_or(Reason::Unknown, |r| r.0)
    }

    /// Whether the mapping knows that code of a segment.
    pub fn knows_reason(&self, code: &str) -> bool {
        find(&self.schema.segments.reason, code).is_some()
    }

    /// How events with that code are told.
    pub fn event(&self, code: &str) -> Option<&EventMapping> {
        find(&self.schema.events, code)
    }

    /// What a recorder's error code means.
    pub fn error(&self, code: &str) -> Option<(ErrorKind, Retry)> {
        let mapping = find(&self.schema.errors, code)?;
        let kind = mapping.kind.0;
        let usual = || Error::new(kind, "").retry();
        Some((kind, mapping.retry.map_or_else(usual, |r| r.0)))
    }

    /// Whether zone claims of listings are believed until the recorder was asked.
    pub fn zone_trust(&self) -> ZoneTrust {
        self.schema.time.zone.map(ZoneTrust::from).unwrap_or_default()
    }

    /// `[time]`.
    pub fn time(&self) -> &Time {
        &self.schema.time
    }

    /// `[segments]`.
    pub fn segments(&self) -> &Segments {
        &self.schema.segments
    }

    /// `[limits]`.
    pub fn limits(&self) -> &Limits {
        &self.schema.limits
    }

    /// `[query]`: a number of the vendor's queries, or `default` where the mapping has none or one
    /// that does not fit.
    pub fn query<T: TryFrom<i64>>(&self, name: &str, default: T) -> T {
        let value = self.schema.query.get(name).and_then(|n| T::try_from(*n).ok());
        value.unwrap_or(default)
    }

    /// `[paths]`: a path or address, or `default`.
    pub fn path<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.schema.paths.get(name).map_or(default, String::as_str)
    }

    /// `[policies]`: which of the vendor's named deviations is in force.
    pub fn policy(&self, name: &str) -> Option<&str> {
        self.schema.policies.get(name).map(String::as_str)
    }

    /// A policy as one of the vendor's values, or `default`; an unknown value is an error that
    /// lists the known ones.
    pub fn policy_of<T: Copy>(&self, name: &str, known: &[(&str, T)], default: T) -> Result<T> {
        let Some(text) = self.policy(name) else { return Ok(default) };
        known.iter().find(|(n, _)| *n == text).map(|(_, v)| *v).ok_or_else(|| {
            let names = known.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
            let path = format!("policies.{name}");
            let origin = self.explained.iter().find(|e| e.path == path);
            let origin = origin.map_or("mapping", |e| e.origin.as_str());
            Error::invalid(format!("{origin}: {path} = {text:?}; use one of {names}"))
        })
    }

    /// Names of all policies that are set, for connectors that refuse unknown ones.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.schema.policies.keys().map(String::as_str)
    }

    /// What an adapter declares, lowered to what the mapping says.
    pub fn lower(&self, limits: DeviceLimits) -> DeviceLimits {
        let ours = &self.schema.limits;
        limits.lowered(ours.requests_per_second, ours.parallel_requests, ours.logins_before_lockout)
    }
}

/// Exactly, or else by letters of any case: recorders of one family differ in it.
fn find<'a, T>(map: &'a std::collections::BTreeMap<String, T>, code: &str) -> Option<&'a T> {
    map.get(code)
        .or_else(|| map.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, v)| v))
}
