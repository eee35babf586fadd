//! Cuts a connection's bytes into messages and interleaved packets.

use bytes::{Buf, Bytes, BytesMut};

use super::{Fields, Method, ParseError, Request, Response, Status};

/// What a connection carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
    /// An RTP or RTCP packet on the connection (RFC 2326 10.12).
    Packet {
        /// As agreed at SETUP.
        channel: u8,
        /// The packet.
        data: Bytes,
    },
}

/// Bounds of one message.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Start line and header fields together, in bytes.
    pub head_bytes: usize,
    /// Number of header fields.
    pub fields: usize,
    /// Body, in bytes.
    pub body_bytes: usize,
}

impl Default for Limits {
    /// Generous for what clients send: heads are below 2 kB, bodies hardly occur.
    fn default() -> Self {
        Self { head_bytes: 16 * 1024, fields: 100, body_bytes: 64 * 1024 }
    }
}

/// Cuts a connection's bytes into items. Push, then take until `None`.
#[derive(Debug)]
pub struct Reader {
    buf: BytesMut,
    limits: Limits,
    /// Bytes of the connection before `buf`.
    taken: u64,
    /// How much of `buf` was searched for the end of a head.
    searched: usize,
}

const DOLLAR: u8 = b'$';
const PACKET_HEAD: usize = 4;

impl Reader {
    /// An empty reader.
    pub fn new(limits: Limits) -> Self {
        Self { buf: BytesMut::new(), limits, taken: 0, searched: 0 }
    }

    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Where a driver may read into directly; see [`bytes::BufMut`].
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Bytes that wait for the rest of their item, or to be taken.
    pub fn buffered(&self) -> usize {
        self.buf.len()
    }

    /// The next item, `None` until more bytes come. After an error nothing more can be read.
    pub fn next_item(&mut self) -> Result<Option<Item>, ParseError> {
        self.skip_line_breaks();
        match self.buf.first() {
            None => Ok(None),
            Some(&DOLLAR) => Ok(self.packet()),
            Some(_) => self.message(),
        }
    }

    /// Clients send stray line breaks between messages, some as keep-alive.
    fn skip_line_breaks(&mut self) {
        let breaks = self.buf.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        self.consume(breaks);
    }

    fn consume(&mut self, n: usize) {
        self.buf.advance(n);
        self.taken += n as u64;
        self.searched = 0;
    }

    fn packet(&mut self) -> Option<Item> {
        let [_, channel, hi, lo] = *self.buf.first_chunk::<PACKET_HEAD>()?;
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        if self.buf.len() < PACKET_HEAD + len {
            return None;
        }
        self.consume(PACKET_HEAD);
        let data = self.buf.split_to(len).freeze();
        self.taken += len as u64;
        Some(Item::Packet { channel, data })
    }

    fn message(&mut self) -> Result<Option<Item>, ParseError> {
        let at_byte = self.taken;
        let fail = |why| ParseError { at_byte, why };
        // Whether or not the head is whole, so that the answer does not depend on the network.
        if !plausible_start(&self.buf) {
            return Err(fail("no RTSP start line"));
        }
        let Some(head_len) = self.head_len() else {
            return if self.buf.len() > self.limits.head_bytes {
                Err(fail("head is too long"))
            } else {
                Ok(None)
            };
        };
        if head_len > self.limits.head_bytes {
            return Err(fail("head is too long"));
        }
        let head = String::from_utf8_lossy(&self.buf[..head_len]).into_owned();
        let (start, fields) = parse_head(&head, self.limits.fields).map_err(fail)?;
        let body_len = match fields.get("Content-Length").map(str::trim) {
            None | Some("") => 0,
            Some(n) => n.parse().map_err(|_| fail("Content-Length is not a number"))?,
        };
        if body_len > self.limits.body_bytes {
            return Err(fail("body is too long"));
        }
        if self.buf.len() < head_len + body_len {
            return Ok(None);
        }
        self.consume(head_len);
        let body = self.buf.split_to(body_len).freeze();
        self.taken += body_len as u64;
        Ok(Some(match start {
            Start::Request { method, uri, version } => {
                Item::Request(Request { method, uri, version, fields, body })
            }
            Start::Response(status) => Item::Response(Response { status, fields, body }),
        }))
    }

    /// Length of the head with its empty line; either kind of line break.
    fn head_len(&mut self) -> Option<usize> {
        let from = self.searched.saturating_sub(3);
        let window = &self.buf[from..];
        let found = memchr::memchr_iter(b'\n', window).find_map(|i| match &window[i + 1..] {
            [b'\n', ..] => Some(from + i + 2),
            [b'\r', b'\n', ..] => Some(from + i + 3),
            _ => None,
        });
        if found.is_none() {
            self.searched = self.buf.len();
        }
        found
    }
}

enum Start {
    Request { method: Method, uri: String, version: String },
    Response(Status),
}

/// Whether bytes begin with a start line, or can become one: letters of a method or `RTSP/`, all of it
/// printable. Garbage is refused early instead of being collected.
fn plausible_start(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.iter().all(|b| (0x20..0x7f).contains(b) || *b >= 0x80)
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
}

fn parse_head(head: &str, max_fields: usize) -> Result<(Start, Fields), &'static str> {
    let mut lines = head.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
    let start = parse_start(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for line in lines {
        if line.is_empty() {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            fields.continue_last(line.trim());
        } else if let Some((name, value)) = line.split_once(':') {
            if fields.len() == max_fields {
                return Err("too many header fields");
            }
            fields.push(name.trim(), value.trim());
        }
        // A line without a colon says nothing; players of the nineties send some.
    }
    Ok((start, fields))
}

fn parse_start(line: &str) -> Result<Start, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let (a, b, c) = (words.next(), words.next(), words.next());
    match (a, b, c) {
        (Some(version), Some(code), _) if is_version(version) => {
            let code = code.parse().map_err(|_| "status is not a number")?;
            if !(100..1000).contains(&code) {
                return Err("status is not of three digits");
            }
            Ok(Start::Response(Status(code)))
        }
        (Some(method), Some(uri), Some(version))
            if is_version(version) && words.next().is_none() =>
        {
            if !method.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-')) {
                return Err("no method");
            }
            Ok(Start::Request {
                method: Method::from_name(method),
                uri: uri.to_owned(),
                version: version.to_owned(),
            })
        }
        _ => Err("no RTSP start line"),
    }
}

fn is_version(word: &str) -> bool {
    word.get(..5).is_some_and(|w| w.eq_ignore_ascii_case("RTSP/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader::new(Limits::default())
    }

    fn one(wire: &[u8]) -> Result<Option<Item>, ParseError> {
        let mut r = reader();
        r.push(wire);
        r.next_item()
    }

    const PLAY: &[u8] = b"PLAY rtsp://h/replay/a RTSP/1.0\r\nCSeq: 7\r\nsession: 12\r\n\
        Range: clock=20090615T114900Z-\r\nContent-Length: 4\r\n\r\nbody";
    const REPLY: &[u8] = b"RTSP/1.0 200 OK\nCSeq: 7\nX-Folded: a\n b\nno colon\n\n";
    const PACKET: &[u8] = b"$\x01\x00\x03abc";

    #[test]
    fn messages_and_packets_alternate() {
        let mut r = reader();
        for part in [&b"\r\n\r\n"[..], PLAY, PACKET, b"\r\n", REPLY] {
            r.push(part);
        }
        let Some(Item::Request(play)) = r.next_item().unwrap() else { panic!("no request") };
        assert_eq!((play.method, &play.body[..]), (Method::Play, &b"body"[..]));
        assert_eq!(play.fields.get("SESSION"), Some("12"));
        let packet = r.next_item().unwrap();
        assert_eq!(packet, Some(Item::Packet { channel: 1, data: Bytes::from_static(b"abc") }));
        let Some(Item::Response(reply)) = r.next_item().unwrap() else { panic!("no response") };
        assert_eq!((reply.status, reply.fields.get("x-folded")), (Status::OK, Some("a b")));
        assert_eq!(r.next_item(), Ok(None));
        assert_eq!(r.buffered(), 0);
    }

    #[test]
    fn what_real_players_send() {
        let wire = b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: a\r\nUser-Agent: b\r\n\
            ClientChallenge: 9e26d33f2984236010ef6253fb1887f7\r\nCompanyID: KnKV4M4I/B2FjJ1TToLycw==\r\n\
            GUID: 00000000-0000-0000-0000-000000000000\r\nRegionData: 0\r\n\r\n";
        let Ok(Some(Item::Request(r))) = one(wire) else { panic!("refused") };
        assert_eq!(r.fields.all("user-agent").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(r.fields.len(), 7);
    }

    #[test]
    fn every_prefix_is_incomplete() {
        for wire in [PLAY, REPLY, PACKET] {
            for end in 0..wire.len() {
                assert_eq!(
                    one(&wire[..end]),
                    Ok(None),
                    "{:?}",
                    String::from_utf8_lossy(&wire[..end])
                );
            }
            // Byte by byte gives the same as at once.
            let mut r = reader();
            let mut got = Vec::new();
            for b in wire {
                r.push(&[*b]);
                got.extend(r.next_item().unwrap());
            }
            assert_eq!(Some(got.remove(0)), one(wire).unwrap());
        }
    }

    #[test]
    fn garbage_is_refused_early() {
        for wire in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"PLAY rtsp://h RTSP/1.0 extra\r\n\r\n",
            b"RTSP/1.0 2x0 OK\r\n\r\n",
            b"RTSP/1.0 99999 OK\r\n\r\n",
            b"PL\x00AY",
            b"PLAY rtsp://h/\x01 RTSP/1.0\r\n\r\n",
            b"PLAY x RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
            b"PLAY x RTSP/1.0\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            b"PLAY x RTSP/1.0\r\nContent-Length: 70000\r\n\r\n",
        ] {
            assert!(one(wire).is_err(), "{:?}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn bounds() {
        let limits = Limits { head_bytes: 100, fields: 2, body_bytes: 10 };
        let mut r = Reader::new(limits);
        r.push(b"PLAY x RTSP/1.0\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n");
        assert!(r.next_item().is_err(), "too many fields");
        let mut r = Reader::new(limits);
        r.push(&[b'A'; 101]);
        assert!(r.next_item().is_err(), "endless head");
    }

    #[test]
    fn written_requests_and_responses_read_back() {
        let mut request = Request::new(Method::SetParameter, "rtsp://h/a");
        request.fields.push("X", "a\r\nForged: yes");
        request.body = Bytes::from_static(b"ping");
        let Ok(Some(Item::Request(read))) = one(&request.to_bytes()) else { panic!() };
        assert_eq!((read.body, read.fields.get("Forged")), (request.body, None));
        let response = Response::new(Status::METHOD_NOT_VALID);
        assert_eq!(one(&response.to_bytes()), Ok(Some(Item::Response(response))));
    }
}
