//! Typed messages: values in elements and attributes, and the [`message!`](crate::message) macro that
//! reads and writes a sequence of them.

mod simple;

pub use simple::{Simple, read_duration, write_duration};

use crate::{Element, Fault};

/// What an element can hold: a simple value as text, or a message as children.
pub trait Value: Sized {
    /// Reads the content of an element.
    fn read(element: &Element) -> Result<Self, Fault>;
    /// Adds the content to an element.
    fn write(&self, element: Element) -> Element;
}

/// A child element of a message: required, optional or repeated, by its Rust type.
pub trait Field: Sized {
    /// Takes it from the children of a parent.
    fn take(parent: &Element, ns: &'static str, local: &'static str) -> Result<Self, Fault>;
    /// Appends it to a parent.
    fn put(&self, parent: Element, ns: &'static str, local: &'static str) -> Element;
}

/// An attribute of a message: required or optional, by its Rust type.
pub trait Attribute: Sized {
    /// Takes it from an element.
    fn take(element: &Element, local: &'static str) -> Result<Self, Fault>;
    /// Adds it to an element.
    fn put(&self, element: Element, local: &'static str) -> Element;
}

impl<T: Simple> Value for T {
    fn read(element: &Element) -> Result<Self, Fault> {
        let text = element.text();
        T::parse(&text).ok_or_else(|| wrong(&element.name().local, T::KIND))
    }

    fn write(&self, element: Element) -> Element {
        element.with_text(self.format())
    }
}

/// As it is, for content that is looked into later (topics, filters, extensions).
impl Value for Element {
    fn read(element: &Element) -> Result<Self, Fault> {
        Ok(element.clone())
    }

    fn write(&self, element: Element) -> Element {
        let name = element.name().clone();
        self.clone().renamed(name.ns, name.local)
    }
}

impl<T: Value> Field for T {
    fn take(parent: &Element, ns: &'static str, local: &'static str) -> Result<Self, Fault> {
        let child = named(parent, ns, local).next().ok_or_else(|| missing(local))?;
        T::read(child)
    }

    fn put(&self, parent: Element, ns: &'static str, local: &'static str) -> Element {
        parent.with(self.write(Element::new(ns, local)))
    }
}

impl<T: Value> Field for Option<T> {
    fn take(parent: &Element, ns: &'static str, local: &'static str) -> Result<Self, Fault> {
        named(parent, ns, local).next().map(T::read).transpose()
    }

    fn put(&self, parent: Element, ns: &'static str, local: &'static str) -> Element {
        match self {
            Some(value) => value.put(parent, ns, local),
            None => parent,
        }
    }
}

impl<T: Value> Field for Vec<T> {
    fn take(parent: &Element, ns: &'static str, local: &'static str) -> Result<Self, Fault> {
        named(parent, ns, local).map(T::read).collect()
    }

    fn put(&self, parent: Element, ns: &'static str, local: &'static str) -> Element {
        self.iter().fold(parent, |parent, value| value.put(parent, ns, local))
    }
}

impl<T: Simple> Attribute for T {
    fn take(element: &Element, local: &'static str) -> Result<Self, Fault> {
        let text = element
            .attribute(local)
            .ok_or_else(|| Fault::sender("MissingAttr", format!("attribute {local} is missing")))?;
        T::parse(text.trim()).ok_or_else(|| wrong(local, T::KIND))
    }

    fn put(&self, element: Element, local: &'static str) -> Element {
        element.with_attribute(local, self.format())
    }
}

impl<T: Simple> Attribute for Option<T> {
    fn take(element: &Element, local: &'static str) -> Result<Self, Fault> {
        element.attribute(local).map(|_| T::take_attribute(element, local)).transpose()
    }

    fn put(&self, element: Element, local: &'static str) -> Element {
        match self {
            Some(value) => element.with_attribute(local, value.format()),
            None => element,
        }
    }
}

/// Spells out which `take` is meant where both traits are in sight.
trait TakeAttribute: Attribute {
    fn take_attribute(element: &Element, local: &'static str) -> Result<Self, Fault> {
        <Self as Attribute>::take(element, local)
    }
}

impl<T: Attribute> TakeAttribute for T {}

/// The children of that name. Clients mix up which namespace a child belongs to, or give it none; what
/// they mean is not in doubt, and to ignore it would answer another question. What is right wins.
fn named<'a>(
    parent: &'a Element,
    ns: &'static str,
    local: &'static str,
) -> impl Iterator<Item = &'a Element> {
    let right = parent.child(ns, local).is_some();
    parent.elements().filter(move |child| {
        let name = child.name();
        let meant = || name.ns.is_empty() || name.ns.starts_with("http://www.onvif.org/");
        name.local == local && (name.ns == ns || (!right && meant()))
    })
}

fn missing(what: &str) -> Fault {
    Fault::invalid_args(format!("{what} is missing"))
}

fn wrong(what: &str, kind: &str) -> Fault {
    Fault::invalid_args(format!("{what} is not {kind}"))
}

/// Structs that are read from and written to XML: child elements in the order of the schema, all in
/// one namespace, and attributes.
///
/// The type of a field says how often it occurs: `T` once, `Option<T>` at most once, `Vec<T>` any
/// number of times, where `T` is a [`Simple`] value, another message, or [`Element`] for content of
/// any kind. What is not named is ignored when reading, as extension points demand.
///
/// ```text
/// message! {
///     /// tse:FindRecordings.
///     pub struct FindRecordings in ns::TSE {
///         /// Which recordings.
///         scope: SearchScope = "Scope",
///         /// Stops after this many.
///         max_matches: Option<i32> = "MaxMatches",
///         /// How long the session may rest.
///         keep_alive: Duration = "KeepAliveTime",
///     }
///
///     /// tt:SourceReference.
///     pub struct SourceReference in ns::TT {
///         /// Token of the source.
///         token: String = "Token",
///     }
///     @attributes {
///         /// What the token belongs to.
///         kind: Option<String> = "Type",
///     }
/// }
/// ```
#[macro_export]
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident in $ns:path {
            $( $(#[$fmeta:meta])* $field:ident : $ty:ty = $xml:literal ),* $(,)?
        }
        $( @attributes {
            $( $(#[$ameta:meta])* $afield:ident : $aty:ty = $axml:literal ),* $(,)?
        } )?
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $( $(#[$ameta])* pub $afield: $aty, )* )?
            $( $(#[$fmeta])* pub $field: $ty, )*
        }

        impl $crate::Value for $name {
            #[allow(unused_variables)]
            fn read(element: &$crate::Element) -> Result<Self, $crate::Fault> {
                Ok(Self {
                    $( $( $afield: <$aty as $crate::Attribute>::take(element, $axml)?, )* )?
                    $( $field: <$ty as $crate::Field>::take(element, $ns, $xml)?, )*
                })
            }

            #[allow(unused_mut)]
            fn write(&self, mut element: $crate::Element) -> $crate::Element {
                $( $( element = $crate::Attribute::put(&self.$afield, element, $axml); )* )?
                $( element = $crate::Field::put(&self.$field, element, $ns, $xml); )*
                element
            }
        }
    )*};
}

/// Enumerations of the schema, written as their words.
///
/// ```text
/// enumeration! {
///     /// tt:SearchState.
///     pub enum SearchState {
///         /// Waiting.
///         Queued = "Queued",
///         /// At work.
///         Searching = "Searching",
///     }
/// }
/// ```
#[macro_export]
macro_rules! enumeration {
    ($(
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$vmeta:meta])* $variant:ident = $word:literal ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        $vis enum $name {
            $( $(#[$vmeta])* $variant, )*
        }

        impl $crate::Simple for $name {
            const KIND: &'static str = concat!("one of:" $(, " ", $word)*);

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }

            fn format(&self) -> String {
                match self {
                    $( Self::$variant => $word.to_owned(), )*
                }
            }
        }
    )*};
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Limits, ns};

    enumeration! {
        /// Colours.
        enum Colour {
            /// Like blood.
            Red = "Red",
            /// Like grass.
            Green = "Green",
        }
    }

    message! {
        /// Outer.
        struct Find in ns::TSE {
            /// Nested.
            scope: Inner = "Scope",
            /// Optional.
            max: Option<i32> = "MaxMatches",
            /// A duration.
            keep: Duration = "KeepAliveTime",
            /// Anything.
            other: Option<Element> = "Other",
        }

        /// Inner.
        struct Inner in ns::TT {
            /// Repeated.
            names: Vec<String> = "Name",
            /// A word.
            colour: Option<Colour> = "Colour",
        }
        @attributes {
            /// Required.
            token: String = "token",
            /// Optional.
            kind: Option<bool> = "Kind",
        }
    }

    fn read(text: &str) -> Result<Find, Fault> {
        Find::read(&Element::parse(text.as_bytes(), &Limits::default()).unwrap())
    }

    #[test]
    fn messages_are_read_and_written_in_order() {
        let text = format!(
            "<tse:Find xmlns:tse='{}' xmlns:tt='{}'><tse:Scope token='t'><tt:Name>a</tt:Name>\
             <tt:Unknown/><tt:Name>b</tt:Name><tt:Colour> Green </tt:Colour></tse:Scope>\
             <tse:KeepAliveTime>PT1M</tse:KeepAliveTime><tse:Other x='1'/></tse:Find>",
            ns::TSE,
            ns::TT
        );
        let find = read(&text).unwrap();
        assert_eq!(find.scope.names, ["a", "b"]);
        assert_eq!(find.scope.colour, Some(Colour::Green));
        assert_eq!((find.scope.token.as_str(), find.scope.kind), ("t", None));
        assert_eq!((find.max, find.keep), (None, Duration::from_secs(60)));

        let written = find.write(Element::new(ns::TSE, "Find"));
        let order: Vec<_> = written.elements().map(|e| e.name().local.to_string()).collect();
        assert_eq!(order, ["Scope", "KeepAliveTime", "Other"]);
        assert_eq!(Find::read(&written).unwrap(), find);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let tse = |inside: &str| {
            format!("<Find xmlns='{}' xmlns:tt='{}'>{inside}</Find>", ns::TSE, ns::TT)
        };
        for (inside, subcode, word) in [
            ("", "InvalidArgs", "Scope is missing"),
            ("<Scope/>", "MissingAttr", "token is missing"),
            ("<Scope token='' Kind='maybe'/>", "InvalidArgs", "Kind is not a boolean"),
            ("<Scope token=''><tt:Colour>Blue</tt:Colour></Scope>", "InvalidArgs", "Red Green"),
            ("<Scope token=''/>", "InvalidArgs", "KeepAliveTime is missing"),
            ("<Scope token=''/><KeepAliveTime>60</KeepAliveTime>", "InvalidArgs", "a duration"),
            ("<Scope token=''/><MaxMatches>x</MaxMatches>", "InvalidArgs", "an integer"),
        ] {
            let fault = read(&tse(inside)).unwrap_err();
            assert_eq!(fault.subcodes(), [format!("ter:{subcode}")], "{inside}");
            assert!(fault.reason().contains(word), "{inside}: {}", fault.reason());
        }
    }
}
