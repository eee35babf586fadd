//! Replay seen by players that nobody of this project wrote. A test whose player is not installed
//! says so and passes.

use std::process::Command;
use std::sync::Arc;

use dvrgate_media::codec::annexb;
use dvrgate_model::{Civil, Codec, CodecParams, Frame, FrameKind, Utc};
use dvrgate_testkit::footage::{AccessUnit, ClipSource as _, Synthetic, SyntheticSpec};

use super::stage::{Stage, unit};

/// How many pictures are asked for. Players look ahead, and a session does not end with its data
/// (R8.9-1), so it is fewer than there are.
const PICTURES: usize = 40;

/// Four seconds at 12.5 pictures a second, in GOPs of two seconds.
fn clip() -> Vec<Frame> {
    let clip = Synthetic::new(SyntheticSpec::small(1, "Yard")).unwrap();
    let start: Utc = "2026-11-25T03:11:30Z".parse().unwrap();
    let caption = |t: Utc| Civil::from_micros_as_if_utc(t.micros());
    let gop = |key: Utc| {
        let units = clip.gop(key, &caption);
        let mut params = CodecParams::new(Codec::H264);
        params.parameter_sets = units[0].nals.iter().take(2).cloned().collect();
        let params = Arc::new(params);
        let frame = move |u: AccessUnit| {
            let kind = if u.key { FrameKind::Key } else { FrameKind::Predicted };
            unit(&params, u.at, kind, annexb::join(u.nals.iter().map(|n| &n[..])))
        };
        units.into_iter().map(frame)
    };
    [start, start.plus_us(2_000_000)].into_iter().flat_map(gop).collect()
}

/// What a program prints; `None` where it is not installed.
async fn run(program: &'static str, args: String) -> Option<String> {
    let output = tokio::task::spawn_blocking(move || {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "20", program]).args(args.split_whitespace()).output()
    });
    let output = output.await.unwrap().unwrap();
    if output.status.code() == Some(127) {
        println!("SKIPPED: {program} is not installed");
        return None;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {:?}: {errors}", output.status);
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// R8.T-1, R8.T-3, R8.1-2, R8.1-3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffprobe_counts_every_picture() {
    let stage = Stage::of(clip()).await;
    let server = stage.serve().await;
    for transport in ["tcp", "udp"] {
        let args = format!(
            "-v error -rtsp_transport {transport} -select_streams v -read_intervals %+#{PICTURES} \
             -show_entries packet=pts,flags -of csv=p=0 {}",
            server.url
        );
        let Some(text) = run("ffprobe", args).await else { return };
        let lines: Vec<_> = text.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(lines.len(), PICTURES, "{transport}: {text}");
        // The first has no time of its own: the player waits for a report or a second packet.
        let pts = lines[1..].iter().map(|l| l.split(',').next().unwrap().parse::<i64>().unwrap());
        let pts: Vec<_> = pts.collect();
        assert!(pts.windows(2).all(|w| w[1] - w[0] == 7200), "{transport}: {pts:?}");
        assert_eq!(lines.iter().filter(|l| l.contains(",K")).count(), 2, "{transport}: {text}");
    }
}

/// The client of GStreamer in its mode for this standard; the times of its buffers count from 1900
/// and are the recorded ones (R8.3-13, R8.5.1-6, R8.5.1-7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gstreamer_plays_as_an_onvif_client() {
    let stage = Stage::of(clip()).await;
    let server = stage.serve().await;
    for rate_control in ["true", "false"] {
        // Its jitter buffer would drop the first picture in the other modes: the time that it gives
        // to the first packet lies before the segment that the Range of the answer opened.
        let args = format!(
            "-v rtspsrc location={} protocols=tcp buffer-mode=none onvif-mode=true \
             onvif-rate-control={rate_control} ! rtph264depay ! h264parse \
             ! fakesink silent=false sync=false num-buffers={PICTURES}",
            server.url
        );
        let Some(text) = run("gst-launch-1.0", args).await else { return };
        let times: Vec<_> = text
            .lines()
            .filter(|l| l.contains("chain   ****"))
            .filter_map(|l| l.split_once("pts: ")?.1.split(',').next())
            .collect();
        assert_eq!(times.len(), PICTURES, "{rate_control}: {text}");
        for (i, time) in times.iter().enumerate() {
            // 2026-11-25T03 is hour 1 112 379 of the count.
            let ms = 30_000 + i * 80;
            let start = format!("1112379:11:{:02}.{:03}", ms / 1000, ms % 1000);
            assert!(time.starts_with(&start), "{rate_control}: picture {i} at {time}, not {start}");
        }
    }
}

/// GStreamer outside of that mode takes the absolute range of the description for seconds since 1900
/// and asks in those (R8.2-1, R8.4-3, R8.5.2-5).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gstreamer_plays_as_any_client() {
    let stage = Stage::of(clip()).await;
    let server = stage.serve().await;
    let args = format!(
        "-v rtspsrc location={} protocols=tcp ! rtph264depay ! h264parse \
         ! fakesink silent=false sync=false num-buffers={PICTURES}",
        server.url
    );
    let Some(text) = run("gst-launch-1.0", args).await else { return };
    assert_eq!(text.matches("chain   ****").count(), PICTURES, "{text}");
    let asked = stage.asked();
    let (start, end) = (clip()[0].at.utc, clip().last().unwrap().at.utc);
    assert_eq!(asked.from, start);
    assert!(asked.until.is_none_or(|t| t >= end), "{asked:?}");
}

/// ffmpeg seeks by PAUSE and a PLAY in normal play time (R8.10-5, R8.5.2-5).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffprobe_seeks() {
    let stage = Stage::of(clip()).await;
    let server = stage.serve().await;
    let args = format!(
        "-v error -rtsp_transport tcp -select_streams v -read_intervals 2%+#5 \
         -show_entries packet=flags -of csv=p=0 {}",
        server.url
    );
    let Some(text) = run("ffprobe", args).await else { return };
    let lines: Vec<_> = text.lines().filter(|l| !l.is_empty()).collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].contains('K'), "{text}");
    assert_eq!(stage.asked().from, clip()[0].at.utc.plus_us(2_000_000));
}
