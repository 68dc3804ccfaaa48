//! What an event costs that a strategy does not want: the worker's path over the trades and the depth of a capture, for guests that do
//! nothing and differ in what they want.

use pinion_benches::cases::sandbox::idle_component;
use pinion_benches::machine::load;
use pinion_benches::pairs::Took;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::event::{Body, Event};
use pinion_runtime::sandbox::{Callbacks, Host, Module};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::USDM;
use pinion_tests::rig;

use crate::bench::{Bench, pass, records};

/// Unwanted kinds may cost no more than this against a strategy that wants nothing at all.
const NOTHING: f64 = 1.05;

fn module(bench: &Bench, wants: Callbacks) -> Result<Module, String> {
    let component = idle_component(wants)?;
    bench.sandbox.load(&component).map_err(|error| error.to_string())
}

pub(crate) fn rows(bench: &mut Bench, results: &mut Results) -> Result<(), String> {
    let mut strategy = rig::example("ema-cross", &USDM);
    strategy.spec.params.clear();
    strategy.spec.budget.call_micros = 1_000_000;
    let mut unwanted = records(&USDM, &strategy)?;
    unwanted.retain(|record| !record.first().is_some_and(|event| matches!(event.body, Body::Quote(_))));
    let kinds = [Callbacks::QUOTE, Callbacks::TRADE, Callbacks::BOOK_DELTA, Callbacks::BOOK];
    let every = Callbacks(kinds.iter().fold(0, |all, kind| all | kind.0));
    let nothing = module(bench, Callbacks(0))?;
    let quotes = module(bench, Callbacks::QUOTE)?;
    let every = module(bench, every)?;
    for module in [Some(&nothing), Some(&quotes), Some(&every), None] {
        took(&strategy, module, &unwanted)?;
    }
    let sure =
        |module: Option<&Module>| took(&strategy, module, &unwanted).unwrap_or_else(|_| unreachable!("it has passed"));
    let mut row = |id, name, floor, goal, above: Option<&Module>, below: Option<&Module>| {
        let before = load();
        let pairs = bench.pairs(&mut || sure(above), &mut || sure(below));
        let what = What { id, name, unit: "ns/event", floor, shown: Shown::Cost };
        results.push(Row::of_pairs(what, goal, &pairs, before));
    };
    row(
        "unwanted",
        "trades and depth that a strategy does not want",
        "the same, a strategy that wants nothing",
        Goal::RatioAtMost(NOTHING),
        Some(&quotes),
        Some(&nothing),
    );
    row(
        "path",
        "trades and depth past a strategy",
        "the worker's path without a strategy",
        Goal::None,
        Some(&quotes),
        None,
    );
    row(
        "wanted",
        "trades and depth, all of them delivered",
        "the same, a strategy that wants quotes only",
        Goal::None,
        Some(&every),
        Some(&quotes),
    );
    Ok(())
}

fn took(strategy: &Strategy, module: Option<&Module>, records: &[Vec<Event>]) -> Result<Took, String> {
    let Some(module) = module else { return pass(strategy, None, records).map(|(took, _)| took) };
    let make = |host: Host| module.instantiate(host, &strategy.spec.budget).map_err(|fault| fault.to_string());
    pass(strategy, Some(&make), records).map(|(took, _)| took)
}
