//! How many instructions each step of an event's way takes, by callgrind: the same on a busy machine as on a quiet one, so that a test
//! can hold them. `instructions [--baseline FILE] [--renew]`; exits with 1 where a step takes 2 % more than the baseline says.
//!
//! A step that takes 2 % less is told too: renew the baseline, or the next one may take it back unseen.

mod callgrind;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pinion_benches::cases;

/// How far a step may stray, in percent.
const TOLERANCE: f64 = 2.0;

#[derive(Debug, Parser)]
#[command(
    about = "Instructions of each step, by callgrind, beside the baseline",
    after_help = "After a change that is meant to cost or to save: `make instructions RENEW=1`, and commit the file with the reason."
)]
struct Args {
    /// What the steps took when it was last renewed.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json"))]
    baseline: PathBuf,
    /// Writes the baseline anew.
    #[arg(long)]
    renew: bool,
    /// Does one step so often: what runs under callgrind.
    #[arg(long, hide = true, num_args = 2, value_names = ["CASE", "TIMES"])]
    step: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.step.as_deref() {
        Some([case, times]) => step(case, times).map(|()| true),
        _ => run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("instructions: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn step(name: &str, times: &str) -> Result<(), String> {
    let case = cases::all().find(|case| case.name == name).ok_or_else(|| format!("no step {name:?}"))?;
    let times = times.parse().map_err(|error| format!("{times:?}: {error}"))?;
    callgrind::counted(&mut *(case.make)(), times);
    Ok(())
}

fn run(args: &Args) -> Result<bool, String> {
    let baseline: BTreeMap<String, f64> = match std::fs::read_to_string(&args.baseline) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{}: {error}", args.baseline.display()))?,
        Err(_) if args.renew => BTreeMap::new(),
        Err(error) => return Err(format!("{}: {error}; --renew writes it", args.baseline.display())),
    };
    println!("{:<48} {:>12} {:>12} {:>8}", "step", "instructions", "baseline", "");
    let mut counts = BTreeMap::new();
    let mut holds = true;
    for case in cases::all() {
        let count = callgrind::count(case.name)?;
        let before = baseline.get(case.name).copied();
        let change = before.map(|before| (count / before - 1.0) * 100.0);
        let told = match change {
            None => "new".to_owned(),
            Some(change) => format!("{change:+.1} %"),
        };
        let (verdict, is_held) = match change {
            None => ("no baseline", false),
            Some(change) if change > TOLERANCE => ("MORE", false),
            Some(change) if change < -TOLERANCE => ("less: renew the baseline", true),
            Some(_) => ("", true),
        };
        holds &= is_held;
        let before = before.map_or_else(|| "-".to_owned(), |before| format!("{before:.1}"));
        println!("{:<48} {count:>12.1} {before:>12} {told:>8}  {verdict}", case.name);
        counts.insert(case.name.to_owned(), (count * 10.0).round() / 10.0);
    }
    let gone: Vec<&String> = baseline.keys().filter(|name| !counts.contains_key(*name)).collect();
    if args.renew {
        let text = serde_json::to_string_pretty(&counts).map_err(|error| error.to_string())?;
        std::fs::write(&args.baseline, text + "\n").map_err(|error| format!("{}: {error}", args.baseline.display()))?;
        return Ok(true);
    }
    if !gone.is_empty() {
        println!("not measured any more: {gone:?}");
    }
    if !(holds && gone.is_empty()) {
        println!(
            "More than {TOLERANCE} % over the baseline. Is it meant? Then `make instructions RENEW=1`, and say why in the commit."
        );
    }
    Ok(holds && gone.is_empty())
}
