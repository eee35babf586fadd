//! What recorders send over the interface of their vendor, and what the gateway keeps of it on disk.

use dvrgate_footage::store::record;
use dvrgate_hikvision::fuzz;

/// Answers to requests: every document through every parser, and short texts inside of them.
pub fn documents(data: &[u8]) {
    fuzz::documents(data);
    if let Some(text) = super::text(data) {
        fuzz::texts(text);
    }
}

/// A download: the vendor's program stream with its envelope.
pub fn footage(data: &[u8]) {
    fuzz::opening(data);
    super::media::demuxed(data, fuzz::demuxer);
}

/// The stream of alerts, which is multipart more or less.
pub fn alerts(data: &[u8]) {
    let whole = fuzz::alerts(data, data.len().max(1));
    for size in super::piece_sizes(data) {
        assert_eq!(fuzz::alerts(data, size), whole, "pieces of {size}");
    }
}

/// The sidecar of stored footage: as it is, and as the body of one sound record, since no fuzzer
/// hits a checksum.
pub fn sidecar(data: &[u8]) {
    let mut rest = data;
    while let Some((read, length)) = record::decode(rest) {
        assert!((record::HEAD_BYTES..=rest.len()).contains(&length));
        written(&read);
        rest = &rest[length..];
    }
    let mut sound = record::MAGIC.to_vec();
    sound.extend((data.len() as u32).to_le_bytes());
    sound.extend(crc32fast::hash(data).to_le_bytes());
    sound.extend_from_slice(data);
    if let Some((read, _)) = record::decode(&sound) {
        written(&read);
    }
}

fn written(read: &record::Record) {
    let bytes = record::encode(read);
    let again = record::decode(&bytes).map(|(record, _)| record);
    assert_eq!(again.as_ref(), Some(read), "what is written reads back the same");
    if let record::Record::Gop(gop) = read {
        assert!(gop.media_len() <= record::MAX_FRAMES as u64 * u64::from(u32::MAX));
    }
}
