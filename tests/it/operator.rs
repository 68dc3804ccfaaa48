//! The operator on a real control plane, with a real Kafka; kwok's pods are stood in for by real runtimes.

use std::time::Duration;

use pinion_spec::metrics;
use pinion_tests::bounds;
use pinion_tests::captures::project_root;
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::runtime::is_clean;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::json;

use crate::desk::{Desk, STEP, Watch, becomes, reachable_pods, setup};

/// Server-side applies that the apiserver has had: only the operator sends any.
fn server_side_applies(cluster: &Cluster) -> f64 {
    let text = cluster.ask(&["get", "--raw", "/metrics"]);
    let applies =
        text.lines().filter(|line| line.starts_with("apiserver_request_total{") && line.contains("verb=\"APPLY\""));
    let counts: Vec<f64> = applies.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
    assert!(!counts.is_empty(), "the apiserver counts no server-side apply");
    counts.iter().sum()
}

#[test]
fn a_strategy_comes_from_nothing_to_the_orders_of_a_laptop_and_halts_and_goes_without_a_trace() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let operator = Operator::start(&cluster, "op-a");
    let mut watch = Watch::start();
    desk.onboard(2);
    watch.lap("tenant Ready");
    let pods = [desk.stand_in(0), desk.stand_in(1)];
    watch.lap("pods there");
    desk.strategy.spec.replicas = 2;
    desk.deploy();
    desk.is_ready();
    watch.lap("strategy Ready");

    desk.produce(8_000);
    desk.committed();
    let read = |pod: &StandIn| pod.runtime.count(&metrics::RECORDS, &[]);
    assert!(pods.iter().all(|pod| read(pod) > 0), "both pods read");
    watch.lap("8,000 records");

    let steady = |operator: &Operator| operator.metric(&metrics::OPERATOR_WRITES, &[]);
    let rounds = |more: f64| {
        let done = || operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "done")]);
        let from = done();
        until("more rounds", STEP, || (done() >= from + more).then_some(()));
    };
    // The status shows orders a second, which take two readings of the pods to become 0.
    let calm = until("rounds without a write", STEP, || {
        let before = steady(&operator);
        rounds(6.0);
        (steady(&operator) == before).then_some(before)
    });
    let asked = server_side_applies(&cluster);
    rounds(10.0);
    assert_eq!(steady(&operator), calm, "a round in which nothing has changed writes nothing");
    assert_eq!(server_side_applies(&cluster), asked, "the apiserver says so too");
    watch.lap("ten rounds without a write");

    desk.patch("strategy/record-only", &json!({"spec": {"tradingState": "HALTED"}}));
    let mut halt = Watch::start();
    until("the halt in both pods", STEP, || pods.iter().all(|pod| desk.state_is(pod, "HALTED")).then_some(()));
    halt.lap("halted, from kubectl's end");
    let before = desk.ids().0.len();
    desk.produce(4_000);
    desk.committed();
    assert_eq!(desk.ids().0.len(), before, "an order after the halt");
    becomes(&cluster, &desk.name, "strategy/record-only", "Halted", "True", "HaltedBySpec");
    desk.patch("strategy/record-only", &json!({"spec": {"tradingState": "ACTIVE"}}));
    until("the end of the halt", STEP, || pods.iter().all(|pod| desk.state_is(pod, "ACTIVE")).then_some(()));

    watch = Watch::start();
    let _ = cluster.ask(&["delete", "networkpolicy", "default-deny", "--namespace", &desk.name]);
    let grace = ["patch", "resourcequota", "pinion", "--namespace", &desk.name, "--type=merge", "--patch"];
    let _ = cluster.ask(&[&grace[..], &[r#"{"spec":{"hard":{"requests.cpu":"99"}}}"#]].concat());
    let get = |what: &str, path: &str| {
        let output = cluster.kubectl(&["get", "--namespace", &desk.name, what, "--output", path]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    until("what was deleted to be back", STEP, || {
        get("networkpolicy/default-deny", "name").contains("default-deny").then_some(())
    });
    until("what was changed to be back", STEP, || {
        (get("resourcequota/pinion", "jsonpath={.spec.hard.requests\\.cpu}") == "16").then_some(())
    });
    watch.lap("drift repaired");

    let _ = cluster.ask(&["delete", "tenant", &desk.name, "--wait=false"]);
    until("the namespace to be gone or going", STEP, || {
        let phase = get(&format!("namespace/{}", desk.name), "jsonpath={.status.phase}");
        (phase != "Active").then_some(())
    });
    watch.lap("tenant drained and deleted");
    assert!(pods.iter().all(|pod| pod.runtime.metric(&metrics::STRATEGY_STATE, &[]).is_none_or(|sum| sum == 0.0)));
    drop(pods);
    assert!(is_clean(operator.sigterm_and_wait()));
}

#[test]
fn the_orders_of_a_cluster_are_those_of_a_laptop() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let _operator = Operator::start(&cluster, "op-a");
    desk.onboard(2);
    let _pods = [desk.stand_in(0), desk.stand_in(1)];
    desk.deploy();
    desk.is_ready();
    let mut watch = Watch::start();
    desk.produce(8_000);
    // One worker more, in mid-stream, and back: shards move to the second pod and return.
    desk.patch("strategy/record-only", &json!({"spec": {"replicas": 2}}));
    let workers = |n: &str| {
        let path = ["get", "--namespace", &desk.name, "strategy/record-only", "--output", "jsonpath={.status.workers}"];
        (cluster.ask(&path) == n).then_some(())
    };
    until("two workers", STEP, || workers("2"));
    desk.is_ready();
    watch.lap("1 → 2 workers");
    desk.produce(8_000);
    desk.patch("strategy/record-only", &json!({"spec": {"replicas": 1}}));
    until("one worker", STEP, || {
        let path = ["get", "--namespace", &desk.name, "strategy/record-only", "--output", "jsonpath={.status.workers}"];
        (cluster.ask(&path) == "1").then_some(())
    });
    desk.is_ready();
    watch.lap("2 → 1 workers");
    desk.produce(8_000);
    desk.committed();
    let (ids, repeats) = desk.ids();
    assert_eq!(repeats, 0, "each move was announced, so nothing is read twice");
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), desk.laptop());
}

#[test]
fn a_release_that_faults_on_probation_is_rolled_back_by_itself() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let operator = Operator::start(&cluster, "op-a");
    desk.onboard(1);
    let _pod = desk.stand_in(0);
    desk.deploy();
    desk.is_ready();
    desk.produce(400);
    desk.committed();
    let before = desk.ids().0.len();
    assert!(before > 0);

    let trap = project_root().join("strategies-examples/misbehaving/trap.wasm");
    let module = format!("--from-file=module.wasm={}", trap.display());
    let _ = cluster.ask(&["create", "configmap", "record-only-2", "--namespace", &desk.name, &module]);
    let source = json!({"spec": {"module": {"configMap": {"name": "record-only-2", "key": "module.wasm"}}}});
    let name = desk.name.clone();
    let running = || {
        cluster.ask(&["get", "strategy/record-only", "--namespace", &name, "-o", "jsonpath={.status.module.running}"])
    };
    let first = running();
    desk.patch("strategy/record-only", &source);
    until("the new release to be assigned", STEP, || (running() != first).then_some(()));
    desk.is_ready();
    desk.produce(40);
    let mut watch = Watch::start();
    let message = becomes(&cluster, &desk.name, "strategy/record-only", "RolledBack", "True", "ProbationFailed");
    watch.lap("rolled back, from the first record");
    assert!(message.contains("faulted on probation"), "{message}");
    until("the release before to run", STEP, || (running() == first).then_some(()));
    desk.is_ready();
    assert_eq!(operator.metric(&metrics::OPERATOR_ROLLBACKS, &[]), 1.0);
    let events = cluster.ask(&["get", "events", "--namespace", &desk.name]);
    assert!(events.contains("RolledBack"), "{events}");
    desk.produce(4_000);
    desk.committed();
    assert!(desk.ids().0.len() > before, "orders come again");
}

#[test]
fn a_pod_that_is_killed_loses_its_shards_after_its_lease_and_no_order_is_lost() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let _operator = Operator::start(&cluster, "op-a");
    desk.strategy.spec.replicas = 2;
    desk.onboard(2);
    let (kept, lost) = (desk.stand_in(0), desk.stand_in(1));
    desk.deploy();
    desk.is_ready();
    desk.produce(8_000);
    let mut watch = Watch::start();
    lost.runtime.kill9();
    desk.produce(8_000);
    desk.committed();
    watch.lap("from the pod's loss to all records done by the other, lease 6 s");
    assert!(is_clean(kept.runtime.sigterm_and_wait()));
    let (ids, _) = desk.ids();
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), desk.laptop());
}

#[test]
fn a_forbidden_topic_is_refused_with_a_clear_condition_and_nothing_half_made() {
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Api)), Broker::shared()) else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let _operator = Operator::start(&cluster, "op-a");
    desk.onboard(1);
    desk.strategy.spec.inputs[0].topic = "desk-9.md".into();
    desk.apply_strategy();
    let message = becomes(&cluster, &desk.name, "strategy/record-only", "Ready", "False", "TopicForbidden");
    assert!(message.contains("spec.inputs[0].topic") && message.contains("desk-9.md"), "{message}");
    let assignment = until("the assignment", STEP, || {
        let map = ["get", "--namespace", &desk.name, "configmap/default-assignment", "--output", "jsonpath={.data}"];
        let output = cluster.kubectl(&map);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert!(!assignment.contains("desk-9.md"), "{assignment}");
}

#[test]
fn a_leader_that_ends_is_followed_at_once_and_one_that_is_killed_within_its_lease() {
    let Some(cluster) = Cluster::start(setup(Tier::Api)) else { return };
    let leads = |operator: &Operator| (operator.metric(&metrics::OPERATOR_LEADER, &[]) == 1.0).then_some(());
    let epoch = |operator: &Operator| operator.metric(&metrics::OPERATOR_EPOCH, &[]);
    let first = Operator::start(&cluster, "op-a");
    until("the first to lead", STEP, || leads(&first));
    let second = Operator::start(&cluster, "op-b");
    until("the second to be ready", STEP, || (second.get("/ready")?.status == 200).then_some(()));
    assert!(leads(&second).is_none(), "two leaders");
    let term = epoch(&first);
    let mut watch = Watch::start();
    first.kill9();
    until("the second to lead", STEP, || leads(&second));
    bounds::takes_less("takeover after SIGKILL", watch.elapsed(), Duration::from_secs(10));
    assert!(epoch(&second) > term);

    let third = Operator::start(&cluster, "op-a");
    until("the third to be ready", STEP, || (third.get("/ready")?.status == 200).then_some(()));
    watch = Watch::start();
    assert!(is_clean(second.sigterm_and_wait()));
    until("the third to lead", STEP, || leads(&third));
    bounds::takes_less("takeover after SIGTERM", watch.elapsed(), Duration::from_secs(2));
    assert!(epoch(&third) > term + 1.0);
}
