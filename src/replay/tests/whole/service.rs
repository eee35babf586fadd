//! The replay service through its host, over the index in memory.

use std::sync::Arc;
use std::time::Duration;

use dvrgate_index::MemoryControl;
use dvrgate_index::sample::{self, at};
use dvrgate_model::ports::ControlStore;
use dvrgate_replay::service::service;
use dvrgate_rtsp::server::SessionTimeout;
use dvrgate_soap::testing::Client;
use dvrgate_soap::{Origin, ns};
use dvrgate_testkit::SimulatedClock;

const RTSP_PORT: u16 = 8554;

async fn client(store: Arc<dyn ControlStore>, timeout: SessionTimeout) -> Client {
    let index = sample::yard().await.unwrap();
    let service = service(index, store, timeout, RTSP_PORT).await.unwrap();
    Client::new(service, Arc::new(SimulatedClock::frozen_at(at(120))))
}

async fn fresh() -> Client {
    client(Arc::new(MemoryControl::new()), SessionTimeout::default()).await
}

fn setup(stream: &str, protocol: &str, recording: &str) -> String {
    format!(
        "<trp:StreamSetup><tt:Stream>{stream}</tt:Stream><tt:Transport>\
         <tt:Protocol>{protocol}</tt:Protocol></tt:Transport></trp:StreamSetup>\
         <trp:RecordingToken>{recording}</trp:RecordingToken>"
    )
}

async fn uri(client: &Client, protocol: &str) -> String {
    let query = setup("RTP-Unicast", protocol, "yard-1");
    let answer = client.ask("GetReplayUri", &query).await.unwrap();
    answer.child_text(ns::TRP, "Uri").unwrap().into_owned()
}

/// R7.1-1, R7.1-2, R7.1-3, R7.1-4, R7.1-8
#[tokio::test]
async fn the_uri_is_one_that_the_client_can_reach() {
    let peer = "192.0.2.9:50000".parse().unwrap();
    let origin = |local: &str, secure, header| {
        Origin::new(peer, local.parse().unwrap(), secure, header, None)
    };
    for (origin, rtsp, tunnel) in [
        (
            origin("192.0.2.1:80", false, None),
            "rtsp://192.0.2.1:8554/replay/yard-1",
            "http://192.0.2.1:80/replay/yard-1",
        ),
        (
            origin("[2001:db8::1]:8080", false, None),
            "rtsp://[2001:db8::1]:8554/replay/yard-1",
            "http://[2001:db8::1]:8080/replay/yard-1",
        ),
        (
            origin("10.0.0.5:443", true, Some("dvr.example:444")),
            "rtsp://dvr.example:8554/replay/yard-1",
            "https://dvr.example:444/replay/yard-1",
        ),
    ] {
        let client = fresh().await.with_origin(origin);
        assert_eq!(uri(&client, "UDP").await, rtsp);
        assert_eq!(uri(&client, "RTSP").await, rtsp);
        assert_eq!(uri(&client, "HTTP").await, tunnel);
    }
}

/// R7.1-5, R7.1-7, R8.T-7: RTP over a TCP connection of its own is not offered.
#[tokio::test]
async fn what_cannot_be_played_has_no_uri() {
    let client = fresh().await;
    for (query, fault) in [
        (setup("RTP-Multicast", "UDP", "yard-1"), "ter:InvalidStreamSetup"),
        (setup("RTP-Unicast", "TCP", "yard-1"), "ter:InvalidStreamSetup"),
        (setup("RTP-Unicast", "", "yard-1"), "ter:InvalidStreamSetup"),
        (setup("RTP-Unicast", "UDP", "nobody"), "ter:NoRecording"),
        ("<trp:RecordingToken>yard-1</trp:RecordingToken>".into(), "ter:InvalidArgs"),
    ] {
        assert_eq!(client.ask("GetReplayUri", &query).await.unwrap_err(), fault, "{query}");
    }
}

/// R7.1-6: streams have nothing in common that they could be in conflict about, so whatever was asked
/// for before, a set-up that can be had still can.
#[tokio::test]
async fn no_set_up_conflicts_with_another() {
    let client = fresh().await;
    let protocols = ["UDP", "RTSP", "HTTP"];
    let first: Vec<String> = futures::future::join_all(protocols.map(|p| uri(&client, p))).await;
    for _ in 0..100 {
        let again = futures::future::join_all(protocols.map(|p| uri(&client, p))).await;
        assert_eq!(again, first);
    }
}

async fn set(client: &Client, timeout: &str) -> Result<(), String> {
    let query = format!(
        "<trp:Configuration><tt:SessionTimeout>{timeout}</tt:SessionTimeout></trp:Configuration>"
    );
    client.ask("SetReplayConfiguration", &query).await.map(|_| ())
}

async fn get(client: &Client) -> String {
    let answer = client.ask("GetReplayConfiguration", "").await.unwrap();
    let configuration = answer.child(ns::TRP, "Configuration").unwrap();
    configuration.child_text(ns::TT, "SessionTimeout").unwrap().into_owned()
}

/// R7.2-1, R7.2-2, R7.2-3, R7.2-4, R7.2-6
#[tokio::test]
async fn the_timeout_is_kept_and_reaches_the_server() {
    let store: Arc<dyn ControlStore> = Arc::new(MemoryControl::new());
    let timeout = SessionTimeout::default();
    let first = client(Arc::clone(&store), timeout.clone()).await;
    assert_eq!(get(&first).await, "PT60S");
    for (asked, seconds) in [("PT10S", 10), ("PT10M", 600), ("PT60S", 60), ("PT1M30S", 90)] {
        set(&first, asked).await.unwrap();
        assert_eq!(get(&first).await, format!("PT{seconds}S"));
        assert_eq!(timeout.get(), Duration::from_secs(seconds), "what sessions begin with");
    }
    // After a restart.
    let timeout = SessionTimeout::default();
    let second = client(store, timeout.clone()).await;
    assert_eq!(get(&second).await, "PT90S");
    assert_eq!(timeout.get(), Duration::from_secs(90));
}

/// R7.2-5
#[tokio::test]
async fn a_timeout_that_cannot_be_leaves_the_old_one() {
    let client = fresh().await;
    for (timeout, fault) in [
        ("PT9S", "ter:ConfigModify"),
        ("PT601S", "ter:ConfigModify"),
        ("PT30.5S", "ter:ConfigModify"),
        ("PT600.5S", "ter:ConfigModify"),
        ("PT0S", "ter:ConfigModify"),
        ("60", "ter:InvalidArgs"),
        ("-PT60S", "ter:InvalidArgs"),
    ] {
        assert_eq!(set(&client, timeout).await.unwrap_err(), fault, "{timeout}");
        assert_eq!(get(&client).await, "PT60S", "{timeout}");
    }
    let query = "<trp:Configuration><tt:SessionTimeout>PT30S</tt:SessionTimeout>\
                 </trp:Configuration>";
    let viewer = client.ask_as(Some("viewer"), "SetReplayConfiguration", query).await;
    assert_eq!(viewer.unwrap_err(), "ter:NotAuthorized");
    assert_eq!(get(&client).await, "PT60S");
}

/// R7.2-3: what could not be stored is not used either, and the client is told.
#[tokio::test]
async fn a_timeout_that_cannot_be_stored_is_refused() {
    let client = client(Arc::new(Contended), SessionTimeout::default()).await;
    assert!(set(&client, "PT30S").await.is_err());
    assert_eq!(get(&client).await, "PT60S");
}

/// A store in which somebody else is always faster.
#[derive(Debug)]
struct Contended;

type Answer<'a, T> = futures::future::BoxFuture<'a, dvrgate_model::Result<T>>;

impl ControlStore for Contended {
    fn get(&self, _: &str, _: &str) -> Answer<'_, Option<dvrgate_model::ports::Versioned>> {
        Box::pin(async { Ok(None) })
    }

    fn put(&self, _: &str, _: &str, _: String, _: Option<u64>) -> Answer<'_, u64> {
        let error = dvrgate_model::Error::new(dvrgate_model::ErrorKind::Conflict, "changed");
        Box::pin(async { Err(error) })
    }

    fn delete(&self, _: &str, _: &str) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn list(&self, _: &str) -> Answer<'_, Vec<(String, dvrgate_model::ports::Versioned)>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// R7.5-1, R7.5-2, R7.5-3, R7.5-4, R7.5-5
#[tokio::test]
async fn capabilities_promise_what_is_there() {
    let client = fresh().await;
    let answer = client.ask_as(None, "GetServiceCapabilities", "").await.unwrap();
    let own = answer.child(ns::TRP, "Capabilities").unwrap();
    assert_eq!(own.attribute("ReversePlayback"), Some("true"));
    assert_eq!(own.attribute("RTP_RTSP_TCP"), Some("true"));
    let websocket = own.attribute("RTSPWebSocketUri").unwrap();
    assert!(websocket.starts_with("ws:/") && !websocket.starts_with("ws://"), "{websocket}");
    // The bounds that are told are those that hold.
    let range = own.attribute("SessionTimeoutRange").unwrap();
    let bounds: Vec<f64> = range.split(' ').map(|b| b.parse().unwrap()).collect();
    let [low, high] = bounds[..] else { panic!("{range}") };
    assert!(low <= 60.0 && high >= 60.0);
    for (seconds, fits) in [(low - 1.0, false), (low, true), (high, true), (high + 1.0, false)] {
        assert_eq!(set(&client, &format!("PT{seconds}S")).await.is_ok(), fits, "{seconds}");
    }
}
