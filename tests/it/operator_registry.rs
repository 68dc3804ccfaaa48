//! Modules from a registry in a cluster: the operator on a real control plane, a real registry with TLS and passwords, a real Kafka;
//! kwok's pods are stood in for by real runtimes.

use pinion_spec::metrics;
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::programs::pinion;
use pinion_tests::registry::{Access, PASSWORD, Registry, USER};
use pinion_tests::runtime::is_clean;
use pinion_tests::scratch::Scratch;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use crate::desk::{Desk, STEP, Watch, becomes, condition, pool, reachable_pods, setup, tenant};
use crate::market::orders;
use crate::registry::{from_registry, sha256, stamp, with_a_note};

/// Partitions of a desk's topic.
const SHARDS: u64 = 4;

/// A tenant whose modules come from one repository of the registry and below.
fn onboard(desk: &Desk<'_>, registry: &Registry) {
    let mut tenant = tenant(&desk.name, desk.broker);
    tenant["spec"]["registry"] = json!({
        "allowed": [format!("{}/{}", registry.host(), desk.name)],
        "credentials": "registry",
        "authorities": {"name": "registry-ca"},
    });
    desk.apply(&tenant);
    becomes(desk.cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    desk.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry", "namespace": desk.name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": registry.docker_config(USER, PASSWORD)},
    }));
    desk.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "registry-ca", "namespace": desk.name},
        "data": {"ca.crt": std::fs::read_to_string(registry.authority()).unwrap()},
    }));
    desk.apply(&pool(&desk.name, 1));
}

/// The one pod, with what its volumes hold.
fn stand_in(desk: &Desk<'_>) -> StandIn {
    let mounted = [
        ("--registry-config", "secret/registry", ".dockerconfigjson"),
        ("--registry-ca", "configmap/registry-ca", "ca.crt"),
    ];
    StandIn::start_with(desk.cluster, desk.broker, &desk.name, "default", "default-0", 1, &mounted)
}

/// What the status says of the module.
fn status(desk: &Desk<'_>) -> Value {
    let path = ["get", "strategy/record-only", "--namespace", &desk.name, "--output", "jsonpath={.status.module}"];
    serde_json::from_str(&desk.cluster.ask(&path)).unwrap_or_default()
}

/// Runs a module of the registry from now on; when it does.
fn run(desk: &Desk<'_>, reference: &str) {
    desk.patch("strategy/record-only", &json!({"spec": {"module": {"oci": reference}}}));
    let digest = digest_of(reference);
    until("the release to be assigned", STEP, || (status(desk)["running"] == *digest).then_some(()));
    desk.is_ready();
}

fn digest_of(reference: &str) -> &str {
    reference.split_once("@sha256:").unwrap().1
}

/// What the orders from `first` on are stamped with.
fn stamps(broker: &Broker, desk: &Desk<'_>, first: usize) -> Vec<String> {
    let orders = orders(broker, &desk.strategy);
    let mut stamps: Vec<String> = orders[first..].iter().map(|order| stamp(order).to_owned()).collect();
    stamps.dedup();
    stamps
}

#[test]
fn a_strategy_runs_from_a_registry_by_digest_and_outlives_wrong_digests_and_the_registry_itself() {
    if !reachable_pods() {
        return;
    }
    let Some(mut registry) = Registry::start(Access::Password) else { return };
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let operator = Operator::start(&cluster, "op-a");
    let mut watch = Watch::start();
    onboard(&desk, &registry);
    let pod = stand_in(&desk);
    watch.lap("tenant, Secret, pool, pod");

    let home = Scratch::new();
    let second_module = with_a_note(&home, &desk.module, "second");
    let repository = format!("{}/record-only", desk.name);
    let first = registry.push(&desk.module, &format!("{repository}:1"));
    let second = registry.push(&second_module, &format!("{repository}:2"));
    let (first_stamp, second_stamp) = (sha256(&desk.module), sha256(&second_module));
    desk.strategy = from_registry(&desk.strategy, &first);
    desk.apply_strategy();
    desk.is_ready();
    watch.lap("pulled and Ready");
    desk.produce(4_000);
    desk.committed();
    assert_eq!(
        stamps(broker, &desk, 0),
        std::slice::from_ref(&first_stamp),
        "orders carry the digest of the bytes, as a laptop's do"
    );
    let shown = status(&desk);
    assert_eq!(shown["running"], digest_of(&first), "what the strategy names");
    assert_eq!(format!("sha256:{}", shown["wasm"].as_str().unwrap()), first_stamp, "what orders carry");

    // Another digest: swapped in, in the process that runs.
    let orders_before = orders(broker, &desk.strategy).len();
    watch = Watch::start();
    run(&desk, &second);
    watch.lap("another digest swapped in");
    desk.produce(4_000);
    desk.committed();
    assert_eq!(stamps(broker, &desk, orders_before), std::slice::from_ref(&second_stamp));
    let swaps = || pod.runtime.count(&metrics::SWAPS, &[("strategy", "record-only")]);
    assert_eq!(swaps(), SHARDS, "each shard's instance, once");

    // A digest that is not there: said so, and the one that runs goes on.
    let orders_before = orders(broker, &desk.strategy).len();
    let wrong = format!("{}@sha256:{}", first.split_once('@').unwrap().0, "0".repeat(64));
    desk.patch("strategy/record-only", &json!({"spec": {"module": {"oci": wrong}}}));
    let message = becomes(&cluster, &desk.name, "strategy/record-only", "Ready", "False", "ModuleRefused");
    assert!(message.contains("not found: ") && message.contains(&wrong), "{message}");
    desk.produce(2_000);
    desk.committed();
    assert_eq!(stamps(broker, &desk, orders_before), std::slice::from_ref(&second_stamp));
    assert_eq!(swaps(), SHARDS);

    // Back, as a person would.
    let mut rollback = pinion("rollback");
    rollback.args(["record-only", "--namespace", &desk.name, "--wait"]).env("KUBECONFIG", cluster.kubeconfig());
    let rolled_back = rollback.output().unwrap();
    assert!(rolled_back.status.success(), "{}", String::from_utf8_lossy(&rolled_back.stderr));
    assert_eq!(status(&desk)["running"], digest_of(&second));

    // Nobody there to pull from: a pod that starts again has what it ran.
    registry.down();
    watch = Watch::start();
    let pod = pod.kill9_and_restart(broker);
    let orders_before = orders(broker, &desk.strategy).len();
    desk.produce(4_000);
    desk.committed();
    watch.lap("4,000 records done by a process that began without a registry");
    assert_eq!(stamps(broker, &desk, orders_before), [second_stamp]);
    desk.is_ready();

    // What the pod and the operator have said names no password.
    for log in [pod.runtime.log(), operator.log()] {
        assert!(!log.contains(PASSWORD), "{log}");
    }
    assert!(is_clean(pod.runtime.sigterm_and_wait()));
    let (ids, _) = desk.ids();
    let file = desk.laptop();
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), file);
}

#[test]
fn a_module_from_somebody_elses_registry_is_refused_with_a_clear_condition_and_pulled_by_nobody() {
    let Some(cluster) = Cluster::start(setup(Tier::Api)) else { return };
    let Some(broker) = Broker::shared() else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let _operator = Operator::start(&cluster, "op-a");
    let mut tenant = tenant(&desk.name, broker);
    desk.apply(&tenant);
    becomes(&cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    desk.apply(&pool(&desk.name, 1));
    desk.strategy = from_registry(&desk.strategy, &format!("registry.example/other/ema@sha256:{}", "1".repeat(64)));
    desk.apply_strategy();
    let message = becomes(&cluster, &desk.name, "strategy/record-only", "Ready", "False", "RegistryForbidden");
    assert!(message.contains("spec.module.oci: ") && message.contains("names none"), "{message}");
    tenant["spec"]["registry"] = json!({"allowed": ["registry.example/mine"]});
    desk.apply(&tenant);
    until("the refusal to name what is allowed", STEP, || {
        let (_, reason, message) = condition(&cluster, &desk.name, "strategy/record-only", "Ready")?;
        (reason == "RegistryForbidden" && message.contains("registry.example/mine")).then_some(())
    });
    let map = ["get", "--namespace", &desk.name, "configmap/default-assignment", "--output", "jsonpath={.data}"];
    let assignment = until("the assignment", STEP, || {
        let output = cluster.kubectl(&map);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert!(!assignment.contains("registry.example"), "{assignment}");
}
