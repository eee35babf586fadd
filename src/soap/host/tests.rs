use digest_auth::{AuthContext, HttpMethod};

use super::testing::{NAMESPACE, host, request};
use super::*;

const PATH: &str = "/onvif/test";

fn origin() -> Origin {
    Origin::new(
        "192.0.2.9:50000".parse().unwrap(),
        "192.0.2.1:80".parse().unwrap(),
        false,
        None,
        None,
    )
}

fn post() -> http::request::Builder {
    Request::post(PATH).header(CONTENT_TYPE, "application/soap+xml; charset=utf-8")
}

fn ask(host: &Arc<Host>, builder: http::request::Builder, body: &str) -> Response<Bytes> {
    let request = builder.body(Bytes::from(body.to_owned())).unwrap();
    futures::executor::block_on(host.answer(request, origin()))
}

/// Status, and what is in the body element.
fn result(response: &Response<Bytes>) -> (u16, Element) {
    let envelope = Element::parse(response.body(), &Limits::default()).unwrap();
    let body = envelope.child(crate::ns::ENV, "Body").unwrap().elements().next().unwrap().clone();
    (response.status().as_u16(), body)
}

/// The innermost subcode of a fault.
fn subcode(fault: &Element) -> String {
    let env = crate::ns::ENV;
    let mut code = fault.child(env, "Code").unwrap();
    while let Some(sub) = code.child(env, "Subcode") {
        code = sub;
    }
    code.child_text(env, "Value").unwrap().into_owned()
}

fn digest_header(host: &Arc<Host>, user: &str, password: &str) -> String {
    let challenge = host.door.digest().challenge(host.clock.utc()).pop().unwrap();
    let context =
        AuthContext::new_with_method(user, password, PATH, None::<&[u8]>, HttpMethod::POST);
    digest_auth::parse(&challenge).unwrap().respond(&context).unwrap().to_header_string()
}

/// The nonce differs by call, as each may be used once.
fn with_token(operation: &str, user: &str, password: &str, nonce: u8) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let b64 = base64::engine::general_purpose::STANDARD;
    let created = "2026-11-25T12:00:01Z";
    let hash = sha1::Sha1::new()
        .chain_update([nonce])
        .chain_update(created)
        .chain_update(password)
        .finalize();
    format!(
        "<s:Envelope xmlns:s='{}'><s:Header><w:Security s:mustUnderstand='1' xmlns:w='{}'>\
         <w:UsernameToken><w:Username>{user}</w:Username><w:Password Type='urn:x#PasswordDigest'>{}</w:Password>\
         <w:Nonce>{}</w:Nonce><u:Created xmlns:u='{}'>{created}</u:Created></w:UsernameToken>\
         </w:Security></s:Header><s:Body><o:{operation} xmlns:o='{NAMESPACE}'/></s:Body></s:Envelope>",
        crate::ns::ENV,
        crate::ns::WSSE,
        b64.encode(hash),
        b64.encode([nonce]),
        crate::ns::WSU
    )
}

#[test]
fn operations_answer_and_fail_as_soap() {
    let host = host();
    let call = |operation: &str| {
        let body = request(operation);
        result(&ask(&host, post(), &body))
    };
    let (status, body) = call("Where");
    assert_eq!(
        (status, &*body.child_text(NAMESPACE, "Url").unwrap()),
        (200, "http://192.0.2.1:80/onvif/test")
    );
    for (operation, expected, code) in [
        ("Refuse", 400, "ter:NoRecording"),
        ("Panic", 500, "ter:Action"),
        // R5.24x-6: in the namespace, but in no table.
        ("Unheard", 500, "ter:NotImplemented"),
    ] {
        let (status, body) = call(operation);
        assert_eq!((status, subcode(&body).as_str()), (expected, code), "{operation}");
    }
}

/// RH1-3, RH1-4: each generic fault that a request can provoke, as a SOAP 1.2 fault with nested
/// codes and a reason in a named language, and the HTTP status that goes with its code.
#[test]
fn generic_faults_have_their_codes() {
    let host = host();
    let good = request("Where");
    let who = request("Who");
    let header =
        "<env:Header><x:T xmlns:x=\"urn:x\" env:mustUnderstand=\"1\"/></env:Header><env:Body>";
    let empty = format!("<Envelope xmlns=\"{}\"><Body/></Envelope>", crate::ns::ENV);
    for (body, status, codes) in [
        (good.replace("</env:Body>", ""), 400, "env:Sender/ter:WellFormed"),
        (
            good.replace("<env:Body>", "<env:Body a=\"1\" a=\"2\">"),
            400,
            "env:Sender/ter:WellFormed",
        ),
        (
            good.replace("<env:Body>", "<no:Body>").replace("</env:Body>", "</no:Body>"),
            400,
            "env:Sender/ter:Namespace",
        ),
        (empty, 400, "env:Sender/ter:Tag"),
        (good.replace(NAMESPACE, "urn:nobody"), 400, "env:Sender/ter:UnknownAction"),
        (request("Refuse"), 400, "env:Sender/ter:InvalidArgVal/ter:NoRecording"),
        (who.clone(), 401, "env:Sender/ter:NotAuthorized"),
        (request("Unheard"), 500, "env:Receiver/ter:ActionNotSupported/ter:NotImplemented"),
        (request("Panic"), 500, "env:Receiver/ter:Action"),
        (good.replace("<env:Body>", header), 500, "env:MustUnderstand"),
        (good.replace(crate::ns::ENV, "urn:no-soap"), 500, "env:VersionMismatch"),
    ] {
        let (got, fault) = result(&ask(&host, post(), &body));
        let env = crate::ns::ENV;
        assert!(fault.is(env, "Fault"), "{codes}");
        let mut found = Vec::new();
        let mut at = fault.child(env, "Code");
        while let Some(code) = at {
            found.push(code.child_text(env, "Value").unwrap().into_owned());
            at = code.child(env, "Subcode");
        }
        assert_eq!((got, found.join("/").as_str()), (status, codes));
        let text = fault.path(env, &["Reason", "Text"]).unwrap();
        assert_eq!(text.attribute_ns(crate::ns::XML, "lang"), Some("en"));
        assert!(!text.text().is_empty());
    }
}

/// RH1-3 (SOAP 1.2 part 1, 5.4.7 and appendix A): the refusal of another version says which one is
/// spoken, to a SOAP 1.1 client in words that it understands.
#[test]
fn another_version_is_told_what_to_upgrade_to() {
    let host = host();
    let body = request("Where");
    let response = ask(&host, post(), &body.replace(crate::ns::ENV, "urn:no-soap"));
    let upgrade = |response: &Response<Bytes>, ns: &'static str| {
        let envelope = Element::parse(response.body(), &Limits::default()).unwrap();
        let header = envelope.child(ns, "Header").unwrap();
        let supported = header.path(crate::ns::ENV, &["Upgrade", "SupportedEnvelope"]).unwrap();
        let name = supported.resolve(supported.attribute("qname").unwrap()).unwrap();
        assert_eq!((&*name.ns, &*name.local), (crate::ns::ENV, "Envelope"));
        envelope
    };
    upgrade(&response, crate::ns::ENV);

    let old = crate::ns::ENV_1_1;
    let builder = Request::post(PATH).header(CONTENT_TYPE, "text/xml; charset=utf-8");
    let response = ask(&host, builder, &body.replace(crate::ns::ENV, old));
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/xml; charset=utf-8");
    let envelope = upgrade(&response, old);
    let fault = envelope.path(old, &["Body", "Fault"]).unwrap();
    let code = fault.child("", "faultcode").unwrap();
    let name = code.resolve(&code.text()).unwrap();
    assert_eq!((&*name.ns, &*name.local), (old, "VersionMismatch"));
    assert!(fault.child_text("", "faultstring").unwrap().contains("SOAP 1.2"));
}

/// RH1-7, RH1-8: UTF-8 both ways, any character of XML.
#[test]
fn texts_are_utf_8_in_and_out() {
    let host = host();
    let odd = "Hof \u{e4}\u{3b1}\u{4e2d}\u{1f4f9} <&>\"'";
    let echo = Element::of(NAMESPACE, "Echo", odd);
    let body = crate::envelope::envelope(Vec::new(), echo).to_xml();
    let mark = format!("\u{feff}{body}");
    for body in [&body, &mark] {
        let response = ask(&host, post(), body);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/soap+xml; charset=utf-8");
        let (status, answer) = result(&response);
        assert_eq!((status, &*answer.child_text(NAMESPACE, "Text").unwrap()), (200, odd));
    }
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let request = post().body(Bytes::from(utf16)).unwrap();
    let response = futures::executor::block_on(host.answer(request, origin()));
    assert_eq!(subcode(&result(&response).1), "ter:WellFormed");
}

#[test]
fn errors_before_soap_are_http_errors() {
    // RH1-5.
    let host = host();
    let body = request("Where");
    for (builder, body, status) in [
        (Request::get(PATH), "", 405),
        (Request::put(PATH), body.as_str(), 405),
        (Request::post(PATH).header(CONTENT_TYPE, "application/json"), &body, 415),
        (Request::post(PATH).header(CONTENT_TYPE, "multipart/related; type=x"), &body, 415),
        (Request::post(PATH), "", 401),
        (Request::post(PATH).header(AUTHORIZATION, "Digest x=y"), "", 400),
        (Request::post(PATH), &body, 200),
        (Request::post(PATH).header(CONTENT_TYPE, "TEXT/XML;charset=utf-8"), &body, 200),
    ] {
        let response = ask(&host, builder, body);
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key(ALLOW), status == 405);
    }
    let broken = &body[..body.len() / 2];
    let (status, fault) = result(&ask(&host, post(), broken));
    assert_eq!((status, subcode(&fault).as_str()), (400, "ter:WellFormed"));
    let foreign = body.replace(NAMESPACE, "urn:nobody");
    let (status, fault) = result(&ask(&host, post(), &foreign));
    assert_eq!((status, subcode(&fault).as_str()), (400, "ter:UnknownAction"));
}

#[test]
fn without_credentials_the_client_is_challenged() {
    // RH2-1, RH2-2.
    let host = host();
    let body = request("Who");
    let response = ask(&host, post(), &body);
    let challenges: Vec<_> = response.headers().get_all(WWW_AUTHENTICATE).iter().collect();
    assert_eq!(challenges.len(), 2);
    let (status, fault) = result(&response);
    assert_eq!((status, subcode(&fault).as_str()), (401, "ter:NotAuthorized"));
    // An operation without log-in ignores even nonsense (RH2-6).
    let body = request("Where");
    let response = ask(&host, post().header(AUTHORIZATION, "Basic eDp5"), &body);
    assert_eq!(response.status(), 200);
}

#[test]
fn digest_and_token_open_the_door() {
    let host = host();
    let body = request("Who");
    let header = digest_header(&host, "user", "pw");
    let (status, answer) = result(&ask(&host, post().header(AUTHORIZATION, header), &body));
    assert_eq!((status, &*answer.child_text(NAMESPACE, "Name").unwrap()), (200, "user"));

    let body = with_token("Who", "operator", "pw", 1);
    let (status, answer) = result(&ask(&host, post(), &body));
    assert_eq!((status, &*answer.child_text(NAMESPACE, "Name").unwrap()), (200, "operator"));
    // The same message again.
    let (status, fault) = result(&ask(&host, post(), &body));
    assert_eq!((status, subcode(&fault).as_str()), (400, "ter:NotAuthorized"));

    // Both, of one user and of two; then with one of them wrong.
    let mut nonce = 2;
    for (http, token, password, expected) in [
        ("operator", "operator", "pw", 200),
        ("operator", "user", "pw", 400),
        ("operator", "operator", "wrong", 400),
    ] {
        nonce += 1;
        let body = with_token("Who", token, password, nonce);
        let header = digest_header(&host, http, "pw");
        let response = ask(&host, post().header(AUTHORIZATION, header), &body);
        assert_eq!(response.status(), expected, "{http} {token} {password}");
    }
}

#[test]
fn levels_decide_by_access_class() {
    // RH2-5.
    let host = host();
    let body = request("Act");
    for (user, expected) in [("admin", 200), ("operator", 200), ("user", 400)] {
        let header = digest_header(&host, user, "pw");
        let (status, answer) = result(&ask(&host, post().header(AUTHORIZATION, header), &body));
        assert_eq!(status, expected, "{user}");
        if status != 200 {
            assert_eq!(subcode(&answer), "ter:NotAuthorized");
        }
    }
    // What is not supported still asks who wants to know.
    let body = request("Later");
    assert_eq!(ask(&host, post(), &body).status(), 401);
    let header = digest_header(&host, "user", "pw");
    let (status, fault) = result(&ask(&host, post().header(AUTHORIZATION, header), &body));
    assert_eq!((status, subcode(&fault).as_str()), (500, "ter:NotImplemented"));
}

#[test]
fn guessing_is_slowed_down() {
    let host = host();
    let body = request("Who");
    let attempt = |user: &str, password: &str| {
        let header = digest_header(&host, user, password);
        ask(&host, post().header(AUTHORIZATION, header), &body)
    };
    for _ in 0..5 {
        assert_eq!(attempt("user", "guess").status(), 401);
    }
    let response = attempt("user", "pw");
    assert_eq!(response.status(), 429, "not even the right password is looked at");
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert_eq!(attempt("operator", "pw").status(), 200);
    assert_eq!(host.counters().refused.load(Ordering::Relaxed), 6);
}

#[test]
fn subscriptions_have_addresses_below_their_service() {
    let host = host();
    let renew =
        crate::envelope::envelope(Vec::new(), Element::new(crate::ns::WSNT, "Renew")).to_xml();
    let response = ask(&host, Request::post("/onvif/test/sub/7"), &renew);
    let (status, body) = result(&response);
    assert_eq!(
        (status, &*body.child_text(crate::ns::WSNT, "Path").unwrap()),
        (200, "/onvif/test/sub/7")
    );
    assert!(host.serves("/onvif/test") && host.serves("/onvif/test/x"));
    assert!(!host.serves("/onvif/testing") && !host.serves("/onvif"));
}

#[test]
fn no_prefix_of_a_request_panics_or_succeeds() {
    let host = host();
    let body = with_token("Who", "operator", "pw", 9);
    for end in 1..body.len() {
        let response = ask(&host, post(), &body[..end]);
        assert_eq!(response.status(), 400, "cut at {end}");
    }
}

#[test]
fn secrets_do_not_show_in_debug() {
    let body = with_token("Who", "operator", "pw", 9);
    let envelope = Envelope::parse(body.as_bytes(), &Limits::default()).unwrap();
    let text = format!("{:?} {:?}", envelope.security, host());
    assert!(text.contains("operator") && !text.contains("pw"), "{text}");
}
