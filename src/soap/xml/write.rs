//! Writes a tree: all namespaces are declared at the root, with the prefixes of [`crate::ns`].

use std::borrow::Cow;

use super::{Element, Name, Node, Ns, is_xml_char};
use crate::ns;

pub(super) fn document(root: &Element) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", fragment(root))
}

pub(super) fn fragment(root: &Element) -> String {
    let mut writer = Writer::default();
    let mut used = Vec::new();
    collect(root, &mut used);
    writer.element(root, &used);
    writer.out
}

/// The namespaces of names, in order of appearance.
fn collect<'a>(element: &'a Element, used: &mut Vec<&'a Ns>) {
    let names = element.attributes.iter().map(|(n, _)| n);
    for name in std::iter::once(&element.name).chain(names) {
        if !name.ns.is_empty() && name.ns != ns::XML && !used.contains(&&name.ns) {
            used.push(&name.ns);
        }
    }
    // Prefixes for text, where they are the usual ones: the root is the place to look for them.
    for (prefix, ns) in &element.declared {
        if ns::prefix_of(ns) == Some(prefix) && !used.contains(&ns) {
            used.push(ns);
        }
    }
    element.elements().for_each(|e| collect(e, used));
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Innermost last.
    bindings: Vec<(Cow<'static, str>, Ns)>,
    made_up: usize,
}

impl Writer {
    fn element(&mut self, element: &Element, declare: &[&Ns]) {
        let outer = self.bindings.len();
        for (prefix, ns) in &element.declared {
            self.bind(outer, prefix, ns);
        }
        if let Some(scope) = &element.scope {
            for (prefix, ns) in scope.visible() {
                // A default namespace would capture names that have none.
                if !prefix.is_empty() && prefix != "xml" {
                    self.bind(outer, prefix, ns);
                }
            }
        }
        for ns in declare {
            self.prefix(ns);
        }
        let tag = self.qualified(&element.name);
        let attributes: Vec<_> =
            element.attributes.iter().map(|(n, v)| (self.qualified(n), v)).collect();

        self.out.push('<');
        self.out.push_str(&tag);
        for i in outer..self.bindings.len() {
            let (prefix, ns) = self.bindings[i].clone();
            self.attribute(&format!("xmlns:{prefix}"), &ns);
        }
        for (name, value) in attributes {
            self.attribute(&name, value);
        }
        if element.nodes.is_empty() {
            self.out.push_str("/>");
        } else {
            self.out.push('>');
            for node in &element.nodes {
                match node {
                    Node::Element(child) => self.element(child, &[]),
                    Node::Text(text) => escape(text, false, &mut self.out),
                }
            }
            self.out.push_str("</");
            self.out.push_str(&tag);
            self.out.push('>');
        }
        self.bindings.truncate(outer);
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(value, true, &mut self.out);
        self.out.push('"');
    }

    fn qualified(&mut self, name: &Name) -> String {
        if name.ns.is_empty() {
            return name.local.to_string();
        }
        format!("{}:{}", self.prefix(&name.ns), name.local)
    }

    /// What the prefix means here.
    fn meaning(&self, prefix: &str) -> Option<&Ns> {
        self.bindings.iter().rev().find(|(p, _)| p == prefix).map(|(_, ns)| ns)
    }

    /// Binds a prefix on the element whose bindings begin at `outer`; the first one wins.
    fn bind(&mut self, outer: usize, prefix: &str, ns: &Ns) {
        let here = self.bindings[outer..].iter().any(|(p, _)| p == prefix);
        if !here && self.meaning(prefix) != Some(ns) {
            self.bindings.push((Cow::Owned(prefix.to_owned()), ns.clone()));
        }
    }

    /// A prefix that means the namespace here; bound on the element being written if need be.
    fn prefix(&mut self, ns: &Ns) -> Cow<'static, str> {
        if ns == ns::XML {
            return Cow::Borrowed("xml");
        }
        let fits = |(p, n): &&(Cow<'static, str>, Ns)| n == ns && self.meaning(p) == Some(ns);
        if let Some((prefix, _)) = self.bindings.iter().rev().find(fits) {
            return prefix.clone();
        }
        let known = ns::prefix_of(ns).map(Cow::Borrowed).filter(|p| self.meaning(p).is_none());
        let prefix = known.unwrap_or_else(|| {
            loop {
                self.made_up += 1;
                let made = format!("n{}", self.made_up);
                if self.meaning(&made).is_none() {
                    break Cow::Owned(made);
                }
            }
        });
        self.bindings.push((prefix.clone(), ns.clone()));
        prefix
    }
}

/// Characters that XML cannot carry become U+FFFD: text comes from recorders too.
fn escape(text: &str, in_attribute: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\t' | '\n' if in_attribute => out.push_str(if c == '\t' { "&#9;" } else { "&#10;" }),
            '\r' => out.push_str("&#13;"),
            c if is_xml_char(c) => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    fn back(element: &Element) -> Element {
        Element::parse(element.to_xml().as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn namespaces_are_declared_at_the_root() {
        let e = Element::new(ns::TDS, "A")
            .with(Element::of(ns::TT, "B", "x"))
            .with(Element::new("urn:vendor", "C").with_attribute_ns(ns::XSI, "type", "tt:T"));
        let text = format!("{e:?}");
        assert_eq!(
            text,
            format!(
                "<tds:A xmlns:tds=\"{}\" xmlns:tt=\"{}\" xmlns:n1=\"urn:vendor\" xmlns:xsi=\"{}\">\
                 <tt:B>x</tt:B><n1:C xsi:type=\"tt:T\"/></tds:A>",
                ns::TDS,
                ns::TT,
                ns::XSI
            )
        );
        assert_eq!(back(&e), e);
        assert_eq!(back(&e).resolve("tt:T"), Some(Name::new(ns::TT, "T")));
    }

    #[test]
    fn text_survives() {
        let nasty = "<&>\"'\r\n\t ]]> é \u{10ffff}";
        let e = Element::new("", "a").with_attribute("x", nasty).with_text(nasty);
        assert_eq!(back(&e).attribute("x"), Some(nasty));
        assert_eq!(back(&e).raw_text(), nasty);
        let e = Element::of("", "a", "a\u{0}b\u{fffe}");
        assert_eq!(back(&e).text(), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_read_fragment_keeps_the_meaning_of_its_prefixes() {
        let read = Element::parse(
            b"<tt:f xmlns:tt='urn:not-onvif' xmlns:q='urn:q'><tt:v>q:Name</tt:v></tt:f>",
            &Limits::default(),
        )
        .unwrap();
        let around = Element::new(ns::TT, "around").with(read.clone()).with(Element::of(
            ns::TT,
            "after",
            "1",
        ));
        let again = back(&around);
        assert_eq!(again, around);
        let v = again.child("urn:not-onvif", "f").unwrap().child("urn:not-onvif", "v").unwrap();
        assert_eq!(v.resolve(&v.text()), Some(Name::new("urn:q", "Name")));
    }

    #[test]
    fn usual_prefixes_for_text_are_declared_at_the_root() {
        let topic = Element::of(ns::WSNT, "Topic", "tns1:A").declaring("tns1", ns::TNS1);
        let text = format!("{:?}", Element::new(ns::TEV, "A").with(topic.clone()).with(topic));
        assert_eq!(text.matches("xmlns:").count(), 3, "{text}");
        assert!(text.contains("<wsnt:Topic>tns1:A<"), "{text}");
    }

    #[test]
    fn declared_prefixes_serve_names_in_text() {
        let e = Element::of(ns::WSNT, "Topic", "tns1:A/v:B")
            .declaring("tns1", ns::TNS1)
            .declaring("v", "urn:v");
        let again = back(&e);
        assert_eq!(again.namespace("tns1"), Some(ns::TNS1));
        assert_eq!(again.namespace("v"), Some("urn:v"));
        // One of them may clash with the element's own prefix.
        let e = Element::of(ns::TT, "a", "tt:x").declaring("tt", "urn:x");
        assert_eq!(back(&e), e);
        assert_eq!(back(&e).resolve("tt:x"), Some(Name::new("urn:x", "x")));
    }
}
