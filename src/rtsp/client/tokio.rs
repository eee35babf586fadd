//! Runs the client engine over a connection.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use ::tokio::time::{Instant, sleep_until, timeout_at};
use bytes::{Buf, Bytes};
use dvrgate_model::{Error, ErrorKind, Fault, Result};

use super::{ClientAuth, Engine, Event, Received, Streams};
use crate::headers::{Range, RateControl, RtpInfo, Scale, Transport};
use crate::message::{Method, Request, Response, Status};
use crate::sdp::Remote;

/// How control URLs of media sections are made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ControlUrl {
    /// Relative to `Content-Base`, or to the URL without its query.
    #[default]
    Resolve,
    /// Behind the URL as it was asked for, query included: what some recorders want.
    Append,
}

/// How to reach a presentation.
#[derive(Clone)]
pub struct ClientOptions {
    /// With its query, without user and password.
    pub url: String,
    /// Empty where none is needed.
    pub username: String,
    /// Never printed.
    pub password: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// See [`ControlUrl`].
    pub control: ControlUrl,
    /// Longest wait for an answer.
    pub reply_timeout: Duration,
    /// Keeps the session alive; GET_PARAMETER unless the recorder dislikes it.
    pub keep_alive: Method,
    /// Sent with SETUP and PLAY, for instance `onvif-replay`.
    pub require: Option<String>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            username: String::new(),
            password: String::new(),
            user_agent: "dvrgate".to_owned(),
            control: ControlUrl::default(),
            reply_timeout: Duration::from_secs(10),
            keep_alive: Method::GetParameter,
            require: None,
        }
    }
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("url", &self.url)
            .field("username", &self.username)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

/// What to play and how.
#[derive(Clone, Debug, Default)]
pub struct PlayOptions {
    /// Where; absent: as the URL says.
    pub range: Option<Range>,
    /// How fast.
    pub scale: Option<f64>,
    /// Who sets the pace; absent: not sent.
    pub rate_control: Option<RateControl>,
    /// Other headers.
    pub fields: Vec<(String, String)>,
}

/// What the server said to a PLAY.
#[derive(Clone, Debug)]
pub struct PlayReply {
    /// Where it starts, if it told.
    pub range: Option<Range>,
    /// The scale in use, if it told.
    pub scale: Option<f64>,
    /// Where the streams begin, if it told.
    pub rtp_info: RtpInfo,
}

/// A session of a recorder over one connection.
#[derive(Debug)]
pub struct Client<S> {
    io: S,
    options: ClientOptions,
    engine: Engine,
    streams: Streams,
    description: Remote,
    /// Base of relative control URLs.
    base: String,
    /// Control URL of the whole session.
    aggregate: String,
    /// Media that are set up, with their control URLs.
    set_up: Vec<(usize, String)>,
    out: VecDeque<Bytes>,
    keep_alive_at: Option<Instant>,
    ended: bool,
}

/// Half of the timeout is the usual margin; a wrong one must not make a flood.
const MIN_KEEP_ALIVE: Duration = Duration::from_secs(5);
const DEFAULT_TIMEOUT_SECS: u32 = 60;
const READ_BYTES: usize = 64 * 1024;
/// Time for an answer to TEARDOWN; recorders that never answer are known.
const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(3);

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Client<S> {
    /// Over a connection that is open.
    pub fn new(io: S, options: ClientOptions) -> Self {
        let auth = ClientAuth::new(&options.username, &options.password);
        let engine = Engine::new(auth, &options.user_agent);
        Self {
            io,
            engine,
            streams: Streams::default(),
            description: Remote::default(),
            base: options.url.clone(),
            aggregate: options.url.clone(),
            options,
            set_up: Vec::new(),
            out: VecDeque::new(),
            keep_alive_at: None,
            ended: false,
        }
    }

    /// OPTIONS: the methods that the server names.
    pub async fn options(&mut self) -> Result<Vec<Method>> {
        let reply = self.ask(Method::Options, self.options.url.clone(), &[]).await?;
        let public = reply.fields.get("Public").unwrap_or_default();
        Ok(public.split(',').map(|m| Method::from_name(m.trim())).collect())
    }

    /// DESCRIBE.
    pub async fn describe(&mut self) -> Result<&Remote> {
        let accept = [("Accept", "application/sdp".to_owned())];
        let reply = self.ask(Method::Describe, self.options.url.clone(), &accept).await?;
        let text = String::from_utf8_lossy(&reply.body);
        self.description = Remote::parse(&text)
            .ok_or_else(|| Error::malformed("the recorder's description has no media"))?;
        self.base = match self.options.control {
            ControlUrl::Append => self.options.url.clone(),
            ControlUrl::Resolve => {
                let named = ["Content-Base", "Content-Location"];
                let named = named.iter().find_map(|n| reply.fields.get(n));
                // Some firmware leaves the scheme out.
                let named = named.filter(|b| b.contains("://"));
                let url = self.options.url.split('?').next().unwrap_or_default();
                named.unwrap_or(url).to_owned()
            }
        };
        self.aggregate = match self.description.control.as_deref() {
            Some(c) if c != "*" => join(&self.base, c),
            _ => self.base.clone(),
        };
        Ok(&self.description)
    }

    /// What DESCRIBE told.
    pub fn description(&self) -> &Remote {
        &self.description
    }

    /// Media sections whose encoding is known.
    pub fn playable(&self) -> Vec<usize> {
        let media = self.description.media.iter().enumerate();
        media.filter(|(_, m)| m.params.is_some()).map(|(i, _)| i).collect()
    }

    /// SETUP of one media section, interleaved.
    pub async fn setup(&mut self, media: usize) -> Result<()> {
        let section = self
            .description
            .media
            .get(media)
            .ok_or_else(|| Error::invalid(format!("there is no media section {media}")))?;
        let params = section.params.clone().ok_or_else(|| {
            Error::new(ErrorKind::NotImplemented, "encoding is not known")
                .with("encoding", &section.encoding)
        })?;
        let url = match section.control.as_deref() {
            Some("*") | None => self.base.clone(),
            Some(control) => join(&self.base, control),
        };
        let payload_type = section.payload_type;
        let channel = u8::try_from(self.set_up.len() * 2)
            .map_err(|_| Error::new(ErrorKind::LimitExceeded, "too many media sections"))?;
        let mut fields = vec![("Transport", Transport::tcp(channel, channel + 1).to_string())];
        fields.extend(self.options.require.clone().map(|r| ("Require", r)));
        let reply = self.ask(Method::Setup, url.clone(), &fields).await?;
        let agreed = reply.fields.get("Transport").and_then(|t| t.parse::<Transport>().ok());
        let channel = agreed.and_then(|t| t.interleaved).map_or(channel, |(rtp, _)| rtp);
        self.streams.add(media, channel, payload_type, &params);
        self.set_up.push((media, url));
        self.schedule_keep_alive();
        Ok(())
    }

    /// PLAY of all media that are set up. On a session that plays it is a seek; what the old
    /// playback still has on its way is dropped as far as sequence numbers in the answer tell.
    pub async fn play(&mut self, options: &PlayOptions) -> Result<PlayReply> {
        let mut fields: Vec<(&str, String)> = Vec::new();
        fields.extend(options.range.map(|r| ("Range", r.to_string())));
        fields.extend(options.scale.map(|s| ("Scale", Scale(s).to_string())));
        fields.extend(options.rate_control.map(|r| ("Rate-Control", r.to_string())));
        fields.extend(self.options.require.clone().map(|r| ("Require", r)));
        fields.extend(options.fields.iter().map(|(n, v)| (n.as_str(), v.clone())));
        self.streams.restart([]);
        let url = self.aggregate.clone();
        let reply = self.ask(Method::Play, url, &fields).await?;
        let field = |name| reply.fields.get(name);
        let rtp_info: RtpInfo = field("RTP-Info").unwrap_or_default().parse().unwrap_or_default();
        let times: Vec<_> = rtp_info
            .0
            .iter()
            .enumerate()
            .filter_map(|(i, e)| {
                // By URL; by position where a server writes URLs of its own taste.
                let by_url =
                    self.set_up.iter().find(|(_, u)| u.ends_with(&e.url) && !e.url.is_empty());
                Some((by_url.or(self.set_up.get(i))?.0, e.rtptime?))
            })
            .collect();
        self.streams.restart(times);
        self.ended = false;
        Ok(PlayReply {
            range: field("Range").and_then(|r| r.parse().ok()),
            scale: field("Scale").and_then(|s| s.parse::<Scale>().ok()).map(|s| s.0),
            rtp_info,
        })
    }

    /// PAUSE.
    pub async fn pause(&mut self) -> Result<()> {
        self.ask(Method::Pause, self.aggregate.clone(), &[]).await.map(drop)
    }

    /// What comes next; see the module's documentation.
    pub async fn next(&mut self) -> Result<Option<Received>> {
        loop {
            if let Some(received) = self.streams.pull() {
                return Ok(Some(received));
            }
            if self.ended || self.streams.ended() {
                return Ok(None);
            }
            match self.engine.poll()? {
                Some(Event::Packet { channel, data }) => self.streams.push(channel, &data),
                Some(Event::Send(bytes)) => self.out.push_back(bytes),
                Some(Event::Reply(..)) => {} // of a keep-alive
                Some(Event::Ended) => {
                    self.streams.finish();
                    self.ended = true;
                }
                None => self.exchange().await?,
            }
        }
    }

    /// TEARDOWN. A recorder that closes instead of answering has done what was asked.
    pub async fn teardown(&mut self) -> Result<()> {
        if self.engine.session().is_none() {
            return Ok(());
        }
        self.keep_alive_at = None;
        let url = self.aggregate.clone();
        let deadline = Instant::now() + TEARDOWN_TIMEOUT.min(self.options.reply_timeout);
        match self.ask_until(Method::Teardown, url, &[], deadline).await {
            Err(e) if e.kind() == ErrorKind::Unauthenticated => Err(e),
            _ => Ok(()),
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        url: String,
        fields: &[(&str, String)],
    ) -> Result<Response> {
        let deadline = Instant::now() + self.options.reply_timeout;
        self.ask_until(method, url, fields, deadline).await
    }

    async fn ask_until(
        &mut self,
        method: Method,
        url: String,
        fields: &[(&str, String)],
        deadline: Instant,
    ) -> Result<Response> {
        let mut request = Request::new(method.clone(), url);
        for (name, value) in fields {
            request.fields.push(*name, value);
        }
        let id = self.engine.request(request)?;
        loop {
            match self.engine.poll()? {
                Some(Event::Send(bytes)) => self.out.push_back(bytes),
                Some(Event::Packet { channel, data }) => self.streams.push(channel, &data),
                Some(Event::Ended) => self.ended = true,
                Some(Event::Reply(of, response)) if of == id => {
                    return if response.status.is_success() {
                        Ok(response)
                    } else {
                        Err(refused(&method, &response))
                    };
                }
                Some(Event::Reply(..)) => {}
                None => {
                    if self.ended {
                        return Err(Error::new(ErrorKind::Unreachable, "the recorder closed")
                            .with("method", &method));
                    }
                    timeout_at(deadline, self.exchange()).await.map_err(|_| {
                        Error::new(ErrorKind::Timeout, "no answer to an RTSP request")
                            .with("method", &method)
                    })??;
                }
            }
        }
    }

    /// Writes what waits, then reads once, and sends a keep-alive when it is due.
    async fn exchange(&mut self) -> Result<()> {
        while let Some(front) = self.out.front_mut() {
            let written = self.io.write_vectored(&[IoSlice::new(front)]).await.map_err(lost)?;
            if written == 0 {
                return Err(lost(std::io::ErrorKind::WriteZero.into()));
            }
            front.advance(written);
            if front.is_empty() {
                self.out.pop_front();
            }
        }
        self.io.flush().await.map_err(lost)?;
        let input = self.engine.input();
        input.reserve(READ_BYTES);
        let read = match self.keep_alive_at {
            None => self.io.read_buf(input).await,
            Some(at) => ::tokio::select! {
                read = self.io.read_buf(input) => read,
                () = sleep_until(at) => {
                    let request = Request::new(self.options.keep_alive.clone(), &self.aggregate);
                    self.engine.request(request)?;
                    self.schedule_keep_alive();
                    return Ok(());
                }
            },
        };
        if read.map_err(lost)? == 0 {
            self.ended = true;
            self.streams.finish();
        }
        Ok(())
    }

    fn schedule_keep_alive(&mut self) {
        let timeout = self.engine.session().and_then(|s| s.timeout_secs);
        let timeout = Duration::from_secs(timeout.unwrap_or(DEFAULT_TIMEOUT_SECS).into());
        self.keep_alive_at = Some(Instant::now() + (timeout / 2).max(MIN_KEEP_ALIVE));
    }
}

/// Puts a control attribute behind a base, unless it is a URL of its own.
fn join(base: &str, control: &str) -> String {
    if control.contains("://") {
        return control.to_owned();
    }
    format!("{}/{}", base.trim_end_matches('/'), control.trim_start_matches('/'))
}

fn lost(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the RTSP connection broke").because(e)
}

/// What a refusal means to who asked for footage.
fn refused(method: &Method, response: &Response) -> Error {
    let status = response.status;
    let kind = match status.0 {
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        453 | 503 => ErrorKind::Busy,
        400 | 451 | 456 | 457 => ErrorKind::InvalidArgument,
        405 | 461 | 501 | 505 | 551 => ErrorKind::Unsupported,
        408 | 504 => ErrorKind::Timeout,
        _ => ErrorKind::Malformed,
    };
    debug_assert_ne!(status, Status::UNAUTHORIZED);
    Error::new(kind, format!("the recorder answered {} {}", status.0, status.reason()))
        .with_fault(Fault::Device)
        .with("method", method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_urls() {
        let appended = join("rtsp://h/Streaming/tracks/101/?starttime=1&size=2", "trackID=video");
        assert_eq!(appended, "rtsp://h/Streaming/tracks/101/?starttime=1&size=2/trackID=video");
        assert_eq!(join("rtsp://h/a/", "trackID=1"), "rtsp://h/a/trackID=1");
        assert_eq!(join("rtsp://h/a", "rtsp://h/b?c"), "rtsp://h/b?c");
    }

    #[test]
    fn refusals_keep_their_meaning() {
        for (status, kind) in [
            (453, ErrorKind::Busy),
            (404, ErrorKind::NotFound),
            (551, ErrorKind::Unsupported),
            (457, ErrorKind::InvalidArgument),
            (500, ErrorKind::Malformed),
        ] {
            let e = refused(&Method::Play, &Response::new(Status(status)));
            assert_eq!((e.kind(), e.fault()), (kind, Fault::Device));
        }
    }
}
