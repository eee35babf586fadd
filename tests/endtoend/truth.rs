//! What recorders really hold, in the words of the gateway, and comparisons with what it says.

use dvrgate_model::{Utc, UtcRange};
use dvrgate_testkit::truth::{TrueChannel, Truth};
use serde_json::Value;

use crate::rig::{DEVICE, Recorder, Site};

/// An instant out of a text.
pub fn utc(text: &str) -> Utc {
    text.parse().unwrap()
}

/// `clock=` of a range.
pub fn clock(from: Utc, to: Option<Utc>) -> String {
    // 2026-11-25T04:00:00.48Z is 20261125T040000.48Z in RTSP.
    let text = |t: Utc| t.to_string().replace(['-', ':'], "");
    format!("clock={}-{}", text(from), to.map(text).unwrap_or_default())
}

/// The channel of that number.
pub fn channel(truth: &Truth, id: u16) -> &TrueChannel {
    truth.channels.iter().find(|c| c.id == id).unwrap()
}

/// Recorded time of a channel.
pub fn spans(channel: &TrueChannel) -> Vec<UtcRange> {
    let range =
        |r: &dvrgate_testkit::truth::TrueRange| UtcRange::new(utc(&r.from), utc(&r.to)).unwrap();
    channel.spans.iter().map(range).collect()
}

/// Every picture of a channel, oldest first: pictures stand on a grid inside of spans.
pub fn pictures(channel: &TrueChannel) -> Vec<Utc> {
    let of = |s: UtcRange| {
        (0..s.duration_us() / channel.frame_us)
            .map(move |n| s.start().plus_us(n * channel.frame_us))
    };
    spans(channel).into_iter().flat_map(of).collect()
}

/// A stretch of recorded time with one reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stretch {
    /// The recording.
    pub recording: String,
    /// A name of [`dvrgate_model::Reason`].
    pub reason: String,
    /// From and to.
    pub range: UtcRange,
}

/// Neighbours of one reason as one. Listings label files with whole seconds, so what is less than
/// `slack_us` apart touches.
fn joined(mut all: Vec<Stretch>, slack_us: i64) -> Vec<Stretch> {
    all.sort_by_key(|s| (s.recording.clone(), s.reason.clone(), s.range.start()));
    let mut out: Vec<Stretch> = Vec::new();
    for s in all {
        match out.last_mut() {
            Some(last)
                if last.recording == s.recording
                    && last.reason == s.reason
                    && last.range.touches(&s.range, slack_us) =>
            {
                last.range = last.range.hull(&s.range);
            }
            _ => out.push(s),
        }
    }
    out
}

/// What the recorder holds.
pub fn recorded(truth: &Truth) -> Vec<Stretch> {
    let all = truth.channels.iter().flat_map(|c| {
        c.segments.iter().map(|s| Stretch {
            recording: format!("{DEVICE}-{}", c.id),
            reason: s.reason.to_owned(),
            range: UtcRange::new(utc(&s.range.from), utc(&s.range.to)).unwrap(),
        })
    });
    joined(all.collect(), 0)
}

/// What the index says that it holds, by its tracks of that kind.
pub fn indexed(site: &Site, kind: &str) -> Vec<Stretch> {
    let rows = site.list("segments");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let all = rows.iter().filter_map(|row| {
        let track = text(row, "track");
        Some(Stretch {
            recording: track.strip_suffix(&format!("-{kind}"))?.to_owned(),
            reason: text(row, "reason"),
            range: UtcRange::new(utc(&text(row, "start")), utc(&text(row, "end"))).unwrap(),
        })
    });
    joined(all.collect(), SECOND_US)
}

/// Listings have whole seconds.
const SECOND_US: i64 = 1_000_000;

/// Whether two lists of stretches are the same up to what a listing in whole seconds and a clock
/// that is read over a network can tell.
pub fn same(said: &[Stretch], really: &[Stretch]) -> Result<(), String> {
    let key = |s: &Stretch| (s.recording.clone(), s.reason.clone());
    if said.iter().map(key).ne(really.iter().map(key)) {
        return Err(format!("said: {said:#?}\nreally: {really:#?}"));
    }
    let off = |a: Utc, b: Utc| a.since_us(b).abs() > 2 * SECOND_US;
    let wrong = |(s, r): &(&Stretch, &Stretch)| {
        off(s.range.start(), r.range.start()) || off(s.range.end(), r.range.end())
    };
    match said.iter().zip(really).find(wrong) {
        Some((s, r)) => Err(format!("said: {s:?}\nreally: {r:?}")),
        None => Ok(()),
    }
}

/// The index must hold what the recorder holds.
pub fn assert_index(site: &Site, recorder: &Recorder) {
    let truth = recorder.truth();
    same(&indexed(site, "video"), &recorded(&truth)).unwrap_or_else(|e| panic!("{e}"));
}
