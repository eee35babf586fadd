-- The index on disk, version 1. Tables are the gateway's own and may change with any version;
-- the views at the end are for users and stay. All times are UTC in microseconds.
--
-- No primary keys and no indexes: what they would guarantee the one writer guarantees, and point
-- look-ups go by time, which the row order (hour, track, start) lets DuckDB prune.

-- Which version of this schema the file has; the newest row counts.
CREATE TABLE schema_version (version UINTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);

-- Single values: the newest sync run, the last version that the control store gave.
CREATE TABLE counter (name VARCHAR NOT NULL, value UBIGINT NOT NULL);
INSERT INTO counter VALUES ('run', 0), ('control', 0);

-- Recorders. Codec parameters are texts such as 'H264 1920x1080 25/1 0Hz 0ch'.
CREATE TABLE device (
    id               VARCHAR NOT NULL,
    vendor           VARCHAR NOT NULL,
    model            VARCHAR NOT NULL,
    serial           VARCHAR NOT NULL,
    firmware         VARCHAR NOT NULL,
    manufacturer     VARCHAR NOT NULL,
    name             VARCHAR NOT NULL,
    address          VARCHAR NOT NULL,
    state            VARCHAR NOT NULL,
    time_zone        VARCHAR,
    clock_checked_at TIMESTAMP,
    last_sync_at     TIMESTAMP
);

-- The channels that a recorder says it has, in its own order.
CREATE TABLE channel (
    device_id    VARCHAR NOT NULL,
    ordinal      UINTEGER NOT NULL,
    id           UINTEGER NOT NULL,
    name         VARCHAR NOT NULL,
    address      VARCHAR NOT NULL,
    main         BOOLEAN NOT NULL,  -- records its main stream
    sub          BOOLEAN NOT NULL,  -- records its sub stream
    online       BOOLEAN,
    recording    BOOLEAN,
    video        VARCHAR,
    audio        VARCHAR,
    retention_us BIGINT
);

-- Either device_id, channel and stream are set, or receiver.
CREATE TABLE recording (
    token        VARCHAR NOT NULL,
    device_id    VARCHAR,
    channel      UINTEGER,
    stream       VARCHAR,
    receiver     VARCHAR,
    source_id    VARCHAR NOT NULL,
    source_name  VARCHAR NOT NULL,
    location     VARCHAR NOT NULL,
    description  VARCHAR NOT NULL,
    address      VARCHAR NOT NULL,
    content      VARCHAR NOT NULL,
    retention_us BIGINT,
    status       VARCHAR NOT NULL
);

CREATE TABLE track (
    token           VARCHAR NOT NULL,
    recording_token VARCHAR NOT NULL,
    ordinal         UINTEGER NOT NULL,
    kind            VARCHAR NOT NULL,
    description     VARCHAR NOT NULL,
    codec           VARCHAR,
    params          VARCHAR
);

-- Short numbers for the names that every row of the large tables repeats. Never deleted.
CREATE TABLE track_name     (id UINTEGER NOT NULL, text VARCHAR NOT NULL);
CREATE TABLE recording_name (id UINTEGER NOT NULL, text VARCHAR NOT NULL);
CREATE TABLE topic_name     (id UINTEGER NOT NULL, text VARCHAR NOT NULL);

-- Segments, roughly by (hour, track, start). end_time is never before start_time, so that a range
-- can be looked up by both; what a corrected clock made cross has its own end in end_crossed.
-- Zones of source times: NULL none, 2147483647 'Z', else seconds east of Greenwich.
CREATE TABLE segment (
    track_id          UINTEGER NOT NULL,
    id                UBIGINT NOT NULL,
    start_time        TIMESTAMP NOT NULL,
    end_time          TIMESTAMP NOT NULL,
    end_crossed       TIMESTAMP,
    start_uncertainty UBIGINT NOT NULL,
    end_uncertainty   UBIGINT NOT NULL,
    start_epoch       UINTEGER NOT NULL,
    end_epoch         UINTEGER NOT NULL,
    source_start      VARCHAR NOT NULL,
    source_start_read TIMESTAMP NOT NULL,
    source_start_zone INTEGER,
    source_end        VARCHAR NOT NULL,
    source_end_read   TIMESTAMP NOT NULL,
    source_end_zone   INTEGER,
    reason            UTINYINT NOT NULL,
    state             UTINYINT NOT NULL,  -- 0 growing, 1 closed, 2 gone
    bytes             UBIGINT,
    locator           BLOB NOT NULL,
    seen              UBIGINT NOT NULL
);

-- Maximal runs of touching segments that are not gone: what start-up reads instead of segments.
-- Written a moment after the segments; tracks in dirty_track are computed anew at start-up.
CREATE TABLE span (
    track_id   UINTEGER NOT NULL,
    start_time TIMESTAMP NOT NULL,
    end_time   TIMESTAMP NOT NULL
);
CREATE TABLE dirty_track (track_id UINTEGER NOT NULL);

-- Events, roughly by (hour, topic, time). Items are 'name=value' joined by ';'.
CREATE TABLE event (
    id           UBIGINT NOT NULL,
    time         TIMESTAMP NOT NULL,
    uncertainty  UBIGINT NOT NULL,
    epoch        UINTEGER NOT NULL,
    recording_id UINTEGER NOT NULL,
    track_id     UINTEGER,
    topic_id     UINTEGER NOT NULL,
    source       VARCHAR,
    source_read  TIMESTAMP,
    source_zone  INTEGER,
    source_items VARCHAR NOT NULL,
    data_items   VARCHAR NOT NULL,
    is_property  BOOLEAN NOT NULL,
    origin       UTINYINT NOT NULL      -- 0 live, 1 log, 2 derived
);

-- Each property that ever had an event, and a time before which it had none: tells a search for
-- the state at an instant when to stop looking back.
CREATE TABLE property (
    topic_id     UINTEGER NOT NULL,
    recording_id UINTEGER NOT NULL,
    track_id     UINTEGER,
    source_items VARCHAR NOT NULL,
    first_time   TIMESTAMP NOT NULL
);

CREATE TABLE clock_epoch (
    device_id      VARCHAR NOT NULL,
    id             UINTEGER NOT NULL,
    valid_from     TIMESTAMP NOT NULL,  -- the recorder's own readings
    valid_to       TIMESTAMP NOT NULL,
    offset_us      BIGINT NOT NULL,
    drift_ppb      INTEGER NOT NULL,
    measured_at    TIMESTAMP NOT NULL,
    time_zone      VARCHAR NOT NULL,
    trusts_zone    BOOLEAN NOT NULL,
    basis          VARCHAR NOT NULL,
    uncertainty_us UBIGINT NOT NULL
);

CREATE TABLE watermark (
    device_id VARCHAR NOT NULL,
    purpose   VARCHAR NOT NULL,
    value     VARCHAR NOT NULL
);

CREATE TABLE control (
    kind    VARCHAR NOT NULL,
    key     VARCHAR NOT NULL,
    version UBIGINT NOT NULL,
    value   VARCHAR NOT NULL
);

-- For users ------------------------------------------------------------------------------------

CREATE VIEW devices AS
SELECT d.id, d.vendor, d.model, d.serial, d.firmware, d.manufacturer, d.name, d.address, d.state,
       coalesce(d.time_zone, c.time_zone) AS time_zone,
       c.clock_offset_us, c.clock_uncertainty_us, d.clock_checked_at, d.last_sync_at
FROM device d
LEFT JOIN (SELECT device_id, arg_max(offset_us, id) AS clock_offset_us,
                  arg_max(uncertainty_us, id) AS clock_uncertainty_us,
                  arg_max(time_zone, id) AS time_zone
           FROM clock_epoch GROUP BY device_id) c ON c.device_id = d.id;

CREATE VIEW spans AS
SELECT t.recording_token, n.text AS track_token, s.start_time, s.end_time
FROM span s
JOIN track_name n ON n.id = s.track_id
LEFT JOIN track t ON t.token = n.text;

CREATE VIEW tracks AS
SELECT t.token, t.recording_token, t.kind, t.description, t.codec,
       TRY_CAST(regexp_extract(t.params, ' (\d+)x\d+ ', 1) AS UINTEGER) AS width,
       TRY_CAST(regexp_extract(t.params, ' \d+x(\d+) ', 1) AS UINTEGER) AS height,
       TRY_CAST(regexp_extract(t.params, ' (\d+)/\d+ ', 1) AS DOUBLE)
           / TRY_CAST(regexp_extract(t.params, ' \d+/(\d+) ', 1) AS DOUBLE) AS frame_rate,
       TRY_CAST(regexp_extract(t.params, ' (\d+)Hz ', 1) AS UINTEGER) AS sample_rate,
       TRY_CAST(regexp_extract(t.params, ' (\d+)ch', 1) AS UINTEGER) AS channels,
       s.data_from, s.data_to
FROM track t
LEFT JOIN (SELECT track_token, min(start_time) AS data_from, max(end_time) AS data_to
           FROM spans GROUP BY track_token) s ON s.track_token = t.token;

CREATE VIEW recordings AS
SELECT r.token, r.device_id, r.channel, r.stream, r.receiver, r.source_id, r.source_name,
       r.location, r.description, r.address, r.content, t.earliest, t.latest, r.status,
       to_microseconds(r.retention_us) AS retention
FROM recording r
LEFT JOIN (SELECT recording_token, min(data_from) AS earliest, max(data_to) AS latest
           FROM tracks GROUP BY recording_token) t ON t.recording_token = r.token;

CREATE VIEW segments AS
SELECT t.recording_token, n.text AS track_token, s.start_time,
       coalesce(s.end_crossed, s.end_time) AS end_time, s.source_start, s.source_end,
       ['continuous', 'motion', 'alarm', 'event', 'analytics', 'manual', 'unknown'][s.reason + 1]
           AS reason,
       ['growing', 'closed', 'gone'][s.state + 1] AS state,
       s.bytes, s.locator, s.start_epoch AS clock_epoch,
       s.start_uncertainty AS start_uncertainty_us, s.end_uncertainty AS end_uncertainty_us, s.id
FROM segment s
JOIN track_name n ON n.id = s.track_id
LEFT JOIN track t ON t.token = n.text;

-- state: the value of the item that says what a property is now.
CREATE VIEW events AS
SELECT r.text AS recording_token, n.text AS track_token, e.time, e.source AS source_time,
       t.text AS topic, e.source_items, e.data_items, e.is_property,
       nullif(regexp_extract(e.data_items,
           '(?:^|;)(?:State|IsRecording|IsDataPresent|LogicalState)=([^;]*)', 1), '') AS state,
       ['live', 'log', 'derived'][e.origin + 1] AS origin,
       e.epoch AS clock_epoch, e.uncertainty AS uncertainty_us, e.id
FROM event e
JOIN recording_name r ON r.id = e.recording_id
JOIN topic_name t ON t.id = e.topic_id
LEFT JOIN track_name n ON n.id = e.track_id;

CREATE VIEW clock_epochs AS
SELECT id, device_id, valid_from, valid_to, offset_us, drift_ppb, measured_at, time_zone, basis,
       uncertainty_us
FROM clock_epoch;
