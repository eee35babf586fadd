//! The whole server with sockets.

use super::*;
use crate::client::{Client, ClientOptions, PlayOptions};

async fn serve(
    config: ServerConfig,
) -> (std::net::SocketAddr, tokio_util::sync::CancellationToken) {
    let server =
        Server::bind("127.0.0.1:0".parse().unwrap(), config, Arc::new(Clip)).await.unwrap();
    let address = server.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(server.run(stop.clone()));
    (address, stop)
}

async fn client(address: std::net::SocketAddr, password: &str) -> Client<tokio::net::TcpStream> {
    let io = tokio::net::TcpStream::connect(address).await.unwrap();
    Client::new(
        io,
        ClientOptions {
            url: format!("rtsp://{address}/replay/one"),
            username: "admin".into(),
            password: password.into(),
            require: Some("onvif-replay".into()),
            ..Default::default()
        },
    )
}

/// R8.T-3, R8.1-3, R8.1-7, R8.3-13
#[tokio::test]
async fn a_client_plays_over_tcp() {
    let (address, stop) = serve(ServerConfig { gate: Some(gate()), ..Default::default() }).await;
    let mut c = client(address, "12345").await;
    assert!(!c.options().await.unwrap().is_empty());
    c.describe().await.unwrap();
    assert_eq!(c.playable(), [0]);
    c.setup(0).await.unwrap();
    let options = PlayOptions { rate_control: Some(RateControl::Client), ..Default::default() };
    let reply = c.play(&options).await.unwrap();
    assert!(matches!(reply.range, Some(Range::Clock(r)) if r.start == Some(Utc::from_secs(START))));
    let mut units = Vec::new();
    while units.len() < FRAMES as usize {
        let received = c.next().await.unwrap().unwrap();
        if let Demuxed::Unit(u) = received.item {
            let captured = received.captured.unwrap().since_us(Utc::from_secs(START));
            units.push((u.media.micros(), captured, u.data.len()));
        }
    }
    let sets = 4 + 25 + 4 + 4;
    for (i, (media, captured, length)) in units.into_iter().enumerate() {
        let expected = 40_000 * i as i64;
        assert_eq!((media, captured), (expected, expected));
        // The parameter sets come in band with the first clean unit.
        let head = if i == 0 { sets } else { 0 };
        assert_eq!(length, head + 4 + 2 + if i % 25 == 0 { 5000 } else { 300 });
    }
    c.teardown().await.unwrap();
    let refused = client(address, "wrong").await.describe().await.unwrap_err();
    assert_eq!(refused.kind(), dvrgate_model::ErrorKind::Unauthenticated);
    stop.cancel();
}

/// R8.T-1, R8.1-2
#[tokio::test]
async fn datagrams_arrive_at_the_clients_ports() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (address, stop) = serve(ServerConfig::default()).await;
    let rtp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let rtcp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ports =
        format!("{}-{}", rtp.local_addr().unwrap().port(), rtcp.local_addr().unwrap().port());
    let mut io = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut ask = async |text: String| {
        io.write_all(text.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 4096];
        let n = io.read(&mut buffer).await.unwrap();
        buffer.truncate(n);
        buffer
    };
    let url = format!("rtsp://{address}/replay/one");
    let wire = ask(format!(
        "SETUP {url}/track1 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP;unicast;client_port={ports}\r\n\r\n"
    ))
    .await;
    assert_eq!(status(&wire), 200);
    let agreed: crate::headers::Transport = field(&wire, "Transport").parse().unwrap();
    let (first, second) = agreed.server_port.unwrap();
    assert_eq!((first % 2, second), (0, first + 1));
    let session = field(&wire, "Session");
    let session = session.split(';').next().unwrap();
    let wire = ask(format!("PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n\r\n")).await;
    assert_eq!(status(&wire), 200);
    let mut captured = Vec::new();
    while captured.len() < 5 {
        let mut buffer = [0; 2000];
        let (n, from) = rtp.recv_from(&mut buffer).await.unwrap();
        assert_eq!(from.port(), first);
        let packet = (Packet::parse(&buffer[..n]).unwrap(), buffer[..n].to_vec());
        captured.extend(extension(&packet).map(|e| e.at.since_us(Utc::from_secs(START))));
    }
    assert_eq!(captured, [0, 40_000, 80_000, 120_000, 160_000]);
    // R8.11-1: the report carries the wall clock, not the recorded time.
    let mut buffer = [0; 2000];
    let (n, _) = rtcp.recv_from(&mut buffer).await.unwrap();
    let all = crate::rtp::rtcp_compound(&buffer[..n]).unwrap();
    let crate::rtp::Rtcp::SenderReport(report) = all[0] else { panic!("{all:?}") };
    assert!(report.now > "2020-01-01T00:00:00Z".parse().unwrap());
    let wire =
        ask(format!("TEARDOWN {url} RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n")).await;
    assert_eq!(status(&wire), 200);
    let bye = loop {
        let (n, _) = rtcp.recv_from(&mut buffer).await.unwrap();
        let all = crate::rtp::rtcp_compound(&buffer[..n]).unwrap();
        if let Some(crate::rtp::Rtcp::Bye { ssrc }) = all.last() {
            break *ssrc;
        }
    };
    assert_eq!(bye, report.ssrc);
    stop.cancel();
}
