//! Which prefix means what, where an element was read.

use std::sync::Arc;

use super::Ns;

/// The declarations of one element, on top of those around it.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) own: Vec<(String, Ns)>,
    pub(super) outer: Option<Arc<Scope>>,
}

impl Scope {
    pub(super) fn find(&self, prefix: &str) -> Option<&str> {
        let mut scope = Some(self);
        while let Some(s) = scope {
            if let Some((_, ns)) = s.own.iter().rev().find(|(p, _)| p == prefix) {
                return Some(ns);
            }
            scope = s.outer.as_deref();
        }
        None
    }

    /// All bindings that are visible, each prefix once.
    pub(super) fn visible(&self) -> Vec<(&str, &Ns)> {
        let mut all: Vec<(&str, &Ns)> = Vec::new();
        let mut scope = Some(self);
        while let Some(s) = scope {
            for (prefix, ns) in s.own.iter().rev() {
                if !all.iter().any(|(p, _)| p == prefix) {
                    all.push((prefix, ns));
                }
            }
            scope = s.outer.as_deref();
        }
        all.reverse();
        all
    }
}
