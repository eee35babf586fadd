//! Footage over HTTP, decoded by ffmpeg.

use super::*;

const DOWNLOAD: &str = "/ISAPI/ContentMgmt/download";

fn body(uri: &str) -> String {
    format!("<downloadRequest><playbackURI>{uri}</playbackURI></downloadRequest>")
}

fn window(from: &str, to: &str) -> String {
    body(&format!("rtsp://1.2.3.4/Streaming/tracks/101?starttime={from}&amp;endtime={to}"))
}

async fn decoded_file(bytes: &[u8]) -> Option<Vec<Utc>> {
    let file = std::env::temp_dir().join(format!("dvrgate-{:016x}.ps", rand::random::<u64>()));
    std::fs::write(&file, bytes).unwrap();
    let shown = decoded(&["-i", file.to_str().unwrap()], (256, 144), 100_000).await;
    std::fs::remove_file(&file).unwrap();
    shown
}

#[::tokio::test]
async fn a_window_starts_at_the_key_picture_before_and_ends_with_its_last_second() {
    // 10:00:00 UTC is 12:02:17.4 on the wall.
    for (envelope, start) in [("long", 64), ("media-header", 40), ("none", 0)] {
        let sim = simulator(&hour(&format!("envelope = \"{envelope}\""))).await;
        let request = window("20260601T120220Z", "20260601T120224Z");
        let got = get(&sim, "POST", DOWNLOAD, &request).await;
        assert!(got.head.contains("Content-Type: Opaque/data\r\n"));
        assert_eq!(got.body[start..start + 4], [0, 0, 1, 0xBA]);
        assert_eq!(sim.counters.read().playback_open, 0);
        let Some(shown) = decoded_file(&got.body).await else { return };
        // 12:02:20.0 is 10:00:02.6: the group began at :02; 12:02:25.0 is 10:00:07.6.
        assert_eq!(shown, grid("2026-06-01T10:00:02Z", "2026-06-01T10:00:07.6Z"));
    }
}

#[::tokio::test]
async fn issued_uris_of_neighbours_give_every_picture_once() {
    let sim = simulator(
        &(hour("listing = \"files\"\nissued_uris_only = true") + "[storage]\nfile = \"20s\"\n"),
    )
    .await;
    assert_eq!(
        get(&sim, "POST", DOWNLOAD, &window("20260601T120220Z", "20260601T120224Z")).await.status,
        400
    );
    let list = search(&sim, 101, "2026-06-01T12:03:00Z", "2026-06-01T12:03:30Z", "").await;
    let mut shown = Vec::new();
    for uri in list.all("playbackURI") {
        let got = get(&sim, "POST", DOWNLOAD, &body(&uri)).await;
        let Some(pictures) = decoded_file(&got.body).await else { return };
        shown.extend(pictures);
    }
    // Files are on 20 s from 10:00:00; the window is 10:00:42.6 to 10:01:12.6.
    assert_eq!(shown, grid("2026-06-01T10:00:40Z", "2026-06-01T10:01:20Z"));
}

#[::tokio::test]
async fn each_occurrence_of_a_doubled_hour_by_name_and_the_first_by_time() {
    let scenario = "[clock]\nzone = \"Europe/Bratislava\"\n[storage]\nfile = \"20s\"\n\
                    [behaviour]\nlisting = \"files\"\n[[channel]]\nid = 1\n\
                    [[channel.recorded]]\nfrom = \"2025-10-26T00:30:00Z\"\n\
                    to = \"2025-10-26T00:30:20Z\"\n[[channel.recorded]]\n\
                    from = \"2025-10-26T01:30:00Z\"\nto = \"2025-10-26T01:30:20Z\"\n";
    let sim = simulator(scenario).await;
    let list = search(&sim, 101, "2025-10-26T02:00:00Z", "2025-10-26T02:59:59Z", "").await;
    let uris = list.all("playbackURI");
    assert_eq!(list.all("startTime"), ["2025-10-26T02:30:00Z", "2025-10-26T02:30:00Z"]);
    let by_time = window("20251026T023000Z", "20251026T023020Z");
    for (request, hour) in [(body(&uris[0]), "00"), (body(&uris[1]), "01"), (by_time, "00")] {
        let got = get(&sim, "POST", DOWNLOAD, &request).await;
        let Some(shown) = decoded_file(&got.body).await else { return };
        let expected =
            grid(&format!("2025-10-26T{hour}:30:00Z"), &format!("2025-10-26T{hour}:30:20Z"));
        assert_eq!(shown, expected);
    }
}

#[::tokio::test]
async fn methods_lengths_and_refusals() {
    let sim = simulator(&hour("download = \"get\"")).await;
    let request = window("20260601T120220Z", "20260601T120221Z");
    let got = get(&sim, "POST", DOWNLOAD, &request).await;
    assert_eq!((got.status, got.all("subStatusCode")), (403, vec!["methodNotAllowed".to_owned()]));
    let whole = get(&sim, "GET", DOWNLOAD, &request).await.body;
    assert!(whole.len() > 10_000);
    sim.recorder().change_behaviour(|b| {
        b.wrong_method = crate::WrongMethod::Empty;
        b.content_length = crate::ContentLength::Zero;
    });
    let got = get(&sim, "POST", DOWNLOAD, &request).await;
    assert_eq!((got.status, got.body.len()), (200, 0));
    let got = get(&sim, "GET", DOWNLOAD, &request).await;
    assert!(got.head.contains("Content-Length: 0\r\n"));
    assert_eq!(got.body, whole);

    sim.recorder().change_behaviour(|b| b.content_length = crate::ContentLength::Right);
    sim.control.change(|f| f.truncate_after_bytes = Some(1000));
    assert_eq!(get(&sim, "GET", DOWNLOAD, &request).await.body, whole[..1000]);
    sim.control.change(|f| {
        *f = dvrgate_testkit::Faults { drop_after_headers_every: 2, ..Default::default() }
    });
    let lengths =
        [get(&sim, "GET", DOWNLOAD, &request).await, get(&sim, "GET", DOWNLOAD, &request).await]
            .map(|got| got.body.len());
    assert_eq!(lengths, [whole.len(), 0]);

    // Overwritten since it was listed: a refusal under 200.
    sim.overwrite_before(utc("2026-06-01T12:00:00Z"));
    let got = get(&sim, "GET", DOWNLOAD, &request).await;
    assert_eq!((got.status, got.all("statusCode")), (200, vec!["3".to_owned()]));
}

#[::tokio::test]
async fn downloads_count_as_playback() {
    let sim = simulator(&hour("playback_sessions = 1\ndownload_rate = 1000")).await;
    let request = window("20260601T120220Z", "20260601T125900Z");
    let challenge = ask(sim.http_addr, "POST", DOWNLOAD, "", &request).await;
    let header = authorization(challenge.challenge(), "POST", DOWNLOAD, PASSWORD);
    let mut socket = TcpStream::connect(sim.http_addr).await.unwrap();
    let text = format!(
        "POST {DOWNLOAD} HTTP/1.1\r\n{header}Content-Length: {}\r\n\r\n{request}",
        request.len()
    );
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut start = [0; 4096];
    assert!(socket.read(&mut start).await.unwrap() > 0);
    assert_eq!(get(&sim, "POST", DOWNLOAD, &request).await.status, 503);
    // The client leaves: the recorder notices.
    drop(socket);
    while sim.counters.read().playback_open > 0 {
        ::tokio::task::yield_now().await;
    }
    let r = sim.counters.read();
    assert_eq!((r.playback_max, r.playback_refused, r.sins.len()), (1, 1, 1));
}

#[::tokio::test]
async fn an_encoding_that_changes_on_the_way() {
    let footage = "[channel.recorded.footage]\ncodec = \"h265\"\n";
    let scenario = "[[channel]]\nid = 1\naudio = true\n[[channel.recorded]]\n\
                    from = \"2026-06-01T10:00:00Z\"\nto = \"2026-06-01T10:00:10Z\"\n"
        .to_owned()
        + footage
        + "[[channel.recorded]]\nfrom = \"2026-06-01T10:00:10Z\"\nto = \"2026-06-01T10:00:20Z\"\n";
    let sim = simulator(&scenario).await;
    let list = search(&sim, 101, "2026-06-01T10:00:00Z", "2026-06-01T10:00:30Z", "").await;
    assert_eq!(list.all("startTime"), ["2026-06-01T10:00:00Z", "2026-06-01T10:00:10Z"]);
    let got = get(&sim, "POST", DOWNLOAD, &body(&list.all("playbackURI")[0])).await;
    let Some(shown) = decoded_file(&got.body).await else { return };
    // The labelled end is a whole second that belongs to the file; there is no more in it.
    assert_eq!(shown, grid("2026-06-01T10:00:00Z", "2026-06-01T10:00:10Z"));
    // One window over both: each map says what follows.
    let got = get(&sim, "POST", DOWNLOAD, &window("20260601T100000Z", "20260601T100019Z")).await;
    let kinds: Vec<u8> = got
        .body
        .windows(4)
        .enumerate()
        .filter(|(_, w)| *w == [0, 0, 1, 0xBC])
        .map(|(at, _)| got.body[at + 4 + 2 + 2 + 2 + 36 + 2])
        .collect();
    assert_eq!(kinds, [0x24, 0x24, 0x24, 0x24, 0x24, 0x1B, 0x1B, 0x1B, 0x1B, 0x1B]);
}
