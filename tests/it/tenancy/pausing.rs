//! What runs is stopped and goes on: one strategy by `paused`, a whole tenant by `suspended`.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_tests::bounds;
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::json;

use super::{desk, let_go, read};
use crate::desk::{Desk, STEP, Watch, becomes, pool, reachable_pods, setup};

/// From the apiserver's acceptance to the last worker.
const HALT: Duration = Duration::from_millis(200);

#[test]
fn a_pause_drains_and_a_resumption_goes_on_at_the_committed_offset_with_no_order_lost_or_doubled() {
    let Some(mut desk) = desk() else { return };
    desk.onboard(2);
    let pods = [desk.stand_in(0), desk.stand_in(1)];
    desk.strategy.spec.replicas = 2;
    desk.deploy();
    desk.is_ready();
    desk.produce(8_000);
    // In mid-stream.
    desk.patch("strategy/record-only", &json!({"spec": {"paused": true}}));
    let mut watch = Watch::start();
    pods.iter().for_each(let_go);
    watch.lap("paused and drained, in mid-stream");
    let message = becomes(desk.cluster, &desk.name, "strategy/record-only", "Ready", "False", "Paused");
    assert!(message.contains("spec.paused"), "{message}");

    let (broker, group, market) = (desk.broker, desk.strategy.group(), desk.strategy.spec.inputs[0].topic.clone());
    let committed = || broker.committed(&group, &market);
    let (before, (ids, repeats)) = (committed(), desk.ids());
    assert_eq!(repeats, 0);
    println!("committed at the pause: {before:?}, {} orders", ids.len());
    let records = || -> f64 { pods.iter().filter_map(|pod| pod.runtime.metric(&metrics::RECORDS, &[])).sum() };
    let read_before = records();
    desk.produce(4_000);
    let rounds = &super::stage().unwrap().operator;
    let done = || rounds.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "done")]);
    let from = done();
    until("rounds to pass", STEP, || (done() >= from + 10.0).then_some(()));
    assert_eq!(
        (records(), committed(), desk.ids().0.len()),
        (read_before, before, ids.len()),
        "something was consumed in the pause"
    );

    desk.patch("strategy/record-only", &json!({"spec": {"paused": false}}));
    desk.is_ready();
    watch.lap("resumed");
    desk.committed();
    let (ids, repeats) = desk.ids();
    assert_eq!((ids.into_keys().collect::<Vec<_>>(), repeats), (desk.laptop(), 0));
    let previous = read(desk.cluster, &desk.name, "strategy/record-only", "{.status.module.running}");
    assert_eq!(previous.len(), 64);
}

#[test]
fn a_suspended_tenant_is_halted_within_200_ms_and_stays_so_over_restarts_of_operator_and_pods() {
    if !reachable_pods() {
        return;
    }
    // The operator is killed.
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let (Some(mut desk), Some(mut other)) = (Desk::new(&cluster, broker), Desk::new(&cluster, broker)) else { return };
    let operator = Operator::start(&cluster, "op-a");
    let proxy = cluster.proxy();
    for desk in [&mut desk, &mut other] {
        let mut pool = pool(&desk.name, 2);
        // Longer than a new leader takes.
        pool["spec"]["leaseSeconds"] = json!(40);
        desk.onboard_with(&pool);
        desk.strategy.spec.replicas = 2;
    }
    let mut pods = vec![desk.stand_in(0), desk.stand_in(1)];
    let others = [other.stand_in(0), other.stand_in(1)];
    for desk in [&desk, &other] {
        desk.deploy();
        desk.is_ready();
    }
    let path = format!("/apis/pinion.dev/v1alpha1/tenants/{}", desk.name);
    let suspend = |suspended: bool| proxy.merge(&path, &json!({"spec": {"suspended": suspended}}));
    let name = desk.name.clone();
    let all = |pods: &[StandIn], state: &str| {
        let labels = [("tenant", name.as_str()), ("state", state)];
        pods.iter().all(|pod| pod.runtime.metric(&metrics::STRATEGY_STATE, &labels) == Some(1.0)).then_some(())
    };
    let mut took = Vec::new();
    for _ in 0..5 {
        let accepted = suspend(true);
        until("the halt in both pods", STEP, || all(&pods, "HALTED"));
        took.push(Duration::from_nanos(mono_ns() - accepted));
        let _ = suspend(false);
        until("the end of the halt", STEP, || all(&pods, "ACTIVE"));
        desk.is_ready();
    }
    took.sort();
    println!("suspended, from the apiserver's answer to the last worker as polled: {took:?}");
    bounds::takes_less("suspension, from the apiserver's answer to the last worker, median", took[2], HALT);

    let _ = suspend(true);
    becomes(&cluster, &desk.name, "strategy/record-only", "Halted", "True", "TenantSuspended");
    until("the halt in both pods", STEP, || all(&pods, "HALTED"));
    operator.kill9();
    let lost = pods.remove(0);
    lost.runtime.kill9();
    let operator = Operator::start(&cluster, "op-b");
    // As a pod that comes anew: with nothing on its disk.
    pods.push(desk.stand_in(0));
    until("the pod to be halted from its first document on", STEP, || all(&pods, "HALTED"));
    let spec = json!({"spec": {"tradingState": "ACTIVE", "params": desk.strategy.spec.params}});
    desk.patch("strategy/record-only", &spec);
    desk.is_ready();
    desk.produce(4_000);
    desk.committed();
    assert_eq!(desk.ids().0.len(), 0, "an order of a suspended tenant");
    assert!(others.iter().all(|pod| other.state_is(pod, "ACTIVE")), "another tenant was halted");

    let _ = suspend(false);
    until("the end of the halt", STEP, || all(&pods, "ACTIVE"));
    becomes(&cluster, &desk.name, "strategy/record-only", "Halted", "False", "AsSpecified");
    desk.produce(4_000);
    desk.committed();
    assert!(desk.ids().0.len() > 100, "orders come again");
    drop(operator);
}
