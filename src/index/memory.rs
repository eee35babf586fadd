//! The index in memory: for tests, and as the model that the database one is compared with.

/// See the module documentation.
#[derive(Debug, Default)]
pub struct MemoryIndex;
