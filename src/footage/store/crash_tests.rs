//! A process that is killed while it writes.

use super::*;

const CRASH_DIR: &str = "DVRGATE_TEST_CRASH_DIR";
const CRASH_ROUNDS: u64 = 25;
const CRASH_BUDGET: u64 = 4 << 30;

/// A child process writes GOPs and says so; it is killed at a random moment, many times over. Then
/// everything it said it wrote must be there, and at most the one it was writing may be dropped.
#[test]
fn killed_at_any_moment() {
    if let Some(dir) = std::env::var_os(CRASH_DIR) {
        write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let buffer = crash_buffer();
    let (mut written, mut checked): (Vec<i64>, usize) = (Vec::new(), 0);
    let mut dropped = 0;
    for round in 0..CRASH_ROUNDS {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash::killed_at_any_moment", "--nocapture"])
            .env(CRASH_DIR, dir.path())
            .env("DVRGATE_TEST_CRASH_FROM", (round * 1_000_000).to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        // The moment of death varies with the number of GOPs awaited and with scheduling.
        let wanted = 1 + (round * 7) % 20;
        let mut acknowledged = 0;
        for line in lines.by_ref().map_while(|l| l.ok()) {
            if let Some(ms) = line.strip_prefix("stored ") {
                written.push(ms.parse().unwrap());
                acknowledged += 1;
            }
            if acknowledged >= wanted {
                break;
            }
        }
        assert!(acknowledged >= wanted, "the child wrote only {acknowledged} of {wanted}");
        // Nothing is awaited here: this spreads the moment of death over the next GOP's writing.
        std::thread::sleep(std::time::Duration::from_micros(round * 1931 % 12_000));
        child.kill().unwrap();
        // What it said before it died counts too.
        let rest = lines.map_while(|l| l.ok());
        written.extend(rest.filter_map(|l| l.strip_prefix("stored ")?.parse::<i64>().ok()));
        child.wait().unwrap();

        let (store, opened) = open(dir.path(), CRASH_BUDGET);
        assert!(opened.dropped_gops <= 1, "round {round}: {opened:?}");
        dropped += opened.dropped_gops;
        let unchecked = if round + 1 == CRASH_ROUNDS { 0 } else { checked };
        checked = written.len();
        for ms in &written[unchecked..] {
            let want = crash_gop(&buffer, *ms);
            let back = store.gop_blocking(&want.key()).unwrap_or_else(|e| panic!("{ms}: {e}"));
            assert!(same(&back, &want));
        }
    }
    assert_eq!(check(dir.path()).unwrap().damaged_gops, 0);
    println!("{} GOPs in {CRASH_ROUNDS} rounds, {dropped} unfinished", written.len());
}

/// Large, so that the child spends its time writing; cut out of one buffer, so that it does not
/// spend it on making footage.
fn crash_gop(buffer: &Bytes, ms: i64) -> Gop {
    let mut g = gop(if ms % 2000 == 0 { "v" } else { "w" }, ms, 25, 40, 8);
    for (i, f) in g.frames.iter_mut().enumerate() {
        let from = (ms as usize / 1000 * 25 + i) % 1000;
        f.data = buffer.slice(from..from + 60_000);
    }
    g
}

fn crash_buffer() -> Bytes {
    crate::synthetic::payload(&"crash".into(), at_ms(0), 61_000)
}

fn write_until_killed(dir: &Path) -> ! {
    let from: i64 = std::env::var("DVRGATE_TEST_CRASH_FROM").unwrap().parse().unwrap();
    let (store, _) = open(dir, CRASH_BUDGET);
    let transfer = store.transfer("child");
    let (mut out, buffer) = (std::io::stdout(), crash_buffer());
    for i in 0.. {
        let ms = from + i * 1000;
        store.put_blocking(&crash_gop(&buffer, ms), &transfer).unwrap();
        writeln!(out, "stored {ms}").unwrap();
        out.flush().unwrap();
        if i % 10 == 9 {
            store.0.finish(&transfer.0, None, 1).unwrap();
        }
    }
    unreachable!()
}
