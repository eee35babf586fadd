//! What the recorder answers to each RTSP request, and what it then plays.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dvrgate_model::{Civil, Reason, Utc, UtcRange};
use dvrgate_testkit::chassis::digest::Credentials;
use dvrgate_testkit::counters::PlaybackSlot;
use dvrgate_testkit::{Piece, Reel};

use super::message::{Answer, Request};
use super::sdp;
use crate::behaviour::{AfterEnd, NoFootage, RefuseAt, RtspAuth};
use crate::recorder::Recorder;
use crate::text::{self, PlaybackUri};

/// A connection's state.
pub(super) struct Session {
    recorder: Arc<Recorder>,
    peer: IpAddr,
    nonce: String,
    described: Option<Described>,
    set_up: Option<SetUp>,
    slot: Option<PlaybackSlot>,
    /// Where playing stopped.
    position: Option<Utc>,
}

struct Described {
    uri: String,
    target: Target,
}

#[derive(Clone)]
enum Target {
    Playback(PlaybackUri),
    Live(u16),
}

struct SetUp {
    id: String,
    playing: bool,
}

/// The media of a description.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Medium {
    Video,
    Audio,
}

/// How a client wants its packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// Interleaved, on that channel.
    Tcp(u8),
    /// To that port.
    Udp(u16),
}

/// What the driver must do after the answer.
pub(super) enum Then {
    /// Nothing.
    Go,
    /// Open a way for packets, and complete the answer's `Transport` with
    /// [`Session::transport`].
    Open(Medium, Wish),
    /// Stop the player and start this one.
    Play(Box<Play>),
    /// Stop the player.
    Stop,
    /// Stop the player and close the connection after the answer.
    Close,
    /// Wait before answering.
    Wait(std::time::Duration),
}

/// What to play, and how fast.
pub(super) struct Play {
    pub(super) reel: Reel,
    /// Times the usual speed.
    pub(super) speed: f64,
    pub(super) live: bool,
}

const SCALES: [f64; 8] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
/// A recorder sends a little slower than time passes.
const PACE: f64 = 0.98;

impl Session {
    pub(super) fn new(recorder: Arc<Recorder>, peer: IpAddr) -> Self {
        let nonce = hex::encode(rand::random::<[u8; 5]>());
        Self { recorder, peer, nonce, described: None, set_up: None, slot: None, position: None }
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, request: &Request) -> (Answer, Then) {
        let now = self.recorder.clock.now();
        self.recorder.counters.request(now, &format!("RTSP {}", request.method));
        if request.method != "OPTIONS"
            && let Some(refusal) = self.admit(request)
        {
            return (refusal, Then::Go);
        }
        let result = match request.method.as_str() {
            "OPTIONS" => Ok((
                Answer::new(200).with(
                    "Public",
                    "OPTIONS, DESCRIBE, PLAY, PAUSE, SETUP, TEARDOWN, SET_PARAMETER, GET_PARAMETER",
                ),
                Then::Go,
            )),
            "DESCRIBE" => self.describe(request),
            "SETUP" => self.setup(request),
            "PLAY" => self.play(request),
            "PAUSE" => self.pause(request),
            "GET_PARAMETER" | "SET_PARAMETER" => {
                self.in_session(request).map(|()| (self.ok(), Then::Go))
            }
            "TEARDOWN" => self.teardown(request),
            _ => Err(455),
        };
        result.unwrap_or_else(|status| (Answer::new(status), Then::Go))
    }

    /// The answer of a request without (right) credentials.
    fn admit(&self, request: &Request) -> Option<Answer> {
        let r = &self.recorder;
        let auth = r.behaviour().rtsp_auth;
        if auth == RtspAuth::None {
            return None;
        }
        let credentials = request.header("authorization").and_then(Credentials::parse);
        let usable = credentials.filter(|c| match c {
            Credentials::Basic(..) => auth == RtspAuth::Basic,
            Credentials::Digest(p) => {
                auth != RtspAuth::Basic && p.get("nonce").is_some_and(|n| *n == self.nonce)
            }
        });
        if let Some(credentials) = usable {
            let right = credentials.prove(&request.method, &r.device.username, &r.device.password);
            if r.logins.judge(credentials.user(), self.peer, right, r.clock.now()) {
                return None;
            }
        }
        let realm = "4419b66d2e8c0a1f5d37bc90";
        let challenge = match auth {
            RtspAuth::Basic | RtspAuth::None => format!("Basic realm=\"{realm}\""),
            RtspAuth::Digest => {
                format!("Digest realm=\"{realm}\", nonce=\"{}\", algorithm=\"MD5\"", self.nonce)
            }
            RtspAuth::DigestWithRandom => format!(
                "Digest random=\"{}\", realm=\"{realm}\", nonce=\"{}\", algorithm=\"MD5\"",
                &self.nonce[..6],
                self.nonce
            ),
        };
        Some(Answer::new(401).with("WWW-Authenticate", challenge))
    }

    fn describe(&mut self, request: &Request) -> Result<(Answer, Then), u16> {
        let (r, behaviour) = (self.recorder.clone(), self.recorder.behaviour());
        if self.set_up.is_some() {
            return Err(455);
        }
        self.slot = None;
        let target = self.target(&request.uri)?;
        let channel = match &target {
            Target::Playback(uri) => uri.channel(),
            Target::Live(channel) => *channel,
        };
        let channel = r.archive.channel(channel).ok_or(404u16)?;
        if let Target::Playback(uri) = &target {
            if uri.stream() != 1 && !(behaviour.record_sub_streams && uri.stream() == 2) {
                return Err(400);
            }
            if r.parts(uri).is_empty() {
                match behaviour.no_footage {
                    NoFootage::NotFound => return Err(404),
                    NoFootage::BadRequest => return Err(400),
                    NoFootage::Silence => {}
                }
            }
            if behaviour.refuse_at == RefuseAt::Describe {
                self.take_slot()?;
            }
        }
        let clip = match &target {
            Target::Playback(uri) => {
                r.parts(uri).first().map_or_else(|| channel.clip.clone(), |(p, _)| p.clip.clone())
            }
            Target::Live(_) => channel.clip.clone(),
        };
        let range = match &target {
            Target::Playback(uri) => Some(clock_range(uri.start, uri.end)),
            Target::Live(_) => None,
        };
        let sets: Vec<_> = match target {
            Target::Live(_) => {
                let key = clip.key_at_or_before(r.now());
                let first = clip.gop(key, &|t| r.archive.wall(t)).into_iter().next();
                let nals = first.map_or_else(Vec::new, |u| u.nals);
                nals.into_iter().filter(|n| matches!(n[0] & 0x1F, 7 | 8)).collect()
            }
            Target::Playback(_) => Vec::new(),
        };
        let firmware = r.identity()[2].clone();
        let body = sdp::write(&sdp::Description {
            profile: behaviour.profile,
            codec: clip.codec(),
            audio: channel.tone.is_some(),
            rate: clip.bytes_per_second(),
            range,
            uri: &request.uri,
            sets: &sets,
            size: clip.size(),
            firmware: &firmware,
        });
        let mut answer = Answer::new(200).with("Content-Type", "application/sdp");
        if matches!(target, Target::Live(_)) {
            answer = answer.with("Content-Base", format!("{}/", request.uri.trim_end_matches('/')));
        }
        answer.body = body;
        let delay = match target {
            Target::Playback(_) => behaviour.describe_delay_ms,
            Target::Live(_) => 0,
        };
        self.described = Some(Described { uri: request.uri.clone(), target });
        Ok((answer, Then::Wait(std::time::Duration::from_millis(delay))))
    }

    fn target(&self, uri: &str) -> Result<Target, u16> {
        let lower = uri.to_ascii_lowercase();
        if lower.contains("/streaming/tracks/") {
            return PlaybackUri::parse(uri).map(Target::Playback).ok_or(400);
        }
        let at = lower.find("/streaming/channels/").ok_or(404u16)?;
        let id = &lower[at + "/streaming/channels/".len()..];
        let digits = id.bytes().take_while(u8::is_ascii_digit).count();
        let number: u32 = id[..digits].parse().map_err(|_| 404u16)?;
        Ok(Target::Live((number / 100).min(u32::from(u16::MAX)) as u16))
    }

    fn take_slot(&mut self) -> Result<(), u16> {
        let r = &self.recorder;
        self.slot = r.counters.playback_slot(r.behaviour().playback_sessions);
        if self.slot.is_none() {
            r.counters.sin("playback beyond the recorder's sessions");
            return Err(453);
        }
        Ok(())
    }

    fn setup(&mut self, request: &Request) -> Result<(Answer, Then), u16> {
        let described = self.described.as_ref().ok_or(455u16)?;
        let (path, name) = request.uri.rsplit_once("/trackID=").ok_or(404u16)?;
        let is_live = matches!(described.target, Target::Live(_));
        let known = match is_live {
            // The control is a URI of its own, query last.
            true => described.uri.starts_with(path.trim_end_matches('/')),
            // Appended after the query; what RFC 3986 makes of it does not exist.
            false => path == described.uri,
        };
        if !known {
            return Err(404);
        }
        let medium = match name.split_once('?').map_or(name, |(n, _)| n) {
            "video" | "1" => Medium::Video,
            "audio" | "2" => Medium::Audio,
            _ => return Err(404),
        };
        let transport = request.header("transport").ok_or(400u16)?;
        let numbers = |key: &str| -> Option<u16> {
            let value = transport.split(';').find_map(|p| p.trim().strip_prefix(key))?;
            value.split('-').next()?.parse().ok()
        };
        let wish = if transport.starts_with("RTP/AVP/TCP") {
            let other = if medium == Medium::Video { 0 } else { 2 };
            Wish::Tcp(numbers("interleaved=").map_or(other, |n| n.min(254) as u8))
        } else {
            Wish::Udp(numbers("client_port=").ok_or(461u16)?)
        };
        if self.set_up.is_none() {
            if !is_live && self.slot.is_none() {
                self.take_slot()?;
            }
            let id = self.recorder.sessions.fetch_add(7, Ordering::SeqCst).to_string();
            self.set_up = Some(SetUp { id, playing: false });
        } else {
            self.in_session(request)?;
        }
        let answer = self.ok().with("Accept-Ranges", "UTC").with(
            "Media-Properties",
            "Random-Access=1.0s, Unlimited, Immutable,Scales=\"-1, 0.5, 0.25, 0.125,:1, 2, 4\"",
        );
        Ok((answer, Then::Open(medium, wish)))
    }

    /// The `Transport` of a SETUP answer.
    pub(super) fn transport(&self, wish: Wish, server_port: Option<u16>, ssrc: u32) -> String {
        let odd = self.recorder.behaviour().odd_headers;
        let ssrc = if odd { format!(" {ssrc:x}") } else { format!("{ssrc:08x}") };
        match wish {
            Wish::Tcp(channel) => format!(
                "RTP/AVP/TCP;unicast;interleaved={channel}-{};ssrc={ssrc};mode=\"play\"",
                channel + 1
            ),
            Wish::Udp(port) => {
                let server = server_port.unwrap_or_default();
                format!(
                    "RTP/AVP;unicast;client_port={port}-{};server_port={server}-{};ssrc={ssrc}",
                    port.saturating_add(1),
                    server.saturating_add(1)
                )
            }
        }
    }

    fn play(&mut self, request: &Request) -> Result<(Answer, Then), u16> {
        self.in_session(request)?;
        let r = self.recorder.clone();
        let target = self.described.as_ref().ok_or(455u16)?.target.clone();
        let scale = match request.header("scale") {
            Some(text) => text.trim().parse::<f64>().map_err(|_| 400u16)?,
            None => 1.0,
        };
        if scale >= 32.0 {
            return Err(453);
        }
        if !SCALES.contains(&scale) {
            return Err(400);
        }
        let behaviour = r.behaviour();
        let free = request.header("rate-control").is_some_and(|v| v.eq_ignore_ascii_case("no"));
        let speed = if free { behaviour.uncontrolled_speed } else { scale * PACE };
        let mut answer = self.ok();
        let (reel, live) = match target {
            Target::Live(channel) => {
                answer = answer.with("RTP-Info", format!("url={}", request.uri));
                (self.live_reel(channel)?, true)
            }
            Target::Playback(uri) => {
                let mut asked = match request.header("range") {
                    Some(range) => read_range(range, &uri).ok_or(400u16)?,
                    None => match self.position {
                        Some(t) => PlaybackUri { start: r.label(t), ..uri },
                        None => uri,
                    },
                };
                answer =
                    answer.with("Range", format!("clock={}", clock_range(asked.start, asked.end)));
                if behaviour.after_end == AfterEnd::RunsOn {
                    asked.end = None;
                }
                (r.reel(r.parts(&asked)), false)
            }
        };
        if let Some(set_up) = &mut self.set_up {
            set_up.playing = true;
        }
        Ok((answer, Then::Play(Box::new(Play { reel, speed, live }))))
    }

    /// From the last key picture on, without end.
    fn live_reel(&self, channel: u16) -> Result<Reel, u16> {
        const YEAR_US: i64 = 366 * 86_400_000_000;
        let r = &self.recorder;
        let clip = r.archive.channel(channel).ok_or(404u16)?.clip.clone();
        let start = clip.key_at_or_before(r.now());
        let range = UtcRange::clamped(start, start.plus_us(YEAR_US));
        let reason = Reason::Unknown;
        let piece = Piece { channel, range, reason, growing: true, clip, continues: false };
        Ok(r.reel(vec![(piece, range)]))
    }

    fn pause(&mut self, request: &Request) -> Result<(Answer, Then), u16> {
        self.in_session(request)?;
        if !self.recorder.behaviour().pause {
            return Err(551);
        }
        Ok((self.ok(), Then::Stop))
    }

    fn teardown(&mut self, request: &Request) -> Result<(Answer, Then), u16> {
        // Another connection's session is not a thing this firmware expects.
        self.in_session(request).map_err(|_| 500u16)?;
        let answer = self.ok().with("Connection", "close");
        self.set_up = None;
        if let Some(slot) = self.slot.take() {
            let hold = self.recorder.behaviour().teardown_ms;
            hold_slot(&self.recorder, slot, std::time::Duration::from_millis(hold));
        }
        Ok((answer, Then::Close))
    }

    fn in_session(&self, request: &Request) -> Result<(), u16> {
        let set_up = self.set_up.as_ref().ok_or(454u16)?;
        let asked = request.header("session").unwrap_or_default();
        let asked = asked.split(';').next().unwrap_or_default().trim();
        if asked == set_up.id { Ok(()) } else { Err(454) }
    }

    fn ok(&self) -> Answer {
        let Some(set_up) = &self.set_up else { return Answer::new(200) };
        let pad = if self.recorder.behaviour().odd_headers { "       " } else { "" };
        let timeout = if set_up.playing { "" } else { ";timeout=60" };
        Answer::new(200).with("Session", format!("{pad}{}{timeout}", set_up.id))
    }

    /// How far playing got.
    pub(super) fn played_to(&mut self, t: Utc) {
        self.position = Some(t);
    }

    /// `Date`, as odd as this firmware writes it.
    pub(super) fn date(&self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let device = self.recorder.archive.clock().device_utc(self.recorder.now());
        let c = Civil::from_micros_as_if_utc(device.micros());
        let ((y, mo, d), (h, mi, s, _)) = (c.date(), c.time());
        let day = DAYS[device.micros().div_euclid(86_400_000_000).rem_euclid(7) as usize];
        let month = MONTHS[usize::from(mo - 1)];
        match self.recorder.behaviour().odd_headers {
            true => format!(" {day}, {month} {d:02} {y} {h:02}:{mi:02}:{s:02} GMT"),
            false => format!("{day}, {d:02} {month} {y} {h:02}:{mi:02}:{s:02} GMT"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        if self.set_up.is_none() {
            return;
        }
        // No good-bye: the recorder keeps the session until its time is over.
        let r = &self.recorder;
        r.counters.count(|c| c.playback_abandoned += 1);
        hold_slot(r, slot, std::time::Duration::from_secs(r.behaviour().abandoned_s));
    }
}

fn hold_slot(r: &Recorder, slot: PlaybackSlot, time: std::time::Duration) {
    if !time.is_zero() {
        crate::tokio::hold(slot, time, r.stopping.clone());
    }
}

/// `20210818T151815Z-20210818T151908Z`
fn clock_range(start: Civil, end: Option<Civil>) -> String {
    let end = end.map_or_else(String::new, |e| text::compact(e) + "Z");
    format!("{}Z-{end}", text::compact(start))
}

/// A `Range` over what the URI asks for.
fn read_range(range: &str, uri: &PlaybackUri) -> Option<PlaybackUri> {
    let (unit, value) = range.trim().split_once('=')?;
    let (from, to) = value.split_once('-')?;
    match unit.trim() {
        "clock" => Some(PlaybackUri {
            start: text::read_time(from)?,
            end: if to.trim().is_empty() { uri.end } else { Some(text::read_time(to)?) },
            ..uri.clone()
        }),
        "npt" => {
            let us = |text: &str| {
                let seconds: f64 = text.trim().parse().ok()?;
                (0.0..1e8).contains(&seconds).then_some((seconds * 1e6) as i64)
            };
            let start = uri.start.plus_us(if from.trim() == "now" { 0 } else { us(from)? });
            let end = if to.trim().is_empty() { uri.end } else { Some(uri.start.plus_us(us(to)?)) };
            Some(PlaybackUri { start, end, ..uri.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let uri = PlaybackUri::parse(
            "/Streaming/tracks/101?starttime=20210818T151815Z&endtime=20210818T151908Z",
        )
        .unwrap();
        let read = |range: &str| read_range(range, &uri).map(|u| clock_range(u.start, u.end));
        assert_eq!(read("npt=0.000-").unwrap(), "20210818T151815Z-20210818T151908Z");
        assert_eq!(read("npt=10-20.5").unwrap(), "20210818T151825Z-20210818T151835Z");
        assert_eq!(read("clock=20210818T151850Z-").unwrap(), "20210818T151850Z-20210818T151908Z");
        for wrong in ["", "npt", "npt=", "npt=-5-", "npt=x-", "clock=2021-", "smpte=0-"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
