//! The XPath dialect of search filters: R6.18, ONVIF Recording Search 5.21
//! (`http://www.onvif.org/ver10/tse/searchFilter`).
//!
//! One expression is parsed once per search ([`Filter::parse`]) and evaluated per candidate
//! ([`Filter::matches`]) over anything that is a tree of elements ([`Node`]).

use std::borrow::Cow;

mod eval;
mod parse;

pub use parse::ParseError;

/// An element as the evaluator sees it. Names are local names: the dialect writes them without
/// prefix although the data has one (R6.18-8).
pub trait Node {
    /// Local name.
    fn name(&self) -> &str;
    /// Value of the attribute of that local name.
    fn attribute(&self, name: &str) -> Option<&str>;
    /// Character data directly in the element.
    fn text(&self) -> Cow<'_, str>;
    /// Child elements.
    fn children(&self) -> impl Iterator<Item = &Self>;
}

/// A parsed filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    root: Expr,
}

impl Filter {
    /// Reads a filter. After a complete expression the tail that one widespread client writes
    /// (`,TIME,MS,COUNT,MS,COUNT`) is accepted and ignored.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self { root: parse::filter(text)? })
    }

    /// Whether the tree matches.
    pub fn matches<N: Node>(&self, tree: &N) -> bool {
        eval::expr(&self.root, tree)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    /// `boolean(path)`: some element matches.
    Exists(Path),
    /// `contains(path, "text")`: some element at the path contains the text.
    Contains(Path, String),
}

/// `//A/B[predicate]`
#[derive(Clone, Debug, PartialEq)]
struct Path {
    /// `/A`: only from the root. Otherwise anywhere.
    rooted: bool,
    /// At least one local name, or `*`.
    steps: Vec<String>,
    /// On the last step.
    predicate: Option<Predicate>,
}

/// What stands in brackets.
#[derive(Clone, Debug, PartialEq)]
enum Predicate {
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
    Not(Box<Predicate>),
    Compare(Operand, Op, String),
    Contains(Operand, String),
    Has(Operand),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// `@x`
    Attribute(String),
    /// `A/B`: text of a descendant by child steps.
    Child(Vec<String>),
    /// `.` or `text()`
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}
