//! The index: paging, labels, the doubled hour, growth, the log.

use std::sync::Arc;

use dvrgate_testkit::SimulatedClock;

use super::*;

/// Start labels of all items, page by page as a careful client does it.
async fn starts(sim: &Handle, from: &str, to: &str) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let extra = format!("<searchResultPostion>{}</searchResultPostion>", found.len());
        let got = search(sim, 101, from, to, &extra).await;
        let page = got.all("startTime");
        found.extend(page.clone());
        if got.all("responseStatusStrg") != ["MORE"] || page.is_empty() {
            return found;
        }
        assert!(found.len() < 1000, "endless");
    }
}

const DAY: (&str, &str) = ("2026-06-01T00:00:00Z", "2026-06-01T23:59:59Z");

#[::tokio::test]
async fn pages_of_files_and_merged_spans() {
    let scenario = hour("listing = \"files\"\npage_size = 7") + "[storage]\nfile = \"1m\"\n";
    let sim = simulator(&scenario).await;
    let all = starts(&sim, DAY.0, DAY.1).await;
    assert_eq!(all.len(), 60);
    // 10:00:00 UTC on a clock that is 137.4 s ahead, in summer time; `Z` is the wall clock.
    assert_eq!(all[0], "2026-06-01T12:02:17Z");
    assert!(all.is_sorted());
    // The right spelling of the position is not known to the recorder.
    let got =
        search(&sim, 101, DAY.0, DAY.1, "<searchResultPosition>7</searchResultPosition>").await;
    assert_eq!(got.all("startTime"), all[..7]);

    sim.recorder().change_behaviour(|b| b.listing = crate::Listing::Merged);
    let got = search(&sim, 101, DAY.0, DAY.1, "").await;
    assert_eq!(got.all("startTime"), all[..1]);
    assert_eq!(got.all("endTime"), ["2026-06-01T13:02:17Z"]);
    assert_eq!(search(&sim, 102, DAY.0, DAY.1, "").await.all("responseStatusStrg"), ["NO MATCHES"]);
}

#[::tokio::test]
async fn more_can_be_endless() {
    let sim = simulator(&hour("more = \"endless-repeat\"")).await;
    let page = "<searchResultPostion>500</searchResultPostion>";
    let got = search(&sim, 101, DAY.0, DAY.1, page).await;
    assert_eq!(
        (got.all("responseStatusStrg"), got.all("trackID").len()),
        (vec!["MORE".to_owned()], 1)
    );
    sim.recorder().change_behaviour(|b| b.more = crate::MoreMark::EndlessEmpty);
    let got = search(&sim, 101, DAY.0, DAY.1, page).await;
    assert_eq!(
        (got.all("responseStatusStrg"), got.all("trackID").len()),
        (vec!["MORE".to_owned()], 0)
    );
}

#[::tokio::test]
async fn windows_that_the_firmware_does_not_bear() {
    let sim = simulator(&hour("refuse_future = true\nmax_results = 50")).await;
    let status = |got: Got| (got.status, got.all("subStatusCode").concat());
    let bad = (400, "badParameters".to_owned());
    assert_eq!(status(search(&sim, 101, DAY.0, "2037-01-01T00:00:00Z", "").await), bad);
    assert_eq!(status(search(&sim, 101, DAY.0, "2040-01-01T00:00:00Z", "").await), bad);
    assert_eq!(status(search(&sim, 101, DAY.0, DAY.1, "<maxResults>64</maxResults>").await), bad);
    // Too wide: every other time.
    let wide = ("2026-04-01T00:00:00Z", "2026-06-01T23:59:59Z");
    let few = "<maxResults>40</maxResults>";
    assert_eq!(search(&sim, 101, wide.0, wide.1, few).await.status, 500);
    assert_eq!(search(&sim, 101, wide.0, wide.1, few).await.status, 200);
    assert_eq!(sim.counters.read().sins.len(), 2);
    let malformed = get(&sim, "POST", "/ISAPI/ContentMgmt/search", "<a><b></a>").await;
    assert_eq!(status(malformed), (400, "badXmlFormat".to_owned()));
}

#[::tokio::test]
async fn the_zone_mark_can_be_true_or_an_offset() {
    let sim = simulator(&hour("")).await;
    let first = async |mark| {
        sim.recorder().change_behaviour(|b| b.zone_mark = mark);
        search(&sim, 101, DAY.0, DAY.1, "").await.all("startTime")[0].clone()
    };
    assert_eq!(first(crate::ZoneMark::Local).await, "2026-06-01T12:02:17Z");
    assert_eq!(first(crate::ZoneMark::Utc).await, "2026-06-01T10:02:17Z");
    assert_eq!(first(crate::ZoneMark::Offset).await, "2026-06-01T12:02:17+02:00");
}

#[::tokio::test]
async fn an_hour_that_occurs_twice_is_listed_twice() {
    let scenario = "[behaviour]\nlisting = \"merged\"\n[clock]\nzone = \"Europe/Bratislava\"\n\
                    [[channel]]\nid = 1\n[[channel.recorded]]\nfrom = \"2025-10-25T23:30:00Z\"\n\
                    to = \"2025-10-26T02:30:00Z\"\n";
    let sim = simulator(scenario).await;
    let got = search(&sim, 101, "2025-10-26T00:00:00Z", "2025-10-26T23:59:59Z", "").await;
    assert_eq!(got.all("startTime"), ["2025-10-26T01:30:00Z", "2025-10-26T02:00:00Z"]);
    assert_eq!(got.all("endTime"), ["2025-10-26T03:00:00Z", "2025-10-26T03:30:00Z"]);
    let spring = scenario
        .replace("2025-10-25T23:30", "2026-03-29T00:30")
        .replace("2025-10-26T02:30", "2026-03-29T01:30");
    let sim = simulator(&spring).await;
    let got = search(&sim, 101, "2026-03-29T00:00:00Z", "2026-03-29T23:59:59Z", "").await;
    assert_eq!(got.all("startTime"), ["2026-03-29T01:30:00Z", "2026-03-29T03:00:00Z"]);
    assert_eq!(got.all("endTime"), ["2026-03-29T02:00:00Z", "2026-03-29T03:30:00Z"]);
}

#[::tokio::test]
async fn what_is_being_recorded_grows_and_the_oldest_goes() {
    let text = "[storage]\nfile = \"10m\"\nretention = \"1h\"\n[behaviour]\nlisting = \"files\"\n\
                [[channel]]\nid = 1\n[[channel.recorded]]\nfrom = \"-59m\"\nto = \"now\"\n";
    let clock = Arc::new(SimulatedClock::frozen_at(utc("2026-06-01T12:00:00Z")));
    let scenario = Scenario::parse(text).unwrap();
    let sim = Simulator::start_at(&scenario, Options::default(), clock.clone()).await.unwrap();
    let first = search(&sim, 101, DAY.0, DAY.1, "").await;
    assert_eq!(first.all("startTime")[0], "2026-06-01T11:01:00Z");
    assert_eq!(first.all("endTime").last().unwrap(), "2026-06-01T12:00:00Z");
    clock.advance(Duration::from_secs(7 * 60));
    let second = search(&sim, 101, DAY.0, DAY.1, "").await;
    assert_eq!(second.all("startTime")[0], "2026-06-01T11:11:00Z");
    assert_eq!(second.all("endTime").last().unwrap(), "2026-06-01T12:07:00Z");
    // The same file, longer.
    let names = |got: &Got| got.all("name");
    assert!(names(&second).contains(names(&first).last().unwrap()));
}

#[::tokio::test]
async fn the_calendar_has_a_month_of_local_days() {
    let scenario = "[clock]\nzone = \"Asia/Kolkata\"\n[[channel]]\nid = 1\n[[channel.recorded]]\n\
                    from = \"2026-02-10T18:40:00Z\"\nto = \"2026-02-10T18:45:00Z\"\n\
                    reason = \"motion\"\n";
    let sim = simulator(scenario).await;
    let target = "/ISAPI/ContentMgmt/record/tracks/101/dailyDistribution";
    let body = "<trackDailyParam><year>2026</year><monthOfYear>02</monthOfYear></trackDailyParam>";
    let got = get(&sim, "POST", target, body).await;
    let days = got.all("record");
    assert_eq!(days.len(), 28);
    // 18:40 UTC is the next day at 00:10.
    let recorded: Vec<usize> = (0..28).filter(|&i| days[i] == "true").map(|i| i + 1).collect();
    assert_eq!((recorded, got.all("recordType")), (vec![11], vec!["event".to_owned()]));
    for wrong in ["<a/>", "<a><year>2026</year><monthOfYear>13</monthOfYear></a>"] {
        assert_eq!(get(&sim, "POST", target, wrong).await.status, 400);
    }
}

#[::tokio::test]
async fn the_log_is_capped_without_a_word_and_local() {
    let scenario = hour("log_cap = 50")
        + "[[event]]\nkind = \"motion\"\nchannel = 1\nat = \"2026-06-01T10:00:00Z\"\n\
           until = \"2026-06-01T11:00:00Z\"\nevery = \"1m\"\nlasting = \"10s\"\n\
           [[event]]\nkind = \"disk-error\"\nat = \"2026-06-01T10:30:00Z\"\n";
    let sim = simulator(&scenario).await;
    let log = async |category: &str, position: usize| {
        let body = format!(
            "<CMSearchDescription><searchID>1</searchID><metaId>{category}</metaId>\
             <timeSpanList><timeSpan><startTime>2026-06-01T00:00:00Z</startTime>\
             <endTime>2026-06-01T23:59:59Z</endTime></timeSpan></timeSpanList>\
             <maxResults>40</maxResults><searchResultPostion>{position}</searchResultPostion>\
             </CMSearchDescription>"
        );
        get(&sim, "POST", "/ISAPI/ContentMgmt/logSearch", &body).await
    };
    let got = log("log.std-cgi.com/Alarm", 0).await;
    assert_eq!(got.all("StartDateTime")[..2], ["2026-06-01T12:02:17", "2026-06-01T12:02:27"]);
    assert_eq!(
        got.all("metaId")[..2],
        ["log.hikvision.com/Alarm/motionStart/1", "log.hikvision.com/Alarm/motionStop/1"]
    );
    let rest = log("log.std-cgi.com/Alarm", 40).await;
    // 120 lines were written.
    assert_eq!((rest.all("totalMatches"), rest.all("metaId").len()), (vec!["50".to_owned()], 10));
    assert_eq!(rest.all("responseStatusStrg"), ["OK"]);
    let got = log("log.hikvision.com/Exception", 0).await;
    assert_eq!(got.all("metaId"), ["log.hikvision.com/Exception/hdError"]);
    sim.recorder().change_behaviour(|b| b.log_prefix = crate::LogPrefix::StdCgi);
    assert_eq!(
        log("log.hikvision.com/Exception", 0).await.all("responseStatusStrg"),
        ["NO MATCHES"]
    );
}
