//! What the examples come to on the real captures: the table that stands on the page of each, made from `pinion backtest`.
//!
//! `make examples` writes the tables; a test compares them. A run is what the page's own command does: a strategy file of the example's
//! folder over a whole capture, with what `pinion backtest` assumes where nothing is said. The one exception is declared ([`AsOne`]): the
//! two captures are of minutes that follow each other, so the example that needs both at once gets the perpetual's times moved.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::captures::{SPOT, USDM, frames, project_root};
use crate::programs::pinion;
use crate::scratch::Scratch;

/// Where a page's table begins and ends.
pub const MARKERS: [&str; 2] = ["<!-- result: written by `make examples` -->\n", "<!-- end of result -->\n"];

/// How an example is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// `strategy.yaml` over spot, `perpetual.yaml` over the perpetual.
    Each,
    /// `strategy.yaml` over both at once.
    AsOne,
}

/// The examples with a page, in the order of the list of pages, and how each is run.
const EXAMPLES: [(&str, Runs); 7] = [
    ("ema-cross", Runs::Each),
    ("ema-cross-python", Runs::Each),
    ("book-imbalance", Runs::Each),
    ("market-maker", Runs::Each),
    ("spot-perp", Runs::AsOne),
    ("mean-reversion-python", Runs::Each),
    ("bars-rsi", Runs::Each),
];

/// Names of all examples that have a page.
pub fn examples() -> impl Iterator<Item = &'static str> {
    EXAMPLES.iter().map(|(name, _)| *name)
}

/// The page of an example.
#[must_use]
pub fn page(name: &str) -> PathBuf {
    project_root().join("strategies-examples").join(name).join("README.md")
}

/// The table of an example; `None`, said out loud, where a capture is not there.
///
/// # Panics
/// If there is no such example, or a run ends otherwise than well.
#[must_use]
pub fn table(name: &str) -> Option<String> {
    let (_, runs) = EXAMPLES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no example {name}"));
    let (spot, perpetual) = (SPOT.path()?, USDM.path()?);
    let folder = project_root().join("strategies-examples").join(name);
    let columns = match runs {
        Runs::Each => vec![
            ("spot, 2024-08-09", run(&folder.join("strategy.yaml"), &[argument("", &spot)])),
            ("the perpetual, 2024-08-08", run(&folder.join("perpetual.yaml"), &[argument("", &perpetual)])),
        ],
        Runs::AsOne => {
            let scratch = Scratch::new();
            let moved = moved(&scratch, &perpetual, moved_by()?);
            let data = [argument("binance.spot.btcusdt=", &spot), argument("binance.usdm.btcusdt=", &moved)];
            vec![(
                "the pair, the perpetual of 2024-08-08 moved to the spot of 2024-08-09",
                run(&folder.join("strategy.yaml"), &data),
            )]
        }
    };
    Some(written(&columns))
}

/// The text of a page with this table in the place of the one that it has.
///
/// # Errors
/// What the page lacks.
pub fn with_table(page: &str, table: &str) -> Result<String, String> {
    let [begin, end] = MARKERS;
    let (before, rest) = page.split_once(begin).ok_or_else(|| format!("no line {}", begin.trim()))?;
    let (_, after) = rest.split_once(end).ok_or_else(|| format!("no line {}", end.trim()))?;
    Ok([before, begin, table, end, after].concat())
}

fn argument(topic: &str, data: &Path) -> String {
    format!("{topic}{}", data.display())
}

fn run(file: &Path, data: &[String]) -> Value {
    let output = pinion("backtest").arg(file).arg("--data").args(data).args(["--format", "json"]).output();
    let output = output.expect("run pinion backtest");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", file.display());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{}: {error}: {said}", file.display()))
}

/// By how many ns the perpetual is moved so that it begins when spot does; `None`, said out loud, where a capture is not there.
///
/// # Panics
/// If a capture holds nothing.
#[must_use]
pub fn moved_by() -> Option<u64> {
    let [spot, perpetual] = [SPOT.path()?, USDM.path()?].map(|path| frames(&path)[0].ts_recv);
    Some(spot - perpetual)
}

/// A capture with its times moved.
fn moved(scratch: &Scratch, capture: &Path, by: u64) -> PathBuf {
    let mut frames = frames(capture);
    let mut text = Vec::new();
    for frame in &mut frames {
        text.extend(format!("{} ", frame.ts_recv + by).as_bytes());
        text.extend(&frame.value);
        text.push(b'\n');
    }
    scratch.write("moved", text)
}

/// Rows of the table: what a row is called, and what of the result stands in it.
type Row = (&'static str, fn(&Value) -> String);

const ROWS: [Row; 10] = [
    ("events", |result| result["events"].to_string()),
    ("order messages", |result| with_parts(&result["orders"], &result["order_kinds"])),
    ("denied by the host", |result| with_parts(&sum(&result["denied"]), &result["denied"])),
    ("refused by the venue", |result| with_parts(&sum(&result["refused"]), &result["refused"])),
    ("fills", |result| result["fills"].to_string()),
    ("volume, position at the end", positions),
    ("fees", |result| money(&result["fees"])),
    ("**profit and loss after fees**", |result| format!("**{}**", money(&result["pnl"]))),
    ("deepest drawdown", |result| money(&result["drawdown_max"])),
    ("order stream, SHA-256", |result| format!("`{}`", result["order_stream_sha256"].as_str().unwrap_or_default())),
];

fn written(columns: &[(&str, Value)]) -> String {
    let mut text = String::from("\n| |");
    for (title, result) in columns {
        let [from, to] = ["first_ns", "last_ns"].map(|at| time_of_day(result[at].as_u64().unwrap_or_default()));
        let _ = write!(text, " {title}, {from} to {to} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(columns.len()));
    for (name, value) in ROWS {
        let _ = write!(text, "| {name} |");
        columns.iter().for_each(|(_, result)| _ = write!(text, " {} |", value(result)));
        text.push('\n');
    }
    let verdicts: Vec<String> = columns.iter().map(|(title, result)| verdict(title, result)).collect();
    let _ = writeln!(text, "\n{}.", verdicts.join(". "));
    let model = columns[0].1["model"].as_str().unwrap_or_default();
    let _ = writeln!(text, "\nModel: {model}; what rests is queued behind what is displayed at its price.\n");
    text
}

/// Whether it earned anything, in a word.
fn verdict(title: &str, result: &Value) -> String {
    let what = match result["pnl"].as_str() {
        Some("0") => "neither earned nor lost",
        Some(pnl) if pnl.starts_with('-') => "**lost** money",
        _ => "earned money",
    };
    format!("After fees it {what} on {}", title.split(',').next().unwrap_or(title))
}

fn sum(parts: &Value) -> Value {
    parts.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum::<u64>().into()
}

fn with_parts(total: &Value, parts: &Value) -> String {
    let parts: Vec<String> = parts.as_object().into_iter().flatten().map(|(name, n)| format!("{name} {n}")).collect();
    if parts.is_empty() { total.to_string() } else { format!("{total} ({})", parts.join(", ")) }
}

fn positions(result: &Value) -> String {
    let holdings = result["positions"].as_object().into_iter().flatten().map(|(symbol, position)| {
        let text = |name: &str| position[name].as_str().unwrap_or_default().to_owned();
        format!("{} {symbol}, {}", text("volume"), text("net"))
    });
    let all: Vec<String> = holdings.collect();
    if all.is_empty() { "0".to_owned() } else { all.join("; ") }
}

/// To the cent, cut: what is behind it is in the JSON.
fn money(amount: &Value) -> String {
    let text = amount.as_str().unwrap_or_default();
    let (whole, cents) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}.{:0<2} USDT", &cents[..cents.len().min(2)])
}

/// Of a wall time in ns, UTC.
fn time_of_day(ns: u64) -> String {
    let second = ns / 1_000_000_000 % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}
