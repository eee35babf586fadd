//! The search service: clause 6, ONVIF Recording Search 5.
//!
//! | operation | where |
//! |---|---|
//! | GetServiceCapabilities, GetRecordingSummary, GetRecordingInformation | `service` |
//! | GetMediaAttributes | `attributes` |
//! | FindRecordings, GetRecordingSearchResults | `recordings` |
//! | FindEvents, GetEventSearchResults | `events`, `notification` |
//! | FindMetadata, GetMetadataSearchResults | `metadata` |
//! | EndSearch, keep-alive | `session`, `results` |
//! | FindPTZPosition and its results, GetSearchState | not supported |

mod attributes;
mod events;
mod faults;
mod information;
mod metadata;
mod notification;
mod recordings;
mod results;
mod scope;
mod service;
mod session;
mod topic;
mod walk;
mod wire;
pub mod xpath;

pub use information::information;
pub use service::{SEARCH_SERVICE_PATH, service};
#[doc(hidden)] // for the fuzz targets and the replay of their corpus
pub use topic::TopicFilter;
