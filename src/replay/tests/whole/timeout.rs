//! The replay configuration over SOAP, and what comes of it over RTSP.

use std::sync::Arc;
use std::time::Duration;

use dvrgate_footage::{FrameStream, GopStore, PlayPlan, StoreOptions, Timeline};
use dvrgate_index::{MemoryControl, sample};
use dvrgate_replay::playback::application;
use dvrgate_replay::service::service;
use dvrgate_rtsp::server::{Peer, ServerConfig, SessionTimeout, Shared, serve_connection};
use dvrgate_soap::testing::Client;
use dvrgate_testkit::SimulatedClock;
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// Nothing is ever played.
#[derive(Debug)]
struct Silence;

impl Timeline for Silence {
    fn play(&self, _: PlayPlan) -> FrameStream {
        stream::empty().boxed()
    }
}

async fn ask(io: &mut DuplexStream, text: &str) -> String {
    io.write_all(text.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        answer.push(char::from(io.read_u8().await.unwrap()));
    }
    answer
}

/// R7.2-3, R7.2-6, R8.7-1, R8.7-3, R8.7-4: what SetReplayConfiguration says holds for the sessions that
/// begin afterwards: they say so, live as long as they give signs of life, and end in time.
#[tokio::test(start_paused = true)]
async fn sessions_end_when_the_replay_configuration_says() {
    let index = sample::yard().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { dir: dir.path().to_owned(), budget_bytes: 1 << 20 };
    let store = Arc::new(GopStore::open(options).unwrap().0);
    let timeout = SessionTimeout::default();
    let control = Arc::new(MemoryControl::new());
    let service = service(index.clone(), control, timeout.clone(), 8554).await.unwrap();
    let clock = Arc::new(SimulatedClock::frozen_at(sample::at(0)));
    let soap = Client::new(service, clock);
    let config = ServerConfig { session_timeout: timeout, ..ServerConfig::default() };
    let shared = Shared::new(config, application(index, Arc::new(Silence), store));
    let local = "192.0.2.10".parse().unwrap();
    for (asked, seconds) in [("PT10S", 10), ("PT2M", 120)] {
        let query = format!(
            "<trp:Configuration><tt:SessionTimeout>{asked}</tt:SessionTimeout></trp:Configuration>"
        );
        soap.ask("SetReplayConfiguration", &query).await.unwrap();
        let (mut io, server) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve_connection(server, Peer { remote: local, local }, shared.clone()));
        let url = "rtsp://192.0.2.10/replay/yard-2";
        let setup = format!(
            "SETUP {url}/track1 RTSP/1.0\nCSeq: 1\nTransport: RTP/AVP/TCP;interleaved=0-1\n\n"
        );
        let answer = ask(&mut io, &setup).await;
        let session = answer.lines().find_map(|l| l.strip_prefix("Session: ")).unwrap();
        let (id, told) = session.split_once(';').unwrap();
        assert_eq!(told, format!("timeout={seconds}"));
        let most = Duration::from_secs(seconds);
        for method in ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER"] {
            tokio::time::sleep(most - Duration::from_secs(1)).await;
            let alive = format!("{method} {url} RTSP/1.0\nCSeq: 2\nSession: {id}\n\n");
            assert!(ask(&mut io, &alive).await.starts_with("RTSP/1.0 200 "), "{method}");
        }
        let begun = tokio::time::Instant::now();
        assert_eq!(io.read(&mut [0; 64]).await.unwrap(), 0, "closed");
        let took = begun.elapsed();
        assert!(took >= most && took <= most + Duration::from_secs(1), "{took:?}");
    }
}
