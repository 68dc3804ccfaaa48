//! `pinion run`: strategy files on a real Kafka, until a signal; then a drain, the last commit and a summary.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use clap::Args;
use pinion_runtime::args::{LevelFilter, LogFormat, RunArgs, log_to_stderr};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::metrics::Metrics;

use crate::error::CliError;
use crate::inspect::Format;
use crate::summary::Summary;

/// Runs strategies on Kafka market data until SIGTERM or Ctrl-C, then drains and commits
///
/// Each file is a `Strategy` resource, the very file that a cluster takes. Changes of a file and of the module that it names are
/// taken over while running: module, params, risk limits and trading state. The log goes to stderr, a summary to stdout at the end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion run strategies-examples/ema-cross/strategy.yaml --brokers localhost:9092
  pinion run mine.yaml theirs.yaml --brokers localhost:9092 --pin 2,3 --wait spin --admin 127.0.0.1:9101
  pinion run mine.yaml --brokers kafka:9093 --kafka-properties tls.properties --format json

Exit codes: 0 drained and committed, 64 a bad file or command line, 69 no broker, or one that does not let \
us in or did not acknowledge all orders in time, 70 our fault")]
pub struct RunCommand {
    /// What to run, and where
    #[command(flatten)]
    pub run: RunArgs,
    /// How to write the summary at the end
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Runs until told to stop. The summary is written also when the drain fell short.
///
/// # Errors
/// [`CliError::Run`]
pub fn run(args: &RunCommand) -> Result<(), CliError> {
    log_to_stderr(LogFormat::Text, LevelFilter::INFO);
    let config = args.run.config()?;
    let running: OnceLock<(Arc<Metrics>, u64)> = OnceLock::new();
    let outcome = pinion_runtime::run::run(
        &config,
        |started| {
            if let Some(address) = started.admin {
                tracing::info!(%address, "admin port listens");
            }
            let _ = running.set((Arc::clone(&started.metrics), mono_ns()));
        },
        std::future::pending(),
    );
    if let Some((metrics, started_ns)) = running.get() {
        let summary = Summary::of(metrics, mono_ns() - started_ns);
        let text = match args.format {
            Format::Text => summary.to_string(),
            Format::Json => summary.to_json()?,
        };
        // A reader that has gone away is no fault of anyone's.
        let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    }
    outcome?;
    Ok(())
}
