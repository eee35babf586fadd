//! `Transport`: how a stream travels (RFC 2326 12.39; ONVIF Streaming 5.1).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::BadHeader;

/// What carries the packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lower {
    /// Datagrams.
    Udp,
    /// The RTSP connection itself, interleaved (RFC 2326 10.12).
    Tcp,
}

/// One way that is offered or agreed. Parameters that are not listed are dropped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transport {
    /// What carries the packets.
    pub lower: Lower,
    /// To a group; else to one receiver.
    pub multicast: bool,
    /// Channels for RTP and RTCP.
    pub interleaved: Option<(u8, u8)>,
    /// The client's ports for RTP and RTCP.
    pub client_port: Option<(u16, u16)>,
    /// Address of the group, with `multicast`.
    pub destination: Option<Ipv4Addr>,
    /// Ports of the group for RTP and RTCP.
    pub port: Option<(u16, u16)>,
    /// How many routers may pass it on, with `multicast`.
    pub ttl: Option<u8>,
    /// The server's ports for RTP and RTCP.
    pub server_port: Option<(u16, u16)>,
    /// Synchronization source of the server.
    pub ssrc: Option<u32>,
    /// `mode=`, without quotes and in upper case.
    pub mode: Option<String>,
}

impl Transport {
    /// Interleaved on these channels.
    pub fn tcp(rtp: u8, rtcp: u8) -> Self {
        Self { interleaved: Some((rtp, rtcp)), ..Self::new(Lower::Tcp) }
    }

    /// Datagrams to these ports of the client.
    pub fn udp(rtp: u16, rtcp: u16) -> Self {
        Self { client_port: Some((rtp, rtcp)), ..Self::new(Lower::Udp) }
    }

    fn new(lower: Lower) -> Self {
        Self {
            lower,
            multicast: false,
            interleaved: None,
            client_port: None,
            destination: None,
            port: None,
            ttl: None,
            server_port: None,
            ssrc: None,
            mode: None,
        }
    }

    /// Reads the alternatives of a request, best first. Those of profiles that are not RTP/AVP are
    /// left out.
    pub fn alternatives(text: &str) -> Vec<Self> {
        text.split(',').take(MAX_ALTERNATIVES).filter_map(|t| t.parse().ok()).collect()
    }
}

const MAX_ALTERNATIVES: usize = 16;

const fn bad(why: &'static str) -> BadHeader {
    BadHeader { header: "Transport", why }
}

impl FromStr for Transport {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        let mut parts = text.split(';').map(str::trim);
        let profile = parts.next().unwrap_or_default();
        let mut t = match profile.to_ascii_uppercase().as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => Self::new(Lower::Udp),
            "RTP/AVP/TCP" => Self::new(Lower::Tcp),
            _ => return Err(bad("profile is not RTP/AVP")),
        };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "multicast" => t.multicast = true,
                "interleaved" => t.interleaved = Some(pair(value, u8::MAX)?),
                "client_port" => t.client_port = Some(pair(value, u16::MAX)?),
                // Another's address is never a destination of ours, so names need not be known.
                "destination" => t.destination = value.parse().ok(),
                "port" => t.port = Some(pair(value, u16::MAX)?),
                "ttl" => t.ttl = value.parse().ok(),
                "server_port" => t.server_port = Some(pair(value, u16::MAX)?),
                // Seen with a blank in front and without leading zeros.
                "ssrc" => t.ssrc = u32::from_str_radix(value, 16).ok(),
                "mode" => t.mode = Some(value.trim_matches('"').to_ascii_uppercase()),
                _ => {}
            }
        }
        Ok(t)
    }
}

/// `a-b`, or `a` for `a` and the next.
fn pair<T>(text: &str, max: T) -> Result<(T, T), BadHeader>
where
    T: FromStr + Copy + Into<u32> + TryFrom<u32>,
{
    let number = |s: &str| s.trim().parse::<T>().map_err(|_| bad("not a number, or too large"));
    match text.split_once('-') {
        Some((a, b)) => Ok((number(a)?, number(b)?)),
        None => {
            let a = number(text)?;
            let next = (a.into() + 1).min(max.into());
            Ok((a, T::try_from(next).map_err(|_| bad("too large"))?))
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.lower {
            Lower::Udp => "RTP/AVP",
            Lower::Tcp => "RTP/AVP/TCP",
        })?;
        f.write_str(if self.multicast { ";multicast" } else { ";unicast" })?;
        if let Some(address) = self.destination {
            write!(f, ";destination={address}")?;
        }
        if let Some((a, b)) = self.port {
            write!(f, ";port={a}-{b}")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, ";ttl={ttl}")?;
        }
        if let Some((a, b)) = self.interleaved {
            write!(f, ";interleaved={a}-{b}")?;
        }
        if let Some((a, b)) = self.client_port {
            write!(f, ";client_port={a}-{b}")?;
        }
        if let Some((a, b)) = self.server_port {
            write!(f, ";server_port={a}-{b}")?;
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        if let Some(mode) = &self.mode {
            write!(f, ";mode=\"{mode}\"")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    #[test]
    fn table() {
        let udp = |client| Transport { client_port: client, ..Transport::new(Lower::Udp) };
        check_table(&[
            (
                "RTP/AVP;unicast;client_port=4588-4589",
                udp(Some((4588, 4589))),
                "RTP/AVP;unicast;client_port=4588-4589",
            ),
            (
                "rtp/avp/udp; client_port = 5000",
                udp(Some((5000, 5001))),
                "RTP/AVP;unicast;client_port=5000-5001",
            ),
            (
                "RTP/AVP/TCP;unicast;interleaved=0-1",
                Transport::tcp(0, 1),
                "RTP/AVP/TCP;unicast;interleaved=0-1",
            ),
            (
                "RTP/AVP;unicast;client_port=61048-61049;server_port=62000-62001;ssrc= d6d6627;mode=\"play\"",
                Transport {
                    server_port: Some((62000, 62001)),
                    ssrc: Some(0x0d6d_6627),
                    mode: Some("PLAY".into()),
                    ..udp(Some((61048, 61049)))
                },
                "RTP/AVP;unicast;client_port=61048-61049;server_port=62000-62001;ssrc=0D6D6627;mode=\"PLAY\"",
            ),
            (
                "RTP/AVP;multicast;destination=239.255.64.7;port=5000;ttl=3",
                Transport {
                    multicast: true,
                    destination: Some([239, 255, 64, 7].into()),
                    port: Some((5000, 5001)),
                    ttl: Some(3),
                    ..udp(None)
                },
                "RTP/AVP;multicast;destination=239.255.64.7;port=5000-5001;ttl=3",
            ),
            (
                "RTP/AVP;multicast;destination=host;ttl=300",
                Transport { multicast: true, ..udp(None) },
                "RTP/AVP;multicast",
            ),
        ]);
        check_refused::<Transport>(&[
            "",
            "RAW/RAW/UDP;unicast",
            "RTP/SAVP;unicast",
            "RTP/AVP/TCP;interleaved=0-256",
            "RTP/AVP;client_port=x",
        ]);
    }

    #[test]
    fn alternatives_keep_their_order_and_drop_what_is_strange() {
        let list = Transport::alternatives(
            "RTP/SAVP;unicast;client_port=1-2, RTP/AVP/TCP;interleaved=2-3,RTP/AVP;unicast;client_port=8-9",
        );
        assert_eq!(list, [Transport::tcp(2, 3), Transport::udp(8, 9)]);
    }
}
