//! Replay through tunnels, WebSockets and TLS, on every port, with clients that nobody of this project
//! wrote: ffprobe, GStreamer, a Python WebSocket library.

use std::process::Command;

use serde_json::Value;

use crate::rig::{DEVICE, Gateway, PASSWORD, Process, Recorder, Site, USER, python};
use crate::truth;

/// Ten seconds.
const SHORT: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[[channel]]
id = 1
[[channel.recorded]]
from = "-30m"
to = "-29m50s"
"#;

/// Pictures that a player may keep back.
const HELD_BACK: usize = 5;

/// A gateway that listens over TLS, too, and how many pictures it has.
fn serve(recorder: &Recorder) -> (Site, Gateway, usize) {
    let tls = "rtsp = \"127.0.0.1:0\"\nhttps = \"127.0.0.1:0\"\nrtsps = \"127.0.0.1:0\"";
    let site = Site::with(recorder, |text| text.replacen("rtsp = \"127.0.0.1:0\"", tls, 1));
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let pictures = truth::pictures(truth::channel(&truth, 1)).len();
    (site, gateway, pictures)
}

/// Host and port of `scheme://HOST:PORT`.
fn host(address: &str) -> &str {
    address.split("://").nth(1).unwrap()
}

/// R7.1-3, R8.1-1, R8.T-4, R8.T-5, R8.T-8: the tunnel on the RTSP port, on the HTTP port and over
/// TLS on both of their kinds, and RTSPS.
#[test]
fn ffprobe_counts_every_picture_through_tunnels_and_tls() {
    let recorder = Recorder::start(SHORT);
    let (_site, gateway, pictures) = serve(&recorder);
    let (https, rtsps) = (gateway.https.clone().unwrap(), gateway.rtsps.clone().unwrap());
    for (scheme, transport, address) in [
        ("rtsp", "http", host(&gateway.rtsp)),
        ("rtsp", "http", host(&gateway.http)),
        ("rtsp", "https", host(&https)),
        ("rtsp", "https", host(&rtsps)),
        ("rtsps", "tcp", host(&rtsps)),
    ] {
        let url = format!("{scheme}://{USER}:{PASSWORD}@{address}/replay/{DEVICE}-1");
        let mut ffprobe = Command::new("ffprobe");
        // The server stays in the playing state at the end (R8.9-1), so players cannot know that they
        // have the last ones.
        let most = format!("%+#{}", pictures - HELD_BACK);
        ffprobe.args(["-v", "error", "-rtsp_transport", transport, "-read_intervals", &most]);
        ffprobe.args(["-select_streams", "v", "-show_entries", "packet=pts", "-of", "csv=p=0"]);
        let ended = Process::start_command(ffprobe.arg(&url)).end();
        let lines: Vec<&str> = ended.stdout.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(
            lines.len(),
            pictures - HELD_BACK,
            "{scheme} {transport} {address}: {}\n{}",
            ended.stdout,
            ended.stderr
        );
    }
    gateway.stop();
    assert_eq!(recorder.counters.read().playback_open, 0);
}

/// R8.T-4, R8.T-5, R8.T-8
#[test]
fn gstreamer_plays_through_tunnels_and_tls() {
    let recorder = Recorder::start(SHORT);
    let (_site, gateway, pictures) = serve(&recorder);
    let (https, rtsps) = (gateway.https.clone().unwrap(), gateway.rtsps.clone().unwrap());
    for (scheme, address) in [
        ("rtsph", host(&gateway.rtsp)),
        ("rtsph", host(&gateway.http)),
        ("rtspsh", host(&https)),
        ("rtsps", host(&rtsps)),
    ] {
        let pipeline = format!(
            "-v rtspsrc location={scheme}://{address}/replay/{DEVICE}-1 user-id={USER} \
             user-pw={PASSWORD} tls-validation-flags=0 onvif-mode=true onvif-rate-control=false \
             ! rtph264depay ! h264parse ! fakesink silent=false sync=false num-buffers={}",
            pictures - HELD_BACK
        );
        let mut gst = Command::new("gst-launch-1.0");
        let ended = Process::start_command(gst.args(pipeline.split_whitespace())).end();
        let buffers = ended.stdout.matches("chain   ****").count();
        assert_eq!(
            buffers,
            pictures - HELD_BACK,
            "{scheme}://{address}: {}{}",
            ended.stdout,
            ended.stderr
        );
    }
    gateway.stop();
}

/// R8.T-2: GStreamer asks for a group, joins it on the loopback interface and hears the footage at
/// its pace.
#[test]
fn a_player_joins_the_group_that_it_is_told() {
    let recorder = Recorder::start(SHORT);
    let range = "rtsp = \"127.0.0.1:0\"\nmulticast = \"239.255.64.0/24\"";
    let site = Site::with(&recorder, |text| text.replacen("rtsp = \"127.0.0.1:0\"", range, 1));
    site.sync();
    let gateway = site.serve();
    let address = host(&gateway.rtsp);
    const PICTURES: usize = 40;
    let pipeline = format!(
        "-v rtspsrc location=rtsp://{address}/replay/{DEVICE}-1 user-id={USER} user-pw={PASSWORD} \
         protocols=udp-mcast multicast-iface=lo ! rtph264depay ! h264parse \
         ! fakesink silent=false sync=false num-buffers={PICTURES}"
    );
    let mut gst = Command::new("gst-launch-1.0");
    let ended = Process::start_command(gst.args(pipeline.split_whitespace())).end();
    let buffers = ended.stdout.matches("chain   ****").count();
    assert_eq!(buffers, PICTURES, "{}{}", ended.stdout, ended.stderr);
    gateway.stop();
}

/// R7.5-5, R8.T-6, R7.1-3, R7.1-4, R7.1-8, RH3-1: what the services promise is there.
#[test]
fn a_websocket_library_replays_at_the_address_that_the_services_name() {
    let recorder = Recorder::start(SHORT);
    let (_site, gateway, pictures) = serve(&recorder);
    let token = format!("{DEVICE}-1");
    let wanted = pictures.to_string();
    let https = gateway.https.clone().unwrap();
    for (service, websocket) in [(&gateway.http, "ws:/replay"), (&https, "wss:/replay")] {
        let args = [service, USER, PASSWORD, &token, &wanted];
        let played = python("websocket_replay.py", &args);
        assert_eq!(played["units"], pictures, "{played}");
        assert_eq!(played["websocket"], websocket);
        let addresses = played["addresses"].as_array().unwrap();
        let ours = |a: &Value| a.as_str().unwrap().starts_with(&format!("{service}/onvif/"));
        assert!(addresses.len() >= 4 && addresses.iter().all(ours), "{addresses:?}");
        let rtsp = gateway.replay(&token);
        assert_eq!(
            (&played["uris"]["UDP"], &played["uris"]["RTSP"]),
            (&rtsp.clone().into(), &rtsp.into())
        );
        assert_eq!(played["uris"]["HTTP"], format!("{service}/replay/{token}"));
    }
    gateway.stop();
}
