//! Runs what the assignment document says: the pod's side of the operator.
//!
//! Promise: the newest document wins and an older one is refused; a stricter trading state takes effect before the document's
//! answer is sent, whatever else is under way; a shard that goes is read no more, finished and committed before it is reported
//! as gone; when the lease runs out nothing more is consumed or sent ([`crate::fence`]).

mod apply;
mod lease;
mod pulls;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinion_spec::SpecErrors;
use pinion_spec::assignment::{
    AssignedStrategy, Assignment, CLOCK_HEADER, PodClock, PodReport, ProblemKind, StrategyReport, Version,
};
use pinion_spec::strategy::TradingState;

use crate::app::{App, Workers};
use crate::clock::mono_ns;
use crate::fence::Fence;
use crate::kafka::Kafka;
use crate::metrics::Metrics;
use crate::modules::{Modules, ModulesError};
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::supervisor::{SharedApp, lock};
use crate::worker::Scope;
use lease::Kept;
use pulls::Pulls;

/// Where a pod has its assignment from.
#[derive(Debug, Clone)]
pub struct PodConfig {
    /// The pod's own name; a document for another is refused.
    pub pod: String,
    /// The document as Kubernetes mounts it; it may not be there yet.
    pub file: PathBuf,
    /// What is kept over a restart of the process: the last document, its lease, modules.
    pub state: PathBuf,
    /// Cores that are to be the pod's alone; 0: nobody has told it.
    pub cores: u16,
}

/// A document that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// For another pod.
    #[error("this is pod {here}, the document is for {pod}")]
    OtherPod {
        /// This pod.
        here: String,
        /// The document's.
        pod: String,
    },
    /// Not the newest.
    #[error("epoch {} revision {} is held here, the document is of epoch {} revision {}", held.epoch, held.revision, offered.epoch, offered.revision)]
    Stale {
        /// What is held.
        held: Version,
        /// What was offered.
        offered: Version,
    },
    /// The same version and something else in it.
    #[error("epoch {} revision {} is held here with other contents", .0.epoch, .0.revision)]
    Changed(Version),
    /// The lease had run out.
    #[error("the lease has run out; this process ends")]
    Fenced,
    /// The time that its lease is to count from is none of this machine's.
    #[error("{CLOCK_HEADER}: {offered} is no time that this pod has told; ask GET /control/assignment for one")]
    Clock {
        /// What came.
        offered: PodClock,
    },
    /// A strategy in it has mistakes.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// It cannot be kept.
    #[error("keeping the document")]
    Keep(#[from] std::io::Error),
}

/// Why a pod cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The state folder.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// The thread that pulls modules.
    #[error("start the thread that pulls modules")]
    Pulls(#[source] std::io::Error),
    /// The mounted document, or the one that was kept.
    #[error("assignment {}: {problem}", file.display())]
    File {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// What the admin port, the applying thread and the process share.
pub struct Assignments {
    config: PodConfig,
    app: SharedApp,
    workers: Workers,
    kafka: Kafka,
    sandbox: Arc<Sandbox>,
    metrics: Arc<Metrics>,
    modules: Arc<Modules>,
    pulls: Pulls,
    fence: Fence,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: Option<Assignment>,
    /// The version that runs as far as it can.
    applied: Option<Version>,
    /// Why a strategy does not run as assigned.
    problems: BTreeMap<(String, String), (Option<ProblemKind>, String)>,
    missing: Vec<String>,
    /// Shards of strategies that are assigned without any.
    scouted: BTreeMap<(String, String), u16>,
    /// What was last said of what runs, for when the app is busy.
    said: PodReport,
    stop: bool,
}

impl State {
    /// Forgets what was wrong with strategies that the next document has otherwise: nobody knows yet whether it still is.
    fn forget_changed(&mut self, next: &Assignment) {
        let of = |document: &Assignment, (namespace, name): &(String, String)| {
            let own = |one: &&AssignedStrategy| {
                (one.strategy.tenant(), &one.strategy.metadata.name) == (namespace.as_str(), name)
            };
            document.strategies.iter().find(own).cloned()
        };
        let held = self.held.as_ref();
        let is_same = |key: &(String, String)| held.and_then(|held| of(held, key)) == of(next, key);
        self.problems.retain(|key, _| is_same(key));
    }
}

/// How soon something that could not be done is tried again: a topic may have been made, a module put here.
const RETRY: Duration = Duration::from_secs(1);

impl Assignments {
    /// Reads what was kept and what is mounted. The newer document is held, and acted on if a lease of this machine's uptime is left.
    ///
    /// # Errors
    /// [`PodError`]
    pub fn open(
        config: PodConfig,
        app: SharedApp,
        sandbox: Arc<Sandbox>,
        registry: Registry,
        metrics: Arc<Metrics>,
        kafka: Kafka,
        fence: Fence,
    ) -> Result<Self, PodError> {
        metrics.give_cores(config.cores);
        let modules = Arc::new(Modules::open(config.state.join("modules"))?);
        let pulls = Pulls::start(registry, Arc::clone(&modules)).map_err(PodError::Pulls)?;
        let workers = lock(&app).as_ref().map_or_else(Workers::default, App::workers);
        let mounted = lease::read_document(&config.file)?;
        let kept = Kept::read(&config.state)?;
        let mut state = State::default();
        if let Some(kept) = kept {
            // A lease is the pod's: a newer mounted document may be acted on under it.
            if kept.lease_end_ns > mono_ns() && fence.renew(kept.lease_end_ns) {
                tracing::info!(version = ?kept.document.version, "goes on under the lease that it was given before its restart");
            }
            state.held = Some(kept.document);
        }
        if let Some(mounted) = mounted {
            if mounted.pod != config.pod {
                let problem = format!("is for pod {}, this is {}", mounted.pod, config.pod);
                return Err(PodError::File { file: config.file, problem });
            }
            if state.held.as_ref().is_none_or(|held| held.version < mounted.version) {
                state.held = Some(mounted);
            }
        }
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Ok(Self { config, app, workers, kafka, sandbox, metrics, modules, pulls, fence, state, changed })
    }

    /// Its clock, for whoever puts the next document.
    #[must_use]
    pub fn clock(&self) -> PodClock {
        PodClock { clock: lease::boot_id().to_owned(), ns: mono_ns() }
    }

    /// Takes a document, or the renewal of the one that is held. The lease counts from what this pod's clock was.
    ///
    /// # Errors
    /// [`AssignmentError`]
    pub fn put(&self, document: Assignment, clock: PodClock) -> Result<PodReport, AssignmentError> {
        let outcome = self.take(document, clock);
        if outcome.is_err() {
            self.metrics.assignment().refused.add(1);
        }
        outcome?;
        Ok(self.report())
    }

    fn take(&self, document: Assignment, clock: PodClock) -> Result<(), AssignmentError> {
        let now = self.clock();
        if clock.clock != now.clock || clock.ns > now.ns {
            return Err(AssignmentError::Clock { offered: clock });
        }
        if document.pod != self.config.pod {
            return Err(AssignmentError::OtherPod { here: self.config.pod.clone(), pod: document.pod });
        }
        for assigned in &document.strategies {
            check(assigned)?;
        }
        let mut state = self.state();
        let same = match &state.held {
            Some(held) if document.version < held.version => {
                return Err(AssignmentError::Stale { held: held.version, offered: document.version });
            }
            Some(held) if document.version == held.version && *held != document => {
                return Err(AssignmentError::Changed(held.version));
            }
            held => held.as_ref() == Some(&document),
        };
        let lease_end_ns = clock.ns.saturating_add(u64::from(document.lease_seconds) * 1_000_000_000);
        if !self.fence.renew(lease_end_ns) {
            return Err(AssignmentError::Fenced);
        }
        let lease_end_ns = self.fence.end_ns();
        self.metrics.assignment().lease_end_ns.set(i64::try_from(lease_end_ns).unwrap_or(i64::MAX));
        if !same {
            // Before the disk: a halt waits for nothing, and one that cannot be kept is better than none.
            self.halt(&document);
        }
        Kept { document: document.clone(), lease_end_ns }.write(&self.config.state)?;
        if !same {
            tracing::info!(version = ?document.version, strategies = document.strategies.len(), "a new assignment");
            let assignment = self.metrics.assignment();
            assignment.epoch.set(i64::try_from(document.version.epoch).unwrap_or(i64::MAX));
            assignment.revision.set(i64::try_from(document.version.revision).unwrap_or(i64::MAX));
            state.forget_changed(&document);
            state.held = Some(document);
            drop(state);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Makes every strategy at least as strict as the document says. Straight to the workers: the app may be busy for seconds with
    /// a load. The app itself is told when the document is applied.
    fn halt(&self, document: &Assignment) {
        for assigned in &document.strategies {
            let state = effective(document, assigned);
            if state != TradingState::Active {
                self.workers.set_trading_state(&scope_of(assigned), state);
            }
        }
        self.workers.settle();
    }

    /// Keeps a module under its digest.
    ///
    /// # Errors
    /// [`ModulesError`]
    pub fn put_module(&self, digest: &str, bytes: &[u8]) -> Result<(), ModulesError> {
        self.modules.put(digest, bytes)?;
        self.state().applied = None;
        self.changed.notify_all();
        Ok(())
    }

    /// Why the pod is not ready, if it is not.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        let held = self.state().held.is_some();
        if !held {
            return Some("no assignment has come from the operator yet".to_owned());
        }
        self.fence.is_passed(mono_ns()).then(|| "waiting for a lease from the operator".to_owned())
    }

    /// What the pod says of itself.
    #[must_use]
    pub fn report(&self) -> PodReport {
        // Not waited for: a load may hold the app for seconds, and the operator asks often.
        let running = self.app.try_lock().ok().map(|app| app.as_ref().map(App::reports).unwrap_or_default());
        let pinning = self.metrics.pinning();
        let number = |core: &Option<usize>| core.and_then(|core| u32::try_from(core).ok());
        let mut state = self.state();
        let held = state.held.as_ref().map(|held| held.version);
        let fresh = running.is_some();
        if let Some(strategies) = running {
            state.said.strategies = strategies;
        }
        let mut report = PodReport {
            version: held.unwrap_or_default(),
            settled: fresh && held.is_some() && state.applied == held && state.problems.is_empty(),
            missing_modules: state.missing.clone(),
            cores: pinning.cores.iter().map(number).collect(),
            cores_shared: pinning.shared,
            strategies: state.said.strategies.clone(),
        };
        for assigned in state.held.iter().flat_map(|held| &held.strategies) {
            let (namespace, name) = (assigned.strategy.tenant(), assigned.strategy.metadata.name.as_str());
            let said = report.strategies.iter_mut().find(|said| (&*said.namespace, &*said.name) == (namespace, name));
            if let Some(said) = said.filter(|said| self.bytes_of(assigned).as_ref() == Some(&said.wasm)) {
                said.module.clone_from(&assigned.module);
            }
        }
        for (key, (kind, problem)) in &state.problems {
            let said = of(&mut report, key);
            (said.problem_kind, said.problem) = (*kind, Some(problem.clone()));
        }
        for (key, shards) in &state.scouted {
            of(&mut report, key).shards_total = *shards;
        }
        report
    }

    /// Applies documents until it is stopped. Returns early when the lease has run out: then the process is to end at once.
    pub fn run(&self) {
        loop {
            let mut state = self.state();
            let document = loop {
                if state.stop || self.has_lapsed() {
                    return;
                }
                let waits = !state.problems.is_empty() || self.fence.is_passed(mono_ns());
                match &state.held {
                    Some(held) if !self.fence.is_passed(mono_ns()) && state.applied != Some(held.version) => {
                        break held.clone();
                    }
                    _ => {}
                }
                let waited = self.changed.wait_timeout(state, RETRY);
                let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = again;
                if waits && timeout.timed_out() {
                    state.applied = None;
                }
            };
            drop(state);
            let outcome = apply::apply(self, &document);
            let mut state = self.state();
            for (key, problem) in &outcome.problems {
                // Once, not with every try.
                if state.problems.get(key) != Some(problem) {
                    let problem = &problem.1;
                    tracing::warn!(tenant = key.0, strategy = key.1, problem, "does not run as assigned; trying again");
                }
            }
            // Of a document that is held no more nothing is reported: the report has the version of the one that is.
            if state.held.as_ref().is_some_and(|held| held.version == document.version) {
                state.problems = outcome.problems;
                state.missing = outcome.missing;
                state.scouted = outcome.scouted;
                state.applied = Some(document.version);
            }
        }
    }

    /// Whether there was a lease and it has run out.
    #[must_use]
    pub fn has_lapsed(&self) -> bool {
        self.fence.end_ns() != 0 && self.fence.is_passed(mono_ns())
    }

    /// Ends [`Assignments::run`].
    pub fn stop(&self) {
        self.state().stop = true;
        self.changed.notify_all();
    }

    /// SHA-256 of the module that a strategy is to run; `None` where its manifest has not been pulled yet.
    fn bytes_of(&self, assigned: &AssignedStrategy) -> Option<String> {
        match assigned.strategy.spec.module.oci {
            Some(_) => self.modules.pulled(&assigned.module),
            None => Some(assigned.module.clone()),
        }
    }

    /// Whether a newer document than this one has come, or none is to be applied any more.
    fn is_overtaken(&self, version: Version) -> bool {
        let state = self.state();
        state.stop || state.held.as_ref().is_none_or(|held| held.version != version)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a strategy may do under a document: the strictest of what the document and the strategy say.
fn effective(document: &Assignment, assigned: &AssignedStrategy) -> TradingState {
    document.trading_state.max(assigned.strategy.spec.trading_state)
}

fn scope_of(assigned: &AssignedStrategy) -> Scope {
    Scope::Strategy { tenant: assigned.strategy.tenant().to_owned(), strategy: assigned.strategy.metadata.name.clone() }
}

/// What a report says of one strategy, whether it runs or not.
fn of<'a>(report: &'a mut PodReport, key: &(String, String)) -> &'a mut StrategyReport {
    let (namespace, name) = key;
    let strategies = &mut report.strategies;
    let index = strategies.iter().position(|said| (&said.namespace, &said.name) == (namespace, name));
    let index = index.unwrap_or_else(|| {
        strategies.push(StrategyReport { namespace: namespace.clone(), name: name.clone(), ..Default::default() });
        strategies.len() - 1
    });
    &mut strategies[index]
}

/// The same checks that a strategy file passes: the document is not trusted more.
fn check(assigned: &AssignedStrategy) -> Result<(), SpecErrors> {
    let name = &assigned.strategy.metadata.name;
    let text = serde_json::to_string(&assigned.strategy).unwrap_or_default();
    pinion_spec::parse(&text, &format!("assigned strategy {name}")).map(drop)
}
