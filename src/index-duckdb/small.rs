//! The small tables: recorders, channels, recordings, tracks, clock epochs, watermarks, counters.
//!
//! They are in memory as a [`Catalog`]; here they are written through and read back at start-up.

use std::time::Duration;

use duckdb::{Connection, Row, params};

use dvrgate_index::{Catalog, Net};
use dvrgate_model::{
    Basis, Channel, ChannelId, ClockEpoch, ClockEpochId, Codec, CodecParams, DeviceRecord,
    DeviceState, Identity, Origin, Recording, RecordingStatus, SourceInformation, SourceRange,
    StreamKind, SyncRunId, Track, TrackKind, ZoneRule, ZoneTrust,
};

use crate::error::{DbError, Result};
use crate::rows::{Us, civil, params_text, parse_params, us, utc};

const DEVICE_STATES: [(DeviceState, &str); 5] = [
    (DeviceState::Unknown, "unknown"),
    (DeviceState::Ready, "ready"),
    (DeviceState::Degraded, "degraded"),
    (DeviceState::LockedOut, "locked-out"),
    (DeviceState::Unreachable, "unreachable"),
];
const STATUSES: [(RecordingStatus, &str); 6] = [
    (RecordingStatus::Initiated, "initiated"),
    (RecordingStatus::Recording, "recording"),
    (RecordingStatus::Stopped, "stopped"),
    (RecordingStatus::Removing, "removing"),
    (RecordingStatus::Removed, "removed"),
    (RecordingStatus::Unknown, "unknown"),
];
const KINDS: [(TrackKind, &str); 3] =
    [(TrackKind::Video, "video"), (TrackKind::Audio, "audio"), (TrackKind::Metadata, "metadata")];
const STREAMS: [(StreamKind, &str); 2] = [(StreamKind::Main, "main"), (StreamKind::Sub, "sub")];

fn name_of<T: PartialEq>(table: &[(T, &'static str)], value: &T) -> &'static str {
    table.iter().find(|(v, _)| v == value).map_or("", |(_, name)| name)
}

fn named<T: Copy>(table: &[(T, &str)], name: &str) -> Result<T> {
    let found = table.iter().find(|(_, n)| *n == name).map(|(value, _)| *value);
    found.ok_or_else(|| DbError::Row(format!("unknown word {name:?}")))
}

fn retention(us: Option<i64>) -> Option<Duration> {
    us.map(|us| Duration::from_micros(us.unsigned_abs()))
}

fn retention_us(duration: Option<Duration>) -> Option<i64> {
    duration.map(|d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

fn zone(text: &str) -> Result<ZoneRule> {
    ZoneRule::parse(text).map_err(|e| DbError::Row(e.to_string()))
}

fn params_column(text: Option<String>) -> Result<Option<CodecParams>> {
    let parse =
        |t: String| parse_params(&t).ok_or_else(|| DbError::Row(format!("codec parameters {t:?}")));
    text.map(parse).transpose()
}

/// Writes what of a batch goes into small tables, leaving out what is there already.
pub(crate) fn write(db: &Connection, known: &Catalog, net: &Net) -> Result<()> {
    for device in net.devices.values().filter(|d| known.device(&d.id) != Some(*d)) {
        write_device(db, device)?;
    }
    for recording in net.recordings.values() {
        let same = known.recording(&recording.token).is_some_and(|old| {
            let mut old = (**old).clone();
            old.tracks.iter_mut().for_each(|t| t.data = None);
            old == *recording
        });
        if !same {
            write_recording(db, recording)?;
        }
    }
    for epoch in net.epochs.values() {
        if !known.epochs(&epoch.device).contains(epoch) {
            write_epoch(db, epoch)?;
        }
    }
    for ((device, purpose), value) in &net.watermarks {
        if known.watermark(device, purpose) != Some(value) {
            let key = params![device.as_str(), purpose];
            db.execute("DELETE FROM watermark WHERE device_id = ? AND purpose = ?", key)?;
            let row = params![device.as_str(), purpose, value];
            db.execute("INSERT INTO watermark VALUES (?, ?, ?)", row)?;
        }
    }
    if net.run > known.last_run() {
        db.execute("UPDATE counter SET value = ? WHERE name = 'run'", params![net.run.0])?;
    }
    Ok(())
}

fn write_device(db: &Connection, d: &DeviceRecord) -> Result<()> {
    db.execute("DELETE FROM device WHERE id = ?", params![d.id.as_str()])?;
    db.execute("DELETE FROM channel WHERE device_id = ?", params![d.id.as_str()])?;
    db.execute(
        "INSERT INTO device VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            d.id.as_str(),
            d.vendor.as_str(),
            d.identity.model,
            d.identity.serial,
            d.identity.firmware,
            d.identity.manufacturer,
            d.identity.name,
            d.address,
            name_of(&DEVICE_STATES, &d.state),
            d.zone.as_ref().map(ZoneRule::as_str),
            d.clock_checked_at.map(Us::from),
            d.last_sync_at.map(Us::from),
        ],
    )?;
    let mut channels = db.appender("channel")?;
    for (ordinal, c) in d.identity.channels.iter().enumerate() {
        channels.append_row(params![
            d.id.as_str(),
            ordinal as u32,
            c.id.0,
            c.name,
            c.address,
            c.streams.contains(&StreamKind::Main),
            c.streams.contains(&StreamKind::Sub),
            c.online,
            c.recording,
            c.video.as_ref().map(params_text),
            c.audio.as_ref().map(params_text),
            retention_us(c.retention),
        ])?;
    }
    channels.flush()?;
    Ok(())
}

fn write_recording(db: &Connection, r: &Recording) -> Result<()> {
    let token = r.token.as_str();
    db.execute("DELETE FROM recording WHERE token = ?", params![token])?;
    db.execute("DELETE FROM track WHERE recording_token = ?", params![token])?;
    let (device, channel, stream, receiver) = match &r.origin {
        Origin::Device { device, channel, stream } => {
            (Some(device.as_str()), Some(channel.0), Some(name_of(&STREAMS, stream)), None)
        }
        Origin::Receiver { receiver } => (None, None, None, Some(receiver)),
    };
    db.execute(
        "INSERT INTO recording VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            token,
            device,
            channel,
            stream,
            receiver,
            r.source.source_id,
            r.source.name,
            r.source.location,
            r.source.description,
            r.source.address,
            r.content,
            retention_us(r.retention),
            name_of(&STATUSES, &r.status),
        ],
    )?;
    let mut tracks = db.appender("track")?;
    for (ordinal, t) in r.tracks.iter().enumerate() {
        tracks.append_row(params![
            t.token.as_str(),
            token,
            ordinal as u32,
            name_of(&KINDS, &t.kind),
            t.description,
            t.codec.map(Codec::name),
            t.params.as_ref().map(params_text),
        ])?;
    }
    tracks.flush()?;
    Ok(())
}

fn write_epoch(db: &Connection, e: &ClockEpoch) -> Result<()> {
    let key = params![e.device.as_str(), e.id.0];
    db.execute("DELETE FROM clock_epoch WHERE device_id = ? AND id = ?", key)?;
    db.execute(
        "INSERT INTO clock_epoch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            e.device.as_str(),
            e.id.0,
            Us::from(e.valid.start),
            Us::from(e.valid.end),
            e.offset_us,
            e.drift_ppb,
            Us::from(e.measured_at),
            e.zone.as_str(),
            e.trust == ZoneTrust::Claimed,
            e.basis.name(),
            e.uncertainty_us,
        ],
    )?;
    Ok(())
}

/// Reads everything back, as a batch that makes it.
pub(crate) fn read(db: &Connection) -> Result<Net> {
    let mut net = Net::default();
    let run = "SELECT value FROM counter WHERE name = 'run'";
    net.run = SyncRunId(db.query_row(run, [], |row| row.get(0))?);
    each(db, "SELECT * FROM device", |row| {
        let device = read_device(row)?;
        net.devices.insert(device.id.clone(), device);
        Ok(())
    })?;
    each(db, "SELECT * FROM channel ORDER BY device_id, ordinal", |row| {
        let device = row.get::<_, String>(0)?.as_str().into();
        if let Some(device) = net.devices.get_mut(&device) {
            device.identity.channels.push(read_channel(row)?);
        }
        Ok(())
    })?;
    each(db, "SELECT * FROM recording", |row| {
        let recording = read_recording(row)?;
        net.recordings.insert(recording.token.clone(), recording);
        Ok(())
    })?;
    each(db, "SELECT * FROM track ORDER BY recording_token, ordinal", |row| {
        let recording = row.get::<_, String>(1)?.as_str().into();
        if let Some(recording) = net.recordings.get_mut(&recording) {
            recording.tracks.push(read_track(row)?);
        }
        Ok(())
    })?;
    each(db, "SELECT * FROM clock_epoch", |row| {
        let epoch = read_epoch(row)?;
        net.epochs.insert((epoch.device.clone(), epoch.id), epoch);
        Ok(())
    })?;
    each(db, "SELECT * FROM watermark", |row| {
        let device = row.get::<_, String>(0)?.as_str().into();
        net.watermarks.insert((device, row.get(1)?), row.get(2)?);
        Ok(())
    })?;
    Ok(net)
}

/// Calls `f` for each row of a query.
pub(crate) fn each(
    db: &Connection,
    sql: &str,
    mut f: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        f(row)?;
    }
    Ok(())
}

fn read_device(row: &Row<'_>) -> Result<DeviceRecord> {
    Ok(DeviceRecord {
        id: row.get::<_, String>(0)?.as_str().into(),
        vendor: row.get::<_, String>(1)?.as_str().into(),
        identity: Identity {
            model: row.get(2)?,
            serial: row.get(3)?,
            firmware: row.get(4)?,
            manufacturer: row.get(5)?,
            name: row.get(6)?,
            channels: Vec::new(),
        },
        address: row.get(7)?,
        state: named(&DEVICE_STATES, &row.get::<_, String>(8)?)?,
        zone: row.get::<_, Option<String>>(9)?.map(|z| zone(&z)).transpose()?,
        clock_checked_at: us(row, 10)?.map(dvrgate_model::Utc::from_micros),
        last_sync_at: us(row, 11)?.map(dvrgate_model::Utc::from_micros),
    })
}

fn read_channel(row: &Row<'_>) -> Result<Channel> {
    let (main, sub): (bool, bool) = (row.get(5)?, row.get(6)?);
    let streams = [(main, StreamKind::Main), (sub, StreamKind::Sub)];
    Ok(Channel {
        id: ChannelId(row.get(2)?),
        name: row.get(3)?,
        address: row.get(4)?,
        streams: streams.into_iter().filter(|(has, _)| *has).map(|(_, s)| s).collect(),
        online: row.get(7)?,
        recording: row.get(8)?,
        video: params_column(row.get(9)?)?,
        audio: params_column(row.get(10)?)?,
        retention: retention(row.get(11)?),
    })
}

fn read_recording(row: &Row<'_>) -> Result<Recording> {
    let origin = match row.get::<_, Option<String>>(4)? {
        Some(receiver) => Origin::Receiver { receiver },
        None => Origin::Device {
            device: row.get::<_, String>(1)?.as_str().into(),
            channel: ChannelId(row.get(2)?),
            stream: named(&STREAMS, &row.get::<_, String>(3)?)?,
        },
    };
    Ok(Recording {
        token: row.get::<_, String>(0)?.as_str().into(),
        source: SourceInformation {
            source_id: row.get(5)?,
            name: row.get(6)?,
            location: row.get(7)?,
            description: row.get(8)?,
            address: row.get(9)?,
        },
        content: row.get(10)?,
        tracks: Vec::new(),
        retention: retention(row.get(11)?),
        origin,
        status: named(&STATUSES, &row.get::<_, String>(12)?)?,
    })
}

fn read_track(row: &Row<'_>) -> Result<Track> {
    let codec = |name: String| {
        Codec::from_name(&name).ok_or_else(|| DbError::Row(format!("codec {name:?}")))
    };
    Ok(Track {
        token: row.get::<_, String>(0)?.as_str().into(),
        kind: named(&KINDS, &row.get::<_, String>(3)?)?,
        description: row.get(4)?,
        codec: row.get::<_, Option<String>>(5)?.map(codec).transpose()?,
        params: params_column(row.get(6)?)?,
        data: None,
    })
}

fn read_epoch(row: &Row<'_>) -> Result<ClockEpoch> {
    let basis = row.get::<_, String>(9)?;
    Ok(ClockEpoch {
        device: row.get::<_, String>(0)?.as_str().into(),
        id: ClockEpochId(row.get(1)?),
        valid: SourceRange { start: civil(row, 2)?, end: civil(row, 3)? },
        offset_us: row.get(4)?,
        drift_ppb: row.get(5)?,
        measured_at: utc(row, 6)?,
        zone: zone(&row.get::<_, String>(7)?)?,
        trust: if row.get(8)? { ZoneTrust::Claimed } else { ZoneTrust::WallClock },
        basis: Basis::from_name(&basis).ok_or_else(|| DbError::Row(format!("basis {basis:?}")))?,
        uncertainty_us: row.get(10)?,
    })
}
