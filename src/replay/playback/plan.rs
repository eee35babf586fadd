//! From the headers of a PLAY to a plan (R8.4, R8.5, R8.6; ONVIF Streaming 6.5).

use dvrgate_footage::{FrameFilter, PlayPlan};
use dvrgate_model::{Direction, RecordingToken, TrackToken, Utc, UtcRange};
use dvrgate_rtsp::headers::{Frames, Npt, Range};

/// What a PLAY asked for; `None` where the header is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlayRequest {
    /// `Range`
    pub range: Option<Range>,
    /// `Scale`
    pub scale: Option<f64>,
    /// `Speed`
    pub speed: Option<f64>,
    /// `Frames`
    pub frames: Frames,
    /// `Rate-Control`; absent means yes.
    pub rate_control: bool,
    /// `Immediate: yes`
    pub immediate: bool,
}

/// How fast units are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the client takes them (Rate-Control: no).
    Free,
    /// This many recorded seconds a second.
    Times(f64),
}

/// What will be played.
#[derive(Clone, Debug)]
pub struct Play {
    /// For the timeline.
    pub plan: PlayPlan,
    /// How fast.
    pub pace: Pace,
    /// The Scale in use, for the answer: negative in reverse.
    pub scale: f64,
}

/// Why a PLAY cannot be done, as the status that says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// 457 Invalid Range: direction and range contradict each other.
    InvalidRange,
}

/// Where playback was paused: a PLAY without Range goes on there, with the same options.
#[derive(Clone, Debug)]
pub struct Paused {
    /// What was being played.
    pub play: Play,
    /// The next instant to deliver; `None` where nothing was delivered yet.
    pub at: Option<Utc>,
}

/// Makes the plan. `data` is what the recording holds now, `paused` where it stands.
pub fn plan(
    request: &PlayRequest,
    recording: &RecordingToken,
    tracks: &[TrackToken],
    data: Option<UtcRange>,
    paused: Option<&Paused>,
) -> Result<Play, Refused> {
    if let (None, Some(paused)) = (&request.range, paused) {
        let mut play = paused.play.clone();
        play.plan.from = paused.at.unwrap_or(play.plan.from);
        play.plan.discontinuity = request.immediate;
        return Ok(play);
    }
    let scale = request.scale.unwrap_or(1.0);
    let direction = if scale < 0.0 { Direction::Reverse } else { Direction::Forward };
    let data = data.unwrap_or(UtcRange::clamped(Utc::default(), Utc::default()));
    let (from, until) = bounds(request.range.as_ref(), direction, data);
    let contradiction = until.is_some_and(|until| match direction {
        Direction::Forward => until < from,
        Direction::Reverse => until > from,
    });
    if contradiction {
        return Err(Refused::InvalidRange);
    }
    let (pace, scale) = if request.rate_control {
        (Pace::Times(scale.abs() * request.speed.unwrap_or(1.0)), scale)
    } else {
        // Without rate control only the sign has a meaning (R8.5-4).
        (Pace::Free, scale.signum())
    };
    let plan = PlayPlan {
        recording: recording.clone(),
        tracks: tracks.to_vec(),
        from,
        until,
        direction,
        frames: filter(request.frames),
        follow_live: direction == Direction::Forward,
        discontinuity: request.immediate,
    };
    Ok(Play { plan, pace, scale })
}

/// The first time of a range is where playback starts, in either direction. Clients that know no
/// absolute time ask for `npt=0`: that is the start of the recording, never live.
fn bounds(range: Option<&Range>, direction: Direction, data: UtcRange) -> (Utc, Option<Utc>) {
    let first = match direction {
        Direction::Forward => data.start(),
        Direction::Reverse => data.end(),
    };
    match range {
        None => (first, None),
        Some(Range::Clock(r)) => (r.start.unwrap_or(first), r.end),
        Some(Range::Npt(r)) => {
            let from = match r.start {
                None => first,
                Some(Npt::Now) => data.end(),
                Some(Npt::At(us)) => data.start().plus_us(us),
            };
            (from, r.end_us.map(|us| data.start().plus_us(us)))
        }
    }
}

fn filter(frames: Frames) -> FrameFilter {
    match frames {
        Frames::All => FrameFilter::All,
        Frames::Predicted => FrameFilter::Predicted,
        Frames::Intra { interval_ms } => {
            FrameFilter::Intra { min_interval_us: i64::from(interval_ms) * 1000 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Utc {
        Utc::from_secs(1_000_000 + s)
    }

    fn ask(range: &str, scale: Option<f64>, rate_control: bool) -> Result<Play, Refused> {
        let range = (!range.is_empty()).then(|| range.parse().unwrap());
        let request = PlayRequest { range, scale, rate_control, ..PlayRequest::default() };
        let data = UtcRange::new(at(0), at(100)).unwrap();
        plan(&request, &"r".into(), &["v".into()], Some(data), None)
    }

    /// R8.4-1, R8.4-2, R8.5-1, R8.6-1, R8.6-2
    #[test]
    fn the_first_time_is_the_start_in_both_directions() {
        // 1 000 000 s are 1970-01-12T13:46:40Z.
        for (range, scale, from, until) in [
            ("", None, 0, None),
            ("", Some(-1.0), 100, None),
            ("clock=19700112T134650Z-", None, 10, None),
            ("clock=19700112T134650Z-19700112T134700Z", None, 10, Some(20)),
            ("clock=19700112T134700Z-19700112T134650Z", Some(-1.0), 20, Some(10)),
            ("clock=-19700112T134650Z", None, 0, Some(10)),
            ("npt=0.000-", None, 0, None),
            ("0.000-", None, 0, None),
            ("npt=5-7", None, 5, Some(7)),
            ("npt=now-", None, 100, None),
        ] {
            let play = ask(range, scale, true).unwrap();
            assert_eq!(play.plan.from, at(from), "{range}");
            assert_eq!(play.plan.until, until.map(at), "{range}");
        }
    }

    /// R8.6-3
    #[test]
    fn a_range_against_its_direction_is_invalid() {
        let rising = "clock=19700112T134650Z-19700112T134700Z";
        let falling = "clock=19700112T134700Z-19700112T134650Z";
        assert_eq!(ask(rising, Some(-1.0), true).unwrap_err(), Refused::InvalidRange);
        assert_eq!(ask(falling, None, true).unwrap_err(), Refused::InvalidRange);
    }

    /// R8.5-3, R8.5-4
    #[test]
    fn scale_without_rate_control_is_a_direction() {
        let play = ask("", Some(-4.0), false).unwrap();
        assert_eq!((play.pace, play.scale), (Pace::Free, -1.0));
        assert_eq!(play.plan.direction, Direction::Reverse);
        assert_eq!(ask("", Some(4.0), true).unwrap().pace, Pace::Times(4.0));
    }

    /// R8.7-2
    #[test]
    fn play_after_pause_goes_on_as_before() {
        let play = ask("", Some(-1.0), true).unwrap();
        let paused = Paused { play, at: Some(at(40)) };
        let request = PlayRequest { rate_control: true, ..PlayRequest::default() };
        let on = plan(&request, &"r".into(), &["v".into()], None, Some(&paused)).unwrap();
        assert_eq!((on.plan.from, on.plan.direction), (at(40), Direction::Reverse));
        assert_eq!(on.scale, -1.0);
    }
}
