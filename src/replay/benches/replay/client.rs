//! The client: RTSP and interleaved RTP out of a socket, every packet looked at, none kept.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

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
    pub stream: TcpStream,
    kind: Kind,
    url: String,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    cseq: u32,
    session: String,
    sequence: Option<u16>,
    /// Bytes read.
    pub bytes: u64,
}

/// With which headers a session plays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    Paced,
    Unpaced,
}

impl Client {
    pub fn connect(server: &Running, buffer: usize) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", server.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            kind: server.kind,
            url: format!("rtsp://127.0.0.1:{}/replay/r", server.port),
            buffer: vec![0; buffer].into(),
            start: 0,
            end: 0,
            cseq: 0,
            session: String::new(),
            sequence: None,
            bytes: 0,
        })
    }

    /// A connection on which PLAY may follow.
    pub fn set_up(server: &Running) -> Result<Self> {
        Self::set_up_with(server, BUFFER)
    }

    /// The same with another buffer.
    pub fn set_up_with(server: &Running, buffer: usize) -> Result<Self> {
        let mut client = Self::connect(server, buffer)?;
        if server.kind == Kind::Limit {
            return Ok(client);
        }
        let stream = if server.kind == Kind::Peer { "/stream=0" } else { "/track1" };
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        client.send("SETUP", stream, transport)?;
        client.answer()?;
        Ok(client)
    }

    fn send(&mut self, method: &str, stream: &str, fields: &str) -> Result<()> {
        self.cseq += 1;
        let (url, cseq, session) = (&self.url, self.cseq, &self.session);
        let text =
            format!("{method} {url}{stream} RTSP/1.0\r\nCSeq: {cseq}\r\n{session}{fields}\r\n");
        self.stream.write_all(text.as_bytes())
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

    /// Reads on until the first packet of the last PLAY.
    pub fn first(&mut self) -> Result<()> {
        loop {
            if let Item::Rtp(rtp) = self.next()?
                && (self.kind != Kind::Dvrgate || rtp.cseq == Some(self.cseq as u8))
            {
                return Ok(());
            }
        }
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
        let n = self.stream.read(&mut self.buffer[self.end..])?;
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
            if self.sequence.is_some_and(|s| s.wrapping_add(1) != sequence)
                && self.kind != Kind::Peer
            {
                return Err(bad("a packet is missing"));
            }
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
