//! Backtests of the EMA cross over one capture. Each run of either side is a process: it reads the capture into events of its own kind in
//! memory, runs over them once to be warm, and times the second run. So neither reading nor parsing nor making the engine is timed; the
//! strategy, the books, the simulated venue and the account are.
//!
//! What an event is differs: Pinion's are the capture's quotes, trades and levels of depth, all presented to its books; what the others' are
//! is in their pages. Only time and memory of the whole capture are compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pinion_benches::interval::median;
use pinion_benches::machine::{load, resident_bytes};
use pinion_benches::pairs::{Pairs, Plan, Took};
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_cli::backtest::{Run, Setup};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::event::{Body, Event};
use pinion_runtime::sandbox::{Compiler, Module, Sandbox, SandboxConfig};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{Capture, USDM};
use pinion_tests::rig::{self, Rig};
use pinion_tests::scratch::Scratch;
use pinion_tests::stream;
use pinion_venue::{Fees, Latency, Model};
use serde::{Deserialize, Serialize};

use crate::command;

/// One of the two, as most of a run is Numba's compiler: the longer one, which begins with a snapshot.
const CAPTURE: Capture = USDM;
/// Fours of blocks for one of runs.
const FOURS: usize = 30;
/// Over another backtester.
const GOAL: f64 = 1.0;
const MIB: f64 = 1_048_576.0;

/// What a run says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    peer: String,
    version: String,
    events: u64,
    orders: u64,
    ns: u64,
    rss_bytes: u64,
}

impl Told {
    fn name(&self) -> String {
        format!("{} {}", self.peer, self.version)
    }
}

/// One side: its runs, and why there are no more.
struct Side {
    command: Command,
    runs: Vec<Told>,
    failed: Option<String>,
}

impl Side {
    const fn new(command: Command) -> Self {
        Self { command, runs: Vec::new(), failed: None }
    }

    /// A run by a process. After a failure there is none.
    fn run(&mut self) -> Took {
        if self.failed.is_some() {
            return Took::default();
        }
        match told(&mut self.command) {
            Ok(told) => {
                let ns = told.ns;
                self.runs.push(told);
                Took { operations: 1, ns }
            }
            Err(problem) => {
                self.failed = Some(problem);
                Took::default()
            }
        }
    }

    /// A figure of each run.
    fn figures(&self, figure: impl Fn(&Told) -> f64) -> Vec<f64> {
        self.runs.iter().map(figure).collect()
    }
}

fn told(command: &mut Command) -> Result<Told, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stdout);
    match serde_json::from_str(told.lines().last().unwrap_or_default()) {
        Ok(told) if output.status.success() => Ok(told),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
fn events_a_second(told: &Told) -> f64 {
    told.events as f64 * 1e9 / told.ns.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "bytes")]
fn resident_mib(told: &Told) -> f64 {
    told.rss_bytes as f64 / MIB
}

/// Rows beside one of them.
pub(crate) fn beside(peer: &str, fours: usize, results: &mut Results) -> Result<(), String> {
    let capture = CAPTURE.path().ok_or("it needs the Binance captures")?;
    let mut own = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    own.arg("--backtest");
    let mut their = command(peer);
    their.arg(&capture);
    let (mut ours, mut theirs) = (Side::new(own), Side::new(their));
    let before = load();
    // A run is a block.
    let plan = Plan { fours: fours.div_ceil(FOURS), block: Duration::ZERO };
    let pairs = Pairs::measure(plan, &mut || ours.run(), &mut || theirs.run());
    if let Some(problem) = ours.failed.take().or(theirs.failed.take()) {
        return Err(problem);
    }
    let (Some(our), Some(their)) = (ours.runs.last(), theirs.runs.last()) else { return Err("no runs".to_owned()) };

    let (id, floor) = (format!("backtest.{peer}"), their.name());
    let name = "EMA cross over the USD-M capture";
    let what = What { id: &id, name, unit: "ns", floor: &floor, shown: Shown::Cost };
    let orders = format!("{} orders, the other {}", our.orders, their.orders);
    results.push(Row::of_pairs(what, Goal::RatioAtMost(GOAL), &pairs, before).noting(&orders));

    let [a, b] = [&ours, &theirs].map(|side| side.figures(events_a_second));
    let id = format!("backtest.{peer}.events");
    let what = What { id: &id, name: "events a second, each of its own kind", unit: "events/s", ..what };
    let row = Row::of_figures(what, Goal::None, &a, before);
    let note = format!("{} events, the other {}: not the same unit, so no ratio", our.events, their.events);
    results.push(Row { floor: median(b), floor_is: Some(floor.clone()), ..row }.noting(&note));

    let [a, b] = [&ours, &theirs].map(|side| side.figures(resident_mib));
    let ratios: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a / b).collect();
    let id = format!("backtest.{peer}.memory");
    let what = What { id: &id, name: "resident, the events in it", unit: "MiB", ..what };
    let row = Row::of_figures(what, Goal::RatioAtMost(GOAL), &ratios, before);
    let (value, ratio) = (median(a).unwrap_or(f64::NAN), Some(row.value));
    results.push(Row { value, floor: median(b), floor_is: Some(floor.clone()), ratio, ..row });
    Ok(())
}

/// Pinion's own run, told as the others tell theirs.
pub(crate) fn own() -> Result<(), String> {
    let path = CAPTURE.path().ok_or("it needs the Binance captures")?;
    let mut strategy = rig::example("ema-cross", &CAPTURE);
    // What else the machine runs takes its time from a call; a fault for that would be no figure.
    strategy.spec.budget.call_micros = 1_000_000;
    let mut records: Vec<Vec<Event>> = Vec::new();
    stream::decoded(&path, &strategy, |events| records.push(events.to_vec()));
    let events = records.iter().flatten().filter(|event| !matches!(event.body, Body::Skip)).count() as u64;

    let scratch = Scratch::new();
    let (_sandbox, module) = module(&scratch.path().join("modules"))?;
    let orders = orders(&strategy, &module, &records)?;
    // An order arrives at once and costs nothing, as the others have it.
    let model = Model { latency: Latency::fixed(0), fees: Fees::new(0, 0), seed: 1 };
    let setup = Setup { strategy, module, model, partitions: BTreeMap::new(), records_max: u64::MAX };
    pass(&setup, &records)?;
    let ns = pass(&setup, &records)?;
    let (peer, version) = ("pinion".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let told = Told { peer, version, events, orders, ns, rss_bytes: resident_bytes("self") };
    println!("{}", serde_json::to_string(&told).map_err(|error| error.to_string())?);
    Ok(())
}

fn module(cache: &Path) -> Result<(Sandbox, Module), String> {
    let config = SandboxConfig::new(cache.to_owned(), Compiler::Here);
    let sandbox = Sandbox::new(config).map_err(|error| error.to_string())?;
    let module = sandbox.load(&rig::module("ema-cross")).map_err(|error| error.to_string())?;
    Ok((sandbox, module))
}

/// How many orders the runtime's worker sends over the records; a backtest sends the same.
fn orders(strategy: &Strategy, module: &Module, records: &[Vec<Event>]) -> Result<u64, String> {
    let guest = module.instantiate(rig::host_of(strategy), &strategy.spec.budget).map_err(|fault| fault.to_string())?;
    let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
    rig.load(strategy, rig::ready(guest, strategy));
    records.iter().for_each(|record| rig.push(record));
    rig.settle();
    let orders = rig.messages();
    let _ = rig.finish();
    Ok(orders)
}

/// One run of a backtest; ns without its making.
fn pass(setup: &Setup, records: &[Vec<Event>]) -> Result<u64, String> {
    let mut run = Run::new(setup, &BTreeMap::new()).map_err(|error| error.to_string())?;
    let began = mono_ns();
    for record in records {
        run.record(record).map_err(|error| error.to_string())?;
    }
    Ok(mono_ns() - began)
}
