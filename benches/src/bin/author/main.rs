//! What a strategy's author waits for: `author [--fours N] [--json FILE]` runs commands of the `pinion` beside this program over the
//! captures, each beside its floor.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pinion_benches::pairs::Plan;
use pinion_benches::result::Results;

use crate::commands::Bench;

#[derive(Debug, Parser)]
#[command(about = "Backtests, sweeps and checks as processes, each beside its floor")]
struct Args {
    /// Fours of runs (A B B A) for each row.
    #[arg(long, default_value_t = 10)]
    fours: usize,
    /// Where the result goes as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("author: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    // A run of a command is a block.
    let plan = Plan { fours: args.fours.max(1), block: Duration::ZERO };
    let bench = Bench::new(own.with_file_name("pinion"), plan).map_err(|error| error.to_string())?;
    let mut results = Results::start("author");
    bench.rows(&mut results)?;
    results.finish(args.json.as_deref())
}
