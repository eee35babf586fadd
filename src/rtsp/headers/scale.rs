//! `Scale` and `Speed`: how fast and which way (RFC 2326 12.34, 12.35; ONVIF Streaming 6.5.1).

use std::fmt;
use std::str::FromStr;

use super::BadHeader;

/// Recorded seconds a second of playback; negative for reverse. Never 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale(pub f64);

/// Seconds of stream a second of delivery. Above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(pub f64);

/// Larger values are refused: time arithmetic stays exact far beyond it, sense does not.
const MAX: f64 = 1_000.0;
const MIN: f64 = 0.001;

fn number(text: &str, header: &'static str) -> Result<f64, BadHeader> {
    let n: f64 = text.trim().parse().map_err(|_| BadHeader { header, why: "not a number" })?;
    if n.is_finite() && (MIN..=MAX).contains(&n.abs()) {
        Ok(n)
    } else {
        Err(BadHeader { header, why: "out of range" })
    }
}

impl FromStr for Scale {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        number(text, "Scale").map(Self)
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromStr for Speed {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        match number(text, "Speed")? {
            n if n > 0.0 => Ok(Self(n)),
            _ => Err(BadHeader { header: "Speed", why: "out of range" }),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check_refused, check_table};
    use super::*;

    #[test]
    fn table() {
        check_table(&[
            ("1", Scale(1.0), "1.0"),
            ("-1.0", Scale(-1.0), "-1.0"),
            (" 4.000", Scale(4.0), "4.0"),
            ("0.125", Scale(0.125), "0.125"),
        ]);
        check_refused::<Scale>(&["", "0", "-0.0", "NaN", "inf", "1e9", "x"]);
        check_table(&[("2", Speed(2.0), "2.0")]);
        check_refused::<Speed>(&["-1", "0", ""]);
    }
}
