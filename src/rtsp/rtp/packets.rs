//! A batch of packets that waits to be written: headers in one buffer, payloads as slices of the
//! footage, so that one vectored write sends many packets and copies none.

use bytes::Bytes;

/// Where an entry goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Onto the RTSP connection as it is: a response.
    Response,
    /// Onto the RTSP connection as an interleaved packet of that channel.
    Interleaved(u8),
    /// To the RTP port of that stream of the session.
    Rtp(usize),
    /// To the RTCP port of that stream of the session.
    Rtcp(usize),
}

/// One packet or response.
#[derive(Clone, Debug)]
pub struct Entry {
    head: std::ops::Range<usize>,
    body: Bytes,
    target: Target,
}

/// A batch.
#[derive(Debug, Default)]
pub struct Packets {
    heads: Vec<u8>,
    entries: Vec<Entry>,
    /// Entries that are written.
    done: usize,
    /// Bytes of the next entry that are written.
    partial: usize,
    /// Bytes in all entries that are not written yet.
    pending_bytes: usize,
}

/// Datagrams at the head of a batch that one segmented send takes: to one target, all of one size
/// but the last, which may be smaller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// Where they go.
    pub target: Target,
    /// How many there are.
    pub packets: usize,
    /// Size of each but the last.
    pub segment_bytes: usize,
    /// Size of all.
    pub bytes: usize,
}

const INTERLEAVED_HEAD: usize = 4;
/// Written entries that are kept until all are written: fewer are not worth the moving.
const KEPT: usize = 256;

impl Entry {
    fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

impl Packets {
    /// Appends a packet: `head` writes its header bytes, `body` follows. An interleaved one gets
    /// its frame header (RFC 2326 10.12) in front.
    pub fn push(&mut self, target: Target, body: Bytes, head: impl FnOnce(&mut Vec<u8>)) {
        if self.is_empty() {
            self.clear();
        } else if self.done >= KEPT && self.done >= self.entries.len() / 2 {
            self.forget_done();
        }
        let start = self.heads.len();
        if let Target::Interleaved(channel) = target {
            self.heads.extend_from_slice(&[b'$', channel, 0, 0]);
            head(&mut self.heads);
            let len = self.heads.len() - start - INTERLEAVED_HEAD + body.len();
            // Packets are cut to far below 64 kB by who packetizes.
            let len = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
            self.heads[start + 2..start + INTERLEAVED_HEAD].copy_from_slice(&len);
        } else {
            head(&mut self.heads);
        }
        let head = start..self.heads.len();
        self.pending_bytes += head.len() + body.len();
        self.entries.push(Entry { head, body, target });
    }

    /// Appends a response. It is copied: thousands of them may wait for a client that does not
    /// read, and a buffer for each would cost more than what is in it.
    pub fn push_response(&mut self, bytes: &[u8]) {
        self.push(Target::Response, Bytes::new(), |head| head.extend_from_slice(bytes));
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.done == self.entries.len()
    }

    /// Bytes that are not written yet.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Entries that are not written yet.
    pub fn pending(&self) -> usize {
        self.entries.len() - self.done
    }

    /// Slices for one vectored write, at most `out.len()`; returns how many were set.
    pub fn slices<'a>(&'a self, out: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut n = 0;
        let mut skip = self.partial;
        for e in &self.entries[self.done..] {
            if n + 2 > out.len() {
                break;
            }
            for part in self.parts(e) {
                let cut = skip.min(part.len());
                skip -= cut;
                let part = &part[cut..];
                if !part.is_empty() {
                    out[n] = std::io::IoSlice::new(part);
                    n += 1;
                }
            }
        }
        n
    }

    fn parts<'a>(&'a self, e: &'a Entry) -> [&'a [u8]; 2] {
        [&self.heads[e.head.clone()], &e.body[..]]
    }

    /// Says that so many bytes of the slices were written.
    pub fn advance(&mut self, mut written: usize) {
        self.pending_bytes = self.pending_bytes.saturating_sub(written);
        while let Some(e) = self.entries.get(self.done) {
            let left = e.bytes() - self.partial;
            if written < left {
                self.partial += written;
                return;
            }
            written -= left;
            self.partial = 0;
            self.done += 1;
        }
        self.clear();
    }

    /// The next entries that can be sent as one, but at most so many of at most so many bytes; one
    /// always.
    pub fn run(&self, most_packets: usize, most_bytes: usize) -> Option<Run> {
        let mut rest = self.entries[self.done..].iter();
        let first = rest.next()?;
        let segment_bytes = first.bytes();
        let mut run = Run { target: first.target, packets: 1, segment_bytes, bytes: segment_bytes };
        for e in rest {
            let (len, before) = (e.bytes(), run.packets * segment_bytes);
            let fits = run.packets < most_packets && run.bytes + len <= most_bytes;
            // A smaller one is the last.
            if e.target != run.target || len > segment_bytes || !fits || run.bytes < before {
                break;
            }
            run.packets += 1;
            run.bytes += len;
        }
        Some(run)
    }

    /// The next entry as a datagram: target, header and payload.
    pub fn datagram(&self) -> Option<(Target, [&[u8]; 2])> {
        let e = self.entries.get(self.done)?;
        Some((e.target, self.parts(e)))
    }

    /// Says that the next entry was sent.
    pub fn datagram_done(&mut self) {
        self.datagrams_done(1);
    }

    /// The next entries as datagrams: header and payload of each.
    pub fn datagrams(&self) -> impl Iterator<Item = [&[u8]; 2]> {
        self.entries[self.done..].iter().map(|e| self.parts(e))
    }

    /// Says that so many entries were sent.
    pub fn datagrams_done(&mut self, count: usize) {
        let sent = self.entries[self.done..].iter().take(count);
        let bytes = sent.map(Entry::bytes).sum();
        self.advance(bytes);
    }

    /// Takes out the media that nobody has seen any of: for each target all packets from the next one
    /// on that `begins` a unit. A unit that is partly written stays whole. Calls `gone` for each.
    pub fn discard(
        &mut self,
        begins: impl Fn(&[u8]) -> bool,
        mut gone: impl FnMut(Target, &[u8], usize),
    ) {
        let written = self.done + usize::from(self.partial > 0);
        let mut from: Vec<Target> = Vec::new();
        let mut dropped = 0;
        let heads = &self.heads;
        let mut index = 0;
        self.entries.retain(|e| {
            index += 1;
            let head = match e.target {
                Target::Rtp(_) => &heads[e.head.clone()],
                Target::Interleaved(channel) if channel.is_multiple_of(2) => {
                    &heads[e.head.clone()][INTERLEAVED_HEAD..]
                }
                _ => return true,
            };
            if index <= written {
                return true;
            }
            if !from.contains(&e.target) {
                if !begins(head) {
                    return true;
                }
                from.push(e.target);
            }
            gone(e.target, head, e.body.len());
            dropped += e.bytes();
            false
        });
        self.pending_bytes = self.pending_bytes.saturating_sub(dropped);
    }

    /// For readers so slow that there is always something left: what is written goes, with the
    /// footage that it holds.
    fn forget_done(&mut self) {
        let cut = self.entries.get(self.done).map_or(self.heads.len(), |e| e.head.start);
        self.heads.drain(..cut);
        self.entries.drain(..self.done);
        for e in &mut self.entries {
            e.head = e.head.start - cut..e.head.end - cut;
        }
        self.done = 0;
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.entries.clear();
        (self.done, self.partial, self.pending_bytes) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;

    fn batch() -> Packets {
        let mut p = Packets::default();
        p.push_response(b"RTSP/1.0 200 OK\r\n\r\n");
        p.push(Target::Interleaved(2), Bytes::from_static(b"body"), |h| {
            h.extend_from_slice(b"head")
        });
        p.push(Target::Interleaved(3), Bytes::new(), |h| h.extend_from_slice(b"rtcp"));
        p
    }

    const WIRE: &[u8] = b"RTSP/1.0 200 OK\r\n\r\n$\x02\x00\x08headbody$\x03\x00\x04rtcp";

    #[test]
    fn whatever_is_written_at_a_time_the_wire_is_the_same() {
        for step in 1..=WIRE.len() {
            let mut p = batch();
            let mut wire = Vec::new();
            while !p.is_empty() {
                let mut slices = [IoSlice::new(&[]); 16];
                let n = p.slices(&mut slices);
                let all: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
                assert_eq!(all.len(), p.pending_bytes());
                let take = step.min(all.len());
                wire.extend_from_slice(&all[..take]);
                p.advance(take);
            }
            assert_eq!(wire, WIRE, "step {step}");
        }
    }

    /// Packets of these targets and sizes.
    fn datagrams(list: &[(Target, usize)]) -> Packets {
        let mut p = Packets::default();
        for (target, len) in list {
            p.push(*target, vec![0; len - 1].into(), |h| h.push(b'h'));
        }
        p
    }

    #[test]
    fn what_is_discarded_begins_with_a_unit_and_nothing_else_goes() {
        let begins = |head: &[u8]| head[0] == b'A';
        for written in 0..100 {
            let mut p = Packets::default();
            for (channel, head) in [(0, "A1"), (0, "a2"), (2, "A3"), (0, "A4"), (1, "r"), (0, "a5")]
            {
                p.push(Target::Interleaved(channel), Bytes::from_static(b"."), |h| {
                    h.extend_from_slice(head.as_bytes());
                });
            }
            p.push_response(b"RTSP");
            let total = p.pending_bytes();
            let whole = wire(&p);
            if written > total {
                break;
            }
            p.advance(written);
            let mut gone = Vec::new();
            p.discard(begins, |_, head, _| gone.push(String::from_utf8_lossy(head).into_owned()));
            let rest = wire(&p);
            assert_eq!(rest.len(), p.pending_bytes(), "{written}");
            let text = String::from_utf8_lossy(&[&whole[..written], &rest].concat()).into_owned();
            // Nothing of A1: all but reports goes. Something: its second packet stays.
            for (a, b) in [("A1", "a2"), ("A4", "a5")] {
                assert_eq!(text.contains(a), text.contains(b), "{written}: {text}");
            }
            assert!(text.contains('r') && text.ends_with("RTSP"), "{written}: {text}");
            let all = ["A1", "a2", "A3", "A4", "a5"];
            assert!(all.iter().all(|p| text.contains(p) != gone.iter().any(|g| g == p)), "{text}");
        }
    }

    fn wire(p: &Packets) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 32];
        let n = p.slices(&mut slices);
        slices[..n].iter().flat_map(|s| s.iter().copied()).collect()
    }

    /// A reader that never catches up: as much comes as goes, for ever.
    #[test]
    fn what_is_written_is_forgotten_though_something_is_always_left() {
        let (mut p, mut wire, mut expected) = (Packets::default(), Vec::new(), Vec::new());
        for n in 0..20_000u32 {
            let text = n.to_be_bytes();
            p.push(Target::Interleaved(1), Bytes::copy_from_slice(&text), |h| h.push(b'h'));
            expected.extend_from_slice(&[b'$', 1, 0, 5, b'h']);
            expected.extend_from_slice(&text);
            if n < 100 {
                continue;
            }
            // Nine bytes, from the middle of one to the middle of the next.
            let mut left = if n == 100 { 4 } else { 9 };
            while left > 0 {
                let mut slices = [IoSlice::new(&[]); 4];
                let filled = p.slices(&mut slices);
                let all: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                let taken = left.min(all.len());
                wire.extend_from_slice(&all[..taken]);
                p.advance(taken);
                left -= taken;
            }
            assert!(p.pending() <= 101 && p.entries.len() <= 2 * (KEPT + 101));
            assert!(p.heads.len() <= 5 * p.entries.len());
        }
        assert_eq!(wire, expected[..wire.len()]);
        assert_eq!(p.pending_bytes(), expected.len() - wire.len());
    }

    #[test]
    fn datagrams_come_one_by_one() {
        let mut p = Packets::default();
        p.push(Target::Rtp(0), Bytes::from_static(b"b"), |h| h.push(b'a'));
        p.push(Target::Rtcp(1), Bytes::new(), |h| h.push(b'c'));
        assert_eq!(p.datagram(), Some((Target::Rtp(0), [&b"a"[..], &b"b"[..]])));
        p.datagram_done();
        assert_eq!(p.datagram(), Some((Target::Rtcp(1), [&b"c"[..], &b""[..]])));
        p.datagram_done();
        assert!(p.datagram().is_none() && p.is_empty());
    }

    #[test]
    fn a_run_ends_with_its_target_its_size_or_a_smaller_one() {
        let (a, b, c) = (Target::Rtp(0), Target::Rtp(1), Target::Rtcp(0));
        for (list, packets) in [
            (&[(a, 9)][..], &[1][..]),
            // Parameter sets, then a unit in fragments, then one that fits into a packet.
            (&[(a, 5), (a, 3), (a, 9), (a, 9), (a, 9), (a, 4), (a, 2)], &[2, 4, 1]),
            (&[(a, 9), (a, 9), (a, 9)], &[3]),
            (&[(a, 9), (b, 9), (a, 9)], &[1, 1, 1]),
            (&[(a, 9), (a, 9), (c, 9), (c, 9)], &[2, 2]),
            (&[(a, 4), (a, 9)], &[1, 1]),
        ] {
            let mut p = datagrams(list);
            let mut runs = Vec::new();
            while let Some(run) = p.run(64, 1000) {
                let sizes: Vec<usize> =
                    p.datagrams().take(run.packets).map(|d| d.concat().len()).collect();
                assert!(sizes[..run.packets - 1].iter().all(|s| *s == run.segment_bytes));
                assert_eq!(sizes.iter().sum::<usize>(), run.bytes);
                runs.push(run.packets);
                p.datagrams_done(run.packets);
            }
            assert_eq!(runs, packets, "{list:?}");
            assert_eq!((p.is_empty(), p.pending_bytes()), (true, 0));
        }
    }

    #[test]
    fn a_run_is_bounded_but_never_empty() {
        let p = datagrams(&[(Target::Rtp(0), 9); 5]);
        for (packets, bytes, expected) in [(2, 1000, 2), (64, 27, 3), (64, 26, 2), (0, 0, 1)] {
            assert_eq!(p.run(packets, bytes).unwrap().packets, expected);
        }
        assert_eq!(Packets::default().run(64, 1000), None);
    }
}
