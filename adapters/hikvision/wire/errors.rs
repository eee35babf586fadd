//! Refusals: `ResponseStatus` and `userCheck`, under whatever HTTP status they come.

use dvrgate_adapter::transport::HttpRequest;
use http::StatusCode;

use super::xml::Element;
use super::{Generation, WireError, get, is_success};

/// What a device said when it said no.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) http: u16,
    /// `statusCode` of the body, 0 where there is none.
    pub(crate) code: u32,
    /// `subStatusCode`: the word that tells most. Empty where there is none.
    pub(crate) sub_code: String,
    /// `statusString`, with what else was said.
    pub(crate) text: String,
    /// A lock-out, where the body tells of one.
    pub(crate) lock: Option<Lock>,
}

/// Log-in state as `userCheck` tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lock {
    /// Locked now: even the right password is refused.
    pub(crate) locked: bool,
    /// Seconds until it is lifted.
    pub(crate) unlock_seconds: Option<u32>,
    /// Tries that are left.
    pub(crate) tries_left: Option<u32>,
}

/// `statusCode` values that mean success.
const DONE: [u32; 3] = [0, 1, 7];

impl Refusal {
    /// The refusal in an answer, or `None` where it is none. `document` is the body if it is XML.
    pub(crate) fn of(status: StatusCode, document: Option<&Element>) -> Option<Self> {
        let http = status.as_u16();
        if let Some(check) = document.filter(|d| d.is("userCheck")) {
            let answer = UserCheck::parse(check).ok()?;
            return (answer.status != 200 || !is_success(status)).then(|| Self {
                http,
                code: u32::from(answer.status),
                sub_code: String::new(),
                text: answer.text,
                lock: Some(answer.lock),
            });
        }
        if let Some(d) = document.filter(|d| d.is("ResponseStatus")) {
            let code = d.number_at(&["statusCode"]).unwrap_or(0);
            if is_success(status) && DONE.contains(&code) {
                return None;
            }
            let mut text = d.string_at(&["statusString"]);
            for more in ["subStatusString", "errorMsg", "description"] {
                if let Some(t) = d.text_at(&[more]) {
                    text = format!("{text}: {t}");
                }
            }
            let sub_code = d.string_at(&["subStatusCode"]);
            return Some(Self { http, code, sub_code, text, lock: None });
        }
        (!is_success(status)).then(|| Self {
            http,
            text: status.canonical_reason().unwrap_or("").to_owned(),
            ..Self::default()
        })
    }

    /// Whether the word matches one of these, ignoring case.
    pub(crate) fn is(&self, sub_codes: &[&str]) -> bool {
        sub_codes.iter().any(|s| self.sub_code.eq_ignore_ascii_case(s))
    }

    /// The request was not understood: another style may be.
    pub(crate) fn is_about_the_request(&self) -> bool {
        matches!(self.code, 5 | 6)
            || self.is(&["badXmlFormat", "badXmlContent", "badParameters", "methodNotAllowed"])
            || (self.code == 0 && matches!(self.http, 400 | 405))
    }

    /// The resource is not there on this model.
    pub(crate) fn is_absent(&self) -> bool {
        self.http == 404
            || self.http == 405
            || self.is(&["notSupport", "invalidOperation"])
            || (self.http == 403 && !self.is(&["lowPrivilege"]))
    }

    /// The window of a search is too wide for it: said with a text about two root elements.
    pub(crate) fn is_window_too_wide(&self) -> bool {
        self.http == 500 && self.text.contains("two root tags")
    }
}

/// Asks whether the log-in is good; without credentials, whether the account is locked.
pub(crate) fn user_check(g: Generation) -> HttpRequest {
    get(g.path_or("/Security/userCheck", "/Custom/SelfExt/userCheck"))
}

/// Answer to [`user_check`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct UserCheck {
    /// `statusValue`: 200 or 401, whatever the HTTP status is.
    pub(crate) status: u16,
    /// `statusString`.
    pub(crate) text: String,
    /// Lock-out state.
    pub(crate) lock: Lock,
}

impl UserCheck {
    /// Reads the document.
    pub(crate) fn parse(document: &Element) -> Result<Self, WireError> {
        if !document.is("userCheck") {
            return Err(WireError::Root { found: document.name.clone(), wanted: "userCheck" });
        }
        Ok(Self {
            status: document
                .number_at(&["statusValue"])
                .ok_or(WireError::Missing("statusValue"))?,
            text: document.string_at(&["statusString"]),
            lock: Lock {
                locked: document
                    .text_at(&["lockStatus"])
                    .is_some_and(|s| s.eq_ignore_ascii_case("lock")),
                unlock_seconds: document.number_at(&["unlockTime"]),
                tries_left: document.number_at(&["retryLoginTime"]),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const LOCKED: &[u8] = include_bytes!("../fixtures/user_check_locked.xml");
    const ABSENT: &[u8] = include_bytes!("../fixtures/response_status_not_support.xml");

    fn refusal(status: u16, body: &[u8]) -> Option<Refusal> {
        Refusal::of(StatusCode::from_u16(status).unwrap(), Element::parse(body).ok().as_ref())
    }

    #[test]
    fn a_lock_is_read() {
        let r = refusal(401, LOCKED).unwrap();
        let lock = r.lock.unwrap();
        assert!(lock.locked);
        assert_eq!((lock.unlock_seconds, lock.tries_left), (Some(1740), Some(0)));
        testing::sweep(LOCKED, UserCheck::parse);
    }

    #[test]
    fn a_refusal_may_come_under_status_200() {
        let r = refusal(200, ABSENT).unwrap();
        assert_eq!((r.code, r.sub_code.as_str()), (4, "notSupport"));
        assert!(r.is_absent() && !r.is_about_the_request());
        let ok = b"<ResponseStatus><statusCode>1</statusCode><statusString>OK</statusString></ResponseStatus>";
        assert_eq!(refusal(200, ok), None);
        assert_eq!(refusal(200, b"<DeviceInfo/>"), None);
        let old = b"<userCheck><statusValue>401</statusValue></userCheck>";
        assert_eq!(refusal(200, old).unwrap().code, 401);
    }

    #[test]
    fn a_bare_status_is_a_refusal_too() {
        assert!(refusal(404, b"").unwrap().is_absent());
        assert!(refusal(403, b"").unwrap().is_absent());
        assert!(refusal(400, b"").unwrap().is_about_the_request());
        let r = refusal(403, b"<ResponseStatus><statusCode>4</statusCode><subStatusCode>lowPrivilege</subStatusCode></ResponseStatus>");
        assert!(!r.unwrap().is_absent());
    }

    #[test]
    fn a_wide_window_is_told_by_its_odd_text() {
        let body = b"<ResponseStatus><statusCode>3</statusCode><statusString>Device Error</statusString>\
            <subStatusCode>deviceError</subStatusCode><errorMsg>Tag 13 is invalid (two root tags)</errorMsg></ResponseStatus>";
        assert!(refusal(500, body).unwrap().is_window_too_wide());
    }
}
