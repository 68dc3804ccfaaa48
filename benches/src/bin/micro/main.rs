//! What Pinion's own work costs, each row beside its floor in turns: `micro [--rows 1,2] [--fours N] [--block-ms N] [--json FILE]`.
//!
//! Everything here is one process without Kafka; rows that need a broker are the other programs'. Exits with 0 whatever the verdicts are:
//! they are told, not enforced.

mod bench;
mod clock;
mod crossing;
mod flow;
mod growth;
mod instances;
mod ring;
mod unwanted;
mod work;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pinion_benches::flames::Recording;
use pinion_benches::pairs::Plan;
use pinion_benches::result::Results;

use crate::bench::Bench;
use crate::crossing::Crossing;

#[derive(Debug, Parser)]
#[command(about = "The cost of a call, of a strategy's work, of an event's way, of an instance: each beside its floor")]
struct Args {
    /// Rows to measure, by the number before the point; all of them by default.
    #[arg(long, value_delimiter = ',', value_parser = ROWS.map(|(row, _)| row))]
    rows: Vec<String>,
    /// Fours of blocks (A B B A) for each row.
    #[arg(long, default_value_t = 120)]
    fours: usize,
    /// Milliseconds of a block.
    #[arg(long, default_value_t = 20)]
    block_ms: u64,
    /// Where the result goes as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the flame graph of it all goes as SVG, with its floors.
    #[arg(long)]
    flame: Option<PathBuf>,
    /// Measures one of row 1 in this process and prints the pairs.
    #[arg(long, hide = true)]
    alone: Option<Crossing>,
}

/// Measures some rows.
type Measure = fn(&mut Bench, &mut Results) -> Result<(), String>;

const ROWS: [(&str, Measure); 12] = [
    ("1", crossing::rows),
    ("2", work::rows),
    ("unwanted", unwanted::rows),
    ("clock", clock::rows),
    ("3", ring::rows),
    ("6", flow::flat_batches),
    ("7", flow::backtests),
    ("8", instances::rows),
    ("9", worker::sharing),
    ("10", worker::swaps),
    ("11", worker::runaways),
    ("14", growth::rows),
];

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("micro: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let plan = Plan { fours: args.fours.max(1), block: Duration::from_millis(args.block_ms.max(1)) };
    let mut bench = Bench::new(plan)?;
    if let Some(crossing) = args.alone {
        let pairs = serde_json::to_string(&crossing.measure(&bench)?).map_err(|error| error.to_string())?;
        println!("{pairs}");
        return Ok(());
    }
    let recording =
        args.flame.as_ref().map(|svg| Recording::start(std::process::id()).map(|recording| (recording, svg)));
    let recording = recording.transpose()?;
    let mut results = Results::start("micro");
    for (row, measure) in ROWS {
        if args.rows.is_empty() || args.rows.iter().any(|wanted| wanted == row) {
            measure(&mut bench, &mut results)?;
        }
    }
    if let Some((recording, svg)) = recording {
        recording.finish(&format!("micro --rows {}", args.rows.join(",")), svg)?;
    }
    results.finish(args.json.as_deref())
}
