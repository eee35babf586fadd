//! Units to packets at the right time. Pace, sender reports, the pause point.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::session::Session;
use super::{Now, TICK};
use crate::headers::{Lower, RateControl};
use crate::rtp::packetize::AccessUnit;
use crate::rtp::{
    Packet, Packets, REPLAY_PROFILE, SenderReport, Target, write_goodbye, write_sender_report,
};

/// Playback that is later than this does not catch up.
const MAX_LATE: Duration = Duration::from_secs(1);
/// RFC 3550 6.2: the recommended minimum.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

impl Session {
    /// Sends the pending unit if it is due. `tcp` goes onto the connection, `udp` to the sockets.
    pub(super) fn pump(&mut self, now: Now, tcp: &mut Packets, udp: &mut Packets, cname: &str) {
        let Some(play) = self.play.as_mut().filter(|p| p.paused.is_none()) else { return };
        let Some(next) = &play.pending else { return };
        let at = next.replay.at;
        if let Some(stop) = play.pause_at
            && (if play.reverse() { at < stop } else { at >= stop })
        {
            play.paused = Some(now.instant);
            play.pause_at = None;
            return;
        }
        play.forgive(now.instant, MAX_LATE);
        let due = play.due();
        if due.is_some_and(|due| due >= now.instant + TICK) {
            return;
        }
        let Some(mut unit) = play.pending.take() else { return };
        play.last = Some(at);
        unit.replay.cseq = play.cseq;
        let paced_forward = play.options.rate_control == RateControl::Server && !play.reverse();
        let Some(stream) = self.streams.iter_mut().find(|s| s.media == unit.media) else { return };
        let out = match stream.transport.lower {
            Lower::Tcp => tcp,
            Lower::Udp => udp,
        };
        let access_unit = AccessUnit {
            timestamp: unit.rtp_time,
            extension: Some(unit.replay),
            clean: unit.replay.clean,
            params: &unit.params,
            data: &unit.data,
        };
        stream.packetizer.packetize(&access_unit, stream.rtp, out);
        self.sent = true;
        if play.options.rate_control == RateControl::Server {
            // Where a playback that follows goes on: a frame later than the latest.
            let step = stream.clock_hz / 25;
            let later = unit.rtp_time.wrapping_add(step);
            if (later.wrapping_sub(stream.next) as i32) > 0 {
                stream.next = later;
            }
        }
        // R8.11-1: reports only where RTP time is the time of showing and rises; R8.11-2 would be
        // zeros otherwise, which say nothing.
        if paced_forward && stream.report_at.is_none_or(|t| t <= now.instant) {
            stream.report_at = Some(now.instant + REPORT_INTERVAL);
            let (packets, bytes) = stream.packetizer.counts();
            let ahead = due.map_or(Duration::ZERO, |d| d.saturating_duration_since(now.instant));
            let report = SenderReport {
                ssrc: stream.packetizer.ssrc(),
                now: now.utc.plus_us(ahead.as_micros() as i64),
                timestamp: unit.rtp_time,
                packets,
                bytes,
            };
            let target: Target = stream.rtcp;
            out.push(target, Default::default(), |head| write_sender_report(head, &report, cname));
        }
    }

    /// Takes back the media that nobody has seen any of (R8.10-1). What was numbered and not sent is
    /// numbered anew, so there is no hole (R8.6-7).
    pub(super) fn take_back(&mut self, tcp: &mut Packets, udp: &mut Packets) {
        let begins = |head: &[u8]| {
            let extension = Packet::parse(head).ok().and_then(|p| p.extension);
            extension.is_some_and(|(profile, _)| profile == REPLAY_PROFILE)
        };
        let (streams, mut seen) = (&mut self.streams, Vec::new());
        for out in [tcp, udp] {
            out.discard(begins, |target, head, body| {
                let stream = streams.iter_mut().find(|s| s.rtp == target);
                let (Some(stream), Ok(packet)) = (stream, Packet::parse(head)) else { return };
                let first = (!seen.contains(&target)).then_some(packet.header.sequence);
                seen.extend(first.map(|_| target));
                stream.packetizer.take_back(first, packet.payload.len() + body);
            });
        }
    }

    /// A goodbye for every stream of which something was sent (RFC 3550 6.6).
    pub(super) fn say_goodbye(&self, tcp: &mut Packets, udp: &mut Packets, cname: &str) {
        for stream in self.streams.iter().filter(|s| s.packetizer.counts().0 > 0) {
            let out = match stream.transport.lower {
                Lower::Tcp => &mut *tcp,
                Lower::Udp => &mut *udp,
            };
            let ssrc = stream.packetizer.ssrc();
            out.push(stream.rtcp, Bytes::new(), |head| write_goodbye(head, ssrc, cname));
        }
    }

    /// When to pump next: on the grid, so that the wake-ups of many sessions are one.
    pub(super) fn pump_at(&self, grid: Instant) -> Option<Instant> {
        let play = self.play.as_ref().filter(|p| p.paused.is_none())?;
        let due = play.due()?;
        let steps = due.saturating_duration_since(grid).as_nanos() / TICK.as_nanos();
        // u32 steps of 5 ms are eight months; beyond it the grid does not matter.
        Some(u32::try_from(steps).map_or(due, |n| grid + TICK * n))
    }
}
