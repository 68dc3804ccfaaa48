//! What does not fit: a pool whose pods are to be told more than a ConfigMap holds.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stage::{stage, strategy};

/// Instruments of a strategy: two of these strategies do not fit beside each other.
const INSTRUMENTS: usize = 6_000;

fn of_many_instruments(namespace: &str, name: &str) -> Value {
    let mut large = strategy(namespace, name);
    let instrument =
        |n| json!({"symbol": format!("S{n:05}"), "publisher": "binance-spot", "tick": "0.01", "lot": "0.00001"});
    large["spec"]["instruments"] = (0..INSTRUMENTS).map(instrument).collect();
    large
}

#[test]
fn a_pool_that_cannot_take_in_more_says_so_and_what_it_runs_goes_on_and_is_halted() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a"]);
    stage.cluster.create(&of_many_instruments(&desk, "b").to_string());
    let _ = stage.becomes(&desk, "strategy/b", "Ready", "True", "AsSpecified");
    stage.cluster.create(&of_many_instruments(&desk, "c").to_string());
    let message = stage.becomes(&desk, "runtimepool/default", "Ready", "False", "AssignmentTooLarge");
    assert!(message.contains("move strategies to another pool"), "{message}");
    for strategy in ["a", "b", "c"] {
        let message = stage.becomes(&desk, &format!("strategy/{strategy}"), "Ready", "False", "AssignmentTooLarge");
        assert!(message.contains("what ran before goes on"), "{message}");
    }
    let assigned = stage.pods.all(Some(&desk)).into_values().filter_map(|held| held.document);
    let names: BTreeSet<String> =
        assigned.flat_map(|document| document.strategies).map(|one| one.strategy.metadata.name).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    stage.halt(&desk, "a", "HALTED");
    stage.pods_have(&desk, "a", "HALTED");
    let _ = stage.cluster.ask(&["delete", "strategy", "c", "--namespace", &desk]);
    stage.halt(&desk, "a", "ACTIVE");
    stage.recovers(&desk, &["a", "b"]);
}
