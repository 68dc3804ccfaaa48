//! What can be said of a strategy: each finding with its weight and what to do.

use std::collections::BTreeMap;

use pinion_runtime::sandbox::Callbacks;
use pinion_spec::strategy::{Encoding, Strategy};
use serde::Serialize;

use super::seen::{Cost, Seen};
use crate::time::duration;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Weight {
    /// It will run, perhaps not as its author thinks.
    Warning,
    /// It will not be taken, or not hold its limits.
    Failure,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    /// What is wrong, and what to do.
    pub(super) text: String,
}

/// What the sample run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) events: u64,
    pub(super) orders: u64,
    pub(super) denied: BTreeMap<&'static str, u64>,
    /// Kind, and the sandbox's own words of the first.
    pub(super) faults: BTreeMap<&'static str, (u64, String)>,
}

/// Which callbacks an encoding never causes: what it wants of them never comes.
const ONLY_OF: [(Callbacks, &str, &[Encoding]); 3] = [
    (Callbacks::ORDER, "on-order beyond denials", &[Encoding::PinionExecution]),
    (Callbacks::FILL, "on-fill", &[Encoding::PinionExecution]),
    (Callbacks::POSITION, "on-position", &[Encoding::PinionExecution]),
];

/// Of fewer calls the percentile is the longest, and that may be the machine's: what ran over its CPU time has faulted.
const PERCENTILE_CALLS: u64 = 100;

/// Memory that is left under the cap is less than this share of it.
const MEMORY_SPARE: u64 = 10;

/// All findings, failures first.
pub(super) fn findings(strategy: &Strategy, seen: &Seen, costs: &[Cost], ran: &Ran) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |weight, text: String| findings.push(Finding { weight, text });
    let budget = &strategy.spec.budget;
    let budget_ns = u64::from(budget.call_micros) * 1_000;
    for (kind, (count, first)) in &ran.faults {
        say(Weight::Failure, format!("{count} faults of kind {kind}; the first: {first}"));
    }
    for cost in costs.iter().filter(|cost| !matches!(cost.callback, "on-start" | "on-stop")) {
        let Cost { callback, calls, p99_ns, max_ns, .. } = cost;
        if *p99_ns > budget_ns && *calls >= PERCENTILE_CALLS {
            say(
                Weight::Failure,
                format!(
                    "{callback} takes {} at p99, over its budget of {} of CPU (budget.callMicros)",
                    duration(*p99_ns),
                    duration(budget_ns)
                ),
            );
        } else if *max_ns > budget_ns / 2 {
            say(
                Weight::Warning,
                format!(
                    "{callback} took {} once, waits for a core included: more than half of its budget of {} of CPU (budget.callMicros)",
                    duration(*max_ns),
                    duration(budget_ns)
                ),
            );
        }
        let most = budget.intents_per_call as usize;
        if cost.intents_max * 2 > most {
            let intents = cost.intents_max;
            say(
                Weight::Warning,
                format!(
                    "{callback} asked for {intents} things at once, more than half of budget.intentsPerCall ({most})"
                ),
            );
        }
    }
    let cap = u64::from(budget.memory_mib) << 20;
    let used = seen.memory_bytes_max as u64;
    if cap.saturating_sub(used) < cap / MEMORY_SPARE {
        say(Weight::Warning, format!("it used {used} bytes of memory, close to its cap of {cap} (budget.memoryMiB)"));
    }
    for (callbacks, name, encodings) in ONLY_OF {
        let reads = strategy.spec.inputs.iter().any(|input| encodings.contains(&input.encoding));
        if seen.wants.wants(callbacks) && !reads {
            say(
                Weight::Warning,
                format!(
                    "it wants {name}, and no input says what became of orders: add one with encoding pinion-execution"
                ),
            );
        }
    }
    if seen.wants.0 == 0 && seen.bars == 0 {
        say(Weight::Warning, "it wants no callback: it will never be called with anything".to_owned());
    }
    if ran.events > 0 && costs.iter().all(|cost| matches!(cost.callback, "on-start" | "on-stop")) {
        say(
            Weight::Warning,
            "nothing of the sample was for it: do its instruments and publishers name what the data holds?".to_owned(),
        );
    }
    let denied: u64 = ran.denied.values().sum();
    if denied > ran.orders {
        let most = ran.denied.iter().max_by_key(|(_, count)| **count).map_or("", |(reason, _)| reason);
        say(Weight::Warning, format!("{denied} of its intents were denied and {} passed; most by {most}", ran.orders));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: pinion.dev/v1alpha1\nkind: Strategy\nmetadata: {name: a}\nspec:\n  module: {file: a.wasm}\n  outputs: {orders: {topic: o}}\n  inputs:\n    - {topic: md, encoding: binance-spot}\n  budget: {callMicros: 100, memoryMiB: 16, intentsPerCall: 10}\n";

    fn strategy() -> Strategy {
        pinion_spec::parse(FILE, "a.yaml").unwrap().remove(0)
    }

    fn cost(p99_ns: u64, max_ns: u64, intents_max: usize) -> Cost {
        Cost { callback: "on-quote", calls: 100, p50_ns: 1, p99_ns, max_ns, intents_max }
    }

    fn texts(seen: &Seen, costs: &[Cost], ran: &Ran) -> Vec<(Weight, String)> {
        findings(&strategy(), seen, costs, ran).into_iter().map(|found| (found.weight, found.text)).collect()
    }

    fn wanting(callbacks: Callbacks) -> Seen {
        Seen { wants: callbacks, memory_bytes_max: 1 << 20, ..Seen::default() }
    }

    #[test]
    fn a_strategy_that_holds_its_limits_is_told_nothing() {
        assert_eq!(texts(&wanting(Callbacks::QUOTE), &[cost(1_000, 2_000, 1)], &Ran::default()), []);
    }

    #[test]
    fn what_is_over_a_budget_fails_and_what_is_near_one_warns() {
        let found = texts(&wanting(Callbacks::QUOTE), &[cost(100_001, 100_001, 6)], &Ran::default());
        assert_eq!(found.iter().map(|(weight, _)| *weight).collect::<Vec<_>>(), [Weight::Failure, Weight::Warning]);
        assert!(found[0].1.contains("budget.callMicros") && found[1].1.contains("budget.intentsPerCall"), "{found:?}");
        let few = Cost { calls: 99, ..cost(100_001, 100_001, 0) };
        assert_eq!(texts(&wanting(Callbacks::QUOTE), &[few], &Ran::default())[0].0, Weight::Warning);
        let near = texts(&wanting(Callbacks::QUOTE), &[cost(1_000, 50_001, 0)], &Ran::default());
        assert_eq!((near.len(), near[0].0), (1, Weight::Warning));
        let full = Seen { memory_bytes_max: 15 << 20, ..wanting(Callbacks::QUOTE) };
        assert!(texts(&full, &[cost(1, 1, 0)], &Ran::default())[0].1.contains("budget.memoryMiB"));
    }

    #[test]
    fn a_fault_fails_with_its_kind_and_the_guests_own_words() {
        let faults = BTreeMap::from([("trap", (3, "division by zero".to_owned()))]);
        let found = texts(&wanting(Callbacks::QUOTE), &[cost(1, 1, 0)], &Ran { faults, ..Ran::default() });
        assert_eq!(found, [(Weight::Failure, "3 faults of kind trap; the first: division by zero".to_owned())]);
    }

    #[test]
    fn what_a_strategy_wants_and_never_gets_is_told() {
        let found = texts(&wanting(Callbacks::FILL), &[cost(1, 1, 0)], &Ran::default());
        assert!(found[0].1.contains("on-fill") && found[0].1.contains("pinion-execution"), "{found:?}");
        assert!(texts(&wanting(Callbacks(0)), &[cost(1, 1, 0)], &Ran::default())[0].1.contains("no callback"));
        let ran = Ran { events: 5, ..Ran::default() };
        assert!(texts(&wanting(Callbacks::QUOTE), &[], &ran)[0].1.contains("nothing of the sample"));
    }
}
