//! The control plane misbehaves: refusals, late and lost answers, cut watches, injected by a proxy between the operator and the
//! apiserver. After each, everything converges, no lease was lost, no shard was two pods', and the steady state writes nothing.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_tests::bounds;
use pinion_tests::kube::{Call, Fault, Rule};
use pinion_tests::wait::until;
use serde_json::json;

use crate::stage::{STEP, module, stage, strategy};

const CONFLICT: Fault = Fault::Refuse(409, None);
const ERROR: Fault = Fault::Refuse(500, None);

fn seconds(seconds: u64) -> u64 {
    seconds * 1_000_000_000
}

/// Waits until so many requests more have met a fault.
fn met(stage: &crate::stage::Stage, before: usize, faults: usize) {
    until("requests to meet the fault", STEP, || (stage.proxy.faults() >= before + faults).then_some(()));
}

#[test]
fn a_conflict_on_the_assignment_is_decided_anew_and_gives_no_shard_twice() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a"]);
    let (before, conflicts) = (stage.proxy.faults(), stage.errors("write", "conflict"));
    stage.proxy.inject(Rule::new("PATCH", format!("/{desk}/configmaps/default-assignment"), 3, CONFLICT));
    stage.patch(&desk, "strategy/a", &json!({"spec": {"replicas": 2}}));
    met(stage, before, 3);
    until("two workers", STEP, || (stage.get(&desk, "strategy/a", "jsonpath={.status.workers}") == "2").then_some(()));
    assert!(stage.errors("write", "conflict") >= conflicts + 3.0);
    stage.recovers(&desk, &["a"]);
}

#[test]
fn conflicts_and_lost_answers_on_the_lease_cost_no_leadership() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a"]);
    let epoch = stage.operator.metric(&metrics::OPERATOR_EPOCH, &[]);
    for fault in [CONFLICT, Fault::LoseAnswer] {
        let before = stage.proxy.faults();
        stage.proxy.inject(Rule::new("PUT", "/leases/pinion-operator", 1, fault));
        met(stage, before, 1);
        let since_ns = mono_ns();
        until("three renewals more", STEP, || {
            assert_eq!(stage.operator.metric(&metrics::OPERATOR_LEADER, &[]), 1.0, "{fault:?}");
            let renewed = |call: &Call| call.method == "PUT" && call.is_lease() && call.status == Some(200);
            (stage.proxy.count_since(since_ns, renewed) >= 3).then_some(())
        });
    }
    assert_eq!(stage.operator.metric(&metrics::OPERATOR_EPOCH, &[]), epoch);
    stage.recovers(&desk, &["a"]);
}

#[test]
fn an_apiserver_that_asks_for_patience_is_left_alone_for_so_long_and_a_halt_passes_it_by() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a"]);
    let throttled = stage.errors("write", "throttled");
    let (before, since_ns) = (stage.proxy.faults(), mono_ns());
    stage.proxy.inject(Rule::new("PATCH", format!("/{desk}/"), 3, Fault::Refuse(429, Some(4))));
    stage.halt(&desk, "a", "HALTED");
    let halted_ns = mono_ns();
    stage.pods_have(&desk, "a", "HALTED");
    let halted = Duration::from_nanos(mono_ns() - halted_ns);
    met(stage, before, 3);
    stage.becomes(&desk, "strategy/a", "Halted", "True", "HaltedBySpec");
    let calls = stage.proxy.calls();
    let writes: Vec<&Call> = calls.iter().filter(|call| call.at_ns >= since_ns && call.is_write()).collect();
    for refused in writes.iter().filter(|call| call.status == Some(429)) {
        let refused_ns = refused.answered_ns.unwrap();
        let early = writes.iter().find(|call| call.at_ns > refused_ns && call.at_ns < refused_ns + seconds(4));
        assert!(early.is_none(), "asked to wait 4 s at {refused_ns}, and then {early:?}");
    }
    assert!(stage.errors("write", "throttled") >= throttled + 3.0);
    assert_eq!(stage.operator.metric(&metrics::OPERATOR_LEADER, &[]), 1.0);
    bounds::takes_less("halt in the pods while the apiserver asks for patience", halted, Duration::from_secs(4));
    stage.halt(&desk, "a", "ACTIVE");
    stage.pods_have(&desk, "a", "ACTIVE");
    stage.recovers(&desk, &["a"]);
}

#[test]
fn errors_are_tried_again_after_growing_pauses_and_leases_are_kept_meanwhile() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let (desk, other) = (stage.onboard(&["a"]), stage.onboard(&["b"]));
    let (since_ns, errors) = (mono_ns(), stage.errors("write", "server"));
    stage.proxy.inject(Rule::new("PATCH", format!("/{desk}/"), usize::MAX, ERROR));
    stage.patch(&desk, "strategy/a", &json!({"spec": {"params": {"n": "1"}}}));
    // Longer than the lease, and still the operator's writes fail.
    until("a time in which leases would have run out", STEP, || (mono_ns() > since_ns + seconds(26)).then_some(()));
    let refused: Vec<u64> = stage
        .proxy
        .calls()
        .iter()
        .filter(|call| call.at_ns >= since_ns && call.status == Some(500))
        .map(|call| call.at_ns)
        .collect();
    assert_eq!(stage.errors("write", "server") - errors, f64::from(u32::try_from(refused.len()).unwrap()));
    let pauses: Vec<Duration> = refused.windows(2).map(|two| Duration::from_nanos(two[1] - two[0])).collect();
    println!("  pauses: {pauses:.1?}");
    // A machine that is slow makes them longer.
    let least = (0..).map(|n| Duration::from_millis(200) * 2_u32.pow(n));
    assert!(pauses.iter().zip(least).all(|(pause, least)| *pause >= least), "{pauses:?}");
    assert!(pauses.len() >= 4, "{pauses:?}");
    bounds::at_most("writes tried in 26 s of errors", refused.len(), 9, "");
    // The others notice nothing.
    stage.halt(&other, "b", "HALTED");
    stage.pods_have(&other, "b", "HALTED");
    stage.becomes(&other, "strategy/b", "Halted", "True", "HaltedBySpec");
    let spare = stage.pods.all(Some(&desk)).into_values().filter_map(|held| held.spare).min().unwrap();
    bounds::shown("lease of 20 s left at its latest renewal while writes fail", format!("{spare:.1?}"));
    stage.halt(&other, "b", "ACTIVE");
    stage.pods_have(&other, "b", "ACTIVE");
    stage.recovers(&desk, &["a"]);
    let params = |held: &pinion_tests::model_pods::Held| {
        let document = held.document.as_ref()?;
        document.strategies.first()?.strategy.spec.params.get("n").cloned()
    };
    until("the new params in a pod", STEP, || {
        stage.pods.all(Some(&desk)).values().any(|held| params(held).as_deref() == Some("1")).then_some(())
    });
}

#[test]
fn a_watch_that_is_cut_in_mid_event_or_told_that_its_past_is_gone_misses_no_change() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a", "b"]);
    let watch = |fault| Rule::new("GET", "/apis/pinion.dev/v1alpha1/strategies?", 1, fault).and("watch=true");

    let before = stage.proxy.faults();
    stage.proxy.inject(watch(Fault::CutEvent));
    stage.proxy.cut("/strategies?");
    met(stage, before, 1);
    stage.halt(&desk, "a", "HALTED");
    stage.pods_have(&desk, "a", "HALTED");

    let before = stage.proxy.faults();
    stage.proxy.inject(watch(Fault::Gone));
    stage.proxy.cut("/strategies?");
    met(stage, before, 1);
    // What is gone while nobody watches is told by no event.
    let _ = stage.cluster.ask(&["delete", "strategy", "b", "--namespace", &desk]);
    stage.halt(&desk, "a", "ACTIVE");
    stage.pods_have(&desk, "a", "ACTIVE");
    until("the deleted strategy out of the pods", STEP, || {
        let runs = stage.pods.all(Some(&desk)).into_values().any(|held| {
            held.document.is_some_and(|held| held.strategies.iter().any(|one| one.strategy.metadata.name == "b"))
        });
        (!runs).then_some(())
    });
    assert!(
        stage.errors("watch", "no_answer") + stage.errors("watch", "refused") + stage.errors("watch", "server") > 0.0
    );
    stage.recovers(&desk, &["a"]);
}

#[test]
fn a_write_whose_answer_is_lost_is_done_once_and_its_halt_holds() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a"]);
    let revision = || {
        let held = stage.pods.all(Some(&desk)).into_values().filter_map(|held| held.document);
        held.map(|document| document.version.revision).max().unwrap()
    };
    let (before, first, lost) = (stage.proxy.faults(), revision(), stage.errors("write", "no_answer"));
    stage.proxy.inject(Rule::new("PATCH", format!("/{desk}/configmaps/default-assignment"), 1, Fault::LoseAnswer));
    stage.halt(&desk, "a", "HALTED");
    met(stage, before, 1);
    stage.becomes(&desk, "strategy/a", "Halted", "True", "HaltedBySpec");
    stage.pods_have(&desk, "a", "HALTED");
    assert_eq!(revision(), first + 1, "one change, one revision");
    assert!(stage.errors("write", "no_answer") > lost);

    // The same with what is made anew: a pool's token.
    let before = stage.proxy.faults();
    let other = pinion_tests::kube::Cluster::unique_name("desk");
    stage.proxy.inject(Rule::new("POST", format!("/{other}/secrets"), 1, Fault::LoseAnswer));
    stage.cluster.apply(&crate::stage::tenant(&other).to_string());
    stage.becomes(&other, &format!("tenant/{other}"), "Ready", "True", "AsSpecified");
    let pool = crate::stage::pool(&other, 1, 1, None);
    stage.cluster.apply(&crate::stage::together(&[pool, module(&other, "module-1"), strategy(&other, "c")]));
    met(stage, before, 1);
    stage.becomes(&other, "strategy/c", "Ready", "True", "AsSpecified");
    assert_eq!(stage.get(&other, "secrets", "name").lines().filter(|name| name.contains("admin-token")).count(), 1);
    stage.recovers(&desk, &["a"]);
}

#[test]
fn an_answer_that_comes_after_the_end_of_its_object_brings_nothing_back() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a", "b"]);
    let runs = || {
        stage.pods.all(Some(&desk)).into_values().any(|held| {
            held.document.is_some_and(|held| held.strategies.iter().any(|one| one.strategy.metadata.name == "b"))
        })
    };
    let before = stage.proxy.faults();
    let late = Fault::LateAnswer(Duration::from_secs(3));
    stage.proxy.inject(Rule::new("PATCH", format!("/{desk}/strategies/b/status"), 1, late));
    stage.halt(&desk, "b", "HALTED");
    met(stage, before, 1);
    let _ = stage.cluster.ask(&["delete", "strategy", "b", "--namespace", &desk]);
    until("the answer", STEP, || {
        let calls = stage.proxy.calls();
        calls.iter().rev().find(|call| call.fault == Some(late)).and_then(|call| call.answered_ns)
    });
    until("the deleted strategy out of the pods", STEP, || (!runs()).then_some(()));
    stage.recovers(&desk, &["a"]);
    assert!(!runs(), "it is back");
}

#[test]
fn an_apiserver_that_takes_seconds_over_each_write_costs_no_lease() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let desk = stage.onboard(&names);
    let before = stage.proxy.faults();
    // One after another, these would take longer than the lease.
    let late = Fault::LateAnswer(Duration::from_secs(3));
    stage.proxy.inject(Rule::new("PATCH", format!("/{desk}/"), usize::MAX, late));
    stage.patch(&desk, &format!("tenant/{desk}"), &json!({"spec": {"suspended": true}}));
    let since_ns = mono_ns();
    for name in names {
        stage.becomes(&desk, &format!("strategy/{name}"), "Halted", "True", "TenantSuspended");
    }
    met(stage, before, names.len());
    bounds::takes_less(
        "8 statuses at 3 s a write",
        Duration::from_nanos(mono_ns() - since_ns),
        Duration::from_secs(24),
    );
    stage.proxy.heal();
    stage.patch(&desk, &format!("tenant/{desk}"), &json!({"spec": {"suspended": false}}));
    stage.recovers(&desk, &names);
}

#[test]
fn a_module_that_cannot_be_read_takes_nothing_away_and_the_condition_says_why_it_is_not_there() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let desk = stage.onboard(&["a"]);
    let running = || stage.get(&desk, "strategy/a", "jsonpath={.status.module.running}");
    let first = running();
    let errors = stage.errors("read", "server");
    stage.proxy.inject(Rule::new("GET", format!("/{desk}/configmaps/"), usize::MAX, ERROR));
    stage.cluster.apply(&module(&desk, "module-2").to_string());
    let source = json!({"spec": {"module": {"configMap": {"name": "module-2", "key": "module.wasm"}}}});
    stage.patch(&desk, "strategy/a", &source);
    let message = stage.becomes(&desk, "strategy/a", "Ready", "False", "ApiError");
    assert!(message.contains("what ran before goes on"), "{message}");
    assert_eq!(running(), first);
    assert!(stage.errors("read", "server") > errors);
    // A strategy that has never run is not there, and says so; the others go on.
    let mut new = strategy(&desk, "b");
    new["spec"]["module"] = source["spec"]["module"].clone();
    stage.cluster.apply(&new.to_string());
    stage.becomes(&desk, "strategy/b", "Ready", "False", "ApiError");
    stage.halt(&desk, "a", "HALTED");
    stage.pods_have(&desk, "a", "HALTED");
    stage.halt(&desk, "a", "ACTIVE");
    stage.recovers(&desk, &["a", "b"]);
    until("the new module", STEP, || (running() != first).then_some(()));
    stage.recovers(&desk, &["a", "b"]);
}
