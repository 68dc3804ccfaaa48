//! `pinion backtest`: a strategy over recorded market data, at a simulated venue.
//!
//! The records go through the runtime's own decoding, books, sandbox, budgets and risk ([`pinion_runtime::playback`]), in the order of their
//! times of capture; what passes goes to [`pinion_venue`]. So the order stream of a strategy without a `pinion-execution` input is the
//! one that it would send live over the same records, byte for byte. With such an input the venue's reports are that topic's records.
//!
//! What comes at the same time: what reaches the venue, then what the venue reports, then market data, by the order of the inputs.

pub(crate) mod amount;
mod drive;
mod equity;
mod outcome;
mod reader;
mod report;
mod sink;
mod sources;
mod sweep;
mod table;

use std::path::PathBuf;

use clap::Args;
use pinion_runtime::args::{LevelFilter, LogFormat, RegistryArgs, log_to_stderr};
use pinion_runtime::sandbox::Module;
use pinion_spec::strategy::Strategy;
use pinion_venue::Model;

use crate::error::CliError;
use crate::inspect::Format;
use crate::strategy_file;
use crate::venue_args::VenueArgs;
pub use drive::{Run, Setup};
pub(crate) use outcome::Outcome;

/// Runs a strategy over recorded market data at a simulated venue
///
/// The strategy, its limits and its budget are those that production applies; fills are the venue's guess, see the guide.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion backtest strategy.yaml --data usdm-btcusdt_20240808.gz
  pinion backtest strategy.yaml --data day1.gz --data day2.gz --latency 500us..5ms --seed 7 --fees 1.8,4.5 --out results
  pinion backtest strategy.yaml --data capture.gz --param fast=20,50,100 --param slow=200,400 --format json
  pinion backtest pairs.yaml --data md.spot=spot.gz --data md.perp=usdm.gz

With --format json the result is one object, or with several combinations of --param an array of them.

The order_stream_sha256 is SHA-256 over the values of the orders topic's records in offset order, each followed by a newline: those of \
a live run over the same records that is drained after the last of them.

Exit codes: 0 done; 64 a bad file, data that is cut or of another encoding, an unknown parameter, or a strategy that faulted (the result \
is written all the same); 69 a result that could not be written, or a registry that cannot be reached; 70 our fault")]
pub struct BacktestArgs {
    /// The strategy's file
    #[arg(value_name = "FILE.yaml")]
    pub file: PathBuf,
    /// A capture, as `pinion inspect` reads it. Several of one topic are read one after the other; with several market-data inputs
    /// say which topic it is
    #[arg(long, value_name = "[TOPIC=]FILE", required = true, num_args = 1..)]
    pub data: Vec<String>,
    /// A folder for report.html, orders.parquet, fills.parquet, equity.parquet and run.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Other values of a parameter of the file; every combination is run
    #[arg(long, value_name = "NAME=VALUE,..")]
    pub param: Vec<String>,
    /// The venue
    #[command(flatten)]
    pub venue: VenueArgs,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Where compiled modules are kept [default: the user's cache directory]
    #[arg(long, value_name = "DIR", env = "PINION_MODULE_CACHE")]
    pub module_cache: Option<PathBuf>,
    /// Registries of modules
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs every combination and writes the result.
///
/// # Errors
/// [`CliError`]; a strategy that faulted is [`CliError::Usage`], after the result has been written.
pub fn run(args: &BacktestArgs) -> Result<(), CliError> {
    let strategy = strategy_file::read(&args.file)?;
    let sources = sources::sources(&strategy, &args.data)?;
    let combinations = sweep::combinations(&strategy, &args.param)?;
    // What a strategy logs is for one run; of many at once nobody knows whose line it is.
    log_to_stderr(LogFormat::Text, if combinations.len() == 1 { LevelFilter::INFO } else { LevelFilter::ERROR });
    let setup = Setup {
        module: strategy_file::module(&args.file, &strategy, args.module_cache.as_ref(), &args.registry)?,
        model: args.venue.model(),
        partitions: sources.iter().map(|source| (source.topic.clone(), source.partition + 1)).collect(),
        strategy,
        records_max: u64::MAX,
    };
    let outcomes = sweep::run(&setup, &sources, &combinations, args.out.as_deref())?;
    match (args.format, outcomes.as_slice()) {
        (Format::Text, [outcome]) => crate::output::text(&outcome.to_string()),
        (Format::Text, outcomes) => crate::output::text(&table::of(outcomes)),
        (Format::Json, [outcome]) if args.param.is_empty() => crate::output::json(outcome)?,
        (Format::Json, outcomes) => crate::output::json(&outcomes)?,
    }
    faulted(&outcomes)
}

/// Runs a strategy over data, at most so many records of it, with what a backtest assumes where nothing is said.
///
/// # Errors
/// [`CliError`]; faults of the strategy are in the outcome.
pub(crate) fn over(
    strategy: &Strategy,
    module: Module,
    data: &[String],
    records_max: u64,
) -> Result<Outcome, CliError> {
    let sources = sources::sources(strategy, data)?;
    let setup = Setup {
        module,
        model: Model::default(),
        partitions: sources.iter().map(|source| (source.topic.clone(), source.partition + 1)).collect(),
        strategy: strategy.clone(),
        records_max,
    };
    let mut outcomes = sweep::run(&setup, &sources, &sweep::combinations(strategy, &[])?, None)?;
    outcomes.pop().ok_or_else(|| CliError::Internal("a run without an outcome".to_owned()))
}

/// That no run faulted.
///
/// # Errors
/// [`CliError::Usage`] with the first fault.
pub(crate) fn faulted(outcomes: &[Outcome]) -> Result<(), CliError> {
    let faults: u64 = outcomes.iter().flat_map(|outcome| outcome.faults.values()).sum();
    let Some(first) = outcomes.iter().find_map(|outcome| outcome.fault_list.first()) else { return Ok(()) };
    let quarantined = outcomes.iter().filter(|outcome| outcome.quarantined).count();
    let end = match quarantined {
        0 => String::new(),
        n => format!("; {n} of {} runs ended in quarantine, as it would live", outcomes.len()),
    };
    Err(CliError::Usage(format!("the strategy faulted {faults} times{end}; the first: {first}")))
}
