//! Events as they happen: triggers, and the alert stream that never ends.

use dvrgate_model::Utc;
use dvrgate_testkit::ChannelKind;
use dvrgate_testkit::EventKind;
use dvrgate_testkit::archive::LoggedEvent;
use dvrgate_testkit::chassis::http::{Body, Framing, Reply};

use super::{Answer, Refusal, log, namespace, xml};
use crate::behaviour::{Behaviour, Boundary, Heartbeat, Profile};
use crate::recorder::Recorder;
use crate::text;

/// A part of the stream to send.
pub(crate) enum Alert {
    /// Nothing happened.
    Heartbeat,
    /// This happened, or still lasts, or ended.
    Event { event: LoggedEvent, active: bool, posts: u32 },
}

pub(crate) fn stream(r: &std::sync::Arc<Recorder>) -> Answer {
    let Ok(permit) = r.alert_streams.try_acquire() else { return Err(Refusal::BUSY) };
    permit.forget();
    let mark = match r.behaviour().boundary {
        Boundary::Same => "boundary",
        Boundary::Other => "MIME_boundary",
        Boundary::Dashes => "--boundary",
    };
    let mut reply = Reply::new(200, &format!("multipart/mixed; boundary={mark}"), "")
        .with("MIME-Version", "1.0");
    reply.framing = Framing::Close;
    reply.body = Body::Stream(crate::tokio::alert_stream(r.clone()));
    Ok(reply)
}

/// Bytes that pass for a small JPEG.
const PICTURE: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0--boundary\r\n\r\n<x>\xFF\xD9";

/// A part as bytes, with what this firmware sends along.
pub(crate) fn part(r: &Recorder, alert: &Alert, now: Utc) -> Vec<u8> {
    let behaviour = r.behaviour();
    let mut out = text_part(r, alert, now).into_bytes();
    if behaviour.json_parts && matches!(alert, Alert::Heartbeat) {
        let json = "{\"eventType\":\"runStatus\",\"eventState\":\"active\"}";
        out.extend_from_slice(
            format!(
                "--boundary\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}\r\n",
                json.len()
            )
            .as_bytes(),
        );
    }
    if behaviour.picture_parts && matches!(alert, Alert::Event { posts: 1, .. }) {
        out.extend_from_slice(
            format!(
                "--boundary\r\nContent-Disposition: form-data; name=\"Picture_Name\"\r\n\
                 Content-Type: image/pjpeg\r\nContent-Length: {}\r\n\r\n",
                PICTURE.len()
            )
            .as_bytes(),
        );
        out.extend_from_slice(PICTURE);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn text_part(r: &Recorder, alert: &Alert, now: Utc) -> String {
    let behaviour = r.behaviour();
    let body = match alert {
        Alert::Heartbeat => heartbeat(r, &behaviour, now),
        Alert::Event { event, active, posts } => {
            notification(r, &behaviour, event, *active, *posts, now)
        }
    };
    let length = if behaviour.wrong_part_length { body.len() + 11 } else { body.len() };
    let part = format!(
        "--boundary\r\nContent-Type: application/xml; charset=\"UTF-8\"\r\n\
         Content-Length: {length}\r\n\r\n{body}\r\n"
    );
    if behaviour.bare_line_feeds { part.replace("\r\n", "\n") } else { part }
}

fn heartbeat(r: &Recorder, b: &Behaviour, now: Utc) -> String {
    let (kind, state, description) = match b.heartbeat {
        Heartbeat::VideoLoss => ("videoloss", "inactive", "videoloss alarm"),
        Heartbeat::HeartBeat => ("heartBeat", "active", "heartBeat"),
    };
    format!(
        "<EventNotificationAlert {}>\n<channelID>{}</channelID>\n<dateTime>{}</dateTime>\n\
         <activePostCount>0</activePostCount>\n<eventType>{kind}</eventType>\n\
         <eventState>{state}</eventState>\n<eventDescription>{description}</eventDescription>\n\
         </EventNotificationAlert>\n",
        alert_namespace(b.profile),
        if b.profile == Profile::Nvr460 { "" } else { "0" },
        stamp(r, now),
    )
}

fn notification(
    r: &Recorder,
    b: &Behaviour,
    event: &LoggedEvent,
    active: bool,
    posts: u32,
    now: Utc,
) -> String {
    let channel = event.channel.map(|c| r.event_channel(c));
    let is_camera =
        event.channel.and_then(|c| r.archive.channel(c)).is_some_and(|c| c.kind == ChannelKind::Ip);
    let channel = match channel {
        Some(c) if b.dynamic_channel_only && is_camera => {
            format!("<dynChannelID>{c}</dynChannelID>\n")
        }
        Some(c) => format!("<channelID>{c}</channelID>\n"),
        None => String::new(),
    };
    let input = match event.kind {
        EventKind::AlarmInput => "<inputIOPortID>1</inputIOPortID>\n",
        _ => "",
    };
    let disk = match event.kind {
        EventKind::DiskError | EventKind::DiskFull => "<diskNo>1</diskNo>\n",
        _ => "",
    };
    let name = event.channel.and_then(|c| r.archive.channel(c)).map_or(String::new(), |c| {
        format!("<channelName>{}</channelName>\n", text::escaped(&c.name))
    });
    let kind = log::live_type(event);
    format!(
        "<EventNotificationAlert {}>\n{channel}<dateTime>{}</dateTime>\n\
         <activePostCount>{posts}</activePostCount>\n<eventType>{kind}</eventType>\n\
         <eventState>{}</eventState>\n<eventDescription>{kind} alarm</eventDescription>\n\
         {input}{disk}{name}</EventNotificationAlert>\n",
        alert_namespace(b.profile),
        stamp(r, now),
        if active { "active" } else { "inactive" },
    )
}

fn alert_namespace(profile: Profile) -> &'static str {
    match profile {
        Profile::Nvr430 | Profile::Nvr460 => "version=\"1.0\" xmlns=\"urn:psialliance-org\"",
        other => namespace(other),
    }
}

fn stamp(r: &Recorder, t: Utc) -> String {
    let wall = text::long(r.archive.wall(t));
    match r.behaviour().profile {
        Profile::Dvr475 => wall,
        _ => wall + &text::offset(r.archive.clock().zone_offset_secs(t)),
    }
}

/// Which events exist on which channel, and who is told. DVRs tell only the disk of motion.
pub(crate) fn triggers(r: &Recorder) -> Reply {
    let profile = r.behaviour().profile;
    let mut list = String::new();
    for (id, kind, channel) in all_triggers(r) {
        list += &trigger_text(r, &id, kind, channel);
    }
    let list = format!("<EventTriggerList {}>\n{list}</EventTriggerList>\n", namespace(profile));
    match profile {
        Profile::Ipc52 => {
            xml(format!("<EventNotification {}>\n{list}</EventNotification>\n", namespace(profile)))
        }
        _ => xml(list),
    }
}

pub(crate) fn trigger(r: &Recorder, id: &str) -> Answer {
    match all_triggers(r).into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(id)) {
        Some((id, kind, channel)) => Ok(xml(trigger_text(r, &id, kind, channel))),
        // Means that there is none; asking again never helps.
        None => Err(Refusal::BUSY),
    }
}

fn all_triggers(r: &Recorder) -> Vec<(String, &'static str, Option<u16>)> {
    let mut list = Vec::new();
    for c in r.archive.channels() {
        for kind in ["VMD", "tamperdetection", "videoloss", "linedetection", "fielddetection"] {
            list.push((format!("{kind}-{}", c.id), kind, Some(c.id)));
        }
    }
    for kind in
        ["diskfull", "diskerror", "nicbroken", "ipconflict", "illaccess", "recordingfailure"]
    {
        list.push((kind.to_owned(), kind, None));
    }
    list
}

fn trigger_text(r: &Recorder, id: &str, kind: &str, channel: Option<u16>) -> String {
    let place = match channel.and_then(|c| r.archive.channel(c)) {
        Some(c) if c.kind == ChannelKind::Ip => {
            format!("<dynVideoInputChannelID>{}</dynVideoInputChannelID>\n", c.id)
        }
        Some(c) => format!("<videoInputChannelID>{}</videoInputChannelID>\n", c.id),
        None => String::new(),
    };
    let told = |method: &str| {
        format!(
            "<EventTriggerNotification>\n<id>{method}</id>\n\
             <notificationMethod>{method}</notificationMethod>\n</EventTriggerNotification>\n"
        )
    };
    format!(
        "<EventTrigger version=\"2.0\" xmlns=\"http://www.isapi.org/ver20/XMLSchema\">\n\
         <id>{id}</id>\n<eventType>{kind}</eventType>\n{place}<EventTriggerNotificationList>\n\
         {}{}</EventTriggerNotificationList>\n</EventTrigger>\n",
        told("record"),
        told("center")
    )
}
