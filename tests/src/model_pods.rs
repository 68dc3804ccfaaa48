//! A model of many pods: each answers at its own address as a runtime does and runs nothing, so that tests about the operator can have
//! hundreds. It takes the highest document, lets a lease run out, and notices when two pods may act on one shard.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use pinion_runtime::clock::mono_ns;
use pinion_spec::assignment::{
    AssignedStrategy, Assignment, CLOCK_HEADER, PodClock, PodReport, StrategyReport, Version,
};
use pinion_spec::metrics;
use pinion_spec::strategy::TradingState;
use tokio::sync::mpsc;

use crate::kube::Cluster;

/// The name of the clock of all of them.
const CLOCK: &str = "model";

/// The port that the operator calls.
const ADMIN_PORT: u16 = 9101;

/// Bounds of latency that a pod shows, seconds.
const BOUNDS: [&str; 8] = ["0.00001", "0.0001", "0.001", "0.01", "0.1", "1", "10", "+Inf"];

/// The stages of latency.
const STAGES: [&str; 8] = ["broker", "decode", "queue", "strategy", "risk", "egress", "decision", "ack"];

/// A pod's namespace and name.
pub type Id = (String, String);

/// What one pod holds.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Its document.
    pub document: Option<Assignment>,
    /// When its lease ends, monotonic nanoseconds.
    pub until_ns: u64,
    /// Leases that ran out.
    pub lapses: usize,
    /// The shortest that a lease has been when it was renewed.
    pub spare: Option<Duration>,
    /// Documents that were put, renewals included.
    pub puts: usize,
    /// Those that were refused as older or altered.
    pub refused: usize,
}

#[derive(Debug, Default)]
struct Pods {
    held: BTreeMap<Id, Held>,
    /// Who may act on each shard, and until when.
    owners: BTreeMap<(String, String, u16), (Id, u64)>,
    doubles: Vec<String>,
}

/// The pods of a cluster; gone with this value.
pub struct ModelPods {
    pods: Arc<Mutex<Pods>>,
    kubectl: Arc<Mutex<Option<Child>>>,
    ends: Arc<AtomicBool>,
    _end: mpsc::Sender<(Id, IpAddr)>,
}

impl ModelPods {
    /// Stands in for every pod of the cluster that is or comes to be. Each strategy has so many shards.
    ///
    /// # Panics
    /// If it cannot be.
    #[must_use]
    pub fn start(cluster: &Cluster, shards: u16) -> Self {
        let pods = Arc::new(Mutex::new(Pods::default()));
        let (kubectl, ends) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let (sender, mut found) = mpsc::channel::<(Id, IpAddr)>(1_024);
        let (child, ended, come) = (Arc::clone(&kubectl), Arc::clone(&ends), sender.clone());
        let mut command = cluster.kubectl_command();
        command.args([
            "get",
            "pods",
            "--all-namespaces",
            "--selector",
            "app.kubernetes.io/name=pinion-runtime",
            "--watch",
        ]);
        command.args(["--output", r#"jsonpath={.metadata.namespace} {.metadata.name} {.status.podIP}{"\n"}"#]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                let Ok(mut process) = command.spawn() else { return };
                let lines = process.stdout.take().map(BufReader::new);
                *child.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
                for line in lines.into_iter().flat_map(BufReader::lines).map_while(Result::ok) {
                    let words: Vec<&str> = line.split(' ').collect();
                    if let [namespace, name, ip] = words[..]
                        && let Ok(ip) = ip.parse()
                    {
                        let _ = come.blocking_send(((namespace.to_owned(), name.to_owned()), ip));
                    }
                }
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        let shared = Arc::clone(&pods);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let mut listeners: BTreeMap<IpAddr, (Id, tokio::task::JoinHandle<()>)> = BTreeMap::new();
                while let Some((id, ip)) = found.recv().await {
                    if listeners.get(&ip).is_some_and(|(here, _)| *here == id) {
                        continue;
                    }
                    if let Some((_, before)) = listeners.remove(&ip) {
                        before.abort();
                        let _ = before.await;
                    }
                    // Another address is another process, which holds nothing.
                    lock(&shared).held.insert(id.clone(), Held::default());
                    let pod = Pod { id: id.clone(), pods: Arc::clone(&shared), shards };
                    let listener = tokio::net::TcpListener::bind(SocketAddr::new(ip, ADMIN_PORT)).await;
                    let listener = listener.expect("listen at a pod's address");
                    let serving = tokio::spawn(async move {
                        let _ = axum::serve(listener, pod.router()).await;
                    });
                    listeners.insert(ip, (id, serving));
                }
            });
        });
        Self { pods, kubectl, ends, _end: sender }
    }

    /// What a pod holds; nothing while it is not there.
    #[must_use]
    pub fn held(&self, namespace: &str, pod: &str) -> Held {
        lock(&self.pods).held.get(&(namespace.to_owned(), pod.to_owned())).cloned().unwrap_or_default()
    }

    /// What every pod of a namespace holds; of all without one.
    #[must_use]
    pub fn all(&self, namespace: Option<&str>) -> BTreeMap<Id, Held> {
        let pods = lock(&self.pods);
        let own = pods.held.iter().filter(|(id, _)| namespace.is_none_or(|namespace| id.0 == namespace));
        own.map(|(id, held)| (id.clone(), held.clone())).collect()
    }

    /// Strategies in the documents of all pods that are so and have a shard there. Cheap enough to be asked often.
    #[must_use]
    pub fn count(&self, is: impl Fn(&AssignedStrategy) -> bool) -> usize {
        let pods = lock(&self.pods);
        let documents = pods.held.values().filter_map(|held| held.document.as_ref());
        documents.flat_map(|document| &document.strategies).filter(|one| !one.shards.is_empty() && is(one)).count()
    }

    /// Shards that two pods might have acted on at once.
    #[must_use]
    pub fn doubles(&self) -> Vec<String> {
        lock(&self.pods).doubles.clone()
    }
}

impl Drop for ModelPods {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(mut child) = self.kubectl.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn lock(pods: &Mutex<Pods>) -> MutexGuard<'_, Pods> {
    pods.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Pod {
    id: Id,
    pods: Arc<Mutex<Pods>>,
    shards: u16,
}

impl Pod {
    fn router(self) -> Router {
        Router::new()
            .route("/control/assignment", get(report).put(assign))
            .route("/control/modules/{digest}", put(|Path(_): Path<String>| async { "kept\n" }))
            .route("/metrics", get(figures))
            .with_state(self)
    }

    fn report(&self, held: &Held) -> PodReport {
        let Some(document) = &held.document else { return PodReport { settled: true, ..PodReport::default() } };
        let strategies = document.strategies.iter().map(|one| StrategyReport {
            namespace: one.strategy.metadata.namespace.clone().unwrap_or_default(),
            name: one.strategy.metadata.name.clone(),
            module: one.module.clone(),
            shards: one.shards.iter().map(|shard| shard.shard).collect(),
            shards_total: self.shards,
            trading_state: one.strategy.spec.trading_state.max(document.trading_state),
            ..StrategyReport::default()
        });
        PodReport {
            version: document.version,
            settled: true,
            cores: vec![Some(1)],
            strategies: strategies.collect(),
            ..PodReport::default()
        }
    }
}

/// Whether its lease has run out: then its process has ended, and another begun that holds nothing.
fn lapse(held: &mut Held, now_ns: u64) {
    let runs = held.document.as_ref().is_some_and(|document| !document.strategies.is_empty());
    if held.document.is_some() && now_ns > held.until_ns {
        held.lapses += usize::from(runs);
        held.document = None;
    }
}

async fn report(State(pod): State<Pod>) -> Response {
    let mut pods = lock(&pod.pods);
    let held = pods.held.entry(pod.id.clone()).or_default();
    lapse(held, mono_ns());
    with_clock(pod.report(held))
}

fn with_clock(report: PodReport) -> Response {
    let clock = PodClock { clock: CLOCK.to_owned(), ns: mono_ns() };
    ([(CLOCK_HEADER, clock.to_string())], axum::Json(report)).into_response()
}

async fn assign(State(pod): State<Pod>, headers: HeaderMap, body: Bytes) -> Response {
    let now_ns = mono_ns();
    let clock = headers.get(CLOCK_HEADER).and_then(|value| value.to_str().ok()?.parse::<PodClock>().ok());
    let Some(clock) = clock.filter(|clock| clock.clock == CLOCK && clock.ns <= now_ns) else {
        return StatusCode::CONFLICT.into_response();
    };
    let Ok(document) = serde_json::from_slice::<Assignment>(&body) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let mut pods = lock(&pod.pods);
    let held = pods.held.entry(pod.id.clone()).or_default();
    lapse(held, now_ns);
    held.puts += 1;
    let version = held.document.as_ref().map_or_else(Version::default, |document| document.version);
    if document.version < version || (document.version == version && held.document.as_ref() != Some(&document)) {
        held.refused += 1;
        return (StatusCode::CONFLICT, "a newer one is held").into_response();
    }
    if held.document.is_some() {
        let left = Duration::from_nanos(held.until_ns.saturating_sub(now_ns));
        held.spare = Some(held.spare.map_or(left, |spare| spare.min(left)));
    }
    held.until_ns = clock.ns + u64::from(document.lease_seconds) * 1_000_000_000;
    held.document = Some(document.clone());
    let (until_ns, answer) = (held.until_ns, pod.report(held));
    own(&mut pods, &pod.id, &document, now_ns, until_ns);
    with_clock(answer)
}

/// Notes whose each shard is now.
fn own(pods: &mut Pods, id: &Id, document: &Assignment, now_ns: u64, until_ns: u64) {
    pods.owners.retain(|_, (owner, _)| owner != id);
    for one in &document.strategies {
        for shard in &one.shards {
            let key = (id.0.clone(), one.strategy.metadata.name.clone(), shard.shard);
            if let Some((other, until)) = pods.owners.get(&key)
                && *until > now_ns
            {
                pods.doubles.push(format!("shard {key:?} of {id:?} is {other:?}'s for {} ns more", until - now_ns));
            }
            pods.owners.insert(key, (id.clone(), until_ns));
        }
    }
}

/// As many lines as a runtime of these strategies has, all at rest.
async fn figures(State(pod): State<Pod>) -> String {
    let document = lock(&pod.pods).held.get(&pod.id).and_then(|held| held.document.clone());
    let mut text = String::new();
    for one in document.iter().flat_map(|document| &document.strategies) {
        let (tenant, name) = (one.strategy.tenant(), &one.strategy.metadata.name);
        let whose = format!("tenant=\"{tenant}\",strategy=\"{name}\"");
        let feed = one.strategy.group();
        text.push_str(&format!("{}{{feed=\"{feed}\"}} 0\n", metrics::KAFKA_LAG_SECONDS.name));
        for shard in &one.shards {
            let which = format!("feed=\"{feed}\",shard=\"{}\"", shard.shard);
            text.push_str(&format!("{}{{{which}}} 0\n", metrics::SHARD_LAG.name));
            for metric in [&metrics::SHARD_RECORDS, &metrics::SHARD_BUSY] {
                text.push_str(&format!("{}{{{which},worker=\"{}\"}} 0\n", metric.name, shard.worker));
            }
        }
        text.push_str(&format!("{}{{{whose}}} 0\n", metrics::ORDERS.name));
        for stage in STAGES {
            for bound in BOUNDS {
                let labels = format!("{whose},version=\"{:.8}\",stage=\"{stage}\",le=\"{bound}\"", one.module);
                text.push_str(&format!("{}_bucket{{{labels}}} 0\n", metrics::LATENCY.name));
            }
        }
    }
    text
}

/// Whether every strategy of a document is halted.
#[must_use]
pub fn is_halted(held: &Held) -> bool {
    held.document.as_ref().is_some_and(|document| {
        !document.strategies.is_empty()
            && document
                .strategies
                .iter()
                .all(|one| one.strategy.spec.trading_state.max(document.trading_state) == TradingState::Halted)
    })
}
