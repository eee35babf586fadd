//! Media outside of the connection: datagrams to the client's ports, or to a multicast group
//! (RFC 2326 12.39; ONVIF Streaming 5.1.1.1, 5.1.1.2).
//!
//! What decides the cost of datagrams is how many the kernel takes one by one. Where it can cut a
//! send into datagrams of one size itself (UDP_SEGMENT), all fragments of an access unit are one
//! send; elsewhere they are one `sendmmsg`.

mod groups;
mod tokio;

pub use self::groups::{BadGroups, Group, Groups, Lease};
pub(super) use self::tokio::Datagrams;

/// Where the datagrams of a stream go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// To the client, at these ports for RTP and RTCP.
    Client {
        /// Its ports.
        ports: (u16, u16),
    },
    /// To everybody who joined a group.
    Group(Group),
}
