//! Playback as it leaves the server, packet by packet: a timeline of two clips in memory behind the
//! application and the RTSP server, requests and packets as bytes.
//!
//! Clip A: A1 … A6 at 0, 40 … 200 ms; clip B: B1 … B6 ten seconds later. GOPs of three pictures; the
//! first of each takes two packets, the others one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dvrgate_footage::{
    Delivery, FrameFilter, FrameStream, GopStore, Marks, PlayPlan, StoreOptions, Timeline,
};
use dvrgate_index::{Batch, Change, Index, MemoryIndex};
use dvrgate_media::codec::annexb;
use dvrgate_model::{
    ChannelId, Codec, CodecParams, Direction, Frame, FrameKind, MediaTime, Origin, Recording,
    RecordingStatus, SourceInformation, Stamp, StreamKind, SyncRunId, Track, TrackKind, Utc,
    UtcRange,
};
use dvrgate_rtsp::headers::{Range, RtpInfo};
use dvrgate_rtsp::message::{Item, Limits, Reader, Response};
use dvrgate_rtsp::rtp::{Packet, ReplayExtension};
use dvrgate_rtsp::server::{Peer, ServerConfig, Shared, serve_connection};
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::application;

fn t(ms: i64) -> Utc {
    Utc::from_secs(1_700_000_000).plus_us(ms * 1000)
}

fn params() -> Arc<CodecParams> {
    let mut p = CodecParams::new(Codec::H264);
    p.parameter_sets.push(Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1e, 0xda]));
    p.parameter_sets.push(Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]));
    Arc::new(p)
}

/// The picture of that instant.
fn frame(ms: i64) -> Frame {
    let key = matches!(ms % 10_000, 0 | 120);
    let nal =
        [&[if key { 0x65 } else { 0x41 }][..], &vec![7; if key { 2000 } else { 200 }]].concat();
    Frame {
        track: "r-video".into(),
        at: Stamp::exact(t(ms)),
        media: MediaTime { ticks: ms * 90, rate_hz: 90_000 },
        kind: if key { FrameKind::Key } else { FrameKind::Predicted },
        // Without parameter sets nothing is sent in band and a key picture is two packets.
        params: Arc::new(CodecParams::new(Codec::H264)),
        data: annexb::join([&nal[..]]),
        origin: None,
    }
}

const CLIP_A: [i64; 6] = [0, 40, 80, 120, 160, 200];
const CLIP_B: [i64; 6] = [10_000, 10_040, 10_080, 10_120, 10_160, 10_200];

/// Delivers the two clips by the rules of the timeline, and remembers what it was asked.
#[derive(Debug, Default)]
struct Clips {
    asked: Mutex<Vec<PlayPlan>>,
}

impl Timeline for Clips {
    fn play(&self, plan: PlayPlan) -> FrameStream {
        self.asked.lock().push(plan.clone());
        let gap = UtcRange::new(t(240), t(10_000)).unwrap();
        let forward = plan.direction == Direction::Forward;
        let mut list = Vec::new();
        let gops = [&CLIP_A[..3], &CLIP_A[3..], &CLIP_B[..3], &CLIP_B[3..]];
        let order: Vec<usize> = if forward { vec![0, 1, 2, 3] } else { vec![3, 2, 1, 0] };
        for n in order {
            let gop = gops[n];
            let wanted = if forward { t(gop[2]) >= plan.from } else { t(gop[0]) <= plan.from };
            if !wanted {
                continue;
            }
            let crosses = if forward { n == 2 } else { n == 1 };
            if crosses && !list.is_empty() {
                list.push(Ok(Delivery::Gap(gap)));
            }
            for (i, ms) in gop.iter().enumerate() {
                let past =
                    plan.until.is_some_and(|u| if forward { t(*ms) >= u } else { t(*ms) < u });
                if past || (plan.frames != FrameFilter::All && i > 0) {
                    continue;
                }
                let jump = if forward { plan.discontinuity && list.is_empty() } else { i == 0 };
                let edge = if forward { i == 2 && n % 2 == 1 } else { i == 2 && n % 2 == 0 };
                let last = if forward { n == 3 } else { n == 0 };
                let marks = Marks {
                    clean: i == 0,
                    end_of_span: edge,
                    discontinuity: jump,
                    terminal: edge && last,
                };
                list.push(Ok(Delivery::Unit { frame: frame(*ms), marks }));
            }
        }
        // Like the real one it may not be asked again once it ended.
        stream::unfold(list.into_iter(), |mut l| async move { l.next().map(|d| (d, l)) }).boxed()
    }
}

/// A client that reads every byte.
struct Raw {
    io: DuplexStream,
    reader: Reader,
    clips: Arc<Clips>,
    cseq: u32,
    session: String,
    _dir: tempfile::TempDir,
}

/// What one request brought.
struct Answer {
    response: Response,
    packets: Vec<(Packet, Bytes)>,
}

const URL: &str = "rtsp://192.0.2.10/replay/r";

impl Raw {
    async fn new() -> Self {
        let track = Track {
            token: "r-video".into(),
            kind: TrackKind::Video,
            description: String::new(),
            codec: Some(Codec::H264),
            params: Some((*params()).clone()),
            data: None,
        };
        let recording = Recording {
            token: "r".into(),
            source: SourceInformation { name: "Yard".into(), ..Default::default() },
            content: String::new(),
            tracks: vec![track],
            retention: None,
            origin: Origin::Device {
                device: "yard".into(),
                channel: ChannelId(1),
                stream: StreamKind::Main,
            },
            status: RecordingStatus::Stopped,
        };
        let index = Arc::new(MemoryIndex::new());
        let changes = vec![Change::Recording(Box::new(recording))];
        index.apply(Batch { run: SyncRunId(1), changes }).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { dir: dir.path().to_owned(), budget_bytes: 1 << 20 };
        let (store, _) = GopStore::open(options).unwrap();
        let clips = Arc::new(Clips::default());
        let app = application(index, clips.clone(), Arc::new(store));
        let (io, server) = tokio::io::duplex(1 << 20);
        let local = "192.0.2.10".parse().unwrap();
        let shared = Shared::new(ServerConfig::default(), app);
        tokio::spawn(serve_connection(server, Peer { remote: local, local }, shared));
        let reader = Reader::new(Limits::default());
        let mut raw = Self { io, reader, clips, cseq: 0, session: String::new(), _dir: dir };
        let setup = raw
            .ask(
                "SETUP",
                "/track1",
                "Require: onvif-replay\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n",
            )
            .await;
        let session = setup.response.fields.get("Session").unwrap();
        raw.session = format!("Session: {}\r\n", session.split(';').next().unwrap());
        raw
    }

    async fn item(&mut self) -> Item {
        loop {
            if let Some(item) = self.reader.next_item().unwrap() {
                return item;
            }
            assert!(self.io.read_buf(self.reader.buffer()).await.unwrap() > 0, "closed");
        }
    }

    /// Sends a request; packets that come before its answer are returned with it.
    async fn ask(&mut self, method: &str, track: &str, fields: &str) -> Answer {
        self.cseq += 1;
        let (cseq, session) = (self.cseq, &self.session);
        let text =
            format!("{method} {URL}{track} RTSP/1.0\r\nCSeq: {cseq}\r\n{session}{fields}\r\n");
        self.io.write_all(text.as_bytes()).await.unwrap();
        let mut packets = Vec::new();
        loop {
            match self.item().await {
                Item::Response(response) => return Answer { response, packets },
                Item::Packet { channel: 0, data } => {
                    packets.push((Packet::parse(&data).unwrap(), data));
                }
                _ => {}
            }
        }
    }

    /// PLAY with CSeq 7 and the packets that follow it, of which there are exactly `count`.
    async fn play(&mut self, fields: &str, count: usize) -> Answer {
        self.cseq = 6;
        let mut answer = self.ask("PLAY", "", &format!("Require: onvif-replay\r\n{fields}")).await;
        while answer.packets.len() < count {
            if let Item::Packet { channel: 0, data } = self.item().await {
                answer.packets.push((Packet::parse(&data).unwrap(), data));
            }
        }
        // Nothing more comes: what would be due has a second of (simulated) time.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let fence = self.ask("GET_PARAMETER", "", "").await;
        assert!(fence.packets.is_empty(), "more packets than expected");
        answer
    }
}

/// One line of the table: sequence number from the first, extension, RTP timestamp.
type Line = (u16, Option<(i64, [u8; 4], u8)>, u32);

fn table(answer: &Answer, zero: u32) -> Vec<Line> {
    let first = answer.packets[0].0.header.sequence;
    let line = |(packet, bytes): &(Packet, Bytes)| {
        let h = packet.header;
        let extension = packet
            .extension
            .clone()
            .and_then(|(profile, body)| ReplayExtension::parse(profile, &bytes[body]));
        let extension = extension.map(|e| {
            let flags = [e.clean, e.end_of_section, e.discontinuity, e.terminal].map(u8::from);
            (e.at.since_us(t(0)) / 1000, flags, e.cseq)
        });
        (h.sequence.wrapping_sub(first), extension, h.timestamp.wrapping_sub(zero))
    };
    answer.packets.iter().map(line).collect()
}

fn rtptime(answer: &Answer) -> u32 {
    let info: RtpInfo = answer.response.fields.get("RTP-Info").unwrap().parse().unwrap();
    assert_eq!(info.0[0].seq, answer.packets.first().map(|p| p.0.header.sequence));
    info.0[0].rtptime.unwrap()
}

fn start(answer: &Answer) -> i64 {
    let range: Range = answer.response.fields.get("Range").unwrap().parse().unwrap();
    let Range::Clock(range) = range else { panic!("{range}") };
    range.start.unwrap().since_us(t(0)) / 1000
}

// 1 700 000 000 is 2023-11-14T22:13:20Z.
const END: &str = "Range: clock=20231114T221330.200Z-\r\n";

/// The table, with timestamps of one or the other kind. CSeq is 7 in all of it.
fn expected(timestamps: [u32; 12]) -> Vec<Line> {
    let frames: [(i64, [u8; 4]); 12] = [
        (10_120, [1, 0, 1, 0]),
        (10_160, [0, 0, 0, 0]),
        (10_200, [0, 0, 0, 0]),
        (10_000, [1, 0, 1, 0]),
        (10_040, [0, 0, 0, 0]),
        (10_080, [0, 1, 0, 0]),
        (120, [1, 0, 1, 0]),
        (160, [0, 0, 0, 0]),
        (200, [0, 0, 0, 0]),
        (0, [1, 0, 1, 0]),
        (40, [0, 0, 0, 0]),
        (80, [0, 1, 0, 1]),
    ];
    let mut lines = Vec::new();
    for ((ms, flags), timestamp) in frames.into_iter().zip(timestamps) {
        lines.push((lines.len() as u16, Some((ms, flags, 7)), timestamp));
        if flags[0] == 1 {
            lines.push((lines.len() as u16, None, timestamp));
        }
    }
    lines
}

/// R8.3-1, R8.3-8, R8.3-9, R8.3-10, R8.3-12, R8.3-15, R8.5.1-3, R8.6-1, R8.6-2, R8.6-3, R8.6-7, R8.6-8
#[tokio::test(start_paused = true)]
async fn reverse_without_rate_control() {
    let mut raw = Raw::new().await;
    let answer = raw.play(&format!("Rate-Control: no\r\nScale: -1.0\r\n{END}"), 16).await;
    let b4 = answer.packets[0].0.header.timestamp;
    let zero = b4.wrapping_sub(910_800);
    let timestamps = [
        910_800, 914_400, 918_000, 900_000, 903_600, 907_200, 10_800, 14_400, 18_000, 0, 3_600,
        7_200,
    ];
    assert_eq!(table(&answer, zero), expected(timestamps));
    // Range and RTP-Info name one and the same instant.
    assert_eq!(i64::from(rtptime(&answer).wrapping_sub(zero)), start(&answer) * 90);
}

/// R8.6-9: the same with timestamps of showing, counted from R0.
#[tokio::test(start_paused = true)]
async fn reverse_with_rate_control() {
    let mut raw = Raw::new().await;
    let answer = raw.play(&format!("Scale: -1.0\r\n{END}"), 16).await;
    let timestamps =
        [7_200, 3_600, 0, 18_000, 14_400, 10_800, 28_800, 25_200, 21_600, 39_600, 36_000, 32_400];
    assert_eq!(table(&answer, rtptime(&answer)), expected(timestamps));
    assert_eq!(start(&answer), 10_200);
    assert_eq!(answer.response.fields.get("Scale"), Some("-1.0"));
}

/// R8.5.2-3, R8.5.2-4, R8.6-9: the only group of a range is complete when the range is.
#[tokio::test(start_paused = true)]
async fn a_reverse_range_of_one_group_plays_and_the_session_lives_on() {
    let mut raw = Raw::new().await;
    let range = "Range: clock=20231114T221330.200Z-20231114T221330.120Z\r\n";
    for pace in ["", "Rate-Control: no\r\n"] {
        let answer = raw.play(&format!("Scale: -1.0\r\nImmediate: yes\r\n{pace}{range}"), 4).await;
        let units = table(&answer, 0);
        let times: Vec<i64> = units.iter().filter_map(|l| l.1.map(|e| e.0)).collect();
        assert_eq!(times, [10_120, 10_160, 10_200]);
    }
}

/// R8.5.5-5, R8.9-1: after all data forwards there is nothing; the session stays.
#[tokio::test(start_paused = true)]
async fn play_after_all_data_sends_nothing_and_the_session_lives_on() {
    let mut raw = Raw::new().await;
    let answer = raw.play("Range: clock=20331114T221330Z-\r\n", 0).await;
    assert_eq!(answer.response.status.0, 200);
    raw.play("Range: clock=20231114T221320Z-\r\nImmediate: yes\r\n", 16).await;
}

/// R8.3-7, R8.3-14, R8.5.2-2, R8.6-10
#[tokio::test(start_paused = true)]
async fn forward_without_rate_control() {
    let mut raw = Raw::new().await;
    let answer = raw.play("Rate-Control: no\r\n", 16).await;
    let mut lines = Vec::new();
    for ms in CLIP_A.into_iter().chain(CLIP_B) {
        let clean = u8::from(matches!(ms % 10_000, 0 | 120));
        let (edge, last) = (u8::from(ms % 10_000 == 200), u8::from(ms == 10_200));
        lines.push((lines.len() as u16, Some((ms, [clean, edge, 0, last], 7)), ms as u32 * 90));
        if clean == 1 {
            lines.push((lines.len() as u16, None, ms as u32 * 90));
        }
    }
    assert_eq!(table(&answer, rtptime(&answer)), lines);
    assert_eq!(start(&answer), 0);
}

/// R8.5.3-1, R8.9-1: paced by recorded time, the gap skipped with one frame interval.
#[tokio::test(start_paused = true)]
async fn forward_with_rate_control() {
    let mut raw = Raw::new().await;
    let begun = tokio::time::Instant::now();
    let answer = raw.play("", 16).await;
    let stamps: Vec<u32> = table(&answer, rtptime(&answer))
        .into_iter()
        .filter_map(|(_, extension, timestamp)| extension.map(|_| timestamp))
        .collect();
    assert_eq!(stamps, (0..12).map(|i| i * 3600).collect::<Vec<_>>());
    // Eleven intervals and the second of the fence.
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(430 + 1000) && took < Duration::from_millis(1600),
        "{took:?}"
    );
}

/// R8.5.2-3, R8.5.2-4, R8.5.2-8
#[tokio::test(start_paused = true)]
async fn closed_ranges_end_and_contradictions_are_refused() {
    let mut raw = Raw::new().await;
    let closed = "Range: clock=20231114T221320Z-20231114T221320.120Z\r\n";
    let answer = raw.play(&format!("Rate-Control: no\r\n{closed}"), 4).await;
    let times: Vec<i64> = table(&answer, 0).iter().filter_map(|l| l.1.map(|e| e.0)).collect();
    assert_eq!(times, [0, 40, 80]);
    for fields in [
        format!("Scale: -1.0\r\n{closed}"),
        "Range: clock=20231114T221320.120Z-20231114T221320Z\r\n".to_owned(),
    ] {
        assert_eq!(raw.ask("PLAY", "", &fields).await.response.status.0, 457, "{fields}");
    }
    // The session is still playing, and takes another PLAY without Immediate.
    let again = raw.play(&format!("Rate-Control: no\r\n{closed}"), 4).await;
    let first = table(&again, 0)[0].1.unwrap();
    assert_eq!(first.1[2], 1, "R8.3-9: it does not follow what was sent before");
}

/// R8.5.4-1, R8.6-4, R8.10-1, R8.10-2
#[tokio::test(start_paused = true)]
async fn headers_reach_the_timeline() {
    let mut raw = Raw::new().await;
    let fields = "Frames: intra/4000\r\nRate-Control: no\r\nScale: -1.0\r\nImmediate: yes\r\n";
    let answer = raw.play(&format!("{fields}{END}"), 8).await;
    let marks: Vec<_> =
        table(&answer, 0).iter().filter_map(|l| l.1.map(|e| e.1[..3].to_vec())).collect();
    assert_eq!(marks, vec![vec![1, 0, 1]; 4]);
    let asked = raw.clips.asked.lock().last().cloned().unwrap();
    assert_eq!(asked.frames, FrameFilter::Intra { min_interval_us: 4_000_000 });
    assert_eq!((asked.direction, asked.from), (Direction::Reverse, t(10_200)));
    assert!(asked.discontinuity && !asked.follow_live);
}

/// R8.2-1, R8.2-2, R8.8-1
#[tokio::test(start_paused = true)]
async fn what_is_described() {
    let mut raw = Raw::new().await;
    let answer = raw.ask("DESCRIBE", "", "Accept: application/sdp\r\n").await;
    let sdp = String::from_utf8(answer.response.body.to_vec()).unwrap();
    for line in ["s=Yard", "a=rtpmap:96 H264/90000", "a=control:track1", "a=x-onvif-track:r-video"]
    {
        assert!(sdp.lines().any(|l| l == line), "{line} in {sdp}");
    }
    raw.play("Rate-Control: no\r\n", 16).await;
    assert!(raw.clips.asked.lock().last().unwrap().follow_live);
    let unknown = raw.ask("DESCRIBE", "x", "").await;
    assert_eq!(unknown.response.status.0, 404);
}
