//! RTP and RTCP: packet headers, the replay extension, access units to packets and back.
//!
//! RFC 3550, 3551; the payload formats each in its file; ONVIF Streaming 5.1 and 6.3.

pub mod depacketize;
mod extension;
mod header;
pub mod packetize;
mod packets;
mod rtcp;

pub use extension::{
    EXTENSION_BYTES, JPEG_LATER, JPEG_START, REPLAY_PROFILE, ReplayExtension, jpeg_extension,
};
pub use header::{Header, Packet, PacketError};
pub use packets::{Entry, Packets, Run, Target};
pub use rtcp::{Rtcp, SenderReport, compound as rtcp_compound, write_goodbye, write_sender_report};
