//! PLAY (ONVIF Streaming 6.5; IEC 62676-2-32 clause 8.5).

use dvrgate_model::Utc;

use super::connection::{Connection, Waiting, Want};
use super::dispatch::{Handled, Refused};
use super::session::{Play, PlayOptions, Session};
use super::uri::Uri;
use super::{Now, PlayMedia, PlayRequest, Playing};
use crate::headers::{
    BadHeader, CSeq, ClockRange, Frames, Immediate, Range, RateControl, RtpInfo, RtpInfoEntry,
    Scale, Speed,
};
use crate::message::{Method, Request, Status};

/// A PLAY that waits for the application.
#[derive(Debug)]
pub(super) struct PlayWaiting {
    pub request: Request,
    pub options: PlayOptions,
    /// It waited for the one before it and was answered then; and where it is to pause.
    pub queued: Option<Option<Utc>>,
    /// What of the playback before was not sent is not wanted any more.
    pub replaces: bool,
}

/// The headers of a PLAY.
#[derive(Clone, Debug)]
pub(super) struct PlayHeaders {
    pub range: Option<Range>,
    pub options: PlayOptions,
    /// Scale, Speed, Rate-Control or Frames is there.
    explicit: bool,
    immediate: bool,
}

impl PlayHeaders {
    fn read(request: &Request) -> Result<Self, BadHeader> {
        fn get<T: std::str::FromStr<Err = BadHeader>>(
            request: &Request,
            name: &str,
        ) -> Result<Option<T>, BadHeader> {
            request.fields.get(name).map(str::parse).transpose()
        }
        let scale: Option<Scale> = get(request, "Scale")?;
        let speed: Option<Speed> = get(request, "Speed")?;
        let rate_control: Option<RateControl> = get(request, "Rate-Control")?;
        let frames: Option<Frames> = get(request, "Frames")?;
        let immediate: Option<Immediate> = get(request, "Immediate")?;
        Ok(Self {
            range: get(request, "Range")?,
            explicit: scale.is_some()
                || speed.is_some()
                || rate_control.is_some()
                || frames.is_some(),
            options: PlayOptions {
                scale: scale.map(|s| s.0),
                speed: speed.map(|s| s.0),
                rate_control: rate_control.unwrap_or_default(),
                frames,
            },
            immediate: immediate.is_some_and(|i| i.0),
        })
    }
}

impl Connection {
    pub(super) fn play(&mut self, request: &Request, now: Now) -> Handled {
        self.check_aggregate(request)?;
        let headers = PlayHeaders::read(request)?;
        // R8.5.1-4: without rate control the client sets the speed, so only the direction is ours.
        let scale = headers.options.scale.unwrap_or(1.0);
        if headers.options.rate_control == RateControl::Client && scale.abs() != 1.0 {
            return Err(Status::HEADER_NOT_VALID.into());
        }
        let session = self.session.as_mut().ok_or(Status::SESSION_NOT_FOUND)?;
        if headers.range.is_some() && !headers.immediate && session.is_occupied() {
            return self.enqueue(request, headers);
        }
        let going_on = session.play.as_mut().filter(|p| {
            let same = !headers.explicit || p.options == headers.options;
            headers.range.is_none() && !headers.immediate && same && p.can_go_on()
        });
        if let Some(play) = going_on {
            // R8.5.2-7: exactly at the unit that comes next, nothing is sent twice.
            play.resume(now.instant);
            play.cseq = cseq_byte(request);
            let range = ClockRange { start: play.position(), end: play.end };
            let scale = play.scale;
            let times = session.rtp_times();
            self.reply_play(request, range.start.map(|_| Range::Clock(range)), scale, Some(&times));
            return Ok(());
        }
        if headers.range.is_some() || headers.immediate {
            session.queue.clear();
        }
        self.ask_play(request.clone(), headers, None);
        Ok(())
    }

    /// Asks the application. `queued`: see [`PlayWaiting`].
    pub(super) fn ask_play(
        &mut self,
        request: Request,
        headers: PlayHeaders,
        queued: Option<Option<Utc>>,
    ) {
        let Some(session) = &self.session else { return };
        let tracks = self.described.as_ref().map(|(_, p)| p.media.as_slice()).unwrap_or_default();
        let media = session.streams.iter().filter_map(|s| {
            let track = tracks.get(s.media)?.track.clone();
            Some(PlayMedia { index: s.media, track, base: s.base, next: s.next })
        });
        let play = PlayRequest {
            path: session.path.clone(),
            user: session.user.clone(),
            media: media.collect(),
            range: headers.range.or_else(|| session.rest(headers.options.scale)),
            position: session.play.as_ref().and_then(Play::position),
            scale: headers.options.scale,
            speed: headers.options.speed,
            rate_control: headers.options.rate_control,
            frames: headers.options.frames,
            discontinuity: headers.immediate || session.sent,
        };
        let options = headers.options;
        // Without a Range it goes on behind that.
        let under_way = session.play.as_ref().is_some_and(|p| !p.ended);
        let replaces =
            queued.is_none() && headers.range.is_some() && (headers.immediate || under_way);
        let waiting = PlayWaiting { request, options, queued, replaces };
        self.waiting = Some(Waiting::Play(Box::new(waiting)));
        self.wants.push_back(Want::Play(play));
    }

    pub(super) fn started(&mut self, waiting: PlayWaiting, playing: &Playing, now: Now) {
        let Some(session) = &mut self.session else { return };
        if waiting.replaces {
            session.take_back(&mut self.out, &mut self.datagrams);
        }
        for stream in &mut session.streams {
            stream.packetizer.restart();
            stream.report_at = None;
            if let Some((_, t)) = playing.rtp_times.iter().find(|(m, _)| *m == stream.media)
                && waiting.options.rate_control == RateControl::Server
            {
                stream.next = *t;
            }
        }
        session.play = Some(Play {
            cseq: cseq_byte(&waiting.request),
            options: waiting.options,
            scale: playing.scale,
            end: playing.end,
            epoch: now.instant,
            paused: None,
            pause_at: waiting.queued.flatten(),
            back_to: None,
            pending: None,
            ended: false,
            last: None,
            start: playing.start,
            rtp_times: playing.rtp_times.clone(),
        });
        let start = playing.start.map(tracing::field::display);
        tracing::info!(session = session.id, start, scale = playing.scale, "playing");
        if waiting.queued.is_some() {
            return;
        }
        let times: Vec<_> = playing.rtp_times.iter().map(|(m, t)| (*m, Some(*t))).collect();
        let range = ClockRange { start: playing.start, end: playing.end };
        let range = range.start.map(|_| Range::Clock(range));
        self.reply_play(&waiting.request, range, playing.scale, Some(&times));
    }

    /// Somebody scrubs: a place that is being looked for is not wanted any more. The PLAY for it is
    /// answered as one that waits is; what was begun for it is dropped.
    pub(super) fn overtake(&mut self, mut old: Box<PlayWaiting>, request: Request, now: Now) {
        if old.queued.is_none() {
            let range = old.request.fields.get("Range").and_then(|r| r.parse().ok());
            self.reply_play(&old.request, range, old.options.scale.unwrap_or(1.0), None);
            old.queued = Some(None);
        }
        if let Err(refused) = self.dispatch(&request, now) {
            self.waiting = Some(Waiting::Play(old));
            self.refuse(&request, refused);
        }
    }

    /// R8.5.1-5, R8.5.1-6, R8.5.1-7
    pub(super) fn reply_play(
        &mut self,
        request: &Request,
        range: Option<Range>,
        scale: f64,
        times: Option<&[(usize, Option<u32>)]>,
    ) {
        let Some(session) = &self.session else { return };
        let rtp_info = rtp_info(session, times);
        let asked = |name| request.fields.get(name).map(str::to_owned);
        let (asked_scale, rate_control) = (asked("Scale"), asked("Rate-Control"));
        let speed = asked("Speed");
        self.reply(request, |r| {
            if let Some(range) = range {
                r.fields.push("Range", range);
            }
            r.fields.push("RTP-Info", rtp_info);
            if asked_scale.is_some() {
                r.fields.push("Scale", Scale(scale));
            }
            if let Some(speed) = speed {
                r.fields.push("Speed", speed);
            }
            if let Some(rate_control) = rate_control {
                r.fields.push("Rate-Control", rate_control);
            }
        });
    }

    /// R8.1-6: the URL of the presentation; that of a track only where it is the only one.
    pub(super) fn check_aggregate(&self, request: &Request) -> Result<(), Refused> {
        let session = self.session.as_ref().ok_or(Status::SESSION_NOT_FOUND)?;
        let uri = Uri::parse(&request.uri).ok_or(Status::NOT_FOUND)?;
        if uri.path == session.path {
            return Ok(());
        }
        match uri.track() {
            Some((path, _)) if path == session.path && session.streams.len() == 1 => Ok(()),
            Some((path, _)) if path == session.path => Err(Status::ONLY_AGGREGATE.into()),
            _ => Err(Status::NOT_FOUND.into()),
        }
    }
}

/// Whether a request does not wait for the PLAY before it (R8.10-1).
pub(super) fn overtakes(request: &Request) -> bool {
    let immediate = request.fields.get("Immediate").and_then(|i| i.parse::<Immediate>().ok());
    match request.method {
        Method::Play => immediate.is_some_and(|i| i.0),
        Method::Teardown => true,
        _ => false,
    }
}

/// Without `times` the streams are named only: nobody knows yet where they will begin.
fn rtp_info(session: &Session, times: Option<&[(usize, Option<u32>)]>) -> RtpInfo {
    let entries = session.streams.iter().map(|s| RtpInfoEntry {
        url: s.url.clone(),
        seq: times.map(|_| s.packetizer.next_sequence()),
        rtptime: times.and_then(|l| l.iter().find(|(m, _)| *m == s.media)?.1),
    });
    RtpInfo(entries.collect())
}

/// R8.3-12
fn cseq_byte(request: &Request) -> u8 {
    let cseq = request.fields.get("CSeq").and_then(|c| c.parse::<CSeq>().ok());
    cseq.unwrap_or_default().0 as u8
}
