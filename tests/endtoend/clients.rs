//! Clients that nobody of this project wrote: zeep with the official WSDLs, ffprobe, GStreamer.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::rig::{DEVICE, PASSWORD, Process, Recorder, Site, USER, python};
use crate::truth::{self, utc};

const SECOND_US: i64 = 1_000_000;
/// Synthetic pictures that a scenario does not change.
const FRAME_US: i64 = 80_000;
const PICTURES_OF_GROUP: usize = 25;

/// Two channels with footage, one without; sound; motion.
const DEPOT: &str = r#"
[clock]
offset_s = 137.4
drift_ppm = 12.0
zone = "Europe/Bratislava"
[storage]
file = "5m"
[[channel]]
id = 1
name = "Yard & gate"
audio = true
[[channel.recorded]]
from = "-90m"
to = "-60m"
[[channel.recorded]]
from = "-50m"
to = "-20m"
[[channel]]
id = 3
name = "Ramp"
[[channel.recorded]]
from = "-80m"
to = "-20m"
reason = "motion"
every = "10m"
lasting = "60s"
[[channel]]
id = 4
name = ""
[[event]]
kind = "motion"
channel = 1
at = "-85m"
until = "-62m"
every = "7m"
lasting = "20s"
"#;

/// RH3-1, RH5-1, RH5-2, RH5-6, R5.6-1, R5.6-4, R5.6-5, R5.8-1, R5.11-1, R5.15-1, R5.19-1, R5.20-1,
/// R4-2, R6.1-1, R6.3.3-2, R6.4-1, R6.4-3, R6.5-1, R6.6-1, R6.7-1, R6.8-2, R6.8-7, R6.8-8, R6.9-1,
/// R6.9-2, R6.9-3, R6.9-5, R6.9-13, R6.10-3, R6.13-1, R6.13-3, R6.16-2, R6.15-4, R7.1-2, R7.1-5,
/// R7.2-2, R7.2-3: a strict SOAP client that validates every answer against the official WSDLs
/// reads everything, and what it reads is so.
#[test]
fn zeep_reads_devices_recordings_searches_and_replay_uris() {
    let recorder = Recorder::start(DEPOT);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let found = python("profile_g.py", &[&gateway.http, USER, PASSWORD]);
    gateway.stop();

    assert_eq!(found["capabilities"], serde_json::json!(["Recording", "Replay", "Search"]));
    for (fault, code) in [
        ("fault_recording", "NoRecording"),
        ("fault_create", "NotImplemented"),
        ("fault_token", "InvalidToken"),
        ("fault_ended", "InvalidToken"),
        ("fault_setup", "InvalidStreamSetup"),
    ] {
        assert_eq!(found[fault], code, "{fault}");
    }
    let truth = recorder.truth();
    let near = |said: &Value, really: dvrgate_model::Utc| {
        let said = said.as_str().unwrap().replace("+00:00", "Z");
        let off = utc(&said).since_us(really);
        assert!(off.abs() <= 2 * SECOND_US, "{said} is {really}");
    };
    let recordings = found["recordings"].as_object().unwrap();
    assert_eq!(recordings.len(), truth.channels.len());
    for channel in &truth.channels {
        let token = format!("{DEVICE}-{}", channel.id);
        let said = &recordings[&token];
        let name = if channel.name.is_empty() { "Channel 4" } else { &channel.name };
        assert_eq!(said["name"], name);
        let spans = truth::spans(channel);
        let Some(last) = spans.last() else {
            assert_eq!(said["tracks"], serde_json::json!([]), "R6.3.3-1");
            continue;
        };
        near(&said["earliest"], spans[0].start());
        near(&said["latest"], last.end());
        let kinds: Vec<&str> =
            said["tracks"].as_array().unwrap().iter().map(|t| t[1].as_str().unwrap()).collect();
        // R5.1-2, R6.3.3-1: metadata is recorded since something happened.
        let happened = truth.events.iter().any(|e| e.channel == Some(channel.id));
        let expected = [("Video", true), ("Audio", channel.audio), ("Metadata", happened)];
        let expected: Vec<_> = expected.iter().filter(|(_, is)| *is).map(|(k, _)| *k).collect();
        assert_eq!(kinds, expected);
        let uri = found["uris"][&token].as_str().unwrap();
        assert!(uri.starts_with("rtsp://127.0.0.1:"), "{uri}");

        // R6.17-2: data begins and ends where it does.
        let edges = &found["events"][&token]["spans"][&format!("{token}-video")];
        let edges = edges.as_array().unwrap();
        assert_eq!(edges.len(), 2 * spans.len(), "{token}: {edges:?}");
        for (span, edge) in spans.iter().zip(edges.chunks(2)) {
            near(&edge[0][0], span.start());
            near(&edge[1][0], span.end());
        }
        let motion = truth.events.iter().filter(|e| e.channel == Some(channel.id));
        let told: usize = motion.map(|e| 1 + usize::from(e.until.is_some())).sum();
        assert_eq!(found["events"][&token]["motion"], told);
    }
}

/// Ten seconds with sound, and something that happens.
const SHORT: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[[channel]]
id = 1
audio = true
[[channel.recorded]]
from = "-30m"
to = "-29m50s"
[[event]]
kind = "motion"
channel = 1
at = "-29m57s"
until = "-29m53s"
"#;

/// R8.1-2, R8.1-3, R8.4-3, R8.5.3-1, R8.T-1, R8.T-3: a player that knows nothing of replay.
#[test]
fn ffprobe_counts_every_picture_over_tcp_and_udp() {
    let recorder = Recorder::start(SHORT);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let pictures = truth::pictures(truth::channel(&truth, 1)).len();
    let url = gateway.replay(&format!("{DEVICE}-1"));
    let url = url.replace("rtsp://", &format!("rtsp://{USER}:{PASSWORD}@"));
    for transport in ["tcp", "udp"] {
        let mut ffprobe = Command::new("ffprobe");
        // The server stays in the playing state at the end (R8.9-1); silence ends the count.
        ffprobe.args(["-v", "error", "-rtsp_transport", transport, "-timeout", "4000000"]);
        ffprobe.args(["-count_frames", "-show_entries", "stream=codec_name,nb_read_frames"]);
        let ended = Process::start_command(ffprobe.args(["-of", "json", &url])).end();
        let said: Value = serde_json::from_str(&ended.stdout).unwrap();
        let streams: BTreeMap<&str, usize> = said["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| {
                let count = s["nb_read_frames"].as_str().unwrap_or("0");
                // The metadata track is of no encoding that it knows.
                (s["codec_name"].as_str().unwrap_or("data"), count.parse().unwrap())
            })
            .collect();
        assert_eq!(streams.get("h264"), Some(&pictures), "{transport}: {streams:?}");
        // Ten seconds of sound in blocks of 40 ms.
        assert!(streams["pcm_alaw"] >= 240, "{transport}: {streams:?}");
        assert!(streams.contains_key("data"), "{transport}: {streams:?}");
    }
    gateway.stop();
}

/// R8.5.3-2, R8.6-1, R8.6-2, R8.3-16: forwards and in reverse, each picture with its recorded time.
#[test]
fn gstreamer_plays_forwards_and_in_reverse_with_recorded_time() {
    let recorder = Recorder::start(SHORT);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let channel = truth::channel(&truth, 1);
    let span = truth::spans(channel)[0];
    let expected: Vec<i64> = truth::pictures(channel).iter().map(|t| t.micros()).collect();
    let url = gateway.replay(&format!("{DEVICE}-1"));
    let (from, to) = (span.start().to_string(), span.end().to_string());
    let near = |a: i64, b: i64| (a - b).abs() < FRAME_US;
    for direction in ["forwards", "reverse"] {
        let played = python("replay.py", &[&url, USER, PASSWORD, &from, &to, direction]);
        // On the wire: all groups, in reverse the last first, each in forward order.
        let groups = expected.chunks(PICTURES_OF_GROUP);
        let order: Vec<i64> = match direction {
            "forwards" => expected.clone(),
            _ => groups.rev().flatten().copied().collect(),
        };
        let units = played["units"].as_array().unwrap();
        assert_eq!(units.len(), order.len(), "{direction}");
        for (unit, &at) in units.iter().zip(&order) {
            let carried = unit["utc_us"].as_i64().unwrap();
            assert!(near(carried, at), "{direction}: {unit} is of {at}");
            // The time of GStreamer's buffers is the recorded one, too.
            assert!(near(unit["pts_us"].as_i64().unwrap(), at), "{direction}: {unit} is of {at}");
        }
        // On the screen. GStreamer 1.22 ends with the first packet of the unit that has the terminal
        // mark, so the rest of that unit is lost, and in reverse the group that it decodes first.
        let pictures = played["pictures"].as_array().unwrap();
        let shown: Vec<i64> = pictures.iter().map(|p| p["shown_us"].as_i64().unwrap()).collect();
        match direction {
            "forwards" => {
                assert!(shown.len() + 1 >= expected.len(), "{} pictures", shown.len());
                assert_eq!(shown, expected[..shown.len()]);
                for (p, &at) in pictures.iter().zip(&shown) {
                    assert!(near(p["pts_us"].as_i64().unwrap(), at), "{p}");
                }
            }
            _ => {
                assert!(shown.len() + 1 + PICTURES_OF_GROUP >= expected.len(), "{}", shown.len());
                assert!(shown.windows(2).all(|w| w[0] > w[1]), "backwards: {shown:?}");
                assert!(shown.iter().all(|at| expected.contains(at)), "{shown:?}");
                assert_eq!(shown.last(), expected.first());
            }
        }
    }
    gateway.stop();
    assert_eq!(recorder.counters.read().playback_open, 0);
}
