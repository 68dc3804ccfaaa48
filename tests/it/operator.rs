//! The operator on a real control plane, with a real Kafka; kwok's pods are stood in for by real runtimes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_spec::strategy::{ConfigMapKey, ModuleSource, Strategy};
use pinion_tests::captures::{Frame, SPOT, frames, project_root};
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Setup, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::stand_in::StandIn;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use crate::market::{WHOLE, by_id, orders, record_only};

/// Each step takes a second or two on a quiet machine.
const STEP: Duration = Duration::from_secs(60);

const PARTITIONS: i32 = 4;

/// How long something took.
struct Watch(u64);

impl Watch {
    fn start() -> Self {
        Self(mono_ns())
    }

    /// Prints the time since the last lap.
    fn lap(&mut self, what: &str) -> Duration {
        let took = Duration::from_nanos(mono_ns() - self.0);
        println!("{what}: {took:?}");
        self.0 = mono_ns();
        took
    }
}

fn setup(tier: Tier) -> Setup {
    Setup { definitions: vec![project_root().join("deploy/crds")], ..Setup::from(tier) }
}

/// A tenant of the name, whose topics all begin with it.
fn tenant(name: &str, broker: &Broker) -> Value {
    json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {
            "access": {"view": ["viewers"], "edit": ["quants"], "risk": ["officers"]},
            "quota": {"cores": 16, "memoryMiB": 16384, "strategies": 20},
            "kafka": {"brokers": [broker.address()], "topicPrefixes": [format!("{name}.")]}
        }
    })
}

fn pool(namespace: &str, pods: u16) -> Value {
    json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "RuntimePool",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "image": "registry.example/pinion-runtime:0.1.0", "coresPerPod": 2, "memoryMiB": 512,
            "minPods": pods, "maxPods": 4, "leaseSeconds": 6
        }
    })
}

/// A condition's status and reason, once there is one.
fn condition(cluster: &Cluster, namespace: &str, what: &str, kind: &str) -> Option<(String, String, String)> {
    let path = format!(
        "jsonpath={{range .status.conditions[?(@.type==\"{kind}\")]}}{{.status}}|{{.reason}}|{{.message}}{{end}}"
    );
    let output = cluster.kubectl(&["get", "--namespace", namespace, what, "--output", &path]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = text.splitn(3, '|').map(str::to_owned);
    Some((parts.next().filter(|status| !status.is_empty())?, parts.next()?, parts.next()?))
}

fn becomes(cluster: &Cluster, namespace: &str, what: &str, kind: &str, status: &str, reason: &str) -> String {
    let mut last = None;
    let found = until(&format!("{what} {kind}={status} {reason}"), STEP, || {
        let now = condition(cluster, namespace, what, kind);
        if now != last {
            println!("  {what} {kind}: {now:?}");
            last.clone_from(&now);
        }
        now.filter(|(is, why, _)| is == status && why == reason)
    });
    found.2
}

/// A tenant whose one strategy decides by the record alone, over four partitions.
struct Desk<'a> {
    cluster: &'a Cluster,
    broker: &'static Broker,
    name: String,
    strategy: Strategy,
    module: PathBuf,
    frames: Vec<Frame>,
    produced: usize,
}

impl<'a> Desk<'a> {
    fn new(cluster: &'a Cluster, broker: &'static Broker) -> Option<Self> {
        let path = SPOT.path()?;
        let name = Broker::unique_topic("desk").replace('.', "-").to_lowercase();
        let mut strategy = strategies::example("record-only");
        let market = format!("{name}.md");
        broker.create_topic(&market, PARTITIONS);
        for kind in ["orders", "denials", "dead"] {
            broker.create_topic(&format!("{name}.{kind}"), 1);
        }
        strategy.metadata.namespace = Some(name.clone());
        let spec = &mut strategy.spec;
        spec.params.insert("every".into(), crate::market::EVERY.into());
        spec.inputs[0].topic = market;
        spec.inputs[0].group = None;
        spec.outputs.orders.topic = format!("{name}.orders");
        spec.outputs.denials = Some(pinion_spec::strategy::TopicOutput { topic: format!("{name}.denials") });
        spec.outputs.dead_letter = Some(pinion_spec::strategy::TopicOutput { topic: format!("{name}.dead") });
        let module = PathBuf::from(spec.module.file.take().expect("a file"));
        spec.module = ModuleSource {
            config_map: Some(ConfigMapKey { name: "record-only-1".into(), key: "module.wasm".into() }),
            ..ModuleSource::default()
        };
        let mut frames = frames(&path);
        frames.retain(|frame| !frame.value.windows(13).any(|part| part == b"\"depthUpdate\""));
        Some(Self { cluster, broker, name, strategy, module, frames, produced: 0 })
    }

    fn apply(&self, resource: &Value) {
        self.cluster.apply(&resource.to_string());
    }

    fn apply_strategy(&self) {
        self.apply(&serde_json::to_value(&self.strategy).unwrap());
    }

    fn onboard(&self, pods: u16) {
        self.apply(&tenant(&self.name, self.broker));
        becomes(self.cluster, &self.name, &format!("tenant/{}", self.name), "Ready", "True", "AsSpecified");
        self.apply(&pool(&self.name, pods));
    }

    fn deploy(&self) {
        let module = format!("--from-file=module.wasm={}", self.module.display());
        let _ = self.cluster.ask(&["create", "configmap", "record-only-1", "--namespace", &self.name, &module]);
        self.apply_strategy();
    }

    fn stand_in(&self, ordinal: u16) -> StandIn {
        StandIn::start(self.cluster, self.broker, &self.name, "default", &format!("default-{ordinal}"), 1)
    }

    fn is_ready(&self) {
        becomes(self.cluster, &self.name, "strategy/record-only", "Ready", "True", "AsSpecified");
    }

    fn produce(&mut self, count: usize) {
        let piece = &self.frames[self.produced..self.produced + count];
        let partitions = (0..PARTITIONS).cycle().skip(self.produced % 4);
        self.broker.produce_frames(&self.strategy.spec.inputs[0].topic, partitions.zip(piece));
        self.produced += count;
    }

    /// Waits until all that has been produced is done and committed.
    fn committed(&self) {
        self.committed_by(&self.strategy);
    }

    fn committed_by(&self, strategy: &Strategy) {
        until("all to be committed", WHOLE, || {
            let committed: i64 =
                self.broker.committed(&strategy.group(), &strategy.spec.inputs[0].topic).values().sum();
            (usize::try_from(committed) == Ok(self.produced)).then_some(())
        });
    }

    fn ids(&self) -> (BTreeMap<String, Vec<u8>>, usize) {
        by_id(&orders(self.broker, &self.strategy))
    }

    /// The ids that a laptop sends over the same topic from the same file.
    fn laptop(&self) -> Vec<String> {
        let mut strategy = self.strategy.clone();
        strategy.spec.module =
            ModuleSource { file: self.module.to_str().map(str::to_owned), ..ModuleSource::default() };
        strategy.spec.inputs[0].group = Some(format!("{}.laptop", self.name));
        strategy.spec.inputs[0].start = pinion_spec::strategy::Start::Earliest;
        strategy.spec.outputs = record_only(self.broker, &strategy.spec.inputs[0].topic).spec.outputs;
        let scratch = Scratch::new();
        let file = strategies::write(&scratch, &strategy);
        let laptop = Runtime::start(&[&file], &self.broker.address(), &[]);
        self.committed_by(&strategy);
        assert!(is_clean(laptop.sigterm_and_wait()));
        let (ids, repeats) = by_id(&orders(self.broker, &strategy));
        assert_eq!(repeats, 0);
        assert!(ids.len() > 500, "{} orders show nothing", ids.len());
        ids.into_keys().collect()
    }

    fn patch(&self, what: &str, patch: &Value) {
        let patch = patch.to_string();
        let _ = self.cluster.ask(&["patch", "--namespace", &self.name, what, "--type=merge", "--patch", &patch]);
    }

    fn state_is(&self, pod: &StandIn, state: &str) -> bool {
        let labels = [("tenant", self.name.as_str()), ("state", state)];
        pod.runtime.metric(&metrics::STRATEGY_STATE, &labels) == Some(1.0)
    }
}

/// Server-side applies that the apiserver has had: only the operator sends any.
fn server_side_applies(cluster: &Cluster) -> f64 {
    let text = cluster.ask(&["get", "--raw", "/metrics"]);
    let applies =
        text.lines().filter(|line| line.starts_with("apiserver_request_total{") && line.contains("verb=\"APPLY\""));
    let counts: Vec<f64> = applies.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
    assert!(!counts.is_empty(), "the apiserver counts no server-side apply");
    counts.iter().sum()
}

fn reachable_pods() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        pinion_tests::require::skip("standing in for pods needs root, for their addresses");
    }
    root
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
    let killed = watch.lap("takeover after SIGKILL");
    assert!(killed < Duration::from_secs(10), "{killed:?}");
    assert!(epoch(&second) > term);

    let third = Operator::start(&cluster, "op-a");
    until("the third to be ready", STEP, || (third.get("/ready")?.status == 200).then_some(()));
    watch = Watch::start();
    assert!(is_clean(second.sigterm_and_wait()));
    until("the third to lead", STEP, || leads(&third));
    let ended = watch.lap("takeover after SIGTERM");
    assert!(ended < Duration::from_secs(2), "{ended:?}");
    assert!(epoch(&third) > term + 1.0);
}
