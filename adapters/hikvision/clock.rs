//! The device's clock, and what its zone claims are worth.

use dvrgate_adapter::Cx;
use dvrgate_model::{Civil, ClockReading, Error, Result, Utc, ZoneTrust};

use crate::adapter::{Hikvision, SeenClock, Trust};
use crate::calibrate::{self, Calibration, Step, Verdict};
use crate::container;
use crate::convert::{self, listing_civil, reading};
use crate::policy::{DownloadPolicy, ZPolicy};
use crate::wire::search::{self, Query};
use crate::wire::{self, time};

/// A clock seen this long ago is read again before a listing relies on it.
const FRESH_US: i64 = 3_600_000_000;
/// An undecided verdict stands this long before the device is asked again.
const UNDECIDED_US: i64 = 600_000_000;
/// How far back a listed file is looked for, to compare its clock.
const LOOK_BACK_US: i64 = 86_400_000_000;

/// The device's time now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceNow {
    /// In the convention of listings.
    pub(crate) listing: Civil,
    /// Wall clock minus listing reading, microseconds.
    pub(crate) wall_ahead_us: i64,
    /// Whether zone claims of listings are believed.
    pub(crate) trust: ZoneTrust,
    /// How much later than `listing` readings of the past may be.
    pub(crate) went_back_us: i64,
}

impl Hikvision {
    pub(crate) async fn read_clock(&self, cx: &Cx) -> Result<ClockReading> {
        let mut shown = self.look(cx).await?;
        shown.trust = self.trust(cx, &shown).await?;
        Ok(shown)
    }

    /// One look at the clock, without a verdict.
    async fn look(&self, cx: &Cx) -> Result<ClockReading> {
        let g = self.generation(cx).await?;
        let reply = self.send(cx, time::request(g)).await?;
        let answer = wire::read(&reply, time::parse).map_err(|f| self.failed(f))?;
        let (before, after) = (reply.sent, reply.answered);
        let clock = convert::clock(&answer).ok_or_else(|| {
            Error::malformed("the device's clock cannot be read").with("localTime", &answer.local)
        })?;
        let middle = before.plus_us(after.since_us(before) / 2);
        let rule = self.settings.zone.as_ref().or(clock.rule.as_ref());
        let seen = SeenClock {
            at: middle,
            // The middle of what the digits leave open.
            ahead_us: clock.shown.civil.micros_as_if_utc() - middle.micros()
                + clock.resolution_us as i64 / 2,
            offset_s: rule.map(|r| r.offset_secs(middle)),
            went_back_us: rule.map_or(0, |r| {
                let before = r.offset_secs(middle.plus_us(-WENT_BACK_US));
                i64::from((before - r.offset_secs(middle)).max(0)) * 1_000_000
            }),
        };
        self.learnt(|l| (l.clock, l.zone) = (Some(seen), rule.cloned()));
        let trust = self.assumed();
        let convert::Clock { shown: device, rule: zone, resolution_us } = clock;
        Ok(ClockReading { before, device, after, zone, trust, resolution_us })
    }

    /// What holds until the device was asked: cameras write UTC, recorders what the mapping says.
    fn assumed(&self) -> ZoneTrust {
        match self.policy.z {
            ZPolicy::Fixed(trust) => trust,
            ZPolicy::Calibrate if self.learnt(|l| l.info.is_camera()) => ZoneTrust::Claimed,
            ZPolicy::Calibrate => self.mapping.zone_trust(),
        }
    }

    /// The device's time now, from a look that is not too old.
    pub(crate) async fn now(&self, cx: &Cx) -> Result<DeviceNow> {
        let now = cx.clock.utc();
        let is_fresh = |c: &SeenClock| now.since_us(c.at).abs() < FRESH_US;
        let (clock, trust) = self.learnt(|l| (l.clock.filter(is_fresh), l.trust.clone()));
        if let (Some(clock), Some(trust)) = (clock, trust) {
            return Ok(device_now(&clock, trust.trust, now));
        }
        let trust = self.read_clock(cx).await?.trust;
        let clock = self.learnt(|l| l.clock);
        let clock = clock.ok_or_else(|| Error::internal("a clock that was read is not there"))?;
        Ok(device_now(&clock, trust, now))
    }

    async fn trust(&self, cx: &Cx, shown: &ClockReading) -> Result<ZoneTrust> {
        if let ZPolicy::Fixed(trust) = self.policy.z {
            let trust = Trust { trust, key: String::new(), at: shown.after, decided: true };
            self.learnt(|l| l.trust = Some(trust.clone()));
            return Ok(trust.trust);
        }
        let offset_s = self.learnt(|l| l.clock.and_then(|c| c.offset_s));
        let firmware = self.learnt(|l| l.info.version());
        let rule = self.settings.zone.as_ref().or(shown.zone.as_ref());
        let key = format!("{firmware} {} {offset_s:?}", rule.map_or("", |r| r.as_str()));
        let cached = self
            .learnt(|l| l.trust.clone())
            .filter(|t| t.key == key && (t.decided || shown.after.since_us(t.at) < UNDECIDED_US));
        if let Some(cached) = cached {
            return Ok(cached.trust);
        }
        let verdict = match offset_s {
            Some(offset_s) => {
                let half_us = shown.resolution_us as i64 / 2;
                self.calibrate(cx, shown.device.civil.plus_us(half_us), offset_s).await?
            }
            None => Verdict::Undecided,
        };
        let (trust, decided) = match verdict {
            Verdict::Local => (ZoneTrust::WallClock, true),
            Verdict::Utc => (ZoneTrust::Claimed, true),
            Verdict::Same => (self.assumed(), true),
            // What was decided before outlives a change that nothing recorded decides.
            Verdict::Undecided => match self.learnt(|l| l.trust.clone()) {
                Some(old) if old.decided => (old.trust, false),
                _ => (self.assumed(), false),
            },
        };
        tracing::info!(device = %self.settings.id, ?verdict, ?trust, "what the zone claims of listings mean");
        self.learnt(|l| l.trust = Some(Trust { trust, key, at: shown.after, decided }));
        Ok(trust)
    }

    /// Asks the device what its zone claims mean.
    async fn calibrate(&self, cx: &Cx, local: Civil, offset_s: i32) -> Result<Verdict> {
        let tracks = self.learnt(|l| match l.tracks.is_empty() {
            true => vec![FIRST_TRACK],
            false => l.tracks.clone(),
        });
        let mut engine = Calibration::new(local, offset_s, tracks.iter().copied());
        loop {
            match engine.poll() {
                Step::Search { track, start, end, trust } => {
                    let listed = self.listed(cx, track, start, end).await?;
                    let ends = listed.iter().filter_map(|m| reading(&m.end));
                    engine.newest(ends.map(|t| listing_civil(&t, trust)).max());
                }
                Step::Done(Verdict::Same) => return Ok(Verdict::Same),
                // A file that ended an hour ago by chance looks like one that ends now.
                Step::Done(searched) => {
                    for track in tracks.iter().take(calibrate::MAX_TRACKS) {
                        match self.by_media(cx, *track, local, offset_s).await? {
                            Verdict::Undecided => {}
                            seen => return Ok(seen),
                        }
                    }
                    return Ok(searched);
                }
            }
        }
    }

    /// Compares the listed start of a file of the last day with the clock inside it.
    async fn by_media(&self, cx: &Cx, track: u32, local: Civil, offset_s: i32) -> Result<Verdict> {
        if self.policy.download == DownloadPolicy::Never {
            return Ok(Verdict::Undecided);
        }
        let listed = self.listed(cx, track, local.plus_us(-LOOK_BACK_US), local).await?;
        let Some(file) = listed.first() else { return Ok(Verdict::Undecided) };
        let Some(start) = reading(&file.start) else { return Ok(Verdict::Undecided) };
        match self.download(cx, &file.uri).await? {
            Ok(opened) => Ok(container::first_clock(&opened.head)
                .map_or(Verdict::Undecided, |c| calibrate::by_media(start.civil, c, offset_s))),
            Err(_) => Ok(Verdict::Undecided),
        }
    }

    /// The first page of a search; empty where it is refused.
    async fn listed(
        &self,
        cx: &Cx,
        track: u32,
        start: Civil,
        end: Civil,
    ) -> Result<Vec<search::Match>> {
        let g = self.generation(cx).await?;
        let id = crate::paging::new_search_id();
        let max_results = self.policy.page;
        let query = Query { search_id: &id, track, start, end, max_results, position: 0 };
        match self.search_in_any_style(cx, g, &query).await? {
            Ok(page) => Ok(page.items),
            Err(_) => Ok(Vec::new()),
        }
    }
}

/// Where a device did not say which tracks it has.
const FIRST_TRACK: u32 = 101;

/// A clock that went back shows readings that it showed before for no longer than this: an hour, and
/// what clocks are off.
const WENT_BACK_US: i64 = 75 * 60_000_000;

fn device_now(clock: &SeenClock, trust: ZoneTrust, now: Utc) -> DeviceNow {
    let wall = Civil::from_micros_as_if_utc(now.plus_us(clock.ahead_us).micros());
    let wall_ahead_us = match trust {
        ZoneTrust::Claimed => i64::from(clock.offset_s.unwrap_or(0)) * 1_000_000,
        ZoneTrust::WallClock => 0,
    };
    let went_back_us = if trust == ZoneTrust::WallClock { clock.went_back_us } else { 0 };
    DeviceNow { listing: wall.plus_us(-wall_ahead_us), wall_ahead_us, trust, went_back_us }
}
