//! Digest headers in both directions, and challenges of recorders.

use dvrgate_auth::{Credentials, DigestGate, DigestSettings, Level, Secret, User, Users};
use dvrgate_model::Utc;
use dvrgate_rtsp::client::ClientAuth;
use dvrgate_rtsp::message::{Fields, Method, Request};

/// The value of an Authorization header, and the same bytes as a challenge.
pub fn digest(data: &[u8]) {
    let Some(value) = super::text(data) else { return };
    let read = Credentials::parse(value);
    if let Ok(credentials) = &read {
        let other = Credentials { response: "".into(), ..credentials.clone() };
        assert_eq!(format!("{credentials:?}"), format!("{other:?}"), "responses are not for logs");
    }
    let now = Utc::from_secs(1_700_000_000);
    let verified = gate().verify("DESCRIBE", "rtsp://h/replay/yard-1", Some(value), now);
    assert!(verified.is_err(), "nobody knows the password");
    challenge(value);
}

/// As a recorder's challenge: each line a header.
fn challenge(text: &str) {
    let mut fields = Fields::default();
    text.lines().for_each(|line| fields.push("WWW-Authenticate", line));
    let mut client = ClientAuth::new("admin", "12345");
    if client.challenged(&fields, 0) {
        let mut request = Request::new(Method::Play, "rtsp://h/a");
        client.sign(&mut request);
        let _ = request.to_bytes();
    }
}

/// A gate whose nonces are the same in every run. Its password is not in any input.
pub(crate) fn gate() -> DigestGate {
    let user = User {
        name: "admin".into(),
        level: Level::Administrator,
        password: Secret::new("ieG4ahNgoo8uaX0a"),
    };
    let users = Users::new(vec![user]).expect("one user is in bounds");
    let settings = DigestSettings { nonces: 4, ..Default::default() };
    DigestGate::with_key("dvrgate", users, settings, [7; 32])
}
