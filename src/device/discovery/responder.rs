//! The target service of WS-Discovery as an engine: questions in, delayed answers out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use dvrgate_model::Utc;
use dvrgate_soap::{Name, ns};
use rand::Rng as _;
use uuid::Uuid;

use super::message::{self, Head, Question, Request, Target};

/// The types of the gateway. Core 7.3.2.1 asks for the first. The second is what nearly all client
/// software probes for; it fits, as the gateway transmits video over the network.
pub const TYPES: &[(&str, &str)] = &[(ns::TDS, "Device"), (ns::DN, "NetworkVideoTransmitter")];

/// Answers probes.
#[derive(Debug)]
pub struct Responder {
    instance: u64,
    sent: u64,
    recent: VecDeque<(SocketAddr, String)>,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Where to.
    pub to: SocketAddr,
    /// How long to wait first: a random time, so that the devices of a network do not all answer at
    /// once (WS-Discovery 2.4).
    pub after: Duration,
    /// What.
    pub bytes: Vec<u8>,
}

impl Responder {
    /// `started` numbers this run of the program.
    pub fn new(started: Utc) -> Self {
        let instance = u64::try_from(started.micros() / 1_000_000).unwrap_or_default();
        Self { instance, sent: 0, recent: VecDeque::with_capacity(REMEMBERED) }
    }

    /// Takes a question from a client. `target` is asked for only if the question is new and readable;
    /// it returns `None` while the gateway must not be found.
    pub fn ask(
        &mut self,
        request: Request,
        from: SocketAddr,
        target: impl FnOnce() -> Option<Target>,
    ) -> Option<Answer> {
        let key = (from, request.id.clone());
        // Questions are sent several times, as UDP loses some, and arrive on several interfaces.
        if self.recent.contains(&key) {
            return None;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(key);
        let target = target().filter(|target| is_meant(&request.question, target))?;
        let head = self.head(Some(request.id));
        let bytes = message::matches(&head, &target, &request.question);
        let after = rand::rng().random_range(Duration::ZERO..MAX_DELAY);
        Some(Answer { to: from, after, bytes })
    }

    /// An announcement of the target, or of a change.
    pub fn hello(&mut self, target: &Target) -> Vec<u8> {
        message::hello(&self.head(None), target)
    }

    /// The farewell.
    pub fn bye(&mut self, target: &Target) -> Vec<u8> {
        message::bye(&self.head(None), target)
    }

    fn head(&mut self, relates_to: Option<String>) -> Head {
        self.sent += 1;
        Head {
            id: Uuid::new_v4().urn().to_string(),
            relates_to,
            sequence: (self.instance, self.sent),
        }
    }
}

/// Whether the target is one of those that are looked for.
fn is_meant(question: &Question, target: &Target) -> bool {
    match question {
        Question::Probe { types, scopes, rule } => {
            let has = |t: &Name| TYPES.iter().any(|(ns, local)| t.is(ns, local));
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            types.iter().all(has) && rule.is_some_and(|r| r.matches(&scopes, &target.scopes))
        }
        Question::Resolve { endpoint } => endpoint.eq_ignore_ascii_case(&target.endpoint),
    }
}

/// How many questions are remembered in order not to answer twice.
const REMEMBERED: usize = 256;

/// APP_MAX_DELAY of the protocol.
const MAX_DELAY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod unit {
    use dvrgate_soap::{Element, Limits};

    use super::*;

    fn probe(id: &str, inside: &str) -> Vec<u8> {
        format!(
            "<s:Envelope xmlns:s='{}' xmlns:a='{}' xmlns:d='{}' xmlns:dn='{}' xmlns:tds='{}'>\
             <s:Header><a:MessageID>{id}</a:MessageID><a:To s:mustUnderstand='1'>urn:x</a:To>\
             <a:Action s:mustUnderstand='1'>urn:y</a:Action></s:Header>\
             <s:Body>{inside}</s:Body></s:Envelope>",
            ns::ENV,
            ns::WSADIS,
            ns::D,
            ns::DN,
            ns::TDS
        )
        .into_bytes()
    }

    fn target() -> Target {
        Target {
            endpoint: "urn:uuid:11111111-2222-3333-4444-555555555555".to_owned(),
            scopes: vec![
                "onvif://www.onvif.org/Profile/G".into(),
                "onvif://www.onvif.org/name/x".into(),
            ],
            addresses: vec!["http://192.0.2.1/onvif/device_service".into()],
            metadata_version: 7,
        }
    }

    fn from() -> SocketAddr {
        "192.0.2.9:40000".parse().unwrap()
    }

    fn ask(responder: &mut Responder, datagram: &[u8]) -> Option<Answer> {
        responder.ask(message::parse(datagram)?, from(), || Some(target()))
    }

    #[test]
    fn probes_are_answered_when_types_and_scopes_fit() {
        // RH6-2, RH6-6, RH6-7, RH6-8.
        let mut responder = Responder::new(Utc::from_secs(1000));
        for (i, (inside, answered)) in [
            ("<d:Probe/>", true),
            ("<d:Probe><d:Types/><d:Scopes/></d:Probe>", true),
            ("<d:Probe><d:Types>tds:Device</d:Types></d:Probe>", true),
            ("<d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe>", true),
            ("<d:Probe><d:Types>tds:Device dn:NetworkVideoTransmitter</d:Types></d:Probe>", true),
            ("<d:Probe><d:Types>tds:Device tds:Printer</d:Types></d:Probe>", false),
            ("<d:Probe><d:Types>dn:Device</d:Types></d:Probe>", false),
            ("<d:Probe><d:Types>unbound:Device</d:Types></d:Probe>", false),
            ("<d:Probe><d:Scopes>onvif://www.onvif.org/Profile</d:Scopes></d:Probe>", true),
            ("<d:Probe><d:Scopes>onvif://www.onvif.org/Profile/S</d:Scopes></d:Probe>", false),
            ("<d:Probe><d:Scopes MatchBy='urn:no-such-rule'>a:b</d:Scopes></d:Probe>", false),
            ("<d:Hello/>", false),
            ("<Probe/>", false),
        ]
        .into_iter()
        .enumerate()
        {
            let answer = ask(&mut responder, &probe(&format!("urn:uuid:{i}"), inside));
            assert_eq!(answer.is_some(), answered, "{inside}");
        }
    }

    #[test]
    fn an_answer_says_what_it_relates_to_and_where_the_service_is() {
        let mut responder = Responder::new(Utc::from_secs(1000));
        let answer = ask(&mut responder, &probe("urn:uuid:q", "<d:Probe/>")).unwrap();
        assert_eq!(answer.to, from());
        assert!(answer.after < MAX_DELAY);
        let read = Element::parse(&answer.bytes, &Limits::default()).unwrap();
        let header = read.child(ns::ENV, "Header").unwrap();
        let header_text = |local: &str| header.child_text(ns::WSADIS, local).unwrap().into_owned();
        assert_eq!(header_text("RelatesTo"), "urn:uuid:q");
        assert_eq!(
            header_text("Action"),
            "http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches"
        );
        let sequence = header.child(ns::D, "AppSequence").unwrap();
        assert_eq!(sequence.attribute("InstanceId"), Some("1000"));
        assert_eq!(sequence.attribute("MessageNumber"), Some("1"));
        let body = read.child(ns::ENV, "Body").unwrap();
        let found = body.path(ns::D, &["ProbeMatches", "ProbeMatch"]).unwrap();
        let types = found.child(ns::D, "Types").unwrap();
        let names: Vec<_> = types.text().split(' ').map(|t| types.resolve(t).unwrap()).collect();
        assert_eq!(
            names,
            [Name::new(ns::TDS, "Device"), Name::new(ns::DN, "NetworkVideoTransmitter")]
        );
        assert_eq!(found.child_text(ns::D, "XAddrs").unwrap(), target().addresses[0]);
        assert_eq!(found.child_text(ns::D, "MetadataVersion").unwrap(), "7");
        let order: Vec<_> = found.elements().map(|e| e.name().local.to_string()).collect();
        assert_eq!(order, ["EndpointReference", "Types", "Scopes", "XAddrs", "MetadataVersion"]);
    }

    #[test]
    fn the_same_question_is_answered_once() {
        let mut responder = Responder::new(Utc::from_secs(1000));
        let question = probe("urn:uuid:q", "<d:Probe/>");
        assert!(ask(&mut responder, &question).is_some());
        assert!(ask(&mut responder, &question).is_none());
        for i in 0..REMEMBERED {
            ask(&mut responder, &probe(&format!("urn:uuid:{i}"), "<d:Probe/>"));
        }
        assert_eq!(responder.recent.len(), REMEMBERED);
        let hidden = message::parse(&probe("urn:uuid:h", "<d:Probe/>")).unwrap();
        assert!(responder.ask(hidden, from(), || None).is_none(), "not discoverable");
    }

    #[test]
    fn endpoints_are_resolved() {
        let mut responder = Responder::new(Utc::from_secs(1000));
        let resolve = |address: &str| {
            format!(
                "<d:Resolve><a:EndpointReference><a:Address>{address}</a:Address></a:EndpointReference></d:Resolve>"
            )
        };
        let right = probe("urn:1", &resolve(&target().endpoint));
        let answer = ask(&mut responder, &right).unwrap();
        assert!(String::from_utf8(answer.bytes).unwrap().contains("ResolveMatch>"));
        assert!(ask(&mut responder, &probe("urn:2", &resolve("urn:uuid:other"))).is_none());
        assert!(ask(&mut responder, &probe("urn:3", "<d:Resolve/>")).is_none());
    }

    #[test]
    fn announcements_can_be_read() {
        let mut responder = Responder::new(Utc::from_secs(1000));
        for (bytes, local) in
            [(responder.hello(&target()), "Hello"), (responder.bye(&target()), "Bye")]
        {
            let read = Element::parse(&bytes, &Limits::default()).unwrap();
            let body = read.child(ns::ENV, "Body").unwrap();
            let reference =
                body.child(ns::D, local).unwrap().child(ns::WSADIS, "EndpointReference");
            assert_eq!(reference.unwrap().text(), "");
            assert!(reference.unwrap().child(ns::WSADIS, "Address").is_some());
        }
    }

    #[test]
    fn every_prefix_of_a_question_is_ignored() {
        let question = probe("urn:uuid:q", "<d:Probe><d:Types>tds:Device</d:Types></d:Probe>");
        for end in 0..question.len() {
            assert_eq!(message::parse(&question[..end]), None, "cut at {end}");
        }
        assert!(message::parse(&question).is_some());
        let mut long = question.clone();
        long.extend(vec![b' '; message::MAX_DATAGRAM_BYTES]);
        assert_eq!(message::parse(&long), None);
    }
}
