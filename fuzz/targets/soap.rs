//! XML, SOAP envelopes, and the datagrams of WS-Discovery.

use std::time::Duration;

use dvrgate_auth::{Level, Secret, TextPasswords, TokenGate, TokenSettings, User, Users};
use dvrgate_device::discovery::{Question, Responder, Target, parse, scope};
use dvrgate_model::Utc;
use dvrgate_soap::{Element, Envelope, Limits, Simple, envelope};

/// A request as it comes over HTTP.
pub fn soap(data: &[u8]) {
    let tight = Limits { bytes: 4096, depth: 6, elements: 64, attributes: 8 };
    let read = Element::parse(data, &Limits::default());
    if Element::parse(data, &tight).is_ok() {
        assert!(read.is_ok(), "what fits into tight limits fits into wide ones");
    }
    if let Ok(element) = read {
        let again = Element::parse(
            element.to_xml().as_bytes(),
            &Limits {
                // Namespaces are declared at the root and blanks become references when written.
                bytes: usize::MAX,
                attributes: usize::MAX,
                ..Limits::default()
            },
        );
        assert_eq!(again.as_ref(), Ok(&element), "what is written reads back the same");
        let words = element.text();
        let _ = (element.resolve(&words), Utc::parse(&words), Duration::parse(&words));
    }
    let Ok(request) = Envelope::parse(data, &Limits::default()) else { return };
    if let Some(security) = &request.security {
        let _ = gate().verify(&security.token(), Utc::from_secs(1_700_000_000));
    }
    let reply = envelope::reply(&request.addressing, request.body.clone());
    assert!(
        Element::parse(
            reply.to_xml().as_bytes(),
            &Limits {
                bytes: usize::MAX,
                depth: usize::MAX,
                elements: usize::MAX,
                attributes: usize::MAX,
            }
        )
        .is_ok()
    );
}

fn gate() -> TokenGate {
    let user =
        User { name: "admin".into(), level: Level::Administrator, password: Secret::new("secret") };
    let settings = TokenSettings { text: TextPasswords::Accept, tokens: 4, ..Default::default() };
    TokenGate::new(Users::new(vec![user]).expect("one user is in bounds"), settings)
}

/// A datagram on the discovery port.
pub fn discovery(data: &[u8]) {
    let Some(request) = parse(data) else { return };
    let target = Target {
        endpoint: "urn:uuid:5b1f6a52-9b7c-4b2d-8f3a-0d2f1c1e9a01".into(),
        scopes: vec![scope::onvif("name", "Depot North"), scope::onvif("location", "yard/gate")],
        addresses: vec!["http://192.0.2.10:8080/onvif/device_service".into()],
        metadata_version: 1,
    };
    if let Question::Probe { scopes, rule: Some(rule), .. } = &request.question {
        let wanted: Vec<_> = scopes.iter().map(String::as_str).collect();
        rule.matches(&wanted, &target.scopes);
    }
    let from = std::net::SocketAddr::from(([192, 0, 2, 9], 40_000));
    let mut responder = Responder::new(Utc::from_secs(1_700_000_000));
    let answer = responder.ask(request.clone(), from, || Some(target.clone()));
    if let Some(answer) = answer {
        assert!(Element::parse(&answer.bytes, &Limits::default()).is_ok());
    }
    assert!(responder.ask(request, from, || Some(target)).is_none(), "a repeated question");
}
