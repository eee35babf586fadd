//! Where recording goes on, stops, and is taken up again.

use super::*;

fn growing(sections: &[Section], growing: bool) -> Archive {
    Archive { growing, ..archive(sections, false) }
}

/// Deliveries in words: milliseconds with their marks.
fn told(deliveries: &[Delivery]) -> Vec<String> {
    deliveries
        .iter()
        .map(|d| match d {
            Delivery::Unit { frame, marks } => format!(
                "{}{}{}",
                frame.at.utc.since_us(at_ms(0)) / 1000,
                if marks.end_of_span { "E" } else { "" },
                if marks.terminal { "T" } else { "" }
            ),
            Delivery::Gap(_) => "gap".into(),
            Delivery::LiveEdge(at) => format!("edge {}", at.since_us(at_ms(0)) / 1000),
        })
        .collect()
}

#[test]
fn at_the_live_edge_no_end_is_claimed_until_recording_stops() {
    // R8.8-1, R8.8-2, R8.8-3, R8.9-2.
    let section = |gops: Vec<usize>| Section {
        gap_ms: 1000,
        gops,
        step_ms: 40,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let mut now = growing(&[section(vec![1, 2])], true);
    // Last one first.
    now.later = Arc::new(Mutex::new(vec![
        growing(&[section(vec![1, 2, 3])], false),
        growing(&[section(vec![1, 2, 3])], true),
        growing(&[section(vec![1, 2])], true),
    ]));
    let follow = PlayPlan { follow_live: true, ..plan(at_ms(0), Direction::Forward) };
    let got = play(&now, &follow);
    let text = told(&got);
    assert_eq!(
        text,
        ["1000", "1040", "edge 1040", "1080", "1120", "1160", "edge 1160", "1200ET", "edge 1200"]
    );

    // Without follow_live it ends there, and claims no end.
    let got = play(&now, &plan(at_ms(0), Direction::Forward));
    let last = units(&got).pop().unwrap();
    assert_eq!((last.0, last.2), (at_ms(1080), marks("")));
}

/// R8.9-1, R8.9-2: at the end of data playback waits, and goes on when recording is taken up again. A
/// change of something else does not wake it.
#[test]
fn playback_goes_on_when_recording_is_taken_up_again() {
    let section = |gops: Vec<usize>, gap_ms| Section {
        gap_ms,
        gops,
        step_ms: 40,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let before = [section(vec![1, 1], 1000)];
    let after = [section(vec![1, 1], 1000), section(vec![1], 10_000)];
    let mut now = growing(&before, false);
    // Last one first.
    let later = vec![growing(&after, false), growing(&before, false), growing(&before, false)];
    now.later = Arc::new(Mutex::new(later));
    let follow = PlayPlan { follow_live: true, ..plan(at_ms(0), Direction::Forward) };
    let got = told(&play(&now, &follow));
    assert_eq!(got, ["1000", "1040ET", "edge 1040", "gap", "11080ET", "edge 11080"]);

    // Behind all data there is nothing but what comes later.
    now.later = Arc::new(Mutex::new(vec![growing(&after, false)]));
    let late = PlayPlan { follow_live: true, ..plan(at_ms(5000), Direction::Forward) };
    assert_eq!(told(&play(&now, &late)), ["edge 5000", "11080ET", "edge 11080"]);

    // A range that ends by itself is over with its data.
    now.later = Arc::new(Mutex::new(vec![growing(&after, false)]));
    let closed = PlayPlan { until: Some(at_ms(60_000)), ..follow };
    assert_eq!(told(&play(&now, &closed)), ["1000", "1040ET"]);
}

#[test]
fn a_track_that_stopped_does_not_hold_up_the_others_at_the_live_edge() {
    let section = |gops: Vec<usize>, step_ms| Section {
        gap_ms: 0,
        gops,
        step_ms,
        bidirectional: false,
        padding_ms: (0, 0),
    };
    let mut archive = growing(&[section(vec![5], 1000)], true);
    archive.tracks.insert("w".into(), video("w", &[section(vec![2], 40)]));
    let tracks = vec!["v".into(), "w".into()];
    let plan = PlayPlan { tracks, follow_live: true, ..plan(at_ms(0), Direction::Forward) };
    let got = units(&play(&archive, &plan));
    let w_end = got.iter().position(|u| u.0 == at_ms(40)).unwrap();
    assert_eq!(got[w_end].2, marks("E"));
    assert!(got.iter().any(|u| u.0 == at_ms(3000)));
}
