//! Scaling, moves and the size of a pool on a real control plane: a real load on real runtimes decides how many there are.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_spec::scaling::{Cooldown, Scaling, ScalingMode, ScalingTargets};
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::json;

use crate::desk::{Desk, Watch, becomes, condition, pool, reachable_pods, setup};
use crate::flow::Flow;

/// A pod that comes, figures that are read twice, a cooldown, all on a busy machine.
const STEP: Duration = Duration::from_secs(120);

/// Rounds of `record-only`'s computation for each quote: one to five milliseconds.
const WORK: &str = "1200000";

/// Records a second: at least a third of a core with [`WORK`] on a fast machine that has nothing else to do, and next to nothing.
const MUCH: usize = 300;
const LITTLE: usize = 15;

const STRATEGY: &str = "strategy/record-only";

/// A desk with a costly strategy, in a pool of one-worker pods.
fn desk<'a>(cluster: &'a Cluster, broker: &'static Broker, mode: ScalingMode, pods: [u16; 2]) -> Option<Desk<'a>> {
    let mut desk = Desk::new(cluster, broker)?;
    desk.strategy.spec.params.insert("work".into(), WORK.into());
    desk.strategy.spec.budget.call_micros = 500_000;
    desk.strategy.spec.scaling = Scaling {
        mode,
        targets: ScalingTargets { busy_percent: 10, ..ScalingTargets::default() },
        max_workers: 2,
        cooldown_seconds: Cooldown { up: 2, down: 12 },
        ..Scaling::default()
    };
    let mut pool = pool(&desk.name, pods[0]);
    (pool["spec"]["maxPods"], pool["spec"]["leaseSeconds"]) = (pods[1].into(), 30.into());
    desk.onboard_with(&pool);
    Some(desk)
}

fn get(desk: &Desk<'_>, what: &str, path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    let output = desk.cluster.kubectl(&["get", "--namespace", &desk.name, what, "--output", &path]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Workers that it has, workers that were decided, and why: of one status, so one read.
fn scaling(desk: &Desk<'_>) -> [String; 3] {
    let status = get(desk, STRATEGY, ".status");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
    let text = |path| {
        status.pointer(path).map_or(String::new(), |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    ["/workers", "/scaling/recommendedWorkers", "/scaling/reason"].map(text)
}

/// Waits until so many workers were decided; the reasons on the way. The one that decided may be missed: a status is read
/// only now and then, and the next reason may be there already.
fn decided(desk: &Desk<'_>, workers: &str) -> Vec<String> {
    let (mut last, mut reasons) = (String::new(), Vec::new());
    until(&format!("{workers} workers to be decided"), STEP, || {
        let [has, decided, why] = scaling(desk);
        let line = format!("{has} workers, {decided} decided: {why}");
        if line != last {
            println!("  {line}");
            last = line;
            reasons.push(why);
        }
        (decided == workers).then_some(())
    });
    reasons
}

fn has(desk: &Desk<'_>, workers: &str) {
    until(&format!("{workers} workers"), STEP, || (scaling(desk)[0] == workers).then_some(()));
}

/// Watches that nothing changes, for so long.
fn stays(desk: &Desk<'_>, workers: &str, time: Duration) {
    let began = mono_ns();
    let mut reasons: Vec<String> = Vec::new();
    while Duration::from_nanos(mono_ns() - began) < time {
        let [has, decided, why] = scaling(desk);
        assert_eq!((has.as_str(), decided.as_str()), (workers, workers), "{why}; before: {reasons:#?}");
        if reasons.last() != Some(&why) {
            reasons.push(why);
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
    println!("  {workers} workers for {time:?}: {reasons:?}");
}

fn events(desk: &Desk<'_>) -> String {
    desk.cluster.ask(&["get", "events", "--namespace", &desk.name, "--output=custom-columns=R:.reason,M:.message"])
}

#[test]
fn a_load_that_rises_and_falls_has_two_workers_and_then_one_and_no_order_is_lost_or_doubled() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let _operator = Operator::start(&cluster, "op-a");
    let Some(mut desk) = desk(&cluster, broker, ScalingMode::Auto, [1, 2]) else { return };
    let first = desk.stand_in(0);
    desk.deploy();
    desk.is_ready();
    assert_eq!(scaling(&desk)[0], "1");

    let mut watch = Watch::start();
    let frames = std::mem::take(&mut desk.frames);
    let load = Flow::start(broker, &desk.strategy.spec.inputs[0].topic, frames, MUCH);
    decided(&desk, "2");
    watch.lap("from the load to the decision for a second worker");
    let second = desk.stand_in(1);
    has(&desk, "2");
    desk.is_ready();
    watch.lap("from there to two workers that run");
    assert_eq!(get(&desk, "statefulset/default", ".spec.replicas"), "2");
    let group = desk.strategy.group();
    let busy = |pod: &StandIn| pod.runtime.metric(&metrics::SHARD_BUSY, &[("feed", group.as_str())]);
    println!("  busy seconds: {:?} and {:?}", busy(&first), busy(&second));
    stays(&desk, "2", Duration::from_secs(40));
    let told = events(&desk);
    let scaled = told.lines().find(|line| line.starts_with("Scaled")).expect("an event");
    assert!(
        scaled.contains("2 workers, from 1: ")
            && (scaled.contains("busiest worker needs") || scaled.contains("behind")),
        "{scaled}"
    );
    let lost = becomes(&cluster, &desk.name, STRATEGY, "StateLost", "True", "Moved");
    assert!(lost.contains("began afresh") && told.contains("StateLost"), "{lost}");

    watch = Watch::start();
    load.set(LITTLE);
    let why = decided(&desk, "1");
    assert!(
        why.iter().any(|why| why.contains("fewer are enough") || why.contains("1 wanted, cooling down")),
        "{why:?}"
    );
    watch.lap("from the load's fall to the decision for one worker");
    until("an event of its own for one worker", STEP, || {
        events(&desk)
            .lines()
            .any(|line| line.starts_with("Scaled") && line.contains("1 worker, from 2: "))
            .then_some(())
    });
    // The pod that goes is drained before: when the StatefulSet is told of it, it runs nothing any more.
    until("the pool to have one pod", STEP, || {
        (get(&desk, "statefulset/default", ".spec.replicas") == "1").then_some(())
    });
    assert_eq!(busy(&second), None, "a pod was taken away that ran something");
    has(&desk, "1");
    watch.lap("from there to one worker in one pod");
    desk.is_ready();
    stays(&desk, "1", Duration::from_secs(40));

    desk.produced = load.stop();
    desk.committed();
    let (ids, repeats) = desk.ids();
    assert_eq!(repeats, 0, "each move was announced, so nothing is read twice");
    // The same decisions, without the work.
    desk.strategy.spec.params.remove("work");
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), desk.laptop());
}

#[test]
fn a_recommendation_changes_nothing_and_scale_does_within_shards_and_pool() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let _operator = Operator::start(&cluster, "op-a");
    let Some(mut desk) = desk(&cluster, broker, ScalingMode::Recommend, [2, 2]) else { return };
    let _pods = [desk.stand_in(0), desk.stand_in(1)];
    desk.deploy();
    desk.is_ready();
    let (_, _, before) = condition(&cluster, &desk.name, STRATEGY, "StateLost").expect("a condition");
    assert!(before.contains("no shard has begun afresh"), "{before}");
    let frames = std::mem::take(&mut desk.frames);
    let load = Flow::start(broker, &desk.strategy.spec.inputs[0].topic, frames, MUCH);
    decided(&desk, "2");
    let began = mono_ns();
    let recommended = scaling(&desk)[1].clone();
    while Duration::from_nanos(mono_ns() - began) < Duration::from_secs(20) {
        let [has, _, why] = scaling(&desk);
        assert_eq!(has, "1", "{why}");
        std::thread::park_timeout(Duration::from_millis(500));
    }
    println!("  1 worker, {recommended} recommended");
    let told = events(&desk);
    assert!(told.contains("ScalingRecommended") && !told.lines().any(|line| line.starts_with("Scaled ")), "{told}");
    load.stop();

    desk.patch(STRATEGY, &json!({"spec": {"scaling": {"mode": "Fixed"}}}));
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        let _ = cluster.ask(&["scale", "--namespace", &desk.name, STRATEGY, &replicas]);
    };
    let mut watch = Watch::start();
    scale("2");
    has(&desk, "2");
    desk.is_ready();
    watch.lap("kubectl scale --replicas=2 to two workers that run");
    becomes(&cluster, &desk.name, STRATEGY, "ScalingLimited", "False", "AsSpecified");

    // Nine asked for, four shards, two pods.
    scale("9");
    let full = becomes(&cluster, &desk.name, STRATEGY, "ScalingLimited", "True", "PoolFull");
    assert!(full.contains("2 of 4 workers") && full.contains("maxPods"), "{full}");
    let [has_now, decided, _] = scaling(&desk);
    assert_eq!((has_now.as_str(), decided.as_str()), ("2", "4"), "never more than shards");
    assert_eq!(get(&desk, "statefulset/default", ".spec.replicas"), "2", "never more than maxPods");
    assert!(events(&desk).contains("ScalingLimited"));
    scale("1");
    has(&desk, "1");
    becomes(&cluster, &desk.name, STRATEGY, "ScalingLimited", "False", "AsSpecified");
    assert_eq!(get(&desk, "statefulset/default", ".spec.replicas"), "2", "never fewer than minPods");
    desk.is_ready();

    // Whoever empties a node takes one pod of the pool at a time. A quota keeps the first one's successor away: it would be
    // ready, and the next one allowed, before the next is asked for on a busy machine.
    cluster.apply(
        &json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-successor", "namespace": desk.name},
            "spec": {"hard": {"pods": "1"}}
        })
        .to_string(),
    );
    until("the quota to be in force", STEP, || {
        (get(&desk, "resourcequota/no-successor", ".status.used.pods") == "2").then_some(())
    });
    until("the pool's disruption budget to allow one", STEP, || {
        (get(&desk, "pdb/default", ".status.disruptionsAllowed") == "1").then_some(())
    });
    let gate = cluster.proxy();
    let evicted = |pod: &str| {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": desk.name}
        });
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", desk.name);
        gate.post(&path, &eviction).status
    };
    assert_eq!((evicted("default-1"), evicted("default-0")), (201, 429));
}

#[test]
fn figures_that_cannot_be_read_hold_the_number_and_say_so() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let operator = Operator::start(&cluster, "op-a");
    let Some(mut desk) = desk(&cluster, broker, ScalingMode::Auto, [1, 2]) else { return };
    let (_pod, door) = desk.stand_in(0).behind_a_door(broker);
    desk.deploy();
    desk.is_ready();
    let frames = std::mem::take(&mut desk.frames);
    let load = Flow::start(broker, &desk.strategy.spec.inputs[0].topic, frames, LITTLE);
    until("figures to be read", STEP, || scaling(&desk)[2].contains("busiest worker").then_some(()));
    becomes(&cluster, &desk.name, STRATEGY, "ScalingLimited", "False", "AsSpecified");

    door.close("/metrics");
    // It would scale up at once if it knew.
    load.set(MUCH);
    let mut watch = Watch::start();
    let said = becomes(&cluster, &desk.name, STRATEGY, "ScalingLimited", "True", "ReadFailed");
    watch.lap("figures gone, to the condition that says so");
    assert!(said.contains("default-0") && said.contains("503"), "{said}");
    stays(&desk, "1", Duration::from_secs(20));
    assert_eq!(condition(&cluster, &desk.name, STRATEGY, "Ready").map(|ready| ready.0).as_deref(), Some("True"));
    assert!(operator.metric(&metrics::OPERATOR_POD_CALLS, &[("call", "metrics"), ("outcome", "failed")]) > 0.0);

    door.reopen();
    decided(&desk, "2");
    watch.lap("figures back, to the decision");
    load.stop();
}
