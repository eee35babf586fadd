//! The service behind a host, without sockets, and discovery on the loopback interface.

mod discovery;
mod operations;
mod table;
mod users;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dvrgate_auth::{DigestSettings, Level, TextPasswords, TokenSettings, User, Users};
use dvrgate_index::MemoryControl;
use dvrgate_model::Utc;
use dvrgate_model::ports::{Clock, ControlStore};
use dvrgate_soap::envelope::envelope;
use dvrgate_soap::{Access, Call, Door, Element, Host, Limits, Origin, Service, Version, ns};

use crate::{Device, Interface, Machine, Settings, State};

#[derive(Debug)]
struct Frozen(Instant);

impl Clock for Frozen {
    fn utc(&self) -> Utc {
        "2026-03-04T05:06:07.890Z".parse().unwrap()
    }

    fn now(&self) -> Instant {
        self.0
    }
}

/// A host with two interfaces; the second one is reached.
#[derive(Debug)]
struct TwoPorts;

impl Machine for TwoPorts {
    fn interfaces(&self) -> Vec<Interface> {
        let one = |name: &str, last: u8, addresses: &[(&str, u8)]| Interface {
            name: name.to_owned(),
            hardware: format!("02:00:00:00:00:{last:02x}"),
            mtu: Some(1500),
            addresses: addresses.iter().map(|(a, p)| (a.parse().unwrap(), *p)).collect(),
        };
        vec![
            one("eth0", 1, &[("198.51.100.7", 24), ("169.254.1.2", 16)]),
            one("eth1", 2, &[("192.0.2.1", 25), ("fe80::2", 64), ("2001:db8::2", 64)]),
        ]
    }

    fn resolvers(&self) -> Vec<IpAddr> {
        vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()]
    }

    fn search_domains(&self) -> Vec<String> {
        vec!["site.example".to_owned()]
    }

    fn gateways(&self) -> Vec<IpAddr> {
        vec!["2001:db8::1".parse().unwrap(), "192.0.2.126".parse().unwrap()]
    }

    fn hostname(&self) -> String {
        "gatehouse".to_owned()
    }
}

/// A service of another crate, as far as this one sees it.
fn other(namespace: &'static str, path: &'static str, capabilities: Element) -> Service {
    Service::table(namespace, path, Version(22, 6), Arc::new(()))
        .on("GetServiceCapabilities", Access::PreAuth, move |_, call: Call| {
            let own = capabilities.clone();
            async move { Ok(call.response().with(own)) }
        })
        .build()
}

struct World {
    host: Arc<Host>,
    device: Arc<Device>,
}

impl World {
    async fn new() -> Self {
        Self::over(Arc::new(MemoryControl::new()), true).await
    }

    async fn over(store: Arc<dyn ControlStore>, recorder: bool) -> Self {
        Self::with(store, recorder, |settings| settings).await
    }

    async fn with(
        store: Arc<dyn ControlStore>,
        recorder: bool,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let settings = change(Settings {
            location: Some("site north".to_owned()),
            profiles: vec!["G".to_owned()],
            rtsp_port: 8554,
            https_port: Some(8443),
            ..Settings::named("Depot North")
        });
        let state = State::open(store, settings.fixed_scopes(), settings.initial_scopes());
        let device = Device::new(settings, Arc::new(state.await.unwrap()), Arc::new(TwoPorts));
        let mut services = vec![device.service()];
        if recorder {
            let caps = |ns: &'static str| Element::new(ns, "Capabilities");
            services.extend([
                other(
                    ns::TRC,
                    "/onvif/recording_service",
                    caps(ns::TRC).with_attribute("DynamicTracks", "true"),
                ),
                other(
                    ns::TSE,
                    "/onvif/search_service",
                    caps(ns::TSE).with_attribute("MetadataSearch", "true"),
                ),
                other(
                    ns::TRP,
                    "/onvif/replay_service",
                    caps(ns::TRP).with_attribute("ReversePlayback", "true"),
                ),
            ]);
        }
        let user = |name: &str, level| User { name: name.into(), level, password: "pw".into() };
        let users = Users::new(vec![
            user("admin", Level::Administrator),
            user("operator", Level::Operator),
            user("user", Level::User),
        ]);
        // Passwords in the clear keep these tests short; the door has tests of its own.
        let tokens = TokenSettings { text: TextPasswords::Accept, ..TokenSettings::default() };
        let door = Door::new("test", users.unwrap(), DigestSettings::default(), tokens);
        Self { host: Host::new(services, door, Arc::new(Frozen(Instant::now()))), device }
    }

    /// Sends a request as a user, or as nobody. Returns the status and what is in the body.
    async fn ask(&self, user: Option<&str>, request: Element) -> (u16, Element) {
        static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let header = user.map(|name| {
            let n = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let token = Element::new(ns::WSSE, "UsernameToken")
                .with_value("Username", name)
                .with_value("Password", "pw")
                // Base64 of three bytes each.
                .with_value("Nonce", format!("{n:04}"))
                .with(Element::of(ns::WSU, "Created", "2026-03-04T05:06:07Z"));
            Element::new(ns::WSSE, "Security").with(token)
        });
        let body = Bytes::from(envelope(header.into_iter().collect(), request).to_xml());
        let origin = Origin::new(
            "192.0.2.9:50000".parse().unwrap(),
            (Ipv4Addr::new(192, 0, 2, 1), 8080).into(),
            false,
            Some("gate.example:8080"),
            None,
        );
        let request = http::Request::post("/onvif/device_service").body(body).unwrap();
        let response = self.host.answer(request, origin).await;
        let read = Element::parse(response.body(), &Limits::default()).unwrap();
        let body = read.child(ns::ENV, "Body").unwrap().elements().next().unwrap().clone();
        (response.status().as_u16(), body)
    }

    /// The answer of an operation that has to succeed, asked by the administrator.
    async fn get(&self, request: Element) -> Element {
        let name = format!("{}Response", request.name().local);
        let (status, body) = self.ask(Some("admin"), request).await;
        assert_eq!(status, 200, "{body:?}");
        assert!(body.is(ns::TDS, &name), "{body:?}");
        body
    }

    /// The subcodes of the fault that an operation gives, joined by slashes.
    async fn fault(&self, request: Element) -> String {
        let (status, body) = self.ask(Some("admin"), request).await;
        assert_ne!(status, 200, "{body:?}");
        let mut codes = Vec::new();
        let mut code = body.child(ns::ENV, "Code");
        while let Some(c) = code {
            codes.push(c.child_text(ns::ENV, "Value").unwrap().into_owned());
            code = c.child(ns::ENV, "Subcode");
        }
        codes.join("/")
    }
}

fn tds(operation: &'static str) -> Element {
    Element::new(ns::TDS, operation)
}
