//! A channel that was set to another encoding and back: a track for each.

use dvrgate_model::Utc;

use crate::rig::{DEVICE, Recorder, Site};
use crate::truth::{self, clock};
use crate::wire::{Client, Kind, Unit};

/// A minute without a gap: H.264, then H.265, then H.264 again. The listing does not tell.
const RECONFIGURED: &str = r#"
[clock]
offset_s = 137.4
zone = "Europe/Bratislava"
[[channel]]
id = 1
audio = true
[[channel.recorded]]
from = "-30m"
to = "-29m40s"
[[channel.recorded]]
from = "-29m40s"
to = "-29m20s"
[channel.recorded.footage]
codec = "h265"
[[channel.recorded]]
from = "-29m20s"
to = "-29m"
"#;

const SECOND_US: i64 = 1_000_000;

fn play(url: &str, from: Utc) -> Vec<Unit> {
    let mut client = Client::ready_for(url, &[Kind::Picture]);
    let tracks = client.sdp.matches("m=video").count();
    let range = clock(from, None);
    client.play(&[("Range", &range), ("Rate-Control", "no")]);
    // Each track has an end of its own.
    let units = (0..tracks).flat_map(|_| client.until(|u, _| u.terminal)).collect();
    client.teardown();
    units
}

/// R4-4, R5.1-3, R8.2-1, R8.3-14: each track has one encoding for its whole life; together they tell the
/// whole story, and another sync does not undo it.
#[test]
fn another_encoding_has_a_track_of_its_own() {
    let recorder = Recorder::start(RECONFIGURED);
    let site = Site::new(&recorder);
    site.sync();
    let gateway = site.serve();
    let truth = recorder.truth();
    let channel = truth::channel(&truth, 1);
    let span = truth::spans(channel)[0];
    let border = |s: i64| span.start().plus_us(s * SECOND_US);
    let expected: Vec<Utc> = truth::pictures(channel);
    let url = gateway.replay(&format!("{DEVICE}-1"));

    // Nobody knew before the footage was fetched: what is of the one encoding is played, and only that.
    let first = play(&url, span.start());
    assert!(!first.is_empty());
    let middle = |u: &Unit| (border(21)..border(39)).contains(&u.at);
    assert!(!first.iter().any(middle), "H.265 on the track of H.264");

    let client = Client::open(&url);
    let sections: Vec<&str> = client.sdp.split("\nm=").filter(|s| s.starts_with("video")).collect();
    for (section, (track, encoding)) in
        sections.iter().zip([("video", "H264"), ("video-2", "H265")])
    {
        assert!(section.contains(&format!("a=x-onvif-track:{DEVICE}-1-{track}\r")), "{section}");
        assert!(section.contains(&format!(" {encoding}/90000\r")), "{section}");
    }
    assert_eq!(sections.len(), 2, "{}", client.sdp);
    drop(client);

    let all = play(&url, span.start());
    let times: Vec<Utc> = all.iter().map(|u| u.at).collect();
    assert!(times.is_sorted(), "in the order of time over both tracks");
    assert_eq!(times.len(), expected.len());
    assert!(times.iter().zip(&expected).all(|(a, b)| a.since_us(*b).abs() < 80_000));
    // Of H.265 the type of a unit stands elsewhere: 32 and more are no pictures.
    let is_h265 = |u: &Unit| {
        u.payloads.iter().all(|p| matches!(p[0] >> 1, 0 | 1 | 19 | 20 | 32..=40 | 48 | 49))
    };
    assert!(all.iter().filter(|u| middle(u)).all(is_h265));
    gateway.stop();

    for _ in 0..2 {
        let second = truth::indexed(&site, "video-2");
        assert_eq!(second.len(), 1, "{second:?}");
        let off = |a: Utc, b: Utc| a.since_us(b).abs();
        assert!(off(second[0].range.start(), border(20)) <= 2 * SECOND_US, "{second:?}");
        assert!(off(second[0].range.end(), border(40)) <= 2 * SECOND_US, "{second:?}");
        assert_eq!(truth::indexed(&site, "video").len(), 2);
        assert_eq!(truth::indexed(&site, "audio").len(), 1);
        site.sync();
    }
}
