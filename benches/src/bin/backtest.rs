//! How fast a backtest is, as ratios of programs that take turns in one run: against `pinion inspect` on the same file, and a sweep of
//! eight against eight runs one after the other.
//!
//! `backtest [TURNS]`: the `pinion` beside this program, medians over TURNS (5) turns of wall time, EMA cross over the Binance futures
//! capture. Exits with 1 where a goal is missed.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use pinion_runtime::clock::mono_ns;
use pinion_tests::captures::USDM;
use pinion_tests::{rig, strategies};

/// Speed of a backtest in speeds of `inspect`, at least.
const AGAINST_INSPECT: f64 = 0.8;
/// Speed of a sweep of eight in speeds of eight runs, at least, on 2 cores.
const AGAINST_ONE_BY_ONE: f64 = 1.7;
/// The sweep, and its values one by one.
const FAST: [&str; 8] = ["10", "20", "30", "40", "50", "60", "70", "80"];

/// Seconds that a command takes.
///
/// # Panics
/// If it does not end well.
fn seconds(pinion: &Path, args: &[&str]) -> f64 {
    let began = mono_ns();
    let status = Command::new(pinion).args(args).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "pinion {args:?}");
    std::time::Duration::from_nanos(mono_ns() - began).as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn say(what: &str, ratio: f64, goal: f64) -> bool {
    let met = ratio >= goal;
    println!("{what:<44} {ratio:.2}x   goal {goal}x   {}", if met { "met" } else { "missed" });
    met
}

fn main() -> ExitCode {
    let turns = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5_usize).max(1);
    let (Some(capture), Ok(own)) = (USDM.path(), std::env::current_exe()) else { return ExitCode::FAILURE };
    let pinion = own.with_file_name("pinion");
    let mut strategy = rig::example("ema-cross", &USDM);
    strategy.spec.module = strategies::example("ema-cross").spec.module;
    let file = std::env::temp_dir().join(format!("pinion-bench-{}.yaml", std::process::id()));
    let written =
        serde_json::to_vec(&strategy).map_err(std::io::Error::other).and_then(|yaml| std::fs::write(&file, yaml));
    if let Err(error) = written {
        eprintln!("cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    let (file_text, capture) = (file.display().to_string(), capture.display().to_string());
    let backtest = ["backtest", &file_text, "--data", &capture];
    let all = format!("fast={}", FAST.join(","));
    let sweep = [&backtest[..], &["--param", &all]].concat();
    // The first compiles the module.
    seconds(&pinion, &backtest);
    let (mut against_inspect, mut against_singles) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        let inspected = seconds(&pinion, &["inspect", &capture]);
        let backtested = seconds(&pinion, &backtest);
        against_inspect.push(inspected / backtested);
        let alone = |fast: &&str| seconds(&pinion, &[&backtest[..], &["--param", &format!("fast={fast}")]].concat());
        let singles: f64 = FAST.iter().map(alone).sum();
        against_singles.push(singles / seconds(&pinion, &sweep));
        println!("inspect {inspected:.3} s, backtest {backtested:.3} s, eight {singles:.3} s");
    }
    let _ = std::fs::remove_file(&file);
    let met = [
        say("backtest against inspect, EMA cross, USD-M", median(against_inspect), AGAINST_INSPECT),
        say("a sweep of 8 against one after the other", median(against_singles), AGAINST_ONE_BY_ONE),
    ];
    if met == [true; 2] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
