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

/// A host that only knows itself.
#[derive(Debug)]
struct Loopback;

impl Machine for Loopback {
    fn interfaces(&self) -> Vec<Interface> {
        let addresses = vec![("127.0.0.1".parse().unwrap(), 8)];
        vec![Interface { name: "lo".into(), hardware: String::new(), mtu: None, addresses }]
    }

    fn resolvers(&self) -> Vec<IpAddr> {
        Vec::new()
    }

    fn search_domains(&self) -> Vec<String> {
        Vec::new()
    }

    fn gateways(&self) -> Vec<IpAddr> {
        Vec::new()
    }

    fn hostname(&self) -> String {
        "self".to_owned()
    }
}

/// RH6-2, RH6-5, RH6-9, RH6-10: Hello on coming, Hello with a higher version on a change of the
/// scopes, Bye on going; all to the multicast group.
#[tokio::test]
async fn comings_changes_and_goings_are_announced() {
    let world = World::new().await;
    // Whoever wants to hear it joins the group; this one picks the port.
    let listener = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let group = crate::discovery::GROUP;
    listener.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
    let machine = Arc::new(Loopback);
    let discovery = Discovery { machine, multicast: true, port, ..discovery(&world) };
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(discovery.serve(socket, async { drop(stopped.await) }));
    let heard = async |what: &str| {
        let message = answer(&listener).await;
        let body = message.child(ns::ENV, "Body").unwrap();
        let own = body.elements().next().unwrap().clone();
        assert!(own.is(ns::D, what), "{own:?} instead of {what}");
        own
    };
    let version = |hello: &Element| {
        let types = hello.child(ns::D, "Types").unwrap();
        let types: Vec<_> =
            types.text().split_whitespace().map(|t| types.resolve(t).unwrap()).collect();
        assert!(types.iter().any(|t| t.is(ns::TDS, "Device")), "{types:?}");
        let addresses = hello.child_text(ns::D, "XAddrs").unwrap().into_owned();
        assert_eq!(addresses, "http://127.0.0.1:8080/onvif/device_service");
        hello.child_text(ns::D, "MetadataVersion").unwrap().parse::<u32>().unwrap()
    };
    let first = version(&heard("Hello").await);
    world.get(tds("AddScopes").with_value("ScopeItem", "urn:new")).await;
    let hello = heard("Hello").await;
    assert!(version(&hello) > first);
    assert!(hello.child_text(ns::D, "Scopes").unwrap().contains("urn:new"));
    stop.send(()).unwrap();
    heard("Bye").await;
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
