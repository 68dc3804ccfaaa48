//! What there is to see: a strategy on a cluster, two on a laptop, and a process in which everything goes wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pinion_runtime::clock::wall_ns;
use pinion_spec::metrics;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{self, Frame, SPOT, project_root};
use pinion_tests::kafka::Broker;
use pinion_tests::kube::Cluster;
use pinion_tests::runtime::Runtime;
use pinion_tests::scratch::Scratch;
use pinion_tests::stand_in::StandIn;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use serde_json::json;

use crate::desk::{self, Desk, STEP};

/// The capture's frames.
pub(super) fn frames() -> Option<Vec<Frame>> {
    SPOT.path().map(|path| captures::frames(&path))
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> f64 {
    Duration::from_nanos(wall_ns()).as_secs_f64()
}

/// A process and the files that it runs.
pub(super) struct Process {
    pub(super) runtime: Runtime,
    pub(super) market: String,
    pub(super) files: Vec<PathBuf>,
    _scratch: Scratch,
}

impl Process {
    /// Starts a process on strategies that all read `market`.
    pub(super) fn start(broker: &Broker, market: &str, strategies: &[Strategy]) -> Self {
        Self::start_with(broker, market, strategies, &[])
    }

    /// The same, with more arguments.
    pub(super) fn start_with(broker: &Broker, market: &str, strategies: &[Strategy], args: &[&str]) -> Self {
        let scratch = Scratch::new();
        let files: Vec<_> = strategies.iter().map(|strategy| strategies::write(&scratch, strategy)).collect();
        let paths: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let journal = scratch.path().join("journal").display().to_string();
        let args = [&["--journal", journal.as_str()], args].concat();
        let runtime = Runtime::start_ready(&paths, &broker.address(), &args);
        Self { runtime, market: market.to_owned(), files, _scratch: scratch }
    }

    /// Kills it and starts another one at the same address.
    pub(super) fn restart(self, broker: &Broker) -> Self {
        let address = self.runtime.address();
        self.runtime.kill9();
        let paths: Vec<&Path> = self.files.iter().map(AsRef::as_ref).collect();
        let runtime = Runtime::start_at(address, &paths, &broker.address(), &[]);
        Self { runtime, ..self }
    }

    /// A command that must succeed.
    pub(super) fn command(&self, path: &str, body: &[u8]) {
        let answer = self.runtime.post_bytes(path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

/// A market's topic of its own.
pub(super) fn market(broker: &Broker) -> String {
    let market = Broker::unique_topic("boards-md");
    broker.create_topic(&market, 1);
    market
}

/// The bytes of an example's module.
pub(super) fn module(name: &str) -> Vec<u8> {
    let file = strategies::example(name).spec.module.file.unwrap();
    std::fs::read(file).unwrap()
}

/// A desk with two pods, and its strategy on one worker of one of them.
pub(super) fn desk<'a>(cluster: &'a Cluster, broker: &'static Broker) -> Option<(Desk<'a>, [StandIn; 2])> {
    let mut desk = Desk::new(cluster, broker)?;
    desk.strategy.spec.scaling.targets.p99_micros = Some(50_000);
    let mut pool = desk::pool(&desk.name, 2);
    // The machine does more here than hold a lease of seconds.
    pool["spec"]["leaseSeconds"] = 60.into();
    desk.onboard_with(&pool);
    let pods = [desk.stand_in(0), desk.stand_in(1)];
    desk.deploy();
    desk.is_ready();
    Some((desk, pods))
}

/// A worker more: shards move to the other pod.
pub(super) fn grow(desk: &Desk<'_>, pods: &[StandIn]) {
    desk.patch("strategy/record-only", &json!({"spec": {"replicas": 2}}));
    let runs = |pod: &StandIn| pod.runtime.metric(&metrics::STRATEGY_SHARDS, &[]).is_some_and(|shards| shards > 0.0);
    until("both pods to run shards", STEP, || pods.iter().all(runs).then_some(()));
    desk.is_ready();
}

/// A module that traps, and its way back.
pub(super) fn release_a_bad_one(desk: &mut Desk<'_>, pods: &[StandIn]) {
    let trap = project_root().join("strategies-examples/misbehaving/trap.wasm");
    let module = format!("--from-file=module.wasm={}", trap.display());
    let _ = desk.cluster.ask(&["create", "configmap", "record-only-2", "--namespace", &desk.name, &module]);
    let source = json!({"spec": {"module": {"configMap": {"name": "record-only-2", "key": "module.wasm"}}}});
    desk.patch("strategy/record-only", &source);
    let faults = |pod: &StandIn| pod.runtime.metric(&metrics::FAULTS, &[]).unwrap_or(0.0);
    until("the new module to trap", STEP, || {
        desk.produce(40);
        pods.iter().any(|pod| faults(pod) > 0.0).then_some(())
    });
    let (cluster, name) = (desk.cluster, desk.name.clone());
    let _ = desk::becomes(cluster, &name, "strategy/record-only", "RolledBack", "True", "ProbationFailed");
    desk.is_ready();
}

/// A document that nobody could have sent to it.
pub(super) fn refuse_an_assignment(pod: &StandIn) {
    let old = json!({
        "version": {"epoch": 0, "revision": 0}, "pod": "default-0", "leaseSeconds": 30, "tradingState": "ACTIVE",
        "strategies": [],
    });
    let answer = pod.runtime.put_assignment(old.to_string().as_bytes(), &pod.runtime.clock().to_string());
    assert_ne!(answer.status, 200, "{}", answer.body);
    assert!(pod.runtime.count(&metrics::ASSIGNMENTS_REFUSED, &[]) > 0, "{}", answer.body);
}
