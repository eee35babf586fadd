//! What leaves outside of the connection: which transports are agreed, and multicast with sockets.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::headers::Transport;
use crate::rtp::{Rtcp, rtcp_compound};

fn multicast() -> ServerConfig {
    ServerConfig { multicast: "239.255.64.0/24".parse().ok(), ..Default::default() }
}

fn setup_with(bench: &mut Bench, transport: &str) -> Vec<u8> {
    bench.send(&format!("SETUP {URL}/track1 RTSP/1.0\nCSeq: 2\nTransport: {transport}\n\n"))
}

/// R8.T-1, R8.T-2, R8.T-8: what is not offered is answered 461, or left out for what is.
#[test]
fn transports_that_are_not_there() {
    for (transport, status_with, status_without) in [
        ("RTP/SAVP;unicast;client_port=5000-5001", 461, 461),
        ("RTP/SAVPF/TCP;unicast;interleaved=0-1", 461, 461),
        ("RTP/AVPF;unicast;client_port=5000-5001", 461, 461),
        ("RAW/RAW/UDP;unicast;client_port=5000-5001", 461, 461),
        ("RTP/AVP;unicast;client_port=0-0", 461, 461),
        ("RTP/AVP;unicast;client_port=5000-5001;mode=\"RECORD\"", 461, 461),
        ("RTP/AVP/TCP;multicast;interleaved=0-1", 461, 461),
        ("RTP/AVP;multicast", 200, 461),
        ("RTP/AVP/UDP;multicast;port=5000-5001;ttl=2", 200, 461),
        ("RTP/SAVP;unicast;client_port=5000-5001,RTP/AVP;unicast;client_port=5002-5003", 200, 200),
    ] {
        let mut bench = Bench::new(multicast());
        assert_eq!(status(&setup_with(&mut bench, transport)), status_with, "{transport}");
        let mut bench = Bench::new(ServerConfig::default());
        let wire = setup_with(&mut bench, transport);
        assert_eq!(status(&wire), status_without, "{transport}");
        // Who is refused may ask for something else, and there is no session yet.
        if status_without == 461 {
            assert!(!text(&wire).contains("Session:"), "{}", text(&wire));
            let wire = setup_with(&mut bench, "RTP/AVP/TCP;unicast;interleaved=0-1");
            assert_eq!(status(&wire), 200);
        }
    }
    // R8.T-2: what does not fit goes on to the next wish.
    let mut bench = Bench::new(ServerConfig::default());
    let wire = setup_with(&mut bench, "RTP/AVP;multicast,RTP/AVP/TCP;unicast");
    assert!(field(&wire, "Transport").starts_with("RTP/AVP/TCP;unicast;interleaved=0-1"));
}

/// R8.T-2: the answer says where; a wish counts only inside the server's range, and a unicast
/// session is never sent to another's address.
#[test]
fn where_a_multicast_stream_goes() {
    let config = multicast();
    let mut first = Bench::new(config.clone());
    let wish = "RTP/AVP;multicast;destination=239.255.64.9;port=5000-5001;ttl=3";
    let wire = setup_with(&mut first, wish);
    let agreed = field(&wire, "Transport");
    assert!(agreed.starts_with(&format!("{wish};ssrc=")), "{agreed}");
    // Another session gets another one, until the first is over.
    let mut second = Bench::new(config.clone());
    let wire = setup_with(&mut second, wish);
    let other: Transport = field(&wire, "Transport").parse().unwrap();
    assert_ne!(
        (other.destination, other.port),
        (Some([239, 255, 64, 9].into()), Some((5000, 5001)))
    );
    first.wait(Duration::from_secs(61));
    assert!(first.closed);
    drop(first);
    let wire = setup_with(&mut Bench::new(config.clone()), wish);
    assert!(field(&wire, "Transport").starts_with(wish));
    let wire =
        setup_with(&mut Bench::new(config.clone()), "RTP/AVP;multicast;destination=224.0.0.1");
    let agreed: Transport = field(&wire, "Transport").parse().unwrap();
    assert_eq!(agreed.destination.unwrap().octets()[..3], [239, 255, 64]);
    let wire = setup_with(
        &mut Bench::new(config),
        "RTP/AVP;unicast;destination=198.51.100.7;client_port=5000-5001",
    );
    assert!(!field(&wire, "Transport").contains("destination"));
}

/// A member of the group on the loopback interface.
fn member(group: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    SockRef::from(&socket).join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_nonblocking(true).unwrap();
    UdpSocket::from_std(socket).unwrap()
}

struct Client {
    io: TcpStream,
    cseq: u32,
    url: String,
    session: String,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let io = TcpStream::connect(address).await.unwrap();
        Self { io, cseq: 0, url: format!("rtsp://{address}/replay/one"), session: String::new() }
    }

    async fn ask(&mut self, method: &str, track: &str, fields: &str) -> Vec<u8> {
        self.cseq += 1;
        let Self { url, session, cseq, .. } = self;
        let text =
            format!("{method} {url}{track} RTSP/1.0\r\nCSeq: {cseq}\r\n{session}{fields}\r\n");
        self.io.write_all(text.as_bytes()).await.unwrap();
        let mut wire = vec![0; 4096];
        let n = self.io.read(&mut wire).await.unwrap();
        wire.truncate(n);
        assert_eq!(status(&wire), 200, "{method}: {}", super::text(&wire));
        wire
    }
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 2000];
    let received = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await;
    let n = received.expect("a datagram").unwrap();
    buffer.truncate(n);
    buffer
}

/// R8.T-2, and RFC 2326 10.7 as ONVIF Streaming 5.2.2.5 has it: whoever joins the group hears it,
/// and with the session it ends.
#[tokio::test]
async fn a_group_hears_the_session_until_it_ends() {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), multicast(), Arc::new(Clip));
    let server = server.await.unwrap();
    let address = server.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(server.run(stop.clone()));
    for end in ["TEARDOWN", "close"] {
        let mut client = Client::connect(address).await;
        let wire = client.ask("SETUP", "/track1", "Transport: RTP/AVP;multicast\r\n").await;
        let agreed: Transport = field(&wire, "Transport").parse().unwrap();
        assert!(agreed.multicast && agreed.client_port.is_none() && agreed.server_port.is_none());
        let (group, ports) = (agreed.destination.unwrap(), agreed.port.unwrap());
        let members = [member(group, ports.0), member(group, ports.1)];
        client.session =
            format!("Session: {}\r\n", field(&wire, "Session").split(';').next().unwrap());
        let fields = "Scale: 1.0\r\n";
        client.ask("PLAY", "", fields).await;
        let mut captured = Vec::new();
        while captured.len() < 5 {
            let bytes = receive(&members[0]).await;
            let packet = (Packet::parse(&bytes).unwrap(), bytes);
            assert_eq!(Some(packet.0.header.ssrc), agreed.ssrc);
            captured.extend(extension(&packet).map(|e| e.at.since_us(Utc::from_secs(START))));
        }
        assert_eq!(captured, [0, 40_000, 80_000, 120_000, 160_000]);
        let report = rtcp_compound(&receive(&members[1]).await).unwrap();
        assert!(matches!(report[0], Rtcp::SenderReport(_)), "{report:?}");
        match end {
            "TEARDOWN" => {
                client.ask("TEARDOWN", "", "").await;
            }
            _ => drop(client),
        }
        if end == "TEARDOWN" {
            let last = rtcp_compound(&receive(&members[1]).await).unwrap();
            assert!(last.iter().any(|r| matches!(r, Rtcp::Bye { .. })), "{last:?}");
        }
        // What was sent before the end is drained; then the stream is silent for many frames.
        let mut buffer = [0; 2000];
        let silence = Duration::from_millis(300);
        let mut rest = 0;
        while tokio::time::timeout(silence, members[0].recv(&mut buffer)).await.is_ok() {
            rest += 1;
            assert!(rest < 40, "it goes on after {end}");
        }
    }
    stop.cancel();
}
