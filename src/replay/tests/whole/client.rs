//! Playback by retina, an RTSP client that knows nothing of this project: over TCP, with digest
//! credentials.

use std::sync::Arc;

use bytes::Bytes;
use dvrgate_auth::{DigestGate, DigestSettings, Level, User, Users};
use dvrgate_footage::{Delivery, FrameStream, GopStore, Marks, PlayPlan, StoreOptions, Timeline};
use dvrgate_index::{Batch, Change, Index as _, MemoryIndex, sample};
use dvrgate_media::codec::annexb;
use dvrgate_model::{
    Civil, Codec, CodecParams, Direction, Frame, FrameKind, MediaTime, RecordingToken, Stamp,
    SyncRunId, TrackToken, Utc,
};
use dvrgate_replay::playback::application;
use dvrgate_rtsp::server::{Server, ServerConfig};
use dvrgate_testkit::footage::{ClipSource as _, Synthetic, SyntheticSpec, Tone};
use futures::{StreamExt as _, stream};
use retina::client::{
    Credentials, Described, PlayOptions, Session, SessionOptions, SetupOptions, Transport,
};
use retina::codec::{CodecItem, FrameFormat, ParameterSetInsertion};
use tokio_util::sync::CancellationToken;

/// Ten pictures a second, a key picture every five, over a second; blocks of sound of 40 ms.
const PICTURES: usize = 10;
const BLOCKS: usize = 25;
const GOP_US: i64 = 500_000;

fn start() -> Utc {
    "2026-11-25T03:11:30Z".parse().unwrap()
}

/// Pictures and sound of one recording, by time.
#[derive(Debug)]
struct Clip {
    frames: Vec<Frame>,
}

impl Clip {
    fn new(codec: Codec) -> Self {
        let spec =
            SyntheticSpec { codec, rate: (10, 1), gop: 5, ..SyntheticSpec::small(1, "Yard") };
        let clip = Synthetic::new(spec).unwrap();
        let caption = |t: Utc| Civil::from_micros_as_if_utc(t.micros());
        let units = [0, GOP_US].into_iter().flat_map(|us| clip.gop(start().plus_us(us), &caption));
        let sets = if codec == Codec::H265 { 3 } else { 2 };
        let mut params = Arc::new(CodecParams::new(codec));
        let mut frames = Vec::new();
        for unit in units {
            if unit.key {
                Arc::make_mut(&mut params).parameter_sets =
                    unit.nals[..sets].iter().cloned().collect();
            }
            frames.push(Frame {
                track: "yard-1-video".into(),
                at: Stamp::exact(unit.at),
                media: MediaTime { ticks: unit.at.since_us(start()) * 9 / 100, rate_hz: 90_000 },
                kind: if unit.key { FrameKind::Key } else { FrameKind::Predicted },
                params: Arc::clone(&params),
                data: annexb::join(unit.nals.iter().map(|n| &n[..])),
                origin: None,
            });
        }
        let (tone, params) = (Tone::new(1), Arc::new(CodecParams::new(Codec::Pcma)));
        for block in 0..BLOCKS as i64 {
            let at = start().plus_us(block * Tone::BLOCK_US);
            frames.push(Frame {
                track: "yard-1-audio".into(),
                at: Stamp::exact(at),
                media: MediaTime { ticks: block * Tone::BLOCK_SAMPLES as i64, rate_hz: 8000 },
                kind: FrameKind::Audio,
                params: Arc::clone(&params),
                data: tone.block(at),
                origin: None,
            });
        }
        frames.sort_by_key(|f| f.at.utc);
        Self { frames }
    }

    /// What a client must get of a track.
    fn of(&self, track: &str) -> Vec<&Frame> {
        self.frames.iter().filter(|f| f.track.as_str() == track).collect()
    }
}

impl Timeline for Clip {
    fn play(&self, plan: PlayPlan) -> FrameStream {
        let forward = plan.direction == Direction::Forward;
        let in_time = |at: Utc| if forward { at >= plan.from } else { at <= plan.from };
        let wanted = |f: &&Frame| plan.tracks.contains(&f.track) && in_time(f.at.utc);
        let mut frames: Vec<Frame> = self.frames.iter().filter(wanted).cloned().collect();
        if !forward {
            // Groups from the last to the first, each of them forward.
            frames.sort_by_key(|f| -(f.at.utc.since_us(start()) / GOP_US));
        }
        let count = frames.len();
        let deliveries = frames.into_iter().enumerate().map(move |(i, frame)| {
            let last = i + 1 == count;
            let clean = frame.kind != FrameKind::Predicted;
            let marks = Marks { clean, discontinuity: false, end_of_span: last, terminal: last };
            Ok(Delivery::Unit { frame, marks })
        });
        stream::iter(deliveries.collect::<Vec<_>>()).boxed()
    }
}

struct Running {
    url: url::Url,
    clip: Arc<Clip>,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(codec: Codec) -> Running {
    let mut recording = sample::recording(1);
    assert_eq!(recording.token, RecordingToken::new("yard-1"));
    recording.tracks[0].codec = Some(codec);
    recording.tracks[0].params = None;
    let index = Arc::new(MemoryIndex::new());
    let mut changes = vec![Change::Recording(Box::new(recording))];
    for track in ["yard-1-video", "yard-1-audio"] {
        let Change::Segment(mut segment) = sample::segment(&TrackToken::new(track), 0, 1) else {
            unreachable!()
        };
        segment.start = Stamp::exact(start());
        segment.end = Stamp::exact(start().plus_us(1_000_000));
        changes.push(Change::Segment(segment));
    }
    index.apply(Batch { run: SyncRunId(1), changes }).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { dir: dir.path().to_owned(), budget_bytes: 1 << 20 };
    let (store, _) = GopStore::open(options).unwrap();
    let clip = Arc::new(Clip::new(codec));
    let app = application(index, clip.clone(), Arc::new(store));
    let user = User { name: "admin".into(), level: Level::User, password: "pass word".into() };
    let users = Users::new(vec![user]).unwrap();
    let gate = DigestGate::new("dvrgate", users, DigestSettings::default());
    let config = ServerConfig { gate: Some(gate), ..ServerConfig::default() };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), config, app).await.unwrap();
    let url = format!("rtsp://{}/replay/yard-1", server.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(server.run(stop.clone()));
    Running { url: url.parse().unwrap(), clip, stop, _dir: dir }
}

async fn describe(server: &Running, password: &str) -> Result<Session<Described>, retina::Error> {
    let creds = Credentials { username: "admin".into(), password: password.into() };
    let options = SessionOptions::default().creds(Some(creds));
    Session::describe(server.url.clone(), options).await
}

/// Ticks since the start that RTP-Info tells, whether decoding can begin there, and the bytes.
type Got = (i64, bool, Bytes);

/// What comes of both tracks until all of it is there.
async fn play(server: &Running) -> (Vec<Got>, Vec<Got>) {
    let mut session = describe(server, "pass word").await.unwrap();
    // Start codes, and nothing added: the bytes can be compared.
    let format = FrameFormat {
        parameter_set_insertion: ParameterSetInsertion::Never,
        ..FrameFormat::SIMPLE
    };
    for stream in 0..session.streams().len() {
        let options = SetupOptions::default()
            .transport(Transport::Tcp(Default::default()))
            .frame_format(format);
        session.setup(stream, options).await.unwrap();
    }
    let playing = session.play(PlayOptions::default()).await.unwrap();
    let mut items = playing.demuxed().unwrap();
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    while video.len() < PICTURES || audio.len() < BLOCKS {
        match items.next().await.unwrap().unwrap() {
            CodecItem::VideoFrame(f) => {
                assert_eq!(f.loss(), 0);
                let data = Bytes::copy_from_slice(f.data());
                video.push((f.timestamp().elapsed(), f.is_random_access_point(), data));
            }
            CodecItem::AudioFrame(f) => {
                assert_eq!(f.loss(), 0);
                let data = Bytes::copy_from_slice(f.data());
                audio.push((f.timestamp().elapsed(), true, data));
            }
            _ => {}
        }
    }
    (video, audio)
}

/// NAL units that are pictures: where parameter sets stand is left to the packetizer.
fn slices<'a>(codec: Codec, nals: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let coded = |nal: &&[u8]| match codec {
        Codec::H265 => nal[0] >> 1 & 0x3f < 32,
        _ => matches!(nal[0] & 0x1f, 1..=5),
    };
    nals.filter(coded).collect()
}

async fn everything_arrives(codec: Codec) {
    let server = serve(codec).await;
    let (video, audio) = play(&server).await;
    let sent = server.clip.of("yard-1-video");
    assert_eq!((video.len(), sent.len()), (PICTURES, PICTURES));
    for (i, ((ticks, key, data), frame)) in video.iter().zip(sent).enumerate() {
        assert_eq!(*ticks, 9000 * i as i64, "picture {i}");
        assert_eq!(*key, i % 5 == 0, "picture {i}");
        let expected = slices(codec, annexb::lengths(&frame.data));
        assert!(!expected.is_empty());
        assert_eq!(slices(codec, annexb::units(data)), expected, "picture {i}");
    }
    let sent = server.clip.of("yard-1-audio");
    assert_eq!((audio.len(), sent.len()), (BLOCKS, BLOCKS));
    for (i, ((ticks, _, data), frame)) in audio.iter().zip(sent).enumerate() {
        assert_eq!(*ticks, (Tone::BLOCK_SAMPLES * i) as i64, "block {i}");
        assert_eq!(*data, frame.data, "block {i}");
    }
}

/// R7.1-9, R8.1-3, R8.1-6, R8.1-7, R8.2-1, R8.5.1-1
#[tokio::test]
async fn h264_and_sound() {
    everything_arrives(Codec::H264).await;
}

/// R7.1-9, R8.1-3, R8.1-6
#[tokio::test]
async fn h265_and_sound() {
    everything_arrives(Codec::H265).await;
}

/// R7.1-9, R8.2-1: the description tells what the tracks are.
#[tokio::test]
async fn the_description_is_understood() {
    let server = serve(Codec::H264).await;
    let session = describe(&server, "pass word").await.unwrap();
    let told: Vec<_> = session
        .streams()
        .iter()
        .map(|s| (s.media().to_owned(), s.encoding_name().to_owned(), s.clock_rate_hz()))
        .collect();
    let expected = [("video", "h264", 90_000), ("audio", "pcma", 8000)];
    assert_eq!(told, expected.map(|(m, e, r)| (m.to_owned(), e.to_owned(), r)));
    // Parameter sets came from footage, as none was stored.
    let Some(retina::codec::ParametersRef::Video(video)) = session.streams()[0].parameters() else {
        panic!("no parameters");
    };
    assert_eq!(video.pixel_dimensions(), (256, 144));
}

/// R8.1-7
#[tokio::test]
async fn a_wrong_password_gets_nothing() {
    let server = serve(Codec::H264).await;
    let error = describe(&server, "password").await.err().unwrap();
    assert_eq!(error.status_code(), Some(401), "{error}");
}
