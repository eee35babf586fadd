//! What a client's RTSP and its media travel in.

use std::fmt;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use socket2::{Domain, Socket, Type};

use super::client::PATIENCE;
use super::servers::Running;

/// The ways that are measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    Tcp,
    Udp,
    Tls,
    Tunnel,
    WebSocket,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Tls => "TLS",
            Self::Tunnel => "HTTP tunnel",
            Self::WebSocket => "WebSocket",
        })
    }
}

/// Those that are not the connection itself.
pub const OTHERS: [Way; 4] = [Way::Udp, Way::Tls, Way::Tunnel, Way::WebSocket];

/// A connection to a server.
pub struct Carrier {
    tcp: TcpStream,
    blocking: bool,
    inner: Inner,
}

enum Inner {
    Tcp,
    Udp { rtp: UdpSocket, _rtcp: UdpSocket },
    Tls(Box<ClientConnection>),
    Tunnel { post: TcpStream },
    WebSocket { head: Vec<u8>, left: usize },
}

/// The largest datagram, and its frame head.
const DATAGRAM: usize = 2048;
const UPGRADE: &str = "GET /replay HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: rtsp.onvif.org\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A server bounds the tunnels of one address, so every hundred come from another one.
static TUNNELS: AtomicUsize = AtomicUsize::new(0);

fn open(port: u16) -> Result<TcpStream> {
    open_from(Ipv4Addr::LOCALHOST, port)
}

fn open_from(local: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    let tcp = TcpStream::from(socket);
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    Ok(tcp)
}

/// Reads the head of an answer over HTTP, and nothing behind it.
fn head(tcp: &mut TcpStream) -> Result<()> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        tcp.read_exact(&mut byte)?;
        text.extend_from_slice(&byte);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let fine = text.starts_with("HTTP/1.1 101") || text.starts_with("HTTP/1.1 200");
    if fine { Ok(()) } else { Err(Error::other(text)) }
}

impl Carrier {
    pub fn connect(server: &Running, way: Way) -> Result<Self> {
        let no_tls = || Error::other("the server has no port for TLS");
        let port = if way == Way::Tls { server.tls.ok_or_else(no_tls)? } else { server.port };
        let mut tcp = open(port)?;
        let inner = match way {
            Way::Tcp => Inner::Tcp,
            Way::Udp => {
                let rtp = UdpSocket::bind("127.0.0.1:0")?;
                // What a player asks for; the kernel gives what it allows.
                let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&rtp, 4 << 20);
                rtp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                Inner::Udp { rtp, _rtcp: UdpSocket::bind("127.0.0.1:0")? }
            }
            Way::Tls => {
                let name = ServerName::try_from("localhost").map_err(Error::other)?;
                let session = ClientConnection::new(TLS.clone(), name).map_err(Error::other)?;
                Inner::Tls(Box::new(session))
            }
            Way::Tunnel => {
                let hundred = TUNNELS.fetch_add(1, Ordering::Relaxed) / 100;
                let local = Ipv4Addr::new(127, 0, 1, 1 + (hundred % 100) as u8);
                tcp = open_from(local, port)?;
                let cookie = format!("x-sessioncookie: {}\r\n\r\n", tcp.local_addr()?.port());
                tcp.write_all(format!("GET /replay/r HTTP/1.0\r\n{cookie}").as_bytes())?;
                head(&mut tcp)?;
                let mut post = open_from(local, port)?;
                post.write_all(format!("POST /replay/r HTTP/1.0\r\n{cookie}").as_bytes())?;
                Inner::Tunnel { post }
            }
            Way::WebSocket => {
                tcp.write_all(UPGRADE.as_bytes())?;
                head(&mut tcp)?;
                Inner::WebSocket { head: Vec::new(), left: 0 }
            }
        };
        Ok(Self { tcp, blocking: true, inner })
    }

    /// Transport header of a SETUP.
    pub fn transport(&self) -> Result<String> {
        Ok(match &self.inner {
            Inner::Udp { rtp, _rtcp } => {
                let (a, b) = (rtp.local_addr()?.port(), _rtcp.local_addr()?.port());
                format!("RTP/AVP;unicast;client_port={a}-{b}")
            }
            _ => "RTP/AVP/TCP;unicast;interleaved=0-1".into(),
        })
    }

    /// Whether packets may be lost on the way.
    pub fn loses(&self) -> bool {
        matches!(self.inner, Inner::Udp { .. })
    }

    /// From now on reading never waits.
    pub fn set_nonblocking(&mut self) -> Result<()> {
        self.blocking = false;
        self.tcp.set_nonblocking(true)
    }

    /// What becomes readable.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let udp = match &self.inner {
            Inner::Udp { rtp, .. } => Some(rtp.as_fd()),
            _ => None,
        };
        [Some(self.tcp.as_fd()), udp].into_iter().flatten()
    }

    /// Sends a request.
    pub fn write(&mut self, text: &[u8]) -> Result<()> {
        match &mut self.inner {
            Inner::Tcp | Inner::Udp { .. } => self.tcp.write_all(text),
            Inner::Tls(session) => {
                rustls::Stream::new(session.as_mut(), &mut self.tcp).write_all(text)
            }
            Inner::Tunnel { post } => post.write_all(STANDARD.encode(text).as_bytes()),
            Inner::WebSocket { .. } => {
                let [a, b] = u16::try_from(text.len()).map_err(Error::other)?.to_be_bytes();
                // A mask of zeros leaves the text as it is.
                self.tcp.write_all(&[&[0x82, 0x80 | 126, a, b, 0, 0, 0, 0], text].concat())
            }
        }
    }

    /// Reads RTSP; a datagram looks like an interleaved packet of channel 0.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let n = match &mut self.inner {
                Inner::Tcp | Inner::Tunnel { .. } => return self.tcp.read(buffer),
                Inner::Tls(session) => {
                    return rustls::Stream::new(session.as_mut(), &mut self.tcp).read(buffer);
                }
                Inner::Udp { rtp, .. } => match datagrams(rtp, buffer)? {
                    0 => match self.tcp.read(buffer) {
                        Err(e) if e.kind() == ErrorKind::WouldBlock && self.blocking => 0,
                        other => return other,
                    },
                    n => return Ok(n),
                },
                Inner::WebSocket { head, left } => {
                    let n = self.tcp.read(buffer)?;
                    if n == 0 {
                        return Ok(0);
                    }
                    unframe(head, left, &mut buffer[..n])
                }
            };
            if n > 0 {
                return Ok(n);
            }
            if let Inner::Udp { rtp, .. } = &self.inner {
                let mut both =
                    [PollFd::new(rtp, PollFlags::IN), PollFd::new(&self.tcp, PollFlags::IN)];
                let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
                if poll(&mut both, Some(&patience))? == 0 {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
        }
    }
}

/// The datagrams that are there, each behind the head of an interleaved packet.
fn datagrams(socket: &UdpSocket, buffer: &mut [u8]) -> Result<usize> {
    let mut at = 0;
    while let Some(room) = buffer.get_mut(at..at + DATAGRAM) {
        let n = match socket.recv(&mut room[4..]) {
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        };
        let [a, b] = (n as u16).to_be_bytes();
        room[..4].copy_from_slice(&[b'$', 0, a, b]);
        at += 4 + n;
    }
    Ok(at)
}

/// Takes the heads of a server's frames out; returns how many bytes are left.
fn unframe(head: &mut Vec<u8>, left: &mut usize, bytes: &mut [u8]) -> usize {
    let (mut from, mut to) = (0, 0);
    while from < bytes.len() {
        if *left > 0 {
            let n = (*left).min(bytes.len() - from);
            bytes.copy_within(from..from + n, to);
            (from, to, *left) = (from + n, to + n, *left - n);
            continue;
        }
        head.push(bytes[from]);
        from += 1;
        let extended = match head.get(1) {
            Some(126) => 2,
            Some(127) => 8,
            _ => 0,
        };
        if head.len() == 2 + extended {
            let short = usize::from(head[1]);
            let long = head[2..].iter().fold(0, |n, b| n << 8 | usize::from(*b));
            *left = if extended == 0 { short } else { long };
            head.clear();
        }
    }
    to
}

static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("a version of TLS");
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
    Arc::new(builder.with_no_client_auth())
});

/// The server's certificate is made for the run; nobody else listens there.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
