//! (being written)
mod session;
mod topic;
pub mod xpath;
