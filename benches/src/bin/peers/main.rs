//! Pinion beside what others do without Kafka: sandboxes that are called from memory, backtests of a capture:
//! `peers [--only NAME..] [--fours N] [--json FILE]`.
//!
//! Each other one is a process of its own from `benches/peers`. One that cannot run here, or that decides otherwise, has no row and is told.

mod backtest;
mod sandbox;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use pinion_benches::result::Results;
use pinion_tests::captures::project_root;

#[derive(Debug, Parser)]
#[command(about = "Sandboxes and backtesters beside Pinion's, in turns")]
struct Args {
    /// Measures beside these alone; all of them by default.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Fours of blocks (A B B A) beside a sandbox; beside a backtester, whose blocks are whole processes, a thirtieth of them.
    #[arg(long, default_value_t = 60)]
    fours: usize,
    /// Where the result goes as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Is Pinion's own backtest itself.
    #[arg(long, hide = true)]
    backtest: bool,
}

/// What measures beside a folder of `benches/peers`.
type Measure = fn(&str, usize, &mut Results) -> Result<(), String>;

const PEERS: [(&str, Measure); 4] = [
    ("extism", sandbox::beside_extism),
    ("fluvio", sandbox::beside_fluvio),
    ("hftbacktest", backtest::beside),
    ("nautilus", backtest::beside),
];

/// What starts a peer.
fn command(peer: &str) -> Command {
    Command::new(project_root().join("benches/peers").join(peer).join("run.sh"))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = if args.backtest { backtest::own() } else { run(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("peers: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let unknown: Vec<&String> = args.only.iter().filter(|name| !PEERS.iter().any(|(peer, _)| peer == name)).collect();
    if !unknown.is_empty() {
        return Err(format!("no such peers: {unknown:?}; there are {:?}", PEERS.map(|(peer, _)| peer)));
    }
    let mut results = Results::start("peers-alone");
    for (peer, measure) in PEERS {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == peer) {
            continue;
        }
        if let Err(problem) = measure(peer, args.fours.max(1), &mut results) {
            // The others are measured all the same, and the page has no row of this one.
            eprintln!("{peer}: {problem}");
        }
    }
    results.finish(args.json.as_deref())
}
