//! Footage by HTTP: the requests in their order until one is answered with footage.

use bytes::{Bytes, BytesMut};
use dvrgate_adapter::transport::{HttpRequest, HttpStream};
use dvrgate_adapter::{ByteStream, Cx};
use dvrgate_model::Result;
use futures::{StreamExt, stream};
use http::StatusCode;

use crate::adapter::Hikvision;
use crate::container;
use crate::policy::DownloadPolicy;
use crate::wire::download::{self, DownloadMethod, MAX_REFUSAL_BYTES, Opening};
use crate::wire::errors::Refusal;
use crate::wire::uri::PlaybackUri;
use crate::wire::xml::Element;

/// The head of a download: enough for envelope, system header and the first map.
const HEAD_BYTES: usize = 8 * 1024;

/// A download that gives footage.
pub(crate) struct Opened {
    /// Its first bytes, looked at already.
    pub(crate) head: Bytes,
    /// What follows them.
    body: ByteStream,
}

impl Opened {
    /// All of it.
    pub(crate) fn into_stream(self) -> ByteStream {
        stream::once(async move { Ok(self.head) }).chain(self.body).boxed()
    }
}

/// What became of one request.
enum Attempt {
    Footage(Opened),
    Refused(Refusal),
    /// 200 and nothing: the wrong method, or nothing recorded.
    Empty,
    /// The connection ended after the headers.
    Dropped,
}

impl Hikvision {
    /// Opens a download. The inner result is what the device said: a refusal, or that it has
    /// nothing.
    pub(crate) async fn download(
        &self,
        cx: &Cx,
        uri: &PlaybackUri,
    ) -> Result<Result<Opened, Refusal>> {
        let g = self.generation(cx).await?;
        let methods = match (self.policy.download, self.learnt(|l| l.download)) {
            (DownloadPolicy::Never, _) => Vec::new(),
            (DownloadPolicy::Only(m), _) | (_, Some(m)) => vec![m],
            (DownloadPolicy::Auto, None) => DownloadMethod::ALL.to_vec(),
        };
        let mut said = None;
        for method in methods {
            let request = download::request(g, method, uri);
            match self.attempt(cx, request).await? {
                Attempt::Footage(opened) => {
                    self.learnt(|l| l.download = Some(method));
                    return Ok(Ok(opened));
                }
                // What the device says about its state holds for every method.
                Attempt::Refused(r) if r.http == 503 || r.code == 2 || r.lock.is_some() => {
                    return Ok(Err(r));
                }
                Attempt::Refused(r) => {
                    said.get_or_insert(r);
                }
                Attempt::Empty | Attempt::Dropped => {}
            }
        }
        let nothing =
            || Refusal { http: 404, text: "nothing was sent".into(), ..Refusal::default() };
        Ok(Err(said.unwrap_or_else(nothing)))
    }

    /// One request, and once more where the connection was dropped after the headers.
    async fn attempt(&self, cx: &Cx, request: HttpRequest) -> Result<Attempt> {
        let answer = self.stream(cx, request.clone()).await?;
        match opening(answer).await? {
            Attempt::Dropped => {
                tracing::debug!(device = %self.settings.id, "a download was dropped after its headers; asking again");
                opening(self.stream(cx, request).await?).await
            }
            other => Ok(other),
        }
    }
}

/// Reads as much of an answer as tells what it is.
async fn opening(answer: HttpStream) -> Result<Attempt> {
    let HttpStream { status, headers, mut body } = answer;
    let announced = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let mut head = BytesMut::new();
    loop {
        let next = body.next().await;
        let (complete, broken) = match next {
            Some(Ok(bytes)) => {
                head.extend_from_slice(&bytes);
                (false, false)
            }
            Some(Err(_)) => (true, true),
            None => (true, false),
        };
        if !status.is_success() {
            if complete || head.len() > MAX_REFUSAL_BYTES {
                return Ok(refused(status, &head));
            }
            continue;
        }
        if complete && head.is_empty() {
            let dropped = broken || announced.is_some_and(|n| n > 0);
            return Ok(if dropped { Attempt::Dropped } else { Attempt::Empty });
        }
        match download::judge(status, &head, complete) {
            Opening::Refused(r) => return Ok(Attempt::Refused(r)),
            Opening::Empty => return Ok(Attempt::Empty),
            Opening::Undecided => {}
            Opening::Footage if complete || head.len() >= HEAD_BYTES || has_clock(&head) => {
                container::check_opening(&head)?;
                // A connection that broke breaks the stream too.
                let rest = if broken { stream::once(async { Err(lost()) }).boxed() } else { body };
                return Ok(Attempt::Footage(Opened { head: head.freeze(), body: rest }));
            }
            Opening::Footage => {}
        }
    }
}

fn lost() -> dvrgate_model::Error {
    dvrgate_model::Error::new(dvrgate_model::ErrorKind::Unreachable, "the download broke off")
}

fn has_clock(head: &[u8]) -> bool {
    container::first_clock(head).is_some()
}

fn refused(status: StatusCode, body: &[u8]) -> Attempt {
    let document = Element::parse(body).ok();
    Attempt::Refused(Refusal::of(status, document.as_ref()).unwrap_or_default())
}
