//! Log-in over HTTP: challenges, verdicts, and what a refused client is told.

use std::collections::VecDeque;

use dvrgate_testkit::chassis::digest::Credentials;
use dvrgate_testkit::chassis::http::{Outcome, Reply, Request};
use parking_lot::Mutex;

use crate::behaviour::{HttpAuth, UnaskedBasic};
use crate::recorder::Recorder;

/// Nonces, session challenges and sessions that were issued and are still good.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<VecDeque<String>>);

/// Older nonces are forgotten.
const MAX_NONCES: usize = 256;

impl Nonces {
    pub(super) fn issue(&self) -> String {
        let nonce = hex::encode(rand::random::<[u8; 16]>());
        let mut known = self.0.lock();
        if known.len() == MAX_NONCES {
            known.pop_front();
        }
        known.push_back(nonce.clone());
        nonce
    }

    fn good(&self, nonce: &str, spend: bool) -> bool {
        let mut known = self.0.lock();
        let found = known.iter().position(|n| n == nonce);
        if let (Some(at), true) = (found, spend) {
            known.remove(at);
        }
        found.is_some()
    }

    /// Spends one that was issued.
    pub(super) fn spend(&self, nonce: &str) -> bool {
        self.good(nonce, true)
    }

    /// Whether one that is still good fits.
    pub(super) fn any(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.0.lock().iter().any(|n| fits(n))
    }

    fn knows_cookie(&self, header: &str) -> bool {
        header
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == super::session::COOKIE && self.good(value, false))
    }
}

/// Lets a request pass, or gives what it gets instead.
pub(crate) fn admit(recorder: &Recorder, nonces: &Nonces, request: &Request) -> Option<Outcome> {
    let behaviour = recorder.behaviour();
    if matches!(behaviour.http_auth, HttpAuth::Session | HttpAuth::SessionReversible) {
        let known = request.header("cookie").is_some_and(|c| nonces.knows_cookie(c));
        let user = &recorder.device.username;
        return (!known).then(|| refusal(recorder, nonces, request, user));
    }
    let Some(credentials) = request.header("authorization").and_then(Credentials::parse) else {
        return Some(refusal(recorder, nonces, request, &recorder.device.username));
    };
    let is_basic = matches!(credentials, Credentials::Basic(..));
    let basic_taken = matches!(behaviour.http_auth, HttpAuth::Basic | HttpAuth::DigestOrBasic);
    if is_basic && !basic_taken {
        if behaviour.unasked_basic == UnaskedBasic::Silence {
            return Some(Outcome::Silence);
        }
        return Some(refusal(recorder, nonces, request, credentials.user()));
    }
    if let Credentials::Digest(p) = &credentials {
        let get = |name: &str| p.get(name).map_or("", String::as_str);
        let sha = get("algorithm").eq_ignore_ascii_case("sha-256");
        let acceptable = behaviour.http_auth != HttpAuth::Basic
            // The query belongs to the URI that is signed.
            && get("uri") == request.target
            && (!sha || behaviour.http_auth == HttpAuth::DigestSha256)
            && nonces.good(get("nonce"), behaviour.nonce_once);
        if !acceptable {
            return Some(refusal(recorder, nonces, request, credentials.user()));
        }
    }
    let device = &recorder.device;
    let right = credentials.prove(&request.method, &device.username, &device.password);
    let (peer, now) = (request.peer.ip(), recorder.clock.now());
    if recorder.logins.judge(credentials.user(), peer, right, now) {
        return None;
    }
    Some(refusal(recorder, nonces, request, credentials.user()))
}

fn refusal(recorder: &Recorder, nonces: &Nonces, request: &Request, user: &str) -> Outcome {
    let behaviour = recorder.behaviour();
    let old = request.target.starts_with("/PSIA");
    let body = user_check(recorder, request, user, false);
    if old && request.path().ends_with("userCheck") && request.header("authorization").is_some() {
        return Outcome::Reply(Reply::new(200, "application/xml", body));
    }
    let mut reply = Reply::new(401, "application/xml; charset=\"UTF-8\"", body);
    let realm = match behaviour.profile.is_camera() {
        true => format!(
            "IP Camera({})",
            &recorder.identity()[1].chars().rev().take(5).collect::<String>()
        ),
        false => "dvr-realm".to_owned(),
    };
    let nonce = || nonces.issue();
    let md5 = match behaviour.profile.is_camera() {
        true => format!(
            "Digest qop=\"auth\", realm=\"{realm}\", nonce=\"{}\", stale=\"FALSE\"",
            nonce()
        ),
        false => format!(
            "Digest realm=\"{realm}\", domain=\"/\", qop=\"auth\", nonce=\"{}\", opaque=\"{}\", \
             algorithm=\"MD5\", stale=\"FALSE\"",
            nonce(),
            hex::encode(rand::random::<[u8; 8]>()),
        ),
    };
    let challenges = match behaviour.http_auth {
        HttpAuth::Digest => vec![md5],
        HttpAuth::DigestWithoutQop => {
            vec![format!("Digest realm=\"{realm}\", nonce=\"{}\", stale=\"FALSE\"", nonce())]
        }
        HttpAuth::DigestSha256 => {
            let sha = format!(
                "Digest qop=\"auth\", realm=\"{realm}\", nonce=\"{}\", algorithm=SHA-256, stale=\"FALSE\"",
                nonce()
            );
            vec![sha, md5]
        }
        HttpAuth::DigestOrBasic => vec![md5, format!("Basic realm=\"{realm}\"")],
        HttpAuth::Basic => vec![format!("Basic realm=\"{realm}\"")],
        HttpAuth::Session | HttpAuth::SessionReversible => Vec::new(),
    };
    for challenge in challenges {
        reply = reply.with("WWW-Authenticate", challenge);
    }
    Outcome::Reply(reply)
}

/// Whether somebody is logged in, and how long a lock still lasts.
pub(crate) fn user_check(recorder: &Recorder, request: &Request, user: &str, good: bool) -> String {
    let standing = recorder.logins.standing(user, request.peer.ip(), recorder.clock.now());
    let (value, text) = if good { (200, "OK") } else { (401, "Unauthorized") };
    if request.target.starts_with("/PSIA") {
        return format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<userCheck version=\"1.0\" \
             xmlns=\"urn:selfextension:psiaext-ver10-xsd\">\n<statusValue>{value}</statusValue>\n\
             <statusString>{text}</statusString>\n</userCheck>\n"
        );
    }
    let lock = if good {
        String::new()
    } else {
        match standing.locked_for {
            Some(left) => format!(
                "<lockStatus>lock</lockStatus>\n<unlockTime>{}</unlockTime>\n\
                 <retryLoginTime>0</retryLoginTime>\n",
                left.as_secs().max(1)
            ),
            None => format!(
                "<lockStatus>unlock</lockStatus>\n<retryLoginTime>{}</retryLoginTime>\n",
                standing.attempts_left.min(99)
            ),
        }
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<userCheck version=\"2.0\" \
         xmlns=\"http://www.isapi.org/ver20/XMLSchema\">\n<statusValue>{value}</statusValue>\n\
         <statusString>{text}</statusString>\n<isActivated>true</isActivated>\n{lock}</userCheck>\n"
    )
}
