//! Topic expressions (WS-Topics ConcreteSet and what clients write instead; ONVIF Core 9.6.3).

use std::collections::HashMap;

use dvrgate_model::Topic;

/// The namespace of the standard's topics; the index writes its prefix as `tns1`.
pub const TNS1: &str = "http://www.onvif.org/ver10/topics";

/// Longest expression that is read.
const MAX_LENGTH: usize = 4 * 1024;

/// A set of topics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicFilter {
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Alternative {
    /// Local names with the prefix as the index writes it, or `*`.
    steps: Vec<String>,
    /// `//.` at the end: everything below as well.
    below: bool,
}

impl TopicFilter {
    /// Reads `tns1:A/B//.|tns1:C`. `prefixes` are the namespaces in scope; a prefix that stands for
    /// [`TNS1`] is `tns1` whatever it is called. `None` where the text is no topic expression.
    pub fn parse(text: &str, prefixes: &HashMap<String, String>) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let alternatives: Option<Vec<_>> =
            text.split('|').map(|part| Alternative::parse(part.trim(), prefixes)).collect();
        Some(Self { alternatives: alternatives? })
    }

    /// The set as a list of topics, where it has no wildcard and every root has a prefix.
    pub fn exact(&self) -> Option<Vec<Topic>> {
        self.alternatives
            .iter()
            .map(|a| {
                let exact = !a.below
                    && a.steps[0].contains(':')
                    && !a.steps.iter().any(|s| s.ends_with('*'));
                exact.then(|| Topic::new(a.steps.join("/")))
            })
            .collect()
    }

    /// Whether the topic belongs to the set.
    pub fn matches(&self, topic: &Topic) -> bool {
        self.alternatives.iter().any(|a| a.matches(topic.as_str()))
    }
}

impl Alternative {
    fn parse(text: &str, prefixes: &HashMap<String, String>) -> Option<Self> {
        let (path, below) = match text.strip_suffix("//.").or_else(|| text.strip_suffix("//*")) {
            Some(path) => (path, true),
            None => (text, false),
        };
        let steps: Option<Vec<String>> = path
            .split('/')
            .enumerate()
            .map(|(i, step)| {
                let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
                let (prefix, local) = step.split_once(':').unwrap_or(("", step));
                let named = !local.is_empty() && local.chars().all(legal);
                if !(named || local == "*") || !prefix.chars().all(legal) {
                    return None;
                }
                Some(match (prefix, prefixes.get(prefix).map(String::as_str)) {
                    ("", _) => local.to_owned(),
                    // Below the root the standard's topics have no prefix; clients may write one.
                    (_, Some(TNS1)) if i > 0 => local.to_owned(),
                    (_, Some(TNS1)) => format!("tns1:{local}"),
                    // Clients forget to declare the one that everybody uses.
                    ("tns1", None) => step.to_owned(),
                    (_, None) => return None,
                    _ => step.to_owned(),
                })
            })
            .collect();
        Some(Self { steps: steps?, below })
    }

    fn matches(&self, topic: &str) -> bool {
        let mut have = topic.split('/');
        for step in &self.steps {
            match have.next() {
                Some(h) if step == "*" || step == h => {}
                // Clients leave the prefix of the root out.
                Some(h) if !step.contains(':') && h.rsplit(':').next() == Some(step) => {}
                Some(h) if step == "tns1:*" && h.starts_with("tns1:") => {}
                _ => return false,
            }
        }
        self.below || have.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_topics() {
        let prefixes: HashMap<String, String> =
            [("tns1", TNS1), ("t", TNS1)].map(|(a, b)| (a.into(), b.into())).into();
        let track = Topic::new("tns1:RecordingHistory/Track/State");
        for (expression, want) in [
            ("tns1:RecordingHistory/Track/State", true),
            ("t:RecordingHistory/Track/State", true),
            ("tns1:RecordingHistory/Track", false),
            ("tns1:RecordingHistory//.", true),
            ("tns1:RecordingHistory/Track/State//.", true),
            ("tns1:RecordingHistory/*/State", true),
            ("tns1:VideoSource//.|tns1:RecordingHistory//.", true),
            ("tns1:VideoSource/MotionAlarm", false),
            ("RecordingHistory/Track/State", true),
            ("t:RecordingHistory/t:Track/t:State", true),
        ] {
            let filter = TopicFilter::parse(expression, &prefixes).unwrap();
            assert_eq!(filter.matches(&track), want, "{expression}");
        }
        for bad in ["", "tns1:", "tns1:A//B//.", "tns1:A||tns1:B", "a b", "/A", "foo:A"] {
            assert_eq!(TopicFilter::parse(bad, &prefixes), None, "{bad}");
        }
    }
}
