//! SOAP faults (ONVIF Core 5.8.2) and the one mapping from the gateway's errors to them.

use std::fmt;
use std::time::Duration;

use dvrgate_model::{Error, ErrorKind, Fault as Party};
use http::StatusCode;

use crate::{Element, Name, Ns, ns};

/// A fault: code, up to two subcodes, and a reason for people.
#[derive(Clone, PartialEq)]
pub struct Fault(Box<Inner>);

#[derive(Clone, PartialEq)]
struct Inner {
    code: Code,
    subcodes: Vec<Name>,
    reason: String,
    detail: Option<Element>,
    header: Option<Element>,
    action: Option<&'static str>,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    soap_1_1: bool,
}

/// The code of SOAP 1.2 itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// The request is at fault.
    Sender,
    /// The gateway, or something behind it.
    Receiver,
    /// A header block that has to be understood was not.
    MustUnderstand,
    /// Not a SOAP 1.2 envelope.
    VersionMismatch,
}

impl Code {
    const fn word(self) -> &'static str {
        match self {
            Code::Sender => "Sender",
            Code::Receiver => "Receiver",
            Code::MustUnderstand => "MustUnderstand",
            Code::VersionMismatch => "VersionMismatch",
        }
    }
}

/// Making.
impl Fault {
    /// A fault without subcode.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            subcodes: Vec::new(),
            reason: reason.into(),
            detail: None,
            header: None,
            action: None,
            status: None,
            retry_after: None,
            soap_1_1: false,
        }))
    }

    /// `env:Sender` with a subcode of the `ter` namespace.
    pub fn sender(subcode: &'static str, reason: impl Into<String>) -> Self {
        Self::new(Code::Sender, reason).and(subcode)
    }

    /// `env:Receiver` with a subcode of the `ter` namespace.
    pub fn receiver(subcode: &'static str, reason: impl Into<String>) -> Self {
        Self::new(Code::Receiver, reason).and(subcode)
    }

    /// `env:Sender / ter:InvalidArgs`: an argument is missing or of the wrong type.
    pub fn invalid_args(reason: impl Into<String>) -> Self {
        Self::sender("InvalidArgs", reason)
    }

    /// `env:Sender / ter:InvalidArgVal / ter:…`: an argument has a value that cannot be.
    pub fn invalid_value(subcode: &'static str, reason: impl Into<String>) -> Self {
        Self::sender("InvalidArgVal", reason).and(subcode)
    }

    /// `env:Receiver / ter:ActionNotSupported / ter:NotImplemented`.
    pub fn not_supported(operation: &str) -> Self {
        Self::receiver("ActionNotSupported", format!("{operation} is not supported"))
            .and("NotImplemented")
    }

    /// `env:Sender / ter:NotAuthorized`.
    pub fn not_authorized(reason: impl Into<String>) -> Self {
        Self::sender("NotAuthorized", reason)
    }

    /// Adds a subcode of the `ter` namespace below those that are there.
    #[must_use]
    pub fn and(self, subcode: &'static str) -> Self {
        self.and_of(ns::TER, subcode)
    }

    /// Adds a subcode of any namespace.
    #[must_use]
    pub fn and_of(mut self, ns: impl Into<Ns>, subcode: &'static str) -> Self {
        self.0.subcodes.push(Name::new(ns, subcode));
        self
    }

    /// Not an envelope of this version. The header block says which one would be (SOAP 1.2 part 1,
    /// 5.4.7); who speaks SOAP 1.1 is told in SOAP 1.1, as appendix A of that part asks.
    pub(crate) fn version_mismatch(soap_1_1: bool) -> Self {
        let reason = match soap_1_1 {
            true => "SOAP 1.1 is not supported, SOAP 1.2 is",
            false => "not a SOAP 1.2 envelope",
        };
        let supported = Element::new(ns::ENV, "SupportedEnvelope")
            .with_attribute("qname", "env:Envelope")
            .declaring("env", ns::ENV);
        let mut fault = Self::new(Code::VersionMismatch, reason)
            .with_header(Element::new(ns::ENV, "Upgrade").with(supported));
        fault.0.soap_1_1 = soap_1_1;
        fault
    }

    /// Adds a child of `env:Detail`, for services whose faults define one.
    #[must_use]
    pub fn with_detail(mut self, detail: Element) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// Adds a header block, such as `env:NotUnderstood`.
    #[must_use]
    pub fn with_header(mut self, header: Element) -> Self {
        self.0.header = Some(header);
        self
    }

    /// The WS-Addressing action of the fault, where it is not the general one.
    #[must_use]
    pub fn with_action(mut self, action: &'static str) -> Self {
        self.0.action = Some(action);
        self
    }

    /// Answers with another HTTP status than the code asks for.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Says when asking again makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }
}

/// Reading and writing.
impl Fault {
    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The subcodes, outermost first, with their usual prefixes: `ter:InvalidArgVal`.
    pub fn subcodes(&self) -> Vec<String> {
        self.0.subcodes.iter().map(|n| format!("{}:{}", prefix(&n.ns), n.local)).collect()
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The WS-Addressing action.
    pub fn action(&self) -> &'static str {
        self.0.action.unwrap_or("http://www.w3.org/2005/08/addressing/soap/fault")
    }

    /// Whether it has to be told in a SOAP 1.1 envelope.
    pub(crate) fn is_soap_1_1(&self) -> bool {
        self.0.soap_1_1
    }

    /// The header block that goes with it.
    pub(crate) fn header(&self) -> Option<&Element> {
        self.0.header.as_ref()
    }

    /// Seconds for Retry-After.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// 400 for what the sender did, else 500 (SOAP 1.2 part 2, 7.5.2), unless told otherwise.
    pub fn status(&self) -> StatusCode {
        self.0.status.unwrap_or(match self.0.code {
            Code::Sender => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }

    /// The `env:Fault` element.
    pub fn to_element(&self) -> Element {
        // Innermost first: each subcode contains the next.
        let inner = self.0.subcodes.iter().rev().fold(None, |inner, name| {
            let prefix = prefix(&name.ns);
            let value = Element::of(ns::ENV, "Value", format!("{prefix}:{}", name.local))
                .declaring(prefix, name.ns.clone());
            Some(Element::new(ns::ENV, "Subcode").with(value).with_all(inner))
        });
        let value = Element::of(ns::ENV, "Value", format!("env:{}", self.0.code.word()));
        let reason = Element::of(ns::ENV, "Text", self.0.reason.clone()).with_attribute_ns(
            ns::XML,
            "lang",
            "en",
        );
        Element::new(ns::ENV, "Fault")
            .with(Element::new(ns::ENV, "Code").with(value).with_all(inner))
            .with(Element::new(ns::ENV, "Reason").with(reason))
            .with_all(self.0.detail.clone().map(|d| Element::new(ns::ENV, "Detail").with(d)))
    }
}

/// SOAP 1.1, 4.4: for the one fault that is told in it.
pub(crate) fn to_element_1_1(fault: &Fault) -> Element {
    let code = format!("env11:{}", fault.code().word());
    Element::new(ns::ENV_1_1, "Fault")
        .with(Element::new("", "faultcode").declaring("env11", ns::ENV_1_1).with_text(code))
        .with(Element::new("", "faultstring").with_text(fault.reason()))
}

fn prefix(ns: &str) -> &'static str {
    ns::prefix_of(ns).unwrap_or("sub")
}

/// `env:Sender/ter:InvalidArgVal/ter:NoRecording: reason`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "env:{}", self.0.code.word())?;
        self.subcodes().iter().try_for_each(|s| write!(f, "/{s}"))?;
        write!(f, ": {}", self.0.reason)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Fault {}

/// The fault for an error of the gateway during an operation. Services map the errors that their
/// specification names themselves, with [`Fault::invalid_value`], before they come here.
///
/// What went wrong inside stays inside (Core 5.8.2.4): only errors that are the client's doing show
/// their message.
pub fn of(error: &Error, operation: &str) -> Fault {
    use ErrorKind::*;
    let own = error.message();
    match error.kind() {
        InvalidArgument | NotFound => Fault::sender("InvalidArgVal", own),
        Unauthenticated | PermissionDenied if error.fault() == Party::Client => {
            Fault::not_authorized(own)
        }
        Unauthenticated | PermissionDenied => {
            Fault::receiver("Action", format!("{operation} failed: the recorder refuses access"))
        }
        Unsupported | NotImplemented => Fault::not_supported(operation),
        Conflict => Fault::sender("OperationProhibited", own),
        LimitExceeded if error.fault() == Party::Client => Fault::sender("InvalidArgVal", own),
        LimitExceeded => {
            Fault::receiver("Action", format!("{operation} failed: a limit was reached"))
        }
        Busy | RateLimited => {
            Fault::receiver("Action", format!("{operation} failed: all sessions are in use"))
        }
        Unreachable => {
            Fault::receiver("Action", format!("{operation} failed: the recorder cannot be reached"))
        }
        Timeout => {
            Fault::receiver("Action", format!("{operation} failed: the recorder does not answer"))
        }
        Malformed | Damaged => Fault::receiver(
            "Action",
            format!("{operation} failed: the recorder's answer is unusable"),
        ),
        Cancelled => Fault::receiver("Action", format!("{operation} was cancelled")),
        Internal => Fault::receiver("Action", format!("{operation} failed")),
    }
}

impl From<crate::XmlError> for Fault {
    fn from(e: crate::XmlError) -> Self {
        use crate::XmlErrorKind::*;
        let subcode = match e.kind {
            Encoding | Syntax(_) | Incomplete | Forbidden(_) => "WellFormed",
            Namespace(_) => "Namespace",
            Limit(_) => "InvalidArgs",
        };
        Fault::sender(subcode, e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn codes_are_nested() {
        let fault = Fault::invalid_value("NoRecording", "no recording \"x\" <here>");
        let element = fault.to_element();
        let read = Element::parse(element.to_xml().as_bytes(), &Limits::default()).unwrap();
        let code = read.child(ns::ENV, "Code").unwrap();
        let qname =
            |e: &Element| e.child(ns::ENV, "Value").map(|v| v.resolve(&v.text()).unwrap()).unwrap();
        assert_eq!(qname(code), Name::new(ns::ENV, "Sender"));
        let sub = code.child(ns::ENV, "Subcode").unwrap();
        assert_eq!(qname(sub), Name::new(ns::TER, "InvalidArgVal"));
        let sub = sub.child(ns::ENV, "Subcode").unwrap();
        assert_eq!(qname(sub), Name::new(ns::TER, "NoRecording"));
        let text = read.path(ns::ENV, &["Reason", "Text"]).unwrap();
        assert_eq!(text.text(), "no recording \"x\" <here>");
        assert_eq!(text.attribute_ns(ns::XML, "lang"), Some("en"));
        assert_eq!(
            fault.to_string(),
            "env:Sender/ter:InvalidArgVal/ter:NoRecording: no recording \"x\" <here>"
        );
    }

    /// RH1-3: 400 for the sender, 500 for the receiver.
    #[test]
    fn every_kind_of_error_has_its_fault() {
        use ErrorKind::*;
        for (kind, code, subcode) in [
            (InvalidArgument, Code::Sender, "ter:InvalidArgVal"),
            (NotFound, Code::Sender, "ter:InvalidArgVal"),
            (Unauthenticated, Code::Receiver, "ter:Action"),
            (PermissionDenied, Code::Receiver, "ter:Action"),
            (Unsupported, Code::Receiver, "ter:ActionNotSupported"),
            (NotImplemented, Code::Receiver, "ter:ActionNotSupported"),
            (Busy, Code::Receiver, "ter:Action"),
            (RateLimited, Code::Receiver, "ter:Action"),
            (Unreachable, Code::Receiver, "ter:Action"),
            (Timeout, Code::Receiver, "ter:Action"),
            (Malformed, Code::Receiver, "ter:Action"),
            (Damaged, Code::Receiver, "ter:Action"),
            (LimitExceeded, Code::Receiver, "ter:Action"),
            (Conflict, Code::Sender, "ter:OperationProhibited"),
            (Cancelled, Code::Receiver, "ter:Action"),
            (Internal, Code::Receiver, "ter:Action"),
        ] {
            let fault = of(&Error::new(kind, "secret words"), "GetX");
            assert_eq!((fault.code(), fault.subcodes()[0].as_str()), (code, subcode), "{kind:?}");
            let status = if code == Code::Sender { 400 } else { 500 };
            assert_eq!(fault.status(), status, "{kind:?}");
            if code == Code::Receiver {
                assert!(!fault.reason().contains("secret"), "{kind:?} tells too much");
            }
        }
        let own = Error::new(PermissionDenied, "not yours").with_fault(Party::Client);
        assert_eq!(of(&own, "GetX"), Fault::not_authorized("not yours"));
    }
}
