//! A halt reaches every pod that can be reached, at once, whatever other pods do; and it lasts.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_tests::bounds;
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Proxy, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::json;

use crate::desk::{Desk, STEP, becomes, pool, reachable_pods, setup};

/// The bound on a halt, from the apiserver's acceptance to every worker that can be reached.
const HALT_MAX: Duration = Duration::from_millis(200);

/// How often it is measured.
const HALTS: usize = 8;

/// Sets the trading state; when that had been sent and when it had been accepted, monotonic ns.
fn set(gate: &Proxy, desk: &Desk<'_>, state: &str) -> (u64, u64) {
    let path = format!("/apis/pinion.dev/v1alpha1/namespaces/{}/strategies/record-only", desk.name);
    let sent = mono_ns();
    let accepted = gate.merge(&path, &json!({"spec": {"tradingState": state}}));
    (sent, accepted)
}

fn desk<'a>(cluster: &'a Cluster, broker: &'static Broker) -> Option<Desk<'a>> {
    let mut desk = Desk::new(cluster, broker)?;
    desk.strategy.spec.replicas = 2;
    // A lease so long that no shard moves while a pod hangs.
    let mut pool = pool(&desk.name, 2);
    (pool["spec"]["maxPods"], pool["spec"]["leaseSeconds"]) = (2.into(), 600.into());
    desk.onboard_with(&pool);
    Some(desk)
}

#[test]
fn a_pod_that_hangs_delays_the_halt_of_no_other() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let operator = Operator::start(&cluster, "op-a");
    let Some(mut desk) = desk(&cluster, broker) else { return };
    let (healthy, hung) = (desk.stand_in(0), desk.stand_in(1));
    desk.deploy();
    desk.is_ready();
    desk.produce(2_000);
    desk.committed();
    let gate = cluster.proxy();
    let measure = |state: &str| {
        let (sent, accepted) = set(&gate, &desk, state);
        until(state, STEP, || desk.state_is(&healthy, state).then_some(()));
        let there = mono_ns();
        (Duration::from_nanos(there - sent), Duration::from_nanos(there.saturating_sub(accepted)))
    };
    let mut worst = Duration::ZERO;
    let mut halt = |what: &str| {
        let (sent, accepted) = measure("HALTED");
        println!("{what}: halted {accepted:?} after its acceptance, {sent:?} after it was sent");
        assert!(accepted < HALT_MAX, "{what}: {accepted:?}");
        worst = worst.max(accepted);
        measure("ACTIVE");
    };
    for _ in 0..HALTS {
        halt("both pods answer");
    }
    hung.runtime.freeze();
    for _ in 0..HALTS {
        // The first finds it hanging for the first time.
        halt("one pod hangs");
        // Rounds in which it is asked in vain go by.
        let rounds = || operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "done")]);
        let before = rounds();
        until("rounds go on while a pod hangs", STEP, || (rounds() >= before + 2.0).then_some(()));
    }
    bounds::takes_less("halt, the slowest of many, half of them beside a pod that hangs", worst, HALT_MAX);
}

#[test]
fn a_halt_outlasts_the_pods_and_the_operator() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let operator = Operator::start(&cluster, "op-a");
    let Some(mut desk) = desk(&cluster, broker) else { return };
    let (kept, fresh) = (desk.stand_in(0), desk.stand_in(1));
    desk.deploy();
    desk.is_ready();
    desk.produce(2_000);
    desk.committed();
    let orders = desk.ids().0.len();
    assert!(orders > 0);
    desk.patch("strategy/record-only", &json!({"spec": {"tradingState": "HALTED"}}));
    let halted = |pods: &[&StandIn]| {
        until("the halt", STEP, || pods.iter().all(|pod| desk.state_is(pod, "HALTED")).then_some(()));
    };
    halted(&[&kept, &fresh]);

    // A pod whose process begins anew without an operator has the halt from its own disk.
    operator.kill9();
    let kept = kept.kill9_and_restart(broker);
    halted(&[&kept]);
    // An operator that begins anew does not lift it, and one pod that has lost its disk has it from there.
    drop(fresh);
    let second = Operator::start(&cluster, "op-b");
    until("the next to lead", STEP, || (second.metric(&metrics::OPERATOR_LEADER, &[]) == 1.0).then_some(()));
    let fresh = desk.stand_in(1);
    halted(&[&kept, &fresh]);
    desk.is_ready();
    desk.produce(4_000);
    desk.committed();
    assert_eq!(desk.ids().0.len(), orders, "an order after the halt");
    becomes(&cluster, &desk.name, "strategy/record-only", "Halted", "True", "HaltedBySpec");

    desk.patch("strategy/record-only", &json!({"spec": {"tradingState": "ACTIVE"}}));
    until("the end of the halt", STEP, || [&kept, &fresh].iter().all(|pod| desk.state_is(pod, "ACTIVE")).then_some(()));
    desk.produce(2_000);
    desk.committed();
    assert!(desk.ids().0.len() > orders, "orders come again");
}
