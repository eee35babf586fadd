//! Text to expression. Recursive descent with a bound on length and depth.

use std::fmt;

use super::{Expr, Op, Operand, Path, Predicate};

/// Longest filter that is read.
const MAX_LENGTH: usize = 8 * 1024;
/// Deepest nesting of parentheses, brackets and functions.
const MAX_DEPTH: usize = 32;

/// Why a text is not of the dialect, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseError {
    /// Byte of the text.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at character {}", self.expected, self.at)
    }
}

impl std::error::Error for ParseError {}

type Result<T> = std::result::Result<T, ParseError>;

pub(super) fn filter(text: &str) -> Result<Expr> {
    if text.len() > MAX_LENGTH {
        return Err(ParseError { at: MAX_LENGTH, expected: "the end of the filter" });
    }
    let mut p = Parser { text, at: 0, depth: 0 };
    let expr = p.or()?;
    p.blank();
    if p.rest().is_empty() || is_client_tail(p.rest()) {
        Ok(expr)
    } else {
        Err(p.error("and, or, or the end of the filter"))
    }
}

/// `,2016-12-06T08:07:43Z,99999999,20,99999999,20`: a time, then milliseconds and count before it
/// and after it. It is meant for another server than this one.
fn is_client_tail(text: &str) -> bool {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let numbers = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 6
        && parts[0].is_empty()
        && parts[1].parse::<dvrgate_model::Utc>().is_ok()
        && parts[2..].iter().all(numbers)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, expected: &'static str) -> ParseError {
        ParseError { at: self.at, expected }
    }

    fn blank(&mut self) {
        let trimmed = self.rest().trim_start();
        self.at = self.text.len() - trimmed.len();
    }

    /// Takes a symbol.
    fn take(&mut self, symbol: &str) -> bool {
        self.blank();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn need(&mut self, symbol: &'static str) -> Result<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.error(symbol)) }
    }

    /// Takes a word that no letter follows.
    fn word(&mut self, word: &str) -> bool {
        self.blank();
        let follows = self.rest().strip_prefix(word);
        let found = follows.is_some_and(|r| !r.starts_with(is_name));
        if found {
            self.at += word.len();
        }
        found
    }

    /// Takes `word (`.
    fn function(&mut self, word: &str) -> bool {
        let start = self.at;
        let found = self.word(word) && self.take("(");
        if !found {
            self.at = start;
        }
        found
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.error("a filter with less nesting"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// `item (word item)*`
    fn list<T>(
        &mut self,
        word: &str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.word(word) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn or(&mut self) -> Result<Expr> {
        let list = self.list("or", Self::and)?;
        Ok(single(list, Expr::Or))
    }

    fn and(&mut self) -> Result<Expr> {
        let list = self.list("and", Self::term)?;
        Ok(single(list, Expr::And))
    }

    fn term(&mut self) -> Result<Expr> {
        if self.function("not") {
            let inner = self.nested(Self::or)?;
            self.need(")")?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        if self.function("boolean") {
            // Clients nest whole expressions in here, not only paths.
            let inner = self.nested(Self::or)?;
            self.need(")")?;
            return Ok(inner);
        }
        if self.function("contains") {
            let path = self.nested(Self::path)?;
            self.need(",")?;
            let text = self.string()?;
            self.need(")")?;
            return Ok(Expr::Contains(path, text));
        }
        if self.take("(") {
            let inner = self.nested(Self::or)?;
            self.need(")")?;
            return Ok(inner);
        }
        self.blank();
        // Clients leave boolean() out; but a word alone is no filter.
        if self.depth == 0 && !self.rest().starts_with('/') {
            return Err(self.error("boolean(, contains(, not( or a path"));
        }
        Ok(Expr::Exists(self.nested(Self::path)?))
    }

    fn path(&mut self) -> Result<Path> {
        let rooted = !self.take("//") && self.take("/");
        let mut steps = vec![self.name()?];
        while self.take("/") {
            steps.push(self.name()?);
        }
        let mut predicates = Vec::new();
        while self.take("[") {
            predicates.push(self.nested(Self::predicate_or)?);
            self.need("]")?;
        }
        let predicate = (!predicates.is_empty()).then(|| single(predicates, Predicate::And));
        Ok(Path { rooted, steps, predicate })
    }

    fn predicate_or(&mut self) -> Result<Predicate> {
        let list = self.list("or", |p| {
            let list = p.list("and", Self::predicate_term)?;
            Ok(single(list, Predicate::And))
        })?;
        Ok(single(list, Predicate::Or))
    }

    fn predicate_term(&mut self) -> Result<Predicate> {
        if self.function("not") {
            let inner = self.nested(Self::predicate_or)?;
            self.need(")")?;
            return Ok(Predicate::Not(Box::new(inner)));
        }
        if self.function("contains") {
            let operand = self.operand()?;
            self.need(",")?;
            let text = self.string()?;
            self.need(")")?;
            return Ok(Predicate::Contains(operand, text));
        }
        if self.take("(") {
            let inner = self.nested(Self::predicate_or)?;
            self.need(")")?;
            return Ok(inner);
        }
        let operand = self.operand()?;
        for (symbol, op) in [
            ("!=", Op::Ne),
            ("<=", Op::Le),
            (">=", Op::Ge),
            ("=", Op::Eq),
            ("<", Op::Lt),
            (">", Op::Gt),
        ] {
            if self.take(symbol) {
                return Ok(Predicate::Compare(operand, op, self.string()?));
            }
        }
        Ok(Predicate::Has(operand))
    }

    fn operand(&mut self) -> Result<Operand> {
        if self.take("@") {
            return Ok(Operand::Attribute(self.name()?));
        }
        if self.function("text") {
            self.need(")")?;
            return Ok(Operand::Text);
        }
        if self.take(".") {
            return Ok(Operand::Text);
        }
        let mut steps = vec![self.name()?];
        while self.take("/") {
            steps.push(self.name()?);
        }
        Ok(Operand::Child(steps))
    }

    /// A local name, with any prefix taken off, or `*`.
    fn name(&mut self) -> Result<String> {
        self.blank();
        if self.take("*") {
            return Ok("*".to_owned());
        }
        let rest = self.rest();
        let end = rest.find(|c| !is_name(c) && c != ':').unwrap_or(rest.len());
        let local = rest[..end].rsplit(':').next().unwrap_or_default();
        if local.is_empty() || local.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return Err(self.error("a name"));
        }
        self.at += end;
        Ok(local.to_owned())
    }

    /// A text in double or single quotes, or a bare number.
    fn string(&mut self) -> Result<String> {
        self.blank();
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+'))
                .unwrap_or(rest.len());
            if rest[..end].parse::<f64>().is_err() {
                return Err(self.error("a text in quotes"));
            }
            self.at += end;
            return Ok(rest[..end].to_owned());
        };
        let Some(len) = rest[1..].find(quote) else {
            return Err(self.error("a closing quote"));
        };
        self.at += len + 2;
        Ok(rest[1..=len].to_owned())
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The only item, or all of them under `join`.
fn single<T>(mut list: Vec<T>, join: impl FnOnce(Vec<T>) -> T) -> T {
    if list.len() == 1 { list.remove(0) } else { join(list) }
}
