//! From PLAY to the first packet: on new connections, and on a session that runs.

use std::io::Result;
use std::time::Instant;

use super::Setting;
use super::client::{Client, Pace, somewhere};
use super::servers::Running;

/// New connections and seeks, of each kind of server.
pub fn latency(setting: &Setting) {
    let count = if setting.quick { 20 } else { 500 };
    // A server that has just started checks what it reads; then it knows it.
    let server = setting.dvrgate();
    show("dvrgate, right after its start: PLAY", opened(&server, count));
    show("dvrgate: PLAY", opened(&server, count));
    for pace in [Pace::Paced, Pace::Unpaced] {
        show(&format!("dvrgate: seek, {pace:?}"), sought(&server, pace, count));
    }
    drop(server);
    let count = if setting.quick { 10 } else { 100 };
    for what in ["PLAY", "Paced", "Unpaced"] {
        // A new process each time: after a seek under way it may answer nobody any more.
        let Some(server) = setting.peer() else { return };
        let measured = match what {
            "PLAY" => opened(&server, count),
            "Paced" => sought(&server, Pace::Paced, count),
            _ => sought(&server, Pace::Unpaced, count),
        };
        show(&format!("gst-rtsp-server: {what}"), measured);
    }
}

/// Ten thousand seeks on one session, without a pace and with one: whether it ever hangs.
pub fn seeks(setting: &Setting) {
    let count = if setting.quick { 100 } else { 10_000 };
    let server = setting.dvrgate();
    for pace in [Pace::Unpaced, Pace::Paced] {
        show(&format!("dvrgate: {count} seeks, {pace:?}"), sought(&server, pace, count));
    }
}

/// Milliseconds to the answer and to the first packet, of each try; and why there are no more.
struct Measured {
    answer: Vec<f64>,
    first: Vec<f64>,
    failed: Option<std::io::Error>,
}

fn opened(server: &Running, count: u64) -> Measured {
    measure(count, |n| {
        let mut client = Client::set_up(server)?;
        play(&mut client, n, Pace::Paced)
    })
}

fn sought(server: &Running, pace: Pace, count: u64) -> Measured {
    let mut client = match Client::set_up(server) {
        Ok(client) => client,
        Err(e) => return Measured { answer: vec![], first: vec![], failed: Some(e) },
    };
    let begun = play(&mut client, 0, pace);
    let mut measured = measure(count, |n| {
        // What plays between seeks: a few frames, in which the reader keeps up.
        for _ in 0..20 {
            client.next()?;
        }
        play(&mut client, n, pace)
    });
    measured.failed = begun.err().or(measured.failed);
    measured
}

fn play(client: &mut Client, n: u64, pace: Pace) -> Result<(f64, f64)> {
    let begun = Instant::now();
    client.play(somewhere(n), pace)?;
    client.answer()?;
    let answer = begun.elapsed().as_secs_f64() * 1e3;
    client.first()?;
    Ok((answer, begun.elapsed().as_secs_f64() * 1e3))
}

fn measure(count: u64, mut one: impl FnMut(u64) -> Result<(f64, f64)>) -> Measured {
    let mut measured = Measured { answer: vec![], first: vec![], failed: None };
    for n in 0..count {
        match one(n) {
            Ok((answer, first)) => {
                measured.answer.push(answer);
                measured.first.push(first);
            }
            Err(e) => {
                measured.failed = Some(e);
                break;
            }
        }
    }
    measured
}

fn show(what: &str, mut measured: Measured) {
    let n = measured.first.len();
    if n > 0 {
        let mut at = |share: f64| {
            let of = |v: &mut Vec<f64>| {
                v.sort_by(f64::total_cmp);
                v[((n - 1) as f64 * share) as usize]
            };
            (of(&mut measured.answer), of(&mut measured.first))
        };
        let ((a50, f50), (a99, f99), (_, worst)) = (at(0.5), at(0.99), at(1.0));
        println!(
            "  {what:<46} answer {a50:6.2} / {a99:6.2} ms, first packet {f50:6.2} / {f99:6.2} ms, worst {worst:.1} ms ({n})"
        );
    }
    if let Some(e) = measured.failed {
        println!("  {what:<46} STOPPED after {n}: {e}");
    }
}
