//! `pinion check`: whether a strategy will be taken and will hold its limits, before anybody runs it.
//!
//! Static: the module as the runtime looks at it, and what it wants against what its file gives it. Dynamic: the strategy over sample data
//! by the very code of a live worker ([`pinion_runtime::playback`]), under the limits that production applies.

mod findings;
mod seen;
mod verdict;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;
use pinion_runtime::args::{LevelFilter, LogFormat, RegistryArgs, log_to_stderr};

use crate::error::CliError;
use crate::inspect::Format;
use crate::sample::made::{self, Made};
use crate::{backtest, output, strategy_file};
use findings::{Ran, Weight};
use pinion_runtime::sandbox::Module;
use pinion_spec::strategy::Strategy;
use seen::Seen;
pub(crate) use verdict::Verdict;

/// Checks a strategy: its module, what it wants against its file, and what it costs on sample data
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion check strategy.yaml
  pinion check strategy.yaml --data usdm-btcusdt_20240808.gz --format json

Without --data the sample is made up: five minutes of a market in BTCUSDT for every topic that is binance-spot or binance-usdm.

Exit codes: 0 it holds, perhaps with warnings; 64 a bad file; 65 it does not hold; 69 a registry that cannot be reached; 70 our fault")]
pub struct CheckArgs {
    /// The strategy's file
    #[arg(value_name = "FILE.yaml")]
    pub file: PathBuf,
    /// Sample data, as `pinion backtest` takes it
    #[arg(long, value_name = "[TOPIC=]FILE", num_args = 1..)]
    pub data: Vec<String>,
    /// Records of the sample that are presented
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub records: u64,
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

/// Checks, and writes the verdict to stdout.
///
/// # Errors
/// [`CliError::Differs`] where the strategy does not hold its limits.
pub fn run(args: &CheckArgs) -> Result<(), CliError> {
    log_to_stderr(LogFormat::Text, LevelFilter::ERROR);
    let verdict = verdict(args)?;
    match args.format {
        Format::Text => output::text(&verdict.to_string()),
        Format::Json => output::json(&verdict)?,
    }
    match verdict.holds {
        true => Ok(()),
        false => Err(CliError::Differs(format!("{} does not hold its limits", verdict.strategy))),
    }
}

fn verdict(args: &CheckArgs) -> Result<Verdict, CliError> {
    let strategy = strategy_file::read(&args.file)?;
    let module = strategy_file::module(&args.file, &strategy, args.module_cache.as_ref(), &args.registry)?;
    if !args.data.is_empty() {
        return of(&strategy, module, &args.data, args.records);
    }
    let folder = Made::folder()?;
    of(&strategy, module, &made::data(&strategy, folder.path())?, args.records)
}

/// The verdict on a strategy with this module, over at most so many records of data.
///
/// # Errors
/// [`CliError`]; that it does not hold its limits is in the verdict.
pub(crate) fn of(strategy: &Strategy, module: Module, data: &[String], records_max: u64) -> Result<Verdict, CliError> {
    let (digest, lane, module_bytes) = (module.digest().to_string(), module.lane().label(), module.bytes());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let watching = Arc::clone(&seen);
    // Nobody else has it while the strategy runs; a panic in there ends the check anyway.
    let module = module.probed(Arc::new(move |event| {
        if let Ok(mut seen) = watching.lock() {
            seen.take(event);
        }
    }));
    let outcome = backtest::over(strategy, module, data, records_max)?;
    let Ok(seen) = seen.lock() else { return Err(CliError::Internal("what was seen is lost".to_owned())) };
    let costs = seen.costs();
    let faults = outcome.faults.iter().map(|(kind, count)| {
        let first = outcome.fault_list.iter().find(|text| text.starts_with(kind)).or(outcome.fault_list.first());
        (*kind, (*count, first.cloned().unwrap_or_default()))
    });
    let ran = Ran {
        events: outcome.events,
        orders: outcome.orders,
        denied: outcome.denied.clone(),
        faults: faults.collect(),
    };
    let findings = findings::findings(strategy, &seen, &costs, &ran);
    let denied: u64 = ran.denied.values().sum();
    let budget = &strategy.spec.budget;
    Ok(Verdict {
        holds: findings.iter().all(|finding| finding.weight != Weight::Failure),
        strategy: strategy.metadata.name.clone(),
        module: digest,
        module_bytes,
        lane,
        wants: seen.wants.names(),
        bars: seen.bars,
        instantiate_ns: seen.instantiate_ns,
        init_ns: seen.init_ns,
        memory_bytes_max: seen.memory_bytes_max,
        memory_bytes_cap: u64::from(budget.memory_mib) << 20,
        budget_ns: u64::from(budget.call_micros) * 1_000,
        events: ran.events,
        orders: ran.orders,
        denied,
        intents_per_event: ratio(ran.orders + denied, ran.events),
        callbacks: costs,
        findings,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
