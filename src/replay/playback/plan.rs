//! From the headers of a PLAY to a plan (R8.5; ONVIF Streaming 6.5).

use dvrgate_footage::{FrameFilter, PlayPlan};
use dvrgate_model::{Direction, Error, RecordingToken, Result, Utc, UtcRange};
use dvrgate_rtsp::headers::{Frames, Npt, Range, RateControl};
use dvrgate_rtsp::server::PlayRequest;

/// How fast units are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the client takes them (Rate-Control: no).
    Free,
    /// This many recorded seconds a second.
    Times(f64),
}

/// Recorded seconds a second up to which all pictures are sent where the client did not say which.
const ALL_PICTURES_UP_TO: f64 = 4.0;
/// Beyond it, intra pictures of which at most this many are shown a second.
const THINNED_PICTURES_A_SECOND: f64 = 12.0;

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

impl Play {
    /// Recorded seconds a second of showing; 1 without rate control.
    pub fn speed(&self) -> f64 {
        match self.pace {
            Pace::Free => 1.0,
            Pace::Times(n) => n,
        }
    }
}

/// Makes the plan. `data` is what the recording holds now. A range that contradicts the direction
/// is an invalid argument (457; R8.5.2-4).
pub fn plan(
    request: &PlayRequest,
    recording: &RecordingToken,
    data: Option<UtcRange>,
) -> Result<Play> {
    let scale = request.scale.unwrap_or(1.0);
    let direction = if scale < 0.0 { Direction::Reverse } else { Direction::Forward };
    let data = data.unwrap_or(UtcRange::clamped(Utc::default(), Utc::default()));
    let (from, until) = bounds(request, direction, data);
    let contradiction = until.is_some_and(|until| match direction {
        Direction::Forward => until < from,
        Direction::Reverse => until > from,
    });
    if contradiction {
        return Err(Error::invalid("the range runs against the direction of playback"));
    }
    let (pace, scale) = match request.rate_control {
        RateControl::Server => (Pace::Times(scale.abs() * request.speed.unwrap_or(1.0)), scale),
        // Without rate control only the sign has a meaning (R8.5.1-4).
        RateControl::Client => (Pace::Free, scale.signum()),
    };
    let plan = PlayPlan {
        recording: recording.clone(),
        tracks: request.media.iter().map(|m| m.track.clone()).collect(),
        from,
        until,
        direction,
        frames: filter(request.frames, pace),
        follow_live: direction == Direction::Forward,
        discontinuity: request.discontinuity,
    };
    Ok(Play { plan, pace, scale })
}

/// The first time of a range is where playback starts, in either direction. Clients that know no
/// absolute time ask for `npt=0`: that is the start of the recording, never live.
fn bounds(request: &PlayRequest, direction: Direction, data: UtcRange) -> (Utc, Option<Utc>) {
    let first = match direction {
        Direction::Forward => data.start(),
        Direction::Reverse => data.end(),
    };
    match &request.range {
        None => (request.position.unwrap_or(first), None),
        Some(Range::Clock(r)) => (r.start.unwrap_or(first), r.end),
        Some(Range::Npt(r)) => {
            let from = match r.start {
                None => first,
                Some(Npt::Now) => data.end(),
                Some(Npt::At(us)) => Npt::instant(us, data.start()),
            };
            (from, r.end_us.map(|us| Npt::instant(us, data.start())))
        }
    }
}

/// RFC 2326 12.34 lets a server leave out pictures to come near to a scale. Who says which pictures
/// it wants gets those (R8.5.4-3).
fn filter(frames: Option<Frames>, pace: Pace) -> FrameFilter {
    match frames {
        None => match pace {
            Pace::Times(n) if n > ALL_PICTURES_UP_TO => FrameFilter::Intra {
                min_interval_us: (n * 1_000_000.0 / THINNED_PICTURES_A_SECOND) as i64,
            },
            _ => FrameFilter::All,
        },
        Some(Frames::All) => FrameFilter::All,
        Some(Frames::Predicted) => FrameFilter::Predicted,
        Some(Frames::Intra { interval_ms }) => {
            FrameFilter::Intra { min_interval_us: i64::from(interval_ms) * 1000 }
        }
    }
}

#[cfg(test)]
mod tests {
    use dvrgate_rtsp::message::Status;

    use super::*;

    fn at(s: i64) -> Utc {
        Utc::from_secs(1_000_000 + s)
    }

    fn request(range: &str, scale: Option<f64>, rate_control: RateControl) -> PlayRequest {
        PlayRequest {
            path: "/replay/r".to_owned(),
            user: dvrgate_auth::Identity::anonymous(),
            media: Vec::new(),
            range: (!range.is_empty()).then(|| range.parse().unwrap()),
            position: None,
            scale,
            speed: None,
            rate_control,
            frames: None,
            discontinuity: false,
        }
    }

    fn ask(range: &str, scale: Option<f64>, rate_control: RateControl) -> Result<Play> {
        let data = UtcRange::new(at(0), at(100)).unwrap();
        plan(&request(range, scale, rate_control), &"r".into(), Some(data))
    }

    /// R8.5.1-2, R8.5.2-2, R8.5.2-3, R8.5.2-5, R8.5.2-6
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
            // Seconds since 1900: what GStreamer makes of `a=range:clock=`.
            ("npt=2209988810.500000-2209988820", None, 10, Some(20)),
        ] {
            let play = ask(range, scale, RateControl::Server).unwrap();
            let half_us = if range.contains(".5") { 500_000 } else { 0 };
            assert_eq!(play.plan.from, at(from).plus_us(half_us), "{range}");
            assert_eq!(play.plan.until, until.map(at), "{range}");
        }
    }

    /// R8.5.2-4
    #[test]
    fn a_range_against_its_direction_is_invalid() {
        let rising = "clock=19700112T134650Z-19700112T134700Z";
        let falling = "clock=19700112T134700Z-19700112T134650Z";
        for (range, scale) in [(rising, Some(-1.0)), (falling, None)] {
            let refused = ask(range, scale, RateControl::Server).unwrap_err();
            assert_eq!(Status::of(&refused), Status::INVALID_RANGE);
        }
    }

    /// R8.5.1-3, R8.5.1-4
    #[test]
    fn scale_without_rate_control_is_a_direction() {
        let play = ask("", Some(-4.0), RateControl::Client).unwrap();
        assert_eq!((play.pace, play.scale), (Pace::Free, -1.0));
        assert_eq!(play.plan.direction, Direction::Reverse);
        assert_eq!(ask("", Some(4.0), RateControl::Server).unwrap().pace, Pace::Times(4.0));
    }

    /// R8.5.4-3, R8.5.1-5: fast forward shows intra pictures, unless the client says what it wants.
    #[test]
    fn fast_playback_is_thinned() {
        let intra = |us| FrameFilter::Intra { min_interval_us: us };
        for (scale, frames, expected) in [
            (1.0, None, FrameFilter::All),
            (4.0, None, FrameFilter::All),
            (-4.0, None, FrameFilter::All),
            (0.25, None, FrameFilter::All),
            (12.0, None, intra(1_000_000)),
            (-60.0, None, intra(5_000_000)),
            (60.0, Some(Frames::All), FrameFilter::All),
            (60.0, Some(Frames::Intra { interval_ms: 500 }), intra(500_000)),
        ] {
            let mut request = request("", Some(scale), RateControl::Server);
            request.frames = frames;
            let play = plan(&request, &"r".into(), None).unwrap();
            assert_eq!((play.plan.frames, play.scale), (expected, scale));
        }
        // Without rate control nothing is.
        let mut request = request("", Some(-1.0), RateControl::Client);
        request.speed = Some(100.0);
        assert_eq!(plan(&request, &"r".into(), None).unwrap().plan.frames, FrameFilter::All);
    }

    /// R8.5.2-7
    #[test]
    fn play_without_a_range_goes_on_where_it_stands() {
        let mut request = request("", Some(-1.0), RateControl::Server);
        request.position = Some(at(40));
        let play = plan(&request, &"r".into(), None).unwrap();
        assert_eq!((play.plan.from, play.plan.direction), (at(40), Direction::Reverse));
    }
}
