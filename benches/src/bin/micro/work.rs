//! Row 2: a strategy in the sandbox over the same strategy without one, in the same worker's path over a real capture. The host's part of
//! the path (book, clock, histogram, risk) is in both.

use pinion_benches::interval::{Interval, geometric_mean};
use pinion_benches::machine::load;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, Verdict, What};
use pinion_runtime::sandbox::{Guest, Host};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::USDM;
use pinion_tests::native::Native;
use pinion_tests::rig;

use crate::bench::{Bench, pass, records};

/// The geometric mean over the strategies.
const MEAN: f64 = 1.35;
/// Each of them.
const WORST: f64 = 1.8;

type MakeNative = fn(Host) -> Box<dyn Guest>;

fn native<S: pinion_strategy::Strategy + Send>(host: Host) -> Box<dyn Guest> {
    Box::new(Native::<S>::new(host))
}

/// Names and values.
type Params = &'static [(&'static str, &'static str)];

/// Name, folder, the same source as native code, and its params where they are not the example's.
const STRATEGIES: [(&str, &str, MakeNative, Params); 5] = [
    ("ema-cross", "strategies-examples", native::<example_ema_cross::EmaCross>, &[]),
    ("book-imbalance", "strategies-examples", native::<example_book_imbalance::BookImbalance>, &[]),
    ("regression", "benches/strategies", native::<bench_regression::Regression>, &[("size", "0.01")]),
    ("book-walk", "benches/strategies", native::<bench_book_walk::BookWalk>, &[("size", "0.01"), ("walked", "2")]),
    ("bars-rsi", "strategies-examples", native::<example_bars_rsi::BarsRsi>, &[]),
];

/// A strategy's file: the example's own, or the EMA cross's with other params.
fn strategy(name: &str, folder: &str, params: &[(&str, &str)]) -> Strategy {
    let example = if folder == "strategies-examples" { name } else { "ema-cross" };
    let mut strategy = rig::example(example, &USDM);
    name.clone_into(&mut strategy.metadata.name);
    if !params.is_empty() {
        strategy.spec.params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    }
    // What else the machine runs takes its time from a call; a fault for that would be no figure.
    strategy.spec.budget.call_micros = 1_000_000;
    strategy
}

pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let mut rows: Vec<Row> = Vec::new();
    for (name, folder, native, params) in STRATEGIES {
        let strategy = strategy(name, folder, params);
        let records = records(&USDM, &strategy)?;
        let module = bench.module(folder, name)?;
        let budget = strategy.spec.budget.clone();
        let sandboxed = move |host| module.instantiate(host, &budget).map_err(|fault| fault.to_string());
        let plain = move |host| Ok(native(host));
        let (_, decided) = pass(&strategy, Some(&sandboxed), &records)?;
        let (_, decided_natively) = pass(&strategy, Some(&plain), &records)?;
        if decided != decided_natively {
            return Err(format!("row 2 is void: {name} decides otherwise without a sandbox"));
        }
        let load = load();
        let took = |guest: crate::bench::MakeGuest<'_>| {
            pass(&strategy, Some(guest), &records).map_or_else(|_| unreachable!("it has passed"), |(took, _)| took)
        };
        let pairs = bench.pairs(&mut || took(&sandboxed), &mut || took(&plain));
        let id = format!("2.{name}");
        let name = format!("{name} in the worker's path, USD-M capture");
        let what = What {
            id: &id,
            name: &name,
            unit: "ns/event",
            floor: "the same strategy as native code",
            shown: Shown::Cost,
        };
        let row = Row::of_pairs(what, Goal::RatioAtMost(WORST), &pairs, load);
        rows.push(row.clone());
        results.push(row);
    }
    // As wide as if all of them erred to the same side.
    let mean = |of: &dyn Fn(&Row) -> f64| geometric_mean(&rows.iter().map(of).collect::<Vec<_>>()).unwrap_or(f64::NAN);
    let interval = Interval {
        median: mean(&|row| row.ratio.unwrap_or(f64::NAN)),
        low: mean(&|row| row.ci[0]),
        high: mean(&|row| row.ci[1]),
    };
    let what = What { id: "2.mean", name: "geometric mean of them", unit: "x", floor: "", shown: Shown::Cost };
    let mut row = Row::of_interval(what, Goal::AtMost(MEAN), interval, load());
    if rows.iter().any(|row| row.verdict == Verdict::Inconclusive) {
        row.verdict = Verdict::Inconclusive;
    }
    results.push(row);
    Ok(())
}
