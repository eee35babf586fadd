//! The recorder families that this program knows, and their mappings. The only place in `src/` that
//! names a vendor: adding one is a line in each list.

use std::path::Path;

use dvrgate_adapter::Connector;
use dvrgate_adapter::mapping::Document;
use dvrgate_model::{Error, Result};

/// A connector for each family.
static CONNECTORS: &[fn() -> &'static dyn Connector] =
    &[dvrgate_folder::connector, dvrgate_hikvision::connector];

/// Built-in mapping documents.
const MAPPINGS: &[(&str, &str)] = &[
    ("folder.toml", include_str!("../mappings/folder.toml")),
    ("hikvision.toml", include_str!("../mappings/hikvision.toml")),
    ("hikvision.camera.toml", include_str!("../mappings/hikvision.camera.toml")),
    (
        "hikvision.first-generation.toml",
        include_str!("../mappings/hikvision.first-generation.toml"),
    ),
    ("hikvision.four-sessions.toml", include_str!("../mappings/hikvision.four-sessions.toml")),
    ("hikvision.issued-files.toml", include_str!("../mappings/hikvision.issued-files.toml")),
];

/// Names of the families, as the configuration writes them.
pub fn names() -> Vec<String> {
    CONNECTORS.iter().map(|c| c().vendor().to_string()).collect()
}

/// The connector of a family.
pub fn connector(vendor: &str) -> Result<&'static dyn Connector> {
    CONNECTORS.iter().map(|c| c()).find(|c| c.vendor().as_str() == vendor).ok_or_else(|| {
        Error::invalid(format!("no vendor {vendor:?}; known are: {}", names().join(", ")))
    })
}

/// The built-in mapping documents and those of the operator (`*.toml` in `folder`, if it exists).
pub fn mappings(folder: Option<&Path>) -> Result<Vec<Document>> {
    let mut documents: Vec<Document> =
        MAPPINGS.iter().map(|(name, text)| Document::builtin(name, text)).collect();
    let Some(folder) = folder.filter(|f| f.is_dir()) else { return Ok(documents) };
    let problem = |path: &Path, e: std::io::Error| {
        Error::invalid(format!("{}: {e}; mappings must be readable", path.display()))
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map_err(|e| problem(folder, e))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "toml"))
        .collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| problem(&path, e))?;
        documents.push(Document::local(path.display().to_string(), text));
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dvrgate_adapter::mapping::resolve;

    #[test]
    fn every_family_has_a_mapping_that_reads() {
        let documents = mappings(None).unwrap();
        for name in names() {
            let vendor = connector(&name).unwrap().vendor();
            let mapping = resolve(&vendor, &documents, None).unwrap();
            assert!(!mapping.explain().is_empty(), "{name}");
        }
        assert!(connector("nobody").unwrap_err().to_string().contains("known are: folder"));
    }
}
