//! What the RTSP server serves: recordings at `/replay/<RecordingToken>`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dvrgate_footage::{Delivery, FrameFilter, FrameStream, MediaStore, PlayPlan, Timeline};
use dvrgate_index::Index;
use dvrgate_model::{
    CodecParams, Direction, Error, Recording, RecordingToken, Result, Track, TrackKind, TrackToken,
    Utc, UtcRange,
};
use dvrgate_rtsp::rtp::ReplayExtension;
use dvrgate_rtsp::server::{
    Application, DescribeRequest, Media, PlayMedia, PlayRequest, Playing, Presentation, Unit,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use parking_lot::Mutex;

use super::plan::{self, Pace};
use super::presenter::{Presenter, Timed};
use crate::service::REPLAY_PATH;

/// How long DESCRIBE waits for the parameter sets of a track that was never fetched. Without them
/// the SDP has none, and they come in band.
const PARAMS_WAIT: Duration = Duration::from_secs(8);
/// How long PLAY waits for the first unit before it answers with the time that was asked for.
const START_WAIT: Duration = Duration::from_secs(8);

/// Replay of everything that an index knows.
#[derive(Debug)]
struct Replay {
    index: Arc<dyn Index>,
    timeline: Arc<dyn Timeline>,
    store: Arc<dyn MediaStore>,
    /// Parameters of tracks as footage told them.
    params: Mutex<HashMap<TrackToken, CodecParams>>,
}

/// The application for a server: recordings of `index`, played by `timeline` over `store`.
pub fn application(
    index: Arc<dyn Index>,
    timeline: Arc<dyn Timeline>,
    store: Arc<dyn MediaStore>,
) -> Arc<dyn Application> {
    Arc::new(Replay { index, timeline, store, params: Mutex::default() })
}

impl Application for Replay {
    fn describe(&self, request: DescribeRequest) -> BoxFuture<'_, Result<Presentation>> {
        async move {
            let recording = self.recording(&request.path)?;
            let mut media = Vec::new();
            for track in recording.tracks.iter().filter(|t| t.codec.is_some()) {
                let params = self.params_of(&recording, track).await;
                media.push(Media { track: track.token.clone(), params });
            }
            if media.is_empty() {
                return Err(Error::not_found("the recording has no tracks that can be played"));
            }
            Ok(Presentation { name: recording.source.name.clone(), range: recording.data(), media })
        }
        .boxed()
    }

    fn play(&self, request: PlayRequest) -> BoxFuture<'_, Result<Playing>> {
        async move {
            let recording = self.recording(&request.path)?;
            let play = plan::plan(&request, &recording.token, recording.data())?;
            let (end, scale, from) = (play.plan.until, play.scale, play.plan.from);
            let free = play.pace == Pace::Free;
            let deliveries = self.timeline.play(play.plan.clone());
            let mut show =
                Show { deliveries, presenter: Presenter::new(&play), queue: VecDeque::new() };
            let first = tokio::time::timeout(START_WAIT, show.fill()).await;
            let start = match first {
                Ok(result) => {
                    result?;
                    show.start(play.plan.direction)
                }
                Err(_) => Some(from),
            };
            let rtp_times = start.map_or_else(Vec::new, |start| {
                let of = |m: &PlayMedia| {
                    let ticks = show.ticks_at(m, start, free, &recording);
                    (m.index, m.origin(free).wrapping_add(ticks))
                };
                request.media.iter().map(of).collect()
            });
            let units = show.into_units(request.media, free);
            Ok(Playing { start, end, scale, rtp_times, units: units.boxed() })
        }
        .boxed()
    }
}

impl Replay {
    fn recording(&self, path: &str) -> Result<Arc<Recording>> {
        let token = path
            .strip_prefix(REPLAY_PATH)
            .filter(|t| !t.is_empty() && !t.contains('/'))
            .ok_or_else(|| Error::not_found("replay URIs are /replay/<RecordingToken>"))?;
        self.index
            .snapshot()
            .recording(&RecordingToken::new(token))?
            .ok_or_else(|| Error::not_found("no such recording").with("recording", token))
    }

    /// What is known of a track: from footage seen before, else from what is stored, else from the
    /// newest footage of the recorder, else what the index says.
    async fn params_of(&self, recording: &Recording, track: &Track) -> CodecParams {
        if let Some(known) = self.params.lock().get(&track.token) {
            return known.clone();
        }
        let listed = || {
            let codec = track.codec.unwrap_or(dvrgate_model::Codec::H264);
            track.params.clone().unwrap_or_else(|| CodecParams::new(codec))
        };
        if track.kind != TrackKind::Video || track.data.is_none() {
            return listed();
        }
        let found = match self.stored_params(track).await {
            Some(params) => Some(params),
            None => {
                let newest = self.newest_params(recording, track);
                tokio::time::timeout(PARAMS_WAIT, newest).await.ok().flatten()
            }
        };
        let Some(params) = found else { return listed() };
        self.params.lock().insert(track.token.clone(), params.clone());
        params
    }

    async fn stored_params(&self, track: &Track) -> Option<CodecParams> {
        let coverage = self.store.cover(&track.token, track.data.unwrap_or(UtcRange::ALL)).ok()?;
        let (key, _) = coverage.gops.last()?;
        let gop = self.store.gop(key).await.ok()?;
        gop.frames.first().map(|f| (*f.params).clone())
    }

    async fn newest_params(&self, recording: &Recording, track: &Track) -> Option<CodecParams> {
        let plan = PlayPlan {
            recording: recording.token.clone(),
            tracks: vec![track.token.clone()],
            from: track.data?.end(),
            until: None,
            direction: Direction::Reverse,
            frames: FrameFilter::All,
            follow_live: false,
            discontinuity: false,
        };
        let mut deliveries = self.timeline.play(plan);
        while let Some(delivery) = deliveries.next().await {
            match delivery {
                Ok(Delivery::Unit { frame, .. }) => return Some((*frame.params).clone()),
                Ok(Delivery::Gap(_)) => {}
                Ok(Delivery::LiveEdge(_)) | Err(_) => return None,
            }
        }
        None
    }
}

/// A playback under way.
struct Show {
    deliveries: FrameStream,
    presenter: Presenter,
    queue: VecDeque<Result<Timed>>,
}

impl Show {
    /// Fills the queue. False where nothing comes any more.
    async fn fill(&mut self) -> Result<bool> {
        let mut ready = Vec::new();
        while self.queue.is_empty() {
            match self.deliveries.next().await {
                Some(Ok(delivery)) => self.presenter.push(delivery, &mut ready),
                Some(Err(e)) => return Err(e),
                None => {
                    self.presenter.flush(&mut ready);
                    self.queue.extend(ready.drain(..).map(Ok));
                    return Ok(!self.queue.is_empty());
                }
            }
            self.queue.extend(ready.drain(..).map(Ok));
        }
        Ok(true)
    }

    /// Where it begins: the first unit, in reverse the latest of the first group.
    fn start(&self, direction: Direction) -> Option<Utc> {
        let mut times = self.queue.iter().flatten().map(|t| t.frame.at.utc);
        match direction {
            Direction::Forward => times.next(),
            Direction::Reverse => times.max(),
        }
    }

    /// Ticks of a track that belong to the start of the playback.
    fn ticks_at(&self, media: &PlayMedia, start: Utc, free: bool, recording: &Recording) -> u32 {
        if !free {
            return 0;
        }
        let rate = recording.track(&media.track).and_then(|t| match (&t.params, t.codec) {
            (Some(params), _) => Some(params.clock_rate_hz()),
            (None, codec) => codec.map(|c| CodecParams::new(c).clock_rate_hz()),
        });
        super::presenter::frame_ticks(start, rate.unwrap_or(90_000))
    }

    fn into_units(
        self,
        media: Vec<PlayMedia>,
        free: bool,
    ) -> impl futures::Stream<Item = Result<Unit>> + Send {
        stream::unfold(Some((self, media)), move |state| async move {
            let (mut show, media) = state?;
            loop {
                match show.queue.pop_front() {
                    Some(Ok(timed)) => {
                        // A track that is not set up was not in the plan.
                        let Some(m) = media.iter().find(|m| m.track == timed.frame.track) else {
                            continue;
                        };
                        let unit = to_unit(timed, m, free);
                        return Some((Ok(unit), Some((show, media))));
                    }
                    Some(Err(e)) => return Some((Err(e), None)),
                    None => match show.fill().await {
                        Ok(true) => {}
                        Ok(false) => return None,
                        Err(e) => return Some((Err(e), None)),
                    },
                }
            }
        })
    }
}

fn to_unit(timed: Timed, media: &PlayMedia, free: bool) -> Unit {
    let Timed { frame, marks, ticks, due_us } = timed;
    Unit {
        media: media.index,
        rtp_time: media.origin(free).wrapping_add(ticks),
        replay: ReplayExtension {
            at: frame.at.utc,
            clean: marks.clean,
            end_of_section: marks.end_of_span,
            discontinuity: marks.discontinuity,
            terminal: marks.terminal,
            cseq: 0,
        },
        params: frame.params,
        data: frame.data,
        due: due_us.map(|us| Duration::from_micros(us.max(0).unsigned_abs())),
    }
}

/// Which of a track's two numbers its timestamps are counted from.
trait Counted {
    fn origin(&self, free: bool) -> u32;
}

impl Counted for PlayMedia {
    fn origin(&self, free: bool) -> u32 {
        if free { self.base } else { self.next }
    }
}
