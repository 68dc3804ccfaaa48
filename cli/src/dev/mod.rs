//! `pinion dev`: the author's loop. A change in a strategy's folder is built, checked, tried on a slice of data, and swapped into a
//! running `pinion run`.
//!
//! Promise: what runs is replaced by nothing that does not build, hold its limits and get through the slice without a fault; and what
//! is said to run has been seen to run. The component's file is written last, so that a `pinion run` that watches it never sees less.

mod cycle;
mod folder;
mod running;
mod tell;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pinion_runtime::args::{LevelFilter, LogFormat, log_to_stderr};

use crate::error::CliError;
use crate::inspect::Format;
use crate::sample::made::Made;
use crate::signal;
use cycle::Bench;
use folder::Folder;
use running::{Address, Running};
use tell::Teller;

/// Between two looks at the folder. A change is taken when nothing has changed from one look to the next.
const LOOK: Duration = Duration::from_millis(250);
/// Looks after which a change is taken though files still change: something writes there without end, a log perhaps.
const LOOKS_MAX: usize = 20;
/// As shells have it, for a round that was not finished.
const INTERRUPTED: i32 = 130;

/// Watches a strategy's folder: builds, checks and backtests each change, and swaps it into a running strategy
///
/// Of each change a line a step is told. What fails is told with its place, and watching goes on; what runs goes on running. The
/// component's file is written when all has held. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion dev
  pinion dev my-strategy --data usdm-btcusdt_20240808.gz --records 20000
  pinion dev my-strategy --into http://127.0.0.1:9101
  pinion dev pairs --data md.spot=spot.gz md.perp=usdm.gz --once --format json

Without --data the slice is of a made-up market, as `pinion check` makes it. With --format json each cycle is one object on stdout, \
and what compilers say goes to stderr.

--into takes the admin address of a `pinion run --admin ADDR` on this machine. The swap keeps the params, the limits and the topics that \
run there. Of a pod of a cluster the operator decides: use `pinion deploy`.

Exit codes: 0 ended by Ctrl-C; with --once: 0 all steps done; 64 a bad file or source, or a strategy that faulted or was refused; 65 it does \
not hold its limits; 69 what was to be swapped cannot be reached; 70 our fault")]
pub struct DevArgs {
    /// The strategy's folder, or its file
    #[arg(value_name = "FOLDER|FILE.yaml", default_value = ".")]
    pub path: PathBuf,
    /// Data to check and backtest it on, as `pinion backtest` takes it
    #[arg(long, value_name = "[TOPIC=]FILE", num_args = 1..)]
    pub data: Vec<String>,
    /// Records of the data that are presented
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub records: u64,
    /// The running strategy that it is swapped into, by its admin address
    #[arg(long, value_name = "http://127.0.0.1:PORT")]
    pub into: Option<Address>,
    /// A file with the bearer token of that admin port
    #[arg(long, value_name = "FILE", requires = "into")]
    pub admin_token_file: Option<PathBuf>,
    /// One cycle, and the exit code of the step that failed
    #[arg(long)]
    pub once: bool,
    /// How to write what was done
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Where compiled modules are kept [default: the user's cache directory]
    #[arg(long, value_name = "DIR", env = "PINION_MODULE_CACHE")]
    pub module_cache: Option<PathBuf>,
}

/// Goes round for ever, or once.
///
/// # Errors
/// What cannot be begun; with `--once` which step failed. Without it a failed step is told, and the loop goes on.
pub fn run(args: &DevArgs) -> Result<(), CliError> {
    log_to_stderr(LogFormat::Text, LevelFilter::ERROR);
    let file = if args.path.is_dir() { args.path.join("strategy.yaml") } else { args.path.clone() };
    if !file.is_file() {
        let (path, file) = (args.path.display(), file.display());
        return Err(CliError::Usage(format!("{path}: there is no {file}; `pinion new` makes a strategy's folder")));
    }
    let token = args.admin_token_file.as_deref().map(running::token).transpose()?;
    let running = args.into.map(|address| Running::new(address, token));
    let made = Made::folder()?;
    end_on_signal(made.path().to_owned(), if args.once { INTERRUPTED } else { 0 })?;
    let source = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut folder = Folder::look(source)?;
    let teller = Teller::new(args.format);
    let sandbox = crate::strategy_file::sandbox(args.module_cache.as_ref())?;
    let mut bench = Bench::new(&file, source, args, sandbox, &made, running, &teller);
    let mut changed = Vec::new();
    loop {
        let outcome = bench.cycle(&changed);
        if args.once {
            return outcome;
        }
        teller.watching(source);
        changed = until_changed(&mut folder)?;
    }
}

/// What has changed, once nothing changes any more or that has been waited for long enough.
fn until_changed(folder: &mut Folder) -> Result<Vec<String>, CliError> {
    let (mut changed, mut looks) = (BTreeSet::new(), 0);
    loop {
        let more = folder.changes()?;
        looks += usize::from(!changed.is_empty());
        if !changed.is_empty() && (more.is_empty() || looks > LOOKS_MAX) {
            changed.extend(more);
            return Ok(changed.into_iter().collect());
        }
        changed.extend(more);
        std::thread::park_timeout(LOOK);
    }
}

/// Ends the process at once when it is asked to: nothing is half done, files are renamed into place and swaps are whole.
fn end_on_signal(made: PathBuf, code: i32) -> Result<(), CliError> {
    let stop = signal::stop()?;
    let wait = move || {
        if stop.recv().is_ok() {
            let _ = std::fs::remove_dir_all(made);
            std::process::exit(code);
        }
    };
    let spawned = std::thread::Builder::new().name("stop".to_owned()).spawn(wait);
    spawned.map(drop).map_err(|error| CliError::Internal(format!("cannot wait for signals: {error}")))
}
