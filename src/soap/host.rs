//! The SOAP host: from an HTTP request to an HTTP response, without a socket.
//!
//! Order of events: method, media type, envelope, operation, access, handler. HTTP errors before a
//! SOAP message is there, faults afterwards (ONVIF Core 5.8.2.4).

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dvrgate_auth::{Identity, Refusal};
use dvrgate_model::ports::Clock;
use futures::FutureExt as _;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::access::Access;
use crate::door::{Denied, Door, Shown};
use crate::envelope::{self, Addressing, Envelope};
use crate::origin::Origin;
use crate::service::{Call, Operation, Reply, Service};
use crate::{Element, Fault, Limits, ns};

/// Services at their paths, behind one door.
pub struct Host {
    services: Vec<Service>,
    door: Door,
    clock: Arc<dyn Clock>,
    limits: Limits,
    counters: Counters,
}

/// What happened so far, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that reached a service's path.
    pub requests: AtomicU64,
    /// Answers that were faults, refusals not counted.
    pub faults: AtomicU64,
    /// Requests turned away for their credentials.
    pub refused: AtomicU64,
}

impl Host {
    /// A host of these services.
    pub fn new(services: Vec<Service>, door: Door, clock: Arc<dyn Clock>) -> Arc<Self> {
        let limits = Limits::default();
        Arc::new(Self { services, door, clock, limits, counters: Counters::default() })
    }

    /// All services, in the order in which GetServices lists them.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of a namespace.
    pub fn service(&self, namespace: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.namespace() == namespace)
    }

    /// Who can log in.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a path belongs to a service.
    pub fn serves(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    fn at(&self, path: &str) -> Option<&Service> {
        self.services.iter().find(|s| {
            path.strip_prefix(s.path()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Answers a request whose body has been read.
    pub async fn answer(
        self: &Arc<Self>,
        request: Request<Bytes>,
        origin: Origin,
    ) -> Response<Bytes> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        if request.method() != Method::POST {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if request.body().is_empty() {
            return self.empty(&request);
        }
        if !is_soap(request.headers().get(CONTENT_TYPE)) {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let envelope = match Envelope::parse(request.body(), &self.limits) {
            Ok(envelope) => envelope,
            Err(fault) => return self.fault(&Addressing::default(), &fault),
        };
        let origin = Arc::new(origin);
        let addressing = Arc::new(envelope.addressing.clone());
        let Some(operation) = self.operation(request.uri().path(), &envelope.body) else {
            return self.fault(&addressing, &self.unknown(&envelope.body));
        };
        let identity = match self.admit(operation, &request, &envelope, &origin) {
            Ok(identity) => identity,
            Err(refused) => return self.refuse(&addressing, refused),
        };
        let call = Call {
            identity,
            request: Arc::new(envelope.body),
            origin,
            path: request.uri().path().into(),
            addressing: Arc::clone(&addressing),
            host: Arc::clone(self),
        };
        match self.run(operation, call).await {
            Ok(body) => xml(StatusCode::OK, &envelope::reply(&addressing, body)),
            Err(fault) => self.fault(&addressing, &fault),
        }
    }

    /// A request without a body: some clients send it in order to be challenged, and the real one
    /// with what they learned.
    fn empty(&self, request: &Request<Bytes>) -> Response<Bytes> {
        if request.headers().contains_key(AUTHORIZATION) {
            return plain(StatusCode::BAD_REQUEST);
        }
        let challenges = self.door.digest().challenge(self.clock.utc());
        let denied = Denied::Challenge(challenges, Refusal::Missing);
        self.refuse(&Addressing::default(), Refused::Denied(denied))
    }

    /// Runs an operation of another service on behalf of the caller, so that GetServices shows exactly
    /// what GetServiceCapabilities answers. Only for operations without log-in.
    pub async fn ask(
        self: &Arc<Self>,
        call: &Call,
        ns: &'static str,
        operation: &'static str,
    ) -> Reply {
        let request = Element::new(ns, operation);
        let row = self
            .service(ns)
            .and_then(|s| s.find(request.name()))
            .filter(|row| row.access == Access::PreAuth)
            .ok_or_else(|| Fault::not_supported(operation))?;
        self.run(row, Call { request: Arc::new(request), ..call.clone() }).await
    }

    /// By path first; by the name alone for clients that send everything to one address.
    fn operation(&self, path: &str, body: &Element) -> Option<&Operation> {
        let here = self.at(path).and_then(|s| s.find(body.name()));
        here.or_else(|| self.services.iter().find_map(|s| s.find(body.name())))
    }

    fn unknown(&self, body: &Element) -> Fault {
        let name = body.name();
        if self.service(&name.ns).is_some() {
            // R5.24x-6 and RH1-6: a fault, never an HTTP error page.
            return Fault::not_supported(&name.local);
        }
        Fault::sender("UnknownAction", format!("no service here knows {name}"))
    }

    fn admit(
        &self,
        operation: &Operation,
        request: &Request<Bytes>,
        envelope: &Envelope,
        origin: &Origin,
    ) -> Result<Identity, Refused> {
        // Not even looked at: a client with a wrong clock must be able to ask for the time.
        if operation.access == Access::PreAuth {
            return Ok(Identity::anonymous());
        }
        let target = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let shown = Shown {
            method: request.method().as_str(),
            target,
            // A header that is not text is there all the same, and wrong.
            authorization: request.headers().get(AUTHORIZATION).map(|v| v.to_str().unwrap_or("?")),
            security: envelope.security.as_ref(),
            origin,
        };
        let identity =
            self.door.admit(&shown, self.clock.utc(), self.clock.now()).map_err(Refused::Denied)?;
        if operation.access.allows(identity.level) {
            return Ok(identity);
        }
        Err(Refused::Level(identity, operation.access))
    }

    async fn run(&self, operation: &Operation, call: Call) -> Reply {
        let (peer, user) = (call.origin.peer, Arc::clone(&call.identity.name));
        let name = &operation.name.local;
        // A bug in one operation must not take the connection with it.
        let reply = AssertUnwindSafe(async { operation.run(call).await }).catch_unwind().await;
        match reply {
            Ok(reply) => {
                tracing::debug!(%peer, %user, operation = %name, ok = reply.is_ok(), "soap");
                reply
            }
            Err(_) => {
                tracing::error!(%peer, %user, operation = %name, "the operation panicked");
                Err(Fault::receiver("Action", format!("{name} failed")))
            }
        }
    }

    fn fault(&self, addressing: &Addressing, fault: &Fault) -> Response<Bytes> {
        self.counters.faults.fetch_add(1, Ordering::Relaxed);
        let mut response = xml(fault.status(), &envelope::fault(addressing, fault));
        if let Some(after) = fault.retry_after() {
            // Rounded up: an early try would be refused again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn refuse(&self, addressing: &Addressing, refused: Refused) -> Response<Bytes> {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let (challenges, fault) = match refused {
            Refused::Denied(Denied::Challenge(challenges, refusal)) => {
                let fault = Fault::not_authorized(reason(&refusal));
                (challenges, fault.with_status(StatusCode::UNAUTHORIZED))
            }
            Refused::Denied(Denied::Token(refusal)) => {
                (Vec::new(), Fault::not_authorized(reason(&refusal)))
            }
            Refused::Denied(Denied::Wait(wait)) => {
                let fault = Fault::not_authorized("too many wrong passwords, wait a little")
                    .with_status(StatusCode::TOO_MANY_REQUESTS)
                    .with_retry_after(wait);
                (Vec::new(), fault)
            }
            Refused::Level(identity, access) => {
                let (name, level, access) = (&identity.name, identity.level.name(), access.name());
                let text = format!("{name} is of level {level}, which does not allow {access}");
                (Vec::new(), Fault::not_authorized(text))
            }
        };
        let mut response = self.fault(addressing, &fault);
        self.counters.faults.fetch_sub(1, Ordering::Relaxed);
        for challenge in challenges {
            if let Ok(value) = HeaderValue::from_str(&challenge) {
                response.headers_mut().append(WWW_AUTHENTICATE, value);
            }
        }
        response
    }
}

enum Refused {
    Denied(Denied),
    Level(Identity, Access),
}

/// Says no more than the client has to know; whether the user exists is not among it.
fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Wrong { .. } => "unknown user or wrong password".to_owned(),
        Refusal::Stale => {
            "the credentials are too old or were used before; compare your clock".to_owned()
        }
        other => other.to_string(),
    }
}

/// Lenient: what calls itself XML is read, and so is what does not say what it is.
fn is_soap(content_type: Option<&HeaderValue>) -> bool {
    let Some(value) = content_type else { return true };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    ["application/soap+xml", "text/xml", "application/xml", ""].contains(&essence.as_str())
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn xml(status: StatusCode, envelope: &Element) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(envelope.to_xml()));
    *response.status_mut() = status;
    let kind = match envelope.name().ns == ns::ENV_1_1 {
        true => "text/xml; charset=utf-8",
        false => "application/soap+xml; charset=utf-8",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("services", &self.services).finish_non_exhaustive()
    }
}

/// The path that is the same on every device (ONVIF Core 5.1.1; RH1-1).
pub const DEVICE_SERVICE_PATH: &str = "/onvif/device_service";

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
