//! The messages of WS-Discovery, read and written.

use dvrgate_soap::envelope::envelope;
use dvrgate_soap::{Element, Envelope, Limits, Name, ns};

use super::scope::Rule;

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `wsadis:MessageID`, which the answer relates to.
    pub id: String,
    /// The question.
    pub question: Question,
}

/// The two questions of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Who is of all these types and in all these scopes?
    Probe {
        /// Types, resolved.
        types: Vec<Name>,
        /// Scopes.
        scopes: Vec<String>,
        /// How to compare scopes; `None` for a rule that is not known here.
        rule: Option<Rule>,
    },
    /// Where is this endpoint?
    Resolve {
        /// Its address.
        endpoint: String,
    },
}

/// What is told about the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `urn:uuid:…`.
    pub endpoint: String,
    /// Scopes.
    pub scopes: Vec<String>,
    /// Addresses of the device service.
    pub addresses: Vec<String>,
    /// Rises with every change of the above.
    pub metadata_version: u32,
}

/// The header of an outgoing message.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) relates_to: Option<String>,
    /// Rises with every start of the program, and with every message of it.
    pub(crate) sequence: (u64, u64),
}

/// Reads a datagram. `None` for what is not a question to a target: errors in multicast messages are
/// ignored in silence (ONVIF Core 7.3.6).
pub fn parse(datagram: &[u8]) -> Option<Request> {
    let limits = Limits { bytes: MAX_DATAGRAM_BYTES, depth: 12, elements: 128, attributes: 32 };
    let envelope = Envelope::parse(datagram, &limits).ok()?;
    let id =
        envelope.addressing.message_id.filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES)?;
    let body = &envelope.body;
    let question = if body.is(ns::D, "Probe") {
        let types = match body.child(ns::D, "Types") {
            // A prefix that is not bound names a type that nobody has.
            Some(types) => {
                let words = types.text();
                words.split_whitespace().map(|t| types.resolve(t)).collect::<Option<Vec<_>>>()?
            }
            None => Vec::new(),
        };
        let scopes = body.child(ns::D, "Scopes");
        let rule = Rule::read(scopes.and_then(|s| s.attribute("MatchBy")));
        let words = |e: &Element| e.text().split_whitespace().map(str::to_owned).collect();
        Question::Probe { types, scopes: scopes.map(words).unwrap_or_default(), rule }
    } else if body.is(ns::D, "Resolve") {
        let reference = body.child(ns::WSADIS, "EndpointReference")?;
        let endpoint = reference.child_text(ns::WSADIS, "Address")?.into_owned();
        Question::Resolve { endpoint }
    } else {
        return None;
    };
    Some(Request { id, question })
}

/// The answer to a Probe.
pub(crate) fn matches(head: &Head, target: &Target, question: &Question) -> Vec<u8> {
    match question {
        Question::Probe { .. } => probe_matches(head, target),
        Question::Resolve { .. } => resolve_matches(head, target),
    }
}

/// ProbeMatches with one match.
pub(crate) fn probe_matches(head: &Head, target: &Target) -> Vec<u8> {
    let body = Element::new(ns::D, "ProbeMatches").with(described("ProbeMatch", target));
    message(head, "ProbeMatches", ANONYMOUS, body)
}

/// ResolveMatches with one match.
pub(crate) fn resolve_matches(head: &Head, target: &Target) -> Vec<u8> {
    let body = Element::new(ns::D, "ResolveMatches").with(described("ResolveMatch", target));
    message(head, "ResolveMatches", ANONYMOUS, body)
}

/// Hello: the target is there, or has changed.
pub(crate) fn hello(head: &Head, target: &Target) -> Vec<u8> {
    message(head, "Hello", EVERYBODY, described("Hello", target))
}

/// Bye: the target goes.
pub(crate) fn bye(head: &Head, target: &Target) -> Vec<u8> {
    let body = Element::new(ns::D, "Bye").with(reference(&target.endpoint));
    message(head, "Bye", EVERYBODY, body)
}

fn described(local: &'static str, target: &Target) -> Element {
    let types = super::TYPES
        .iter()
        .map(|(ns, local)| format!("{}:{local}", ns::prefix_of(ns).unwrap_or_default()));
    let types = Element::of(ns::D, "Types", types.collect::<Vec<_>>().join(" "))
        .declaring("tds", ns::TDS)
        .declaring("dn", ns::DN);
    Element::new(ns::D, local)
        .with(reference(&target.endpoint))
        .with(types)
        .with_value("Scopes", target.scopes.join(" "))
        .with_value("XAddrs", target.addresses.join(" "))
        .with_value("MetadataVersion", target.metadata_version.to_string())
}

fn reference(endpoint: &str) -> Element {
    Element::new(ns::WSADIS, "EndpointReference").with_value("Address", endpoint)
}

fn message(head: &Head, action: &str, to: &str, body: Element) -> Vec<u8> {
    let (instance, number) = head.sequence;
    let block = |local: &'static str, text: String| Element::of(ns::WSADIS, local, text);
    let mut header = vec![
        block("MessageID", head.id.clone()),
        block("To", to.to_owned()),
        block("Action", format!("{}/{action}", ns::D)),
    ];
    header.extend(head.relates_to.clone().map(|id| block("RelatesTo", id)));
    header.push(
        Element::new(ns::D, "AppSequence")
            .with_attribute("InstanceId", instance.to_string())
            .with_attribute("MessageNumber", number.to_string()),
    );
    envelope(header, body).to_xml().into_bytes()
}

/// Where answers go: back to who asked.
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
/// Where announcements go.
const EVERYBODY: &str = "urn:schemas-xmlsoap-org:ws:2005:04:discovery";

/// Longest datagram that is read.
pub(crate) const MAX_DATAGRAM_BYTES: usize = 8192;
/// Longest message id: it goes into the answer, which must not get much longer than the question.
const MAX_ID_BYTES: usize = 256;
