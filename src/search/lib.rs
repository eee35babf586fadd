//! (being written)
pub mod xpath;
