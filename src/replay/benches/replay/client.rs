//! The client: RTSP and RTP out of a connection, every packet looked at, none kept.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use super::carrier::{Carrier, Way};
use super::footage::{self, SECONDS};
use super::servers::{Kind, Running};

/// A server that says nothing for so long hangs.
pub const PATIENCE: Duration = Duration::from_secs(5);
const BUFFER: usize = 256 * 1024;

/// One RTP packet.
#[derive(Clone, Copy, Debug)]
pub struct Rtp {
    pub marker: bool,
    pub timestamp: u32,
    /// CSeq byte of the replay extension, where there is one.
    pub cseq: Option<u8>,
}

/// What came.
#[derive(Debug)]
pub enum Item {
    Response(u32),
    Rtp(Rtp),
    Other,
}

/// A connection.
pub struct Client {
    pub carrier: Carrier,
    kind: Kind,
    url: String,
    track: &'static str,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    cseq: u32,
    session: String,
    sequence: Option<u16>,
    /// Bytes read.
    pub bytes: u64,
    /// Packets that came, and that did not, where the way may lose some.
    pub packets: u64,
    pub lost: u64,
}

/// With which headers a session plays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    Paced,
    Unpaced,
}

impl Client {
    fn connect(server: &Running, way: Way, buffer: usize) -> Result<Self> {
        Ok(Self {
            carrier: Carrier::connect(server, way)?,
            kind: server.kind,
            url: format!("rtsp://127.0.0.1:{}{}", server.port, server.path),
            track: server.track,
            buffer: vec![0; buffer].into(),
            start: 0,
            end: 0,
            cseq: 0,
            session: String::new(),
            sequence: None,
            bytes: 0,
            packets: 0,
            lost: 0,
        })
    }

    /// A connection on which PLAY may follow.
    pub fn set_up(server: &Running) -> Result<Self> {
        Self::set_up_with(server, Way::Tcp, BUFFER)
    }

    /// The same on another way, with another buffer.
    pub fn set_up_with(server: &Running, way: Way, buffer: usize) -> Result<Self> {
        let mut client = Self::connect(server, way, buffer)?;
        if server.kind == Kind::Limit {
            return Ok(client);
        }
        let transport = format!("Transport: {}\r\n", client.carrier.transport()?);
        client.send("SETUP", client.track, &transport)?;
        client.answer()?;
        Ok(client)
    }

    fn send(&mut self, method: &str, stream: &str, fields: &str) -> Result<()> {
        self.cseq += 1;
        let (url, cseq, session) = (&self.url, self.cseq, &self.session);
        let text =
            format!("{method} {url}{stream} RTSP/1.0\r\nCSeq: {cseq}\r\n{session}{fields}\r\n");
        self.carrier.write(text.as_bytes())
    }

    /// PLAY from a second of the hour on; the answer is not waited for.
    pub fn play(&mut self, second: u64, pace: Pace) -> Result<()> {
        let range = match self.kind {
            Kind::Limit => return Ok(()),
            Kind::Peer => format!("Range: npt={second}-\r\n"),
            Kind::Dvrgate => {
                let at = footage::start().plus_us(second as i64 * 1_000_000);
                let clock = dvrgate_rtsp::headers::ClockRange { start: Some(at), end: None };
                format!("Range: {}\r\n", dvrgate_rtsp::headers::Range::Clock(clock))
            }
        };
        let rate = if pace == Pace::Unpaced { "Rate-Control: no\r\n" } else { "" };
        self.send("PLAY", "", &format!("{range}{rate}Immediate: yes\r\n"))
    }

    /// Reads on until the answer to the last request.
    pub fn answer(&mut self) -> Result<()> {
        loop {
            if let Item::Response(cseq) = self.next()?
                && cseq == self.cseq
            {
                return Ok(());
            }
        }
    }

    /// Reads on until the answer to the last PLAY and its first packet are there; datagrams overtake
    /// answers.
    pub fn started(&mut self) -> Result<()> {
        let (mut answered, mut first) = (false, false);
        while !(answered && first) {
            match self.next()? {
                Item::Response(cseq) => answered |= cseq == self.cseq,
                Item::Rtp(rtp) if self.kind == Kind::Dvrgate => {
                    first |= rtp.cseq == Some(self.cseq as u8);
                }
                // Packets of others do not say to which PLAY they belong.
                Item::Rtp(_) => first |= answered,
                Item::Other => {}
            }
        }
        Ok(())
    }

    /// The next item; reads if need be.
    pub fn next(&mut self) -> Result<Item> {
        loop {
            if let Some(item) = self.take()? {
                return Ok(item);
            }
            if self.read()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads once.
    pub fn read(&mut self) -> Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let n = self.carrier.read(&mut self.buffer[self.end..])?;
        self.end += n;
        self.bytes += n as u64;
        Ok(n)
    }

    /// The next item that is there.
    pub fn take(&mut self) -> Result<Option<Item>> {
        let rest = &self.buffer[self.start..self.end];
        let bad = |why| Error::new(ErrorKind::InvalidData, why);
        if let [b'$', channel, a, b, packet @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*a, *b]));
            let Some(packet) = packet.get(..length) else { return Ok(None) };
            self.start += 4 + length;
            if *channel != 0 {
                return Ok(Some(Item::Other));
            }
            let [head, second, s0, s1, t0, t1, t2, t3, ..] = packet else {
                return Err(bad("a short packet"));
            };
            let sequence = u16::from_be_bytes([*s0, *s1]);
            let missing = self.sequence.map_or(0, |s| sequence.wrapping_sub(s.wrapping_add(1)));
            if missing > 0 && !self.carrier.loses() && self.kind != Kind::Peer {
                return Err(bad("a packet is missing"));
            }
            self.packets += 1;
            // Beyond that one is out of order, not thousands missing.
            self.lost += if missing < 0x8000 { u64::from(missing) } else { 0 };
            self.sequence = Some(sequence);
            let extension = (head & 0x10 != 0).then(|| packet.get(12..28)).flatten();
            return Ok(Some(Item::Rtp(Rtp {
                marker: second & 0x80 != 0,
                timestamp: u32::from_be_bytes([*t0, *t1, *t2, *t3]),
                cseq: extension.filter(|e| e[..2] == [0xab, 0xac]).map(|e| e[13]),
            })));
        }
        let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.start += end + 4;
        let field = |name: &str| {
            let named = |l: &str| {
                let (n, value) = l.split_once(':')?;
                n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            };
            text.lines().find_map(named)
        };
        if !text.starts_with("RTSP/1.0 200") {
            return Err(Error::other(text));
        }
        if let Some(session) = field("Session") {
            let id = session.split(';').next().unwrap_or_default();
            self.session = format!("Session: {id}\r\n");
        }
        let cseq = field("CSeq").and_then(|c| c.parse().ok());
        Ok(Some(Item::Response(cseq.ok_or_else(|| bad("an answer without CSeq"))?)))
    }
}

/// Seconds of the hour in no order; the last tenth is left to play.
pub fn somewhere(n: u64) -> u64 {
    let mixed = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (mixed >> 33) % (SECONDS as u64 * 9 / 10)
}
