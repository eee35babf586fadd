//! The HTTP interface, both generations: which path gets which answer.

mod alerts;
mod auth;
mod channels;
mod download;
mod identity;
mod log;
mod search;
mod session;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use dvrgate_testkit::Truth;
use dvrgate_testkit::chassis::http::{Outcome, Reply, Request, Service};
use futures::future::BoxFuture;

use crate::behaviour::{Profile, UnknownPath};
use crate::recorder::Recorder;
use crate::text;
use auth::Nonces;

pub(crate) use alerts::{Alert, part};

/// Answers HTTP requests.
pub(crate) struct Isapi {
    recorder: Arc<Recorder>,
    nonces: Nonces,
}

/// A refusal as the recorder words it.
pub(crate) struct Refusal {
    http: u16,
    code: u8,
    text: &'static str,
    sub: &'static str,
}

impl Refusal {
    pub(crate) const BUSY: Self = Self::of(503, 2, "Device Busy", "deviceBusy");
    pub(crate) const DEVICE_ERROR: Self = Self::of(500, 3, "Device Error", "deviceError");
    pub(crate) const TAG_13: Self =
        Self::of(500, 3, "Device Error", "Tag 13 is invalid (two root tags)");
    pub(crate) const NOT_SUPPORTED: Self = Self::of(403, 4, "Invalid Operation", "notSupport");
    pub(crate) const METHOD: Self = Self::of(403, 4, "Invalid Operation", "methodNotAllowed");
    pub(crate) const BAD_FORMAT: Self = Self::of(400, 5, "Invalid XML Format", "badXmlFormat");
    pub(crate) const BAD_CONTENT: Self = Self::of(400, 6, "Invalid XML Content", "badXmlContent");
    pub(crate) const BAD_PARAMETERS: Self =
        Self::of(400, 6, "Invalid XML Content", "badParameters");

    const fn of(http: u16, code: u8, text: &'static str, sub: &'static str) -> Self {
        Self { http, code, text, sub }
    }

    fn reply(&self, request: &Request) -> Reply {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ResponseStatus version=\"2.0\" \
             xmlns=\"http://www.isapi.org/ver20/XMLSchema\">\n<requestURL>{}</requestURL>\n\
             <statusCode>{}</statusCode>\n<statusString>{}</statusString>\n\
             <subStatusCode>{}</subStatusCode>\n</ResponseStatus>\n",
            text::escaped(request.path()),
            self.code,
            self.text,
            self.sub
        );
        Reply::new(self.http, "application/xml; charset=\"UTF-8\"", body)
    }
}

/// An answer or a refusal.
pub(crate) type Answer = Result<Reply, Refusal>;

/// A document with its declaration.
pub(crate) fn xml(body: String) -> Reply {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    Reply::new(200, "application/xml; charset=\"UTF-8\"", text)
}

/// `version` and `xmlns` of a root element in that generation.
pub(crate) fn namespace(profile: Profile) -> &'static str {
    match profile {
        Profile::PsiaDvr => "version=\"1.0\" xmlns=\"urn:psialliance-org\"",
        Profile::Dvr475 | Profile::Nvr430 => {
            "version=\"1.0\" xmlns=\"http://www.hikvision.com/ver20/XMLSchema\""
        }
        Profile::Ipc52 => "version=\"1.0\" xmlns=\"http://www.hikvision.com/ver10/XMLSchema\"",
        Profile::Nvr460 | Profile::Nvr50 => {
            "version=\"2.0\" xmlns=\"http://www.isapi.org/ver20/XMLSchema\""
        }
        Profile::Ipc57 => "version=\"2.0\" xmlns=\"http://www.hikvision.com/ver20/XMLSchema\"",
    }
}

/// What an unknown path of the web server shows.
const LOGIN_PAGE: &str = "<!doctype html>\n<html><head><title>Login</title></head>\
                          <body><div id=\"login\"></div></body></html>\n";

impl Isapi {
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self { recorder, nonces: Nonces::default() }
    }

    async fn answer(&self, request: Request) -> Outcome {
        let recorder = &self.recorder;
        if let Some(path) = request.path().strip_prefix("/-/") {
            return Outcome::Reply(self.inspect(path, &request));
        }
        let what = format!("{} {}", request.method, numbers_out(request.path()));
        recorder.counters.request(recorder.clock.now(), &what);
        let behaviour = recorder.behaviour();
        let Ok(_permit) = recorder.http_requests.try_acquire() else {
            return Outcome::Reply(Refusal::BUSY.reply(&request));
        };
        if behaviour.request_delay_ms > 0 {
            crate::tokio::sleep(Duration::from_millis(behaviour.request_delay_ms)).await;
        }
        if recorder.control.take_busy() {
            return Outcome::Reply(Refusal::BUSY.reply(&request));
        }
        let old = behaviour.profile == Profile::PsiaDvr;
        let prefix = if old { "/PSIA/" } else { "/ISAPI/" };
        let Some(path) = strip_prefix_ignoring_case(request.path(), prefix) else {
            return Outcome::Reply(self.unknown(&request));
        };
        let path = path.trim_end_matches('/').to_owned();
        if let Some(outcome) = session::answer(recorder, &self.nonces, &path, &request) {
            return outcome;
        }
        let checks_user = path.ends_with("userCheck");
        if checks_user && request.header("authorization").is_none() {
            // Shows the standing without spending an attempt.
            let user = recorder.device.username.clone();
            let body = auth::user_check(recorder, &request, &user, false);
            return match auth::admit(recorder, &self.nonces, &request) {
                Some(Outcome::Reply(mut reply)) => {
                    reply.body = dvrgate_testkit::chassis::http::Body::Whole(body.into());
                    Outcome::Reply(reply)
                }
                other => other.unwrap_or(Outcome::Drop),
            };
        }
        if let Some(refused) = auth::admit(recorder, &self.nonces, &request) {
            return refused;
        }
        let answer = if old {
            self.old_interface(&path, &request).await
        } else {
            self.interface(&path, &request).await
        };
        Outcome::Reply(match answer {
            Some(Ok(reply)) => reply,
            Some(Err(refusal)) => refusal.reply(&request),
            None => self.unknown(&request),
        })
    }

    /// The interface of today; none for a path that it does not have.
    async fn interface(&self, path: &str, request: &Request) -> Option<Answer> {
        let r = &self.recorder;
        let behaviour = r.behaviour();
        let parts: Vec<&str> = path.split('/').collect();
        let method = request.method.as_str();
        Some(match (method, parts.as_slice()) {
            (_, ["Security", "userCheck"]) => {
                Ok(xml(auth::user_check(r, request, &r.device.username, true)))
            }
            ("GET", ["Security", "adminAccesses"]) => Ok(identity::admin_accesses(r, request)),
            ("GET", ["Security", "illegalLoginLock"]) => Ok(identity::login_lock(r)),
            ("GET", ["System", "deviceInfo"]) => Ok(identity::device_info(r)),
            ("GET", ["System", "capabilities"]) => Ok(identity::capabilities(r)),
            ("GET", ["System", "status"]) => Ok(identity::status(r)),
            ("GET", ["System", "time"]) => Ok(identity::time(r)),
            ("GET", ["System", "time", "localTime"]) => Ok(identity::local_time(r)),
            ("GET", ["System", "time", "timeZone"]) => Ok(identity::time_zone(r)),
            ("GET", ["System", "Video", "inputs", "channels"]) => channels::analogue(r),
            ("GET", ["ContentMgmt", "InputProxy", "channels"]) => channels::cameras(r),
            ("GET", ["ContentMgmt", "InputProxy", "channels", "status"]) => {
                if !behaviour.camera_status {
                    return None;
                }
                channels::camera_status(r)
            }
            ("GET", ["Streaming", "channels"]) => Ok(channels::streams(r)),
            ("GET", ["Streaming", "channels", id]) => channels::stream(r, id),
            ("GET", ["ContentMgmt", "record", "tracks"]) => Ok(storage::tracks(r)),
            ("POST", ["ContentMgmt", "record", "tracks", id, "dailyDistribution"]) => {
                if !behaviour.calendar {
                    return Some(Err(Refusal::NOT_SUPPORTED));
                }
                search::calendar(r, id, request)
            }
            ("GET", ["ContentMgmt", "Storage"]) => Ok(storage::disks(r)),
            ("POST", ["ContentMgmt", "search"]) => search::search(r, request),
            (_, ["ContentMgmt", "search"]) => Err(Refusal::METHOD),
            ("POST", ["ContentMgmt", "logSearch"]) if behaviour.log => log::search(r, request),
            ("POST", ["ContentMgmt", "SmartSearch" | "smartSearch"]) => {
                Err(if behaviour.profile == Profile::Dvr475 {
                    Refusal::BAD_FORMAT
                } else {
                    Refusal::NOT_SUPPORTED
                })
            }
            (_, ["ContentMgmt", "download"]) => download::download(r, request),
            ("GET", ["Event", "triggers"]) => Ok(alerts::triggers(r)),
            ("GET", ["Event", "triggers", id]) => alerts::trigger(r, id),
            ("GET", ["Event", "notification", "alertStream"]) => alerts::stream(r),
            _ => return None,
        })
    }

    /// The interface of about 2010.
    async fn old_interface(&self, path: &str, request: &Request) -> Option<Answer> {
        let r = &self.recorder;
        let parts: Vec<&str> = path.split('/').collect();
        Some(match (request.method.as_str(), parts.as_slice()) {
            (_, ["Custom", "SelfExt", "userCheck"]) => {
                Ok(xml(auth::user_check(r, request, &r.device.username, true)))
            }
            ("GET", ["Security", "AAA", "adminAccesses"]) => {
                Ok(identity::admin_accesses(r, request))
            }
            ("GET", ["System", "deviceInfo"]) => Ok(identity::device_info(r)),
            ("GET", ["System", "time"]) => Ok(identity::time(r)),
            ("GET", ["System", "Video", "inputs", "channels"]) => channels::analogue(r),
            (
                "GET",
                ["Custom", "SelfExt", "ContentMgmt", "DynVideo", "inputs", "channels", "status"],
            ) => Ok(channels::old_cameras(r)),
            ("GET", ["Streaming", "channels"]) => Ok(channels::streams(r)),
            ("GET", ["Streaming", "channels", id]) => channels::stream(r, id),
            ("GET", ["ContentMgmt", "record", "tracks"]) => Ok(storage::tracks(r)),
            ("POST", ["ContentMgmt", "search"]) => search::search(r, request),
            ("POST", ["Custom", "SelfExt", "ContentMgmt", "download"]) => {
                download::download(r, request)
            }
            _ => return None,
        })
    }

    fn unknown(&self, request: &Request) -> Reply {
        match self.recorder.behaviour().unknown_path {
            UnknownPath::NotFound => Reply::new(404, "text/html", "<html>Not Found</html>\n"),
            UnknownPath::Html => Reply::new(200, "text/html", LOGIN_PAGE),
            UnknownPath::RefusalUnderOk => {
                let mut reply = Refusal::NOT_SUPPORTED.reply(request);
                reply.status = 200;
                reply
            }
        }
    }

    /// Not the recorder's: what tests of other programs ask.
    fn inspect(&self, path: &str, request: &Request) -> Reply {
        let r = &self.recorder;
        let json = |value: serde_json::Result<String>| match value {
            Ok(text) => Reply::new(200, "application/json", text),
            Err(error) => Reply::new(500, "text/plain", error.to_string()),
        };
        match (request.method.as_str(), path) {
            ("GET", "truth") => json(serde_json::to_string(&Truth::of(&r.archive, r.now()))),
            ("GET", "counters") => json(serde_json::to_string(&r.counters.read())),
            ("GET", "faults") => json(serde_json::to_string(&r.control.faults())),
            ("POST", "faults") => match serde_json::from_slice(&request.body) {
                Ok(faults) => {
                    r.control.change(|f| *f = faults);
                    json(serde_json::to_string(&r.control.faults()))
                }
                Err(error) => Reply::new(400, "text/plain", error.to_string()),
            },
            ("POST", "overwrite") => match String::from_utf8_lossy(&request.body).trim().parse() {
                Ok(before) => {
                    r.archive.overwrite_before(before);
                    Reply::new(200, "text/plain", "ok")
                }
                Err(error) => Reply::new(400, "text/plain", error.to_string()),
            },
            _ => Reply::new(404, "text/plain", "truth, counters, faults, overwrite"),
        }
    }
}

impl Service for Isapi {
    fn call(&self, request: Request) -> BoxFuture<'_, Outcome> {
        Box::pin(self.answer(request))
    }
}

/// A path with numbers taken out, to count by.
fn numbers_out(path: &str) -> String {
    let part = |p: &str| match p.bytes().all(|b| b.is_ascii_digit()) && !p.is_empty() {
        true => "#".to_owned(),
        false => p.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}
