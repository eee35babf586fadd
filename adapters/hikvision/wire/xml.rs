//! A bounded XML reader for what these recorders call XML.
//!
//! Namespaces are mixed within one document and mean nothing, names differ in case between
//! firmware, elements repeat with different meaning, channel names hold a bare `&`, control
//! characters, or Chinese in an encoding that is not the declared one. So a document becomes a small
//! tree that is searched by local name, ignoring case.

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030, UTF_8};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::WireError;

/// Deepest nesting seen in the field is 11.
const MAX_DEPTH: usize = 24;
/// A track list of 64 channels with full schedules has about 60 000 elements.
const MAX_ELEMENTS: usize = 200_000;

/// One element: local name, its own text, what is inside.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Element {
    /// Local name as written.
    pub(crate) name: String,
    /// Its own character data, white space at both ends removed.
    pub(crate) text: String,
    /// Elements inside, in document order.
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// Reads a whole document. Anything but blank text after the root is an error, and so is a
    /// document that ends before its root does.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, WireError> {
        if is_web_page(document) {
            return Err(WireError::WebPage);
        }
        let text = decoded(document);
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let config = reader.config_mut();
        config.allow_dangling_amp = true;
        config.check_end_names = true;

        let (mut open, mut root, mut count) = (Vec::<Element>::new(), None, 0usize);
        loop {
            let at = reader.buffer_position();
            let syntax = |why: String| WireError::Syntax { at, why };
            match reader.read_event().map_err(|e| syntax(e.to_string()))? {
                Event::Start(tag) => {
                    count += 1;
                    if count > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                        return Err(WireError::Limit { what: "elements", limit: MAX_ELEMENTS });
                    }
                    if root.is_some() {
                        return Err(syntax("two root elements".to_owned()));
                    }
                    open.push(Element::named(&tag));
                }
                Event::Empty(tag) => {
                    count += 1;
                    if count > MAX_ELEMENTS {
                        return Err(WireError::Limit { what: "elements", limit: MAX_ELEMENTS });
                    }
                    if root.is_some() {
                        return Err(syntax("two root elements".to_owned()));
                    }
                    close(Element::named(&tag), &mut open, &mut root);
                }
                Event::End(_) => match open.pop() {
                    Some(done) => close(done, &mut open, &mut root),
                    None => return Err(syntax("end tag without start".to_owned())),
                },
                Event::Text(t) => append(&mut open, &t.xml10_content(), &syntax)?,
                Event::CData(t) => append(&mut open, &t.xml10_content(), &syntax)?,
                Event::GeneralRef(r) => {
                    let name = r.xml10_content();
                    let value = match r.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        _ => quick_xml::escape::resolve_predefined_entity(&name)
                            .map_or_else(|| format!("&{name};"), str::to_owned),
                    };
                    append(&mut open, &value, &syntax)?;
                }
                Event::Eof if open.is_empty() => {
                    return root.ok_or_else(|| syntax("no root element".to_owned()));
                }
                Event::Eof => return Err(syntax("the document ends inside an element".to_owned())),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    fn named(tag: &BytesStart<'_>) -> Self {
        Self { name: tag.local_name().as_ref().to_owned(), ..Self::default() }
    }

    /// Whether it has that local name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The first element inside of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.is(name))
    }

    /// All elements inside of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.is(name))
    }

    /// Follows a path of names, at each step the first of that name.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |e, name| e.child(name))
    }

    /// Text at a path; `None` where it is absent or empty.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(|e| e.text.as_str()).filter(|t| !t.is_empty())
    }

    /// Text at a path, or empty.
    pub(crate) fn string_at(&self, path: &[&str]) -> String {
        self.text_at(path).unwrap_or_default().to_owned()
    }

    /// Text of the first of these elements inside that has one.
    pub(crate) fn any_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|n| self.text_at(&[n]))
    }

    /// Number at a path.
    pub(crate) fn number_at<T: std::str::FromStr>(&self, path: &[&str]) -> Option<T> {
        self.text_at(path)?.parse().ok()
    }

    /// `true` or `false` at a path; anything else is `None`.
    pub(crate) fn flag_at(&self, path: &[&str]) -> Option<bool> {
        match self.text_at(path)? {
            t if t.eq_ignore_ascii_case("true") || t == "1" => Some(true),
            t if t.eq_ignore_ascii_case("false") || t == "0" => Some(false),
            _ => None,
        }
    }

    /// The first element of that name at any depth, itself included.
    pub(crate) fn find(&self, name: &str) -> Option<&Element> {
        if self.is(name) {
            return Some(self);
        }
        // Depth is bounded by the reader.
        self.children.iter().find_map(|c| c.find(name))
    }
}

fn close(mut done: Element, open: &mut [Element], root: &mut Option<Element>) {
    let trimmed = done.text.trim();
    if trimmed.len() != done.text.len() {
        done.text = trimmed.to_owned();
    }
    match open.last_mut() {
        Some(parent) => parent.children.push(done),
        None => *root = Some(done),
    }
}

fn append(
    open: &mut [Element],
    text: &str,
    syntax: &impl Fn(String) -> WireError,
) -> Result<(), WireError> {
    match open.last_mut() {
        Some(e) => e.text.extend(text.chars().filter(|c| is_xml_char(*c))),
        None if text.trim().is_empty() => {}
        None => return Err(syntax("text outside the root element".to_owned())),
    }
    Ok(())
}

/// UTF-8 where the bytes are; else what the declaration names, else the encoding of Chinese firmware.
/// What fits none is read as UTF-8 with replacements.
fn decoded(document: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(document) {
        return Cow::Borrowed(text);
    }
    let declared = declared_encoding(document).filter(|e| *e != UTF_8);
    [declared, Some(GB18030)]
        .into_iter()
        .flatten()
        .find_map(|e| e.decode_without_bom_handling_and_without_replacement(document))
        .unwrap_or_else(|| String::from_utf8_lossy(document))
}

/// The encoding that `<?xml … encoding="…"?>` names.
fn declared_encoding(document: &[u8]) -> Option<&'static Encoding> {
    let end = memchr::memmem::find(document, b"?>")?.min(MAX_DECLARATION_BYTES);
    let declaration = document.get(..end)?;
    let at = memchr::memmem::find(declaration, b"encoding")? + b"encoding".len();
    let value = declaration.get(at..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = value.split_first()?;
    let length = rest.iter().position(|b| b == quote)?;
    Encoding::for_label(rest.get(..length)?)
}

/// A longer one is none.
const MAX_DECLARATION_BYTES: usize = 256;

/// Whether a character may stand in XML: those of names and texts go into documents of ours.
fn is_xml_char(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\n' | '\r')
}

/// The log-in page that these recorders give, with status 200, for paths and ports they do not
/// know.
fn is_web_page(document: &[u8]) -> bool {
    let head = &document[..document.len().min(512)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.contains("<!doctype html") || head.contains("<html")
}

/// Text as XML character data.
pub(crate) fn escape(text: &str) -> std::borrow::Cow<'_, str> {
    quick_xml::escape::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_by_local_name_whatever_the_namespaces() {
        let e = Element::parse(
            b"\xef\xbb\xbf<?xml version='1.0'?><a:List xmlns:a='urn:x' size='4'>\
              <ITEM xmlns='urn:y'><Name>Tom & Jerry &amp; co &#65;&unknown;</Name></ITEM>\
              <item/><item><name> <![CDATA[ b ]]> </name></item></a:List>\n",
        )
        .unwrap();
        assert!(e.is("list"));
        assert_eq!(e.all("item").count(), 3);
        assert_eq!(e.text_at(&["item", "name"]), Some("Tom & Jerry & co A&unknown;"));
        assert_eq!(e.children[2].string_at(&["name"]), "b");
        assert_eq!(e.children[1].text_at(&["name"]), None);
    }

    #[test]
    fn names_in_other_encodings_and_with_control_characters() {
        let name = |document: &[u8]| Element::parse(document).unwrap().string_at(&["name"]);
        let gate = "\u{5927}\u{95e8}";
        let gbk = b"\xb4\xf3\xc3\xc5";
        for declaration in
            ["", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "<?xml encoding='GB2312' ?>"]
        {
            let open = format!("{declaration}<a><name>");
            let document = [open.as_bytes(), gbk, b" 1</name></a>"].concat();
            assert_eq!(name(&document), format!("{gate} 1"), "{declaration}");
            let document = format!("{declaration}<a><name>{gate}</name></a>");
            assert_eq!(name(document.as_bytes()), gate, "{declaration}");
        }
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a><name>Stra\xdfe</name></a>";
        assert_eq!(name(latin), "Stra\u{df}e");
        assert_eq!(name(b"<a><name>x\xff\xffy</name></a>"), "x\u{fffd}\u{fffd}y");
        assert_eq!(name(b"<a><name>\x01Gate&#2;\x1f 1\x7f\t2</name></a>"), "Gate 1\t2");
    }

    #[test]
    fn a_log_in_page_is_told_apart() {
        let page = b"<!DOCTYPE html>\n<html><head></head><body><div></body></html>";
        assert_eq!(Element::parse(page), Err(WireError::WebPage));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let doc = b"<?xml version=\"1.0\"?><r><a>1 &amp; 2</a><b x='1'/><c><![CDATA[z]]></c></r>";
        assert!(Element::parse(doc).is_ok());
        for n in 0..doc.len() {
            assert!(Element::parse(&doc[..n]).is_err(), "prefix of {n} bytes");
        }
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        let deep = "<a>".repeat(100_000);
        assert!(matches!(Element::parse(deep.as_bytes()), Err(WireError::Limit { .. })));
        let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS + 1));
        assert!(matches!(Element::parse(wide.as_bytes()), Err(WireError::Limit { .. })));
        assert!(Element::parse(b"<a></b>").is_err());
        assert!(Element::parse(b"<a/><b/>").is_err());
        assert!(Element::parse(b"<a></a>text").is_err());
    }
}
