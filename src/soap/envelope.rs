//! The SOAP 1.2 envelope with the header blocks that are understood: WS-Addressing and WS-Security.

use crate::security::Security;
use crate::{Code, Element, Fault, Limits, fault, ns};

/// A request, taken apart.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The child of the body. It decides the operation, never the action.
    pub body: Element,
    /// WS-Addressing blocks.
    pub addressing: Addressing,
    /// Credentials of WS-Security.
    pub security: Option<Security>,
}

/// WS-Addressing blocks, of either version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addressing {
    /// `wsa:Action`.
    pub action: Option<String>,
    /// `wsa:To`.
    pub to: Option<String>,
    /// `wsa:MessageID`.
    pub message_id: Option<String>,
    /// Address of `wsa:ReplyTo`.
    pub reply_to: Option<String>,
    /// Header blocks of other namespaces: reference parameters that a client returns.
    pub others: Vec<Element>,
}

impl Envelope {
    /// Reads a request.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Fault> {
        Self::from_element(&Element::parse(bytes, limits)?)
    }

    /// The same from a tree.
    pub fn from_element(root: &Element) -> Result<Self, Fault> {
        if !root.is(ns::ENV, "Envelope") {
            return Err(Fault::version_mismatch(root.name().ns == ns::ENV_1_1));
        }
        let mut addressing = Addressing::default();
        let mut security = None;
        for block in root.child(ns::ENV, "Header").into_iter().flat_map(Element::elements) {
            if !for_us(block) {
                continue;
            }
            let name = block.name();
            if name.ns == ns::WSA || name.ns == ns::WSADIS {
                addressing.take(block);
            } else if name.is(ns::WSSE, "Security") {
                // Unreadable credentials count as none, so that operations without log-in work.
                security = security.or_else(|| Security::read(block));
            } else if must_understand(block) {
                let qname = format!("b:{}", name.local);
                let block = Element::new(ns::ENV, "NotUnderstood")
                    .with_attribute("qname", qname)
                    .declaring("b", name.ns.clone());
                return Err(Fault::new(
                    Code::MustUnderstand,
                    format!("header block {name} is not understood"),
                )
                .with_header(block));
            } else if addressing.others.len() < MAX_OTHER_BLOCKS {
                addressing.others.push(block.clone());
            }
        }
        let body = root
            .child(ns::ENV, "Body")
            .ok_or_else(|| Fault::sender("Tag", "the envelope has no body"))?
            .elements()
            .next()
            .ok_or_else(|| Fault::sender("Tag", "the body is empty"))?
            .clone();
        Ok(Self { body, addressing, security })
    }
}

impl Addressing {
    fn take(&mut self, block: &Element) {
        let text = || Some(block.text().into_owned());
        match &*block.name().local {
            "Action" => self.action = text(),
            "To" => self.to = text(),
            "MessageID" => self.message_id = text(),
            "ReplyTo" => {
                self.reply_to = block.child_text(&block.name().ns, "Address").map(Into::into);
            }
            _ => {}
        }
    }

    /// The blocks of an answer, if the request wants any: what it relates to, and its action.
    fn answer(&self, action: &str) -> Vec<Element> {
        let Some(id) = &self.message_id else { return Vec::new() };
        vec![
            Element::of(ns::WSA, "Action", action).with_attribute_ns(
                ns::ENV,
                "mustUnderstand",
                "1",
            ),
            Element::of(ns::WSA, "RelatesTo", id.clone()),
        ]
    }
}

/// The envelope around an answer.
pub fn reply(to: &Addressing, body: Element) -> Element {
    let action = to.action.as_ref().map_or_else(
        || format!("{}/{}", body.name().ns, body.name().local),
        |action| format!("{}Response", action.trim_end_matches("Request")),
    );
    envelope(to.answer(&action), body)
}

/// The envelope around a fault.
pub fn fault(to: &Addressing, fault: &Fault) -> Element {
    let mut header = to.answer(fault.action());
    header.extend(fault.header().cloned());
    if fault.is_soap_1_1() {
        let part = |local: &'static str| Element::new(ns::ENV_1_1, local);
        return part("Envelope")
            .with(part("Header").with_all(header))
            .with(part("Body").with(fault::to_element_1_1(fault)));
    }
    envelope(header, fault.to_element())
}

/// An envelope; without a header element if there are no blocks.
pub fn envelope(header: Vec<Element>, body: Element) -> Element {
    let header = (!header.is_empty()).then(|| Element::new(ns::ENV, "Header").with_all(header));
    Element::new(ns::ENV, "Envelope")
        .with_all(header)
        .with(Element::new(ns::ENV, "Body").with(body))
}

fn must_understand(block: &Element) -> bool {
    matches!(block.attribute_ns(ns::ENV, "mustUnderstand").map(str::trim), Some("1" | "true"))
}

/// Blocks for another role are not ours to judge (SOAP 1.2 part 1, 2.2).
fn for_us(block: &Element) -> bool {
    let role = block.attribute_ns(ns::ENV, "role").map(str::trim).unwrap_or_default();
    role.is_empty() || role.ends_with("/role/next") || role.ends_with("/role/ultimateReceiver")
}

/// How many reference parameters are kept.
const MAX_OTHER_BLOCKS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str, body: &str) -> Result<Envelope, Fault> {
        let text = format!(
            "<s:Envelope xmlns:s='{}' xmlns:a='{}' xmlns:tds='{}'>{header}{body}</s:Envelope>",
            ns::ENV,
            ns::WSA,
            ns::TDS
        );
        Envelope::parse(text.as_bytes(), &Limits::default())
    }

    const BODY: &str = "<s:Body><tds:GetHostname/></s:Body>";

    #[test]
    fn the_body_and_what_surrounds_it() {
        let header = "<s:Header><a:Action s:mustUnderstand='1'> urn:x/GetHostnameRequest </a:Action>\
            <a:MessageID>urn:uuid:1</a:MessageID><a:To>http://h/</a:To>\
            <a:ReplyTo><a:Address>http://r/</a:Address></a:ReplyTo>\
            <x:Sub xmlns:x='urn:sub'>7</x:Sub></s:Header>";
        let e = parse(header, BODY).unwrap();
        assert!(e.body.is(ns::TDS, "GetHostname"));
        assert_eq!(e.addressing.to.as_deref(), Some("http://h/"));
        assert_eq!(e.addressing.reply_to.as_deref(), Some("http://r/"));
        assert_eq!(e.addressing.others[0].text(), "7");

        let answer = reply(&e.addressing, Element::new(ns::TDS, "GetHostnameResponse"));
        let header = answer.child(ns::ENV, "Header").unwrap();
        assert_eq!(header.child(ns::WSA, "Action").unwrap().text(), "urn:x/GetHostnameResponse");
        assert_eq!(header.child(ns::WSA, "RelatesTo").unwrap().text(), "urn:uuid:1");
        assert!(
            answer
                .path(ns::ENV, &["Body"])
                .unwrap()
                .child(ns::TDS, "GetHostnameResponse")
                .is_some()
        );

        let plain = reply(&parse("", BODY).unwrap().addressing, Element::new(ns::TDS, "X"));
        assert!(plain.child(ns::ENV, "Header").is_none());
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_refused() {
        let block = |extra: &str| format!("<s:Header><x:T xmlns:x='urn:t' {extra}/></s:Header>");
        for (extra, refused) in [
            ("", false),
            ("s:mustUnderstand='0'", false),
            ("s:mustUnderstand='1'", true),
            ("s:mustUnderstand='true'", true),
            ("mustUnderstand='1'", false),
            ("s:mustUnderstand='1' s:role='urn:somebody-else'", false),
            (
                "s:mustUnderstand='1' s:role='http://www.w3.org/2003/05/soap-envelope/role/next'",
                true,
            ),
        ] {
            let result = parse(&block(extra), BODY);
            assert_eq!(result.is_err(), refused, "{extra}");
            if let Err(f) = result {
                assert_eq!(f.code(), Code::MustUnderstand);
                let header = fault(&Addressing::default(), &f);
                let not = header.path(ns::ENV, &["Header", "NotUnderstood"]).unwrap();
                assert_eq!(not.attribute("qname"), Some("b:T"));
                assert_eq!(not.namespace("b"), Some("urn:t"));
            }
        }
        let security = format!(
            "<s:Header><w:Security xmlns:w='{}' s:mustUnderstand='1'/></s:Header>",
            ns::WSSE
        );
        assert!(parse(&security, BODY).is_ok(), "WS-Security is understood");
    }

    #[test]
    fn what_is_not_an_envelope_is_refused() {
        let code = |text: &str| {
            let fault = Envelope::parse(text.as_bytes(), &Limits::default()).unwrap_err();
            (fault.code(), fault.subcodes().first().cloned().unwrap_or_default())
        };
        let version = (Code::VersionMismatch, String::new());
        assert_eq!(code("<a/>"), version);
        assert_eq!(code(&format!("<Envelope xmlns='{}'/>", ns::ENV_1_1)), version);
        let sender = |sub: &str| (Code::Sender, sub.to_owned());
        assert_eq!(code("<a"), sender("ter:WellFormed"));
        assert_eq!(code("<x:a/>"), sender("ter:Namespace"));
        assert_eq!(code(&format!("<Envelope xmlns='{}'/>", ns::ENV)), sender("ter:Tag"));
        assert_eq!(
            code(&format!("<Envelope xmlns='{}'><Body/></Envelope>", ns::ENV)),
            sender("ter:Tag")
        );
    }
}
