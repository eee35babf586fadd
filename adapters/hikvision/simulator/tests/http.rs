//! Log-in, lock-out, generations, refusals.

use super::*;

const INFO: &str = "/ISAPI/System/deviceInfo";

#[::tokio::test]
async fn digest_lets_in_and_its_uri_must_hold_the_query() {
    for auth in ["digest", "digest-without-qop", "digest-sha256"] {
        let sim = simulator(&hour(&format!("http_auth = \"{auth}\""))).await;
        let got = get(&sim, "GET", &format!("{INFO}?x=1"), "").await;
        assert_eq!((got.status, got.all("deviceType")), (200, vec!["DVR".to_owned()]), "{auth}");
        let challenge = ask(sim.http_addr, "GET", INFO, "", "").await;
        assert_eq!(challenge.challenge().contains("qop"), auth != "digest-without-qop");
        assert_eq!(challenge.challenge().contains("SHA-256"), auth == "digest-sha256");
        let header = authorization(challenge.challenge(), "GET", INFO, PASSWORD);
        let target = format!("{INFO}?x=1");
        assert_eq!(ask(sim.http_addr, "GET", &target, &header, "").await.status, 401);
        assert_eq!(sim.counters.read().log_ins_refused, 0);
        sim.stop().await;
    }
}

#[::tokio::test]
async fn a_spent_nonce_is_refused_but_is_no_wrong_password() {
    let sim = simulator(&hour("nonce_once = true")).await;
    let challenge = ask(sim.http_addr, "GET", INFO, "", "").await;
    let header = authorization(challenge.challenge(), "GET", INFO, PASSWORD);
    assert_eq!(ask(sim.http_addr, "GET", INFO, &header, "").await.status, 200);
    assert_eq!(ask(sim.http_addr, "GET", INFO, &header, "").await.status, 401);
    assert_eq!(sim.counters.read().log_ins_refused, 0);
}

#[::tokio::test]
async fn wrong_passwords_lock_out_and_looking_costs_nothing() {
    let sim = simulator(&hour("lock_out_attempts = 3")).await;
    let check = "/ISAPI/Security/userCheck";
    for left in ["3", "2", "1"] {
        let got = ask(sim.http_addr, "GET", check, "", "").await;
        assert_eq!((got.status, got.all("lockStatus")), (401, vec!["unlock".to_owned()]));
        assert_eq!(got.all("retryLoginTime"), [left]);
        let header = authorization(got.challenge(), "GET", INFO, "wrong");
        assert_eq!(ask(sim.http_addr, "GET", INFO, &header, "").await.status, 401);
    }
    let got = get(&sim, "GET", INFO, "").await;
    assert_eq!((got.status, got.all("lockStatus")), (401, vec!["lock".to_owned()]));
    let seconds: u64 = got.all("unlockTime")[0].parse().unwrap();
    assert!((1700..=1800).contains(&seconds));
    let r = sim.counters.read();
    assert_eq!((r.log_ins_refused, r.log_ins_after_refusal, r.lock_outs), (4, 3, 1));
}

#[::tokio::test]
async fn the_old_generation_has_its_own_paths_and_speaks_basic() {
    let sim = simulator(&hour("profile = \"psia-dvr\"")).await;
    let basic = "Authorization: Basic YWRtaW46c2ltdWxhdGVkLTE=\r\n";
    let wrong = "Authorization: Basic YWRtaW46d3Jvbmc=\r\n";
    let check = "/PSIA/Custom/SelfExt/userCheck";
    let status = |got: &Got| (got.status, got.all("statusValue"));
    let got = ask(sim.http_addr, "GET", check, basic, "").await;
    assert_eq!(status(&got), (200, vec!["200".to_owned()]));
    // A refusal under 200.
    let got = ask(sim.http_addr, "GET", check, wrong, "").await;
    assert_eq!(status(&got), (200, vec!["401".to_owned()]));
    assert_eq!(ask(sim.http_addr, "GET", INFO, basic, "").await.status, 404);
    let got = ask(sim.http_addr, "GET", "/PSIA/System/deviceInfo", basic, "").await;
    assert_eq!(got.all("deviceDescription"), ["DVR"]);
    let search = "<CMSearchDescription><searchID>1</searchID><trackIDList><trackID>101</trackID>\
                  </trackIDList><timeSpanList><timeSpan><startTime>2026-06-01T12:00:00Z</startTime>\
                  <endTime>2026-06-01T12:10:00Z</endTime></timeSpan></timeSpanList>\
                  <maxResults>40</maxResults></CMSearchDescription>";
    let got = ask(sim.http_addr, "POST", "/PSIA/ContentMgmt/search", basic, search).await;
    assert!(got.all("playbackURI")[0].contains("/PSIA/streaming/tracks/101/?starttime="));
}

#[::tokio::test]
async fn refusals_as_the_generations_word_them() {
    let sim = simulator(&hour("profile = \"nvr-4.60\"")).await;
    let got = get(&sim, "GET", "/ISAPI/System/Video/inputs/channels", "").await;
    assert_eq!((got.status, got.all("subStatusCode")), (403, vec!["notSupport".to_owned()]));
    let got = get(&sim, "GET", "/ISAPI/Event/triggers/nothing-9", "").await;
    assert_eq!((got.status, got.all("statusString")), (503, vec!["Device Busy".to_owned()]));
    let got = ask(sim.http_addr, "GET", "/doc/page/login.asp", "", "").await;
    assert_eq!(got.status, 200);
    assert!(got.text().starts_with("<!doctype html>"));
    sim.control.change(|f| f.busy_requests = 2);
    for status in [503, 503, 401] {
        assert_eq!(ask(sim.http_addr, "GET", INFO, "", "").await.status, status);
    }
}

#[::tokio::test]
async fn times_are_written_in_every_broken_way() {
    let sim = simulator(&hour("")).await;
    let fits = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(t, p)| match p {
                b'#' => t.is_ascii_digit(),
                _ => t == p,
            })
    };
    let winter = sim.recorder().label(sim.recorder().now()).date().1;
    let offset = if (4..=10).contains(&winter) { "2" } else { "1" };
    use crate::LocalTime::*;
    for (form, pattern) in [
        (Offset, format!("####-##-##T##:##:##+0{offset}:00")),
        (Plain, "####-##-##T##:##:##".to_owned()),
        (MinutesZ, "####-##-##T##:##Z".to_owned()),
        (OneDigitHour, format!("####-##-##T##:##:##+{offset}:00")),
        (SignLost, format!("####-##-##T##:##:##0{offset}:00")),
    ] {
        sim.recorder().change_behaviour(|b| b.local_time = form);
        let got = get(&sim, "GET", "/ISAPI/System/time", "").await;
        assert!(fits(&got.all("localTime")[0], &pattern), "{form:?}: {}", got.text());
    }
}

#[::tokio::test]
async fn other_programs_can_ask_for_the_truth() {
    let sim = simulator(&hour("")).await;
    let got = ask(sim.http_addr, "GET", "/-/truth", "", "").await;
    let truth: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
    let span = &truth["channels"][0]["spans"][0];
    assert_eq!(
        (&span["from"], &span["to"]),
        (&"2026-06-01T10:00:00Z".into(), &"2026-06-01T11:00:00Z".into())
    );
    assert_eq!(truth["channels"][0]["segments"].as_array().unwrap().len(), 30);
    assert_eq!(truth["clock_offset_us"], 137_400_000);
    let got = ask(sim.http_addr, "POST", "/-/overwrite", "", "2026-06-01T10:30:00Z").await;
    assert_eq!(got.status, 200);
    assert_eq!(sim.truth().channels[0].segments.len(), 15);
    let got = ask(sim.http_addr, "POST", "/-/faults", "", "{\"busy_requests\": 1}").await;
    assert_eq!(got.status, 200);
    assert_eq!(sim.control.faults().busy_requests, 1);
    // None of this counts as the recorder's traffic.
    assert_eq!(sim.counters.read().requests, 0);
}
