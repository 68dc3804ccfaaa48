//! What stands in for the operator: it says of strategies what an operator would, by kubectl, and runs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, park_timeout};
use std::time::Duration;

use pinion_tests::kube::Cluster;
use serde_json::{Value as Json, json};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Answers every new generation of a namespace's strategies until it is dropped.
pub(super) struct StandIn {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    pub(super) fn start(cluster: &'static Cluster, namespace: &str) -> Self {
        let (stop, namespace) = (Arc::new(AtomicBool::new(false)), namespace.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for strategy in strategies(cluster, &namespace) {
                    if strategy["metadata"]["generation"] != strategy["status"]["observedGeneration"] {
                        set_status(
                            cluster,
                            &namespace,
                            strategy["metadata"]["name"].as_str().unwrap(),
                            &well(&strategy),
                        );
                    }
                }
                park_timeout(LOOK_EVERY);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the stand-in has panicked");
        }
    }
}

fn strategies(cluster: &Cluster, namespace: &str) -> Vec<Json> {
    let answer = cluster.ask(&["get", "strategies", "--namespace", namespace, "--output", "json"]);
    let mut list: Json = serde_json::from_str(&answer).unwrap();
    serde_json::from_value(list["items"].take()).unwrap()
}

/// Everything is as its spec asks.
fn well(strategy: &Json) -> Json {
    let generation = &strategy["metadata"]["generation"];
    let halted = strategy["spec"]["tradingState"] == "HALTED";
    let named = strategy["spec"]["module"]["configMap"]["name"].as_str().unwrap_or_default();
    let running = named.trim_start_matches("pinion-module-");
    let before = &strategy["status"]["module"];
    let previous = if before["running"] == running { &before["previous"] } else { &before["running"] };
    json!({
        "observedGeneration": generation,
        "conditions": [
            condition("Ready", "True", "AsSpecified", "2 workers on 4 shards", generation),
            condition("Halted", if halted { "True" } else { "False" }, "HaltedBySpec", "", generation),
        ],
        "workers": 2,
        "shards": 4,
        "latency": {"p50": "18us", "p99": "41us", "p999": "95us", "max": "1.2ms"},
        "lagSeconds": 0,
        "ordersPerSecond": "12",
        "module": {"running": running, "previous": previous},
        "assignment": [{"pod": "default-0", "workers": 2, "shards": "0-3"}],
    })
}

/// A condition about a generation.
pub(super) fn condition(kind: &str, status: &str, reason: &str, message: &str, generation: &Json) -> Json {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation,
    })
}

/// Sets fields of a strategy's status.
pub(super) fn set_status(cluster: &Cluster, namespace: &str, name: &str, status: &Json) {
    let patch = json!({"status": status}).to_string();
    let _ = cluster.ask(&[
        "patch",
        "strategy",
        name,
        "--namespace",
        namespace,
        "--subresource=status",
        "--type=merge",
        "--patch",
        &patch,
    ]);
}
