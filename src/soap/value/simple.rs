//! The simple types of XML Schema that ONVIF messages use.

use std::time::Duration;

use dvrgate_model::{RecordingToken, TrackToken, Utc};

/// A value that fits into text.
pub trait Simple: Sized {
    /// What it is, for error messages: `a boolean`.
    const KIND: &'static str;
    /// Reads text without blanks around it.
    fn parse(text: &str) -> Option<Self>;
    /// Writes it.
    fn format(&self) -> String;
}

impl Simple for String {
    const KIND: &'static str = "a text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn format(&self) -> String {
        self.clone()
    }
}

impl Simple for bool {
    const KIND: &'static str = "a boolean";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl Simple for $ty {
            const KIND: &'static str = "an integer in range";

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn format(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

integers! { i32 i64 u16 u32 u64 usize }

impl Simple for f32 {
    const KIND: &'static str = "a number";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "INF" => Some(f32::INFINITY),
            "-INF" => Some(f32::NEG_INFINITY),
            "NaN" => Some(f32::NAN),
            // Rust also takes "inf" and "infinity", XML Schema does not.
            _ if text.contains(|c: char| c.is_alphabetic() && !matches!(c, 'e' | 'E')) => None,
            _ => text.parse().ok(),
        }
    }

    fn format(&self) -> String {
        match *self {
            f32::INFINITY => "INF".to_owned(),
            f32::NEG_INFINITY => "-INF".to_owned(),
            x => x.to_string(),
        }
    }
}

/// xs:dateTime. A time without a zone is taken for UTC, which is what ONVIF asks clients to send.
impl Simple for Utc {
    const KIND: &'static str = "a date and time";

    fn parse(text: &str) -> Option<Self> {
        text.parse().or_else(|_| format!("{text}Z").parse()).ok()
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

/// xs:duration.
impl Simple for Duration {
    const KIND: &'static str = "a duration";

    fn parse(text: &str) -> Option<Self> {
        read_duration(text)
    }

    fn format(&self) -> String {
        write_duration(*self)
    }
}

macro_rules! tokens {
    ($($ty:ty)*) => {$(
        /// tt:ReferenceToken.
        impl Simple for $ty {
            const KIND: &'static str = "a token";

            fn parse(text: &str) -> Option<Self> {
                Some(Self::new(text))
            }

            fn format(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )*};
}

tokens! { RecordingToken TrackToken }

/// xs:duration, not negative. A year counts 365 days and a month 30, as no calendar is at hand.
pub fn read_duration(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    let mut add = |part: &str, units: &[(char, u64)]| -> Option<()> {
        let (mut rest, mut units) = (part, units.iter());
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = rest.split_at(end);
            let unit = tail.chars().next()?;
            // Units come in order, each at most once.
            let (_, seconds) = units.find(|(name, _)| *name == unit)?;
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            if fraction.is_empty() || (number.contains('.') && unit != 'S') {
                return None;
            }
            let whole: u64 = whole.parse().ok()?;
            let digits = &fraction[..fraction.len().min(9)];
            let nanos = digits.parse::<u32>().ok()? * 10_u32.pow(9 - digits.len() as u32);
            let part = Duration::new(whole.checked_mul(*seconds)?, nanos);
            total = total.checked_add(part)?;
            rest = &tail[1..];
        }
        Some(())
    };
    add(date, &[('Y', 365 * 86_400), ('M', 30 * 86_400), ('D', 86_400)])?;
    add(time, &[('H', 3600), ('M', 60), ('S', 1)])?;
    Some(total)
}

/// `PT3600S`, with as many digits of the fraction as are needed.
pub fn write_duration(d: Duration) -> String {
    if d.subsec_nanos() == 0 {
        return format!("PT{}S", d.as_secs());
    }
    let fraction = format!("{:09}", d.subsec_nanos());
    format!("PT{}.{}S", d.as_secs(), fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("PT0S", Some(0.0)),
            ("PT10S", Some(10.0)),
            ("PT1.5S", Some(1.5)),
            ("PT1M", Some(60.0)),
            ("P1DT2H3M4.000000001S", Some(93_784.000_000_001)),
            ("P1Y", Some(31_536_000.0)),
            ("P1M", Some(2_592_000.0)),
            ("PT1H30S", Some(3630.0)),
            ("", None),
            ("P", None),
            ("PT", None),
            ("P1DT", None),
            ("-PT1S", None),
            ("PT1", None),
            ("PT1.S", None),
            ("PT.5S", None),
            ("PT1.5M", None),
            ("PT1S1M", None),
            ("PT1S2S", None),
            ("P1S", None),
            ("PT1D", None),
            ("10", None),
            ("PT99999999999999999999S", None),
            ("P18446744073709551615Y", None),
            ("PTéS", None),
        ] {
            assert_eq!(read_duration(text).map(|d| d.as_secs_f64()), expected, "{text}");
        }
        for d in [
            Duration::ZERO,
            Duration::new(5, 0),
            Duration::new(61, 500_000_000),
            Duration::new(0, 1),
        ] {
            assert_eq!(read_duration(&write_duration(d)), Some(d));
        }
        assert_eq!(write_duration(Duration::from_millis(1500)), "PT1.5S");
    }

    #[test]
    fn every_prefix_of_a_duration_is_harmless() {
        let text = "P1Y2M3DT4H5M6.789S";
        for end in 0..=text.len() {
            let _ = read_duration(&text[..end]);
        }
        assert_eq!(read_duration(text).unwrap().subsec_millis(), 789);
    }

    #[test]
    fn numbers_and_times() {
        assert_eq!(bool::parse("1"), Some(true));
        assert_eq!(bool::parse("True"), None);
        assert_eq!(i32::parse("-5"), Some(-5));
        assert_eq!(i32::parse("4294967296"), None);
        assert_eq!(f32::parse("INF"), Some(f32::INFINITY));
        assert_eq!(f32::parse("infinity"), None);
        assert_eq!(f32::parse("1.5e3"), Some(1500.0));
        assert_eq!(f32::INFINITY.format(), "INF");
        let t = Utc::parse("2026-11-25T03:11:30").unwrap();
        assert_eq!(t, Utc::parse("2026-11-25T04:11:30+01:00").unwrap());
        assert_eq!(t.format(), "2026-11-25T03:11:30Z");
    }
}
