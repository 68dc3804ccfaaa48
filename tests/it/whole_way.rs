//! The whole way, as the guides say it: an operator from its chart, a tenant, two strategies on real market data, what happens to them, and
//! the way back to an empty cluster.
//!
//! Real are etcd, Kubernetes, Helm, Kafka with its credentials and rights, Prometheus, and every process of Pinion. kwok plays the nodes: what
//! would run in a pod runs beside it, at the pod's address and with the pod's account, arguments and Secrets.

mod way;

use std::process::Stdio;
use std::time::Duration;

use pinion_spec::metrics;
use pinion_tests::bounds;
use pinion_tests::guide::{Guide, runbook_command};
use pinion_tests::kafka::Secured;
use pinion_tests::kube::{Cluster, Tier, prometheus_definitions};
use pinion_tests::operator::{NAMESPACE, Operator};
use pinion_tests::prometheus::Prometheus;
use pinion_tests::runtime::is_clean;
use pinion_tests::wait::until;
use serde_json::Value;

use self::way::{Way, example, stand_in};
use crate::boards::answers::{Answers, MAY_BE_ZERO};
use crate::desk::{Watch, becomes, condition, reachable_pods, traces};
use crate::flow::Flow;

/// Each wait takes seconds on a quiet machine; an alert takes a minute by its rule.
const STEP: Duration = Duration::from_secs(120);

/// Records with which the market opens, and that come each second from then on: the capture lasts for minutes.
const OPENING: usize = 8_000;
const RATE: usize = 200;

/// Records after a change, by which each worker shows that it works.
const SOME: f64 = 200.0;

/// From the apiserver's acceptance to the last worker; the median of so many halts is held to it, and all are printed.
const HALT_MAX: Duration = Duration::from_millis(200);
const HALTS: usize = 5;

/// Panels that may show 0 besides: what goes wrong in boards/filled.rs does not here, and a scrape may find nobody behind.
const NOT_CAUSED: [(&str, &str); 12] = [
    ("Journal", "pods keep none"),
    ("Records from the future", "the clocks agree"),
    ("Assignments refused", "nobody sends an old one"),
    ("Pauses of partitions", "rings are never full"),
    ("Waits for a worker's ring", "the same"),
    ("Trouble with sending", "Kafka takes every order"),
    ("Breaks in the venue's sequence", "the capture is whole"),
    ("On their way", "between two scrapes"),
    ("Records that wait for each shard", "the same"),
    ("Furthest behind", "the same"),
    ("Lag in records", "the same"),
    ("Lag in time", "the same"),
];

const RECORD_ONLY: &str = "strategy/record-only";
const QUARANTINED: &str = "PinionStrategyQuarantined";

#[test]
fn from_an_empty_cluster_to_orders_and_boards_through_what_may_happen_and_back_to_nothing() {
    if !reachable_pods() {
        return;
    }
    let watch = Watch::start();
    let (Some(cluster), Some(kafka)) = (Cluster::start(Tier::Full), Secured::shared()) else { return };
    let Some(mut way) = Way::new(&cluster, kafka, watch) else { return };
    way.done("an empty cluster, and Kafka");

    way.install_the_chart();
    if !way.start_prometheus_with_the_charts_rules() {
        return;
    }
    way.onboard_a_tenant();
    way.deploy_the_guides_strategy_with_a_module_that_traps();
    way.deploy_another_by_the_command_line();

    let market = way.open_the_market();
    way.scale("2");
    way.scale("1");
    way.lose_a_pod();
    way.close_the_market(market);
    way.compare_the_orders_with_a_laptops();

    way.clear_the_alert_by_its_runbook();
    way.release_a_module_that_traps();
    way.halt_and_resume();
    way.see_that_no_order_is_double_or_unknown();
    way.look_at_every_board();

    way.offboard_the_tenant();
    way.uninstall_the_chart();
}

impl Way<'_> {
    fn install_the_chart(&mut self) {
        for definition in prometheus_definitions() {
            let _ = self.cluster.ask(&["apply", "--server-side", "-f", definition.to_str().unwrap()]);
        }
        let _ = self.cluster.ask(&["create", "namespace", "monitoring"]);
        self.reader.follow(&Guide::read("install.md").split_at("Upgrade").0, |_| {});
        let selector = "--selector=app.kubernetes.io/name=pinion-operator";
        let pods = self.cluster.ask(&["get", "pods", "--namespace", NAMESPACE, selector, "--output=name"]);
        for pod in pods.lines().map(|pod| pod.trim_start_matches("pod/")) {
            self.operators.push((pod.to_owned(), Operator::stand_in(self.cluster, pod)));
        }
        assert_eq!(self.operators.len(), 2, "{pods}");
        self.until("a leader and one that could be", |way| {
            let leads = |one: &Operator| one.metric(&metrics::OPERATOR_LEADER, &[]) == 1.0;
            let ready = |one: &Operator| one.get("/ready").is_some_and(|answer| answer.status == 200);
            let leaders = way.operators.iter().filter(|(_, one)| leads(one)).count();
            (leaders == 1 && way.operators.iter().all(|(_, one)| ready(one))).then_some(())
        });
        self.done("chart installed, one operator of two leads");
    }

    /// The rules as the chart has brought them to the cluster; `false` where there is no Prometheus.
    fn start_prometheus_with_the_charts_rules(&mut self) -> bool {
        self.prometheus = Prometheus::discovering(&self.rules().to_string());
        self.tell_prometheus();
        self.prometheus.is_some()
    }

    fn onboard_a_tenant(&mut self) {
        let (tenant, _) = Guide::read("onboarding.md").split_at("The first strategy");
        let (tenant, pool) = tenant.split_at("A pool");
        self.reader.follow(&tenant, |_| {});
        self.done("tenant Ready");
        let (cluster, kafka, name) = (self.cluster, self.kafka, self.desk.name.clone());
        let mut first = None;
        self.reader.follow(&pool, |command| {
            if command.starts_with("kubectl apply") {
                first = Some(stand_in(cluster, kafka, &name, "default-0"));
            }
        });
        let uid = self.read("pod/default-0", "{.metadata.uid}");
        self.pods.insert(uid, ("default-0".into(), first.expect("a pool")));
        self.tell_prometheus();
        self.done("pool Ready");
    }

    /// It is Ready as long as no market data comes.
    fn deploy_the_guides_strategy_with_a_module_that_traps(&mut self) {
        std::fs::copy(example("misbehaving/trap.wasm"), self.reader.folder().join("ema-cross.wasm")).unwrap();
        let (_, strategy) = Guide::read("onboarding.md").split_at("The first strategy");
        self.reader.follow(&strategy.split_at("Halting").0, |_| {});
        self.done("the guide's strategy deployed, once its quota is counted");
    }

    fn deploy_another_by_the_command_line(&mut self) {
        let module = self.desk.module.clone();
        let mut deploy = self.pinion("quant", "quants", &["deploy", &self.file(&module), "--wait"]);
        let mut deploy = deploy.stdout(Stdio::null()).spawn().unwrap();
        // It needs a pod more.
        let status = self.until("the deployment", |_| deploy.try_wait().unwrap());
        assert!(status.success(), "{status}");
        self.done("record-only deployed and Ready, in a pod of its own");
    }

    fn open_the_market(&mut self) -> Flow {
        self.desk.produce(OPENING);
        let market = &self.desk.strategy.spec.inputs[0].topic;
        let flow = Flow::start(self.kafka.broker(), market, self.desk.frames[OPENING..].to_vec(), RATE);
        self.until("orders", |way| (!way.desk.ids().0.is_empty()).then_some(()));
        self.done("market data, to the first order seen");
        let name = self.desk.name.clone();
        becomes(self.cluster, &name, "strategy/ema-cross", "Ready", "False", "Quarantined");
        self.done("the other one trapped until it was quarantined");
        flow
    }

    fn scale(&mut self, workers: &str) {
        let replicas = format!("--replicas={workers}");
        let _ = self.cluster.ask(&["scale", "--namespace", &self.desk.name, RECORD_ONLY, &replicas]);
        self.until("the workers", |way| {
            let pods: usize = 1 + workers.parse::<usize>().unwrap();
            let ready = condition(way.cluster, &way.desk.name, RECORD_ONLY, "Ready")?;
            let is = way.runs_it().len().to_string() == workers && way.pods.len() == pods;
            (is && ready.0 == "True" && way.read(RECORD_ONLY, "{.status.workers}") == workers).then_some(())
        });
        let read = |way: &Self, uid: &String| way.records(&way.pods[uid].1);
        let before: Vec<_> = self.runs_it().into_iter().map(|uid| (read(self, &uid), uid)).collect();
        self.until("each to read", |way| {
            before.iter().all(|(before, uid)| read(way, uid) >= before + SOME).then_some(())
        });
        self.done(&format!("scaled to workers: {workers}, under load, with a pod for each"));
    }

    fn lose_a_pod(&mut self) {
        assert_eq!(self.desk.ids().1, 0, "each move was announced, so nothing is sent twice");
        let uid = self.runs_it().remove(0);
        let (name, lost) = self.pods.remove(&uid).unwrap();
        lost.runtime.kill9();
        let force = ["delete", "pod", &name, "--namespace", &self.desk.name, "--force", "--grace-period=0"];
        let _ = self.cluster.ask(&force);
        self.until("its successor to read", |way| {
            let (_, next) = way.pods.values().find(|(pod, _)| *pod == name)?;
            (way.records(next) > 0.0).then_some(())
        });
        self.done("pod killed and deleted, to its successor reading");
    }

    fn close_the_market(&mut self, market: Flow) {
        self.desk.produced += market.stop();
        self.desk.committed();
        self.done("market closed, all done and committed");
    }

    fn compare_the_orders_with_a_laptops(&mut self) {
        // The tenant's own credentials, where a laptop has them.
        let folder = self.reader.folder();
        let settings = std::fs::read_to_string(folder.join("client.properties")).unwrap();
        let settings = settings.replace("/etc/pinion/kafka", folder.to_str().unwrap());
        std::fs::write(folder.join("laptop.properties"), settings).unwrap();
        let settings = folder.join("laptop.properties").to_str().unwrap().to_owned();
        self.desk.laptop_args = vec!["--kafka-properties".into(), settings];
        let (ids, repeats) = self.desk.ids();
        (self.ids, self.repeats) = (ids.into_keys().collect(), repeats);
        assert_eq!(self.ids, self.desk.laptop());
        println!("{} records, {} orders, {repeats} sent again after the kill", self.desk.produced, self.ids.len());
        self.done("a laptop sends the same ids");
    }

    fn clear_the_alert_by_its_runbook(&mut self) {
        let firing = |way: &Self| {
            let alerts = way.prometheus.as_ref().unwrap().alerts(QUARANTINED);
            alerts.iter().any(|(labels, state)| labels["strategy"] == "ema-cross" && state == "firing")
        };
        self.until("the alert to fire", |way| firing(way).then_some(()));
        self.done("its alert fires, a minute after the quarantine");
        std::fs::copy(example("ema-cross/ema-cross.wasm"), self.reader.folder().join("ema-cross.wasm")).unwrap();
        let command =
            runbook_command(&self.runbook(QUARANTINED), "pinion deploy strategy.yaml", &self.desk.name, "ema-cross");
        self.reader.run(&command);
        self.until("the alert to clear", |way| (!firing(way)).then_some(()));
        self.done("cleared by its runbook: a mended module deployed");
    }

    fn release_a_module_that_traps(&mut self) {
        let running = |way: &Self| way.read(RECORD_ONLY, "{.status.module.running}");
        let before = running(self);
        let trap = self.file(&example("misbehaving/trap.wasm"));
        assert!(self.pinion("quant", "quants", &["deploy", &trap]).status().unwrap().success());
        self.until("the release", |way| (running(way) != before).then_some(()));
        self.desk.is_ready();
        self.done("a module that traps released");
        let name = self.desk.name.clone();
        self.until("the way back", |way| {
            way.desk.produce(20);
            let (status, reason, _) = condition(way.cluster, &name, RECORD_ONLY, "RolledBack")?;
            (status == "True" && reason == "ProbationFailed" && running(way) == before).then_some(())
        });
        self.desk.is_ready();
        self.done("rolled back by itself, from the first record");
        let events = self.cluster.ask(&["get", "events", "--namespace", &name]);
        assert!(events.contains("RolledBack"), "{events}");
        let before = self.desk.ids().0.len();
        self.desk.produce(4_000);
        self.desk.committed();
        assert!(self.desk.ids().0.len() > before, "orders come again");
    }

    fn halt_and_resume(&mut self) {
        let mut took: Vec<Duration> = (0..HALTS).map(|_| self.halt_once()).collect();
        took.sort();
        println!("halts, from the apiserver's acceptance to the last worker: {took:?}");
        let before = self.desk.ids().0.len();
        self.desk.produce(2_000);
        self.desk.committed();
        assert_eq!(self.desk.ids().0.len(), before, "an order after the halt");
        let halted = "pinion_strategy_state{strategy=\"record-only\", state=\"HALTED\"} == 1";
        let prometheus = self.prometheus.as_ref().unwrap();
        until("the halt to be scraped", STEP, || (!prometheus.now(halted).unwrap().is_empty()).then_some(()));
        self.resume();
        self.desk.produce(4_000);
        self.desk.committed();
        assert!(self.desk.ids().0.len() > before, "orders come again");
        self.done("five halts by the risk officer, and the way back");
        let what = format!("halt, from the apiserver's acceptance to the last worker, median of {HALTS}");
        bounds::takes_less(&what, took[HALTS / 2], HALT_MAX);
    }

    fn see_that_no_order_is_double_or_unknown(&mut self) {
        let (ids, repeats) = self.desk.ids();
        assert_eq!(repeats, self.repeats, "an order sent twice, and not by the pod that was killed");
        let laptop = self.desk.laptop();
        let unknown = ids.keys().filter(|id| self.ids.binary_search(id).is_err() && laptop.binary_search(id).is_err());
        assert_eq!(unknown.count(), 0, "orders that a laptop does not send");
        assert!(ids.len() < self.ids.len() + laptop.len(), "a halt that denied nothing");
        self.done("no order that a laptop would not send");
    }

    fn look_at_every_board(&mut self) {
        let label = ["get", "configmaps", "--namespace", NAMESPACE, "--selector=grafana_dashboard=1", "--output=json"];
        let maps: Value = serde_json::from_str(&self.cluster.ask(&label)).unwrap();
        let data = maps["items"].as_array().unwrap().iter().flat_map(|map| map["data"].as_object().unwrap().values());
        let boards: Vec<Value> = data.map(|json| serde_json::from_str(json.as_str().unwrap()).unwrap()).collect();
        let titles: Vec<&str> = boards.iter().filter_map(|board| board["title"].as_str()).collect();
        assert_eq!(titles.len(), 4, "{titles:?}");
        let prometheus = self.prometheus.as_ref().unwrap();
        until("every target to be scraped", STEP, || prometheus.down().is_empty().then_some(()));
        // One panel shows reasons alone that there are.
        self.kafka.broker().produce(&self.desk.strategy.spec.inputs[0].topic, 0, [b"no market data"]);
        until("what cannot be decoded to be scraped", STEP, || {
            let errors = prometheus.now("rate(pinion_decode_errors_total[15s] offset 2s) > 0").unwrap();
            (!errors.is_empty()).then_some(())
        });
        let answers = Answers::of(prometheus, &boards, self.began, 1);
        let empty = answers.empty(true);
        assert!(empty.is_empty(), "no data:\n{}", empty.join("\n"));
        let zero = answers.zero(&[&MAY_BE_ZERO[..], &NOT_CAUSED[..]].concat());
        assert!(zero.is_empty(), "nothing but 0:\n{}", zero.join("\n"));
        println!("{} queries of {titles:?}", answers.asked);
        self.done("every panel of four boards asked for");
    }

    fn offboard_the_tenant(&mut self) {
        let (_, offboarding) = Guide::read("onboarding.md").split_at("Offboarding");
        let pods = &self.pods;
        self.reader.follow(&offboarding, |command| {
            if command.starts_with("kubectl delete tenant") {
                let shards = pods.values().filter_map(|(_, pod)| pod.runtime.metric(&metrics::STRATEGY_SHARDS, &[]));
                assert_eq!(shards.sum::<f64>(), 0.0, "gone before it was drained");
            }
        });
        let (cluster, name) = (self.cluster, self.desk.name.clone());
        until("every trace to be gone", STEP, || traces(cluster, &name).is_empty().then_some(()));
        self.done("tenant drained and deleted, without a trace");
    }

    fn uninstall_the_chart(&mut self) {
        for (_, operator) in self.operators.drain(..) {
            assert!(is_clean(operator.sigterm_and_wait()));
        }
        let (_, uninstall) = Guide::read("install.md").split_at("Uninstall");
        self.reader.follow(&uninstall, |_| {});
        let left = self.cluster.ask(&["api-resources", "--api-group=pinion.dev", "--output=name", "--cached=false"]);
        let wide = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings";
        let part = "--selector=app.kubernetes.io/part-of=pinion";
        let left = left + &self.cluster.ask(&["get", wide, part, "--output=name"]);
        assert_eq!(left, "", "what an uninstallation leaves");
        self.done("chart and definitions gone");
    }
}
