//! `pinion inspect`: what a capture holds, by the runtime's own decoder.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pinion_runtime::decode::Record;
use pinion_spec::strategy::Encoding;

use crate::capture::{Capture, CaptureError};
use crate::capture_progress::Progress;
use crate::capture_source::{Source, SourceArgs};
use crate::error::CliError;
use crate::events::EventWriter;

#[path = "inspect_report.rs"]
mod report;
#[path = "inspect_tally.rs"]
mod tally;

use report::Report;
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

/// Says what a capture holds: events by kind and instrument, errors, gaps, a cut end, clock difference, rates
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pinion inspect usdm-btcusdt_20240808.gz --format json\n  \
    pinion inspect GLBX.mbp-1.dbn.zst --out events.parquet")]
pub struct InspectArgs {
    /// Capture, plain, gzip or zstd: lines `<receive time in ns> <raw JSON frame>` or `<receive time in s>: <raw JSON frame>`, Pinion's
    /// flat messages, DBN, or an event file (.parquet, .arrow)
    pub file: PathBuf,
    /// How its frames are decoded
    #[command(flatten)]
    pub source: SourceArgs,
    /// Write the decoded events to a file too, .parquet or .arrow, a row each
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Reads the capture and writes what it holds to stdout.
///
/// # Errors
/// [`CliError::Usage`] for a file that cannot be read to its end; of one that is cut off, what was read is written before. Frames that
/// cannot be decoded are counted, not an error.
pub fn run(args: InspectArgs) -> Result<(), CliError> {
    let (report, cut) = read(&args)?;
    let text = match args.format {
        Format::Text => report.to_string(),
        Format::Json => serde_json::to_string(&report)
            .map_err(|error| CliError::Internal(format!("cannot write the report: {error}")))?,
    };
    // A reader that has gone away (`| head`) is no fault of anyone's.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    cut.map_or(Ok(()), |cut| Err(cut.into()))
}

/// Counts a capture to its end, or to where it is cut.
fn read(args: &InspectArgs) -> Result<(Report, Option<CaptureError>), CliError> {
    let source = Source::of(&args.source, &args.file)?;
    let mut decoder = source.decoder()?;
    let mut capture = Capture::open_as(&args.file, source.encoding)?;
    let mut progress = Progress::new(capture.progress());
    let encoding = capture.made_from().unwrap_or(source.encoding);
    let mut out = match &args.out {
        Some(_) if encoding == Encoding::PinionExecution => {
            let what = "--out: execution reports are no market data, and an event file has no rows for them";
            return Err(CliError::Usage(what.to_owned()));
        }
        Some(path) => Some(EventWriter::create(path, encoding.name(), &source.publisher).map_err(CaptureError::from)?),
        None => None,
    };
    let mut tally = Tally::new(encoding);
    let mut events = Vec::new();
    let mut cut = None;
    loop {
        let frame = match capture.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) if error.is_cut() && tally.messages() > 0 => {
                cut = Some(error);
                break;
            }
            Err(error) => return Err(error.into()),
        };
        events.clear();
        let outcome = decoder.decode(&Record { value: frame.value, key: None, ts_recv: frame.ts_recv }, &mut events);
        let ts_recv = frame.ts_recv;
        cut = outcome.as_ref().err().and_then(|error| capture.cut(error));
        tally.frame(ts_recv, outcome, &events);
        if let Some(out) = &mut out {
            for event in &events {
                let id = event.head.instrument_id;
                let symbol = decoder.symbols().symbol_of(id).or_else(|| capture.name_of(id, None));
                out.push(tally.messages(), symbol, event).map_err(CaptureError::from)?;
            }
        }
        if tally.messages().is_multiple_of(TICK_FRAMES) {
            progress.tick(|| format!("{} messages", tally.messages()));
        }
    }
    let rows = match out {
        // Half a capture gets no file that looks like a whole one.
        Some(out) if cut.is_none() => Some(out.finish().map_err(CaptureError::from)?),
        _ => None,
    };
    tally.name_instruments(decoder.symbols(), &capture);
    Ok((tally.report(cut.as_ref().map(ToString::to_string), rows), cut))
}
