//! The device service: what the gateway is, which services it has, and how it is found.
//!
//! IEC 60839-11-31; ONVIF Core 7 (discovery), 8 (device management), annex A.
//!
//! | operations | clause | here |
//! | --- | --- | --- |
//! | GetServices, GetServiceCapabilities, GetCapabilities, GetWsdlUrl | Core 8.1, annex A | `capabilities.rs` |
//! | GetHostname, GetDNS, GetNTP, GetNetworkInterfaces, GetNetworkProtocols, GetNetworkDefaultGateway | Core 8.2 | `network.rs` |
//! | GetDeviceInformation, GetSystemDateAndTime, GetScopes, SetScopes, AddScopes, RemoveScopes, GetDiscoveryMode, SetDiscoveryMode, SystemReboot | Core 8.3 | `system.rs`, `state.rs` |
//! | GetUsers, CreateUsers, DeleteUsers, SetUser | Core 8.4 | `users.rs` |
//! | GetEndpointReference | Core 8.4 | `system.rs` |
//! | all others of the device service | | ActionNotSupported, by table (`service.rs`) |
//! | Hello, Probe, Resolve, Bye | Core 7.3, WS-Discovery 2005/04 | `discovery/` |
//!
//! Network and time are those of the host, configured there: the capabilities say so
//! (`NetworkConfigNotSupported`).

mod capabilities;
pub mod discovery;
mod faults;
mod machine;
mod network;
mod service;
mod state;
mod system;
mod users;
mod wire;

pub use machine::{Interface, LinuxMachine, Machine};
pub use service::{Device, Settings};
pub use state::State;
pub use users::Accounts;

#[cfg(test)]
mod tests;
