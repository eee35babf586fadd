//! RTCP: sender reports and goodbyes to write, receiver reports to read (RFC 3550 section 6).

use dvrgate_model::Utc;
use dvrgate_model::time::epoch;

/// Values of a sender report (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SenderReport {
    /// Of the sender.
    pub ssrc: u32,
    /// The wall clock now, never the recorded time (R8.11-1).
    pub now: Utc,
    /// RTP timestamp of the same instant.
    pub timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub bytes: u32,
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const CNAME: u8 = 1;

/// Appends a compound packet: sender report and the CNAME that RFC 3550 6.1 demands with it.
pub fn write_sender_report(out: &mut Vec<u8>, report: &SenderReport, cname: &str) {
    let (secs, fraction) = epoch::to_ntp(report.now);
    out.extend_from_slice(&[0x80, SENDER_REPORT, 0, 6]);
    for word in [report.ssrc, secs, fraction, report.timestamp, report.packets, report.bytes] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    write_cname(out, report.ssrc, cname);
}

fn write_cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let name = &cname.as_bytes()[..cname.len().min(255)];
    let start = out.len();
    out.extend_from_slice(&[0x81, SOURCE_DESCRIPTION, 0, 0]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[CNAME, name.len() as u8]);
    out.extend_from_slice(name);
    out.push(0);
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

/// Appends a compound packet that says goodbye (RFC 3550 6.6). A compound begins with a report; this
/// one is of a receiver of nothing, since one of a sender would need a time (R8.11-2).
pub fn write_goodbye(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    out.extend_from_slice(&[0x80, RECEIVER_REPORT, 0, 1]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    write_cname(out, ssrc, cname);
    out.extend_from_slice(&[0x81, BYE, 0, 1]);
    out.extend_from_slice(&ssrc.to_be_bytes());
}

/// What a packet of a compound says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rtcp {
    /// Of a sender.
    SenderReport(SenderReport),
    /// Of a receiver: a sign of life (R8.7-2).
    ReceiverReport {
        /// Of the receiver.
        ssrc: u32,
    },
    /// A source leaves.
    Bye {
        /// Of the source; 0 where none is named.
        ssrc: u32,
    },
    /// Something else that is well-formed.
    Other(u8),
}

/// Reads the packets of a compound; `None` where the bytes are not RTCP.
pub fn compound(bytes: &[u8]) -> Option<Vec<Rtcp>> {
    let mut rest = bytes;
    let mut out = Vec::new();
    while let Some((&[first, kind, hi, lo], tail)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([hi, lo])) * 4;
        if first >> 6 != 2 || !(192..=223).contains(&kind) {
            return None;
        }
        let (body, tail) = tail.split_at_checked(len)?;
        rest = tail;
        let word = |i: usize| {
            let w = body.get(i * 4..i * 4 + 4)?;
            Some(u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
        };
        out.push(match kind {
            SENDER_REPORT => Rtcp::SenderReport(SenderReport {
                ssrc: word(0)?,
                now: epoch::from_ntp(word(1)?, word(2)?),
                timestamp: word(3)?,
                packets: word(4)?,
                bytes: word(5)?,
            }),
            RECEIVER_REPORT => Rtcp::ReceiverReport { ssrc: word(0)? },
            BYE => Rtcp::Bye { ssrc: word(0).unwrap_or(0) },
            other => Rtcp::Other(other),
        });
    }
    (rest.is_empty() && !out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_reports_read_back() {
        let report = SenderReport {
            ssrc: 5,
            now: "2026-11-25T03:11:30.5Z".parse().unwrap(),
            timestamp: 90_000,
            packets: 3,
            bytes: 4000,
        };
        let mut wire = Vec::new();
        write_sender_report(&mut wire, &report, "dvrgate");
        let whole = wire.len();
        write_goodbye(&mut wire, 5, "dvrgate");
        let read = compound(&wire).unwrap();
        let named = Rtcp::Other(SOURCE_DESCRIPTION);
        let empty = Rtcp::ReceiverReport { ssrc: 5 };
        assert_eq!(read, [Rtcp::SenderReport(report), named, empty, named, Rtcp::Bye { ssrc: 5 }]);
        let (report, description, bye) = (28, whole - 28, 8);
        let ends = [report, whole, whole + 8, whole + 8 + description, wire.len()];
        assert_eq!(wire.len(), whole + 8 + description + bye);
        for end in 0..=wire.len() {
            assert_eq!(compound(&wire[..end]).is_some(), ends.contains(&end), "{end}");
        }
    }

    /// R8.7-2
    #[test]
    fn receiver_reports_are_recognised() {
        let wire = [0x80, 201, 0, 1, 0, 0, 0, 9];
        assert_eq!(compound(&wire), Some(vec![Rtcp::ReceiverReport { ssrc: 9 }]));
        assert_eq!(compound(b"\x80\x60\x00\x00\x00\x00\x00\x00"), None, "an RTP packet");
        assert_eq!(compound(&[]), None);
    }
}
