//! Nonces that prove themselves: time of issue, a serial number, and a keyed hash over both, so that
//! nothing has to be remembered for a client that never comes back.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use dvrgate_model::Utc;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Makes and recognises nonces.
pub(crate) struct Mint {
    key: Zeroizing<[u8; 32]>,
    serial: AtomicU64,
}

/// A nonce that this mint made.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Issued {
    pub(crate) at: Utc,
    pub(crate) serial: u64,
}

impl Mint {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key), serial: AtomicU64::new(0) }
    }

    pub(crate) fn issue(&self, now: Utc) -> String {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; HEAD_BYTES + TAG_BYTES];
        bytes[..8].copy_from_slice(&now.micros().to_be_bytes());
        bytes[8..HEAD_BYTES].copy_from_slice(&serial.to_be_bytes());
        let tag = self.mac(&bytes[..HEAD_BYTES]).finalize().into_bytes();
        bytes[HEAD_BYTES..].copy_from_slice(&tag[..TAG_BYTES]);
        BASE64.encode(bytes)
    }

    /// `None` for what another mint made, or nobody. The comparison takes constant time.
    pub(crate) fn recognise(&self, nonce: &str) -> Option<Issued> {
        let mut bytes = [0; HEAD_BYTES + TAG_BYTES];
        if BASE64.decode_slice(nonce, &mut bytes).ok()? != bytes.len() {
            return None;
        }
        let (head, tag) = bytes.split_at(HEAD_BYTES);
        self.mac(head).verify_truncated_left(tag).ok()?;
        let (at, serial) = head.split_at(8);
        Some(Issued {
            at: Utc::from_micros(i64::from_be_bytes(at.try_into().ok()?)),
            serial: u64::from_be_bytes(serial.try_into().ok()?),
        })
    }

    fn mac(&self, head: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of any length, so this cannot fail.
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&*self.key)
            .expect("HMAC takes keys of any length");
        mac.update(head);
        mac
    }
}

/// Time of issue and serial number.
const HEAD_BYTES: usize = 16;
/// 128 bits of the keyed hash.
const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_nonces_only() {
        let mint = Mint::new([7; 32]);
        let now = Utc::from_secs(1_000);
        let (a, b) = (mint.issue(now), mint.issue(now));
        assert_ne!(a, b);
        assert_eq!(mint.recognise(&a), Some(Issued { at: now, serial: 0 }));
        assert_eq!(mint.recognise(&b), Some(Issued { at: now, serial: 1 }));
        assert_eq!(Mint::new([8; 32]).recognise(&a), None);
        for end in 0..a.len() {
            assert_eq!(mint.recognise(&a[..end]), None, "cut at {end}");
        }
        assert_eq!(mint.recognise(&format!("{a}A")), None);
        // Each character counts.
        for i in 0..a.len() {
            let mut bytes = a.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                mint.recognise(std::str::from_utf8(&bytes).unwrap()),
                None,
                "changed at {i}"
            );
        }
    }
}
