//! Mapping documents, and how several become one.
//!
//! Order of overlay: built-in for the vendor, built-in for a brand or firmware, local. Within one
//! of these the more specific document comes later and wins. Tables are merged key by key; every
//! other value is replaced.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dvrgate_model::{Error, Identity, Result, Vendor};

use super::schema::{Match, Schema};
use super::version::fits;
use super::{Explained, Mapping};

/// Where a document comes from; later ones win.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Layer {
    /// Built in, for the whole family.
    Vendor,
    /// Built in, for a brand, model or firmware.
    Brand,
    /// Written by the operator.
    Local,
}

/// A mapping document: its name and its text.
#[derive(Clone, Debug)]
pub struct Document {
    /// File name, for messages and as the origin of values.
    pub name: String,
    /// TOML.
    pub text: Cow<'static, str>,
    /// See [`Layer`].
    pub layer: Layer,
}

impl Document {
    /// One that is built in. `acme.toml` is for the family, `acme.brand.toml` an overlay.
    pub fn builtin(name: &str, text: &'static str) -> Self {
        let stem = name.strip_suffix(".toml").unwrap_or(name);
        let layer = if stem.contains('.') { Layer::Brand } else { Layer::Vendor };
        Self { name: name.to_owned(), text: Cow::Borrowed(text), layer }
    }

    /// One of the operator's.
    pub fn local(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: Cow::Owned(text.into()), layer: Layer::Local }
    }

    /// Reads and checks it. The error names file, line and what to write instead.
    pub fn parse(&self) -> Result<Schema> {
        toml::from_str(&self.text).map_err(|e| self.error(&e))
    }

    fn error(&self, e: &toml::de::Error) -> Error {
        let at = e.span().map_or(0, |s| s.start).min(self.text.len());
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |n| n + 1) + 1;
        let shown = self.text.lines().nth(line).unwrap_or_default().trim();
        let name = &self.name;
        Error::invalid(format!("{name}:{}:{column}: {} (at `{shown}`)", line + 1, e.message()))
            .during("mapping")
    }
}

/// The effective mapping of a recorder of that family. While nothing is known about it
/// (`identity` is `None`), only documents without `[[match]]` apply. All documents of the family
/// are checked, whether they apply or not.
pub fn resolve(
    vendor: &Vendor,
    documents: &[Document],
    identity: Option<&Identity>,
) -> Result<Mapping> {
    let mut chosen = Vec::new();
    for document in documents {
        let schema = document.parse()?;
        let name = &document.name;
        if schema.vendor.is_empty() {
            let remedy = "add `vendor = \"…\"` at the top";
            return Err(Error::invalid(format!("{name}:1:1: no vendor; {remedy}")));
        }
        if schema.vendor != vendor.as_str() {
            continue;
        }
        if let Some(specificity) = applies(&schema.matches, identity) {
            chosen.push((document.layer, specificity, document));
        }
    }
    // Stable: documents of equal rank stay in the order given.
    chosen.sort_by_key(|(layer, specificity, _)| (*layer, *specificity));

    let mut merged = toml::Table::new();
    let mut origins = BTreeMap::new();
    for (_, _, document) in chosen {
        let mut table: toml::Table =
            toml::from_str(&document.text).map_err(|e| document.error(&e))?;
        table.remove("match");
        flatten("", &table, &mut |path, value| {
            let origin = document.name.clone();
            origins.insert(path.clone(), Explained { path, value, origin });
        });
        merge(&mut merged, table);
    }
    let schema = merged.try_into::<Schema>().map_err(|e| {
        Error::invalid(format!("the mapping of {vendor} as a whole: {}", e.message()))
    })?;
    Ok(Mapping::from_parts(schema, origins.into_values().collect()))
}

/// `None` where it does not apply; else how specific the best match is.
fn applies(matches: &[Match], identity: Option<&Identity>) -> Option<usize> {
    if matches.is_empty() {
        return Some(0);
    }
    let identity = identity?;
    matches.iter().filter_map(|m| specificity(m, identity)).max()
}

/// Characters of the patterns that are not stars, and more for a firmware requirement.
fn specificity(m: &Match, identity: &Identity) -> Option<usize> {
    let mut sum = 1;
    for (pattern, name) in [(&m.model, &identity.model), (&m.manufacturer, &identity.manufacturer)]
    {
        if let Some(pattern) = pattern {
            if !fits(pattern, name) {
                return None;
            }
            sum += 1 + pattern.chars().filter(|c| *c != '*').count();
        }
    }
    if let Some(firmware) = &m.firmware {
        if !firmware.0.matches(&identity.firmware) {
            return None;
        }
        sum += FIRMWARE_SPECIFICITY;
    }
    Some(sum)
}

const FIRMWARE_SPECIFICITY: usize = 100;

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn flatten(prefix: &str, table: &toml::Table, each: &mut impl FnMut(String, String)) {
    for (key, value) in table {
        let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let key = if bare && !key.is_empty() { key.clone() } else { format!("{key:?}") };
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(table) => flatten(&path, table, each),
            value => each(path, value.to_string()),
        }
    }
}
