//! What the tests of a control plane that misbehaves share: a cluster, an operator behind a proxy, and model pods.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_tests::captures::project_root;
use pinion_tests::kube::{Cluster, FaultProxy, Setup, Tier};
use pinion_tests::model_pods::ModelPods;
use pinion_tests::operator::Operator;
use pinion_tests::require::skip;
use pinion_tests::wait::until;
use serde_json::{Value, json};

/// Each step takes a second or two on a quiet machine.
pub(crate) const STEP: Duration = Duration::from_secs(60);

/// Shards of each strategy here.
pub(crate) const SHARDS: u16 = 2;

/// The lease of the pools here, long enough for a takeover and short enough to be missed by a test.
pub(crate) const LEASE: Duration = Duration::from_secs(20);

static STAGE: Mutex<Option<Stage>> = Mutex::new(None);

/// One for all tests of this kind, which come one after another.
pub(crate) struct Stage {
    pub(crate) operator: Operator,
    pub(crate) proxy: FaultProxy,
    pub(crate) pods: ModelPods,
    pub(crate) cluster: Cluster,
}

/// The stage, empty of faults, for one test; or a loud skip.
pub(crate) fn stage() -> Option<MutexGuard<'static, Option<Stage>>> {
    if !rustix::process::geteuid().is_root() {
        skip("standing in for pods needs root, for their addresses");
        return None;
    }
    let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stage) = stage.as_ref() {
        stage.proxy.heal();
    } else {
        let cluster = Cluster::start(setup(8))?;
        let (proxy, pods) = (cluster.fault_proxy("a"), ModelPods::start(&cluster, SHARDS));
        let operator = Operator::start_through(&cluster, "op-a", proxy.kubeconfig());
        *stage = Some(Stage { operator, proxy, pods, cluster });
    }
    Some(stage)
}

pub(crate) fn setup(fake_nodes: u32) -> Setup {
    Setup { definitions: vec![project_root().join("deploy/crds")], fake_nodes, ..Setup::from(Tier::Full) }
}

pub(crate) fn tenant(name: &str) -> Value {
    json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {
            "quota": {"cores": 64, "memoryMiB": 65536, "strategies": 100},
            "kafka": {"brokers": ["kafka:9092"], "topicPrefixes": [format!("{name}.")]}
        }
    })
}

/// A pool of so many pods with so many workers each.
pub(crate) fn pool(namespace: &str, pods: u16, workers: u16, lease: Option<Duration>) -> Value {
    let mut pool = json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "RuntimePool",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "image": "registry.example/pinion-runtime:0.1.0", "coresPerPod": workers + 1, "memoryMiB": 512,
            "minPods": pods, "maxPods": pods
        }
    });
    if let Some(lease) = lease {
        pool["spec"]["leaseSeconds"] = json!(lease.as_secs());
    }
    pool
}

/// A ConfigMap that holds a module of this text: the model pods run nothing.
pub(crate) fn module(namespace: &str, name: &str) -> Value {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.encode(name);
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "binaryData": {"module.wasm": bytes}
    })
}

pub(crate) fn strategy(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "Strategy", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "module": {"configMap": {"name": "module-1", "key": "module.wasm"}},
            "inputs": [{"topic": format!("{namespace}.md"), "encoding": "binance-spot", "publisher": "binance-spot"}],
            "outputs": {"orders": {"topic": format!("{namespace}.orders")}},
            "instruments": [{"symbol": "BTCUSDT", "publisher": "binance-spot", "tick": "0.01", "lot": "0.00001"}],
            "risk": {"maxOrderSize": "0.001", "maxOrderNotional": "1000", "maxPosition": "1000"}
        }
    })
}

/// Manifests for one `kubectl apply`.
pub(crate) fn together(resources: &[Value]) -> String {
    resources.iter().map(|resource| format!("---\n{resource}\n")).collect()
}

impl Stage {
    /// A tenant of its own with one pool of two pods, and these strategies, all Ready.
    pub(crate) fn onboard(&self, strategies: &[&str]) -> String {
        self.onboard_with(strategies, Some(LEASE))
    }

    /// The same with this lease, or with the default one.
    pub(crate) fn onboard_with(&self, strategies: &[&str], lease: Option<Duration>) -> String {
        let name = Cluster::unique_name("desk");
        self.cluster.apply(&tenant(&name).to_string());
        self.becomes(&name, &format!("tenant/{name}"), "Ready", "True", "AsSpecified");
        self.cluster.apply(&together(&[pool(&name, 2, 2, lease), module(&name, "module-1")]));
        let resources: Vec<Value> = strategies.iter().map(|strategy| self::strategy(&name, strategy)).collect();
        self.cluster.apply(&together(&resources));
        for strategy in strategies {
            self.becomes(&name, &format!("strategy/{strategy}"), "Ready", "True", "AsSpecified");
        }
        name
    }

    pub(crate) fn get(&self, namespace: &str, what: &str, path: &str) -> String {
        let output = self.cluster.kubectl(&["get", "--namespace", namespace, what, "--output", path]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits for a condition; returns its message.
    pub(crate) fn becomes(&self, namespace: &str, what: &str, kind: &str, status: &str, reason: &str) -> String {
        let path = format!(
            "jsonpath={{range .status.conditions[?(@.type==\"{kind}\")]}}{{.status}}|{{.reason}}|{{.message}}{{end}}"
        );
        let wanted = format!("{status}|{reason}|");
        let mut last = String::new();
        until(&format!("{what} {kind}={status} {reason}"), STEP, || {
            let now = self.get(namespace, what, &path);
            if now != last {
                println!("  {what} {kind}: {now}");
                last.clone_from(&now);
            }
            now.strip_prefix(&wanted).map(str::to_owned)
        })
    }

    pub(crate) fn patch(&self, namespace: &str, what: &str, patch: &Value) {
        let patch = patch.to_string();
        let _ = self.cluster.ask(&["patch", "--namespace", namespace, what, "--type=merge", "--patch", &patch]);
    }

    pub(crate) fn halt(&self, namespace: &str, strategy: &str, state: &str) {
        self.patch(namespace, &format!("strategy/{strategy}"), &json!({"spec": {"tradingState": state}}));
    }

    /// Waits until every pod that runs a strategy has it in this state.
    pub(crate) fn pods_have(&self, namespace: &str, strategy: &str, state: &str) {
        until(&format!("{strategy} {state} in its pods"), STEP, || {
            let mut found = self.pods.all(Some(namespace)).into_values().filter_map(|held| {
                let document = held.document?;
                let one = document.strategies.iter().find(|one| one.strategy.metadata.name == strategy)?;
                Some(one.strategy.spec.trading_state.max(document.trading_state).name() == state)
            });
            (found.next()? && found.all(|so| so)).then_some(())
        });
    }

    /// What must be so after every fault: all converges, no lease was lost, no shard was two pods', and then nothing is written.
    pub(crate) fn recovers(&self, namespace: &str, strategies: &[&str]) {
        self.proxy.heal();
        let healed_ns = mono_ns();
        for strategy in strategies {
            self.becomes(namespace, &format!("strategy/{strategy}"), "Ready", "True", "AsSpecified");
        }
        let took = Duration::from_nanos(mono_ns() - healed_ns);
        self.is_quiet();
        assert_eq!(self.pods.doubles(), Vec::<String>::new());
        for (id, held) in self.pods.all(Some(namespace)) {
            assert_eq!(held.lapses, 0, "{id:?}: {held:?}");
        }
        println!("  converged {took:?} after the fault's end");
    }

    /// Rounds go on and write nothing, as the proxy saw.
    pub(crate) fn is_quiet(&self) {
        let done = || self.operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "done")]);
        let failed = || self.operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "failed")]);
        until("rounds without a write", STEP, || {
            let (since_ns, rounds, failures) = (mono_ns(), done(), failed());
            until("more rounds", STEP, || (done() >= rounds + 8.0).then_some(()));
            let writes = self.proxy.count_since(since_ns, pinion_tests::kube::Call::is_write);
            (writes == 0 && failed() == failures).then_some(())
        });
    }

    pub(crate) fn errors(&self, call: &str, why: &str) -> f64 {
        self.operator.metric(&metrics::OPERATOR_KUBE_ERRORS, &[("call", call), ("why", why)])
    }
}
