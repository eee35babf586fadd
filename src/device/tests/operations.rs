//! Each operation, asked over SOAP.

use super::*;

fn texts(e: &Element, ns: &'static str, local: &'static str) -> Vec<String> {
    e.children(ns, local).map(|c| c.text().into_owned()).collect()
}

#[tokio::test]
async fn services_are_those_of_the_host_with_the_clients_address() {
    // RH3-1, RH3-2, R5.1-1.
    let world = World::new().await;
    let answer = world.get(tds("GetServices").with_value("IncludeCapability", "false")).await;
    let services: Vec<_> = answer.children(ns::TDS, "Service").collect();
    let column = |local: &str| -> Vec<String> {
        services.iter().map(|s| s.child_text(ns::TDS, local).unwrap().into_owned()).collect()
    };
    assert_eq!(column("Namespace"), [ns::TDS, ns::TRC, ns::TSE, ns::TRP]);
    assert_eq!(column("XAddr")[1], "http://gate.example:8080/onvif/recording_service");
    assert!(services.iter().all(|s| s.child(ns::TDS, "Capabilities").is_none()));
    let version = services[1].child(ns::TDS, "Version").unwrap();
    assert_eq!(
        (texts(version, ns::TT, "Major"), texts(version, ns::TT, "Minor")),
        (vec!["22".into()], vec!["6".into()])
    );

    let few = World::over(Arc::new(MemoryControl::new()), false).await;
    let answer = few.get(tds("GetServices")).await;
    assert_eq!(answer.elements().count(), 1, "nothing is listed that is not there");
}

#[tokio::test]
async fn capabilities_are_the_same_from_both_sides() {
    // RH3-3, R5.24-1, R6.16-1, R7.5-1.
    let world = World::new().await;
    let answer = world.get(tds("GetServices").with_value("IncludeCapability", "true")).await;
    for service in answer.children(ns::TDS, "Service") {
        let listed = service.child(ns::TDS, "Capabilities").unwrap().elements().next().unwrap();
        let ns = listed.name().ns.clone();
        let (status, own) =
            world.ask(None, Element::new(ns.clone(), "GetServiceCapabilities")).await;
        assert_eq!(status, 200);
        assert_eq!(own.child(&ns, "Capabilities"), Some(listed));
    }
    let own = world.get(tds("GetServiceCapabilities")).await;
    let own = own.child(ns::TDS, "Capabilities").unwrap();
    let order: Vec<_> = own.elements().map(|e| e.name().local.to_string()).collect();
    assert_eq!(order, ["Network", "Security", "System"]);
    // RH3-6; RH4-6, RH5-10: network and users are the host's.
    let security = own.child(ns::TDS, "Security").unwrap();
    assert_eq!(security.attribute("HttpDigest"), Some("true"));
    assert_eq!(security.attribute("HashingAlgorithms"), Some("MD5,SHA-256"));
    assert_eq!(security.attribute("MaxUsers"), Some("3"));
    assert_eq!(own.child(ns::TDS, "Network").unwrap().attribute("IPVersion6"), Some("true"));
    let system = own.child(ns::TDS, "System").unwrap();
    for not in ["NetworkConfigNotSupported", "UserConfigNotSupported"] {
        assert_eq!(system.attribute(not), Some("true"), "{not}");
    }
    for (set, why) in [("SetHostname", "network"), ("SetDNS", "network"), ("CreateUsers", "users")]
    {
        let fault = world.fault(tds(set)).await;
        assert_eq!(fault, "env:Receiver/ter:ActionNotSupported/ter:NotImplemented", "{set}: {why}");
    }
    // RH6-10.
    assert_eq!(system.attribute("DiscoveryBye"), Some("true"));
}

#[tokio::test]
async fn old_clients_find_the_recorder_in_the_extension() {
    // RH3-4.
    let world = World::new().await;
    for request in [tds("GetCapabilities"), tds("GetCapabilities").with_value("Category", "All")] {
        let answer = world.get(request).await;
        let all = answer.child(ns::TDS, "Capabilities").unwrap();
        let order: Vec<_> = all.elements().map(|e| e.name().local.to_string()).collect();
        assert_eq!(order, ["Device", "Extension"]);
        let extension = all.child(ns::TT, "Extension").unwrap();
        let addresses: Vec<_> = extension
            .elements()
            .map(|e| {
                (e.name().local.to_string(), e.child_text(ns::TT, "XAddr").unwrap().into_owned())
            })
            .collect();
        let at = |what: &str, path: &str| {
            (what.to_owned(), format!("http://gate.example:8080/onvif/{path}"))
        };
        assert_eq!(
            addresses,
            [
                at("Recording", "recording_service"),
                at("Search", "search_service"),
                at("Replay", "replay_service")
            ]
        );
        let recording = extension.child(ns::TT, "Recording").unwrap();
        assert_eq!(texts(recording, ns::TT, "DynamicTracks"), ["true"]);
        assert_eq!(texts(recording, ns::TT, "DynamicRecordings"), ["false"]);
        assert_eq!(texts(recording, ns::TT, "ReceiverSource"), ["false"]);
        assert_eq!(
            texts(extension.child(ns::TT, "Search").unwrap(), ns::TT, "MetadataSearch"),
            ["true"]
        );
    }
    let device = world.get(tds("GetCapabilities").with_value("Category", "Device")).await;
    assert_eq!(device.child(ns::TDS, "Capabilities").unwrap().elements().count(), 1);
    for missing in ["PTZ", "Media", "Imaging", "Analytics", "Events"] {
        let fault = world.fault(tds("GetCapabilities").with_value("Category", missing)).await;
        assert_eq!(fault, "env:Receiver/ter:ActionNotSupported/ter:NoSuchService", "{missing}");
    }
    let fault = world.fault(tds("GetCapabilities").with_value("Category", "Nonsense")).await;
    assert_eq!(fault, "env:Sender/ter:InvalidArgs");
    let few = World::over(Arc::new(MemoryControl::new()), false).await;
    let answer = few.get(tds("GetCapabilities")).await;
    assert!(answer.child(ns::TDS, "Capabilities").unwrap().child(ns::TT, "Extension").is_none());
}

/// RH3-5, RH1-1: without log-in; the address that every device has.
#[tokio::test]
async fn the_description_is_named_and_the_service_is_where_it_always_is() {
    let world = World::new().await;
    let (status, answer) = world.ask(None, tds("GetWsdlUrl")).await;
    assert_eq!(status, 200);
    let url = answer.child_text(ns::TDS, "WsdlUrl").unwrap().into_owned();
    assert!(url.starts_with("http") && url.ends_with(".wsdl"), "{url}");
    assert_eq!(world.device.service().path(), "/onvif/device_service");
}

#[tokio::test]
async fn the_time_is_utc_without_log_in() {
    // RH5-2.
    let world = World::new().await;
    let (status, answer) = world.ask(None, tds("GetSystemDateAndTime")).await;
    assert_eq!(status, 200);
    let time = answer.child(ns::TDS, "SystemDateAndTime").unwrap();
    for local in ["UTCDateTime", "LocalDateTime"] {
        let numbers: Vec<String> = time
            .child(ns::TT, local)
            .unwrap()
            .elements()
            .flat_map(|part| part.elements().map(|n| n.text().into_owned()).collect::<Vec<_>>())
            .collect();
        assert_eq!(numbers, ["5", "6", "7", "2026", "3", "4"]);
    }
    assert_eq!(time.path(ns::TT, &["TimeZone", "TZ"]).unwrap().text(), "UTC0");
}

#[tokio::test]
async fn the_device_knows_itself_and_stays_itself() {
    // RH5-1, RH6-4.
    let store: Arc<dyn ControlStore> = Arc::new(MemoryControl::new());
    let world = World::over(Arc::clone(&store), true).await;
    let information = world.get(tds("GetDeviceInformation")).await;
    let order: Vec<_> = information.elements().map(|e| e.name().local.to_string()).collect();
    assert_eq!(order, ["Manufacturer", "Model", "FirmwareVersion", "SerialNumber", "HardwareId"]);
    let serial = information.child_text(ns::TDS, "SerialNumber").unwrap().into_owned();
    assert!(serial.len() == 12 && serial.chars().all(|c| c.is_ascii_hexdigit()), "{serial}");
    let endpoint = world.get(tds("GetEndpointReference")).await;
    let endpoint = endpoint.child_text(ns::TDS, "GUID").unwrap().into_owned();
    assert!(endpoint.starts_with("urn:uuid:"), "{endpoint}");

    let again = World::over(store, true).await;
    assert_eq!(
        again.get(tds("GetEndpointReference")).await.child_text(ns::TDS, "GUID").unwrap(),
        endpoint
    );
    assert_eq!(again.get(tds("GetDeviceInformation")).await, information);
}

#[tokio::test]
async fn scopes_can_be_changed_but_for_the_fixed_ones() {
    // RH6-3, RH6-12.
    let store: Arc<dyn ControlStore> = Arc::new(MemoryControl::new());
    let world = World::over(Arc::clone(&store), true).await;
    let list = async |world: &World, kind: &str| -> Vec<String> {
        let answer = world.get(tds("GetScopes")).await;
        answer
            .children(ns::TDS, "Scopes")
            .filter(|s| s.child_text(ns::TT, "ScopeDef").unwrap() == kind)
            .map(|s| s.child_text(ns::TT, "ScopeItem").unwrap().into_owned())
            .collect()
    };
    let fixed = list(&world, "Fixed").await;
    assert_eq!(fixed[0], "onvif://www.onvif.org/Profile/G");
    assert!(fixed.iter().any(|s| s.starts_with("onvif://www.onvif.org/hardware/")));
    assert!(fixed.contains(&"onvif://www.onvif.org/name/Depot%20North".to_owned()));
    assert_eq!(list(&world, "Configurable").await, ["onvif://www.onvif.org/location/site%20north"]);

    let items = |operation: &'static str, scopes: &[&str]| {
        scopes.iter().fold(tds(operation), |e, s| e.with_value("ScopeItem", *s))
    };
    world.get(items("AddScopes", &["urn:a", "urn:b", "urn:a"])).await;
    let removed = world.get(items("RemoveScopes", &["urn:b"])).await;
    assert_eq!(texts(&removed, ns::TDS, "ScopeItem"), ["urn:b"]);
    assert_eq!(
        list(&world, "Configurable").await,
        ["onvif://www.onvif.org/location/site%20north", "urn:a"]
    );
    world.get(tds("SetScopes").with_value("Scopes", "urn:c")).await;
    let again = World::over(store, true).await;
    assert_eq!(list(&again, "Configurable").await, ["urn:c"], "kept over a restart");
    assert_eq!(list(&again, "Fixed").await, fixed);

    let many: Vec<String> = (0..33).map(|i| format!("urn:{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (request, fault) in [
        (
            items("RemoveScopes", &["urn:c", fixed[0].as_str()]),
            "env:Sender/ter:OperationProhibited/ter:FixedScope",
        ),
        (
            items("RemoveScopes", &["urn:c", "urn:nowhere"]),
            "env:Sender/ter:InvalidArgVal/ter:NoScope",
        ),
        (items("AddScopes", &many), "env:Receiver/ter:Action/ter:TooManyScopes"),
        (items("AddScopes", &["no uri"]), "env:Sender/ter:InvalidArgVal"),
        (items("AddScopes", &[]), "env:Sender/ter:InvalidArgs"),
        (items("RemoveScopes", &[]), "env:Sender/ter:InvalidArgs"),
        (tds("SetScopes"), "env:Sender/ter:InvalidArgs"),
    ] {
        assert_eq!(again.fault(request).await, fault);
    }
    assert_eq!(list(&again, "Configurable").await, ["urn:c"], "refused requests change nothing");
}

#[tokio::test]
async fn the_discovery_mode_is_kept() {
    // RH6-11.
    let store: Arc<dyn ControlStore> = Arc::new(MemoryControl::new());
    let world = World::over(Arc::clone(&store), true).await;
    let mode = async |world: &World| {
        world
            .get(tds("GetDiscoveryMode"))
            .await
            .child_text(ns::TDS, "DiscoveryMode")
            .unwrap()
            .into_owned()
    };
    assert_eq!(mode(&world).await, "Discoverable");
    world.get(tds("SetDiscoveryMode").with_value("DiscoveryMode", "NonDiscoverable")).await;
    assert_eq!(mode(&World::over(store, true).await).await, "NonDiscoverable");
}

#[tokio::test]
async fn concurrent_changes_all_arrive() {
    let world = World::new().await;
    let add = |i: usize| world.get(tds("AddScopes").with_value("ScopeItem", format!("urn:{i}")));
    futures::future::join_all((0..20).map(add)).await;
    assert_eq!(world.device.state.configurable_scopes().len(), 21);
}

#[tokio::test]
async fn the_network_is_that_of_the_host() {
    let world = World::new().await;
    // RH4-3: the interface that was reached comes first.
    let answer = world.get(tds("GetNetworkInterfaces")).await;
    let interfaces: Vec<_> = answer.children(ns::TDS, "NetworkInterfaces").collect();
    assert_eq!(interfaces[0].attribute("token"), Some("eth1"));
    let info = interfaces[0].child(ns::TT, "Info").unwrap();
    assert_eq!(texts(info, ns::TT, "HwAddress"), ["02:00:00:00:00:02"]);
    let address = |i: usize, path: &[&str]| {
        interfaces[i].path(ns::TT, path).map(|e| e.text().into_owned()).unwrap_or_default()
    };
    assert_eq!(address(0, &["IPv4", "Config", "Manual", "Address"]), "192.0.2.1");
    assert_eq!(address(0, &["IPv4", "Config", "Manual", "PrefixLength"]), "25");
    assert_eq!(address(0, &["IPv6", "Config", "LinkLocal", "Address"]), "fe80::2");
    assert_eq!(address(0, &["IPv6", "Config", "Manual", "Address"]), "2001:db8::2");
    assert_eq!(address(1, &["IPv4", "Config", "LinkLocal", "Address"]), "169.254.1.2");
    // Schema order: DHCP comes last in IPv4, early in IPv6.
    let order = |path: &[&str]| -> Vec<String> {
        interfaces[0]
            .path(ns::TT, path)
            .unwrap()
            .elements()
            .map(|e| e.name().local.to_string())
            .collect()
    };
    assert_eq!(order(&["IPv4", "Config"]), ["Manual", "DHCP"]);
    assert_eq!(order(&["IPv6", "Config"]), ["DHCP", "Manual", "LinkLocal"]);

    // RH4-1, RH4-2, RH4-4, RH4-5.
    let hostname = world.get(tds("GetHostname")).await;
    assert_eq!(
        texts(hostname.child(ns::TDS, "HostnameInformation").unwrap(), ns::TT, "Name"),
        ["gatehouse"]
    );
    let dns = world.get(tds("GetDNS")).await;
    let dns = dns.child(ns::TDS, "DNSInformation").unwrap();
    assert_eq!(texts(dns, ns::TT, "SearchDomain"), ["site.example"]);
    let servers: Vec<String> = dns
        .children(ns::TT, "DNSManual")
        .map(|e| e.elements().map(|e| e.text().into_owned()).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(servers, ["IPv4 192.0.2.53", "IPv6 2001:db8::53"]);
    let protocols = world.get(tds("GetNetworkProtocols")).await;
    let protocols: Vec<String> = protocols
        .elements()
        .map(|e| e.elements().map(|e| e.text().into_owned()).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(protocols, ["HTTP true 8080", "HTTPS true 8443", "RTSP true 8554"]);
    let gateway = world.get(tds("GetNetworkDefaultGateway")).await;
    let gateway: Vec<String> = gateway
        .child(ns::TDS, "NetworkGateway")
        .unwrap()
        .elements()
        .map(|e| e.text().into_owned())
        .collect();
    assert_eq!(gateway, ["192.0.2.126", "2001:db8::1"]);
}

#[tokio::test]
async fn users_are_shown_without_passwords() {
    // RH5-6.
    let world = World::new().await;
    let answer = world.get(tds("GetUsers")).await;
    let users: Vec<(String, String)> = answer
        .children(ns::TDS, "User")
        .map(|u| (texts(u, ns::TT, "Username").concat(), texts(u, ns::TT, "UserLevel").concat()))
        .collect();
    let expect = |name: &str, level: &str| (name.to_owned(), level.to_owned());
    assert_eq!(
        users,
        [expect("admin", "Administrator"), expect("operator", "Operator"), expect("user", "User")]
    );
    assert!(!format!("{answer:?}").contains("pw"));
}

/// RH5-5: the answer comes first; whoever restarts the gateway is told once.
#[tokio::test]
async fn a_restart_is_asked_for_by_administrators() {
    let restart = Arc::new(tokio::sync::Notify::new());
    let asked = Some(Arc::clone(&restart));
    let change = |settings: Settings| Settings { restart: asked, ..settings };
    let world = World::with(Arc::new(MemoryControl::new()), true, change).await;
    for user in [None, Some("user"), Some("operator")] {
        assert_ne!(world.ask(user, tds("SystemReboot")).await.0, 200);
    }
    let told = restart.notified();
    tokio::pin!(told);
    assert!(futures::poll!(told.as_mut()).is_pending(), "nobody who may has asked");
    let answer = world.get(tds("SystemReboot")).await;
    assert!(!answer.child_text(ns::TDS, "Message").unwrap().is_empty());
    assert!(futures::poll!(told).is_ready());

    let fixed = World::new().await;
    let fault = fixed.fault(tds("SystemReboot")).await;
    assert_eq!(fault, "env:Receiver/ter:ActionNotSupported/ter:NotImplemented");
}
