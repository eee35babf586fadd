//! H.264 and H.265: single units, aggregates and fragments.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Depacketized, MAX_UNIT_BYTES, Ready, may_miss_its_start};

/// Builds length-prefixed access units.
#[derive(Debug)]
pub(super) struct Assembler {
    h265: bool,
    unit: BytesMut,
    time: i64,
    /// Where the length of the open fragmented NAL unit stands in `unit`.
    fragment: Option<usize>,
    /// The unit of this time has a hole; its packets are dropped.
    damaged: Option<i64>,
    /// Packets lost just now; the next one decides which units they cost.
    lost: u16,
}

enum Nal {
    Single,
    Aggregate,
    Fragment { start: bool, end: bool, header: [u8; 2], header_len: usize, skip: usize },
    Bad(&'static str),
}

impl Assembler {
    pub(super) fn h264() -> Self {
        Self::new(false)
    }

    pub(super) fn h265() -> Self {
        Self::new(true)
    }

    fn new(h265: bool) -> Self {
        Self { h265, unit: BytesMut::new(), time: 0, fragment: None, damaged: None, lost: 0 }
    }

    pub(super) fn push(&mut self, time: i64, marker: bool, payload: Bytes, ready: &mut Ready) {
        let kind = self.classify(&payload);
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            let damaged = may_miss_its_start(time == self.time, !self.unit.is_empty(), lost);
            self.damaged = damaged.then_some(time);
            self.unit.clear();
            self.fragment = None;
        }
        if time != self.time && !self.unit.is_empty() {
            self.flush(ready);
        }
        self.time = time;
        if self.damaged == Some(time) {
            return;
        }
        self.damaged = None;
        if let Err(why) = self.append(kind, &payload) {
            ready.push_back(Depacketized::Lost { packets: 0, why });
            self.drop_unit();
            return;
        }
        if marker {
            self.flush(ready);
        }
    }

    fn append(&mut self, kind: Nal, payload: &[u8]) -> Result<(), &'static str> {
        if self.unit.len() + payload.len() > MAX_UNIT_BYTES {
            return Err("access unit is too long");
        }
        if self.fragment.is_some() && !matches!(kind, Nal::Fragment { start: false, .. }) {
            return Err("fragmented unit without end");
        }
        match kind {
            Nal::Single => self.put(payload),
            Nal::Aggregate => {
                let mut rest = &payload[if self.h265 { 2 } else { 1 }..];
                while let Some((len, tail)) = rest.split_first_chunk::<2>() {
                    let (nal, tail) = tail
                        .split_at_checked(usize::from(u16::from_be_bytes(*len)))
                        .ok_or("aggregate is cut off")?;
                    self.put(nal);
                    rest = tail;
                }
            }
            Nal::Fragment { start, end, header, header_len, skip } => {
                if start {
                    self.fragment = Some(self.unit.len());
                    self.unit.put_u32(0);
                    self.unit.put_slice(&header[..header_len]);
                }
                let at = self.fragment.ok_or("fragment without start")?;
                self.unit.put_slice(&payload[skip..]);
                if end {
                    let len = (self.unit.len() - at - 4) as u32;
                    self.unit[at..at + 4].copy_from_slice(&len.to_be_bytes());
                    self.fragment = None;
                }
            }
            Nal::Bad(why) => return Err(why),
        }
        Ok(())
    }

    fn put(&mut self, nal: &[u8]) {
        // An empty NAL unit says nothing and would upset readers.
        if !nal.is_empty() {
            self.unit.put_u32(nal.len() as u32);
            self.unit.put_slice(nal);
        }
    }

    fn classify(&self, p: &[u8]) -> Nal {
        if self.h265 {
            let Some(&[a, b]) = p.first_chunk::<2>() else { return Nal::Bad("empty packet") };
            match a >> 1 & 0x3f {
                0..=47 => Nal::Single,
                48 => Nal::Aggregate,
                49 => match p.get(2) {
                    Some(fu) => Nal::Fragment {
                        start: fu & 0x80 != 0,
                        end: fu & 0x40 != 0,
                        header: [(a & 0x81) | (fu & 0x3f) << 1, b],
                        header_len: 2,
                        skip: 3,
                    },
                    None => Nal::Bad("fragment without header"),
                },
                _ => Nal::Bad("payload structure that was not agreed"),
            }
        } else {
            let Some(&a) = p.first() else { return Nal::Bad("empty packet") };
            match a & 0x1f {
                1..=23 => Nal::Single,
                24 => Nal::Aggregate,
                28 => match p.get(1) {
                    Some(fu) => Nal::Fragment {
                        start: fu & 0x80 != 0,
                        end: fu & 0x40 != 0,
                        header: [(a & 0xe0) | (fu & 0x1f), 0],
                        header_len: 1,
                        skip: 2,
                    },
                    None => Nal::Bad("fragment without header"),
                },
                _ => Nal::Bad("payload structure that was not agreed"),
            }
        }
    }

    pub(super) fn flush(&mut self, ready: &mut Ready) {
        if self.fragment.take().is_some() {
            self.unit.clear();
            ready.push_back(Depacketized::Lost { packets: 0, why: "fragmented unit without end" });
        } else if !self.unit.is_empty() {
            let data = self.unit.split().freeze();
            ready.push_back(Depacketized::Unit { rtp_time: self.time, data });
        }
    }

    pub(super) fn lost(&mut self, packets: u16) {
        self.lost = self.lost.saturating_add(packets);
    }

    pub(super) fn restart(&mut self) {
        *self = Self::new(self.h265);
    }

    fn drop_unit(&mut self) {
        self.unit.clear();
        self.fragment = None;
        self.damaged = Some(self.time);
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_media::codec::annexb;

    use super::*;

    #[test]
    fn aggregates_and_units_that_end_by_time() {
        let mut a = Assembler::h264();
        let mut ready = Ready::new();
        let stap = Bytes::from_static(&[24, 0, 2, 0x67, 1, 0, 2, 0x68, 2]);
        a.push(10, false, stap, &mut ready);
        a.push(10, false, Bytes::from_static(&[0x65, 3]), &mut ready);
        assert!(ready.is_empty(), "no marker and the same time");
        a.push(20, true, Bytes::from_static(&[0x41, 4]), &mut ready);
        let unit = |t, nals: &[&[u8]]| Depacketized::Unit {
            rtp_time: t,
            data: annexb::join(nals.iter().copied()),
        };
        assert_eq!(
            ready.into_iter().collect::<Vec<_>>(),
            [unit(10, &[&[0x67, 1], &[0x68, 2], &[0x65, 3]]), unit(20, &[&[0x41, 4]])]
        );
    }

    #[test]
    fn a_cut_aggregate_costs_its_unit() {
        let mut a = Assembler::h265();
        let mut ready = Ready::new();
        a.push(1, false, Bytes::from_static(&[48 << 1, 1, 0, 9, 0x40]), &mut ready);
        a.push(1, true, Bytes::from_static(&[0x26, 1, 1]), &mut ready);
        a.push(2, true, Bytes::from_static(&[0x02, 1, 1]), &mut ready);
        assert!(matches!(ready[0], Depacketized::Lost { .. }));
        assert!(matches!(ready[1], Depacketized::Unit { rtp_time: 2, .. }));
        assert_eq!(ready.len(), 2);
    }
}
