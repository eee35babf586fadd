//! Rows of the two large tables, and the values that they share with the small ones.

use duckdb::types::{TimeUnit, ToSql, ToSqlOutput, Value, ValueRef};
use duckdb::{Appender, Row, params};

use dvrgate_model::{
    Civil, ClockEpochId, Codec, CodecParams, EventId, EventOrigin, Items, Locator, Reason,
    RecordingEvent, Segment, SegmentId, SegmentState, SourceTime, Stamp, SyncRunId, Utc, ZoneClaim,
};

use crate::error::{DbError, Result};
use crate::names::Names;

/// An instant as TIMESTAMP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Us(pub i64);

impl From<Utc> for Us {
    fn from(t: Utc) -> Self {
        Us(t.micros())
    }
}

impl From<Civil> for Us {
    fn from(c: Civil) -> Self {
        Us(c.micros_as_if_utc())
    }
}

impl ToSql for Us {
    fn to_sql(&self) -> duckdb::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Timestamp(TimeUnit::Microsecond, self.0)))
    }
}

/// A TIMESTAMP column that may be NULL.
pub(crate) fn us(row: &Row<'_>, column: usize) -> Result<Option<i64>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Timestamp(TimeUnit::Microsecond, us) => Ok(Some(us)),
        other => Err(DbError::Row(format!("{other:?} where a time belongs"))),
    }
}

/// A TIMESTAMP column.
pub(crate) fn utc(row: &Row<'_>, column: usize) -> Result<Utc> {
    us(row, column)?
        .map(Utc::from_micros)
        .ok_or_else(|| DbError::Row("no time where one belongs".into()))
}

/// A TIMESTAMP column that holds a calendar reading.
pub(crate) fn civil(row: &Row<'_>, column: usize) -> Result<Civil> {
    utc(row, column).map(|t| Civil::from_micros_as_if_utc(t.micros()))
}

/// Stands for `Z` in zone columns.
const ZONE_UTC: i32 = i32::MAX;

fn zone_column(zone: ZoneClaim) -> Option<i32> {
    match zone {
        ZoneClaim::None => None,
        ZoneClaim::Utc => Some(ZONE_UTC),
        ZoneClaim::Offset(s) => Some(s),
    }
}

fn source_time(row: &Row<'_>, column: usize) -> Result<SourceTime> {
    Ok(SourceTime {
        raw: row.get::<_, String>(column)?.into(),
        civil: civil(row, column + 1)?,
        zone: match row.get::<_, Option<i32>>(column + 2)? {
            None => ZoneClaim::None,
            Some(ZONE_UTC) => ZoneClaim::Utc,
            Some(s) => ZoneClaim::Offset(s),
        },
    })
}

/// A number's meaning, or an error that names the column.
fn code<T>(value: Option<T>, column: &str) -> Result<T> {
    value.ok_or_else(|| DbError::Row(format!("unknown {column}")))
}

const STATES: [SegmentState; 3] = [SegmentState::Growing, SegmentState::Closed, SegmentState::Gone];
const ORIGINS: [EventOrigin; 3] = [EventOrigin::Live, EventOrigin::Log, EventOrigin::Derived];

/// The number of a state in the table.
pub(crate) fn state_code(state: SegmentState) -> u8 {
    STATES.iter().position(|s| *s == state).unwrap_or(0) as u8
}

/// What [`segment`] reads, of a table named `s`.
pub(crate) const SEGMENT_COLUMNS: &str = "s.track_id, s.id, s.start_time, s.end_time, \
    s.end_crossed, s.start_uncertainty, s.end_uncertainty, s.start_epoch, s.end_epoch, \
    s.source_start, s.source_start_read, s.source_start_zone, s.source_end, s.source_end_read, \
    s.source_end_zone, s.reason, s.state, s.bytes, s.locator, s.seen";

/// Reads [`SEGMENT_COLUMNS`].
pub(crate) fn segment(row: &Row<'_>, names: &Names) -> Result<Segment> {
    let start = utc(row, 2)?;
    let end = us(row, 4)?.map_or(utc(row, 3)?, Utc::from_micros);
    Ok(Segment {
        track: code(names.tracks.name(row.get(0)?), "track")?.clone(),
        id: SegmentId(row.get(1)?),
        start: Stamp { utc: start, uncertainty_us: row.get(5)?, epoch: ClockEpochId(row.get(7)?) },
        end: Stamp { utc: end, uncertainty_us: row.get(6)?, epoch: ClockEpochId(row.get(8)?) },
        source: (source_time(row, 9)?, source_time(row, 12)?),
        reason: *code(Reason::ALL.get(usize::from(row.get::<_, u8>(15)?)), "reason")?,
        state: *code(STATES.get(usize::from(row.get::<_, u8>(16)?)), "state")?,
        bytes: row.get(17)?,
        locator: Locator(row.get::<_, Vec<u8>>(18)?.into()),
        seen: SyncRunId(row.get(19)?),
    })
}

/// Appends a row to `segment`.
pub(crate) fn append_segment(to: &mut Appender<'_>, track_id: u32, s: &Segment) -> Result<()> {
    let range = s.range();
    let crossed = (s.end.utc < s.start.utc).then(|| Us::from(s.end.utc));
    to.append_row(params![
        track_id,
        s.id.0,
        Us::from(range.start()),
        Us::from(range.end()),
        crossed,
        s.start.uncertainty_us,
        s.end.uncertainty_us,
        s.start.epoch.0,
        s.end.epoch.0,
        &*s.source.0.raw,
        Us::from(s.source.0.civil),
        zone_column(s.source.0.zone),
        &*s.source.1.raw,
        Us::from(s.source.1.civil),
        zone_column(s.source.1.zone),
        Reason::ALL.iter().position(|r| *r == s.reason).unwrap_or(0) as u8,
        state_code(s.state),
        s.bytes,
        &s.locator.0[..],
        s.seen.0,
    ])?;
    Ok(())
}

/// What [`event`] reads, of a table named `e`.
pub(crate) const EVENT_COLUMNS: &str = "e.id, e.time, e.uncertainty, e.epoch, e.recording_id, \
    e.track_id, e.topic_id, e.source, e.source_read, e.source_zone, e.source_items, \
    e.data_items, e.is_property, e.origin";

/// Reads [`EVENT_COLUMNS`].
pub(crate) fn event(row: &Row<'_>, names: &Names) -> Result<RecordingEvent> {
    let track = row.get::<_, Option<u32>>(5)?;
    let has_source = !matches!(row.get_ref(7)?, ValueRef::Null);
    Ok(RecordingEvent {
        id: EventId(row.get(0)?),
        at: Stamp {
            utc: utc(row, 1)?,
            uncertainty_us: row.get(2)?,
            epoch: ClockEpochId(row.get(3)?),
        },
        recording: code(names.recordings.name(row.get(4)?), "recording")?.clone(),
        track: track.map(|id| code(names.tracks.name(id), "track").cloned()).transpose()?,
        topic: code(names.topics.name(row.get(6)?), "topic")?.clone(),
        source: has_source.then(|| source_time(row, 7)).transpose()?,
        items: Items {
            source: Items::decode(&row.get::<_, String>(10)?),
            data: Items::decode(&row.get::<_, String>(11)?),
        },
        property: row.get(12)?,
        origin: *code(ORIGINS.get(usize::from(row.get::<_, u8>(13)?)), "origin")?,
    })
}

/// The numbers of an event's names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventNames {
    pub recording: u32,
    pub track: Option<u32>,
    pub topic: u32,
}

/// Appends a row to `event`.
pub(crate) fn append_event(
    to: &mut Appender<'_>,
    names: EventNames,
    e: &RecordingEvent,
) -> Result<()> {
    let source = e.source.as_ref();
    to.append_row(params![
        e.id.0,
        Us::from(e.at.utc),
        e.at.uncertainty_us,
        e.at.epoch.0,
        names.recording,
        names.track,
        names.topic,
        source.map(|s| &*s.raw),
        source.map(|s| Us::from(s.civil)),
        source.and_then(|s| zone_column(s.zone)),
        Items::encode(&e.items.source),
        Items::encode(&e.items.data),
        e.property,
        ORIGINS.iter().position(|o| *o == e.origin).unwrap_or(0) as u8,
    ])?;
    Ok(())
}

/// `H264 1920x1080 25/1 0Hz 0ch`; `-` for an unknown frame rate. Parameter sets are not kept.
pub(crate) fn params_text(p: &CodecParams) -> String {
    let rate = p.frame_rate.map_or("-".to_owned(), |(n, d)| format!("{n}/{d}"));
    let CodecParams { width, height, sample_rate_hz, channels, .. } = p;
    format!("{} {width}x{height} {rate} {sample_rate_hz}Hz {channels}ch", p.codec.name())
}

/// The reverse of [`params_text`].
pub(crate) fn parse_params(text: &str) -> Option<CodecParams> {
    let mut words = text.split(' ');
    let codec = Codec::from_name(words.next()?)?;
    let (width, height) = words.next()?.split_once('x')?;
    let frame_rate = match words.next()? {
        "-" => None,
        rate => {
            let (n, d) = rate.split_once('/')?;
            Some((n.parse().ok()?, d.parse().ok()?))
        }
    };
    Some(CodecParams {
        width: width.parse().ok()?,
        height: height.parse().ok()?,
        frame_rate,
        sample_rate_hz: words.next()?.strip_suffix("Hz")?.parse().ok()?,
        channels: words.next()?.strip_suffix("ch")?.parse().ok()?,
        ..CodecParams::new(codec)
    })
}
