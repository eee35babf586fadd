//! How a connection opens: RTSP, one half of an HTTP tunnel, or a WebSocket (ONVIF Streaming 5.1.1.5,
//! 5.1.1.6 and 7; RFC 6455 section 4).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// What the first bytes of a connection mean.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Opening {
    /// More bytes are needed to tell.
    Unclear,
    /// Not HTTP: RTSP, or nothing that can be answered.
    Rtsp,
    /// An HTTP request for this server.
    Request {
        /// What it asks for.
        asks: Asks,
        /// Length of its head; what follows is the content.
        head_bytes: usize,
    },
    /// An HTTP request for somebody else.
    Http,
}

/// What a request asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asks {
    /// The half from server to client.
    TunnelDown(Cookie),
    /// The half from client to server.
    TunnelUp(Cookie),
    /// A WebSocket; the value of `Sec-WebSocket-Accept`.
    WebSocket(String),
    /// Nothing that is given: this status is.
    Refused(HttpStatus),
}

/// `x-sessioncookie`: visible ASCII, at most [`MAX_COOKIE_BYTES`] long.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Cookie(Box<str>);

/// Status of an HTTP answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HttpStatus(pub u16, pub &'static str);

/// Path of WebSockets; what is below it is taken, too.
pub const WEBSOCKET_PATH: &str = "/replay";
/// Name of RTSP inside WebSocket.
pub const SUBPROTOCOL: &str = "rtsp.onvif.org";
/// Head of a request, in bytes.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Players send some 20 to 40.
pub const MAX_COOKIE_BYTES: usize = 128;
const MAX_FIELDS: usize = 64;
/// RFC 6455 section 1.3.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TUNNELLED: &str = "application/x-rtsp-tunnelled";

impl HttpStatus {
    pub(super) const BAD_REQUEST: Self = Self(400, "Bad Request");
    pub(super) const NOT_FOUND: Self = Self(404, "Not Found");
    pub(super) const CONFLICT: Self = Self(409, "Conflict");
    pub(super) const TIMEOUT: Self = Self(408, "Request Timeout");
    pub(super) const UPGRADE_REQUIRED: Self = Self(426, "Upgrade Required");
    pub(super) const NOT_IMPLEMENTED: Self = Self(501, "Not Implemented");
    pub(super) const UNAVAILABLE: Self = Self(503, "Service Unavailable");
}

impl Cookie {
    /// `None` for what cannot be one.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= MAX_COOKIE_BYTES
            && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }
}

/// Reads what there is of a connection.
pub fn read(first: &[u8]) -> Opening {
    let methods = [&b"GET "[..], b"POST "];
    if !methods.iter().any(|m| first.starts_with(m)) {
        let unclear = methods.iter().any(|m| m.starts_with(first));
        return if unclear { Opening::Unclear } else { Opening::Rtsp };
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(first) {
        Ok(httparse::Status::Complete(n)) if n <= MAX_HEAD_BYTES => match judge(&request) {
            Some(asks) => Opening::Request { asks, head_bytes: n },
            None => Opening::Http,
        },
        Ok(httparse::Status::Partial) if first.len() < MAX_HEAD_BYTES => Opening::Unclear,
        _ => Opening::Http,
    }
}

/// Whether a connection to an HTTP server is meant for this one; `None`: more bytes are needed.
pub fn takes(first: &[u8]) -> Option<bool> {
    match read(first) {
        Opening::Unclear => None,
        Opening::Request { .. } => Some(true),
        Opening::Rtsp | Opening::Http => Some(false),
    }
}

fn judge(request: &httparse::Request<'_, '_>) -> Option<Asks> {
    let all = |name: &str| {
        let named = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
        named.map(|h| std::str::from_utf8(h.value).unwrap_or("\0").trim()).collect::<Vec<_>>()
    };
    let get = request.method == Some("GET");
    match all("x-sessioncookie")[..] {
        [] => {}
        // Two of them, or a body whose end is not where it seems: made to be understood differently
        // by the proxy in front.
        [cookie] if all("Transfer-Encoding").is_empty() => {
            return Some(match Cookie::new(cookie) {
                None => Asks::Refused(HttpStatus::BAD_REQUEST),
                Some(cookie) if get => Asks::TunnelDown(cookie),
                Some(cookie) => Asks::TunnelUp(cookie),
            });
        }
        [_] => return Some(Asks::Refused(HttpStatus::NOT_IMPLEMENTED)),
        _ => return Some(Asks::Refused(HttpStatus::BAD_REQUEST)),
    }
    let has = |name: &str, token: &str| {
        all(name).iter().flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(token))
    };
    let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    let below = path.strip_prefix(WEBSOCKET_PATH);
    let ours = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !get || !ours || !has("Upgrade", "websocket") {
        return None;
    }
    if all("Sec-WebSocket-Version") != ["13"] {
        return Some(Asks::Refused(HttpStatus::UPGRADE_REQUIRED));
    }
    let accept = match all("Sec-WebSocket-Key")[..] {
        [key] if STANDARD.decode(key).is_ok_and(|k| k.len() == 16) => accept_key(key),
        _ => return Some(Asks::Refused(HttpStatus::BAD_REQUEST)),
    };
    let offered = all("Sec-WebSocket-Protocol");
    let offered = offered.iter().flat_map(|v| v.split(',')).any(|v| v.trim() == SUBPROTOCOL);
    let whole = offered && has("Connection", "upgrade") && request.version == Some(1);
    Some(if whole { Asks::WebSocket(accept) } else { Asks::Refused(HttpStatus::BAD_REQUEST) })
}

/// RFC 6455 section 4.2.2.
fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(WEBSOCKET_GUID).finalize())
}

/// The answer to [`Asks::TunnelDown`]: without a length, so the content ends with the connection.
pub fn tunnel_answer(server: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: {server}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Pragma: no-cache\r\nContent-Type: {TUNNELLED}\r\n\r\n"
    )
}

/// The answer to [`Asks::WebSocket`].
pub fn websocket_answer(server: &str, accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nServer: {server}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
         Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
}

/// The answer to anything that is not given.
pub fn refusal(server: &str, status: HttpStatus) -> String {
    let HttpStatus(code, reason) = status;
    let mut text = format!("HTTP/1.1 {code} {reason}\r\nServer: {server}\r\nConnection: close\r\n");
    if status == HttpStatus::UPGRADE_REQUIRED {
        // Writing to a String cannot fail.
        let _ = write!(text, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    text + "Content-Length: 0\r\n\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "GET /replay/yard-1 HTTP/1.0\r\nx-sessioncookie: abc123\r\n\
        Accept: application/x-rtsp-tunnelled\r\n\r\n";
    const POST: &str = "POST /replay/yard-1 HTTP/1.1\r\nX-SessionCookie: abc123\r\n\
        Content-Type: application/x-rtsp-tunnelled\r\nContent-Length: 32767\r\n\r\nT1BU";
    /// The key and its answer are those of RFC 6455 section 1.3.
    const UPGRADE: &str = "GET /replay HTTP/1.1\r\nHost: 192.0.2.1\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: chat, rtsp.onvif.org\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn asks(text: &str) -> Option<Asks> {
        match read(text.as_bytes()) {
            Opening::Request { asks, .. } => Some(asks),
            Opening::Http => None,
            other => panic!("{other:?}: {text}"),
        }
    }

    /// R8.T-4, R8.T-6
    #[test]
    fn the_three_openings() {
        let cookie = Cookie::new("abc123").unwrap();
        let head_bytes = GET.len();
        let opening = Opening::Request { asks: Asks::TunnelDown(cookie.clone()), head_bytes };
        assert_eq!(read(GET.as_bytes()), opening);
        let opening = Opening::Request { asks: Asks::TunnelUp(cookie), head_bytes: POST.len() - 4 };
        assert_eq!(read(POST.as_bytes()), opening);
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        assert_eq!(asks(UPGRADE), Some(Asks::WebSocket(accept)));
    }

    #[test]
    fn every_prefix_is_unclear() {
        for text in [GET, &POST[..POST.len() - 4], UPGRADE] {
            for end in 0..text.len() {
                assert_eq!(read(&text.as_bytes()[..end]), Opening::Unclear, "{}", &text[..end]);
            }
        }
    }

    #[test]
    fn rtsp_is_told_by_its_first_bytes() {
        for text in ["O", "GET_PARAMETER rtsp://h RTSP/1.0\r\n", "GETX", "P\r\n", "PLAY", "$\0"] {
            assert_eq!(read(text.as_bytes()), Opening::Rtsp, "{text}");
        }
        for text in ["", "G", "GET", "P", "PO", "POST", "GET "] {
            assert_eq!(read(text.as_bytes()), Opening::Unclear, "{text}");
        }
    }

    #[test]
    fn other_requests_are_not_ours() {
        for text in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
            "POST /onvif/device_service HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
            UPGRADE.replace("/replay", "/replays"),
            UPGRADE.replace("/replay", "/other"),
            UPGRADE.replace("Upgrade: WebSocket", "Upgrade: h2c"),
            format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD_BYTES)),
            format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65)),
            "GET / HTTP/1.1\r\na\0: b\r\n\r\n".to_owned(),
        ] {
            assert_eq!(asks(&text), None, "{text}");
        }
    }

    #[test]
    fn what_smells_of_smuggling_is_refused() {
        let twice = "x-sessioncookie: a\r\nx-sessioncookie: b\r\n";
        let long = format!("x-sessioncookie: {}\r\n", "c".repeat(MAX_COOKIE_BYTES + 1));
        for (fields, code) in [
            (twice, 400),
            ("x-sessioncookie: \r\n", 400),
            ("x-sessioncookie: a b\r\n", 400),
            (&long, 400),
            ("x-sessioncookie: a\r\nTransfer-Encoding: chunked\r\n", 501),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{fields}\r\n");
            let Some(Asks::Refused(status)) = asks(&text) else { panic!("{text}") };
            assert_eq!(status.0, code, "{text}");
        }
    }

    #[test]
    fn a_websocket_must_be_asked_for_properly() {
        for (from, to, code) in [
            ("Version: 13", "Version: 8", 426),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "?", 400),
            ("rtsp.onvif.org", "rtsp", 400),
            ("keep-alive, Upgrade", "keep-alive", 400),
            ("HTTP/1.1", "HTTP/1.0", 400),
        ] {
            let text = UPGRADE.replace(from, to);
            let Some(Asks::Refused(status)) = asks(&text) else { panic!("{text}") };
            assert_eq!(status.0, code, "{text}");
        }
    }
}
