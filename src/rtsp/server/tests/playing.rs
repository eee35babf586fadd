//! PLAY and PAUSE on the wire of one engine.

use super::*;

/// R8.3-1, R8.3-12, R8.5.1-6, R8.5.1-7, R8.9-1; the answer and the first packets are one write.
#[test]
fn play_without_rate_control() {
    let mut b = Bench::new(ServerConfig::default());
    let session = setup(&mut b);
    let wire = b.send(&format!(
        "PLAY {URL} RTSP/1.0\nCSeq: 259\nSession: {session}\nRequire: onvif-replay\n\
         Rate-Control: no\nRange: clock=19700112T134640Z-\n\n"
    ));
    assert_eq!(status(&wire), 200);
    assert_eq!(field(&wire, "Range"), "clock=19700112T134640Z-");
    assert_eq!(field(&wire, "Rate-Control"), "no");
    let list = packets(&wire);
    let info: crate::headers::RtpInfo = field(&wire, "RTP-Info").parse().unwrap();
    let first = list[0].0.header;
    assert_eq!(info.0[0].url, format!("{URL}/track1"));
    assert_eq!((info.0[0].seq, info.0[0].rtptime), (Some(first.sequence), Some(first.timestamp)));
    for (i, p) in list.iter().enumerate() {
        assert_eq!(p.0.header.sequence, first.sequence.wrapping_add(i as u16), "R8.6-7");
    }
    let marked: Vec<_> = list.iter().filter_map(extension).collect();
    assert_eq!(marked.len(), FRAMES as usize, "one extension an access unit");
    assert!(marked.iter().all(|e| e.cseq == 3), "R8.3-12: low byte of 259");
    assert!(marked.windows(2).all(|w| w[0].at < w[1].at), "R8.3-14");
    assert!(marked[49].terminal && marked[49].end_of_section);
    assert!(b.connection.session.is_some() && !b.closed, "R8.9-1");
    // A further PLAY works without Immediate (R8.5.2-8), with its own number.
    let wire = b.send(&format!(
        "PLAY {URL} RTSP/1.0\nCSeq: 4\nSession: {session}\nRate-Control: no\n\
         Range: clock=19700112T134641Z-\n\n"
    ));
    let again = packets(&wire);
    assert_eq!(extension(&again[0]).map(|e| e.cseq), Some(4));
    let last = list.last().unwrap().0.header.sequence;
    assert_eq!(again[0].0.header.sequence, last.wrapping_add(1), "R8.6-7: no hole between PLAYs");
}

/// R8.5.3-1, R8.10-5, R8.5.2-7, R8.10-6
#[test]
fn pace_pause_and_resume() {
    let mut b = Bench::new(ServerConfig::default());
    let session = setup(&mut b);
    let count = |wire: &[u8]| packets(wire).iter().filter_map(extension).count();
    let wire = b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 3\nSession: {session}\n\n"));
    assert_eq!(count(&wire), 1, "only the first frame is due");
    let mut frames = 0;
    for _ in 0..10 {
        frames += count(&b.wait(Duration::from_millis(40)));
    }
    assert_eq!(frames, 10);
    let wire = b.send(&format!("PAUSE {URL} RTSP/1.0\nCSeq: 4\nSession: {session}\n\n"));
    assert_eq!(field(&wire, "Range"), "clock=19700112T134640.44Z-");
    assert_eq!(count(&b.wait(Duration::from_secs(5))), 0);
    let wire = b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 5\nSession: {session}\n\n"));
    assert_eq!(field(&wire, "Range"), "clock=19700112T134640.44Z-");
    assert_eq!(count(&wire), 0, "time stood still: the next frame is 40 ms away");
    let wire = b.wait(Duration::from_millis(40));
    let next = packets(&wire);
    let e = extension(&next[0]).unwrap();
    assert_eq!((e.at.since_us(Utc::from_secs(START)), e.cseq), (440_000, 5));
    // Pause at a time.
    let at = "clock=19700112T134640.600Z-";
    b.send(&format!("PAUSE {URL} RTSP/1.0\nCSeq: 6\nSession: {session}\nRange: {at}\n\n"));
    let mut last = None;
    for _ in 0..50 {
        let wire = b.wait(Duration::from_millis(40));
        last = packets(&wire).iter().filter_map(extension).map(|e| e.at).next_back().or(last);
    }
    assert_eq!(last.unwrap().since_us(Utc::from_secs(START)), 560_000, "R8.10-6");
    // A stall does not make it rush: at most one frame a frame interval afterwards.
    b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 7\nSession: {session}\n\n"));
    let late = count(&b.wait(Duration::from_secs(1) + Duration::from_millis(200)));
    assert_eq!(late, 1);
    assert_eq!(count(&b.wait(Duration::from_millis(40))), 1);
}

#[test]
fn a_refused_seek_leaves_the_playback_as_it_was() {
    let mut b = Bench::new(ServerConfig::default());
    let session = setup(&mut b);
    b.send(&format!("PLAY {URL} RTSP/1.0\nCSeq: 3\nSession: {session}\n\n"));
    let wire = b.send(&format!(
        "PLAY {URL} RTSP/1.0\nCSeq: 4\nSession: {session}\nRange: clock=19600101T000000Z-\n\n"
    ));
    assert_eq!(status(&wire), 457);
    let next = packets(&b.wait(Duration::from_millis(40)));
    assert_eq!(extension(&next[0]).map(|e| e.cseq), Some(3));
}

/// R8.5.1-6: a PLAY that goes on tells every stream's timestamp at the unit that comes next, on each
/// stream's own clock.
#[test]
fn resuming_tells_the_timestamps_of_all_streams() {
    let mut b = Bench::new(ServerConfig::default());
    let url = "rtsp://192.0.2.10/replay/two";
    let mut session = String::new();
    for track in [1, 2] {
        let wire = b.send(&format!(
            "SETUP {url}/track{track} RTSP/1.0\nCSeq: 2\n{session}Transport: RTP/AVP/TCP\n\n"
        ));
        let id = field(&wire, "Session");
        session = format!("Session: {}\n", id.split(';').next().unwrap());
    }
    let info = |wire: &[u8]| -> Vec<u32> {
        let info: crate::headers::RtpInfo = field(wire, "RTP-Info").parse().unwrap();
        info.0.iter().map(|e| e.rtptime.unwrap()).collect()
    };
    let first = info(&b.send(&format!("PLAY {url} RTSP/1.0\nCSeq: 3\n{session}\n")));
    for _ in 0..10 {
        b.wait(Duration::from_millis(40));
    }
    let wire = b.send(&format!("PAUSE {url} RTSP/1.0\nCSeq: 4\n{session}\n"));
    assert_eq!(field(&wire, "Range"), "clock=19700112T134640.44Z-");
    let resumed = info(&b.send(&format!("PLAY {url} RTSP/1.0\nCSeq: 5\n{session}\n")));
    let ticks = [0, 1].map(|i| resumed[i].wrapping_sub(first[i]));
    assert_eq!(ticks, [440 * 90, 440 * 8]);
}
