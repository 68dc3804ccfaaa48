//! `pinion inspect`: what a capture holds, by the runtime's own decoder.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pinion_runtime::decode::{Decoder, Record};
use pinion_spec::strategy::Encoding;

use crate::capture::{Capture, encoding_named};
use crate::capture_progress::Progress;
use crate::error::CliError;

#[path = "inspect_report.rs"]
mod report;
#[path = "inspect_tally.rs"]
mod tally;

use tally::Tally;

/// Frames between two looks at the progress bar.
const TICK_FRAMES: u64 = 1_024;

/// How results are written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one JSON object.
    Json,
}

/// Says what a capture holds: events by kind and instrument, errors, gaps, clock difference, rates
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pinion inspect usdm-btcusdt_20240808.gz --format json")]
pub struct InspectArgs {
    /// Capture, plain or gzip: lines `<receive time in ns> <raw JSON frame>` or `<receive time in s>: <raw JSON frame>`, or Pinion's flat messages
    pub file: PathBuf,
    /// binance-spot, binance-usdm, coinbase-exchange, kraken-v1, kraken-futures, pinion-flat or pinion-execution [default: told from the first frames]
    #[arg(long, value_name = "NAME", value_parser = encoding_named)]
    pub encoding: Option<Encoding>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Reads the capture and writes what it holds to stdout.
///
/// # Errors
/// [`CliError::Usage`] for a file that cannot be read to its end. Frames that cannot be decoded are counted, not an error.
pub fn run(args: InspectArgs) -> Result<(), CliError> {
    let tally = read(&args)?;
    let report = tally.report();
    let text = match args.format {
        Format::Text => report.to_string(),
        Format::Json => serde_json::to_string(&report)
            .map_err(|error| CliError::Internal(format!("cannot write the report: {error}")))?,
    };
    // A reader that has gone away (`| head`) is no fault of anyone's.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(())
}

fn read(args: &InspectArgs) -> Result<Tally, CliError> {
    let encoding = match args.encoding {
        Some(encoding) => encoding,
        None => Capture::guess(&args.file)?,
    };
    let mut decoder =
        Decoder::new(encoding, encoding.name(), &[]).map_err(|error| CliError::Internal(error.to_string()))?;
    let mut capture = Capture::open(&args.file)?;
    let mut progress = Progress::new(capture.progress());
    let mut tally = Tally::new(encoding);
    let mut events = Vec::new();
    while let Some(frame) = capture.next_frame()? {
        events.clear();
        let outcome = decoder.decode(&Record { value: frame.value, key: None, ts_recv: frame.ts_recv }, &mut events);
        tally.frame(frame.ts_recv, outcome, &events);
        if tally.messages().is_multiple_of(TICK_FRAMES) {
            progress.tick(|| format!("{} messages", tally.messages()));
        }
    }
    tally.name_instruments(decoder.symbols());
    Ok(tally)
}
