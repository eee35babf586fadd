//! Who may import whom, and other rules that good will alone does not keep
//! (docs/architecture.md gives the reasons).

#![allow(clippy::unwrap_used)] // a test may

#[path = "architecture/image.rs"]
mod image;
#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/licences.rs"]
mod licences;
#[path = "architecture/sources.rs"]
mod sources;
#[path = "architecture/workspace.rs"]
mod workspace;
