//! `sync`: one pass of index sync, with progress.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};

use clap::Args;
use dvrgate_model::{DeviceId, Result};
use dvrgate_sync::{Progress, Report, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::{note, say};
use super::{CliError, ConfigArg};
use crate::wiring::{self, Core};

/// `sync`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  dvrgate sync --config dvrgate.toml --device yard")]
pub struct SyncArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this recorder.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
}

/// Syncs and says what changed.
pub async fn run(args: SyncArgs) -> Result<(), CliError> {
    let config = args.config.load()?;
    if let Some(id) = &args.device {
        wiring::configured(&config, id)?;
    }
    let core = Core::open(&config).await?;
    let bars = Bars::new();
    let progress = |p: &Progress<'_>| bars.show(p);
    let results: Vec<(DeviceId, Result<Report>)> = match &args.device {
        Some(id) => {
            let id = DeviceId::new(id);
            let report = core.syncer.sync_device(&id, &progress).await;
            vec![(id, report)]
        }
        None => core.syncer.sync_all(&progress).await,
    };
    bars.done();
    let mut failed = 0;
    for (id, result) in results {
        match result {
            Ok(report) => tell(&report),
            Err(e) => {
                failed += 1;
                note(&format!("device {id}: {e}"));
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(CliError::failed(format!("{n} device(s) could not be synchronised"))),
    }
}

fn tell(report: &Report) {
    let c = &report.counts;
    say(&format!(
        "device {}: {} new, {} changed, {} gone segments, {} new events; {} windows in {} pages",
        report.device,
        c.segments_new,
        c.segments_changed,
        c.segments_gone,
        c.events_new,
        report.windows,
        report.pages,
    ));
    if let Some(m) = &report.measured {
        say(&format!(
            "device {}: clock {:+.3} s against ours, known to {:.3} s",
            report.device,
            m.offset_us as f64 / 1e6,
            m.uncertainty_us as f64 / 1e6,
        ));
    }
    for (code, times) in &report.unknown_codes {
        note(&format!("device {}: no mapping for code {code:?} ({times} times)", report.device));
    }
    for error in &report.errors {
        note(&format!("device {}: {error}", report.device));
    }
}

/// How far each recorder is: a bar on a terminal, elsewhere a line for each tenth of a stage.
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
    told: Mutex<HashMap<String, (&'static str, u8)>>,
    terminal: bool,
}

impl Bars {
    fn new() -> Arc<Self> {
        let terminal = std::io::stderr().is_terminal();
        let (bars, told) = (Mutex::default(), Mutex::default());
        Arc::new(Self { all: MultiProgress::new(), bars, told, terminal })
    }

    fn show(&self, p: &Progress<'_>) {
        let what = match p.stage {
            Stage::Identify => "asking what it is",
            Stage::Clock => "measuring its clock",
            Stage::Restate => "computing times anew",
            Stage::Fresh => "what is new",
            Stage::Oldest => "what was overwritten",
            Stage::Backfill => "what is older",
            Stage::Events => "its log",
            Stage::Done => "done",
        };
        let window = p.window.map_or(String::new(), |w| format!(", {}", w.start()));
        let message = format!("{what}, {} items{window}", p.items);
        if !self.terminal {
            let tenth = (p.fraction * 10.0) as u8;
            let Ok(mut told) = self.told.lock() else { return };
            let before = told.insert(p.device.to_string(), (what, tenth));
            if before.is_none_or(|(stage, reached)| stage != what || tenth > reached) {
                note(&format!("device {}: {message}, {} %", p.device, u32::from(tenth) * 10));
            }
            return;
        }
        let Ok(mut bars) = self.bars.lock() else { return };
        let bar = bars.entry(p.device.to_string()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(1000));
            let template = "{prefix:>16} [{bar:40}] {percent:>3} %  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(p.device.to_string());
            bar
        });
        bar.set_position((p.fraction * 1000.0) as u64);
        bar.set_message(message);
    }

    fn done(&self) {
        if let Ok(bars) = self.bars.lock() {
            bars.values().for_each(ProgressBar::finish);
        }
    }
}
