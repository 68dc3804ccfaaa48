//! Tenants beside each other on a real control plane: what each is given and refused, what it leaves behind, and what one can do to
//! another. The operator is the real process; kwok's pods are stood in for by real runtimes on a real Kafka.

mod command_line;
mod leaving;
mod network;
mod pausing;
mod quota;
mod rights;
mod stranger;
mod wrong;

use std::sync::OnceLock;

use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Setup, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use crate::desk::{Desk, STEP, pool, reachable_pods, setup};

/// Cluster and operator that the tests of this module share; each has tenants of its own.
struct Stage {
    cluster: Cluster,
    operator: Operator,
}

static STAGE: OnceLock<Option<Stage>> = OnceLock::new();

/// The stage, set by the first that asks; or a loud skip.
fn stage() -> Option<&'static Stage> {
    let set = || {
        if !reachable_pods() {
            return None;
        }
        let cluster = Cluster::start(Setup { fake_nodes: 6, ..setup(Tier::Full) })?;
        let operator = Operator::start(&cluster, "op-tenancy");
        Some(Stage { cluster, operator })
    };
    STAGE.get_or_init(set).as_ref()
}

/// A tenant of the stage and its desk; nothing is applied yet.
fn desk() -> Option<Desk<'static>> {
    Desk::new(&stage()?.cluster, Broker::shared()?)
}

/// A pool of another name.
fn pool_named(name: &str, namespace: &str, pods: u16) -> Value {
    let mut pool = pool(namespace, pods);
    pool["metadata"]["name"] = json!(name);
    pool
}

/// What kubectl reads of an object; empty where there is none.
fn read(cluster: &Cluster, namespace: &str, what: &str, path: &str) -> String {
    let output = cluster.kubectl(&["get", what, "--namespace", namespace, "--output", &format!("jsonpath={path}")]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The strategies that a pod says it runs, with their shards.
fn runs(pod: &StandIn) -> Option<Vec<(String, usize)>> {
    let report: Value = serde_json::from_str(&pod.runtime.get("/control/assignment")?.body).ok()?;
    let strategies = report["strategies"].as_array()?.iter();
    let with_shards = |one: &Value| Some((one["name"].as_str()?.to_owned(), one["shards"].as_array()?.len()));
    Some(strategies.filter_map(with_shards).filter(|(_, shards)| *shards > 0).collect())
}

/// Waits until a pod runs nothing.
fn let_go(pod: &StandIn) {
    until("the pod to have let go of everything", STEP, || runs(pod)?.is_empty().then_some(()));
}

/// Waits until a tenant's quota has counted so many strategies. Kubernetes counts anew now and then, from what it has heard of by then, and until
/// it has heard of all it lets more in.
fn counted(cluster: &Cluster, namespace: &str, strategies: u32) {
    // Kubernetes writes thousands so.
    let whole = strategies > 0 && strategies.is_multiple_of(1_000);
    let wanted = if whole { format!("{}k", strategies / 1_000) } else { strategies.to_string() };
    until("the quota to have counted", 2 * STEP, || {
        let used = read(cluster, namespace, "resourcequota/pinion", "{.status.used.count/strategies\\.pinion\\.dev}");
        (used == wanted).then_some(())
    });
}

/// Waits until an object is not there.
fn gone(cluster: &Cluster, namespace: &str, what: &str) {
    until(&format!("{what} to be gone"), STEP, || {
        let output = cluster.kubectl(&["get", what, "--namespace", namespace, "--ignore-not-found", "--output=name"]);
        (output.status.success() && output.stdout.is_empty()).then_some(())
    });
}
