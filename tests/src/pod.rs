//! `pinion-runtime` as the process of a pod: what runs is assigned over its admin port.

use std::path::PathBuf;
use std::time::Duration;

use pinion_runtime::sandbox::Digest;
use pinion_spec::assignment::{AssignedShard, AssignedStrategy, Assignment, PodClock, PodReport, Version};
use pinion_spec::strategy::{Strategy, TradingState};

use crate::http::Answer;
use crate::kafka::Broker;
use crate::runtime::{ASSIGNMENT, Runtime};
use crate::scratch::Scratch;

/// A lease that no test outlives.
pub const LONG_LEASE_SECONDS: u32 = 600;

const TOKEN: &str = "the-token-of-the-pool-0123456789";

/// A pod's process, and what outlives the process.
#[derive(Debug)]
pub struct Pod {
    /// The process.
    pub runtime: Runtime,
    name: String,
    home: Scratch,
}

/// A document for a pod that runs these shards of one strategy on worker 0.
///
/// # Panics
/// If the strategy's module cannot be read.
#[must_use]
pub fn document(pod: &str, revision: u64, strategy: &Strategy, shards: &[u16]) -> Assignment {
    let (module, _) = module_of(strategy);
    let shards = shards.iter().map(|shard| AssignedShard { shard: *shard, worker: 0 }).collect();
    Assignment {
        version: Version { epoch: 1, revision },
        pod: pod.to_owned(),
        lease_seconds: LONG_LEASE_SECONDS,
        trading_state: TradingState::Active,
        strategies: vec![AssignedStrategy { strategy: strategy.clone(), module, shards }],
    }
}

/// A strategy's module and its digest.
fn module_of(strategy: &Strategy) -> (String, Vec<u8>) {
    let path = PathBuf::from(strategy.spec.module.file.as_ref().expect("a file"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (Digest::of(&bytes).hex(), bytes)
}

impl Pod {
    /// Starts the process; nothing is assigned to it yet.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(broker: &Broker, name: &str) -> Self {
        let home = Scratch::new();
        Self { runtime: process(broker, name, &home), name: name.to_owned(), home }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kills the process and starts another one in its place, as the kubelet does with a container.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn kill9_and_restart(self, broker: &Broker) -> Self {
        self.runtime.kill9();
        Self { runtime: process(broker, &self.name, &self.home), name: self.name, home: self.home }
    }

    /// Puts a document with a lease from now, whatever comes of it.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn put(&self, document: &Assignment) -> Answer {
        self.put_from(document, &self.runtime.clock())
    }

    /// Puts a document with a lease from a time of its clock, whatever comes of it.
    ///
    /// # Panics
    /// If nobody answers.
    #[must_use]
    pub fn put_from(&self, document: &Assignment, clock: &PodClock) -> Answer {
        let body = serde_json::to_vec(document).expect("a document serialises");
        self.runtime.put_assignment(&body, &clock.to_string())
    }

    /// Puts a strategy's module.
    ///
    /// # Panics
    /// If it is not taken.
    pub fn put_module(&self, strategy: &Strategy) {
        let (digest, bytes) = module_of(strategy);
        let answer = self.runtime.put_bytes(&format!("/control/modules/{digest}"), &bytes);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// What it says of itself; `None` while nobody listens.
    #[must_use]
    pub fn report(&self) -> Option<PodReport> {
        let answer = self.runtime.get(ASSIGNMENT)?;
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).expect("a report"))
    }

    /// Puts a document and waits until all of it runs.
    ///
    /// # Panics
    /// If it is refused, or does not run after `limit`.
    pub fn assign(&mut self, document: &Assignment, limit: Duration) {
        self.listens();
        let answer = self.put(document);
        assert_eq!(answer.status, 200, "{answer:?}");
        self.settles(document.version, limit);
    }

    /// Waits until all of a document runs.
    ///
    /// # Panics
    /// If it does not after `limit`.
    pub fn settles(&mut self, version: Version, limit: Duration) {
        let ask = |runtime: &Runtime| {
            let answer = runtime.get(ASSIGNMENT)?;
            let report: PodReport = serde_json::from_str(&answer.body).ok()?;
            (report.settled && report.version == version).then_some(())
        };
        self.runtime.until("the assignment to run", limit, ask);
    }

    /// Waits until the admin port answers.
    ///
    /// # Panics
    /// If it does not in a minute.
    pub fn listens(&mut self) {
        self.runtime.until("the admin port", crate::runtime::START, |runtime| runtime.get("/live").map(drop));
    }
}

fn process(broker: &Broker, name: &str, home: &Scratch) -> Runtime {
    let token = home.write("token", TOKEN);
    let file = home.path().join("assignment.json");
    let state = home.path().join("state");
    let path = |path: &std::path::Path| path.to_str().expect("a path in UTF-8").to_owned();
    let args =
        ["--assignment", &path(&file), "--pod", name, "--state", &path(&state), "--admin-token-file", &path(&token)];
    Runtime::start(&[], &broker.address(), &args).with_token(TOKEN)
}
