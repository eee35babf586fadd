//! A client of replay that looks at every byte: RTSP over TCP with interleaved RTP, written from the
//! standard and sharing nothing with the server.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};
use dvrgate_model::Utc;

use crate::rig::{PASSWORD, PATIENCE, USER};
use crate::truth::clock;

/// Profile of the replay extension.
const REPLAY_PROFILE: u16 = 0xABAC;
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// What is still to come of a closed range once playback is about its end comes at once.
const QUIET: Duration = Duration::from_millis(700);
const ABOUT_US: i64 = 2_000_000;

/// A connection with a session.
pub struct Client {
    socket: BufReader<TcpStream>,
    url: String,
    challenge: Option<WwwAuthenticateHeader>,
    cseq: u32,
    session: Option<String>,
    waiting: VecDeque<(u8, Vec<u8>)>,
    /// The description.
    pub sdp: String,
    streams: Vec<Stream>,
    /// The newest access unit.
    last: Option<Utc>,
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// Access units of video.
    #[default]
    Picture,
    /// Sound.
    Sound,
    /// Documents of the metadata track.
    Document,
}

/// A medium of the session.
#[derive(Default)]
struct Stream {
    channel: u8,
    kind: Kind,
    sequence: Option<u16>,
    open: Option<Unit>,
    part: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields in lower case with their values.
    pub fields: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// An access unit.
#[derive(Clone, Debug)]
pub struct Unit {
    /// When it was captured, from the extension of its first packet.
    pub at: Utc,
    /// C
    pub clean: bool,
    /// E
    pub end_of_section: bool,
    /// D
    pub discontinuity: bool,
    /// T
    pub terminal: bool,
    /// Low byte of the CSeq of its PLAY.
    pub cseq: u8,
    /// RTP timestamp.
    pub ticks: u32,
    /// NAL units of a picture, the one payload of sound, the parts of a document.
    pub payloads: Vec<Vec<u8>>,
    /// Of which stream.
    pub kind: Kind,
}

enum Message {
    Packet(u8, Vec<u8>),
    Answer(Answer),
}

impl Client {
    /// Connects, asks for options and the description.
    pub fn open(url: &str) -> Self {
        let host = url.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
        let socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self {
            socket: BufReader::new(socket),
            url: url.to_owned(),
            challenge: None,
            cseq: 0,
            session: None,
            waiting: VecDeque::new(),
            sdp: String::new(),
            streams: Vec::new(),
            last: None,
        };
        // R8.1-5
        let options = client.ask("OPTIONS", url, &[]);
        let public = options.field("public").unwrap().to_owned();
        for method in ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN"] {
            assert!(public.contains(method), "{public}");
        }
        let answer = client.ask("DESCRIBE", url, &[("Accept", "application/sdp")]);
        assert_eq!(answer.status, 200, "{answer:?}");
        client.sdp = answer.body;
        client
    }

    /// Connects and sets up the picture, or the picture and the sound.
    pub fn ready(url: &str, sound: bool) -> Self {
        let kinds: &[Kind] = if sound { &[Kind::Picture, Kind::Sound] } else { &[Kind::Picture] };
        Self::ready_for(url, kinds)
    }

    /// Connects and sets up the streams of these kinds, one of each at least.
    pub fn ready_for(url: &str, kinds: &[Kind]) -> Self {
        let mut client = Self::open(url);
        let media: Vec<String> = client.sdp.split("\nm=").skip(1).map(str::to_owned).collect();
        for media in media {
            let kind = match media.split(' ').next().unwrap() {
                "video" => Kind::Picture,
                "audio" => Kind::Sound,
                "application" => Kind::Document,
                other => panic!("{other}"),
            };
            if !kinds.contains(&kind) {
                continue;
            }
            // R8.2-2, R8.2-5
            assert!(media.contains("a=x-onvif-track:"), "{media}");
            let control = media.lines().find_map(|l| l.trim().strip_prefix("a=control:")).unwrap();
            let target = match control.starts_with("rtsp://") {
                true => control.to_owned(),
                false => format!("{url}/{control}"),
            };
            let channel = client.streams.len() as u8 * 2;
            let transport = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
            // R8.4-1
            let fields = [("Transport", transport.as_str()), ("Require", "onvif-replay")];
            let answer = client.ask("SETUP", &target, &fields);
            assert_eq!(answer.status, 200, "{answer:?}");
            // R8.7-3
            let session = answer.field("session").unwrap();
            assert!(session.contains("timeout="), "{session}");
            client.session = Some(session.split(';').next().unwrap().to_owned());
            client.streams.push(Stream { channel, kind, ..Stream::default() });
        }
        for kind in kinds {
            assert!(client.streams.iter().any(|s| s.kind == *kind), "{kind:?} in {}", client.sdp);
        }
        client
    }

    /// PLAY with these header fields, which must be accepted. Returns the low byte of its CSeq.
    pub fn play(&mut self, fields: &[(&str, &str)]) -> (u8, Answer) {
        let mut all = vec![("Require", "onvif-replay")];
        all.extend(fields);
        let url = self.url.clone();
        let answer = self.ask("PLAY", &url, &all);
        assert_eq!(answer.status, 200, "{answer:?}");
        (self.cseq as u8, answer)
    }

    /// Plays to the end of all data without rate control: up to the terminal mark of the picture.
    pub fn play_all(&mut self, from: Utc, scale: &str) -> Vec<Unit> {
        let range = clock(from, None);
        let (cseq, _) = self.play(&[("Range", &range), ("Scale", scale), ("Rate-Control", "no")]);
        let units = self.until(|u, video| video && u.terminal);
        // R8.3-12
        assert!(units.iter().all(|u| u.cseq == cseq), "the CSeq of the PLAY");
        units
    }

    /// Plays a closed range without rate control. No mark tells its end, since more data exists:
    /// the last picture is about `last`, and then nothing comes.
    pub fn play_range(&mut self, from: Utc, until: Utc, scale: &str, last: Utc) -> Vec<Unit> {
        let range = clock(from, Some(until));
        let (cseq, _) = self.play(&[("Range", &range), ("Scale", scale), ("Rate-Control", "no")]);
        let mut units = self.until(|u, video| video && u.at.since_us(last).abs() <= ABOUT_US);
        while !self.is_quiet() {
            units.extend(self.until(|_, _| true));
        }
        // R8.3-12
        assert!(units.iter().all(|u| u.cseq == cseq), "the CSeq of the PLAY");
        units
    }

    /// Whether nothing comes for a while.
    fn is_quiet(&mut self) -> bool {
        if !self.waiting.is_empty() {
            return false;
        }
        self.socket.get_ref().set_read_timeout(Some(QUIET)).unwrap();
        let quiet = match self.socket.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => true,
            Err(e) => panic!("{e}"),
        };
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        quiet
    }

    /// Ends the session and the connection.
    pub fn teardown(mut self) {
        let url = self.url.clone();
        let answer = self.ask("TEARDOWN", &url, &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Reads on until the server ends the connection, which it must.
    pub fn until_closed(mut self) {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).unwrap();
    }

    /// Access units up to and with the first for which `last` holds; it is told whether the unit is
    /// a picture.
    pub fn until(&mut self, last: impl Fn(&Unit, bool) -> bool) -> Vec<Unit> {
        let mut units = Vec::new();
        loop {
            let (channel, packet) = match self.waiting.pop_front() {
                Some(packet) => packet,
                None => match self.message() {
                    Message::Packet(channel, packet) => (channel, packet),
                    Message::Answer(answer) => panic!("nobody asked: {answer:?}"),
                },
            };
            let Some(n) = self.streams.iter().position(|s| s.channel == channel) else {
                // Sender reports.
                continue;
            };
            if let Some(unit) = self.streams[n].packet(&packet) {
                let video = self.streams[n].kind == Kind::Picture;
                self.last = Some(unit.at);
                let end = last(&unit, video);
                units.push(unit);
                if end {
                    return units;
                }
            }
        }
    }

    /// Sends a request and returns the answer; logs in where it is challenged, once.
    pub fn ask(&mut self, method: &str, url: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.exchange(method, url, fields);
        match answer.field("www-authenticate") {
            Some(challenge) if answer.status == 401 && self.challenge.is_none() => {
                self.challenge = Some(digest_auth::parse(challenge).unwrap());
                self.exchange(method, url, fields)
            }
            _ => answer,
        }
    }

    fn exchange(&mut self, method: &str, url: &str, fields: &[(&str, &str)]) -> Answer {
        self.cseq += 1;
        let mut text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n", self.cseq);
        if let Some(prompt) = &mut self.challenge {
            let method = HttpMethod::from(method.to_owned());
            let context = AuthContext::new_with_method(USER, PASSWORD, url, None::<&[u8]>, method);
            let authorization = prompt.respond(&context).unwrap();
            text += &format!("Authorization: {authorization}\r\n");
        }
        if let Some(session) = &self.session {
            text += &format!("Session: {session}\r\n");
        }
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        self.socket.get_mut().write_all(text.as_bytes()).unwrap();
        loop {
            match self.message() {
                Message::Packet(channel, packet) => self.waiting.push_back((channel, packet)),
                Message::Answer(answer) => {
                    assert_eq!(answer.field("cseq"), Some(self.cseq.to_string().as_str()));
                    return answer;
                }
            }
        }
    }

    fn message(&mut self) -> Message {
        let mut first = [0];
        self.socket
            .read_exact(&mut first)
            .unwrap_or_else(|e| panic!("the server does not go on: {e}; last: {:?}", self.last));
        if first[0] == b'$' {
            let mut head = [0; 3];
            self.socket.read_exact(&mut head).unwrap();
            let mut packet = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            self.socket.read_exact(&mut packet).unwrap();
            return Message::Packet(head[0], packet);
        }
        let mut status = String::from(char::from(first[0]));
        self.socket.read_line(&mut status).unwrap();
        assert!(status.starts_with("RTSP/1.0 "), "{status}");
        let mut fields = Vec::new();
        loop {
            let mut line = String::new();
            self.socket.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, fields, body: String::new() };
        let length = answer.field("content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        Message::Answer(answer)
    }
}

impl Stream {
    /// Takes an RTP packet; gives an access unit with its last one.
    fn packet(&mut self, packet: &[u8]) -> Option<Unit> {
        let two = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let four = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        // R8.T-10
        assert_eq!(packet[0] >> 6, 2, "version");
        assert_eq!(packet[0] & 0x2F, 0, "neither padding nor contributing sources");
        let (marker, sequence, ticks) = (packet[1] & 0x80 != 0, two(2), four(4));
        if let Some(before) = self.sequence.replace(sequence) {
            // R8.6-7
            assert_eq!(sequence, before.wrapping_add(1), "sequence numbers rise by one");
        }
        let mut body = 12;
        if packet[0] & 0x10 != 0 {
            // R8.3-2, R8.3-3
            assert_eq!((two(12), two(14)), (REPLAY_PROFILE, 3), "the replay extension");
            assert!(self.open.is_none(), "the extension is on the first packet only");
            let micros = (u64::from(four(20)) * 1_000_000 + (1 << 31)) >> 32;
            let seconds = i64::from(four(16)) - NTP_TO_UNIX;
            let flags = packet[24];
            // R8.3-5, R8.3-11
            assert_eq!((flags & 0x0F, two(26)), (0, 0), "must be zero");
            self.open = Some(Unit {
                at: Utc::from_micros(seconds * 1_000_000 + micros as i64),
                clean: flags & 0x80 != 0,
                end_of_section: flags & 0x40 != 0,
                discontinuity: flags & 0x20 != 0,
                terminal: flags & 0x10 != 0,
                cseq: packet[25],
                ticks,
                payloads: Vec::new(),
                kind: self.kind,
            });
            body = 28;
        }
        // R8.3-1
        let unit = self.open.as_mut().expect("the first packet of a unit has the extension");
        assert_eq!(unit.ticks, ticks, "one timestamp for all packets of a unit");
        let payload = &packet[body..];
        match self.kind {
            Kind::Picture => {}
            // R8.T-11: the marker is on the last packet of a document.
            Kind::Document => {
                unit.payloads.push(payload.to_vec());
                return if marker { self.open.take() } else { None };
            }
            Kind::Sound => {
                unit.payloads.push(payload.to_vec());
                return self.open.take();
            }
        }
        match payload[0] & 0x1F {
            28 => {
                if payload[1] & 0x80 != 0 {
                    self.part = vec![payload[0] & 0xE0 | payload[1] & 0x1F];
                }
                self.part.extend_from_slice(&payload[2..]);
                if payload[1] & 0x40 != 0 {
                    unit.payloads.push(std::mem::take(&mut self.part));
                }
            }
            24 => {
                let mut rest = &payload[1..];
                while let [a, b, tail @ ..] = rest {
                    let (nal, tail) = tail.split_at(usize::from(u16::from_be_bytes([*a, *b])));
                    unit.payloads.push(nal.to_vec());
                    rest = tail;
                }
            }
            _ => unit.payloads.push(payload.to_vec()),
        }
        if marker { self.open.take() } else { None }
    }
}
