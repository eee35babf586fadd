//! A small host for the tests of this crate.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use dvrgate_auth::{DigestSettings, Level, TokenSettings, User, Users};
use dvrgate_model::Utc;
use dvrgate_model::ports::Clock;
use tokio::sync::Semaphore;

use crate::{Access, Call, Door, Element, Fault, Host, Service, Version, ns};

pub(crate) const NAMESPACE: &str = "urn:test";

#[derive(Debug)]
pub(crate) struct Frozen(Instant);

impl Clock for Frozen {
    fn utc(&self) -> Utc {
        "2026-11-25T12:00:00Z".parse().unwrap()
    }

    fn now(&self) -> Instant {
        self.0
    }
}

/// Told by the operation `Wait` that it runs, and telling it to end. One test uses it.
static WAITING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(0));
static GO_ON: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(0));

pub(crate) async fn waiting() {
    WAITING.acquire().await.unwrap().forget();
}

pub(crate) fn go_on() {
    GO_ON.add_permits(1);
}

pub(crate) fn host() -> Arc<Host> {
    let user = |name: &str, level| User { name: name.into(), level, password: "pw".into() };
    let users = Users::new(vec![
        user("admin", Level::Administrator),
        user("operator", Level::Operator),
        user("user", Level::User),
    ])
    .unwrap();
    let door = Door::new("test", users, DigestSettings::default(), TokenSettings::default());
    let service = Service::table(NAMESPACE, "/onvif/test", Version(18, 12), Arc::new(()))
        .on("Where", Access::PreAuth, |_, call: Call| async move {
            Ok(call.response().with_value("Url", call.url("/onvif/test")))
        })
        .on("Wait", Access::PreAuth, |_, call: Call| async move {
            WAITING.add_permits(1);
            GO_ON.acquire().await.unwrap().forget();
            Ok(call.response())
        })
        .on("Who", Access::ReadMedia, |_, call: Call| async move {
            Ok(call.response().with_value("Name", call.identity.name.to_string()))
        })
        .on("Echo", Access::PreAuth, |_, call: Call| async move {
            Ok(call.response().with_value("Text", call.request.text().into_owned()))
        })
        .on("Act", Access::Actuate, |_, call: Call| async move { Ok(call.response()) })
        .on("Panic", Access::PreAuth, |_, _| async { panic!("on purpose") })
        .on("Refuse", Access::PreAuth, |_, _| async {
            Err(Fault::invalid_value("NoRecording", "there is none"))
        })
        .on_in(ns::WSNT, "Renew", Access::PreAuth, |_, call: Call| async move {
            Ok(call.response().with_value("Path", call.path.to_string()))
        })
        .unsupported(&[("Later", Access::ReadMedia)])
        .build();
    Host::new(vec![service], door, Arc::new(Frozen(Instant::now())))
}

/// An envelope with an empty request.
pub(crate) fn request(operation: &str) -> String {
    crate::envelope::envelope(Vec::new(), Element::new(NAMESPACE, operation.to_owned())).to_xml()
}
