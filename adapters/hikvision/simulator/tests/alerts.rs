//! The alert stream.

use dvrgate_testkit::EventKind;
use dvrgate_testkit::archive::LoggedEvent;

use super::*;

const STREAM: &str = "/ISAPI/Event/notification/alertStream";

async fn open(sim: &Handle) -> TcpStream {
    let challenge = ask(sim.http_addr, "GET", STREAM, "", "").await;
    let header = authorization(challenge.challenge(), "GET", STREAM, PASSWORD);
    let mut socket = TcpStream::connect(sim.http_addr).await.unwrap();
    socket.write_all(format!("GET {STREAM} HTTP/1.1\r\n{header}\r\n").as_bytes()).await.unwrap();
    socket
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !text.contains(wanted) {
        let read = timeout(PATIENCE, socket.read(&mut bytes)).await.expect("in time").unwrap();
        assert!(read > 0, "the stream ended before {wanted:?}: {text}");
        text += &String::from_utf8_lossy(&bytes[..read]);
    }
    text
}

fn scenario(behaviour: &str) -> String {
    hour(behaviour) + "[[channel]]\nid = 2\nkind = \"ip\"\nname = \"Ramp\"\n"
}

#[::tokio::test]
async fn heartbeats_and_events_come_as_they_happen() {
    let sim = simulator(&scenario(
        "heartbeat_ms = 50\ninactive_told = true\nscraps = 7\npicture_parts = true",
    ))
    .await;
    let mut stream = open(&sim).await;
    let text = read_until(&mut stream, "</EventNotificationAlert>").await;
    assert!(text.contains("multipart/mixed; boundary=boundary\r\n"));
    assert!(text.contains("<eventType>videoloss</eventType>\n<eventState>inactive</eventState>"));
    let now = sim.recorder().now();
    sim.happen(LoggedEvent {
        at: now,
        until: Some(now.plus_us(1_500_000)),
        kind: EventKind::Motion,
        channel: Some(2),
    });
    let text = read_until(&mut stream, "image/pjpeg").await;
    // The first network camera is 33 in events.
    assert!(text.contains("<channelID>33</channelID>"));
    assert!(text.contains("<eventType>VMD</eventType>\n<eventState>active</eventState>"));
    let text =
        read_until(&mut stream, "<eventType>VMD</eventType>\n<eventState>inactive</eventState>")
            .await;
    assert!(text.contains("<activePostCount>2</activePostCount>"));
    assert_eq!(sim.truth().events.len(), 1);
}

#[::tokio::test]
async fn streams_are_few_and_given_back() {
    let sim =
        simulator(&scenario("alert_streams = 1\nheartbeat_ms = 20\nboundary = \"other\"")).await;
    let mut stream = open(&sim).await;
    let text = read_until(&mut stream, "--boundary").await;
    assert!(text.contains("boundary=MIME_boundary"));
    let challenge = ask(sim.http_addr, "GET", STREAM, "", "").await;
    let header = authorization(challenge.challenge(), "GET", STREAM, PASSWORD);
    assert_eq!(ask(sim.http_addr, "GET", STREAM, &header, "").await.status, 503);
    drop(stream);
    while sim.counters.read().event_streams_open > 0 {
        ::tokio::task::yield_now().await;
    }
    read_until(&mut open(&sim).await, "--boundary").await;
    // A stop does not wait for streams that never end.
    let stream = open(&sim).await;
    timeout(PATIENCE, sim.stop()).await.expect("stopped");
    drop(stream);
}
