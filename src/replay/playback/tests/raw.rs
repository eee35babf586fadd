//! A client that reads every byte.

use std::time::Duration;

use bytes::Bytes;
use dvrgate_model::Utc;
use dvrgate_rtsp::headers::{Range, RtpInfo};
use dvrgate_rtsp::message::{Item, Limits, Reader, Response};
use dvrgate_rtsp::rtp::{Packet, ReplayExtension};
use dvrgate_rtsp::server::{Peer, ServerConfig, Shared, serve_connection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::stage::Stage;

/// Connected in memory, with a session of all tracks; track n on channels 2n and 2n+1.
pub struct Raw {
    io: DuplexStream,
    reader: Reader,
    cseq: u32,
    session: String,
}

/// What one request brought.
pub struct Answer {
    /// The answer itself.
    pub response: Response,
    /// RTP packets that came with it or after it, each with its channel.
    pub packets: Vec<(u8, Packet, Bytes)>,
}

/// The first packet of a unit.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Number of the track.
    pub track: u8,
    /// The extension.
    pub replay: ReplayExtension,
    /// RTP timestamp.
    pub timestamp: u32,
}

const URL: &str = "rtsp://192.0.2.10/replay/yard-1";

/// Longer than anything that is paced waits; simulated.
pub const QUIET: Duration = Duration::from_secs(3);

/// PLAY has this CSeq unless others are asked between.
pub const PLAY_CSEQ: u8 = 7;

impl Raw {
    /// With that many tracks of the stage set up.
    pub async fn new(stage: &Stage, tracks: usize) -> Self {
        let (io, server) = tokio::io::duplex(1 << 20);
        let local = "192.0.2.10".parse().unwrap();
        let shared = Shared::new(ServerConfig::default(), stage.application());
        tokio::spawn(serve_connection(server, Peer { remote: local, local }, shared));
        let reader = Reader::new(Limits::default());
        let mut raw = Self { io, reader, cseq: 0, session: String::new() };
        for n in 0..tracks {
            let channels =
                format!("Transport: RTP/AVP/TCP;interleaved={}-{}\r\n", 2 * n, 2 * n + 1);
            let fields = format!("Require: onvif-replay\r\n{channels}");
            let setup = raw.ask("SETUP", &format!("/track{}", n + 1), &fields).await;
            let session = setup.response.fields.get("Session").unwrap();
            raw.session = format!("Session: {}\r\n", session.split(';').next().unwrap());
        }
        raw
    }

    async fn item(&mut self) -> Item {
        loop {
            if let Some(item) = self.reader.next_item().unwrap() {
                return item;
            }
            assert!(self.io.read_buf(self.reader.buffer()).await.unwrap() > 0, "closed");
        }
    }

    /// The next RTP packet; `None` where none comes in that time.
    async fn packet(&mut self, within: Duration) -> Option<(u8, Packet, Bytes)> {
        let next = async {
            loop {
                if let Item::Packet { channel, data } = self.item().await
                    && channel.is_multiple_of(2)
                {
                    return (channel, Packet::parse(&data).unwrap(), data);
                }
            }
        };
        tokio::time::timeout(within, next).await.ok()
    }

    /// Sends a request; packets that come before its answer are returned with it.
    pub async fn ask(&mut self, method: &str, track: &str, fields: &str) -> Answer {
        self.cseq += 1;
        let (cseq, session) = (self.cseq, &self.session);
        let text =
            format!("{method} {URL}{track} RTSP/1.0\r\nCSeq: {cseq}\r\n{session}{fields}\r\n");
        self.io.write_all(text.as_bytes()).await.unwrap();
        let mut packets = Vec::new();
        loop {
            match self.item().await {
                Item::Response(response) => return Answer { response, packets },
                Item::Packet { channel, data } if channel.is_multiple_of(2) => {
                    packets.push((channel, Packet::parse(&data).unwrap(), data));
                }
                _ => {}
            }
        }
    }

    /// PLAY that must be accepted, and what comes until nothing does.
    pub async fn play(&mut self, fields: &str) -> Answer {
        self.cseq = u32::from(PLAY_CSEQ) - 1;
        let mut answer = self.ask("PLAY", "", &format!("Require: onvif-replay\r\n{fields}")).await;
        assert_eq!(answer.response.status.0, 200, "{fields}");
        answer.packets.extend(self.rest().await);
        answer
    }

    /// What comes until nothing does.
    pub async fn rest(&mut self) -> Vec<(u8, Packet, Bytes)> {
        let mut packets = Vec::new();
        while let Some(packet) = self.packet(QUIET).await {
            packets.push(packet);
        }
        packets
    }

    /// Units in the order of delivery, by their first packets, with when they came, until nothing
    /// does.
    pub async fn watch(&mut self) -> Vec<(tokio::time::Instant, Seen)> {
        let mut seen = Vec::new();
        while let Some(packet) = self.packet(QUIET).await {
            seen.extend(units(&[packet]).into_iter().map(|u| (tokio::time::Instant::now(), u)));
        }
        seen
    }
}

/// The units that packets make, by their first packets.
pub fn units(packets: &[(u8, Packet, Bytes)]) -> Vec<Seen> {
    let first = |(channel, packet, bytes): &(u8, Packet, Bytes)| {
        let (profile, body) = packet.extension.clone()?;
        let replay = ReplayExtension::parse(profile, &bytes[body])?;
        Some(Seen { track: channel / 2, replay, timestamp: packet.header.timestamp })
    };
    packets.iter().filter_map(first).collect()
}

impl Answer {
    /// Its units.
    pub fn units(&self) -> Vec<Seen> {
        units(&self.packets)
    }

    /// Milliseconds of its units after an instant.
    pub fn times(&self, zero: Utc) -> Vec<i64> {
        self.units().iter().map(|u| u.replay.at.since_us(zero) / 1000).collect()
    }

    /// The RTP timestamp that RTP-Info tells for the first track, whose first sequence number must be
    /// that of its first packet.
    pub fn rtptime(&self) -> u32 {
        let info: RtpInfo = self.response.fields.get("RTP-Info").unwrap().parse().unwrap();
        let first = self.packets.iter().find(|(channel, ..)| *channel == 0);
        assert_eq!(info.0[0].seq, first.map(|p| p.1.header.sequence));
        info.0[0].rtptime.unwrap()
    }

    /// Where its Range says that playback begins.
    pub fn start(&self) -> Option<Utc> {
        let range: Range = self.response.fields.get("Range")?.parse().unwrap();
        let Range::Clock(range) = range else { panic!("{range}") };
        range.start
    }
}
