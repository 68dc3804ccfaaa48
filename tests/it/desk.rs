//! A tenant's desk for the tests of the operator: the resources that it begins with, its topics on a real Kafka, its market data, and
//! what is asked of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_spec::strategy::{ConfigMapKey, ModuleSource, Strategy};
use pinion_tests::bounds;
use pinion_tests::captures::{Frame, project_root};
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Cluster, Setup, Tier};
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::stand_in::StandIn;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use crate::market::{PARTITIONS, WHOLE, by_id, in_turn, orders, quotes_and_trades};

/// Each step takes a second or two on a quiet machine.
pub(crate) const STEP: Duration = Duration::from_secs(60);

/// How long something took.
pub(crate) struct Watch(u64);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(mono_ns())
    }

    /// The time since the last lap.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(mono_ns() - self.0)
    }

    /// Tells the time since the last lap.
    pub(crate) fn lap(&mut self, what: &str) -> Duration {
        let took = self.elapsed();
        bounds::shown(what, format!("{took:.2?}"));
        self.0 = mono_ns();
        took
    }
}

pub(crate) fn setup(tier: Tier) -> Setup {
    Setup { definitions: vec![project_root().join("deploy/crds")], ..Setup::from(tier) }
}

/// A tenant of the name, whose topics all begin with it.
pub(crate) fn tenant(name: &str, broker: &Broker) -> Value {
    json!({
        "apiVersion": "pinion.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {
            "access": {"view": ["viewers"], "edit": ["quants"], "risk": ["officers"]},
            "quota": {"cores": 16, "memoryMiB": 16384, "strategies": 20},
            "kafka": {"brokers": [broker.address()], "topicPrefixes": [format!("{name}.")]}
        }
    })
}

pub(crate) fn pool(namespace: &str, pods: u16) -> Value {
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
pub(crate) fn condition(
    cluster: &Cluster,
    namespace: &str,
    what: &str,
    kind: &str,
) -> Option<(String, String, String)> {
    let path = format!(
        "jsonpath={{range .status.conditions[?(@.type==\"{kind}\")]}}{{.status}}|{{.reason}}|{{.message}}{{end}}"
    );
    let output = cluster.kubectl(&["get", "--namespace", namespace, what, "--output", &path]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = text.splitn(3, '|').map(str::to_owned);
    Some((parts.next().filter(|status| !status.is_empty())?, parts.next()?, parts.next()?))
}

pub(crate) fn becomes(
    cluster: &Cluster,
    namespace: &str,
    what: &str,
    kind: &str,
    status: &str,
    reason: &str,
) -> String {
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
pub(crate) struct Desk<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) broker: &'a Broker,
    pub(crate) name: String,
    pub(crate) strategy: Strategy,
    pub(crate) module: PathBuf,
    pub(crate) frames: Vec<Frame>,
    pub(crate) produced: usize,
    /// What a laptop is told besides of how to reach Kafka.
    pub(crate) laptop_args: Vec<String>,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(cluster: &'a Cluster, broker: &'a Broker) -> Option<Self> {
        let name = Self::unique_name();
        let market = format!("{name}.md");
        Self::reading(cluster, broker, &name, &market, &name)
    }

    /// A name that no other desk of this process has.
    pub(crate) fn unique_name() -> String {
        Broker::unique_topic("desk").replace('.', "-").to_lowercase()
    }

    /// A desk of the name that reads `market`, with topics of its own whose names begin with `own`. They are made here.
    pub(crate) fn reading(
        cluster: &'a Cluster,
        broker: &'a Broker,
        name: &str,
        market: &str,
        own: &str,
    ) -> Option<Self> {
        let frames = quotes_and_trades()?;
        let mut strategy = strategies::example("record-only");
        broker.create_topic(market, PARTITIONS);
        for kind in ["orders", "denials", "dead"] {
            broker.create_topic(&format!("{own}.{kind}"), 1);
        }
        strategy.metadata.namespace = Some(name.to_owned());
        let spec = &mut strategy.spec;
        spec.params.insert("every".into(), crate::market::EVERY.into());
        market.clone_into(&mut spec.inputs[0].topic);
        spec.inputs[0].group = None;
        spec.outputs.orders.topic = format!("{own}.orders");
        spec.outputs.denials = Some(pinion_spec::strategy::TopicOutput { topic: format!("{own}.denials") });
        spec.outputs.dead_letter = Some(pinion_spec::strategy::TopicOutput { topic: format!("{own}.dead") });
        let module = PathBuf::from(spec.module.file.take().expect("a file"));
        spec.module = ModuleSource {
            config_map: Some(ConfigMapKey { name: "record-only-1".into(), key: "module.wasm".into() }),
            ..ModuleSource::default()
        };
        let name = name.to_owned();
        Some(Self { cluster, broker, name, strategy, module, frames, produced: 0, laptop_args: Vec::new() })
    }

    pub(crate) fn apply(&self, resource: &Value) {
        self.cluster.apply(&resource.to_string());
    }

    pub(crate) fn apply_strategy(&self) {
        self.apply(&serde_json::to_value(&self.strategy).unwrap());
    }

    pub(crate) fn onboard(&self, pods: u16) {
        self.onboard_with(&pool(&self.name, pods));
    }

    /// The tenant until it is Ready, and a pool.
    pub(crate) fn onboard_with(&self, pool: &Value) {
        self.apply(&tenant(&self.name, self.broker));
        becomes(self.cluster, &self.name, &format!("tenant/{}", self.name), "Ready", "True", "AsSpecified");
        self.apply(pool);
    }

    pub(crate) fn deploy(&self) {
        let module = format!("--from-file=module.wasm={}", self.module.display());
        let _ = self.cluster.ask(&["create", "configmap", "record-only-1", "--namespace", &self.name, &module]);
        self.apply_strategy();
    }

    pub(crate) fn stand_in(&self, ordinal: u16) -> StandIn {
        StandIn::start(self.cluster, self.broker, &self.name, "default", &format!("default-{ordinal}"), 1)
    }

    pub(crate) fn is_ready(&self) {
        becomes(self.cluster, &self.name, "strategy/record-only", "Ready", "True", "AsSpecified");
    }

    pub(crate) fn produce(&mut self, count: usize) {
        let piece = &self.frames[self.produced..self.produced + count];
        self.broker.produce_frames(&self.strategy.spec.inputs[0].topic, in_turn(self.produced, piece));
        self.produced += count;
    }

    /// Waits until all that has been produced is done and committed.
    pub(crate) fn committed(&self) {
        self.committed_by(&self.strategy);
    }

    pub(crate) fn committed_by(&self, strategy: &Strategy) {
        until("all to be committed", WHOLE, || {
            let committed: i64 =
                self.broker.committed(&strategy.group(), &strategy.spec.inputs[0].topic).values().sum();
            (usize::try_from(committed) == Ok(self.produced)).then_some(())
        });
    }

    pub(crate) fn ids(&self) -> (BTreeMap<String, Vec<u8>>, usize) {
        by_id(&orders(self.broker, &self.strategy))
    }

    /// The ids that a laptop sends over the same topic from the same file; a second time, over what came since.
    pub(crate) fn laptop(&self) -> Vec<String> {
        let mut strategy = self.strategy.clone();
        strategy.spec.module =
            ModuleSource { file: self.module.to_str().map(str::to_owned), ..ModuleSource::default() };
        strategy.spec.inputs[0].group = Some(format!("{}.laptop", self.name));
        strategy.spec.inputs[0].start = pinion_spec::strategy::Start::Earliest;
        let topic = Broker::unique_topic(&format!("{}.laptop", self.name));
        self.broker.create_topic(&topic, 1);
        strategy.spec.outputs.orders.topic = topic;
        (strategy.spec.outputs.denials, strategy.spec.outputs.dead_letter) = (None, None);
        let scratch = Scratch::new();
        let file = strategies::write(&scratch, &strategy);
        let args: Vec<&str> = self.laptop_args.iter().map(String::as_str).collect();
        let laptop = Runtime::start(&[&file], &self.broker.address(), &args);
        self.committed_by(&strategy);
        assert!(is_clean(laptop.sigterm_and_wait()));
        let (ids, repeats) = by_id(&orders(self.broker, &strategy));
        assert_eq!(repeats, 0);
        assert!(ids.len() > 500, "{} orders show nothing", ids.len());
        ids.into_keys().collect()
    }

    pub(crate) fn patch(&self, what: &str, patch: &Value) {
        let patch = patch.to_string();
        let _ = self.cluster.ask(&["patch", "--namespace", &self.name, what, "--type=merge", "--patch", &patch]);
    }

    pub(crate) fn state_is(&self, pod: &StandIn, state: &str) -> bool {
        let labels = [("tenant", self.name.as_str()), ("state", state)];
        pod.runtime.metric(&metrics::STRATEGY_STATE, &labels) == Some(1.0)
    }
}

/// Every object of the cluster that names a tenant: by label, or as its namespace, or by its own name where it has none.
pub(crate) fn traces(cluster: &Cluster, tenant: &str) -> Vec<String> {
    let kinds = |namespaced: &str| -> Vec<String> {
        let flags = ["api-resources", "--verbs=list", "--output=name", namespaced];
        let all = cluster.ask(&flags);
        let kinds = all.lines().filter(|kind| !kind.starts_with("events"));
        kinds.map(str::to_owned).collect()
    };
    let (namespaced, cluster_wide) = (kinds("--namespaced=true").join(","), kinds("--namespaced=false").join(","));
    let names = "jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
    let list = |arguments: &[&str]| -> Vec<String> {
        let output = cluster.kubectl(&[&["get"], arguments, &["--ignore-not-found", "--output", names]].concat());
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    };
    let label = format!("pinion.dev/tenant={tenant}");
    let mut found = list(&[&namespaced, "--namespace", tenant]);
    found.extend(list(&[&namespaced, "--all-namespaces", "--selector", &label]));
    found.extend(list(&[&cluster_wide, "--selector", &label]));
    found.extend(list(&[&cluster_wide]).into_iter().filter(|one| one.ends_with(&format!("/{tenant}"))));
    found.sort();
    found.dedup();
    found
}

pub(crate) fn reachable_pods() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        pinion_tests::require::skip("standing in for pods needs root, for their addresses");
    }
    root
}
