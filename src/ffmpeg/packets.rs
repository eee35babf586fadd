//! The access units of a file, from a clean point on.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use dvrgate_media::codec::{Inspector, aac};
use dvrgate_media::container::{Demuxed, MAX_UNIT_BYTES, Unit};
use dvrgate_model::{CodecParams, Error, ErrorKind, FrameKind, MediaTime, Result, TrackKind};
use ffmpeg_next::format::context::Input;
use ffmpeg_next::{Packet, Rational, Stream};

use crate::stream::{self, Supported};

/// How far before the asked time reading starts, if the container's index leads behind the clean
/// point that is wanted. The last resort is the start of the file.
const BACK_OFF_US: [i64; 3] = [0, 10_000_000, 60_000_000];
/// Unreadable packets in a row after which a file is given up.
const MAX_BAD_PACKETS: usize = 1_000;
/// Bytes of one group of pictures that are held while the clean point is looked for.
const MAX_HELD_BYTES: usize = 256 << 20;

/// Opens a file and goes to the last clean point of its video at or before `from_us`, counted from
/// the first picture. A file without video starts at `from_us`.
pub fn packets(path: &Path, from_us: i64) -> Result<Packets> {
    for back_us in BACK_OFF_US {
        let start_us = from_us.saturating_sub(back_us);
        if start_us <= 0 {
            break;
        }
        let mut packets = Packets::open(path)?;
        if packets.seek(start_us).is_ok() && packets.settle(from_us)? {
            return Ok(packets);
        }
    }
    let mut packets = Packets::open(path)?;
    if from_us > 0 {
        packets.settle(from_us)?;
    }
    Ok(packets)
}

/// Units of the first video and the first audio track that can be replayed, in the file's order,
/// with their params in front. Media times count from the first picture of the file.
pub struct Packets {
    input: Input,
    tracks: Vec<Track>,
    /// Read but not given yet.
    ready: VecDeque<Demuxed>,
    ended: bool,
    bad_packets: usize,
}

struct Track {
    index: usize,
    supported: Supported,
    inspector: Inspector,
    announced: bool,
    time_base: Rational,
    /// In `time_base`: what counts as zero.
    origin: i64,
    /// In `time_base`: time of the last packet, and the step to the next one without time.
    last: Option<i64>,
    step: i64,
}

impl std::fmt::Debug for Packets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packets").field("tracks", &self.tracks.len()).finish_non_exhaustive()
    }
}

impl Iterator for Packets {
    type Item = Result<Demuxed>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.ended {
            if let Err(e) = self.read() {
                self.ended = true;
                return Some(Err(e));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

impl Packets {
    fn open(path: &Path) -> Result<Self> {
        let input = crate::input::open(path)?;
        let mut tracks: Vec<Track> = Vec::new();
        for stream in input.streams() {
            let Some(supported) = stream::supported(&stream) else { continue };
            let kind = supported.params.codec.track_kind();
            if tracks.iter().any(|t| t.kind() == kind) {
                continue;
            }
            tracks.push(Track {
                index: stream.index(),
                inspector: Inspector::with_base(supported.params.clone()),
                supported,
                announced: false,
                time_base: stream.time_base(),
                origin: start(stream.start_time()),
                last: None,
                step: frame_step(&stream),
            });
        }
        // Zero is where the video starts, or else the sound.
        let (base, origin) =
            tracks.iter().min_by_key(|t| t.kind()).map(|t| (t.time_base, t.origin)).ok_or_else(
                || {
                    Error::new(ErrorKind::Unsupported, "no track of the file can be replayed")
                        .with("path", path.display())
                },
            )?;
        for track in &mut tracks {
            track.origin = rescale(origin, base, track.time_base);
        }
        Ok(Self { input, tracks, ready: VecDeque::new(), ended: false, bad_packets: 0 })
    }

    /// Params of the tracks, as far as the container tells them.
    pub fn params(&self) -> impl Iterator<Item = &Arc<CodecParams>> {
        self.tracks.iter().map(|t| t.inspector.params())
    }

    fn seek(&mut self, to_us: i64) -> Result<()> {
        let first = self.tracks.iter().min_by_key(|t| t.kind());
        let micros = Rational::new(1, 1_000_000);
        let origin_us = first.map_or(0, |t| rescale(t.origin, t.time_base, micros));
        let at = to_us.saturating_add(origin_us);
        self.input.seek(at, ..at).map_err(|e| crate::error(e, "seeking failed"))
    }

    /// Reads on to the last clean point at or before `from_us` and drops what comes before it.
    /// Says no, with everything from the first clean point on still to be given, where there is
    /// none.
    fn settle(&mut self, from_us: i64) -> Result<bool> {
        let has_video = self.tracks.iter().any(|t| t.kind() == TrackKind::Video);
        let mut kept = VecDeque::new();
        let mut held_bytes = 0;
        let mut found = false;
        for item in self.by_ref() {
            let item = item?;
            if let Demuxed::Unit(unit) = &item {
                let at_us = unit.media.micros();
                let clean = unit.frame.is_clean() && (!has_video || unit.kind == TrackKind::Video);
                if clean && at_us <= from_us {
                    kept.retain(|d| !matches!(d, Demuxed::Unit(_)));
                    held_bytes = 0;
                    found = true;
                }
                held_bytes += unit.data.len();
                // Pictures that come out of order may still be followed by a clean one before the
                // asked time; a clean one behind it ends the group.
                let ends = at_us > from_us && clean || held_bytes > MAX_HELD_BYTES;
                if ends {
                    kept.push_back(item);
                    break;
                }
            }
            kept.push_back(item);
        }
        std::mem::swap(&mut self.ready, &mut kept);
        self.ready.extend(kept);
        Ok(found)
    }

    /// Reads one packet.
    fn read(&mut self) -> Result<()> {
        let mut packet = Packet::empty();
        match packet.read(&mut self.input) {
            Ok(()) => {}
            Err(ffmpeg_next::Error::Eof) => {
                self.ended = true;
                return Ok(());
            }
            Err(ffmpeg_next::Error::InvalidData) if self.bad_packets < MAX_BAD_PACKETS => {
                self.bad_packets += 1;
                return Ok(());
            }
            Err(e) => return Err(crate::error(e, "reading the file failed")),
        }
        self.bad_packets = 0;
        let Some(track) = self.tracks.iter_mut().find(|t| t.index == packet.stream()) else {
            return Ok(());
        };
        let data = packet.data().unwrap_or_default();
        if data.len() > MAX_UNIT_BYTES {
            self.ready.push_back(damage(&packet, "access unit too large"));
        } else if let Some(time) = track.time(&packet) {
            match track.unit(data, time) {
                Some(items) => self.ready.extend(items),
                None => self.ready.push_back(damage(&packet, "not framed as its track says")),
            }
        } else {
            self.ready.push_back(damage(&packet, "packet without time"));
        }
        Ok(())
    }
}

fn damage(packet: &Packet, why: &'static str) -> Demuxed {
    Demuxed::Damage {
        at_byte: u64::try_from(packet.position()).unwrap_or(0),
        skipped_bytes: packet.size() as u64,
        why,
    }
}

impl Track {
    fn kind(&self) -> TrackKind {
        self.supported.params.codec.track_kind()
    }

    /// The time of a packet. Program streams give it for the first picture of a packet only; the
    /// others follow at the frame rate (ISO/IEC 13818-1 2.7.5).
    fn time(&mut self, packet: &Packet) -> Option<i64> {
        let given = packet.pts().or(packet.dts());
        let time = given
            .or_else(|| Some(self.last? + self.step))
            .filter(|_| given.is_some() || self.step > 0);
        self.last = time.or(self.last);
        time
    }

    /// The unit of a packet, after its params if they are new.
    fn unit(&mut self, packet: &[u8], time: i64) -> Option<impl Iterator<Item = Demuxed> + use<>> {
        let data = self.supported.unit(packet)?;
        let mut seen = self.inspector.inspect(&data);
        if self.supported.params.config != self.inspector.params().config
            && self.kind() == TrackKind::Audio
        {
            let mut base = self.supported.params.clone();
            if let Some(config) = aac::Config::parse(&base.config) {
                (base.sample_rate_hz, base.channels) = (config.rate_hz, config.channels);
            }
            seen.changed |= self.inspector.set_base(base);
        }
        let params = (seen.changed || !self.announced)
            .then(|| Demuxed::Params(Arc::clone(self.inspector.params())));
        self.announced = true;
        let frame = if self.kind() == TrackKind::Audio { FrameKind::Audio } else { seen.kind };
        let media = media_time(time - self.origin, self.time_base);
        let unit = Unit { kind: self.kind(), media, frame, data };
        Some(params.into_iter().chain([Demuxed::Unit(unit)]))
    }
}

/// Ticks as they are where the time base is one part of a second, else microseconds.
fn media_time(ticks: i64, base: Rational) -> MediaTime {
    match (base.numerator(), u32::try_from(base.denominator())) {
        (1, Ok(rate_hz @ 1..)) => MediaTime { ticks, rate_hz },
        _ => {
            let micros = Rational::new(1, 1_000_000);
            MediaTime { ticks: rescale(ticks, base, micros), rate_hz: 1_000_000 }
        }
    }
}

/// Length of a frame at the stream's frame rate; 0 where it has none.
fn frame_step(stream: &Stream<'_>) -> i64 {
    let rate = stream.avg_frame_rate();
    match rate.numerator() > 0 && rate.denominator() > 0 {
        true => rescale(1, rate.invert(), stream.time_base()),
        false => 0,
    }
}

/// The start of a stream; 0 where it is not known.
fn start(time: i64) -> i64 {
    if time == i64::MIN { 0 } else { time }
}

fn rescale(ticks: i64, from: Rational, to: Rational) -> i64 {
    let num = i128::from(from.numerator()) * i128::from(to.denominator());
    let den = i128::from(from.denominator()) * i128::from(to.numerator());
    (i128::from(ticks) * num).div_euclid(den.max(1)) as i64
}
