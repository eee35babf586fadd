//! What a simulated recorder holds: files of footage per channel and a log, as time goes by.

use std::fmt;
use std::sync::Arc;

use dvrgate_model::{Civil, Codec, Reason, Result, Utc, UtcRange};
use parking_lot::RwLock;

use crate::device_clock::DeviceClock;
use crate::footage::{ClipSource, FileClip, Synthetic, SyntheticSpec, Tone};
use crate::moment::Moment;
use crate::reel::Reel;
use crate::scenario::{
    self, ChannelKind, ChannelSpec, EventKind, FootageSpec, Scenario, VideoCodec,
};

/// The recorder's memory. All questions take the present as an argument.
pub struct Archive {
    channels: Vec<ArchivedChannel>,
    clock: Arc<DeviceClock>,
    breaks: Vec<Utc>,
    file_us: i64,
    retention_us: Option<i64>,
    gone_before: RwLock<Utc>,
    events: RwLock<Vec<LoggedEvent>>,
}

/// One channel of it.
pub struct ArchivedChannel {
    /// The recorder's number.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// Where the picture comes from.
    pub kind: ChannelKind,
    /// Whether there is a picture.
    pub online: bool,
    /// Its sound, if any is recorded.
    pub tone: Option<Arc<Tone>>,
    /// Pictures of the present.
    pub clip: Arc<dyn ClipSource>,
    stretches: Vec<Stretch>,
}

struct Stretch {
    from: Utc,
    /// None: still being recorded.
    to: Option<Utc>,
    reason: Reason,
    clip: Arc<dyn ClipSource>,
}

/// One file on the recorder's disk: whole groups of pictures, one reason, one codec, no jump of the
/// wall clock inside.
#[derive(Clone)]
pub struct Piece {
    /// The channel.
    pub channel: u16,
    /// From the first picture to after the last.
    pub range: UtcRange,
    /// Why it was recorded.
    pub reason: Reason,
    /// Still being recorded.
    pub growing: bool,
    /// Its pictures.
    pub clip: Arc<dyn ClipSource>,
    /// Whether it continues the piece before without a gap, a jump of the wall clock or another
    /// reason or size of picture.
    pub continues: bool,
}

/// Something in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LoggedEvent {
    /// When it began.
    pub at: Utc,
    /// When it ended, if the recorder noticed.
    pub until: Option<Utc>,
    /// What.
    pub kind: EventKind,
    /// On which channel.
    pub channel: Option<u16>,
}

/// Breaks of the wall clock are looked up so far beyond the start; simulations do not last longer.
const BREAKS_AHEAD_US: i64 = 400 * 86_400_000_000;

impl Archive {
    /// Everything of the scenario, with the simulation starting at `start`.
    pub fn new(scenario: &Scenario, start: Utc) -> Result<Self> {
        let clock = Arc::new(scenario.device_clock(start)?);
        let channels: Vec<_> =
            scenario.channels.iter().map(|c| channel(c, start)).collect::<Result<_>>()?;
        let oldest = channels.iter().flat_map(|c| &c.stretches).map(|s| s.from).min();
        let span = UtcRange::clamped(oldest.unwrap_or(start), start.plus_us(BREAKS_AHEAD_US));
        let mut archive = Self {
            channels,
            breaks: clock.breaks(span),
            clock,
            file_us: scenario.storage.file.us,
            retention_us: scenario.storage.retention.map(|r| r.us),
            gone_before: RwLock::new(Utc::MIN),
            events: RwLock::default(),
        };
        archive.events = RwLock::new(logged(scenario, start));
        Ok(archive)
    }

    /// The recorder's clock.
    pub fn clock(&self) -> &DeviceClock {
        &self.clock
    }

    /// Its channels in their order.
    pub fn channels(&self) -> &[ArchivedChannel] {
        &self.channels
    }

    /// The channel of that number.
    pub fn channel(&self, id: u16) -> Option<&ArchivedChannel> {
        self.channels.iter().find(|c| c.id == id)
    }

    /// Overwrites every file that begins before `t`.
    pub fn overwrite_before(&self, t: Utc) {
        let mut gone = self.gone_before.write();
        *gone = t.max(*gone);
    }

    /// Notes an event.
    pub fn log(&self, event: LoggedEvent) {
        let mut events = self.events.write();
        let at = events.partition_point(|e| e.at <= event.at);
        events.insert(at, event);
    }

    /// Events that began in `range`, oldest first.
    pub fn events(&self, range: UtcRange) -> Vec<LoggedEvent> {
        self.events.read().iter().filter(|e| range.contains(e.at)).copied().collect()
    }

    /// Files of a channel that overlap `range`, oldest first.
    pub fn pieces(&self, channel: u16, range: UtcRange, now: Utc) -> Vec<Piece> {
        let Some(channel) = self.channel(channel) else { return Vec::new() };
        let kept = self.retention_us.map_or(Utc::MIN, |r| now.plus_us(-r));
        let gone = kept.max(*self.gone_before.read());
        let mut pieces: Vec<Piece> = Vec::new();
        for stretch in &channel.stretches {
            let clip = &stretch.clip;
            let end = match stretch.to {
                Some(to) if to <= now => clip.key_at_or_after(to),
                _ => clip.key_at_or_before(now),
            };
            let growing = stretch.to.is_none_or(|to| now < to);
            let start = clip.key_at_or_after(stretch.from);
            if end <= start || end <= range.start() || range.end() <= start {
                continue;
            }
            let mut from = start;
            if range.start() > start {
                // Do not build a year of files to answer for a minute of it.
                let files = range.start().since_us(start).div_euclid(self.file_us);
                from = self.file_border(clip.as_ref(), start, files);
            }
            while from < end && from < range.end() {
                let files = from.since_us(start).div_euclid(self.file_us) + 1;
                let mut to =
                    self.file_border(clip.as_ref(), start, files).max(clip.key_after(from));
                let jump = self.breaks.iter().map(|&b| clip.key_at_or_after(b)).find(|&b| from < b);
                to = to.min(jump.unwrap_or(Utc::MAX)).min(end);
                let file = UtcRange::clamped(from, to);
                if from >= gone && file.overlaps(&range) {
                    pieces.push(Piece {
                        channel: channel.id,
                        range: file,
                        reason: stretch.reason,
                        growing: growing && to == end,
                        clip: clip.clone(),
                        continues: pieces.last().is_some_and(|p| {
                            p.range.end() == from
                                && p.reason == stretch.reason
                                && Arc::ptr_eq(&p.clip, clip)
                                && !self.breaks.iter().any(|&b| clip.key_at_or_after(b) == from)
                        }),
                    });
                }
                from = to;
            }
        }
        pieces
    }

    /// Whether the channel is being recorded at `now`.
    pub fn is_recording(&self, channel: u16, now: Utc) -> bool {
        let going_on = |s: &Stretch| s.from <= now && s.to.is_none_or(|to| now < to);
        self.channel(channel).is_some_and(|c| c.stretches.iter().any(going_on))
    }

    /// Where file number `n` of a stretch begins.
    fn file_border(&self, clip: &dyn ClipSource, start: Utc, n: i64) -> Utc {
        clip.key_at_or_after(start.plus_us(n.saturating_mul(self.file_us)))
    }

    /// Recorded time of a channel without regard to files and reasons.
    pub fn spans(&self, channel: u16, now: Utc) -> Vec<UtcRange> {
        let mut spans: Vec<UtcRange> = Vec::new();
        for piece in self.pieces(channel, UtcRange::ALL, now) {
            match spans.last_mut() {
                Some(last) if last.touches(&piece.range, 0) => *last = last.hull(&piece.range),
                _ => spans.push(piece.range),
            }
        }
        spans
    }

    /// The media of those pieces, clipped to whole groups of pictures that overlap each range.
    pub fn reel(&self, parts: Vec<(Piece, UtcRange)>) -> Reel {
        let tone =
            parts.first().and_then(|(p, _)| self.channel(p.channel)).and_then(|c| c.tone.clone());
        Reel::new(parts, tone, self.clock.clone())
    }

    /// What the recorder's wall clock showed.
    pub fn wall(&self, t: Utc) -> Civil {
        self.clock.wall(t)
    }
}

fn channel(spec: &ChannelSpec, start: Utc) -> Result<ArchivedChannel> {
    let clip: Arc<dyn ClipSource> = open_clip(spec, &spec.footage)?;
    let mut stretches = Vec::new();
    for s in &spec.recorded {
        let clip = match &s.footage {
            Some(footage) => open_clip(spec, footage)?,
            None => clip.clone(),
        };
        // `Scenario::parse` has checked the name.
        let reason = Reason::from_name(&s.reason).unwrap_or_default();
        let from = s.from.resolve(start).unwrap_or(start);
        match (s.every, s.lasting) {
            (Some(every), Some(lasting)) => {
                let to = s.to.resolve(start).unwrap_or(start);
                stretches.extend(
                    scenario::repetitions(from, to, every, lasting).map(|(a, b)| Stretch {
                        from: a,
                        to: Some(b),
                        reason,
                        clip: clip.clone(),
                    }),
                );
            }
            _ => stretches.push(Stretch { from, to: s.to.resolve(start), reason, clip }),
        }
    }
    stretches.sort_by_key(|s| s.from);
    Ok(ArchivedChannel {
        id: spec.id,
        name: spec.name.clone(),
        kind: spec.kind,
        online: spec.online,
        tone: spec.audio.then(|| Arc::new(Tone::new(spec.id))),
        clip,
        stretches,
    })
}

fn open_clip(channel: &ChannelSpec, f: &FootageSpec) -> Result<Arc<dyn ClipSource>> {
    if let Some(file) = &f.file {
        return Ok(Arc::new(FileClip::open(file, f.rate, (f.width as u32, f.height as u32))?));
    }
    Ok(Arc::new(Synthetic::new(SyntheticSpec {
        codec: match f.codec {
            VideoCodec::H264 => Codec::H264,
            VideoCodec::H265 => Codec::H265,
        },
        channel: channel.id,
        title: format!("{} {}", channel.id, channel.name),
        width: f.width,
        height: f.height,
        rate: f.rate,
        gop: f.gop,
    })?))
}

fn logged(scenario: &Scenario, start: Utc) -> Vec<LoggedEvent> {
    let mut events = Vec::new();
    for e in &scenario.events {
        let at = e.at.resolve(start).unwrap_or(start);
        let event = |at, until| LoggedEvent { at, until, kind: e.kind, channel: e.channel };
        match (e.every, e.lasting) {
            (Some(every), lasting) if every.us > 0 => {
                let until = e.until.and_then(|u: Moment| u.resolve(start)).unwrap_or(start);
                let long = lasting.unwrap_or(every);
                events.extend(
                    scenario::repetitions(at, until, every, long)
                        .map(|(a, b)| event(a, lasting.map(|_| b))),
                );
            }
            _ => events.push(event(at, e.until.and_then(|u| u.resolve(start)))),
        }
    }
    events.sort_by_key(|e| e.at);
    events
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("channels", &self.channels.len())
            .field("gone_before", &*self.gone_before.read())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let growing = if self.growing { ", growing" } else { "" };
        write!(f, "Piece(channel {}, {:?}, {:?}{growing})", self.channel, self.range, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(text: &str) -> (Archive, Utc) {
        let start = "2026-11-25T12:00:00.5Z".parse().unwrap();
        (Archive::new(&Scenario::parse(text).unwrap(), start).unwrap(), start)
    }

    #[test]
    fn files_are_cut_at_length_reason_and_clock_step_and_grow() {
        let (archive, start) = archive(
            r#"
            [storage]
            file = "10m"
            [[clock.step]]
            at = "-25m"
            by_s = 60
            [[channel]]
            id = 1
            [[channel.recorded]]
            from = "-1h"
            to = "-30m"
            [[channel.recorded]]
            from = "-30m"
            to = "now"
            reason = "motion"
            "#,
        );
        let pieces = archive.pieces(1, UtcRange::ALL, start);
        let lengths: Vec<i64> = pieces.iter().map(|p| p.range.duration_us() / 1_000_000).collect();
        // The step, 5 min into the second stretch, cuts its first file.
        assert_eq!(lengths, [600, 600, 600, 300, 300, 600, 598]);
        let continues: Vec<bool> = pieces.iter().map(|p| p.continues).collect();
        assert_eq!(continues, [false, true, true, false, false, true, true]);
        assert!(pieces[6].growing && !pieces[5].growing);
        assert_eq!(archive.spans(1, start).len(), 1);
        assert!(archive.is_recording(1, start));
        assert!(!archive.is_recording(1, start.plus_us(-4_000_000_000)));
        assert!(!archive.is_recording(2, start));

        let later = start.plus_us(10_000_000);
        let newer = archive.pieces(1, UtcRange::ALL, later);
        assert_eq!(newer.last().unwrap().range.end().since_us(pieces[6].range.end()), 10_000_000);

        let window =
            UtcRange::clamped(start.plus_us(-1_801_000_000), start.plus_us(-1_800_000_000));
        assert_eq!(archive.pieces(1, window, start).len(), 1);
        archive.overwrite_before(pieces[1].range.start().plus_us(1));
        assert_eq!(archive.pieces(1, UtcRange::ALL, start)[0].range, pieces[2].range);
    }

    #[test]
    fn windows_give_the_files_that_the_whole_gives() {
        let (archive, start) = archive(
            r#"
            [storage]
            file = "97s"
            [[channel]]
            id = 1
            [[channel.recorded]]
            from = "-1h"
            to = "now"
            [[channel.recorded]]
            from = "-3h"
            to = "-1h10m"
            reason = "motion"
            every = "7m"
            lasting = "3m10s"
            "#,
        );
        let all = archive.pieces(1, UtcRange::ALL, start);
        assert!(all.len() > 60);
        for minute in 0..200 {
            let from = start.plus_us((minute - 190) * 60_000_000);
            let window = UtcRange::clamped(from, from.plus_us(400_000_000));
            let expected: Vec<_> =
                all.iter().map(|p| p.range).filter(|r| r.overlaps(&window)).collect();
            let got: Vec<_> = archive.pieces(1, window, start).iter().map(|p| p.range).collect();
            assert_eq!(got, expected);
        }
    }
}
