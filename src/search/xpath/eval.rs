//! Expression and tree to yes or no.

use super::{Expr, Node, Op, Operand, Path, Predicate};

pub(super) fn expr<N: Node>(e: &Expr, tree: &N) -> bool {
    match e {
        Expr::And(list) => list.iter().all(|e| expr(e, tree)),
        Expr::Or(list) => list.iter().any(|e| expr(e, tree)),
        Expr::Not(e) => !expr(e, tree),
        Expr::Exists(path) => any(path, tree, &|_| true),
        Expr::Contains(path, text) => any(path, tree, &|n| n.text().contains(text.as_str())),
    }
}

/// Whether some element that the path leads to passes the test.
fn any<N: Node>(path: &Path, tree: &N, test: &dyn Fn(&N) -> bool) -> bool {
    let passes = |n: &N| path.predicate.as_ref().is_none_or(|p| predicate(p, n)) && test(n);
    if path.rooted {
        return from(&path.steps, tree, &passes);
    }
    anywhere(&path.steps, tree, &passes)
}

fn anywhere<N: Node>(steps: &[String], node: &N, test: &dyn Fn(&N) -> bool) -> bool {
    from(steps, node, test) || node.children().any(|c| anywhere(steps, c, test))
}

/// Whether the node is the first step and its children lead on.
fn from<N: Node>(steps: &[String], node: &N, test: &dyn Fn(&N) -> bool) -> bool {
    match steps {
        [name, ..] if !is(name, node) => false,
        [] => false,
        [_] => test(node),
        [_, rest @ ..] => node.children().any(|c| from(rest, c, test)),
    }
}

fn is<N: Node>(name: &str, node: &N) -> bool {
    name == "*" || name == node.name()
}

fn predicate<N: Node>(p: &Predicate, node: &N) -> bool {
    match p {
        Predicate::And(list) => list.iter().all(|p| predicate(p, node)),
        Predicate::Or(list) => list.iter().any(|p| predicate(p, node)),
        Predicate::Not(p) => !predicate(p, node),
        Predicate::Has(operand) => value(operand, node, &|_| true),
        Predicate::Contains(operand, text) => value(operand, node, &|v| v.contains(text.as_str())),
        Predicate::Compare(operand, op, text) => value(operand, node, &|v| compare(v, *op, text)),
    }
}

/// Whether some value of the operand passes the test (an element may be there several times).
fn value<N: Node>(operand: &Operand, node: &N, test: &dyn Fn(&str) -> bool) -> bool {
    match operand {
        Operand::Attribute(name) => node.attribute(name).is_some_and(test),
        Operand::Text => test(node.text().trim()),
        Operand::Child(steps) => {
            let test = |n: &N| test(n.text().trim());
            node.children().any(|c| from(steps, c, &test))
        }
    }
}

/// As numbers where both sides are, else as texts (R6.18-6).
fn compare(left: &str, op: Op, right: &str) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.partial_cmp(&b),
        _ => Some(left.cmp(right)),
    };
    let Some(order) = order else { return op == Op::Ne };
    match op {
        Op::Eq => order == Equal,
        Op::Ne => order != Equal,
        Op::Lt => order == Less,
        Op::Le => order != Greater,
        Op::Gt => order == Greater,
        Op::Ge => order != Less,
    }
}

#[cfg(test)]
mod tests {
    use crate::xpath::{Filter, Node};

    #[derive(Default)]
    struct Tree {
        name: &'static str,
        attributes: Vec<(&'static str, &'static str)>,
        text: &'static str,
        children: Vec<Tree>,
    }

    impl Node for Tree {
        fn name(&self) -> &str {
            self.name
        }
        fn attribute(&self, name: &str) -> Option<&str> {
            self.attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
        }
        fn text(&self) -> std::borrow::Cow<'_, str> {
            self.text.into()
        }
        fn children(&self) -> impl Iterator<Item = &Self> {
            self.children.iter()
        }
    }

    fn leaf(name: &'static str, text: &'static str) -> Tree {
        Tree { name, text, ..Tree::default() }
    }

    fn node(name: &'static str, children: Vec<Tree>) -> Tree {
        Tree { name, children, ..Tree::default() }
    }

    fn item(name: &'static str, value: &'static str) -> Tree {
        Tree {
            name: "SimpleItem",
            attributes: vec![("Name", name), ("Value", value)],
            ..Tree::default()
        }
    }

    fn recording() -> Tree {
        node(
            "RecordingInformation",
            vec![
                leaf("RecordingToken", "yard-1"),
                node("Source", vec![leaf("Location", "Basement"), leaf("Name", "Gate")]),
                node("Track", vec![leaf("TrackToken", "v"), leaf("TrackType", "Video")]),
                node("Track", vec![leaf("TrackToken", "a"), leaf("TrackType", "Audio")]),
                node("Data", vec![item("right", "0.75"), item("State", "true")]),
            ],
        )
    }

    #[test]
    fn the_dialect() {
        let tree = recording();
        for (filter, want) in [
            // R6.18-3, R6.18-4, R6.18-8
            ("boolean(//Track[TrackType = \"Video\"])", true),
            ("boolean(//tt:Track[tt:TrackType='Video'])", true),
            ("boolean(//Track[TrackType = \"Metadata\"])", false),
            ("boolean(//Source[Location=\"Basement\"])", true),
            ("boolean(//RecordingInformation/Track)", true),
            ("boolean(/RecordingInformation/Source)", true),
            ("boolean(/Source)", false),
            ("//Track", true),
            // R6.18-2: structure, with and without blanks
            (
                "boolean(//Track[TrackType=\"Video\"])and boolean(//Track[TrackType=\"Audio\"])",
                true,
            ),
            (
                "boolean(//Track[TrackType = \"Video\"]) and not( boolean(//Track[TrackType = \"Audio\"]) )",
                false,
            ),
            ("not(boolean(//Nothing))or(boolean(//Nothing))", true),
            ("( boolean(//Nothing) or boolean(//Track) ) and boolean(//Source)", true),
            ("boolean(//Nothing) or boolean(//Track) and boolean(//Nothing)", false),
            // R6.18-5
            ("contains(//Location, \"base\")", false),
            ("contains(//Location, \"Base\")", true),
            ("contains(//Source/Name, 'at')", true),
            // R6.18-6, R6.18-7
            ("boolean(//SimpleItem[@Name=\"right\" and @Value > \"0.5\"])", true),
            ("boolean(//SimpleItem[@Name=\"right\" and @Value > \"0.80\"])", false),
            ("boolean(//SimpleItem[@Name=\"right\" and not(@Value = \"1\")])", true),
            ("boolean(//SimpleItem[@Name=\"x\" or @Value != \"true\"])", true),
            (
                "boolean(//SimpleItem[@Name=\"State\" and @Value <= \"true\" and @Value >= \"true\"])",
                true,
            ),
            ("boolean(//SimpleItem[@Value < 0.5])", false),
            // What a widespread client appends
            (
                "boolean(//Track[TrackType = \"Video\"]),2016-12-06T08:07:43Z,99999999,20,99999999,20",
                true,
            ),
        ] {
            let parsed = Filter::parse(filter).unwrap_or_else(|e| panic!("{filter}: {e}"));
            assert_eq!(parsed.matches(&tree), want, "{filter}");
        }
    }

    #[test]
    fn what_is_not_of_the_dialect_is_refused_with_its_place() {
        // R6.18-9
        for (filter, at) in [
            ("", 0),
            ("boolean(", 8),
            ("boolean(//Track", 15),
            ("boolean(//Track[TrackType = Video])", 28),
            ("boolean(//Track[TrackType = \"Video])", 28),
            ("boolean(//Track) garbage", 17),
            ("boolean(//Track),x", 16),
            ("//1", 2),
        ] {
            assert_eq!(Filter::parse(filter).map_err(|e| e.at), Err(at), "{filter}");
        }
        assert!(Filter::parse(&"(".repeat(100_000)).is_err());
        assert!(Filter::parse(&format!("{}//a{}", "(".repeat(40), ")".repeat(40))).is_err());
    }

    #[test]
    fn no_prefix_of_a_filter_panics() {
        let long = "not(boolean(//a/b[@c=\"1\" and (d<='ü' or not(contains(.,\"x\")))]) and contains(//é, \"y\"))";
        assert!(Filter::parse(long).is_ok());
        // The first three are names, and a bare name is a path.
        for end in (4..long.len()).filter(|i| long.is_char_boundary(*i)) {
            assert!(Filter::parse(&long[..end]).is_err(), "{}", &long[..end]);
        }
    }
}
