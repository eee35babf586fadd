//! The log-in of browsers: a challenge, the hash of the password, a cookie.

use dvrgate_testkit::chassis::http::{Outcome, Reply, Request};
use sha2::{Digest, Sha256};

use super::auth::{self, Nonces};
use super::xml;
use crate::behaviour::HttpAuth;
use crate::recorder::Recorder;

/// Name of the cookie.
pub(super) const COOKIE: &str = "WebSession_0a1b2c3d4e";
const ITERATIONS: u32 = 100;
const SALT: &str = "5b1d9a";
const SALT2: &str = "77c0e2";

/// `Security/sessionLogin` and what is below it; none where it is something else that was asked.
pub(super) fn answer(
    recorder: &Recorder,
    nonces: &Nonces,
    path: &str,
    request: &Request,
) -> Option<Outcome> {
    let reversible = match recorder.behaviour().http_auth {
        HttpAuth::Session => false,
        HttpAuth::SessionReversible => true,
        _ => return None,
    };
    match path {
        "Security/sessionLogin/capabilities" => {
            let salts = match reversible {
                true => String::new(),
                false => format!("<salt>{SALT}</salt><salt2>{SALT2}</salt2>"),
            };
            Some(Outcome::Reply(xml(format!(
                "<SessionLoginCap version=\"2.0\"><sessionID>{}</sessionID><challenge>{}</challenge>\
                 <iterations>{ITERATIONS}</iterations><isIrreversible>{}</isIrreversible>{salts}\
                 <sessionIDVersion>2.1</sessionIDVersion></SessionLoginCap>\n",
                nonces.issue(),
                nonces.issue(),
                !reversible
            ))))
        }
        "Security/sessionLogin" => Some(log_in(recorder, nonces, request, reversible)),
        _ => None,
    }
}

fn log_in(recorder: &Recorder, nonces: &Nonces, request: &Request, reversible: bool) -> Outcome {
    let body = String::from_utf8_lossy(&request.body);
    let text = |name: &str| {
        let after = body.split(&format!("<{name}>")).nth(1)?;
        after.split('<').next().map(str::to_owned)
    };
    let user = text("userName").unwrap_or_default();
    let session = text("sessionID").unwrap_or_default();
    let sent = text("password").unwrap_or_default();
    let device = &recorder.device;
    // Each challenge was issued with its session, so any that is still known will do.
    let right = nonces.spend(&session)
        && user == device.username
        && nonces.any(|challenge| {
            sent == answer_to(challenge, &device.username, &device.password, reversible)
        });
    let (peer, now) = (request.peer.ip(), recorder.clock.now());
    if !recorder.logins.judge(&user, peer, right, now) {
        let body = auth::user_check(recorder, request, &user, false);
        return Outcome::Reply(Reply::new(401, "application/xml; charset=\"UTF-8\"", body));
    }
    let id = nonces.issue();
    let body = "<SessionUserCheck version=\"2.0\"><statusValue>200</statusValue>\
                <statusString>OK</statusString></SessionUserCheck>\n";
    Outcome::Reply(
        xml(body.to_owned()).with("Set-Cookie", format!("{COOKIE}={id}; Path=/; HttpOnly")),
    )
}

fn answer_to(challenge: &str, user: &str, password: &str, reversible: bool) -> String {
    let hash = |text: String| hex::encode(Sha256::digest(text));
    let (mut x, rounds) = if reversible {
        (format!("{}{challenge}", hash(password.to_owned())), ITERATIONS - 1)
    } else {
        let once = hash(format!("{user}{SALT}{password}"));
        let twice = hash(format!("{user}{SALT2}{once}"));
        (hash(format!("{twice}{challenge}")), ITERATIONS - 2)
    };
    for _ in 0..rounds {
        x = hash(x);
    }
    x
}
