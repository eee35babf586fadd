use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};

use super::*;
use crate::users::{Level, User};

const URI: &str = "/onvif/device_service";

fn gate(settings: DigestSettings) -> DigestGate {
    let user = |name: &str, level, password: &str| User {
        name: name.into(),
        level,
        password: password.into(),
    };
    let users = Users::new(vec![
        user("admin", Level::Administrator, "correct horse"),
        user("guard", Level::User, "päss\"wort"),
    ])
    .unwrap();
    DigestGate::with_key("dvrgate", users, settings, [3; 32])
}

fn t(seconds: i64) -> Utc {
    Utc::from_secs(1_700_000_000 + seconds)
}

/// A client that somebody else wrote.
struct Client(WwwAuthenticateHeader);

impl Client {
    fn new(challenge: &str) -> Self {
        Self(digest_auth::parse(challenge).unwrap())
    }

    fn header(&mut self, user: &str, password: &str) -> String {
        let context =
            AuthContext::new_with_method(user, password, URI, None::<&[u8]>, HttpMethod::POST);
        self.0.respond(&context).unwrap().to_header_string()
    }
}

fn verify(gate: &DigestGate, header: &str, now: Utc) -> Result<Identity, Refusal> {
    gate.verify("POST", URI, Some(header), now)
}

/// RH2-1, RH2-7: the stronger hash is offered first (RFC 7616, 3.7).
#[test]
fn both_hashes_let_the_right_password_in() {
    let gate = gate(DigestSettings::default());
    let challenges = gate.challenge(t(0));
    assert!(challenges[0].contains("algorithm=SHA-256") && challenges[1].contains("algorithm=MD5"));
    for i in [0, 1] {
        let mut client = Client::new(&gate.challenge(t(0))[i]);
        let who = verify(&gate, &client.header("admin", "correct horse"), t(1)).unwrap();
        assert_eq!((&*who.name, who.level), ("admin", Level::Administrator));
    }
    let mut client = Client::new(&gate.challenge(t(0))[0]);
    let who = verify(&gate, &client.header("guard", "päss\"wort"), t(1)).unwrap();
    assert_eq!(who.level, Level::User);
}

#[test]
fn wrong_password_and_unknown_user_look_the_same() {
    let gate = gate(DigestSettings::default());
    let mut client = Client::new(&gate.challenge(t(0))[1]);
    for (user, password) in
        [("admin", "Correct horse"), ("nobody", NOBODYS_PASSWORD), ("admin", "")]
    {
        let refusal = verify(&gate, &client.header(user, password), t(1)).unwrap_err();
        assert_eq!(refusal, Refusal::Wrong { user: user.into() });
        assert_eq!(refusal.guessed(), Some(user));
        assert!(gate.challenge_after(&refusal, t(1)).iter().all(|c| !c.contains("stale")));
    }
}

#[test]
fn a_header_works_once_and_counts_may_overtake_one_another() {
    let gate = gate(DigestSettings::default());
    let mut client = Client::new(&gate.challenge(t(0))[1]);
    let headers: Vec<String> = (0..10).map(|_| client.header("admin", "correct horse")).collect();
    for i in [3, 0, 9, 4] {
        assert!(verify(&gate, &headers[i], t(1)).is_ok(), "{i}");
        assert_eq!(verify(&gate, &headers[i], t(1)), Err(Refusal::Stale), "{i} again");
    }
}

#[test]
fn an_old_nonce_is_stale_and_says_so_only_with_the_right_password() {
    let gate = gate(DigestSettings::default());
    let mut client = Client::new(&gate.challenge(t(0))[1]);
    assert!(verify(&gate, &client.header("admin", "correct horse"), t(300)).is_ok());
    let refusal = verify(&gate, &client.header("admin", "correct horse"), t(301)).unwrap_err();
    assert_eq!(refusal, Refusal::Stale);
    assert_eq!(refusal.guessed(), None);
    assert!(gate.challenge_after(&refusal, t(301)).iter().all(|c| c.ends_with(", stale=true")));
    assert!(matches!(
        verify(&gate, &client.header("admin", "wrong"), t(301)),
        Err(Refusal::Wrong { .. })
    ));
    // Set back by a minute: the nonce's age cannot be told.
    let mut client = Client::new(&gate.challenge(t(0))[1]);
    assert_eq!(
        verify(&gate, &client.header("admin", "correct horse"), t(-60)),
        Err(Refusal::Stale)
    );
}

#[test]
fn a_restarted_gate_asks_again_without_accepting() {
    let old = gate(DigestSettings::default());
    let new =
        DigestGate::with_key("dvrgate", old.users().clone(), DigestSettings::default(), [4; 32]);
    let mut client = Client::new(&old.challenge(t(0))[0]);
    assert_eq!(verify(&new, &client.header("admin", "correct horse"), t(1)), Err(Refusal::Stale));
}

#[test]
fn a_full_table_makes_old_nonces_stale_and_never_replayable() {
    let gate = gate(DigestSettings { nonces: 2, ..DigestSettings::default() });
    let mut first = Client::new(&gate.challenge(t(0))[1]);
    let header = first.header("admin", "correct horse");
    assert!(verify(&gate, &header, t(1)).is_ok());
    for s in 1..4 {
        let mut other = Client::new(&gate.challenge(t(s))[1]);
        assert!(verify(&gate, &other.header("admin", "correct horse"), t(s)).is_ok());
    }
    assert_eq!(verify(&gate, &header, t(4)), Err(Refusal::Stale));
    assert_eq!(verify(&gate, &first.header("admin", "correct horse"), t(4)), Err(Refusal::Stale));
}

#[test]
fn credentials_belong_to_their_request() {
    let gate = gate(DigestSettings::default());
    let mut client = Client::new(&gate.challenge(t(0))[1]);
    let header = client.header("admin", "correct horse");
    for (method, uri) in [("POST", "/other"), ("POST", "/onvif/device_service?x=1"), ("POST", "*")]
    {
        let refusal = gate.verify(method, uri, Some(&header), t(1)).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{uri}: {refusal}");
    }
    let refusal = gate.verify("GET", URI, Some(&header), t(1)).unwrap_err();
    assert!(matches!(refusal, Refusal::Wrong { .. }), "another method: {refusal}");
    let other = header.replace("realm=\"dvrgate\"", "realm=\"elsewhere\"");
    assert!(matches!(verify(&gate, &other, t(1)), Err(Refusal::Malformed(_))));
    assert!(gate.verify("POST", &format!("http://192.0.2.1{URI}"), Some(&header), t(1)).is_ok());
}

#[test]
fn targets_agree_on_path_and_query() {
    for (a, b, same) in [
        ("/a", "/a", true),
        ("rtsp://h:554/a?x=1", "rtsp://other/a?x=1", true),
        ("/a/", "rtsp://h/a", true),
        ("*", "*", true),
        ("/a", "/a?x=1", false),
        ("/a", "/b", false),
        ("rtsp://h", "rtsp://h/", true),
        ("", "/a", false),
    ] {
        assert_eq!(same_target(a, b), same, "{a} {b}");
    }
}

#[test]
fn clients_of_rfc_2069_are_let_in_for_the_life_of_the_nonce() {
    let gate = gate(DigestSettings::default());
    let challenge = gate.challenge(t(0)).remove(1);
    let mut client = Client::new(&challenge.replace("qop=\"auth\", ", ""));
    let header = client.header("admin", "correct horse");
    assert!(!header.contains("qop"));
    assert!(verify(&gate, &header, t(1)).is_ok());
    assert!(verify(&gate, &header, t(299)).is_ok());
    assert_eq!(verify(&gate, &header, t(301)), Err(Refusal::Stale));
}

#[test]
fn the_length_of_the_response_tells_the_hash() {
    let gate = gate(DigestSettings::default());
    let mut client = Client::new(&gate.challenge(t(0))[1]);
    let header = client.header("admin", "correct horse");
    // Hashed with MD5, but repeats the first challenge's algorithm.
    let mixed = header.replace("algorithm=MD5", "algorithm=SHA-256");
    assert_ne!(mixed, header);
    assert!(verify(&gate, &mixed, t(1)).is_ok());
}

#[test]
fn only_what_was_offered_is_taken() {
    let strict = gate(DigestSettings { offer: Offer::Sha256, ..DigestSettings::default() });
    assert_eq!(strict.challenge(t(0)).len(), 1);
    let md5 = strict.challenge(t(0))[0].replace("SHA-256", "MD5");
    let header = Client::new(&md5).header("admin", "correct horse");
    assert!(matches!(verify(&strict, &header, t(1)), Err(Refusal::Malformed(_))));

    let gate = gate(DigestSettings::default());
    let session = gate.challenge(t(0))[1].replace("MD5", "MD5-sess");
    let header = Client::new(&session).header("admin", "correct horse");
    assert!(matches!(verify(&gate, &header, t(1)), Err(Refusal::Malformed(_))));

    assert_eq!(gate.verify("POST", URI, None, t(0)), Err(Refusal::Missing));
    assert_eq!(verify(&gate, "Basic YWRtaW46Y29ycmVjdCBob3JzZQ==", t(0)), Err(Refusal::Scheme));
}

#[test]
fn no_prefix_of_a_good_header_gets_in() {
    let gate = gate(DigestSettings::default());
    let mut client = Client::new(&gate.challenge(t(0))[0]);
    let header = client.header("admin", "correct horse");
    // The last parameter, the algorithm, may be missing.
    let needed = header.rfind(", algorithm").unwrap();
    for end in 0..needed {
        assert!(verify(&gate, &header[..end], t(1)).is_err(), "cut at {end}");
    }
    assert!(verify(&gate, &header[..needed], t(1)).is_ok());
}

#[test]
fn a_realm_cannot_break_out_of_its_challenge() {
    let users = Users::new(vec![]).unwrap();
    let gate = DigestGate::new("a\"b\r\nX: y\\", users, DigestSettings::default());
    assert_eq!(gate.realm(), "abX: y");
}
