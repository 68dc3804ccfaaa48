//! `docs/PERFORMANCE.md` and its plots, from the files of results and nothing else.

mod plot;

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use crate::row::{Row, Verdict, number};

pub use plot::{growth, ratios};

/// A file of results.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    /// Which program wrote it.
    pub bench: String,
    /// What it was measured on.
    pub machine: Value,
    /// Tasks that waited for a core when it began.
    pub load: f64,
    /// How late an idle thread woke meanwhile.
    pub hiccups: Value,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What each program measures, in the order of the page.
const PROGRAMS: [(&str, &str, &str); 6] = [
    (
        "micro",
        "In one process",
        "`make bench`. No Kafka: the crossing into the sandbox, a strategy's work, an event's way, an instance. The floors are the same \
         code without what is measured: a bare wasmtime call on an engine of the same configuration, the same strategy compiled natively \
         and called by the same worker, decoding alone. Row 1 is measured in twelve processes: where one's code and data lie moves so \
         short a call by more than all that differs within it.",
    ),
    (
        "e2e",
        "In to out on Kafka",
        "`make bench-e2e`. One record in, one order out, on a real Apache Kafka: `pinion-runtime` beside a single thread of librdkafka that \
         polls, decodes the same input and sends a record of the same size, with the same settings. Latency is from the time at which the \
         record was to be sent to the time at which the order was read back. The bare client has the C library's allocator, as such \
         clients do; `pinion-runtime` has [its own](adr/0023-an-allocator-for-memory-that-changes-threads.md). Row 4 is measured over \
         eight starts of both.",
    ),
    (
        "send",
        "When an order is sent",
        "`make bench-e2e`. Pinion beside itself with other settings of Kafka's client. Its own are no timer and one request under way: \
         an order that comes while there is one waits for its end, and all that have come go together. Where a row is missing the other \
         did not keep up, or the machine was elsewhere.",
    ),
    (
        "peers",
        "Beside what others run it on",
        "`make bench-peers`. The same topics, payloads, decisions and orders ([peers](../benches/peers/README.md)): each is its latest version, tuned \
         as its own documentation advises, in a process of its own over one broker.",
    ),
    (
        "peers-alone",
        "Beside other sandboxes and backtesters",
        "`make bench-peers`. No Kafka; each of the others is a process of its own ([peers](../benches/peers/README.md)). Sandboxes: real quotes \
         from memory, a call into a guest of the same source, an order or nothing out; Pinion's is the direct lane with what its worker does \
         for a call. Backtests: the second run of a process over a capture that is in memory as events of its own kind; reading, parsing \
         and the engine's making are not timed. An event of one is not an event of another, so only time and memory of the whole capture have \
         a ratio.",
    ),
    (
        "author",
        "What a strategy's author waits for",
        "`make bench`. Commands of `pinion` as processes, over the captures.",
    ),
];

const HEAD: &str = "\
# Performance

Generated from the files in [`benches/results/`](../benches/results) by `make bench-report`; a number here without its file fails
[a test](../benches/tests/report.rs#the_page_and_its_plots_are_those_of_the_results).

## How it is measured

- **Beside a floor, in turns.** A and B take blocks of time, A B B A and then B A A B, in one run. The result is the median of the ratios of
  neighbours with a 95 % interval (percentile bootstrap; where a row is measured in several processes,
  processes are drawn). Absolute numbers are information: they are of this machine.
- **A control each time.** The two blocks in the middle of four are of one side. Where the interval of their ratio leaves 1.00 by more
  than 2 %, the row is INCONCLUSIVE, whatever it says. So it is where more than 30 % of the fours are dropped, because over 1 % of the time was
  stolen or the thread was put aside more than 100 times a second by others than the process's own threads: both were fixed before anything was measured.
- **Met and missed** are said only where all of the interval lies on that side of the goal.
- **What is there is seen.** A control row adds 50 ns to a call and must find them.
- **Decisions are compared.** Where a row holds a strategy against a floor, both must send the same orders, hashed; else the row is void.
- **Wall-clock gates nothing.** `make test` measures no speed. It counts instructions, which are the same on a busy machine: of a call in both lanes,
  of decoding, books, risk and an order's encoding, against [a baseline](../benches/instructions.json) to 2 %
  ([instructions.rs](../benches/tests/instructions.rs)). `make instructions` shows them; `RENEW=1` writes the baseline anew.

What falls short, why, and what was tried: [findings](performance/findings.md).

";

/// The page.
#[must_use]
pub fn page(runs: &[Run]) -> String {
    let mut page = HEAD.to_owned();
    for (program, title, about) in PROGRAMS {
        let Some(run) = runs.iter().find(|run| run.bench == program) else { continue };
        // A `String` takes all that is written to it.
        let _ = write!(page, "## {title}\n\n{about}\n\n{}\n\n", machine(run));
        if run.rows.iter().any(|row| row.ratio.is_some()) {
            let _ = write!(page, "![Ratios to their floors](performance/{program}.svg)\n\n");
        }
        page.push_str("| row | what | measured | floor | ratio | 95 % interval | goal | verdict |\n");
        page.push_str("|---|---|---|---|---|---|---|---|\n");
        for row in &run.rows {
            let _ = writeln!(page, "{}", line(row));
        }
        page.push('\n');
        if !growth(&run.rows).is_empty() {
            page.push_str("![How costs grow](performance/growth.svg)\n\n");
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn line(row: &Row) -> String {
    let floor = match (&row.floor, &row.floor_is) {
        (Some(floor), Some(is)) => format!("{}: {is}", number(*floor)),
        _ => String::new(),
    };
    let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}"));
    let [low, high] = row.ci.map(number);
    let verdict = match row.verdict {
        Verdict::Missed => "**missed**",
        verdict => verdict.label(),
    };
    let note = if row.note.is_empty() { String::new() } else { format!(" ({})", row.note) };
    format!(
        "| {} | {} | {} {} | {floor} | {ratio} | {low} to {high} | {} | {verdict}{note} |",
        row.id,
        row.name,
        number(row.value),
        row.unit,
        row.goal.told(&row.unit)
    )
}

fn machine(run: &Run) -> String {
    let text = |name: &str| run.machine[name].as_str().unwrap_or("?").to_owned();
    let kind = if run.machine["virtual"].as_bool() == Some(true) { "virtual machine, " } else { "" };
    let changed = if run.machine["changed"].as_bool() == Some(true) { " with changes" } else { "" };
    let late = |name: &str| run.hiccups[name].as_u64().map_or("-".to_owned(), |ns| format!("{} us", ns / 1_000));
    format!(
        "Revision {}{changed}, {}, {} profile; {kind}{} cores of {}, Linux {}; load {:.2}; an idle thread woke late by p50 {}, p99 {}, at most {}.",
        text("revision"),
        text("compiler"),
        text("profile"),
        run.machine["cores"],
        text("cpu"),
        text("kernel"),
        run.load,
        late("p50_ns"),
        late("p99_ns"),
        late("max_ns"),
    )
}

/// Every file of a run's results: path below `docs/`, and what is in it.
#[must_use]
pub fn files(runs: &[Run]) -> Vec<(String, String)> {
    let mut files = vec![("PERFORMANCE.md".to_owned(), page(runs))];
    for run in runs.iter().filter(|run| run.rows.iter().any(|row| row.ratio.is_some())) {
        files.push((format!("performance/{}.svg", run.bench), ratios(&run.rows)));
    }
    let grown = runs.iter().map(|run| growth(&run.rows)).find(|plot| !plot.is_empty());
    files.extend(grown.map(|plot| ("performance/growth.svg".to_owned(), plot)));
    files
}

/// The runs whose results lie in a folder, by name.
///
/// # Errors
/// Which file cannot be read.
pub fn runs(folder: &std::path::Path) -> Result<Vec<Run>, String> {
    let told = |path: &std::path::Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let entries = std::fs::read_dir(folder).map_err(|error| told(folder, &error))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| told(path, &error))?;
        serde_json::from_str(&text).map_err(|error| told(path, &error))
    };
    paths.iter().map(read).collect()
}
