//! Timers and connections: the alert stream with its watchdog, RTSP playback, the question without
//! log-in. The only file of this crate that waits.

use std::collections::VecDeque;
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::time::{Instant, sleep, timeout, timeout_at};
use dvrgate_adapter::transport::TcpIo;
use dvrgate_adapter::{
    ByteStream, Cx, Footage, FootageBody, FootageRequest, SourceEvent, UnitStream,
};
use dvrgate_media::container::Demuxed;
use dvrgate_model::{Error, ErrorKind, Result, Retry, TrackKind};
use dvrgate_rtsp::client::{Client, ClientOptions, ControlUrl, Incoming, PlayOptions};
use dvrgate_rtsp::headers::RateControl;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::adapter::Hikvision;
use crate::bursts::{Bursts, Manner};
use crate::convert::{self, track_id};
use crate::footage::is_out_of_sessions;
use crate::playback::{self, Progress, Told};
use crate::wire::alert_stream;
use crate::wire::errors::Refusal;
use crate::wire::splitter::Splitter;
use crate::wire::uri::PlaybackUri;
use crate::wire::xml::Element;
use crate::wire::{Generation, anonymous};

/// The watchdog never barks earlier.
const MIN_SILENCE: Duration = Duration::from_secs(30);
/// Heartbeats that may be missed.
const MISSED_HEARTBEATS: u32 = 3;
/// First wait before the alert stream is asked for again; doubles.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(120);
/// A question without log-in is not worth more.
const ANONYMOUS_TIMEOUT: Duration = Duration::from_secs(5);
/// DESCRIBE of old footage takes 15 s.
const RTSP_REPLY: Duration = Duration::from_secs(25);
/// Playback that is silent for so long has reached its end.
const PLAYBACK_SILENCE: Duration = Duration::from_secs(8);
const RTSP_PORT: u16 = 554;

/// Events while they happen; see [`dvrgate_adapter::Adapter::watch`].
pub(crate) fn watch<'a>(device: &'a Hikvision, cx: &'a Cx) -> BoxStream<'a, Result<SourceEvent>> {
    let watch = Watch {
        device,
        cx,
        body: None,
        splitter: Splitter::default(),
        ready: VecDeque::new(),
        backoff: Duration::ZERO,
        heartbeat: None,
        gap: None,
        began: Instant::now(),
        heard: Instant::now(),
        bursts: Bursts::default(),
        over: false,
    };
    let next = |mut w: Watch<'a>| async move {
        let item = w.next().await?;
        Some((item, w))
    };
    stream::unfold(watch, next).boxed()
}

/// One watch, over all its connections.
struct Watch<'a> {
    device: &'a Hikvision,
    cx: &'a Cx,
    body: Option<ByteStream>,
    splitter: Splitter,
    ready: VecDeque<SourceEvent>,
    backoff: Duration,
    /// The last one.
    heartbeat: Option<Instant>,
    /// The longest time between two of them.
    gap: Option<Duration>,
    /// When this watch began: what bursts count from.
    began: Instant,
    /// When the stream said something last.
    heard: Instant,
    bursts: Bursts,
    over: bool,
}

impl Watch<'_> {
    async fn next(&mut self) -> Option<Result<SourceEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            let silence = self.silence();
            let Some(body) = &mut self.body else {
                sleep(self.backoff).await;
                match connect(self.device, self.cx).await {
                    Ok(body) => {
                        self.body = Some(body);
                        self.splitter = Splitter::default();
                        self.heartbeat = None;
                        self.heard = Instant::now();
                    }
                    Err(e) => return Some(Err(self.outage(e))),
                }
                continue;
            };
            let silent = self.heard + silence;
            let over = self.bursts.next_end().map(|us| self.began + us);
            let until = over.map_or(silent, |over| over.min(silent));
            let lost = match timeout_at(until, body.next()).await {
                Ok(Some(Ok(bytes))) => {
                    self.heard = Instant::now();
                    self.take(&bytes);
                    continue;
                }
                Err(_) if until < silent => {
                    let now = self.began.elapsed();
                    self.ready.extend(self.bursts.over(now));
                    continue;
                }
                Ok(Some(Err(e))) => e,
                Ok(None) => Error::new(ErrorKind::Unreachable, "the alert stream ended"),
                Err(_) => Error::new(ErrorKind::Timeout, "the alert stream fell silent")
                    .with("silence_s", silence.as_secs()),
            };
            self.body = None;
            return Some(Err(self.outage(lost)));
        }
    }

    /// Three missed heartbeats, within bounds.
    fn silence(&self) -> Duration {
        let longest = self.device.policy.silence;
        self.gap
            .map_or(longest, |g| (g * MISSED_HEARTBEATS).clamp(MIN_SILENCE.min(longest), longest))
    }

    /// How events of that code are told.
    fn manner(&self, event: &SourceEvent) -> Manner {
        let code = event.code.to_ascii_lowercase();
        match self.device.mapping.event(&event.code) {
            Some(mapped) if !mapped.is_property() => Manner::Once,
            _ if self.device.policy.repeated.contains(&code) => Manner::Repeated,
            _ => Manner::Edges,
        }
    }

    fn outage(&mut self, e: Error) -> Error {
        self.over = matches!(
            e.kind(),
            ErrorKind::Unauthenticated | ErrorKind::PermissionDenied | ErrorKind::Unsupported
        );
        self.backoff = (self.backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
        if let Retry::Later(wait) = e.retry() {
            self.backoff = self.backoff.max(wait.min(LONGEST_BACKOFF));
        }
        e.during("watch")
    }

    fn take(&mut self, bytes: &[u8]) {
        // Whatever comes shows that the device lives.
        self.backoff = Duration::ZERO;
        let numbering = self.device.learnt(|l| l.numbering.clone());
        for part in self.splitter.push(bytes) {
            match alert_stream::parse_part(&part) {
                Ok(alert) if alert.is_heartbeat() => {
                    let now = Instant::now();
                    if let Some(last) = self.heartbeat.replace(now) {
                        self.gap = self.gap.max(Some(now - last));
                    }
                }
                Ok(alert) => {
                    let told = convert::alert(&alert, &numbering).and_then(|event| {
                        let (manner, quiet) = (self.manner(&event), self.device.policy.quiet);
                        self.bursts.take(event, manner, self.began.elapsed(), quiet)
                    });
                    self.ready.extend(told);
                }
                Err(e) => {
                    tracing::debug!(device = %self.device.settings.id, %e, "an alert cannot be read");
                }
            }
        }
    }
}

/// Opens the alert stream.
async fn connect(device: &Hikvision, cx: &Cx) -> Result<ByteStream> {
    let g = device.generation(cx).await?;
    let mut refused = None;
    for request in alert_stream::requests(g) {
        let answer = device.stream(cx, request).await?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        let refusal = refusal(answer.status, answer.body).await;
        if !refusal.is_absent() {
            return Err(device.refused(&refusal));
        }
        refused = Some(refusal);
    }
    device.learnt(|l| l.no_watch = true);
    let refusal = refused.unwrap_or_default();
    let message = "the device offers no alert stream";
    Err(Error::new(ErrorKind::Unsupported, message).because(device.refused(&refusal)))
}

/// Reads a refusal whose body comes as a stream.
async fn refusal(status: http::StatusCode, mut body: ByteStream) -> Refusal {
    let mut bytes = Vec::new();
    while let Ok(Some(Ok(more))) = timeout(ANONYMOUS_TIMEOUT, body.next()).await {
        bytes.extend_from_slice(&more);
        if bytes.len() > anonymous::MAX_ANSWER_BYTES {
            break;
        }
    }
    Refusal::of(status, Element::parse(&bytes).ok().as_ref()).unwrap_or_default()
}

impl Hikvision {
    /// Asks without log-in whether the account is locked: a log-in now would lengthen it. A device
    /// that does not tell is taken as open.
    pub(crate) async fn refuse_if_locked(&self, cx: &Cx) -> Result<()> {
        let url = &self.settings.url;
        let (Some(host), "http") = (url.host_str(), url.scheme()) else { return Ok(()) };
        if self.settings.username.is_empty() {
            return Ok(());
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let ask = async {
            let mut io = cx.transports.tcp(cx, host, port).await.ok()?;
            let request = anonymous::request(Generation::Isapi, host);
            io.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            // The lock may be there although the device does not close.
            let mut bounded = io.take(anonymous::MAX_ANSWER_BYTES as u64);
            while bounded.read_buf(&mut answer).await.ok()? > 0 {
                if let Some(lock) = anonymous::parse(&answer) {
                    return Some(lock);
                }
            }
            anonymous::parse(&answer)
        };
        match timeout(ANONYMOUS_TIMEOUT, ask).await {
            Ok(Some(lock)) if lock.locked => {
                let refusal = Refusal { http: 401, lock: Some(lock), ..Refusal::default() };
                Err(self.refused(&refusal))
            }
            _ => Ok(()),
        }
    }

    /// Opens RTSP playback of a window.
    pub(crate) async fn by_rtsp(
        &self,
        cx: &Cx,
        request: &FootageRequest,
        issued: Option<PlaybackUri>,
        wall_ahead_us: i64,
    ) -> Result<Footage> {
        let g = self.generation(cx).await?;
        let track = track_id(request.channel, request.stream);
        let (host, port) = self.rtsp_address()?;
        let uri = playback::uri(g, issued, track, request.window);
        cx.transports.logins().check()?;
        let io = cx.transports.tcp(cx, &host, port).await?;
        let options = ClientOptions {
            url: uri.at(&format!("rtsp://{}:{port}", bracketed(&host))),
            username: self.settings.username.clone(),
            password: self.settings.password.clone(),
            control: ControlUrl::Append,
            reply_timeout: RTSP_REPLY,
            // Silence is how these devices say that there is no more.
            idle_timeout: Some(PLAYBACK_SILENCE),
            raw_payload_types: vec![playback::PRIVATE_PAYLOAD],
            ..ClientOptions::default()
        };
        let mut client = Client::new(io, options);
        if let Err(e) = self.start(&mut client).await {
            if e.kind() == ErrorKind::Unauthenticated {
                return Err(cx.transports.logins().latch("the recorder refused the RTSP log-in"));
            }
            if is_out_of_sessions(&e) {
                self.lose_session();
            }
            // A session that was begun is given back.
            let _ = client.teardown().await;
            return Err(e.with("track", track));
        }
        cx.transports.logins().accepted();
        Ok(Footage {
            body: FootageBody::Units(units(client, Progress::new(request.window, wall_ahead_us))),
            what: uri.text(),
            start: Some(request.window.start),
        })
    }

    async fn start(&self, client: &mut Client<TcpIo>) -> Result<()> {
        client.describe().await?;
        let chosen = chosen(client);
        if chosen.is_empty() {
            let message = "the recorder offers no encoding that can be replayed";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        for media in chosen {
            client.setup(media).await?;
        }
        let rate_control = self.policy.rtsp_fast.then_some(RateControl::Client);
        client.play(&PlayOptions { rate_control, ..PlayOptions::default() }).await?;
        Ok(())
    }

    /// By the operator, by the device, or the usual one.
    fn rtsp_address(&self) -> Result<(String, u16)> {
        let url = self.settings.rtsp.as_ref().unwrap_or(&self.settings.url);
        let host = url.host_str().ok_or_else(|| Error::invalid("the RTSP address has no host"))?;
        let port = match &self.settings.rtsp {
            Some(rtsp) => rtsp.port().unwrap_or(RTSP_PORT),
            None => self.learnt(|l| l.rtsp_port).unwrap_or(RTSP_PORT),
        };
        Ok((host.trim_matches(['[', ']']).to_owned(), port))
    }
}

/// The first picture and the first sound that can be replayed.
fn chosen(client: &Client<TcpIo>) -> Vec<usize> {
    let playable = client.playable();
    let kind = |m: &usize| {
        let media = client.description().media.get(*m);
        media.and_then(|m| m.params.as_ref()).map(|p| p.codec.track_kind())
    };
    let first = |wanted| playable.iter().copied().find(|m| kind(m) == Some(wanted));
    [TrackKind::Video, TrackKind::Audio].into_iter().filter_map(first).collect()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The units of a playback until its window is over, it falls silent, or the connection ends; then
/// TEARDOWN, so that the session is free at once.
fn units(client: Client<TcpIo>, progress: Progress) -> UnitStream {
    struct Playing {
        client: Client<TcpIo>,
        progress: Progress,
        ready: VecDeque<Demuxed>,
    }
    let playing = Playing { client, progress, ready: VecDeque::new() };
    stream::unfold(Some(playing), |state| async move {
        let mut p = state?;
        loop {
            if let Some(item) = p.ready.pop_front() {
                return Some((Ok(item), Some(p)));
            }
            let over = match p.client.next_incoming().await {
                Ok(Some(Incoming::Media(received))) => match p.progress.take(received.item) {
                    Told::Pass(items) => {
                        p.ready.extend(items);
                        continue;
                    }
                    Told::Over => Ok(()),
                },
                Ok(Some(Incoming::Raw(packet))) => match p.progress.private(&packet.data) {
                    Ok(()) => continue,
                    Err(e) => Err(e),
                },
                Ok(None) => Ok(()),
                Err(e) => Err(e),
            };
            let _ = p.client.teardown().await;
            return over.err().map(|e| (Err(e), None));
        }
    })
    .boxed()
}
