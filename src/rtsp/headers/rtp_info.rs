//! `RTP-Info`: where the streams of a PLAY begin (RFC 2326 12.33).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// One entry for each stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RtpInfo(pub Vec<RtpInfoEntry>);

/// Where one stream begins.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RtpInfoEntry {
    /// Control URL of the stream.
    pub url: String,
    /// Sequence number of the first packet.
    pub seq: Option<u16>,
    /// RTP timestamp that belongs to the start of the answer's Range.
    pub rtptime: Option<u32>,
}

impl FromStr for RtpInfo {
    type Err = Infallible;

    /// Never fails: unreadable numbers are left out. A comma inside a URL does not split it.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut entries: Vec<RtpInfoEntry> = Vec::new();
        for part in text.split([',', ';']).map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match (key.trim().to_ascii_lowercase().as_str(), entries.last_mut()) {
                ("url", _) => {
                    entries.push(RtpInfoEntry { url: value.to_owned(), ..Default::default() })
                }
                ("seq", Some(e)) => e.seq = value.trim().parse().ok(),
                ("rtptime", Some(e)) => e.rtptime = value.trim().parse().ok(),
                ("ssrc", _) | (_, None) => {}
                (_, Some(e)) if e.seq.is_none() && e.rtptime.is_none() => {
                    e.url.push(',');
                    e.url.push_str(part);
                }
                _ => {}
            }
        }
        Ok(Self(entries))
    }
}

impl fmt::Display for RtpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, e) in self.0.iter().enumerate() {
            write!(f, "{}url={}", if i == 0 { "" } else { "," }, e.url)?;
            if let Some(seq) = e.seq {
                write!(f, ";seq={seq}")?;
            }
            if let Some(t) = e.rtptime {
                write!(f, ";rtptime={t}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let e = |url: &str, seq, rtptime| RtpInfoEntry { url: url.into(), seq, rtptime };
        let cases = [
            (
                "url=rtsp://h/a/track1;seq=17;rtptime=3600,url=rtsp://h/a/track2;seq=9;rtptime=0",
                vec![
                    e("rtsp://h/a/track1", Some(17), Some(3600)),
                    e("rtsp://h/a/track2", Some(9), Some(0)),
                ],
            ),
            ("url=trackID=1;seq=1", vec![e("trackID=1", Some(1), None)]),
            ("url=rtsp://h/a,b/t;seq=x", vec![e("rtsp://h/a,b/t", None, None)]),
            ("", vec![]),
            ("seq=4", vec![]),
        ];
        for (wire, entries) in cases {
            let parsed: RtpInfo = wire.parse().unwrap();
            assert_eq!(parsed.0, entries, "{wire:?}");
            let again: RtpInfo = parsed.to_string().parse().unwrap();
            assert_eq!(again, parsed);
        }
    }
}
