//! Encodings beside H.264 as ffmpeg sees them: what it encoded is served, and what it decodes from
//! the session is compared with what it decodes from the file. Without ffmpeg a test says so and
//! passes.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use dvrgate_media::codec::{Inspector, aac, g711, jpeg};
use dvrgate_model::{Codec, CodecParams, Frame, MediaTime, TrackKind, Utc};
use dvrgate_rtsp::rtp::depacketize::{Depacketized, Depacketizer};
use dvrgate_rtsp::rtp::packetize::{AccessUnit, Packetizer};
use dvrgate_rtsp::rtp::{Packet, Packets, Target};

use super::stage::{Stage, unit};

/// How many pictures are compared; players look ahead, so there are more.
const PICTURES: usize = 30;
/// How much sound is compared.
const TENTHS_OF_A_SECOND: usize = 9;

/// What ffmpeg prints; `None` where it is not installed.
pub fn ffmpeg(args: &str) -> Option<Vec<u8>> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=1", "20", "ffmpeg", "-v", "error", "-nostdin"]);
    let output = command.args(args.split_whitespace()).output().unwrap();
    if output.status.code() == Some(127) {
        println!("SKIPPED: ffmpeg is not installed");
        return None;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ffmpeg {args}: {:?}: {errors}", output.status);
    Some(output.stdout)
}

/// Units of one track, `step` ticks of the RTP clock apart.
fn clip(base: CodecParams, units: Vec<Bytes>, step: i64) -> Vec<Frame> {
    let start: Utc = "2026-11-25T03:11:30Z".parse().unwrap();
    let rate_hz = base.clock_rate_hz();
    let mut inspector = Inspector::with_base(base);
    let frame = |(i, data): (usize, Bytes)| {
        let kind = inspector.inspect(&data).kind;
        let media = MediaTime { ticks: i as i64 * step, rate_hz };
        Frame { media, ..unit(inspector.params(), start.plus_us(media.micros()), kind, data) }
    };
    units.into_iter().enumerate().map(frame).collect()
}

/// Checksums of the decoded pictures of a file or session.
fn pictures(input: &str) -> Vec<String> {
    let args = format!("{input} -frames:v {PICTURES} -fps_mode passthrough -f framemd5 pipe:1");
    let text = String::from_utf8(ffmpeg(&args).unwrap()).unwrap();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| l.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// Checksums of all pictures that a byte stream decodes to.
pub fn md5_of(format: &str, bytes: &[u8]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stream");
    std::fs::write(&file, bytes).unwrap();
    let input = format!("-f {format} -i {}", file.display());
    let text = ffmpeg(&format!("{input} -fps_mode passthrough -f framemd5 pipe:1")).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| l.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// The first samples of a file or session.
fn samples(input: &str, rate_hz: usize) -> Vec<u8> {
    let args = format!("{input} -t 1 -f s16le pipe:1");
    let mut pcm = ffmpeg(&args).unwrap();
    let bytes = rate_hz * 2 * TENTHS_OF_A_SECOND / 10;
    assert!(pcm.len() >= bytes, "{} bytes of sound", pcm.len());
    pcm.truncate(bytes);
    pcm
}

/// Compares a session over each transport with the file of the same bytes.
async fn compare<T: PartialEq + std::fmt::Debug + Send + 'static>(
    frames: Vec<Frame>,
    (format, bytes): (&str, &[u8]),
    look: impl Fn(&str) -> T + Clone + Send + 'static,
) -> T {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, bytes).unwrap();
    let expected = look(&format!("{format} -i {}", file.display()));
    let stage = Stage::of(frames).await;
    let server = stage.serve().await;
    for transport in ["tcp", "udp"] {
        let input = format!("-rtsp_transport {transport} -i {}", server.url);
        let look = look.clone();
        let got = tokio::task::spawn_blocking(move || look(&input)).await.unwrap();
        assert!(got == expected, "{transport}: what is decoded differs");
    }
    expected
}

/// Cuts before each start code at which a new picture of MPEG-4 begins.
fn mpeg4_units(data: &[u8]) -> Vec<Bytes> {
    let data = Bytes::copy_from_slice(data);
    let (mut units, mut from, mut seen) = (Vec::new(), 0, false);
    for at in 0..data.len().saturating_sub(3) {
        if data[at..at + 3] != [0, 0, 1] || !matches!(data[at + 3], 0xb0 | 0xb3 | 0xb6) {
            continue;
        }
        if seen {
            units.push(data.slice(from..at));
            (from, seen) = (at, false);
        }
        seen |= data[at + 3] == 0xb6;
    }
    units.push(data.slice(from..));
    units
}

const SOURCE: &str = "-f lavfi -i testsrc2=s=352x288:r=25 -t 4";

/// R8.T-1, R8.T-3: RFC 6416, configuration in the description.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mpeg4_decodes_as_the_file_does() {
    let encode = format!("{SOURCE} -c:v mpeg4 -q:v 2 -g 12 -f m4v pipe:1");
    let Some(bytes) = ffmpeg(&encode) else { return };
    let frames = clip(CodecParams::new(Codec::Mpeg4), mpeg4_units(&bytes), 3600);
    assert_eq!(frames.len(), 100);
    assert!(frames.iter().any(|f| f.data.len() > 2000), "some are fragmented");
    let md5 = compare(frames, ("-f m4v", &bytes), pictures).await;
    assert_eq!(md5.len(), PICTURES);
}

fn jpeg_units(data: &[u8]) -> Vec<Bytes> {
    let data = Bytes::copy_from_slice(data);
    let starts = data.windows(3).enumerate().filter(|(_, w)| *w == [0xff, 0xd8, 0xff]);
    let mut starts: Vec<_> = starts.map(|(at, _)| at).collect();
    starts.push(data.len());
    starts.windows(2).map(|w| data.slice(w[0]..w[1])).collect()
}

/// R8.T-1, R8.T-3: RFC 2435.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jpeg_decodes_as_the_file_does() {
    let encode =
        format!("{SOURCE} -c:v mjpeg -huffman default -q:v 3 -pix_fmt yuvj420p -f mjpeg pipe:1");
    let Some(bytes) = ffmpeg(&encode) else { return };
    let frames = clip(CodecParams::new(Codec::Jpeg), jpeg_units(&bytes), 3600);
    assert_eq!(frames.len(), 100);
    assert!(frames.iter().all(|f| f.kind.is_clean() && f.data.len() > 2000));
    let md5 = compare(frames, ("-f mjpeg", &bytes), pictures).await;
    assert_eq!(md5.len(), PICTURES);
}

/// Through our packets and back.
fn over_rtp(codec: Codec, frames: &[Frame]) -> Vec<u8> {
    let (mut packetizer, mut out) = (Packetizer::new(codec, 26, 1, 0), Packets::default());
    for frame in frames {
        let unit = AccessUnit {
            timestamp: frame.media.ticks as u32,
            extension: None,
            clean: true,
            params: &frame.params,
            data: &frame.data,
        };
        packetizer.packetize(&unit, Target::Rtp(0), &mut out);
    }
    let (mut depacketizer, mut all) = (Depacketizer::new(codec), Vec::new());
    while let Some((_, [head, body])) = out.datagram() {
        let bytes = Bytes::from([head, body].concat());
        out.datagram_done();
        depacketizer.push(&Packet::parse(&bytes).unwrap(), &bytes);
        while let Some(item) = depacketizer.pull() {
            let Depacketized::Unit { data, .. } = item else { panic!("{item:?}") };
            all.extend_from_slice(&data);
        }
    }
    all
}

/// R8.3-17: pictures that RFC 2435 cannot say, put together again from packets with the extension,
/// decode to the same as before; so do those without.
#[test]
fn jpeg_survives_packets_of_either_kind() {
    for (kind, size, plain) in [
        ("-huffman default -pix_fmt yuvj420p", "352x288", true),
        ("-huffman optimal -pix_fmt yuvj420p", "352x288", false),
        ("-huffman default -pix_fmt yuvj420p", "350x270", true),
        ("-huffman default -pix_fmt yuvj444p", "352x288", false),
        ("-huffman default -pix_fmt gray", "352x288", false),
    ] {
        let source = format!("-f lavfi -i testsrc2=s={size}:r=25 -t 2");
        let encode = format!("{source} -strict -1 -c:v mjpeg {kind} -q:v 3 -f mjpeg pipe:1");
        let Some(bytes) = ffmpeg(&encode) else { return };
        let frames = clip(CodecParams::new(Codec::Jpeg), jpeg_units(&bytes), 3600);
        assert_eq!(frames.len(), 50, "{kind}");
        let picture = jpeg::Picture::parse(&frames[0].data).unwrap();
        let sampled = picture.components.first().map(|c| c.sampling) == Some(0x22);
        assert_eq!(picture.plain && sampled && picture.components.len() == 3, plain, "{kind}");
        let dir = tempfile::tempdir().unwrap();
        let look = |name: &Path, bytes: &[u8]| {
            let file = dir.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            pictures(&format!("-f mjpeg -i {}", file.display()))
        };
        let before = look(Path::new("before"), &bytes);
        let after = look(Path::new("after"), &over_rtp(Codec::Jpeg, &frames));
        assert_eq!(before.len(), PICTURES, "{kind}");
        assert!(before == after, "{kind} {size}: what is decoded differs");
    }
}

const TONE: &str = "-f lavfi -i sine=f=440:r=16000 -t 4 -ac 1";

/// R8.T-1, R8.T-3: G.726 with samples packed as RFC 3551 says, at each of its rates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g726_decodes_as_the_file_does() {
    for (bits, kbit) in [(2, 16), (3, 24), (4, 32), (5, 40)] {
        let coded = format!("-ar 8000 -c:a g726le -code_size {bits}");
        let Some(bytes) = ffmpeg(&format!("{TONE} {coded} -f g726le pipe:1")) else { return };
        // 40 ms a unit.
        let units = bytes.chunks(40 * bits).map(Bytes::copy_from_slice).collect();
        let frames = clip(g711::params(Codec::G726 { kbit }), units, 320);
        let format = format!("-f g726le -sample_rate 8000 -code_size {bits}");
        compare(frames, (&format, &bytes), |input| samples(input, 8000)).await;
    }
}

/// R8.T-1, R8.T-3: RFC 3640, AudioSpecificConfig in the description.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aac_decodes_as_the_file_does() {
    let encode = format!("{TONE} -c:a aac -b:a 64k -f adts pipe:1");
    let Some(bytes) = ffmpeg(&encode) else { return };
    let (mut rest, mut units, mut params) = (&bytes[..], Vec::new(), None);
    while let Some(adts) = aac::Adts::parse(rest) {
        units.push(Bytes::copy_from_slice(&rest[adts.header_bytes..adts.frame_bytes]));
        params = Some(CodecParams {
            sample_rate_hz: adts.rate_hz,
            channels: adts.channels,
            config: adts.config().bytes().into(),
            ..CodecParams::new(Codec::Aac)
        });
        rest = &rest[adts.frame_bytes..];
    }
    let params = params.unwrap();
    assert_eq!(params.codec.track_kind(), TrackKind::Audio);
    let step = i64::from(aac::FRAME_SAMPLES);
    // With the configuration, and where only rate and channels are known.
    for config in [params.config.clone(), Bytes::new()] {
        let params = CodecParams { config, ..params.clone() };
        let frames = clip(params, units.clone(), step);
        compare(frames, ("-f aac", &bytes), |input| samples(input, 16_000)).await;
    }
}
