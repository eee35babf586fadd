//! What the RTSP server serves: recordings at `/replay/<RecordingToken>`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dvrgate_footage::{Delivery, FrameFilter, FrameStream, MediaStore, PlayPlan, Timeline};
use dvrgate_index::Index;
use dvrgate_model::{
    Codec, CodecParams, Direction, Error, Recording, RecordingToken, Result, Track, TrackKind,
    TrackToken, Utc, UtcRange,
};
use dvrgate_rtsp::rtp::ReplayExtension;
use dvrgate_rtsp::server::{
    Application, DescribeRequest, Media, PlayMedia, PlayRequest, Playing, Presentation, Unit,
};
use futures::future::BoxFuture;
use futures::stream::Fuse;
use futures::{FutureExt as _, StreamExt as _, stream};
use parking_lot::Mutex;

use super::plan::{self, Pace, Play};
use super::presenter::{Presenter, Timed, frame_ticks, ticks};
use crate::service::REPLAY_PATH;

/// How long DESCRIBE waits for the parameter sets of a track that was never fetched. Without them
/// the SDP has none, and they come in band.
const PARAMS_WAIT: Duration = Duration::from_secs(8);
/// Parameter sets are looked for in the footage so long before its end.
const NEWEST_US: i64 = 10_000_000;
/// How long PLAY waits for the first unit before it answers with the time that was asked for.
const START_WAIT: Duration = Duration::from_secs(8);
/// Units that are looked at to find the end of the first group in reverse.
const MAX_GROUP: usize = 4096;

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
            let mut play = plan::plan(&request, &recording.token, recording.data())?;
            leave_out_sound(&mut play, &recording);
            let (end, scale, from) = (play.plan.until, play.scale, play.plan.from);
            let free = play.pace == Pace::Free;
            let deliveries = self.timeline.play(play.plan.clone()).fuse();
            let mut show =
                Show { deliveries, presenter: Presenter::new(&play), queue: VecDeque::new() };
            let direction = play.plan.direction;
            // Where nothing came in time, or nothing is there: as asked.
            let mut start = Start { at: from, shown_us: 0 };
            if let Ok(first) = tokio::time::timeout(START_WAIT, show.fill_group(direction)).await {
                first?;
                match show.start(direction, from) {
                    Some(found) => start = found,
                    None => show.queue.clear(),
                }
            }
            let rtp_times = request.media.iter().map(|m| {
                let rate = rate_of(&recording, &m.track);
                let ticks = if free {
                    frame_ticks(start.at, rate)
                } else {
                    ticks((start.shown_us as f64 / play.speed()) as i64, rate)
                };
                (m.index, m.origin(free).wrapping_add(ticks))
            });
            let rtp_times = rtp_times.collect();
            let start = Some(start.at);
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
            let codec = track.codec.unwrap_or(Codec::H264);
            track.params.clone().unwrap_or_else(|| CodecParams::new(codec))
        };
        let in_footage = track.kind == TrackKind::Video || track.codec == Some(Codec::Aac);
        if !in_footage || track.data.is_none() {
            return listed();
        }
        let found = match self.stored_params(track).await {
            Some(params) => Some(params),
            // Rate and channels describe sound well enough not to wait for it.
            None if track.kind == TrackKind::Audio => None,
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

    /// Out of the newest footage: one group forwards costs the recorder least. Where the newest
    /// seconds are lost, out of whatever is the newest.
    async fn newest_params(&self, recording: &Recording, track: &Track) -> Option<CodecParams> {
        let data = track.data?;
        let near = data.end().plus_us(-NEWEST_US).max(data.start());
        for (from, direction) in [(near, Direction::Forward), (data.end(), Direction::Reverse)] {
            let plan = PlayPlan {
                recording: recording.token.clone(),
                tracks: vec![track.token.clone()],
                from,
                until: (direction == Direction::Forward).then_some(data.end()),
                direction,
                frames: FrameFilter::All,
                follow_live: false,
                discontinuity: false,
            };
            let mut deliveries = self.timeline.play(plan);
            while let Some(delivery) = deliveries.next().await {
                match delivery {
                    Ok(Delivery::Unit { frame, .. }) => return Some((*frame.params).clone()),
                    Ok(Delivery::Gap(_)) => {}
                    Ok(Delivery::LiveEdge(_)) => break,
                    Err(_) => return None,
                }
            }
        }
        None
    }
}

/// Where a playback begins.
#[derive(Clone, Copy, Debug)]
struct Start {
    at: Utc,
    /// Recorded microseconds from time of showing 0 to it.
    shown_us: i64,
}

/// Sound is only sound at the speed at which it was recorded. Whoever wants nothing else gets it.
fn leave_out_sound(play: &mut Play, recording: &Recording) {
    let sound = |t: &TrackToken| recording.track(t).is_some_and(|t| t.kind == TrackKind::Audio);
    let other_speed = matches!(play.pace, Pace::Times(n) if n != 1.0);
    if other_speed && !play.plan.tracks.iter().all(sound) {
        play.plan.tracks.retain(|t| !sound(t));
    }
}

/// RTP clock of a track.
fn rate_of(recording: &Recording, track: &TrackToken) -> u32 {
    let found = recording.track(track).and_then(|t| match (&t.params, t.codec) {
        (Some(params), _) => Some(params.clock_rate_hz()),
        (None, codec) => codec.map(|c| CodecParams::new(c).clock_rate_hz()),
    });
    found.unwrap_or(90_000)
}

/// A playback under way.
struct Show {
    /// Fused: the first group of a short range is only complete when the stream ended, and what is
    /// sent afterwards asks again.
    deliveries: Fuse<FrameStream>,
    presenter: Presenter,
    queue: VecDeque<Timed>,
}

/// Whether more comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum More {
    Now,
    /// When more is recorded.
    Later,
    Never,
}

impl Show {
    /// Takes one delivery.
    async fn take(&mut self) -> Result<More> {
        let mut ready = Vec::new();
        let more = match self.deliveries.next().await.transpose()? {
            Some(delivery) => {
                let edge = matches!(delivery, Delivery::LiveEdge(_));
                self.presenter.push(delivery, &mut ready);
                if edge { More::Later } else { More::Now }
            }
            None => {
                self.presenter.flush(&mut ready);
                More::Never
            }
        };
        self.queue.extend(ready);
        Ok(more)
    }

    /// Takes deliveries until there is a unit. False where none comes any more.
    async fn fill(&mut self) -> Result<bool> {
        while self.queue.is_empty() {
            if self.take().await? == More::Never {
                return Ok(!self.queue.is_empty());
            }
        }
        Ok(true)
    }

    /// Fills the queue with what tells where the playback begins: the first unit, in reverse all
    /// units of the first group. Nothing, where all there is lies before the start.
    async fn fill_group(&mut self, direction: Direction) -> Result<()> {
        let known = |show: &Self| match direction {
            Direction::Forward => !show.queue.is_empty(),
            Direction::Reverse => show.has_group(),
        };
        while !known(self) && self.take().await? == More::Now {}
        Ok(())
    }

    fn has_group(&self) -> bool {
        let ends = |t: &Timed| t.marks.end_of_span || t.marks.terminal;
        self.queue.len() >= MAX_GROUP
            || self.queue.iter().any(ends)
            || self.queue.iter().skip(1).any(|t| t.marks.discontinuity)
    }

    /// Where it begins. In reverse the picture that is shown first lasts until the next one was
    /// recorded, so playback begins at the time asked for or at the end of that picture, whichever
    /// is earlier.
    fn start(&self, direction: Direction, asked: Utc) -> Option<Start> {
        let first = self.queue.front()?;
        if direction == Direction::Forward {
            return Some(Start { at: first.frame.at.utc, shown_us: 0 });
        }
        let group = self.queue.iter().enumerate();
        let group = group.take_while(|(i, t)| *i == 0 || !t.marks.discontinuity);
        let latest = group.map(|(_, t)| t.frame.at.utc).max()?;
        let at = asked.min(latest.plus_us(self.presenter.interval_us()));
        // Times of showing count from the latest picture.
        Some(Start { at, shown_us: latest.since_us(at) })
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
                    Some(timed) => {
                        // A track that is not set up was not in the plan.
                        let Some(m) = media.iter().find(|m| m.track == timed.frame.track) else {
                            continue;
                        };
                        let unit = to_unit(timed, m, free);
                        return Some((Ok(unit), Some((show, media))));
                    }
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
