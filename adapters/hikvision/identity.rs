//! What the device is: generation of its interface, identity, channels.

use dvrgate_adapter::Cx;
use dvrgate_adapter::transport::HttpRequest;
use dvrgate_model::{Error, ErrorKind, Identity, Result, StreamKind};

use crate::adapter::Hikvision;
use crate::convert::{self, Numbering, track_id};
use crate::wire::device_info::{self, DeviceInfo};
use crate::wire::xml::Element;
use crate::wire::{Failure, Generation, WireError, access, channels, storage, streams, tracks};

impl Hikvision {
    /// The flavour of the interface: tried once, then remembered.
    pub(crate) async fn generation(&self, cx: &Cx) -> Result<Generation> {
        match self.learnt(|l| l.generation) {
            Some(generation) => Ok(generation),
            None => self.probe(cx).await.map(|(generation, _)| generation),
        }
    }

    /// Asks for the device information in each flavour until one answers.
    async fn probe(&self, cx: &Cx) -> Result<(Generation, DeviceInfo)> {
        self.refuse_if_locked(cx).await?;
        let mut last = None;
        for generation in Generation::ALL {
            match self.ask(cx, device_info::request(generation), device_info::parse).await? {
                Ok(info) => {
                    tracing::debug!(device = %self.settings.id, ?generation, model = info.model, "found the interface");
                    self.learnt(|l| {
                        l.generation = Some(generation);
                        l.info = info.clone();
                    });
                    return Ok((generation, info));
                }
                Err(Failure::Refused(r)) if !r.is_absent() => return Err(self.refused(&r)),
                Err(other) => last = Some(self.failed(other)),
            }
        }
        let message = "no interface of this family answers here; check address and port";
        let e = Error::new(ErrorKind::Unsupported, message);
        Err(last.into_iter().fold(e, |e, cause| e.because(cause)))
    }

    pub(crate) async fn identity(&self, cx: &Cx) -> Result<Identity> {
        // Known or not, it is asked: an exchanged device must be noticed.
        let known = self.learnt(|l| l.generation);
        let (g, info) = match known {
            Some(g) => (g, self.get(cx, device_info::request(g), device_info::parse).await?),
            None => self.probe(cx).await?,
        };
        let analogue =
            self.list(cx, channels::analogue_request(g), channels::parse_analogue).await?;
        let cameras = self.list(cx, channels::proxy_request(g), channels::parse_proxy).await?;
        let status = match cameras.is_empty() {
            true => Vec::new(),
            false => {
                self.extra(cx, channels::proxy_status_request(g), channels::parse_proxy).await?
            }
        };
        let mut streams_seen = self.extra(cx, streams::request(g), streams::parse).await?;
        let missing = cameras.iter().any(|c| streams_seen.iter().all(|s| s.id / 100 != c.id));
        if missing {
            streams_seen.extend(self.extra(cx, streams::proxy_request(g), streams::parse).await?);
        }
        let tracks = self.extra(cx, tracks::request(g), tracks::parse).await?;
        let volumes = self.extra(cx, storage::request(g), storage::parse).await?;
        if !volumes.is_empty() && !volumes.iter().any(storage::Volume::records) {
            tracing::warn!(device = %self.settings.id, "no disk of the recorder can record");
        }
        let port = self.extra(cx, access::request(g), access::parse_rtsp_port).await?;

        let list = convert::channels(&analogue, &cameras, &status, &streams_seen, &tracks);
        if list.is_empty() {
            return Err(Error::malformed("the device lists no channel"));
        }
        let mut in_use: Vec<_> = list.iter().filter(|c| c.online != Some(false)).collect();
        in_use.sort_by_key(|c| c.recording != Some(true));
        let main = in_use.iter().map(|c| track_id(c.id, StreamKind::Main)).collect();
        self.learnt(|l| {
            l.info = info.clone();
            l.numbering = Numbering::new(&analogue, &cameras);
            l.tracks = main;
            l.rtsp_port = port;
        });
        Ok(Identity {
            firmware: info.version(),
            model: info.model,
            serial: info.serial,
            manufacturer: info.manufacturer,
            name: info.name,
            channels: list,
        })
    }

    /// A list without which channels would be missing: empty only where the model lacks it.
    async fn list<T>(
        &self,
        cx: &Cx,
        request: HttpRequest,
        parse: fn(&Element) -> Result<Vec<T>, WireError>,
    ) -> Result<Vec<T>> {
        match self.ask(cx, request, parse).await? {
            Ok(list) => Ok(list),
            Err(Failure::Refused(r)) if r.is_absent() => Ok(Vec::new()),
            Err(Failure::Unreadable(WireError::WebPage)) => Ok(Vec::new()),
            Err(other) => Err(self.failed(other)),
        }
    }

    /// Something that only adds to the picture: whatever the device says, it goes on without.
    async fn extra<T: Default>(
        &self,
        cx: &Cx,
        request: HttpRequest,
        parse: fn(&Element) -> Result<T, WireError>,
    ) -> Result<T> {
        let path = request.path.clone();
        Ok(self.ask(cx, request, parse).await?.unwrap_or_else(|failure| {
            let why = self.failed(failure);
            tracing::debug!(device = %self.settings.id, path, %why, "going on without");
            T::default()
        }))
    }
}
