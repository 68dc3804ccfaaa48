//! The benches as a table: what criterion measured last, and the end-to-end run, beside their goals.
//!
//! Reads what `cargo bench` and `e2e --json` have written; measures nothing itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

/// Benches with a goal, ns.
const GOALS: [(&str, f64); 4] = [
    ("sandbox/on-quote, direct lane", 45.0),
    ("decode/bookTicker spot", 300.0),
    ("decode/bookTicker usdm", 300.0),
    ("risk/submit", 60.0),
];
/// The ratio of these two, and its goal.
const RATIO: (&str, &str, f64) = ("sandbox/on-quote, direct lane", "sandbox/on-quote, bare TypedFunc", 1.2);

struct Row {
    id: String,
    /// Median and its 95 % interval, ns.
    median: f64,
    interval: (f64, f64),
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn row(folder: &Path) -> Option<Row> {
    let id = json(&folder.join("benchmark.json"))?["full_id"].as_str()?.to_owned();
    let median = &json(&folder.join("estimates.json"))?["median"];
    let bound = |name: &str| median["confidence_interval"][name].as_f64();
    Some(Row {
        id,
        median: median["point_estimate"].as_f64()?,
        interval: (bound("lower_bound")?, bound("upper_bound")?),
    })
}

/// Every bench below a folder of criterion's.
fn rows(folder: &Path, found: &mut Vec<Row>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.ends_with("new") {
            found.extend(row(&path));
        } else if path.is_dir() {
            rows(&path, found);
        }
    }
}

fn verdict(value: f64, goal: f64) -> &'static str {
    if value <= goal { "met" } else { "missed" }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let (Some(criterion), e2e) = (args.next(), args.next()) else {
        eprintln!("usage: table CRITERION_FOLDER [E2E.json]");
        return ExitCode::from(64);
    };
    let mut found = Vec::new();
    rows(&criterion, &mut found);
    if found.is_empty() {
        eprintln!("table: nothing measured below {}; run `cargo bench` first", criterion.display());
        return ExitCode::from(64);
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    println!("{:<44} {:>12} {:>25} {:>9}  verdict", "bench", "median ns", "95 % interval", "goal");
    for Row { id, median, interval: (low, high) } in &found {
        let goal = GOALS.iter().find(|(name, _)| name == id).map(|(_, goal)| *goal);
        let (goal, verdict) = goal.map_or((String::new(), ""), |goal| (format!("{goal:.0}"), verdict(*median, goal)));
        println!("{id:<44} {median:>12.1} {:>25} {goal:>9}  {verdict}", format!("{low:.1} to {high:.1}"));
    }
    let median = |id: &str| found.iter().find(|row| row.id == id).map(|row| row.median);
    let (above, below, goal) = RATIO;
    if let (Some(direct), Some(bare)) = (median(above), median(below)) {
        let ratio = direct / bare;
        println!(
            "{:<44} {ratio:>12.2} {:>25} {goal:>9.2}  {}",
            "direct lane / bare TypedFunc",
            "",
            verdict(ratio, goal)
        );
    }
    if let Some(run) = e2e.as_deref().and_then(json) {
        let ratio = &run["ratio"];
        let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |value| format!("{value:.3}"));
        let interval = format!("{} to {}", number(&ratio["lowest"]), number(&ratio["highest"]));
        let name = format!("Kafka in to out at {}/s, p50 / bare echo", run["rate"]);
        let (goal, verdict) = (number(&run["goal"]), run["verdict"].as_str().unwrap_or(""));
        println!("{name:<44} {:>12} {interval:>25} {goal:>9}  {verdict}", number(&ratio["median"]));
    }
    ExitCode::SUCCESS
}
