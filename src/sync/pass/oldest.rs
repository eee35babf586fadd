//! The part of a pass that looks at the old end of listings: where footage begins, whether that is
//! so, and what was overwritten.

use dvrgate_adapter::{OldestQuery, OldestSupport};
use dvrgate_model::{
    ClockMap, Convention, ErrorKind, Hint, Result, SourceRange, SourceTime, Utc, UtcRange,
    ZoneClaim,
};

use super::lanes::Track;
use super::{HOUR_US, Pass, purpose};
use crate::Stage;
use crate::windows::{Floor, Older};

impl Pass<'_> {
    /// Asks where the footage of a lane begins, so that nothing before is listed.
    pub(super) async fn floor(&mut self, track: &mut Track, map: &ClockMap) -> Result<()> {
        let support = self.device.adapter.capabilities().segments.oldest;
        let open = track.plan.mark().filter(|m| m.older == Older::Open && !track.failed);
        let (Some(mark), true) = (open, support != OldestSupport::No) else { return Ok(()) };
        let horizon = self.syncer.clock.utc().plus_us(-self.cut().horizon_us);
        let readings = |t: Utc| map.to_source(t, Convention::Listing).into_iter();
        let (Some(start), Some(end)) = (readings(horizon).min(), readings(mark.tail).max()) else {
            return Ok(());
        };
        let (channel, stream) = (track.lane.channel, track.lane.stream);
        let query = OldestQuery { channel, stream, window: SourceRange::new(start, end) };
        let at = match self.device.adapter.oldest(&self.cx, query).await {
            Ok(Some(reading)) => {
                // A claim that is believed where claims are, as in listings.
                let said = SourceTime::from_civil(reading, ZoneClaim::Utc);
                map.to_utc(&said, Hint::NotAfter(Utc::MIN)).utc.plus_us(-MARGIN_US)
            }
            Ok(None) => mark.tail,
            Err(e) if e.kind() == ErrorKind::Unsupported => return Ok(()),
            Err(e) => return self.tolerate(track.lane.recording.as_str(), e),
        };
        track.plan.set_floor(Floor { at, sure: support == OldestSupport::Surely });
        match track.is_complete() {
            true => self.remember(track).await,
            false => Ok(()),
        }
    }

    /// Looks behind what the recorder said to be the oldest, one window a pass: some overlook what
    /// lies beyond a long gap.
    pub(super) async fn beyond(&mut self, track: &mut Track, map: &ClockMap) -> Result<()> {
        let Some(range) = track.plan.beyond().filter(|_| track.is_known && !track.failed) else {
            return Ok(());
        };
        let range = self.steady(range, map);
        self.tell(Stage::Oldest, Some(range), track.plan.fraction());
        match self.window(&track.lane, map, range, None, None).await {
            Ok(found) => {
                track.plan.beyond_done(range, found.items > 0);
                self.remember(track).await
            }
            Err(e) => {
                track.failed = true;
                self.tolerate(track.lane.recording.as_str(), e)
            }
        }
    }

    async fn remember(&mut self, track: &Track) -> Result<()> {
        let Some(mark) = track.plan.mark() else { return Ok(()) };
        self.apply(vec![self.watermark(&purpose(&track.lane.recording), &mark.to_string())]).await
    }

    /// What was overwritten: the oldest stretch is listed again, until something is still there.
    pub(super) async fn overwritten(&mut self, track: &mut Track, map: &ClockMap) -> Result<()> {
        let now = self.syncer.clock.utc();
        let recording = self.syncer.index.snapshot().recording(&track.lane.recording)?;
        let Some(data) = recording.and_then(|r| r.data()).filter(|_| track.is_known) else {
            return Ok(());
        };
        if track.failed {
            return Ok(());
        }
        let (mut from, mut width_us) = (data.start(), self.cut().first_us);
        while from < data.end() {
            let range = UtcRange::clamped(from, from.plus_us(width_us).min(now));
            if range.is_empty() {
                return Ok(());
            }
            let range = self.steady(range, map);
            self.tell(Stage::Oldest, Some(range), track.plan.fraction());
            match self.window(&track.lane, map, range, None, None).await {
                Ok(found) if found.items == 0 => {}
                Ok(_) => return Ok(()),
                Err(e) => return self.tolerate(track.lane.recording.as_str(), e),
            }
            from = range.end();
            width_us = width_us.saturating_mul(2);
        }
        Ok(())
    }
}

/// What the clock map may be wrong by in the past.
const MARGIN_US: i64 = 2 * HOUR_US;
