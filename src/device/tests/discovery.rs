//! Discovery over real datagrams on the loopback interface.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::discovery::tokio::Discovery;

fn probe(id: u32) -> Vec<u8> {
    let header = vec![
        Element::of(ns::WSADIS, "MessageID", format!("urn:uuid:{id}")),
        Element::of(ns::WSADIS, "Action", format!("{}/Probe", ns::D)),
    ];
    envelope(header, Element::new(ns::D, "Probe")).to_xml().into_bytes()
}

fn discovery(world: &World) -> Discovery {
    Discovery {
        state: Arc::clone(&world.device.state),
        machine: Arc::new(TwoPorts),
        clock: Arc::clone(world.host.clock()),
        http_port: 8080,
        advertise: None,
        port: 0,
        multicast: false,
    }
}

async fn answer(socket: &UdpSocket) -> Element {
    let mut buffer = vec![0; 8192];
    let received = timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await;
    let n = received.expect("no answer").unwrap();
    Element::parse(&buffer[..n], &Limits::default()).unwrap()
}

#[tokio::test]
async fn probes_are_answered_with_the_state_of_the_moment() {
    // RH6-1, RH6-5, RH6-9.
    let world = World::new().await;
    let discovery = discovery(&world);
    let socket = discovery.bind().unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(discovery.serve(socket, async { drop(stopped.await) }));

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    let found = |reply: &Element| -> (String, String) {
        let body = reply.child(ns::ENV, "Body").unwrap();
        let found = body.path(ns::D, &["ProbeMatches", "ProbeMatch"]).unwrap();
        let text = |local: &str| found.child_text(ns::D, local).unwrap().into_owned();
        (text("XAddrs"), text("MetadataVersion"))
    };
    client.send(&probe(1)).await.unwrap();
    let first = found(&answer(&client).await);
    assert_eq!(first, ("http://127.0.0.1:8080/onvif/device_service".into(), "1".into()));

    world.get(tds("AddScopes").with_value("ScopeItem", "urn:new")).await;
    client.send(&probe(2)).await.unwrap();
    assert_eq!(found(&answer(&client).await).1, "2");

    stop.send(()).unwrap();
    timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_port_leaves_the_gateway_running() {
    let world = World::new().await;
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let discovery = Discovery { port: taken.local_addr().unwrap().port(), ..discovery(&world) };
    assert!(discovery.bind().is_err(), "the other one did not share");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(discovery.run(async { drop(stopped.await) }));
    stop.send(()).unwrap();
    timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hidden_device_has_nothing_to_tell() {
    // RH6-11.
    let world = World::new().await;
    let discovery = discovery(&world);
    let client = "127.0.0.1:40000".parse().unwrap();
    assert!(discovery.target_for(client).is_some());
    world.get(tds("SetDiscoveryMode").with_value("DiscoveryMode", "NonDiscoverable")).await;
    assert_eq!(discovery.target_for(client), None);
}
