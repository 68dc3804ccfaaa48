//! Takes over changes of strategy files and modules while running: what can change does, the rest says that it needs a restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pinion_spec::strategy::Strategy;

use crate::loading;
use crate::sandbox::Sandbox;
use crate::supervisor::{SharedApp, lock};
use crate::worker::Scope;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What tells one version of a file from another without reading it.
type Version = Option<(SystemTime, u64)>;

/// The files of a running process.
pub struct Watch {
    files: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Version>,
    app: SharedApp,
    sandbox: Arc<Sandbox>,
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
    fixed
}

impl Watch {
    /// Of these strategy files and the modules that they name.
    #[must_use]
    pub fn new(files: &[PathBuf], app: SharedApp, sandbox: Arc<Sandbox>) -> Self {
        let mut watch = Self { files: files.to_vec(), seen: BTreeMap::new(), app, sandbox };
        for file in files {
            watch.seen.insert(file.clone(), version(file));
            for module in loading::read(file).iter().flatten().filter_map(|strategy| module_of(strategy, file)) {
                let seen = version(&module);
                watch.seen.insert(module, seen);
            }
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
        let running = lock(&self.app)
            .as_ref()
            .and_then(|app| Some((app.strategy(tenant, name).ok()?.clone(), app.module_digest(tenant, name).ok()?)));
        let Some((running, digest)) = running else {
            tracing::warn!(file = %file.display(), strategy = name, "a strategy that does not run here yet needs a restart");
            return;
        };
        if fixed(&running) != fixed(strategy) {
            tracing::warn!(
                file = %file.display(),
                strategy = name,
                "inputs, outputs, instruments, budget, pool and replicas cannot change while running; restart to apply them"
            );
        }
        let Some(path) = module_of(strategy, file) else { return };
        self.seen.entry(path.clone()).or_insert_with(|| version(&path));
        // Compiled before the app is locked: a slow compilation delays no halt.
        let module = match self.sandbox.load_file(&path) {
            Ok(module) => module,
            Err(error) => {
                tracing::error!(strategy = name, %error, "the changed module is refused; the running one stays");
                return;
            }
        };
        let mut app = lock(&self.app);
        let Some(app) = app.as_mut() else { return };
        if module.digest().to_string() != digest || running.spec.params != strategy.spec.params {
            let to = module.digest().to_string();
            match app.swap(tenant, name, module, &strategy.spec.params) {
                Ok(()) => tracing::info!(strategy = name, from = digest, to, "module swapped"),
                Err(error) => tracing::error!(strategy = name, %error, "the running module stays"),
            }
        }
        if running.spec.risk != strategy.spec.risk {
            match app.set_limits(tenant, name, &strategy.spec.risk.clone().unwrap_or_default()) {
                Ok(()) => tracing::info!(strategy = name, "limits changed"),
                Err(error) => tracing::error!(strategy = name, %error, "the running limits stay"),
            }
        }
        if running.spec.trading_state != strategy.spec.trading_state {
            let scope = Scope::Strategy { tenant: tenant.to_owned(), strategy: name.to_owned() };
            match app.set_trading_state(&scope, strategy.spec.trading_state) {
                Ok(()) => {
                    tracing::info!(strategy = name, state = ?strategy.spec.trading_state, "trading state changed")
                }
                Err(error) => tracing::error!(strategy = name, %error, "the trading state stays"),
            }
        }
    }
}

fn module_of(strategy: &Strategy, file: &Path) -> Option<PathBuf> {
    loading::module_path(strategy, file.parent().unwrap_or(Path::new("")))
}
