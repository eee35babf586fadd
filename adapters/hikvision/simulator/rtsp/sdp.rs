//! Session descriptions: of playback, and of a live camera.

use bytes::Bytes;
use dvrgate_model::Codec;

use crate::behaviour::Profile;
use crate::ps;

/// What a description tells.
pub(super) struct Description<'a> {
    pub(super) profile: Profile,
    pub(super) codec: Codec,
    pub(super) audio: bool,
    /// Media bytes per second.
    pub(super) rate: u64,
    /// Range of playback as `clock` writes it; none for live.
    pub(super) range: Option<String>,
    /// Absolute URI, for the controls of live.
    pub(super) uri: &'a str,
    /// Parameter sets, which live tells beforehand and playback does not.
    pub(super) sets: &'a [Bytes],
    pub(super) size: (u32, u32),
    pub(super) firmware: &'a str,
}

pub(super) fn write(d: &Description<'_>) -> String {
    let name = if d.codec == Codec::H265 { "H265" } else { "H264" };
    let kbit = d.rate / 125;
    let header = hex::encode_upper(ps::media_header(ps::SYSTEM_RTP, d.codec, d.audio));
    match &d.range {
        Some(range) => {
            let audio = match d.audio {
                true => {
                    "m=audio 0 RTP/AVP 8\r\ni=Audio Media\r\na=rtpmap:8 PCMA/8000\r\n\
                     a=control:trackID=audio\r\nb=AS:64\r\n"
                }
                false => "",
            };
            let brand = if d.profile == Profile::Nvr460 { " " } else { "HIK " };
            format!(
                "v=0\r\no=- 1109162014219182 0 IN IP4 0.0.0.0\r\ns={brand}Media Server {}\r\n\
                 i={brand}Media Server Session Description : standard\r\ne=NONE\r\n\
                 c=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\nb=AS:{}\r\na=range:clock={range}\r\n\
                 m=video 0 RTP/AVP 96\r\ni=Video Media\r\na=rtpmap:96 {name}/90000\r\n\
                 a=control:trackID=video\r\nb=AS:{kbit}\r\n{audio}\
                 a=Media_header:MEDIAINFO={header};\r\na=appversion:1.0\r\n",
                d.firmware,
                kbit + 10,
            )
        }
        None => {
            let control = |track: u8| {
                let (path, query) =
                    d.uri.split_once('?').unwrap_or((d.uri, "transportmode=unicast"));
                format!("{}/trackID={track}?{query}", path.trim_end_matches('/'))
            };
            let sets: Vec<String> = d.sets.iter().map(|s| base64(s)).collect();
            let fmtp = match d.codec {
                Codec::H264 => format!(
                    "a=fmtp:96 profile-level-id=420029; packetization-mode=1; \
                     sprop-parameter-sets={}\r\n",
                    sets.join(",")
                ),
                _ => String::new(),
            };
            let audio = match d.audio {
                true => format!(
                    "m=audio 0 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\nb=AS:50\r\na=recvonly\r\n\
                     a=control:{}\r\na=rtpmap:8 PCMA/8000\r\n",
                    control(2)
                ),
                false => String::new(),
            };
            format!(
                "v=0\r\no=- 1109162014219182 1109162014219182 IN IP4 0.0.0.0\r\n\
                 s=Media Presentation\r\ne=NONE\r\nb=AS:{}\r\nt=0 0\r\na=control:{}\r\n\
                 m=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\nb=AS:{kbit}\r\na=recvonly\r\n\
                 a=x-dimensions:{},{}\r\na=control:{}\r\na=rtpmap:96 {name}/90000\r\n{fmtp}{audio}\
                 a=Media_header:MEDIAINFO={header};\r\na=appversion:1.0\r\n",
                kbit + 50,
                d.uri,
                d.size.0,
                d.size.1,
                control(1),
            )
        }
    }
}

/// Standard base64.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            out.push(match i <= chunk.len() {
                true => char::from(DIGITS[(n >> (18 - 6 * i) & 63) as usize]),
                false => '=',
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_each_length() {
        let texts = [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
        ];
        for (plain, coded) in texts {
            assert_eq!(base64(plain), coded);
        }
    }
}
