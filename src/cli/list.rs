//! `recordings`, `segments`, `events`: looks into the index.

use std::sync::Arc;

use clap::Args;
use dvrgate_index::{EventSelect, Index as _, Scope, SegmentSelect, Snapshot, blocking};
use dvrgate_index_duckdb::DuckDbIndex;
use dvrgate_model::{
    Direction, Items, Recording, RecordingToken, Topic, TrackKind, TrackToken, Utc, UtcRange,
};
use serde_json::Value;

use super::output::{Format, Rows, note};
use super::{CliError, ConfigArg};
use crate::config::Config;
use crate::wiring;

/// What all three have.
#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this recorder.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// Only this recording.
    #[arg(long, value_name = "TOKEN")]
    recording: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// `recordings`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  dvrgate recordings --config dvrgate.toml --format json")]
pub struct RecordingsArgs {
    #[command(flatten)]
    common: Common,
}

/// A part of time and a bound.
#[derive(Args, Debug)]
struct Window {
    /// From this time on, RFC 3339, for instance 2026-11-24T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Utc>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<Utc>,
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    /// At most so many.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = at_least_one)]
    limit: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("use a number from 1 on".to_owned()),
        Ok(n) => Ok(n),
    }
}

impl Window {
    fn range(&self) -> Result<UtcRange, CliError> {
        let (from, to) = (self.from.unwrap_or(Utc::MIN), self.to.unwrap_or(Utc::MAX));
        Ok(UtcRange::new(from, to)?)
    }

    fn direction(&self) -> Direction {
        if self.reverse { Direction::Reverse } else { Direction::Forward }
    }
}

/// `segments`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  dvrgate segments --config dvrgate.toml --recording yard-1 --from 2026-11-24T00:00:00Z"
)]
pub struct SegmentsArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    window: Window,
}

/// `events`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  dvrgate events --config dvrgate.toml --topic tns1:VideoSource/MotionAlarm --reverse --limit 20"
)]
pub struct EventsArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    window: Window,
    /// Only this topic, for instance tns1:VideoSource/MotionAlarm. May be repeated.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
}

impl Common {
    /// The recordings meant, or `None` for all.
    fn scope(&self, config: &Config, snapshot: &dyn Snapshot) -> Result<Scope, CliError> {
        let all = snapshot.recordings(&Scope::all())?;
        if let Some(token) = &self.recording {
            let known = all.iter().any(|r| r.token.as_str() == token);
            if !known {
                return Err(CliError::usage(format!(
                    "no recording {token:?} in the index; `dvrgate recordings` lists them"
                )));
            }
            return Ok(Scope { recordings: Some(vec![RecordingToken::new(token)]) });
        }
        let Some(device) = &self.device else { return Ok(Scope::all()) };
        let own = |r: &&Arc<Recording>| wiring::device_of(r).is_some_and(|d| d.as_str() == device);
        let tokens: Vec<_> = all.iter().filter(own).map(|r| r.token.clone()).collect();
        // One that was taken out of the configuration may still be in the index.
        if tokens.is_empty() {
            wiring::configured(config, device)?;
        }
        Ok(Scope { recordings: Some(tokens) })
    }
}

/// The index, a view of it and what of it is meant; the view answers only while the index is open.
fn open(common: &Common) -> Result<(DuckDbIndex, Arc<dyn Snapshot>, Scope), CliError> {
    let config = common.config.load_offline()?;
    let index = wiring::open_index(&config)?;
    let snapshot = index.snapshot();
    let scope = common.scope(&config, &*snapshot)?;
    Ok((index, snapshot, scope))
}

fn time(t: Utc) -> Value {
    t.to_string().into()
}

/// Lists recordings.
pub fn recordings(args: &RecordingsArgs) -> Result<(), CliError> {
    let (_index, snapshot, scope) = open(&args.common)?;
    let mut rows =
        Rows::new(&["token", "device", "name", "status", "tracks", "codec", "earliest", "latest"]);
    for r in snapshot.recordings(&scope)? {
        let device = wiring::device_of(&r).map_or(Value::Null, |d| d.as_str().into());
        let video = r.tracks.iter().find(|t| t.kind == TrackKind::Video);
        rows.push(vec![
            r.token.as_str().into(),
            device,
            r.source.name.clone().into(),
            format!("{:?}", r.status).into(),
            r.tracks.len().into(),
            video.and_then(|t| t.codec).map_or(Value::Null, |c| c.name().into()),
            r.data().map_or(Value::Null, |d| time(d.start())),
            r.data().map_or(Value::Null, |d| time(d.end())),
        ]);
    }
    rows.print(args.common.format)
}

/// Lists segments.
pub async fn segments(args: SegmentsArgs) -> Result<(), CliError> {
    let (_index, snapshot, scope) = open(&args.common)?;
    let tracks: Vec<TrackToken> = snapshot
        .recordings(&scope)?
        .iter()
        .flat_map(|r| r.tracks.iter().map(|t| t.token.clone()))
        .collect();
    let select = SegmentSelect {
        tracks: Some(tracks),
        range: args.window.range()?,
        states: None,
        direction: args.window.direction(),
        limit: args.window.limit,
        after: None,
    };
    let page = blocking(snapshot, move |s| s.segments(&select)).await?;
    let mut rows = Rows::new(&[
        "track",
        "start",
        "end",
        "reason",
        "state",
        "bytes",
        "source_start",
        "source_end",
        "uncertainty_s",
    ]);
    for s in &page.items {
        rows.push(vec![
            s.track.as_str().into(),
            time(s.start.utc),
            time(s.end.utc),
            s.reason.name().into(),
            s.state.name().into(),
            s.bytes.map_or(Value::Null, Value::from),
            (*s.source.0.raw).into(),
            (*s.source.1.raw).into(),
            (s.start.uncertainty_us as f64 / 1e6).into(),
        ]);
    }
    rows.print(args.common.format)?;
    more(page.next.is_some(), args.window.limit);
    Ok(())
}

/// Lists events.
pub async fn events(args: EventsArgs) -> Result<(), CliError> {
    let (_index, snapshot, scope) = open(&args.common)?;
    let range = args.window.range()?;
    let select = EventSelect {
        scope,
        from: range.start(),
        to: if range.end() == Utc::MAX { Utc::MAX } else { range.end().plus_us(-1) },
        topics: (!args.topic.is_empty()).then(|| args.topic.iter().map(Topic::new).collect()),
        direction: args.window.direction(),
        limit: args.window.limit,
        after: None,
    };
    let page = blocking(snapshot, move |s| s.events(&select)).await?;
    let mut rows = Rows::new(&[
        "time",
        "recording",
        "track",
        "topic",
        "source",
        "data",
        "property",
        "origin",
        "source_time",
    ]);
    for e in &page.items {
        rows.push(vec![
            time(e.at.utc),
            e.recording.as_str().into(),
            e.track.as_ref().map_or(Value::Null, |t| t.as_str().into()),
            e.topic.as_str().into(),
            Items::encode(&e.items.source).into(),
            Items::encode(&e.items.data).into(),
            e.property.into(),
            e.origin.name().into(),
            e.source.as_ref().map_or(Value::Null, |s| (*s.raw).into()),
        ]);
    }
    rows.print(args.common.format)?;
    more(page.next.is_some(), args.window.limit);
    Ok(())
}

fn more(there_is: bool, limit: usize) {
    if there_is {
        note(&format!("only the first {limit} are shown; raise --limit or narrow --from and --to"));
    }
}
