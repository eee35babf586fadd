//! The log: the only history of events that these recorders keep.

use dvrgate_model::{Civil, Utc, UtcRange};
use dvrgate_testkit::EventKind;
use dvrgate_testkit::archive::LoggedEvent;
use dvrgate_testkit::chassis::http::Request;

use super::search::Query;
use super::{Answer, Refusal, namespace, xml};
use crate::behaviour::{LogFields, LogPrefix};
use crate::recorder::Recorder;
use crate::text;

/// A line of the log.
struct Line {
    wall: Civil,
    category: &'static str,
    name: &'static str,
    channel: Option<u16>,
    user: bool,
}

const DAY_US: i64 = 86_400_000_000;

pub(crate) fn search(r: &Recorder, request: &Request) -> Answer {
    let behaviour = r.behaviour();
    let query = Query::parse(&request.body)?;
    let filter = query.all("metaId").first().map(|s| (*s).to_owned()).unwrap_or_default();
    let filter = filter.trim_start_matches('/').to_owned();
    let (prefix, category) = filter.split_once('/').unwrap_or((&filter, ""));
    let known = match behaviour.log_prefix {
        LogPrefix::Any => matches!(prefix, "" | "log.std-cgi.com" | "log.hikvision.com"),
        LogPrefix::StdCgi => prefix == "log.std-cgi.com",
        LogPrefix::Hikvision => prefix == "log.hikvision.com",
    };
    let (category, name) = match category.split_once('/') {
        Some((category, name)) => (category, name),
        None => (category, ""),
    };
    let wanted = |line: &Line| {
        let asked = if category == "Infomation" { "Information" } else { category };
        known
            && (asked.is_empty() || asked == line.category)
            && (name.is_empty() || name == line.name)
            && query.window.0 <= line.wall
            && line.wall <= query.window.1
    };
    let lines: Vec<Line> = lines(r, query.window)
        .into_iter()
        .filter(wanted)
        // What is beyond the cap is left out without a word.
        .take(behaviour.log_cap)
        .collect();
    let position = query.position.min(lines.len());
    let page = &lines[position..(position + query.max_results.min(100)).min(lines.len())];
    let status = match () {
        () if position + page.len() < lines.len() => "MORE",
        () if page.is_empty() => "NO MATCHES",
        () => "OK",
    };
    let list: String = page.iter().map(|l| line_text(l, behaviour.log_fields)).collect();
    let list = if list.is_empty() { list } else { format!("<matchList>\n{list}</matchList>\n") };
    if query.max_results == 0 {
        return Err(Refusal::BAD_PARAMETERS);
    }
    Ok(xml(format!(
        "<CMSearchResult {}>\n<searchID>{}</searchID>\n<responseStatus>true</responseStatus>\n\
         <responseStatusStrg>{status}</responseStatusStrg>\n<numOfMatches>{}</numOfMatches>\n\
         <totalMatches>{}</totalMatches>\n{list}</CMSearchResult>\n",
        namespace(behaviour.profile),
        text::escaped(&query.id),
        page.len(),
        lines.len(),
    )))
}

/// Lines that may be in the window, in the order in which they were written.
fn lines(r: &Recorder, window: (Civil, Civil)) -> Vec<Line> {
    let now = r.now();
    let at = |c: Civil, by: i64| Utc::from_micros(c.micros_as_if_utc()).plus_us(by);
    let from = at(window.0, -3 * DAY_US);
    let to = at(window.1, 3 * DAY_US).min(now);
    let mut found: Vec<(Utc, Line)> = Vec::new();
    for event in r.archive.events(UtcRange::clamped(from, to)) {
        if event.kind == EventKind::Motion && !r.behaviour().log_motion {
            continue;
        }
        let (category, start, stop) = names(event.kind);
        let line = |t: Utc, name| {
            let channel = event.channel;
            let user = matches!(event.kind, EventKind::RemoteLogin | EventKind::IllegalAccess);
            (t, Line { wall: r.archive.wall(t), category, name, channel, user })
        };
        found.push(line(event.at, start));
        if let (Some(until), Some(stop)) = (event.until.filter(|&u| u <= now), stop) {
            found.push(line(until, stop));
        }
    }
    found.sort_by_key(|(t, _)| *t);
    found.into_iter().map(|(_, line)| line).collect()
}

/// Category, and the names of beginning and end.
fn names(kind: EventKind) -> (&'static str, &'static str, Option<&'static str>) {
    match kind {
        EventKind::Motion => ("Alarm", "motionStart", Some("motionStop")),
        EventKind::Tamper => ("Alarm", "hideStart", Some("hideStop")),
        EventKind::LineCrossed => ("Alarm", "lineDetectionStart", Some("lineDetectionStop")),
        EventKind::Intrusion => ("Alarm", "fieldDetectionStart", Some("fieldDetectionStop")),
        EventKind::AlarmInput => ("Alarm", "alarmIn", None),
        EventKind::VideoLoss => ("Exception", "videoLost", None),
        EventKind::DiskFull => ("Exception", "hdFull", None),
        EventKind::DiskError => ("Exception", "hdError", None),
        EventKind::IllegalAccess => ("Exception", "illlegealAccess", None),
        EventKind::NetworkLost => ("Exception", "netBroken", None),
        EventKind::RecordingFailed => ("Exception", "recordError", None),
        EventKind::PowerOn => ("Operation", "devicePowerOn", None),
        EventKind::PowerOff => ("Operation", "devicePowerOff", None),
        EventKind::RemoteLogin => ("Operation", "remoteLogin", None),
    }
}

fn line_text(line: &Line, fields: LogFields) -> String {
    let channel = line.channel.map_or(String::new(), |c| format!("/{c}"));
    let (user, address) = if line.user { ("admin", "192.0.2.50") } else { ("", "") };
    let (time, user_field, extra) = match fields {
        LogFields::Long => ("StartDateTime", "userName", "additionInformation"),
        LogFields::Short => ("time", "panelUser", "extraInfo"),
    };
    format!(
        "<searchMatchItem>\n<logDescriptor>\n\
         <metaId>log.hikvision.com/{}/{}{channel}</metaId>\n<{time}>{}</{time}>\n<paraType/>\n\
         <{user_field}>{user}</{user_field}>\n<ipAddress>{address}</ipAddress>\n<object/>\n\
         <{extra}/>\n</logDescriptor>\n</searchMatchItem>\n",
        line.category,
        line.name,
        text::long(line.wall)
    )
}

/// The line that [`LoggedEvent`] begins with, for the alert stream's own use.
pub(super) fn live_type(event: &LoggedEvent) -> &'static str {
    match event.kind {
        EventKind::Motion => "VMD",
        EventKind::VideoLoss => "videoloss",
        EventKind::Tamper => "shelteralarm",
        EventKind::LineCrossed => "linedetection",
        EventKind::Intrusion => "fielddetection",
        EventKind::AlarmInput => "IO",
        EventKind::DiskFull => "diskfull",
        EventKind::DiskError => "diskerror",
        EventKind::IllegalAccess => "illAccess",
        EventKind::NetworkLost => "nicbroken",
        EventKind::RecordingFailed => "recordingfailure",
        EventKind::PowerOn | EventKind::PowerOff | EventKind::RemoteLogin => "",
    }
}
