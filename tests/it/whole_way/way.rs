//! Who walks the whole way: what they have set up so far, how long each step took, and what kubelets would do meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_spec::strategy::ModuleSource;
use pinion_tests::captures::project_root;
use pinion_tests::guide::Reader;
use pinion_tests::kafka::{Broker, Secured};
use pinion_tests::kube::{Cluster, Proxy};
use pinion_tests::operator::{NAMESPACE, Operator};
use pinion_tests::programs::pinion;
use pinion_tests::prometheus::Prometheus;
use pinion_tests::runtime::is_clean;
use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;
use serde_json::Value;

use super::STEP;
use crate::boards::scene::now;
use crate::chart::guides::reader;
use crate::desk::{Desk, Watch};

/// Who walks, what they have set up so far, and how long each step took.
pub(super) struct Way<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) kafka: &'static Secured,
    pub(super) proxy: Proxy,
    /// Who reads the guides, as the cluster's administrator.
    pub(super) reader: Reader,
    /// The tenant and its strategy that decides by the record alone.
    pub(super) desk: Desk<'a>,
    pub(super) operators: Vec<(String, Operator)>,
    pub(super) prometheus: Option<Prometheus>,
    /// A process for each pod of the tenant, by the pod's UID, with its name.
    pub(super) pods: BTreeMap<String, (String, StandIn)>,
    pub(super) began: f64,
    pub(super) watch: Watch,
    /// Ids of the orders while the market was open.
    pub(super) ids: Vec<String>,
    /// How many of them were sent again after a pod was killed.
    pub(super) repeats: usize,
}

impl<'a> Way<'a> {
    pub(super) fn new(cluster: &'a Cluster, kafka: &'static Secured, watch: Watch) -> Option<Self> {
        let (name, market) = (Broker::unique_topic("way"), Broker::unique_topic("md.spot"));
        let own = format!("{name}.record-only");
        let mut desk = Desk::reading(cluster, kafka.broker(), &name, &market, &own)?;
        desk.strategy.spec.inputs[0].group = Some(own);
        // One that nothing meets: the boards are to show it.
        desk.strategy.spec.scaling.targets.p99_micros = Some(1);
        let mut reader = reader(cluster, kafka);
        reader.names.extend([("desk-7", name), ("md.spot", market)]);
        let (operators, pods, ids, repeats) = (Vec::new(), BTreeMap::new(), Vec::new(), 0);
        let (proxy, prometheus, began) = (cluster.proxy(), None, now());
        Some(Self { cluster, kafka, proxy, reader, desk, operators, prometheus, pods, began, watch, ids, repeats })
    }

    pub(super) fn done(&mut self, what: &str) {
        let _ = self.watch.lap(what);
    }

    /// Waits, and meanwhile does what kubelets would.
    pub(super) fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> Option<T>) -> T {
        until(what, STEP, || {
            self.keep_pods();
            ask(self)
        })
    }

    /// A process for each pod that has an address, until the pod is gone.
    pub(super) fn keep_pods(&mut self) {
        let selector = "labelSelector=app.kubernetes.io/name=pinion-runtime";
        let list = self.proxy.get(&format!("/api/v1/namespaces/{}/pods?{selector}", self.desk.name));
        let list: Value = serde_json::from_str(&list.body).unwrap();
        let text = |pod: &Value, path: &str| pod.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let pods = list["items"].as_array().unwrap().iter();
        let pods = pods.filter(|pod| text(pod, "/status/podIP").is_some());
        let pods: BTreeMap<String, String> =
            pods.filter_map(|pod| Some((text(pod, "/metadata/uid")?, text(pod, "/metadata/name")?))).collect();
        let gone: Vec<String> = self.pods.keys().filter(|uid| !pods.contains_key(*uid)).cloned().collect();
        for (_, pod) in gone.iter().filter_map(|uid| self.pods.remove(uid)) {
            assert!(is_clean(pod.runtime.sigterm_and_wait()));
        }
        let come: Vec<_> = pods.into_iter().filter(|(uid, _)| !self.pods.contains_key(uid)).collect();
        if come.is_empty() && gone.is_empty() {
            return;
        }
        for (uid, name) in come {
            let pod = stand_in(self.cluster, self.kafka, &self.desk.name, &name);
            self.pods.insert(uid, (name, pod));
        }
        self.tell_prometheus();
    }

    /// The targets, as its operator would find them by the chart's monitors.
    pub(super) fn tell_prometheus(&self) {
        let Some(prometheus) = &self.prometheus else { return };
        let operators = self.operators.iter();
        let operators = operators.map(|(pod, one)| ("pinion-operator", format!("{NAMESPACE}/{pod}"), one.address()));
        let pods = self.pods.values();
        let pods = pods.map(|(pod, one)| ("pinion-runtime", format!("{}/{pod}", self.desk.name), one.address));
        prometheus.scrape(&operators.chain(pods).collect::<Vec<_>>());
    }

    /// The pods that run shards of the strategy that decides by the record alone.
    pub(super) fn runs_it(&self) -> Vec<String> {
        let labels = [("strategy", "record-only")];
        let runs = |pod: &StandIn| pod.runtime.metric(&metrics::STRATEGY_SHARDS, &labels).is_some_and(|n| n > 0.0);
        self.pods.iter().filter(|(_, (_, pod))| runs(pod)).map(|(uid, _)| uid.clone()).collect()
    }

    /// Records of that strategy's group that a pod has read.
    pub(super) fn records(&self, pod: &StandIn) -> f64 {
        pod.runtime.metric(&metrics::RECORDS, &[("feed", &self.desk.strategy.group())]).unwrap_or(0.0)
    }

    /// What the chart has brought to the cluster.
    pub(super) fn rules(&self) -> Value {
        let path = ["get", "prometheusrule", "pinion", "--namespace", NAMESPACE, "--output=jsonpath={.spec}"];
        serde_json::from_str(&self.cluster.ask(&path)).unwrap()
    }

    /// The page that the alert names.
    pub(super) fn runbook(&self, alert: &str) -> PathBuf {
        let rules = self.rules();
        let groups = rules["groups"].as_array().unwrap().iter();
        let mut rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        let url = rules.find(|rule| rule["alert"] == alert).unwrap()["annotations"]["runbook_url"].as_str().unwrap();
        project_root().join(&url[url.find("docs/runbooks/").expect("a page of the project")..])
    }

    /// From the last moment at which the apiserver had not accepted it yet.
    pub(super) fn halt_once(&mut self) -> Duration {
        self.resume();
        let path = format!("/apis/pinion.dev/v1alpha1/namespaces/{}/strategies/record-only", self.desk.name);
        let accepted = || self.proxy.get(&path).body.contains("\"tradingState\":\"HALTED\"");
        let mut halt = self.pinion("officer", "risk", &["halt", "record-only"]).spawn().unwrap();
        let mut before = mono_ns();
        until("the halt to be accepted", STEP, || {
            let asked = mono_ns();
            if accepted() {
                return Some(());
            }
            before = asked;
            None
        });
        until("the halt in every worker", STEP, || self.is_everywhere("HALTED").then_some(()));
        let took = Duration::from_nanos(mono_ns() - before);
        assert!(halt.wait().unwrap().success());
        took
    }

    pub(super) fn resume(&self) {
        assert!(self.pinion("officer", "risk", &["resume", "record-only"]).status().unwrap().success());
        until("the end of the halt", STEP, || self.is_everywhere("ACTIVE").then_some(()));
    }

    pub(super) fn is_everywhere(&self, state: &str) -> bool {
        let runs = self.runs_it();
        let labels = [("strategy", "record-only"), ("state", state)];
        let is = |uid: &String| self.pods[uid].1.runtime.metric(&metrics::STRATEGY_STATE, &labels) == Some(1.0);
        !runs.is_empty() && runs.iter().all(is)
    }

    pub(super) fn read(&self, what: &str, path: &str) -> String {
        let path = format!("jsonpath={path}");
        self.cluster.ask(&["get", "--namespace", &self.desk.name, what, "--output", &path])
    }

    /// The strategy's file with this module.
    pub(super) fn file(&self, module: &Path) -> String {
        let mut strategy = self.desk.strategy.clone();
        strategy.spec.module = ModuleSource { file: module.to_str().map(str::to_owned), ..ModuleSource::default() };
        let path = self.reader.folder().join("record-only.yaml");
        std::fs::write(&path, serde_json::to_vec_pretty(&strategy).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A command of a person of the tenant's, with the rights that the guide gives their group.
    pub(super) fn pinion(&self, person: &str, part: &str, arguments: &[&str]) -> Command {
        let group = if part == "risk" { "risk-officers".to_owned() } else { format!("{}-{part}", self.desk.name) };
        let mut command = pinion(arguments[0]);
        command.args(&arguments[1..]).args(["--namespace", &self.desk.name]).env("NO_PROXY", "*");
        command.env("KUBECONFIG", self.cluster.kubeconfig_of_person(person, &[&group]));
        command
    }
}

pub(super) fn stand_in(cluster: &Cluster, kafka: &Secured, namespace: &str, pod: &str) -> StandIn {
    let mounted = [("--kafka-properties", "secret/kafka-client", "client.properties")];
    StandIn::start_with(cluster, kafka.broker(), namespace, "default", pod, 1, &mounted)
}

pub(super) fn example(module: &str) -> PathBuf {
    let path = project_root().join("strategies-examples").join(module);
    assert!(path.is_file(), "no {}: run `make strategies`", path.display());
    path
}
