//! The parameter sets of a stream, as they come and change.

use std::collections::BTreeMap;

use bytes::Bytes;
use smallvec::SmallVec;

/// Parameter sets of one kind by their id. The ids are bounded by the standards (16, 32, 64 or
/// 256 of a kind), so the map is too.
pub(super) type SetMap<T> = BTreeMap<u8, Entry<T>>;

/// A parameter set: its bytes and what was read from it.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) bytes: Bytes,
    pub(super) parsed: T,
}

/// Longest parameter set that is kept.
const MAX_SET_BYTES: usize = 4096;

/// Takes a set; says whether it is new or differs from the one it replaces. The bytes are copied:
/// a slice would keep the whole access unit in memory.
pub(super) fn put<T>(map: &mut SetMap<T>, id: u8, nal: &[u8], parsed: T) -> bool {
    if nal.len() > MAX_SET_BYTES || map.get(&id).is_some_and(|e| e.bytes == nal) {
        return false;
    }
    map.insert(id, Entry { bytes: Bytes::copy_from_slice(nal), parsed });
    true
}

/// All bytes in the order of the ids.
pub(super) fn bytes_of<T>(map: &SetMap<T>, into: &mut SmallVec<[Bytes; 3]>) {
    into.extend(map.values().map(|e| e.bytes.clone()));
}
