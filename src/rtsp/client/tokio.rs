//! Runs the client engine over a connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use ::tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use ::tokio::runtime::Handle;
use ::tokio::time::{Instant, timeout, timeout_at};
use bytes::{Buf, Bytes, BytesMut};
use dvrgate_model::{Error, ErrorKind, Result};
use tokio_util::io::poll_read_buf;

use super::address::Addresses;
use super::refusal::refused;
use super::{
    ClientAuth, ClientOptions, End, Engine, Event, Incoming, PlayOptions, PlayReply, Received,
    Start, Streams,
};
use crate::headers::{RtpInfoEntry, Transport};
use crate::message::{Method, Request, Response};
use crate::sdp::Remote;

/// A session of a recorder over one connection. Dropped with a session, it says TEARDOWN from a task
/// of its own, if there is a runtime.
#[derive(Debug)]
pub struct Client<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    /// Taken when the client is dropped.
    wire: Option<Wire<S>>,
    options: ClientOptions,
    engine: Engine,
    streams: Streams,
    description: Remote,
    addresses: Addresses,
    /// Media that are set up, with their control URLs.
    set_up: Vec<(usize, String)>,
    keep_alive_at: Option<Instant>,
    playing: bool,
    /// While playing: since when a caller waits without getting RTP.
    silent_since: Option<Instant>,
    end: Option<End>,
    closed: bool,
}

/// A connection and what waits to be written to it.
#[derive(Debug)]
struct Wire<S> {
    io: S,
    out: VecDeque<Bytes>,
}

const DEFAULT_TIMEOUT_SECS: u32 = 60;
/// Longest pause between keep-alives: firewalls forget connections too.
const MAX_KEEP_ALIVE: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 64 * 1024;
/// Messages that wait to be written: ours, and answers to a server that does not read them.
const MAX_OUT: usize = 64;
/// Time for an answer to TEARDOWN; recorders that never answer are known.
const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for the TEARDOWN of a client that was dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Client<S> {
    /// Over a connection that is open.
    pub fn new(io: S, options: ClientOptions) -> Self {
        let auth = ClientAuth::new(&options.username, &options.password);
        let engine = Engine::new(auth, &options.user_agent);
        Self {
            wire: Some(Wire { io, out: VecDeque::new() }),
            engine: engine.with_keep_alive(options.keep_alive.clone()),
            streams: Streams::new(&options.raw_payload_types),
            description: Remote::default(),
            addresses: Addresses::new(&options.url, options.control),
            options,
            set_up: Vec::new(),
            keep_alive_at: None,
            playing: false,
            silent_since: None,
            end: None,
            closed: false,
        }
    }

    /// OPTIONS: the methods that the server names.
    pub async fn options(&mut self) -> Result<Vec<Method>> {
        let reply = self.ask(Method::Options, self.addresses.url.clone(), &[]).await?;
        let public = reply.fields.get("Public").unwrap_or_default();
        Ok(public.split(',').map(|m| Method::from_name(m.trim())).collect())
    }

    /// DESCRIBE.
    pub async fn describe(&mut self) -> Result<&Remote> {
        let accept = [("Accept", "application/sdp".to_owned())];
        let reply = self.ask(Method::Describe, self.addresses.url.clone(), &accept).await?;
        let text = String::from_utf8_lossy(&reply.body);
        self.description = Remote::parse(&text)
            .ok_or_else(|| Error::malformed("the recorder's description has no media"))?;
        self.addresses.described(&reply.fields, self.description.control.as_deref());
        Ok(&self.description)
    }

    /// What DESCRIBE told.
    pub fn description(&self) -> &Remote {
        &self.description
    }

    /// Media sections whose encoding is known, or whose packets are wanted raw.
    pub fn playable(&self) -> Vec<usize> {
        let raw = &self.options.raw_payload_types;
        let media = self.description.media.iter().enumerate();
        media
            .filter(|(_, m)| m.params.is_some() || raw.contains(&m.payload_type))
            .map(|(i, _)| i)
            .collect()
    }

    /// SETUP of one media section, interleaved.
    pub async fn setup(&mut self, media: usize) -> Result<()> {
        let section = self
            .description
            .media
            .get(media)
            .ok_or_else(|| Error::invalid(format!("there is no media section {media}")))?;
        let (params, payload_type) = (section.params.clone(), section.payload_type);
        if params.is_none() && !self.options.raw_payload_types.contains(&payload_type) {
            return Err(Error::new(ErrorKind::NotImplemented, "encoding is not known")
                .with("encoding", &section.encoding));
        }
        let url = self.addresses.of(section.control.as_deref());
        let channel = u8::try_from(self.set_up.len() * 2)
            .map_err(|_| Error::new(ErrorKind::LimitExceeded, "too many media sections"))?;
        let mut fields = vec![("Transport", Transport::tcp(channel, channel + 1).to_string())];
        fields.extend(self.options.require.clone().map(|r| ("Require", r)));
        let reply = self.ask(Method::Setup, url.clone(), &fields).await?;
        let agreed = reply.fields.get("Transport").and_then(|t| t.parse::<Transport>().ok());
        let channel = agreed.and_then(|t| t.interleaved).map_or(channel, |(rtp, _)| rtp);
        self.streams.add(media, channel, payload_type, params.as_ref());
        self.set_up.push((media, url));
        self.schedule_keep_alive();
        Ok(())
    }

    /// PLAY of all media that are set up. On a session that plays it is a seek: once it is granted,
    /// everything of the old playback that was not taken is dropped, and what is still on its way
    /// as far as sequence numbers in the answer tell. A refused one changes nothing.
    pub async fn play(&mut self, options: &PlayOptions) -> Result<PlayReply> {
        let fields = options.to_fields(self.options.require.as_ref());
        let reply = self.ask(Method::Play, self.addresses.aggregate.clone(), &fields).await?;
        let reply = PlayReply::of(&reply);
        let start = |(i, e): (usize, &RtpInfoEntry)| {
            // By URL; by position where a server writes URLs of its own taste.
            let mut known = self.set_up.iter();
            let by_url = known.find(|(_, url)| url.ends_with(&e.url) && !e.url.is_empty());
            let media = by_url.or(self.set_up.get(i))?.0;
            Some(Start { media, sequence: e.seq, rtp_time: e.rtptime })
        };
        let starts: Vec<_> = reply.rtp_info.0.iter().enumerate().filter_map(start).collect();
        self.streams.restart(&starts);
        (self.playing, self.silent_since, self.end) = (true, None, None);
        Ok(reply)
    }

    /// PAUSE.
    pub async fn pause(&mut self) -> Result<()> {
        self.ask(Method::Pause, self.addresses.aggregate.clone(), &[]).await?;
        self.playing = false;
        Ok(())
    }

    /// What comes next; `None` at the end, of which [`Client::end`] tells the reason. Keep-alives
    /// are sent from here: call it again and again. Nothing is lost where the future is dropped.
    /// Raw packets are passed over, see [`Client::next_incoming`].
    pub async fn next(&mut self) -> Result<Option<Received>> {
        loop {
            match self.next_incoming().await? {
                Some(Incoming::Media(received)) => return Ok(Some(received)),
                Some(Incoming::Raw(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// As [`Client::next`], with the packets of [`ClientOptions::raw_payload_types`].
    pub async fn next_incoming(&mut self) -> Result<Option<Incoming>> {
        loop {
            if let Some(incoming) = self.streams.pull() {
                self.silent_since = None;
                return Ok(Some(incoming));
            }
            if self.end.is_none() && self.streams.ended() {
                self.end = Some(End::Said);
            }
            if self.end.is_some() {
                return Ok(None);
            }
            if let Some(event) = self.engine.poll()? {
                self.take(event)?;
            } else if self.closed {
                self.finish(End::Closed);
            } else {
                let silent_at = self.silent_at();
                let progress = self.exchange(silent_at).await?;
                if !progress && silent_at.is_some_and(|at| at <= Instant::now()) {
                    self.finish(End::Silent);
                }
            }
        }
    }

    /// Why [`Client::next`] has nothing more; `None` while it may have.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// TEARDOWN. A recorder that closes instead of answering has done what was asked.
    pub async fn teardown(&mut self) -> Result<()> {
        if self.engine.session().is_none() {
            return Ok(());
        }
        self.keep_alive_at = None;
        let url = self.addresses.aggregate.clone();
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
            if let Some(event) = self.engine.poll()? {
                match self.take(event)? {
                    Some((of, response)) if of == id => {
                        return if response.status.is_success() {
                            Ok(response)
                        } else {
                            Err(refused(&method, &response))
                        };
                    }
                    _ => {}
                }
            } else if self.closed {
                return Err(Error::new(ErrorKind::Unreachable, "the recorder closed")
                    .with("method", &method));
            } else {
                self.exchange(Some(deadline)).await?;
                // Also where packets come without a pause.
                if Instant::now() >= deadline {
                    return Err(Error::new(ErrorKind::Timeout, "no answer to an RTSP request")
                        .with("method", &method));
                }
            }
        }
    }

    /// Does what an event wants; an answer is handed back.
    fn take(&mut self, event: Event) -> Result<Option<(u32, Response)>> {
        match event {
            Event::Reply(id, response) => return Ok(Some((id, response))),
            Event::Send(bytes) => {
                let Some(wire) = self.wire.as_mut().filter(|w| w.out.len() < MAX_OUT) else {
                    let why = "the recorder asks and does not read the answers";
                    return Err(Error::new(ErrorKind::LimitExceeded, why));
                };
                wire.out.push_back(bytes);
            }
            Event::Packet { channel, data } => {
                if self.streams.push(channel, &data) {
                    self.silent_since = None;
                }
            }
            Event::Ended => self.finish(End::Said),
        }
        Ok(None)
    }

    fn finish(&mut self, end: End) {
        self.streams.finish();
        self.end = Some(end);
    }

    /// When silence will count as the end; the time runs while a caller waits.
    fn silent_at(&mut self) -> Option<Instant> {
        let idle = self.options.idle_timeout.filter(|_| self.playing)?;
        Some(*self.silent_since.get_or_insert_with(Instant::now) + idle)
    }

    /// Sends a keep-alive if one is due, writes what waits and reads once. `false` where a time came
    /// before bytes did.
    async fn exchange(&mut self, until: Option<Instant>) -> Result<bool> {
        if self.keep_alive_at.is_some_and(|at| at <= Instant::now()) {
            self.engine.keep_alive(&self.addresses.aggregate);
            self.schedule_keep_alive();
            return Ok(true);
        }
        let Some(wire) = &mut self.wire else { return Ok(false) };
        let transfer = wire.transfer(self.engine.input());
        let read = match self.keep_alive_at.into_iter().chain(until).min() {
            None => transfer.await,
            Some(at) => match timeout_at(at, transfer).await {
                Ok(read) => read,
                Err(_) => return Ok(false),
            },
        };
        self.closed = read.map_err(lost)? == 0;
        Ok(true)
    }

    /// Half of the session's timeout is the usual margin.
    fn schedule_keep_alive(&mut self) {
        let told = self.engine.session().and_then(|s| s.timeout_secs).filter(|t| *t > 0);
        let timeout = Duration::from_secs(told.unwrap_or(DEFAULT_TIMEOUT_SECS).into());
        self.keep_alive_at = Some(Instant::now() + (timeout / 2).min(MAX_KEEP_ALIVE));
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Drop for Client<S> {
    /// Recorders have few playback slots and keep those of broken connections for a minute.
    fn drop(&mut self) {
        let has_session = self.engine.session().is_some() || self.engine.awaits(&Method::Setup);
        let (Some(wire), Ok(runtime)) = (self.wire.take(), Handle::try_current()) else { return };
        if self.closed || !has_session {
            return;
        }
        let nobody = Engine::new(ClientAuth::new("", ""), "");
        let engine = std::mem::replace(&mut self.engine, nobody);
        let url = self.addresses.aggregate.clone();
        runtime.spawn(async move {
            if let Ok(Err(e)) = timeout(DROP_TIMEOUT, let_go(wire, engine, url)).await {
                tracing::debug!(error = %e, "TEARDOWN of an abandoned session failed");
            }
        });
    }
}

/// Says TEARDOWN and waits for the answer; a SETUP that is on its way is waited for first.
async fn let_go<S>(mut wire: Wire<S>, mut engine: Engine, url: String) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut asked = None;
    loop {
        if asked.is_none() && engine.session().is_some() {
            asked = Some(engine.request(Request::new(Method::Teardown, &url))?);
        }
        match engine.poll()? {
            Some(Event::Send(bytes)) if wire.out.len() < MAX_OUT => wire.out.push_back(bytes),
            Some(Event::Reply(id, _)) if asked == Some(id) => break,
            Some(_) => {}
            None if asked.is_none() && !engine.awaits(&Method::Setup) => break,
            None => {
                if wire.transfer(engine.input()).await.map_err(lost)? == 0 {
                    break;
                }
            }
        }
    }
    wire.io.shutdown().await.map_err(lost)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Writes what waits and reads once, whichever can go on: a server that writes and does not
    /// read at the moment blocks neither.
    async fn transfer(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        input.reserve(READ_BYTES);
        poll_fn(|cx| {
            while let Some(front) = self.out.front_mut() {
                match Pin::new(&mut self.io).poll_write(cx, front) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(written)) => front.advance(written),
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Pending => break,
                }
                if front.is_empty() {
                    self.out.pop_front();
                }
            }
            if let Poll::Ready(Err(e)) = Pin::new(&mut self.io).poll_flush(cx) {
                return Poll::Ready(Err(e));
            }
            poll_read_buf(Pin::new(&mut self.io), cx, input)
        })
        .await
    }
}

fn lost(e: io::Error) -> Error {
    Error::new(ErrorKind::Unreachable, "the RTSP connection broke").because(e)
}
