//! DESCRIBE and SETUP: what there is, and how it travels.

use std::collections::VecDeque;

use dvrgate_auth::Identity;

use super::connection::{Connection, Waiting, Want};
use super::dispatch::{Handled, Refused};
use super::session::{Session, Stream};
use super::udp::Lease;
use super::uri::{Uri, control};
use super::{DescribeRequest, Destination, Presentation};
use crate::headers::{ClockRange, Lower, Transport};
use crate::message::{Request, Status};
use crate::rtp::Target;
use crate::rtp::packetize::Packetizer;
use crate::sdp::{Description, MediaDescription, payload_type};

/// As many as SDP has dynamic payload types.
const MAX_MEDIA: usize = 32;

impl Connection {
    pub(super) fn describe(&mut self, request: &Request, user: Identity) -> Handled {
        let accept: Vec<_> = request.fields.all("Accept").collect();
        let accept = accept.join(",").to_ascii_lowercase();
        if !(accept.is_empty()
            || ["application/sdp", "*/*", "application/*"].iter().any(|a| accept.contains(a)))
        {
            return Err(Status::NOT_ACCEPTABLE.into());
        }
        let path = Uri::parse(&request.uri).ok_or(Status::NOT_FOUND)?.path;
        self.waiting = Some(Waiting::Describe(request.clone()));
        self.wants.push_back(Want::Describe(DescribeRequest { path, user }));
        Ok(())
    }

    pub(super) fn reply_description(&mut self, request: &Request, mut presentation: Presentation) {
        let Some(uri) = Uri::parse(&request.uri) else { return };
        presentation.media.truncate(MAX_MEDIA);
        let media = presentation.media.iter().enumerate().map(|(i, m)| MediaDescription {
            payload_type: payload_type(&m.params, i),
            params: m.params.clone(),
            control: control(i),
            track: Some(m.track.to_string()),
        });
        let range = presentation.range;
        let description = Description {
            // Grows with the data, as RFC 4566 5.2 wants it of a version.
            version: range.map_or(0, |r| (r.end().micros() / 1_000_000).max(0) as u64),
            address: self.peer.local,
            name: presentation.name.clone(),
            range: range.map(|r| ClockRange { start: Some(r.start()), end: Some(r.end()) }),
            media: media.collect(),
        };
        let base = format!("{}/", self.url(&uri, &uri.path));
        self.reply(request, |r| {
            r.fields.push("Content-Base", base);
            r.fields.push("Content-Type", "application/sdp");
            r.body = description.to_text().into();
        });
        self.described = Some((uri.path, presentation));
    }

    /// With the host that the client used, so that it works behind address translation.
    fn url(&self, uri: &Uri, path: &str) -> String {
        let Uri { scheme, authority, .. } = uri;
        if authority.is_empty() {
            let host = match self.peer.local {
                std::net::IpAddr::V4(a) => a.to_string(),
                std::net::IpAddr::V6(a) => format!("[{a}]"),
            };
            return format!("rtsp://{host}{path}");
        }
        format!("{scheme}://{authority}{path}")
    }

    pub(super) fn setup(&mut self, request: &Request, user: Identity) -> Handled {
        let uri = Uri::parse(&request.uri).ok_or(Status::NOT_FOUND)?;
        let presentation = uri.track().map_or(uri.path.as_str(), |(p, _)| p);
        if let Some(session) = &self.session {
            if session.path != presentation {
                return Err(Status::AGGREGATE_NOT_ALLOWED.into());
            }
            if session.play.is_some() {
                return Err(Status::METHOD_NOT_VALID.into());
            }
        }
        match self.described.take() {
            Some((path, described)) if path == presentation => {
                self.setup_described(request, user, described)
            }
            _ => {
                let path = presentation.to_owned();
                self.waiting = Some(Waiting::SetupDescribe(request.clone(), user.clone()));
                self.wants.push_back(Want::Describe(DescribeRequest { path, user }));
                Ok(())
            }
        }
    }

    pub(super) fn setup_described(
        &mut self,
        request: &Request,
        user: Identity,
        presentation: Presentation,
    ) -> Handled {
        let uri = Uri::parse(&request.uri).ok_or(Status::NOT_FOUND)?;
        let (path, index) = match uri.track() {
            Some((path, index)) => (path.to_owned(), index),
            // A presentation of one track can be set up by its own URL.
            None if presentation.media.len() == 1 => (uri.path.clone(), 0),
            None => {
                self.described = Some((uri.path, presentation));
                return Err(Status::AGGREGATE_NOT_ALLOWED.into());
            }
        };
        let media = presentation.media.get(index).cloned();
        self.described = Some((path.clone(), presentation));
        let media = media.ok_or(Status::NOT_FOUND)?;
        let wishes = request.fields.get("Transport").ok_or(Status::UNSUPPORTED_TRANSPORT)?;
        let (mut transport, group) = self.choose(wishes)?;

        let url = self.url(&uri, &format!("{path}/{}", control(index)));
        let session = self.session.get_or_insert_with(|| Session {
            id: format!("{:016X}", rand::random::<u64>()),
            path,
            user,
            timeout: self.config.session_timeout.get(),
            streams: Vec::new(),
            play: None,
            queue: VecDeque::new(),
            sent: false,
        });
        if session.stream_of(index).is_some() {
            return Err(Status::METHOD_NOT_VALID.into());
        }
        let number = session.streams.len();
        let (rtp, rtcp) = match transport.lower {
            Lower::Udp => {
                transport.interleaved = None;
                (Target::Rtp(number), Target::Rtcp(number))
            }
            Lower::Tcp => {
                transport.client_port = None;
                let channels = session.channels(transport.interleaved);
                let (a, b) = channels.ok_or(Status::NOT_ENOUGH_BANDWIDTH)?;
                transport.interleaved = Some((a, b));
                (Target::Interleaved(a), Target::Interleaved(b))
            }
        };
        let ssrc = rand::random();
        transport.ssrc = Some(ssrc);
        transport.mode = None;
        transport.server_port = None;
        let payload_type = payload_type(&media.params, index);
        let to = match (&group, transport.client_port) {
            (Some(lease), _) => Some(Destination::Group(lease.group())),
            (None, Some(ports)) => Some(Destination::Client { ports }),
            (None, None) => None,
        };
        session.streams.push(Stream {
            media: index,
            url,
            transport: transport.clone(),
            _group: group,
            rtp,
            rtcp,
            clock_hz: media.params.clock_rate_hz(),
            packetizer: Packetizer::new(media.params.codec, payload_type, ssrc, rand::random()),
            base: rand::random(),
            next: rand::random(),
            report_at: None,
        });
        match to {
            Some(to) => {
                self.waiting = Some(Waiting::Bind(request.clone(), transport));
                self.wants.push_back(Want::Bind { stream: number, to });
            }
            None => self.reply_setup(request, &transport),
        }
        Ok(())
    }

    /// The first of the client's wishes that can be met. Other profiles than RTP/AVP (encryption
    /// and feedback have theirs) are none of them.
    fn choose(&self, wishes: &str) -> Result<(Transport, Option<Lease>), Refused> {
        for mut wish in Transport::alternatives(wishes) {
            if wish.mode.as_deref().is_some_and(|m| m != "PLAY") {
                continue;
            }
            let Transport { destination, port, ttl, .. } = wish;
            (wish.destination, wish.port, wish.ttl) = (None, None, None);
            match (wish.lower, wish.multicast, &self.config.multicast) {
                (Lower::Tcp, false, _) => return Ok((wish, None)),
                (Lower::Udp, false, _)
                    if self.datagrams_allowed
                        && wish.client_port.is_some_and(|(a, b)| a != 0 && b != 0) =>
                {
                    return Ok((wish, None));
                }
                (Lower::Udp, true, Some(groups))
                    if self.datagrams_allowed && self.peer.local.to_canonical().is_ipv4() =>
                {
                    let lease = groups.lease(destination, port, ttl);
                    let lease = lease.ok_or(Status::NOT_ENOUGH_BANDWIDTH)?;
                    let group = lease.group();
                    wish.client_port = None;
                    wish.destination = Some(group.address);
                    (wish.port, wish.ttl) = (Some(group.ports), Some(group.ttl));
                    return Ok((wish, Some(lease)));
                }
                _ => {}
            }
        }
        Err(Status::UNSUPPORTED_TRANSPORT.into())
    }

    pub(super) fn setup_bound(
        &mut self,
        request: &Request,
        mut transport: Transport,
        ports: std::io::Result<(u16, u16)>,
    ) {
        let Some(stream) = self.session.as_mut().and_then(|s| s.streams.last_mut()) else { return };
        match ports {
            Ok(ports) => {
                transport.server_port = Some(ports).filter(|_| !transport.multicast);
                stream.transport = transport.clone();
                self.reply_setup(request, &transport);
            }
            Err(error) => {
                tracing::warn!(%error, "no UDP ports");
                if let Some(session) = &mut self.session {
                    session.streams.pop();
                    if session.streams.is_empty() {
                        self.end_session();
                    }
                }
                self.refuse(request, Refused::from(Status::UNAVAILABLE));
            }
        }
    }

    /// R8.7-3: the timeout is in every answer to SETUP.
    fn reply_setup(&mut self, request: &Request, transport: &Transport) {
        let Some(session) = self.session.as_ref() else { return };
        let header = self.session_header(session);
        let in_request = request.fields.get("Session").is_some();
        self.reply(request, |r| {
            if !in_request {
                r.fields.push("Session", header);
            }
            r.fields.push("Transport", transport);
        });
    }
}
