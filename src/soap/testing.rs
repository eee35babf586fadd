//! Drives one service in a host of its own, without sockets: for the tests of services.

#![allow(clippy::unwrap_used)] // as in a test: what cannot be read ends it

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use dvrgate_auth::{DigestSettings, Level, TextPasswords, TokenSettings, User, Users};
use dvrgate_model::ports::Clock;

use crate::{Door, Element, Host, Limits, Origin, Service, Simple as _, ns};

/// A client of a service that speaks as `admin`, an administrator. There is a `viewer` as well, who
/// may only look.
#[derive(Debug)]
pub struct Client {
    host: Arc<Host>,
    namespace: &'static str,
    path: &'static str,
    origin: Origin,
    nonce: AtomicU32,
}

const TEXT_PASSWORD: &str = "http://docs.oasis-open.org/wss/2004/01/\
     oasis-200401-wss-username-token-profile-1.0#PasswordText";

impl Client {
    /// Of a service that is alone in its host.
    pub fn new(service: Service, clock: Arc<dyn Clock>) -> Self {
        let user = |name: &str, level| User { name: name.into(), level, password: "pw".into() };
        let users = vec![user("admin", Level::Administrator), user("viewer", Level::User)];
        let tokens = TokenSettings { text: TextPasswords::Accept, ..TokenSettings::default() };
        let users = Users::new(users).unwrap();
        let door = Door::new("test", users, DigestSettings::default(), tokens);
        let (namespace, path) = (service.namespace(), service.path());
        let here = "127.0.0.1:80".parse().unwrap();
        Self {
            host: Host::new(vec![service], door, clock),
            namespace,
            path,
            origin: Origin::new(here, here, false, None, None),
            // Four digits are valid base64.
            nonce: AtomicU32::new(1000),
        }
    }

    /// The same client, coming from elsewhere.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Sends the content of a request element and returns the response element, or the innermost
    /// subcode of the fault. Content may use the prefixes of [`ns::KNOWN`].
    ///
    /// # Panics
    ///
    /// Where the answer is not an envelope.
    pub async fn ask(&self, operation: &str, content: &str) -> Result<Element, String> {
        self.ask_as(Some("admin"), operation, content).await
    }

    /// The same as somebody else, or without credentials.
    ///
    /// # Panics
    ///
    /// Where the answer is not an envelope.
    pub async fn ask_as(
        &self,
        user: Option<&str>,
        operation: &str,
        content: &str,
    ) -> Result<Element, String> {
        let envelope = self.envelope(user, operation, content);
        let request = http::Request::post(self.path)
            .header(http::header::CONTENT_TYPE, "application/soap+xml")
            .body(Bytes::from(envelope))
            .unwrap();
        let response = self.host.answer(request, self.origin.clone()).await;
        let root = Element::parse(response.body(), &Limits::default()).unwrap();
        let body = root.child(ns::ENV, "Body").unwrap().elements().next().unwrap().clone();
        if !body.is(ns::ENV, "Fault") {
            assert!(body.is(self.namespace, &format!("{operation}Response")), "{}", body.to_xml());
            return Ok(body);
        }
        let mut code = body.child(ns::ENV, "Code").unwrap();
        while let Some(sub) = code.child(ns::ENV, "Subcode") {
            code = sub;
        }
        Err(code.child_text(ns::ENV, "Value").unwrap().into_owned())
    }

    fn envelope(&self, user: Option<&str>, operation: &str, content: &str) -> String {
        let mut prefixes = String::new();
        for (prefix, uri) in ns::KNOWN {
            // Writing to a String cannot fail.
            let _ = write!(prefixes, " xmlns:{prefix}=\"{uri}\"");
        }
        let header = user.map_or_else(String::new, |user| {
            // Each token needs a nonce of its own.
            let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
            let created = self.host.clock().utc().format();
            format!(
                "<wsse:Security><wsse:UsernameToken><wsse:Username>{user}</wsse:Username>\
                 <wsse:Password Type=\"{TEXT_PASSWORD}\">pw</wsse:Password>\
                 <wsse:Nonce>{nonce}</wsse:Nonce><wsu:Created>{created}</wsu:Created>\
                 </wsse:UsernameToken></wsse:Security>"
            )
        });
        let namespace = self.namespace;
        format!(
            "<env:Envelope{prefixes}><env:Header>{header}</env:Header><env:Body>\
             <own:{operation} xmlns:own=\"{namespace}\">{content}</own:{operation}>\
             </env:Body></env:Envelope>"
        )
    }
}
