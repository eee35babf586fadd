//! A small XML tree with resolved namespaces.
//!
//! [`Element::parse`] reads it within [`Limits`]; [`Element::to_xml`] writes it. A read element
//! remembers the prefixes in scope, because ONVIF puts qualified names into text (topics, types,
//! fault codes).

mod read;
mod scope;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use read::{Limits, XmlError, XmlErrorKind};
use scope::Scope;

/// A namespace URI; empty for none.
pub type Ns = Cow<'static, str>;

/// A name with its namespace.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Name {
    /// Its namespace.
    pub ns: Ns,
    /// Its local part.
    pub local: Cow<'static, str>,
}

impl Name {
    /// A name in a namespace; `""` for none.
    pub fn new(ns: impl Into<Ns>, local: impl Into<Cow<'static, str>>) -> Self {
        Self { ns: ns.into(), local: local.into() }
    }

    /// Whether it is this name.
    pub fn is(&self, ns: &str, local: &str) -> bool {
        self.local == local && self.ns == ns
    }
}

/// `{namespace}local`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ns.is_empty() {
            f.write_str(&self.local)
        } else {
            write!(f, "{{{}}}{}", self.ns, self.local)
        }
    }
}

/// An element with attributes and content.
#[derive(Clone)]
pub struct Element {
    name: Name,
    attributes: Vec<(Name, String)>,
    nodes: Vec<Node>,
    /// Prefixes that content relies on, declared by hand.
    declared: Vec<(String, Ns)>,
    /// Prefixes that were in scope where the element was read.
    scope: Option<Arc<Scope>>,
}

/// Content of an element.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Text, unescaped.
    Text(String),
}

/// Reading.
impl Element {
    /// Reads a document.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, XmlError> {
        read::parse(bytes, limits)
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it has this name.
    pub fn is(&self, ns: &str, local: &str) -> bool {
        self.name.is(ns, local)
    }

    /// Everything in it, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Child elements, in order.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Element(e) => Some(e),
            Node::Text(_) => None,
        })
    }

    /// The first child of this name.
    pub fn child(&self, ns: &str, local: &str) -> Option<&Element> {
        self.elements().find(|e| e.is(ns, local))
    }

    /// All children of this name.
    pub fn children<'a>(
        &'a self,
        ns: &'a str,
        local: &'a str,
    ) -> impl Iterator<Item = &'a Element> {
        self.elements().filter(move |e| e.is(ns, local))
    }

    /// The first descendant along a path of local names in one namespace.
    pub fn path(&self, ns: &str, locals: &[&str]) -> Option<&Element> {
        locals.iter().try_fold(self, |e, local| e.child(ns, local))
    }

    /// Its text: that of all text nodes, with blanks around it removed.
    pub fn text(&self) -> Cow<'_, str> {
        match self.raw_text() {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(XML_BLANKS)),
            Cow::Owned(text) => Cow::Owned(text.trim_matches(XML_BLANKS).to_owned()),
        }
    }

    /// Its text with all blanks.
    pub fn raw_text(&self) -> Cow<'_, str> {
        let mut texts = self.nodes.iter().filter_map(|n| match n {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(only),
            (Some(a), Some(b)) => Cow::Owned([a, b].into_iter().chain(texts).collect()),
        }
    }

    /// The text of the first child of this name.
    pub fn child_text(&self, ns: &str, local: &str) -> Option<Cow<'_, str>> {
        self.child(ns, local).map(Element::text)
    }

    /// An attribute without a namespace.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attribute_ns("", local)
    }

    /// An attribute of a namespace.
    pub fn attribute_ns(&self, ns: &str, local: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n.is(ns, local)).map(|(_, v)| v.as_str())
    }

    /// All attributes, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.attributes.iter().map(|(n, v)| (n, v.as_str()))
    }

    /// What a prefix means inside this element; `""` is the default namespace.
    pub fn namespace(&self, prefix: &str) -> Option<&str> {
        if let Some((_, ns)) = self.declared.iter().find(|(p, _)| p == prefix) {
            return Some(ns);
        }
        self.scope.as_ref()?.find(prefix)
    }

    /// A qualified name in text or in an attribute: `prefix:local`, or `local` in the default
    /// namespace. `None` if the prefix is not bound.
    pub fn resolve(&self, qname: &str) -> Option<Name> {
        let qname = qname.trim_matches(XML_BLANKS);
        let (prefix, local) = qname.split_once(':').unwrap_or(("", qname));
        if local.is_empty() || local.contains(':') {
            return None;
        }
        let ns = match self.namespace(prefix) {
            Some(ns) => crate::ns::intern(ns),
            None if prefix.is_empty() => Ns::Borrowed(""),
            None => return None,
        };
        Some(Name { ns, local: Cow::Owned(local.to_owned()) })
    }
}

/// Building.
impl Element {
    /// An empty element.
    pub fn new(ns: impl Into<Ns>, local: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: Name::new(ns, local),
            attributes: Vec::new(),
            nodes: Vec::new(),
            declared: Vec::new(),
            scope: None,
        }
    }

    /// An element with text.
    pub fn of(
        ns: impl Into<Ns>,
        local: impl Into<Cow<'static, str>>,
        text: impl Into<String>,
    ) -> Self {
        Self::new(ns, local).with_text(text)
    }

    /// Appends a child.
    #[must_use]
    pub fn with(mut self, child: Element) -> Self {
        self.nodes.push(Node::Element(child));
        self
    }

    /// Appends children.
    #[must_use]
    pub fn with_all(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Appends a child with text in the namespace of this element.
    #[must_use]
    pub fn with_value(self, local: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        let child = Element::of(self.name.ns.clone(), local, text);
        self.with(child)
    }

    /// Appends text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.nodes.push(Node::Text(text));
        }
        self
    }

    /// Appends an attribute without a namespace.
    #[must_use]
    pub fn with_attribute(
        self,
        local: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.with_attribute_ns("", local, value)
    }

    /// Appends an attribute of a namespace.
    #[must_use]
    pub fn with_attribute_ns(
        mut self,
        ns: impl Into<Ns>,
        local: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.attributes.push((Name::new(ns, local), value.into()));
        self
    }

    /// Declares a prefix on this element, for qualified names in its text. The prefixes of
    /// [`crate::ns`] need it too, unless an element or attribute of that namespace is in the
    /// document.
    #[must_use]
    pub fn declaring(mut self, prefix: impl Into<String>, ns: impl Into<Ns>) -> Self {
        self.declared.push((prefix.into(), ns.into()));
        self
    }

    /// The same element under another name.
    #[must_use]
    pub fn renamed(mut self, ns: impl Into<Ns>, local: impl Into<Cow<'static, str>>) -> Self {
        self.name = Name::new(ns, local);
        self
    }

    /// As a document, with an XML declaration.
    pub fn to_xml(&self) -> String {
        write::document(self)
    }
}

/// Equal in name, attributes (in order) and content; prefixes do not matter.
impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.attributes == other.attributes && self.nodes == other.nodes
    }
}

/// As XML without the declaration. Never used for logs: messages may carry credentials.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write::fragment(self))
    }
}

/// What XML takes for blanks.
const XML_BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Whether XML 1.0 allows the character at all.
pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
