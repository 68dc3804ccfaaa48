//! A strategy that does wrong is stopped by name, put away after a few times, and harms nobody who shares its worker.

use std::path::Path;
use std::sync::OnceLock;

use pinion_runtime::limits::QUARANTINE_FAULTS;
use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::Broker;
use pinion_tests::programs::Publishing;
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;

use crate::market::{orders, read_to_end, record_only, run_whole, values};

/// Each misbehaving example and the fault that it is to end in.
const MISBEHAVING: [(&str, &str); 5] =
    [("spin", "budget"), ("grow", "memory"), ("trap", "trap"), ("flood", "intents"), ("bad-pointer", "bad_pointer")];

/// What became of one example: its name, faults by kind label, whether it was quarantined, orders that it sent.
type Fate = (&'static str, Vec<(String, u64)>, bool, usize);

/// What became of all of them on one worker, beside one that behaves.
struct Outcome {
    strategies: Vec<Fate>,
    /// Orders of the one that behaves, and of the same one running alone.
    behaving: [Vec<Vec<u8>>; 2],
    /// Whether the process ended as asked.
    clean: bool,
}

static OUTCOME: OnceLock<Option<Outcome>> = OnceLock::new();

fn outcome() -> Option<&'static Outcome> {
    OUTCOME.get_or_init(run).as_ref()
}

fn run() -> Option<Outcome> {
    let (broker, path) = (Broker::shared()?, SPOT.path()?);
    let market = Broker::unique_topic("binance-spot");
    broker.create_topic(&market, 1);
    let behaving = record_only(broker, &market);
    let misbehaving: Vec<Strategy> = MISBEHAVING
        .iter()
        .map(|(name, _)| {
            let mut strategy = strategies::example_on(broker, &format!("misbehaving/{name}"), &market);
            // One group is one feed, and one feed is one worker's.
            strategy.spec.inputs = behaving.spec.inputs.clone();
            strategy.spec.outputs.dead_letter = behaving.spec.outputs.dead_letter.clone();
            strategy
        })
        .collect();
    let scratch = Scratch::new();
    let files: Vec<_> =
        misbehaving.iter().chain([&behaving]).map(|strategy| strategies::write(&scratch, strategy)).collect();
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let mut runtime = Runtime::start_ready(&files, &broker.address(), &[]);
    // Paced: an instance comes back 10 to 80 ms after each fault, and must find a stream that goes on.
    let mut publishing = Publishing::start(&path, &broker.address(), &market, "75");
    assert_eq!(publishing.wait(), Some(SPOT.messages));
    read_to_end(&mut runtime, broker, &behaving);
    let strategies = MISBEHAVING
        .iter()
        .zip(&misbehaving)
        .map(|((name, _), strategy)| {
            let counted = |(_, kind): &(&str, &str)| {
                let labels = [("strategy", *name), ("kind", *kind)];
                ((*kind).to_owned(), runtime.count(&metrics::FAULTS, &labels))
            };
            let faults = MISBEHAVING.iter().map(counted).collect();
            let all = runtime.count(&metrics::FAULTS, &[("strategy", *name)]);
            let quarantined = runtime.count(&metrics::STRATEGY_QUARANTINED, &[("strategy", *name)]) == 1;
            assert_eq!(all, u64::from(QUARANTINE_FAULTS), "faults of {name}, of any kind");
            (*name, faults, quarantined, orders(broker, strategy).len())
        })
        .collect();
    let clean = is_clean(runtime.sigterm_and_wait());
    let alone = record_only(broker, &market);
    run_whole(broker, &[&alone]);
    let behaving = [values(&orders(broker, &behaving)), values(&orders(broker, &alone))];
    Some(Outcome { strategies, behaving, clean })
}

fn ends_in(example: &str, kind: &str) {
    let Some(outcome) = outcome() else { return };
    let (_, faults, quarantined, orders) =
        outcome.strategies.iter().find(|(name, ..)| *name == example).expect("it took part");
    for (named, count) in faults {
        let expected = if named == kind { u64::from(QUARANTINE_FAULTS) } else { 0 };
        assert_eq!(*count, expected, "faults of {example} of the kind {named}");
    }
    assert!(quarantined, "{example} is not quarantined");
    assert_eq!(*orders, 0, "orders of {example}");
}

#[test]
fn spin_ends_in_the_fault_budget_and_in_quarantine() {
    ends_in("spin", "budget");
}

#[test]
fn grow_ends_in_the_fault_memory_and_in_quarantine() {
    ends_in("grow", "memory");
}

#[test]
fn trap_ends_in_the_fault_trap_and_in_quarantine() {
    ends_in("trap", "trap");
}

#[test]
fn flood_ends_in_the_fault_intents_sends_nothing_and_ends_in_quarantine() {
    ends_in("flood", "intents");
}

#[test]
fn bad_pointer_ends_in_the_fault_bad_pointer_and_in_quarantine() {
    ends_in("bad-pointer", "bad_pointer");
}

#[test]
fn a_strategy_beside_five_that_misbehave_sends_what_it_sends_alone() {
    let Some(outcome) = outcome() else { return };
    let [beside, alone] = &outcome.behaving;
    assert!(alone.len() > 1_000, "{} orders show nothing", alone.len());
    assert!(beside == alone, "{} orders beside the others, {} alone", beside.len(), alone.len());
    assert!(outcome.clean, "the process did not end as asked");
}
