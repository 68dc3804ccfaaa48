//! How fast the author's loop is: each figure beside a floor that takes turns with it in one run.
//!
//! `backtest [--turns N] [--json FILE]`: the `pinion` beside this program, over the Binance captures, and the worker's own path in this
//! process. Exits with 1 where a goal is missed.

mod callbacks;
mod commands;
mod pairs;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use serde_json::{Value, json};

use crate::commands::Bench;
use crate::pairs::Figure;

#[derive(Debug, Parser)]
#[command(about = "Backtests, checks and callbacks that nobody wants, each beside its floor")]
struct Args {
    /// Pairs of a measurement and its floor.
    #[arg(long, default_value_t = 7)]
    turns: usize,
    /// Where the result goes as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let turns = args.turns.max(1);
    let Ok(own) = std::env::current_exe() else { return ExitCode::FAILURE };
    let bench = match Bench::new(own.with_file_name("pinion"), turns) {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("backtest: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (Some(mut figures), Some(commands)) = (callbacks::figures(turns), bench.figures()) else {
        eprintln!("backtest: it needs the Binance captures");
        return ExitCode::FAILURE;
    };
    figures.extend(commands);
    if let Some(path) = &args.json
        && let Err(error) = std::fs::write(path, format!("{:#}\n", result(&figures)))
    {
        eprintln!("backtest: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    let missed: Vec<&str> =
        figures.iter().filter(|figure| !figure.is_met()).map(|figure| figure.what.as_str()).collect();
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("missed: {}", missed.join("; "));
    ExitCode::FAILURE
}

fn result(figures: &[Figure]) -> Value {
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit =
        commit.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    json!({
        "id": "backtest", "commit": commit, "cores": cores, "profile": profile,
        "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
    })
}
