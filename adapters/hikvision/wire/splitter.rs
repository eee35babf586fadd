//! Finds alerts in a multipart answer that never ends.
//!
//! Boundaries do not match their header, part lengths are wrong, lines end in bare LF. So parts are
//! found by what they are: from `<EventNotificationAlert` to its end tag, or a JSON object behind
//! an `application/json` header. Pictures in between are passed over.
//!
//! Whatever is sent, a byte is looked at a bounded number of times: the search goes on where it
//! stopped, a start within a part that has not ended replaces it, and what was given up as JSON is
//! never tried as JSON again.

use memchr::memchr3;

/// Longest alert; with regions and targets they reach some kilobytes.
const MAX_ALERT_BYTES: usize = 256 * 1024;
const JSON_MARK: &[u8] = b"application/json";
const OPEN: &[u8] = b"<EventNotificationAlert";
const CLOSE: &[u8] = b"</EventNotificationAlert>";

/// One part: the bytes of an alert.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// An XML document.
    Xml(Vec<u8>),
    /// A JSON object.
    Json(Vec<u8>),
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    buffer: Vec<u8>,
    /// Where what is still needed begins: the part that is being read, else the same as `at`.
    head: usize,
    /// Where the search goes on.
    at: usize,
    reading: Reading,
    /// No JSON begins before this.
    json_from: usize,
    /// Bytes that were looked at.
    #[cfg(test)]
    work: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Reading {
    /// Nothing: the next start is looked for.
    #[default]
    Between,
    /// An alert in XML.
    Xml,
    /// What stands between a JSON header and its object.
    JsonHeader,
    /// A JSON object that begins at an offset.
    Json { start: usize, depth: usize, quoted: bool, escaped: bool },
}

/// What stands somewhere in the buffer.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    Close,
    Json,
    Brace,
    /// As much of a mark as has come.
    Cut,
    Other,
}

impl Splitter {
    /// Takes the next bytes and gives the alerts that are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        // Large chunks (pictures) are taken in pieces, so that the buffer stays bounded.
        for chunk in bytes.chunks(MAX_ALERT_BYTES) {
            self.buffer.extend_from_slice(chunk);
            while self.step(&mut parts) {}
            self.buffer.drain(..self.head);
            self.at -= self.head;
            self.json_from = self.json_from.saturating_sub(self.head);
            if let Reading::Json { start, .. } = &mut self.reading {
                *start -= self.head;
            }
            self.head = 0;
        }
        parts
    }

    /// Reads on until something changes; false where more bytes are needed.
    fn step(&mut self, parts: &mut Vec<Part>) -> bool {
        let before = self.at;
        let again = match self.reading {
            Reading::Between => self.between(),
            Reading::Xml => self.xml(parts),
            Reading::JsonHeader => self.json_header(),
            Reading::Json { start, depth, quoted, escaped } => {
                self.json(parts, start, depth, quoted, escaped)
            }
        };
        self.looked_at(self.at.abs_diff(before));
        again || self.give_up()
    }

    #[cfg(test)]
    fn looked_at(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    fn looked_at(&mut self, _bytes: usize) {}

    fn between(&mut self) -> bool {
        let found = self.seek(|s, mark, at| match mark {
            Mark::Open => Some(Reading::Xml),
            Mark::Json if at >= s.json_from => Some(Reading::JsonHeader),
            _ => None,
        });
        self.head = self.at;
        found.is_some_and(|reading| {
            self.reading = reading;
            self.at += if matches!(reading, Reading::Xml) { OPEN.len() } else { JSON_MARK.len() };
            true
        })
    }

    fn xml(&mut self, parts: &mut Vec<Part>) -> bool {
        let found =
            self.seek(|_, mark, _| [Mark::Open, Mark::Close].contains(&mark).then_some(mark));
        match found {
            Some(Mark::Close) => {
                self.at += CLOSE.len();
                parts.push(Part::Xml(self.since(self.head)));
                self.head = self.at;
                self.reading = Reading::Between;
            }
            // A second start before an end: the first one was cut off.
            Some(_) => {
                self.head = self.at;
                self.at += OPEN.len();
            }
            None => return false,
        }
        true
    }

    /// From the header to the first brace; another start means that there is no object.
    fn json_header(&mut self) -> bool {
        let wanted = [Mark::Open, Mark::Json, Mark::Brace];
        let found = self.seek(|_, mark, _| wanted.contains(&mark).then_some(mark));
        self.reading = match found {
            Some(Mark::Brace) => {
                Reading::Json { start: self.at, depth: 0, quoted: false, escaped: false }
            }
            Some(_) => Reading::Between,
            None => return false,
        };
        true
    }

    /// From the first brace to the one that closes it. A start outside of texts means that the object
    /// was cut off.
    fn json(
        &mut self,
        parts: &mut Vec<Part>,
        start: usize,
        mut depth: usize,
        mut quoted: bool,
        mut escaped: bool,
    ) -> bool {
        while let Some(b) = self.buffer.get(self.at) {
            if !quoted && matches!(b, b'<' | b'a') {
                match mark_at(self.buffer.get(self.at..).unwrap_or_default()) {
                    Mark::Open | Mark::Json => {
                        self.reading = Reading::Between;
                        return true;
                    }
                    Mark::Cut => break,
                    _ => {}
                }
            }
            self.at += 1;
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        parts.push(Part::Json(self.since(start)));
                        self.head = self.at;
                        self.reading = Reading::Between;
                        return true;
                    }
                }
                _ => {}
            }
        }
        self.reading = Reading::Json { start, depth, quoted, escaped };
        false
    }

    /// Leaves a part that is longer than any alert, and looks for others within it.
    fn give_up(&mut self) -> bool {
        let skip = match self.reading {
            Reading::Between => return false,
            _ if self.buffer.len() - self.head <= MAX_ALERT_BYTES => return false,
            Reading::Xml => OPEN.len(),
            Reading::JsonHeader | Reading::Json { .. } => {
                self.json_from = self.at;
                JSON_MARK.len()
            }
        };
        self.head += skip;
        self.at = self.head;
        self.reading = Reading::Between;
        true
    }

    fn since(&self, start: usize) -> Vec<u8> {
        self.buffer.get(start..self.at).unwrap_or_default().to_vec()
    }

    /// Goes to the next mark that is wanted, else to where one may be cut off, else to the end.
    fn seek<T>(&mut self, wanted: impl Fn(&Self, Mark, usize) -> Option<T>) -> Option<T> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let Some(n) = memchr3(b'<', b'a', b'{', rest) else {
                self.at = self.buffer.len();
                return None;
            };
            self.at += n;
            let mark = mark_at(rest.get(n..).unwrap_or_default());
            if mark == Mark::Cut {
                return None;
            }
            if let Some(found) = wanted(self, mark, self.at) {
                return Some(found);
            }
            self.at += 1;
        }
    }
}

fn mark_at(bytes: &[u8]) -> Mark {
    let brace: &[u8] = b"{";
    let marks =
        [(OPEN, Mark::Open), (CLOSE, Mark::Close), (JSON_MARK, Mark::Json), (brace, Mark::Brace)];
    for (text, mark) in marks {
        if bytes.starts_with(text) {
            return mark;
        }
        if text.starts_with(bytes) {
            return Mark::Cut;
        }
    }
    Mark::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_was_cut_off_is_passed_over() {
        let mut s = Splitter::default();
        let bytes = b"<EventNotificationAlert><a>--b\n<EventNotificationAlert><eventType>VMD</eventType></EventNotificationAlert>";
        let parts = s.push(bytes);
        assert!(
            matches!(&parts[..], [Part::Xml(x)] if x.starts_with(b"<EventNotificationAlert><eventType>"))
        );
        assert!(s.buffer.is_empty());
        let json =
            b"application/json\n\n--b\nContent-Type: application/json\n\n{\"a\":\"}\\\"\"}--b";
        for pieces in 1..json.len() {
            let parts: Vec<_> = json.chunks(pieces).flat_map(|c| s.push(c)).collect();
            assert_eq!(parts, [Part::Json(b"{\"a\":\"}\\\"\"}".to_vec())], "pieces of {pieces}");
        }
    }

    #[test]
    fn the_buffer_is_bounded() {
        let mut s = Splitter::default();
        for _ in 0..40 {
            s.push(&[0xff; 100_000]);
            assert!(s.buffer.len() < CLOSE.len());
        }
        s.push(OPEN);
        for _ in 0..40 {
            s.push(&[b'x'; 100_000]);
            assert!(s.buffer.len() <= 2 * MAX_ALERT_BYTES);
        }
        s.push(b"Content-Type: application/json\n\n{");
        for _ in 0..40 {
            s.push(&[b'{'; 100_000]);
            assert!(s.buffer.len() <= 2 * MAX_ALERT_BYTES);
        }
    }

    /// Streams made to have everything looked at again and again.
    #[test]
    fn no_byte_is_looked_at_often() {
        let alert = b"<EventNotificationAlert><a>1</a></EventNotificationAlert>";
        let streams: [(&str, &[u8], usize); 7] = [
            ("starts", OPEN, 1),
            ("starts of tags", b"<<<<<<<<", 1),
            ("headers", b"application/json\n\n", 1),
            ("headers and braces", b"application/json{", 1),
            ("headers in a text", b"application/json{\"", 1),
            ("alerts", alert, 1),
            ("one start in front of all", b"xaaaa<aaaa\"{", 1),
        ];
        for (what, unit, bytes_at_once) in streams {
            let total = 3 * MAX_ALERT_BYTES;
            let mut stream = OPEN.to_vec();
            stream.extend(unit.iter().cycle().take(total));
            for pieces in [bytes_at_once, 1_460, total] {
                let mut s = Splitter::default();
                let found: usize = stream.chunks(pieces).map(|c| s.push(c).len()).sum();
                assert!(
                    s.work <= 4 * stream.len(),
                    "{what} in pieces of {pieces}: {} of {}",
                    s.work,
                    stream.len()
                );
                assert_eq!(found > 0, what == "alerts", "{what}");
            }
        }
    }

    #[test]
    fn what_follows_a_part_without_end_is_found() {
        let alert = b"<EventNotificationAlert><a>1</a></EventNotificationAlert>";
        for start in [&b"application/json{\""[..], OPEN, b"application/json "] {
            let mut s = Splitter::default();
            s.push(start);
            s.push(&vec![b'x'; MAX_ALERT_BYTES + 1]);
            assert_eq!(s.push(alert), [Part::Xml(alert.to_vec())]);
            assert_eq!(s.push(b"application/json{}"), [Part::Json(b"{}".to_vec())]);
        }
    }
}
