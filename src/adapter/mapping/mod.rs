//! Mappings: what is data and differs by vendor, brand or firmware.

/// The effective mapping of one recorder.
#[derive(Clone, Debug, Default)]
pub struct Mapping;
