//! Sync against a recorder in memory whose truth is known.

mod properties;
mod recorder;
mod whole;
