//! Reads untrusted XML within limits: no document type, no entities but the five, and bounds on
//! size, depth, elements, attributes and namespaces.

use std::fmt;
use std::sync::Arc;

use quick_xml::NsReader;
use quick_xml::XmlVersion::Implicit1_0;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{QName, ResolveResult};

use super::{Element, Name, Node, Ns, Scope, XML_BLANKS, is_xml_char};
use crate::ns;

/// How much is read before giving up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of the document.
    pub bytes: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
}

impl Default for Limits {
    /// Generous for any request of the services here.
    fn default() -> Self {
        Self { bytes: 256 * 1024, depth: 32, elements: 8192, attributes: 64 }
    }
}

/// Why a document could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct XmlError {
    /// What is wrong.
    pub kind: XmlErrorKind,
    /// Where, in bytes from the start.
    pub at: u64,
}

/// What is wrong with a document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum XmlErrorKind {
    /// Not UTF-8.
    Encoding,
    /// Not well-formed.
    Syntax(String),
    /// Ends too early.
    Incomplete,
    /// A document type or an entity of its own.
    Forbidden(&'static str),
    /// A prefix that is not bound, or a binding that is not allowed.
    Namespace(String),
    /// One of [`Limits`] was reached.
    Limit(&'static str),
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            XmlErrorKind::Encoding => f.write_str("not UTF-8")?,
            XmlErrorKind::Syntax(what) => f.write_str(what)?,
            XmlErrorKind::Incomplete => f.write_str("the document ends too early")?,
            XmlErrorKind::Forbidden(what) => write!(f, "{what} is not allowed")?,
            XmlErrorKind::Namespace(what) => f.write_str(what)?,
            XmlErrorKind::Limit(what) => write!(f, "too many or too much: {what}")?,
        }
        write!(f, " (at byte {})", self.at)
    }
}

impl std::error::Error for XmlError {}

pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Element, XmlError> {
    let fail = |kind| XmlError { kind, at: 0 };
    if bytes.len() > limits.bytes {
        return Err(fail(XmlErrorKind::Limit("bytes")));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| XmlError { kind: XmlErrorKind::Encoding, at: e.valid_up_to() as u64 })?;
    let mut reader = NsReader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    reader.config_mut().check_comments = false;
    reader.resolver_mut().set_max_namespace_bindings(MAX_BINDINGS);

    let mut tree = Tree { limits, open: Vec::new(), root: None, elements: 0 };
    loop {
        let step = match reader.read_event() {
            Ok(event) => tree.take(event, &reader),
            Err(e) => Err(kind_of(e)),
        };
        match step {
            Ok(false) => {}
            Ok(true) => break,
            Err(kind) => return Err(XmlError { kind, at: reader.buffer_position() }),
        }
    }
    tree.root
        .filter(|_| tree.open.is_empty())
        .ok_or(XmlError { kind: XmlErrorKind::Incomplete, at: bytes.len() as u64 })
}

struct Tree<'l> {
    limits: &'l Limits,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree<'_> {
    /// `true` at the end.
    fn take(&mut self, event: Event<'_>, reader: &NsReader<&[u8]>) -> Result<bool, XmlErrorKind> {
        match event {
            Event::Start(start) => {
                let element = self.start(&start, reader)?;
                self.open.push(element);
                if self.open.len() > self.limits.depth {
                    return Err(XmlErrorKind::Limit("depth"));
                }
            }
            Event::Empty(start) => {
                let element = self.start(&start, reader)?;
                self.close(element)?;
            }
            Event::End(_) => {
                let element =
                    self.open.pop().ok_or_else(|| syntax("an end tag without a start"))?;
                self.close(element)?;
            }
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(entity) => {
                let c = match entity.resolve_char_ref().map_err(kind_of)? {
                    Some(c) => c,
                    None => match &*entity {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "apos" => '\'',
                        "quot" => '"',
                        _ => return Err(XmlErrorKind::Forbidden("an entity")),
                    },
                };
                self.text(c.encode_utf8(&mut [0; 4]))?;
            }
            Event::DocType(_) => return Err(XmlErrorKind::Forbidden("a document type")),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
            Event::Eof => return Ok(true),
        }
        Ok(false)
    }

    fn start(
        &mut self,
        start: &BytesStart<'_>,
        reader: &NsReader<&[u8]>,
    ) -> Result<Element, XmlErrorKind> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(XmlErrorKind::Limit("elements"));
        }
        if self.root.is_some() {
            return Err(syntax("a second root element"));
        }
        let resolver = reader.resolver();
        let (ns, local) = resolver.resolve_element(start.name());
        let mut element = Element::new(bound(ns)?, name(local.into_inner())?);
        let mut own = Vec::new();
        for (i, attribute) in start.attributes().enumerate() {
            if i >= self.limits.attributes {
                return Err(XmlErrorKind::Limit("attributes"));
            }
            let attribute = attribute.map_err(|e| syntax(&e.to_string()))?;
            let value = attribute.normalized_value(Implicit1_0).map_err(kind_of)?;
            if !value.chars().all(is_xml_char) {
                return Err(syntax("a character that XML does not allow"));
            }
            if let Some(binding) = attribute.key.as_namespace_binding() {
                let prefix = match binding {
                    quick_xml::name::PrefixDeclaration::Default => "",
                    quick_xml::name::PrefixDeclaration::Named(prefix) => prefix,
                };
                if value.is_empty() && !prefix.is_empty() {
                    return Err(XmlErrorKind::Namespace(format!("prefix {prefix:?} is unbound")));
                }
                if !prefix.is_empty() {
                    name(prefix)?;
                }
                own.push((prefix.to_owned(), ns::intern(&value)));
                continue;
            }
            let (ns, local) = resolver.resolve_attribute(attribute.key);
            let key = Name::new(bound(ns)?, name(local.into_inner())?);
            if element.attributes.iter().any(|(n, _)| *n == key) {
                return Err(syntax("an attribute is there twice"));
            }
            element.attributes.push((key, value.into_owned()));
        }
        let outer = self.open.last().and_then(|e| e.scope.clone());
        element.scope = if own.is_empty() { outer } else { Some(Arc::new(Scope { own, outer })) };
        Ok(element)
    }

    /// Adds a finished element to its parent. Blanks between elements are layout, not content.
    fn close(&mut self, mut element: Element) -> Result<(), XmlErrorKind> {
        if element.elements().next().is_some() {
            element.nodes.retain(|n| match n {
                Node::Text(text) => !text.trim_matches(XML_BLANKS).is_empty(),
                Node::Element(_) => true,
            });
        }
        match self.open.last_mut() {
            Some(parent) => parent.nodes.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlErrorKind> {
        if !text.chars().all(is_xml_char) {
            return Err(syntax("a character that XML does not allow"));
        }
        match self.open.last_mut() {
            Some(element) => match element.nodes.last_mut() {
                Some(Node::Text(before)) => before.push_str(text),
                _ => element.nodes.push(Node::Text(text.to_owned())),
            },
            None if text.trim_matches(XML_BLANKS).is_empty() => {}
            None => return Err(syntax("text outside of the root element")),
        }
        Ok(())
    }
}

fn bound(result: ResolveResult<'_>) -> Result<Ns, XmlErrorKind> {
    match result {
        ResolveResult::Unbound => Ok(Ns::Borrowed("")),
        ResolveResult::Bound(namespace) => namespace_name(namespace.into_inner()),
        ResolveResult::Unknown(prefix) => {
            Err(XmlErrorKind::Namespace(format!("prefix {prefix:?} is not bound")))
        }
    }
}

/// A name without a prefix. Beyond ASCII every letter passes: nothing here depends on them.
fn name(text: &str) -> Result<String, XmlErrorKind> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let legal = |c: char| first(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    match text.starts_with(first) && text.chars().all(|c| legal(c) && is_xml_char(c)) {
        true => Ok(text.to_owned()),
        false => Err(syntax("a name that is none")),
    }
}

/// The value of a namespace declaration, which the resolver keeps as it was written: in it too are
/// entities and line breaks.
fn namespace_name(raw: &str) -> Result<Ns, XmlErrorKind> {
    if raw == XMLNS {
        return Err(XmlErrorKind::Namespace("prefix \"xmlns\" only declares".to_owned()));
    }
    if !raw.contains(['&', '\t', '\r', '\n']) {
        return Ok(ns::intern(raw));
    }
    let declaration = Attribute { key: QName("xmlns"), value: raw.into() };
    Ok(ns::intern(&declaration.normalized_value(Implicit1_0).map_err(kind_of)?))
}

fn syntax(what: &str) -> XmlErrorKind {
    XmlErrorKind::Syntax(what.to_owned())
}

fn kind_of(e: quick_xml::Error) -> XmlErrorKind {
    match e {
        quick_xml::Error::Namespace(e) => XmlErrorKind::Namespace(e.to_string()),
        e => XmlErrorKind::Syntax(e.to_string()),
    }
}

/// What the prefix of declarations is bound to; nothing is in it.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// Namespace declarations in scope at once.
const MAX_BINDINGS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Element, XmlErrorKind> {
        super::parse(text.as_bytes(), &Limits::default()).map_err(|e| e.kind)
    }

    const DOCUMENT: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><!-- c -->\n\
        <a xmlns=\"urn:a\" xmlns:b='urn:b' b:x=\"1 &amp; &#x32;\" x=\"3\">\n\
        <b:c>t&lt;<![CDATA[<&]]>&#233;</b:c> <c xmlns=''/><?pi ?>\
        <d type=\"b:T\" xmlns:b=\"urn:other\">b:Q</d></a> ";

    #[test]
    fn names_are_resolved_and_entities_replaced() {
        let a = parse(DOCUMENT).unwrap();
        assert!(a.is("urn:a", "a"));
        assert_eq!(a.attribute_ns("urn:b", "x"), Some("1 & 2"));
        assert_eq!(a.attribute("x"), Some("3"));
        assert_eq!(a.child("urn:b", "c").unwrap().text(), "t<<&é");
        assert!(a.child("", "c").is_some());
        assert_eq!(a.nodes().len(), 3, "layout is gone");
        let d = a.child("urn:a", "d").unwrap();
        assert_eq!(d.resolve(&d.text()), Some(Name::new("urn:other", "Q")));
        assert_eq!(a.resolve("b:Q"), Some(Name::new("urn:b", "Q")));
        assert_eq!(a.resolve("Q"), Some(Name::new("urn:a", "Q")));
        for bad in ["z:Q", "b:", "b:c:d", ""] {
            assert_eq!(a.resolve(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_namespaces_have_entities_too() {
        let a = parse("<p:a xmlns:p='urn:a?b&amp;c\n&#x3e;'>p:q</p:a>").unwrap();
        assert!(a.is("urn:a?b&c >", "a"), "{a:?}");
        assert_eq!(a.resolve("p:q").map(|n| n.ns), Some(a.name().ns.clone()));
        assert_eq!(super::parse(a.to_xml().as_bytes(), &Limits::default()), Ok(a));
    }

    #[test]
    fn every_prefix_is_refused() {
        let end = DOCUMENT.trim_end().len();
        for cut in 0..end {
            assert!(
                super::parse(&DOCUMENT.as_bytes()[..cut], &Limits::default()).is_err(),
                "{cut}"
            );
        }
        assert!(parse(&DOCUMENT[..end]).is_ok());
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for bad in [
            "",
            "text",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "<a x='1' x='2'/>",
            "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
            "<a x=1/>",
            "< />",
            "<1/>",
            "<a:b:c xmlns:a='u'/>",
            "<a b;c=''/>",
            "<a>&undefined;</a>",
            "<a x='&undefined;'/>",
            "<a>&#0;</a>",
            "<a>&#x1;</a>",
            "<a>\u{1}</a>",
            "<a x='\u{1}'/>",
            "<p:a/>",
            "<a p:x=''/>",
            "<a xmlns:xml='urn:x'/>",
            "<xmlns:a/>",
            "<a xmlns:p=''/>",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            super::parse(b"<a>\xff</a>", &Limits::default()).unwrap_err(),
            XmlError { kind: XmlErrorKind::Encoding, at: 3 }
        );
    }

    #[test]
    fn document_types_and_their_bombs_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"xx\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>";
        assert_eq!(parse(bomb), Err(XmlErrorKind::Forbidden("a document type")));
        let outside = "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>";
        assert_eq!(parse(outside), Err(XmlErrorKind::Forbidden("a document type")));
        assert_eq!(parse("<a>&y;</a>"), Err(XmlErrorKind::Forbidden("an entity")));
    }

    #[test]
    fn limits_are_exact() {
        let limits = Limits { bytes: 1000, depth: 3, elements: 5, attributes: 2 };
        let parse = |text: &str| super::parse(text.as_bytes(), &limits).map_err(|e| e.kind);
        for (text, limit) in [
            ("<a><b><c/></b></a>", None),
            ("<a><b><c></c></b></a>", None),
            ("<a><b><c><d></d></c></b></a>", Some("depth")),
            ("<a><b/><b/><b/><b/></a>", None),
            ("<a><b/><b/><b/><b/><b/></a>", Some("elements")),
            ("<a x='' y=''/>", None),
            ("<a x='' y='' z=''/>", Some("attributes")),
        ] {
            assert_eq!(parse(text).err(), limit.map(XmlErrorKind::Limit), "{text}");
        }
        let long = format!("<a>{}</a>", "x".repeat(994));
        assert_eq!(parse(&long).err(), Some(XmlErrorKind::Limit("bytes")));
        let many: String = (0..200).map(|i| format!(" xmlns:p{i}='u'")).collect();
        let wide = Limits { attributes: 1000, ..Limits::default() };
        let text = format!("<a{many}/>");
        assert!(matches!(
            super::parse(text.as_bytes(), &wide).unwrap_err().kind,
            XmlErrorKind::Namespace(_)
        ));
    }
}
