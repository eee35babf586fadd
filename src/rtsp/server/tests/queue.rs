//! PLAYs that wait for each other (RFC 2326 10.5, 10.6; R8.10-4).

use super::*;

/// That frame's time, as a text of RTSP.
fn at(frame: i64) -> String {
    let range = ClockRange { start: Some(frame_at(frame)), end: None };
    range.to_string().trim_start_matches("clock=").trim_end_matches('-').to_owned()
}

/// From one frame to before another.
fn range(from: i64, to: i64) -> String {
    format!("Range: clock={}-{}\n", at(from), at(to))
}

struct Player {
    bench: Bench,
    session: String,
    cseq: u32,
}

impl Player {
    fn new() -> Self {
        let mut bench = Bench::new(ServerConfig::default());
        let session = setup(&mut bench);
        Self { bench, session, cseq: 100 }
    }

    fn ask(&mut self, method: &str, fields: &str) -> Vec<u8> {
        self.cseq += 1;
        let (cseq, session) = (self.cseq, &self.session);
        let text = format!("{method} {URL} RTSP/1.0\nCSeq: {cseq}\nSession: {session}\n{fields}\n");
        self.bench.send(&text)
    }

    /// PLAY of that range, paced; the frames that came with the answer.
    fn play(&mut self, fields: &str) -> (u16, Vec<(i64, u8)>) {
        let wire = self.ask("PLAY", fields);
        (status(&wire), frames(&wire))
    }

    /// Frames of the next seconds, each with the low byte of the CSeq of its PLAY.
    fn watch(&mut self, seconds: i64) -> Vec<(i64, u8)> {
        (0..seconds * 25)
            .flat_map(|_| frames(&self.bench.wait(Duration::from_millis(40))))
            .collect()
    }
}

fn frames(wire: &[u8]) -> Vec<(i64, u8)> {
    let marked = packets(wire).iter().filter_map(extension).collect::<Vec<_>>();
    marked.iter().map(|e| (e.at.since_us(frame_at(0)) / 40_000, e.cseq)).collect()
}

fn numbered(ranges: &[(std::ops::Range<i64>, u8)]) -> Vec<(i64, u8)> {
    ranges.iter().flat_map(|(r, cseq)| r.clone().map(|n| (n, *cseq))).collect()
}

/// R8.10-4, R8.5.2-3, R8.3-12: one after the other, each with the number of its own PLAY; the first
/// unit of each says that it does not follow (R8.3-9).
#[test]
fn closed_ranges_are_played_one_after_the_other() {
    let mut p = Player::new();
    let (status, mut got) = p.play(&range(0, 5));
    assert_eq!(status, 200);
    let wire = p.ask("PLAY", &range(25, 30));
    // Answered at once: what is known is the range; where its packets begin is not.
    assert_eq!(field(&wire, "Range"), format!("clock={}-{}", at(25), at(30)));
    assert_eq!(field(&wire, "RTP-Info"), format!("url={URL}/track1"));
    assert_eq!(frames(&wire), [], "it waits");
    p.play(&range(45, 200));
    got.extend(p.watch(3));
    assert_eq!(got, numbered(&[(0..5, 101), (25..30, 102), (45..50, 103)]));
    let asked: Vec<bool> = p.bench.asked.iter().map(|a| a.discontinuity).collect();
    assert_eq!(asked, [false, true, true]);
    // Over: another one waits for nothing.
    assert_eq!(p.play(&range(10, 12)).1, [(10, 104)]);
}

/// RFC 2326 10.5: without a Range it is a question whether the server lives.
#[test]
fn a_play_without_a_range_changes_nothing() {
    let mut p = Player::new();
    let (_, mut got) = p.play(&range(0, 5));
    p.play(&range(25, 30));
    let wire = p.ask("PLAY", "");
    assert_eq!(status(&wire), 200);
    got.extend(p.watch(2));
    let numbers: Vec<i64> = got.iter().map(|g| g.0).collect();
    assert_eq!(numbers, (0..5).chain(25..30).collect::<Vec<_>>());
}

/// R8.5.1-5: a PLAY that only changes how goes on from where playback stands to the end that was asked
/// for, and what waits still waits.
#[test]
fn a_change_of_scale_keeps_the_end_and_what_waits() {
    let mut p = Player::new();
    let (_, mut got) = p.play(&range(0, 20));
    p.play(&range(25, 27));
    got.extend(p.play("Scale: 2.0\n").1);
    got.extend(p.watch(2));
    assert_eq!(got, numbered(&[(0..1, 101), (1..20, 103), (25..27, 102)]));
    // In the other direction there is no such end.
    p.play(&range(0, 20));
    p.play("Scale: -1.0\n");
    assert_eq!(p.bench.asked.last().unwrap().range, None);
}

/// R8.10-1, R8.10-2: what plays and what waits is dropped.
#[test]
fn immediate_drops_what_plays_and_what_waits() {
    let mut p = Player::new();
    p.play(&range(0, 20));
    p.play(&range(25, 30));
    let (status, mut got) = p.play(&format!("Immediate: yes\n{}", range(40, 45)));
    assert_eq!(status, 200);
    got.extend(p.watch(3));
    assert_eq!(got, numbered(&[(40..45, 103)]));
    assert!(p.bench.asked.last().unwrap().discontinuity);
}

/// R8.10-1: who scrubs over footage that has to be fetched first is not held up by places that it has
/// left already; what is refused changes nothing, and other requests wait for their turn.
#[test]
fn immediate_overtakes_a_play_that_is_not_answered_yet() {
    let mut p = Player::new();
    p.bench.slow = true;
    assert_eq!(p.ask("PLAY", &range(0, 5)), b"", "not known yet where it begins");
    let jump = |frame| format!("Immediate: yes\nRange: clock={}-\n", at(frame));
    for frame in [10, 20] {
        let wire = p.ask("PLAY", &jump(frame));
        assert_eq!((status(&wire), field(&wire, "CSeq")), (200, (p.cseq - 1).to_string()));
        assert_eq!(field(&wire, "RTP-Info"), format!("url={URL}/track1"));
    }
    // The one before is answered, and goes on.
    let wire = p.ask("PLAY", "Immediate: yes\nRange: smpte=1-\n");
    let answers = text(&wire);
    let codes: Vec<&str> = answers.lines().filter_map(|l| l.strip_prefix("RTSP/1.0 ")).collect();
    assert_eq!(codes, ["200 OK", "457 Invalid Range"], "{answers}");
    assert_eq!(p.ask("GET_PARAMETER", ""), b"", "in its turn");
    p.bench.slow = false;
    let playing = Clip.play(p.bench.asked.last().unwrap().clone()).now_or_never().unwrap().unwrap();
    assert!(p.bench.connection.playing(Ok(&playing), p.bench.now));
    p.bench.units = Some(playing.units);
    let wire = p.bench.run();
    assert_eq!(field(&wire, "CSeq"), p.cseq.to_string(), "GET_PARAMETER");
    let mut got = frames(&wire);
    got.extend(p.watch(1));
    assert_eq!(got[..3], numbered(&[(20..23, 103)]));
    // The end of the session waits for nothing.
    p.bench.slow = true;
    p.ask("PLAY", &jump(30));
    let codes = text(&p.ask("TEARDOWN", ""));
    assert_eq!(codes.matches("RTSP/1.0 200 OK").count(), 2, "{codes}");
    assert!(p.bench.connection.session.is_none() && p.bench.units.is_none());
}

/// A range without an end has nothing after it: what comes during it takes its place.
#[test]
fn a_range_without_an_end_does_not_hold_up_others() {
    let mut p = Player::new();
    p.play(&format!("Range: clock={}-\n", at(0)));
    assert_eq!(p.play(&range(30, 32)).1, [(30, 102)]);
    // The last of those that wait may have none.
    assert_eq!(p.play(&format!("Range: clock={}-\n", at(48))).0, 200);
    assert_eq!(p.play(&range(10, 11)).0, 455, "nothing can be behind it");
    assert_eq!(p.watch(3), numbered(&[(31..32, 102), (48..50, 103)]));
}

/// As many as [`MAX_QUEUED`] wait, and contradictions are refused before they do (R8.5.2-4).
#[test]
fn the_queue_is_bounded() {
    let mut p = Player::new();
    let (_, mut got) = p.play(&range(0, 2));
    assert_eq!(p.play(&range(9, 3)).0, 457);
    assert_eq!(p.play("Range: npt=9-3\n").0, 457);
    for _ in 0..MAX_QUEUED {
        assert_eq!(p.play(&range(10, 11)).0, 200);
    }
    assert_eq!(p.play(&range(20, 21)).0, 503);
    got.extend(p.watch(2));
    let numbers: Vec<i64> = got.iter().map(|g| g.0).collect();
    assert_eq!(numbers, [[0, 1].as_slice(), &[10; MAX_QUEUED]].concat());
}

/// One that cannot be played is left out.
#[test]
fn a_refused_play_does_not_hold_up_those_behind_it() {
    let mut p = Player::new();
    p.play(&range(0, 2));
    p.play("Range: clock=19600101T000000Z-19600101T000001Z\n");
    p.play(&range(10, 12));
    assert_eq!(p.watch(1), numbered(&[(1..2, 101), (10..12, 103)]));
}

/// R8.10-5: PAUSE drops what waits, and PLAY takes up what was played.
#[test]
fn pause_drops_what_waits() {
    let mut p = Player::new();
    let (_, mut got) = p.play(&range(0, 10));
    p.play(&range(25, 30));
    p.ask("PAUSE", "");
    assert_eq!(p.watch(2), []);
    p.play("");
    got.extend(p.watch(2));
    assert_eq!(got, numbered(&[(0..1, 101), (1..10, 104)]));
}

/// R8.10-6 with PLAYs that wait; the examples of RFC 2326 10.6 with frames for seconds.
#[test]
fn pause_at_a_time_in_what_waits() {
    let pause = |frame: i64| format!("Range: clock={}-\n", at(frame));
    // In the one that waits: it stops there, and those behind it are dropped.
    let mut p = Player::new();
    let (_, mut got) = p.play(&range(10, 15));
    p.play(&range(20, 29));
    p.play(&range(40, 45));
    assert_eq!(status(&p.ask("PAUSE", &pause(21))), 200);
    got.extend(p.watch(2));
    assert_eq!(got, numbered(&[(10..15, 101), (20..21, 102)]));
    // And goes on there.
    let wire = p.ask("PLAY", "");
    assert_eq!(field(&wire, "Range"), format!("clock={}-{}", at(21), at(29)));
    assert_eq!([frames(&wire), p.watch(2)].concat(), numbered(&[(21..29, 105)]));

    // Between the two: it stops after the first.
    let mut p = Player::new();
    let (_, mut got) = p.play(&range(10, 15));
    p.play(&range(20, 29));
    assert_eq!(status(&p.ask("PAUSE", &pause(16))), 200);
    got.extend(p.watch(2));
    assert_eq!(got, numbered(&[(10..15, 101)]));

    // Passed already: it stops at once, and PLAY resumes at that time all the same.
    let mut p = Player::new();
    p.play(&range(10, 40));
    p.watch(1);
    let wire = p.ask("PAUSE", &pause(12));
    assert_eq!((status(&wire), field(&wire, "Range")), (200, format!("clock={}-", at(12))));
    assert_eq!(p.watch(1), []);
    assert_eq!(p.play("").1, [(12, 103)]);

    // A PLAY that came after the PAUSE begins when that is reached.
    let mut p = Player::new();
    let (_, mut got) = p.play(&range(10, 40));
    p.ask("PAUSE", &pause(12));
    p.play(&range(20, 22));
    got.extend(p.watch(2));
    assert_eq!(got, numbered(&[(10..12, 101), (20..22, 103)]));

    // In normal play time.
    let mut p = Player::new();
    p.bench.send(&format!("DESCRIBE {URL} RTSP/1.0\nCSeq: 9\n\n"));
    let (_, mut got) = p.play("Range: npt=0.4-0.6\n");
    p.play("Range: npt=0.8-1.2\n");
    assert_eq!(status(&p.ask("PAUSE", "Range: npt=0.84-\n")), 200);
    got.extend(p.watch(2));
    assert_eq!(got, numbered(&[(10..15, 101), (20..21, 102)]));

    // Outside of all that is pending.
    let mut p = Player::new();
    p.play(&range(10, 15));
    assert_eq!(status(&p.ask("PAUSE", &pause(9))), 457);
    assert_eq!(status(&p.ask("PAUSE", &pause(16))), 457);
}

/// Whatever is asked in whatever order: every request is answered with a status that has a meaning
/// here, packets are numbered without a hole and carry the number of a PLAY, what waits is bounded, and
/// a PLAY that says Immediate is obeyed at the end.
#[test]
fn no_order_of_requests_confuses_a_session() {
    for seed in 0..400u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut p = Player::new();
        let mut wire = Vec::new();
        for _ in 0..40 {
            let (a, b) = (random(60) as i64, random(60) as i64);
            let open = format!("Range: clock={}-\n", at(a));
            let fields = match random(8) {
                0 => String::new(),
                1 | 2 => open,
                3 => format!("Immediate: yes\n{open}"),
                4 => format!("Rate-Control: no\n{}", range(a, b)),
                5 => "Scale: 2.0\n".to_owned(),
                6 => format!("Scale: -1.0\n{}", range(a, b)),
                _ => range(a.min(b), a.max(b)),
            };
            let answer = match random(6) {
                0 => p.ask("PAUSE", ""),
                1 => p.ask("PAUSE", &format!("Range: clock={}-\n", at(a))),
                2 => {
                    let time = Duration::from_millis(random(400));
                    wire.extend(p.bench.wait(time));
                    continue;
                }
                _ => p.ask("PLAY", &fields),
            };
            let text = text(&answer);
            let answers: Vec<&str> =
                text.match_indices("RTSP/1.0 ").map(|(i, _)| &text[i + 9..i + 12]).collect();
            assert_eq!(answers.len(), 1, "{seed}: {fields} {text}");
            assert!(["200", "455", "457", "503"].contains(&answers[0]), "{seed}: {answers:?}");
            wire.extend(answer);
            let session = p.bench.connection.session.as_ref().unwrap();
            assert!(session.queue.len() <= MAX_QUEUED, "{seed}");
        }
        wire.extend(p.ask("PLAY", &format!("Immediate: yes\n{}", range(3, 5))));
        let last = p.cseq as u8;
        for _ in 0..50 {
            wire.extend(p.bench.wait(Duration::from_millis(40)));
        }
        let all = packets(&wire);
        for pair in all.windows(2) {
            let (a, b) = (pair[0].0.header.sequence, pair[1].0.header.sequence);
            assert_eq!(b, a.wrapping_add(1), "{seed}");
        }
        let seen = frames(&wire);
        assert!(seen.iter().all(|f| (101..=last).contains(&f.1)), "{seed}: {seen:?}");
        assert_eq!(seen[seen.len() - 2..], [(3, last), (4, last)], "{seed}");
    }
}
