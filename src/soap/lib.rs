//! The SOAP host: services as tables of operations, behind one door.
//!
//! IEC 60839-11-31 (web service framework); ONVIF Core 5; SOAP 1.2; WS-Security and WS-Addressing as
//! far as ONVIF clients use them.
//!
//! * [`Element`]: a bounded XML tree with resolved namespaces. [`message!`] and [`enumeration!`]
//!   make Rust types of messages.
//! * [`Service`]: path, namespace, version, and a table of operations with their access classes.
//! * [`Host`]: from an HTTP request to an HTTP response; authentication, authorisation, faults.
//! * [`hyper`]: the driver, the only part with sockets and timers.
//!
//! # Writing a service
//!
//! ```text
//! message! {
//!     /// tse:EndSearch.
//!     pub struct EndSearch in ns::TSE { token: String = "SearchToken" }
//!     /// tse:EndSearchResponse.
//!     pub struct EndSearchResponse in ns::TSE { endpoint: Utc = "Endpoint" }
//! }
//!
//! pub fn service(state: Arc<Search>) -> Service {
//!     Service::table(ns::TSE, "/onvif/search_service", Version(18, 12), state)
//!         .on("GetServiceCapabilities", Access::PreAuth, |_, call| async move {
//!             let own = Element::new(ns::TSE, "Capabilities").with_attribute("MetadataSearch", "false");
//!             Ok(call.response().with(own))
//!         })
//!         .typed("EndSearch", Access::ReadMedia, end_search)
//!         .unsupported(&[("FindPTZPosition", Access::ReadMedia)])
//!         .build()
//! }
//!
//! async fn end_search(s: Arc<Search>, call: Call, q: EndSearch) -> Result<EndSearchResponse, Fault> {
//!     let endpoint = s.end(&q.token).map_err(|e| match e.kind() {
//!         ErrorKind::NotFound => Fault::invalid_value("InvalidToken", e.message()),
//!         _ => call.fault(&e),
//!     })?;
//!     Ok(EndSearchResponse { endpoint })
//! }
//! ```
//!
//! * Each service answers `GetServiceCapabilities` with a child named `Capabilities` of its own
//!   namespace; GetServices and GetCapabilities of the device service ask it there, so the three
//!   cannot differ and nothing is advertised that is not in the host.
//! * Requests are dispatched by the name of the element in the body. An operation of the namespace
//!   that is not in the table gives ActionNotSupported.
//! * `Option` and `Vec` fields tell what is optional or repeated; a missing or unreadable argument is
//!   `ter:InvalidArgs` without further work.
//! * Addresses in answers come from [`Call::url`] and [`Origin::host`]: what the client called us.
//! * Whole errors of the gateway become faults by [`Call::fault`].
//!
//! Tests drive a host without sockets: [`Host::answer`] takes an `http::Request<Bytes>`, and a
//! [`testing::Client`] makes the request and reads the answer.

mod access;
mod door;
pub mod envelope;
pub mod fault;
mod host;
pub mod hyper;
pub mod ns;
mod origin;
mod security;
mod service;
pub mod testing;
pub mod tt;
mod value;
mod xml;

pub use access::Access;
pub use door::Door;
pub use envelope::{Addressing, Envelope};
pub use fault::{Code, Fault};
pub use host::{Counters, DEVICE_SERVICE_PATH, Host};
pub use origin::Origin;
pub use security::Security;
pub use service::{Call, Operation, Reply, Service, Table, Version};
pub use value::{Attribute, Field, Simple, Value, read_duration, write_duration};
pub use xml::{Element, Limits, Name, Node, Ns, XmlError, XmlErrorKind};
