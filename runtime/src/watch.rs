//! Takes over changes of strategy files and modules while running: what can change does, the rest says that it needs a restart.
//!
//! Promise: only what a file says otherwise than when it was last read is taken over, so a touched file changes nothing; and nothing
//! is loosened that a command has tightened ([`App::file_limits`], [`App::file_trading_state`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pinion_spec::strategy::Strategy;

use crate::app::{App, LimitsChanged};
use crate::args::chain;
use crate::loading::{self, Loader};
use crate::risk::RiskChange;
use crate::sandbox::Module;
use crate::supervisor::{SharedApp, lock};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What tells one version of a file from another without reading it.
type Version = Option<(SystemTime, u64)>;

/// A strategy as its file has it, as far as that has been taken over.
struct Read {
    strategy: Strategy,
    /// Digest of the file's module.
    module: String,
}

/// The files of a running process.
pub struct Watch {
    files: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Version>,
    /// By tenant and name.
    read: BTreeMap<(String, String), Read>,
    app: SharedApp,
    loader: Loader,
}

fn version(path: &Path) -> Version {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The parts of a strategy that cannot change while it runs.
fn fixed(strategy: &Strategy) -> Strategy {
    let mut fixed = strategy.clone();
    fixed.spec.module = Default::default();
    fixed.spec.params.clear();
    fixed.spec.risk = None;
    fixed.spec.trading_state = Default::default();
    fixed.spec.scaling = Default::default();
    fixed.spec.rollout = Default::default();
    fixed
}

impl Watch {
    /// Of these strategy files and the modules that they name, all of which run as they were loaded.
    #[must_use]
    pub fn new(files: &[PathBuf], app: SharedApp, loader: Loader) -> Self {
        let mut watch = Self { files: files.to_vec(), seen: BTreeMap::new(), read: BTreeMap::new(), app, loader };
        for file in files {
            watch.seen.insert(file.clone(), version(file));
            for module in loading::read(file).iter().flatten().filter_map(|strategy| module_of(strategy, file)) {
                let seen = version(&module);
                watch.seen.insert(module, seen);
            }
        }
        if let Some(app) = lock(&watch.app).as_ref() {
            let read =
                |(key, held): (_, crate::app::Held)| (key, Read { strategy: held.strategy, module: held.module });
            watch.read = app.held().into_iter().map(read).collect();
        }
        watch
    }

    /// Looks at the files for ever.
    pub async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            if !self.changed() {
                continue;
            }
            // Written in several steps, a file is read when it has been still for one look.
            look.tick().await;
            while self.changed() {
                look.tick().await;
            }
            self = match tokio::task::spawn_blocking(move || {
                self.take_over();
                self
            })
            .await
            {
                Ok(watch) => watch,
                Err(_) => return,
            };
        }
    }

    /// Whether any file is another than at the last look.
    fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.seen {
            let now = version(path);
            changed |= now.is_some() && now != *seen;
            *seen = now.or(*seen);
        }
        changed
    }

    fn take_over(&mut self) {
        for file in self.files.clone() {
            let strategies = match loading::read(&file) {
                Ok(strategies) => strategies,
                Err(error) => {
                    tracing::error!(file = %file.display(), %error, "the changed file has mistakes; what runs goes on unchanged");
                    continue;
                }
            };
            for strategy in strategies {
                self.take_over_strategy(&file, &strategy);
            }
        }
    }

    fn take_over_strategy(&mut self, file: &Path, strategy: &Strategy) {
        let (tenant, name) = (strategy.tenant(), strategy.metadata.name.as_str());
        let Some(read) = self.read.get_mut(&(tenant.to_owned(), name.to_owned())) else {
            tracing::warn!(file = %file.display(), strategy = name, "a strategy that does not run here yet needs a restart");
            return;
        };
        if fixed(&read.strategy) != fixed(strategy) {
            tracing::warn!(
                file = %file.display(),
                strategy = name,
                "inputs, outputs, instruments, budget, pool and replicas cannot change while running; restart to apply them"
            );
        }
        // What protects comes first, and does not wait for a compilation.
        if let Some(app) = lock(&self.app).as_mut() {
            read.trading_state(app, strategy);
            read.limits(app, strategy);
            read.scaling(app, strategy);
        }
        if let Some(path) = module_of(strategy, file) {
            self.seen.entry(path.clone()).or_insert_with(|| version(&path));
        }
        // Pulled and compiled before the app is locked: what is slow delays no halt.
        let base = file.parent().unwrap_or(Path::new(""));
        let module = match self.loader.module(strategy, &file.display().to_string(), base) {
            Ok(module) => module,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(tenant, strategy = name, error, "the changed module is refused; the running one stays");
                return;
            }
        };
        if let Some(app) = lock(&self.app).as_mut() {
            read.module(app, strategy, module);
        }
    }
}

impl Read {
    fn trading_state(&mut self, app: &mut App, now: &Strategy) {
        let wanted = now.spec.trading_state;
        if wanted == self.strategy.spec.trading_state {
            return;
        }
        let (tenant, strategy) = (now.tenant(), now.metadata.name.as_str());
        match app.file_trading_state(tenant, strategy, wanted) {
            Ok(state) => {
                self.strategy.spec.trading_state = wanted;
                let (file, state) = (wanted.name(), state.name());
                if file == state {
                    tracing::info!(tenant, strategy, state, "trading state changed by the file");
                } else {
                    tracing::warn!(
                        tenant,
                        strategy,
                        file,
                        state,
                        "the file's trading state is looser than a command's, which stays"
                    );
                }
            }
            Err(error) => tracing::error!(tenant, strategy, %error, "the trading state stays"),
        }
    }

    fn limits(&mut self, app: &mut App, now: &Strategy) {
        let (before, wanted) = (&self.strategy.spec.risk, &now.spec.risk);
        let (before, wanted) = (before.clone().unwrap_or_default(), wanted.clone().unwrap_or_default());
        let change = RiskChange::between(&before, &wanted);
        if change.is_empty() {
            return;
        }
        let (tenant, strategy) = (now.tenant(), now.metadata.name.as_str());
        match app.file_limits(tenant, strategy, change.clone()) {
            Ok(LimitsChanged { from, to, instances }) => {
                self.strategy.spec.risk.clone_from(&now.spec.risk);
                let json = |risk| serde_json::to_string(risk).unwrap_or_default();
                let kept = change.onto(&to) != to;
                let (from, to) = (json(&from), json(&to));
                tracing::info!(tenant, strategy, from, to, instances, "limits changed by the file");
                if kept {
                    tracing::warn!(
                        tenant,
                        strategy,
                        to,
                        "some of the file's limits are looser than a command's, which stay"
                    );
                }
            }
            Err(error) => tracing::error!(tenant, strategy, %error, "the running limits stay"),
        }
    }

    /// Of it only the objective means anything here: figures are held against it.
    fn scaling(&mut self, app: &mut App, now: &Strategy) {
        if now.spec.scaling == self.strategy.spec.scaling {
            return;
        }
        let (tenant, strategy) = (now.tenant(), now.metadata.name.as_str());
        match app.set_scaling(tenant, strategy, &now.spec.scaling) {
            Ok(()) => {
                let objective_micros = now.spec.scaling.targets.p99_micros;
                self.strategy.spec.scaling = now.spec.scaling.clone();
                tracing::info!(tenant, strategy, objective_micros, "scaling changed by the file");
            }
            Err(error) => tracing::error!(tenant, strategy, %error, "the objective stays"),
        }
    }

    /// The file's module or params, where either has changed; of the other, what runs.
    fn module(&mut self, app: &mut App, now: &Strategy, module: Module) {
        let digest = module.digest().hex();
        let (new_module, new_params) = (digest != self.module, now.spec.params != self.strategy.spec.params);
        let (tenant, strategy) = (now.tenant(), now.metadata.name.as_str());
        if !new_module && !new_params {
            return;
        }
        let swapped = app.running_module(tenant, strategy).and_then(|(running, params)| {
            let from = running.digest().to_string();
            if !new_params && running.digest() == module.digest() {
                // A command has swapped it in already.
                return Ok(None);
            }
            let module = if new_module { module } else { running };
            let to = module.digest().to_string();
            let params = if new_params { now.spec.params.clone() } else { params };
            app.swap(tenant, strategy, module, &params)?;
            Ok(Some((from, to, serde_json::to_string(&params).unwrap_or_default())))
        });
        match swapped {
            Ok(None) => self.module = digest,
            Ok(Some((from, to, params))) => {
                (self.module, self.strategy.spec.params) = (digest, now.spec.params.clone());
                let what = match (new_module, new_params) {
                    (true, false) => "module",
                    (false, true) => "params",
                    _ => "module and params",
                };
                tracing::info!(tenant, strategy, changed = what, from, to, params, "module swapped by the file");
            }
            Err(error) => tracing::error!(tenant, strategy, %error, "the running module stays"),
        }
    }
}

fn module_of(strategy: &Strategy, file: &Path) -> Option<PathBuf> {
    loading::module_path(strategy, file.parent().unwrap_or(Path::new("")))
}
