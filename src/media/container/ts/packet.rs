//! Transport packets and their tables (ISO/IEC 13818-1 2.4.3.2, 2.4.4).

/// Length of a transport packet.
pub(super) const PACKET_BYTES: usize = 188;
/// First byte of a transport packet.
pub(super) const SYNC: u8 = 0x47;
/// Packet id of the program association table.
pub(super) const PAT_PID: u16 = 0;
/// Longest section of the tables here (2.4.4.4), header included.
const MAX_SECTION_BYTES: usize = 1021 + 3;

/// A transport packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// A packet or section begins in this one.
    pub(super) starts: bool,
    /// 4 bits; counts packets with payload.
    pub(super) counter: u8,
    /// The counter may jump here.
    pub(super) discontinuity: bool,
    pub(super) scrambled: bool,
    /// Broken on the way.
    pub(super) error: bool,
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads one packet; `None` where it is not one.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let data = data.get(..PACKET_BYTES)?;
        if data[0] != SYNC {
            return None;
        }
        let control = data[3] >> 4 & 3;
        let mut rest = &data[4..];
        let mut discontinuity = false;
        if control & 2 != 0 {
            let (length, tail) = rest.split_first()?;
            let (field, tail) = tail.split_at_checked(usize::from(*length))?;
            discontinuity = field.first().is_some_and(|f| f & 0x80 != 0);
            rest = tail;
        }
        Some(Self {
            pid: u16::from(data[1] & 0x1f) << 8 | u16::from(data[2]),
            starts: data[1] & 0x40 != 0,
            counter: data[3] & 0xf,
            discontinuity,
            scrambled: data[3] & 0xc0 != 0,
            error: data[1] & 0x80 != 0,
            payload: if control & 1 != 0 { rest } else { &[] },
        })
    }
}

/// Collects the sections of one packet id.
#[derive(Debug, Default)]
pub(super) struct Sections {
    open: Vec<u8>,
}

impl Sections {
    /// Takes a payload; gives a section when it is complete and its checksum is right.
    pub(super) fn push(&mut self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let mut payload = packet.payload;
        if packet.starts {
            self.open.clear();
            let (pointer, tail) = payload.split_first()?;
            payload = tail.get(usize::from(*pointer)..)?;
        } else if self.open.is_empty() {
            return None;
        }
        self.open.extend_from_slice(payload);
        let length =
            usize::from(u16::from_be_bytes([*self.open.get(1)?, *self.open.get(2)?]) & 0xfff) + 3;
        if length > MAX_SECTION_BYTES {
            self.open.clear();
            return None;
        }
        let section = self.open.get(..length)?.to_vec();
        self.open.clear();
        (crate::container::crc32(&section) == 0).then_some(section)
    }
}

/// What follows the header of a section of this table, without the checksum.
fn table(section: &[u8], table_id: u8) -> Option<&[u8]> {
    const HEADER_BYTES: usize = 8;
    const CRC_BYTES: usize = 4;
    if section.first() != Some(&table_id) {
        return None;
    }
    section.get(HEADER_BYTES..section.len().checked_sub(CRC_BYTES)?)
}

/// Packet id of the map of the first program.
pub(super) fn map_pid(section: &[u8]) -> Option<u16> {
    table(section, 0)?
        .chunks_exact(4)
        .find(|p| p[..2] != [0, 0])
        .map(|p| u16::from(p[2] & 0x1f) << 8 | u16::from(p[3]))
}

/// Stream types and packet ids of a program.
pub(super) fn streams(section: &[u8]) -> Option<Vec<(u8, u16)>> {
    let body = table(section, 2)?;
    let counted = |at: usize| {
        Some(usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]) & 0xfff))
    };
    let mut at = 4 + counted(2)?;
    let mut out = Vec::new();
    while at + 5 <= body.len() {
        let pid = u16::from(body[at + 1] & 0x1f) << 8 | u16::from(body[at + 2]);
        out.push((body[at], pid));
        at += 5 + counted(at + 3)?;
    }
    (at == body.len()).then_some(out)
}
