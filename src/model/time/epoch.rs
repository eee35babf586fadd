//! Every epoch that appears on a wire, in one place, with one test each.

use super::Utc;

/// Seconds from 1900-01-01 (NTP; RFC 5905) to 1970-01-01.
pub const NTP_TO_UNIX_SECS: i64 = 2_208_988_800;
/// Seconds from 1904-01-01 (ISO BMFF) to 1970-01-01.
pub const BMFF_TO_UNIX_SECS: i64 = 2_082_844_800;
/// Seconds from 1601-01-01 (Windows file time) to 1970-01-01.
pub const FILETIME_TO_UNIX_SECS: i64 = 11_644_473_600;

/// NTP seconds and fraction (1/2^32 s, rounded to nearest) as the RTP replay extension carries
/// them; wraps in 2036 as the field does.
pub fn to_ntp(t: Utc) -> (u32, u32) {
    let secs = t.micros().div_euclid(1_000_000) + NTP_TO_UNIX_SECS;
    let micros = t.micros().rem_euclid(1_000_000) as u64;
    (secs as u32, ((micros << 32).wrapping_add(500_000) / 1_000_000) as u32)
}

/// The reverse of [`to_ntp`]. Seconds below 2^31 are taken as after 2036 (RFC 4330 section 3).
pub fn from_ntp(secs: u32, fraction: u32) -> Utc {
    let era = if secs < 1 << 31 { 1i64 << 32 } else { 0 };
    let us = (u64::from(fraction) * 1_000_000 + (1 << 31)) >> 32;
    Utc::from_micros((i64::from(secs) + era - NTP_TO_UNIX_SECS) * 1_000_000 + us as i64)
}

/// Seconds since 1904, as `mvhd` and `suep` carry them (version 1: 64 bits).
pub fn to_bmff_secs(t: Utc) -> u64 {
    (t.micros().div_euclid(1_000_000) + BMFF_TO_UNIX_SECS).max(0) as u64
}

/// 100 ns ticks since 1601, as `cstb` carries them.
pub fn to_filetime(t: Utc) -> u64 {
    (t.micros() + FILETIME_TO_UNIX_SECS * 1_000_000).max(0) as u64 * 10
}

/// The reverse of [`to_filetime`], rounded down to microseconds.
pub fn from_filetime(ticks: u64) -> Utc {
    Utc::from_micros((ticks / 10) as i64 - FILETIME_TO_UNIX_SECS * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_of_the_standards_example() {
        let t: Utc = "2009-06-15T11:49:00.44Z".parse().unwrap();
        assert_eq!(to_ntp(t), (0xCDE0_B3AC, 0x70A3_D70A));
        assert_eq!(from_ntp(0xCDE0_B3AC, 0x70A3_D70A), t);
        let after_2036: Utc = "2040-01-01T00:00:00.999999Z".parse().unwrap();
        let (s, f) = to_ntp(after_2036);
        assert_eq!(from_ntp(s, f), after_2036);
    }

    #[test]
    fn bmff_starts_in_1904() {
        assert_eq!(to_bmff_secs("1904-01-01T00:00:00Z".parse().unwrap()), 0);
        assert_eq!(to_bmff_secs(Utc::from_secs(0)), 2_082_844_800);
    }

    #[test]
    fn filetime_starts_in_1601() {
        let t: Utc = "1601-01-01T00:00:00.000001Z".parse().unwrap();
        assert_eq!(to_filetime(t), 10);
        assert_eq!(from_filetime(to_filetime(t)), t);
    }
}
