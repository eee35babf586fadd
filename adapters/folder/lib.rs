//! Footage from a directory of exported files: MP4, MOV, MKV, AVI, MPEG-TS, MPEG-PS.
//!
//! The smallest complete adapter. `docs.md` tells how channels and times are found.

mod adapter;
mod channel;
mod convert;
mod footage;
mod grammar;
mod library;
#[cfg(test)]
mod tests;
mod walk;

use dvrgate_adapter::Connector;

/// The connector of this family.
pub fn connector() -> &'static dyn Connector {
    &adapter::FolderConnector
}
