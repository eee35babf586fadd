//! Footage: by download where a listed file is named, else by RTSP.
//!
//! Of a listed file only the wanted part is asked for, by rewriting the times in its URI. Some
//! firmware refuses that, some ignores it; both are noticed once and remembered.

use dvrgate_adapter::{Cx, Footage, FootageBody, FootageRequest};
use dvrgate_model::{Civil, Error, ErrorKind, Result, SourceRange};

use crate::adapter::Hikvision;
use crate::clock::DeviceNow;
use crate::container;
use crate::download::Opened;
use crate::policy::{DownloadPolicy, WindowPolicy};
use crate::wire::datetime;
use crate::wire::errors::Refusal;
use crate::wire::uri::PlaybackUri;

/// Footage that begins this much before what was asked for was not cut at all.
const IGNORED_US: i64 = 60_000_000;
/// Files up to this length are fetched whole where they cannot be cut.
const WHOLE_FILE_US: i64 = 15 * 60_000_000;
const SECOND_US: i64 = 1_000_000;

/// A way to ask for a listed file.
struct Choice {
    uri: PlaybackUri,
    /// First reading asked for.
    start: Option<Civil>,
    rewritten: bool,
}

impl Hikvision {
    pub(crate) async fn footage(&self, cx: &Cx, request: FootageRequest) -> Result<Footage> {
        let uri = match &request.locator {
            None => None,
            Some(l) => {
                let text = std::str::from_utf8(&l.0).ok();
                let uri = text.and_then(|t| PlaybackUri::parse(t).ok());
                Some(uri.ok_or_else(|| Error::invalid("not a locator of this adapter"))?)
            }
        };
        let now = self.now(cx).await?;
        let downloads =
            self.policy.download != DownloadPolicy::Never && !self.learnt(|l| l.no_download);
        if let Some(uri) = uri.as_ref().filter(|_| downloads)
            && let Some(footage) = self.by_download(cx, uri, request.window, &now).await?
        {
            return Ok(footage);
        }
        self.by_rtsp(cx, &request, uri, now.wall_ahead_us).await
    }

    /// `None` where the device does not give this by download, but may by RTSP.
    async fn by_download(
        &self,
        cx: &Cx,
        uri: &PlaybackUri,
        window: SourceRange,
        now: &DeviceNow,
    ) -> Result<Option<Footage>> {
        for choice in self.choices(uri, window) {
            match self.download(cx, &choice.uri).await? {
                Ok(opened) if choice.rewritten && was_ignored(&opened, &choice, now) => {
                    tracing::debug!(device = %self.settings.id, "the device does not cut its files");
                    self.learnt(|l| l.rewriting = Some(false));
                }
                Ok(opened) => {
                    if choice.rewritten {
                        self.learnt(|l| l.rewriting = Some(true));
                    }
                    let body = FootageBody::Bytes(opened.into_stream(), container::format());
                    let what = choice.uri.text();
                    return Ok(Some(Footage { body, what, start: choice.start }));
                }
                Err(r) if is_busy(&r) => {
                    self.lose_session();
                    return Err(self.refused(&r).with("what", choice.uri.text()));
                }
                Err(r) if r.lock.is_some() || r.http == 401 || r.is(&["lowPrivilege"]) => {
                    return Err(self.refused(&r));
                }
                Err(r) => {
                    tracing::debug!(device = %self.settings.id, refusal = %self.refused(&r), rewritten = choice.rewritten, "no download");
                    self.learnt(|l| {
                        let never = l.download.is_none() && r.is_absent() && r.http != 404;
                        l.no_download |= never && !choice.rewritten;
                    });
                }
            }
        }
        Ok(None)
    }

    /// The ways to ask for a part of a file, the best first.
    fn choices(&self, uri: &PlaybackUri, window: SourceRange) -> Vec<Choice> {
        let read = |name| uri.value(name).and_then(datetime::parse).map(|(c, _)| c);
        let (first, last) = (read("starttime"), read("endtime"));
        let whole = || Choice { uri: uri.clone(), start: first, rewritten: false };
        let (Some(first), Some(last)) = (first, last) else { return vec![whole()] };
        let start = floor(window.start).max(first);
        let end = floor(window.end.plus_us(SECOND_US - 1)).max(start.plus_us(SECOND_US));
        // The listed end of a file that grows is behind; one that does not is never exceeded by
        // more than the second that its listing adds.
        if start <= first && end >= last && end <= last.plus_us(2 * SECOND_US) {
            return vec![whole()];
        }
        let part = Choice { uri: uri.with_window(start, end), start: Some(start), rewritten: true };
        let is_short = last.micros_as_if_utc() - first.micros_as_if_utc() <= WHOLE_FILE_US;
        let cuts = match self.policy.window {
            WindowPolicy::Auto => self.learnt(|l| l.rewriting) != Some(false),
            WindowPolicy::Rewrite => true,
            WindowPolicy::Issued => false,
        };
        let mut choices = Vec::new();
        choices.extend(cuts.then_some(part));
        choices.extend((is_short && self.policy.window != WindowPolicy::Rewrite).then(whole));
        choices
    }
}

fn floor(c: Civil) -> Civil {
    c.plus_us(-c.micros_as_if_utc().rem_euclid(SECOND_US))
}

/// Whether the clock inside says that the footage begins long before what was asked for.
fn was_ignored(opened: &Opened, choice: &Choice, now: &DeviceNow) -> bool {
    let (Some(clock), Some(start)) = (container::first_clock(&opened.head), choice.start) else {
        return false;
    };
    clock.plus_us(-now.wall_ahead_us + IGNORED_US) < start
}

fn is_busy(r: &Refusal) -> bool {
    r.http == 503 || r.code == 2 || r.is(&["deviceBusy", "serviceUnavailable"])
}

/// What RTSP's refusals mean where a session was asked for.
pub(crate) fn is_out_of_sessions(e: &Error) -> bool {
    e.kind() == ErrorKind::Busy
}
