//! From strategy files to deployments: read, check, find the module, compile it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pinion_spec::SpecErrors;
use pinion_spec::oci::Reference;
use pinion_spec::strategy::{ModuleSource, Strategy};

use crate::app::{Deployment, Shards};
use crate::clock::mono_ns;
use crate::modules::{Modules, ModulesError};
use crate::registry::{Registry, RegistryError};
use crate::sandbox::{LoadError, Module, Sandbox};

/// Waits between the tries of a pull, seconds: a registry that restarts is back by then, and whoever waits is a person.
const RETRY_SECONDS: [u64; 2] = [1, 3];

/// Why a strategy file cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum LoadingError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has mistakes.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// Its module is somewhere that a laptop cannot reach.
    #[error("{file}: spec.module of {strategy}: `file` and `oci` can be run here; a `configMap` needs the cluster")]
    Elsewhere {
        /// The file.
        file: String,
        /// The strategy.
        strategy: String,
    },
    /// Its module is refused.
    #[error("{file}: module {module} of {strategy}")]
    Module {
        /// The file.
        file: String,
        /// The strategy.
        strategy: String,
        /// The module: a path, or a reference.
        module: String,
        /// Why.
        source: Box<ModuleError>,
    },
}

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It is refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It cannot be pulled.
    #[error(transparent)]
    Pull(#[from] RegistryError),
    /// What was pulled cannot be kept or read.
    #[error(transparent)]
    Kept(#[from] ModulesError),
}

impl LoadingError {
    /// Whether a registry is at fault rather than the file: it may answer later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        let Self::Module { source, .. } = self else { return false };
        matches!(&**source, ModuleError::Pull(error) if !error.needs_a_person())
    }
}

/// What turns strategies into deployments.
#[derive(Clone)]
pub struct Loader {
    sandbox: Arc<Sandbox>,
    registry: Registry,
    /// Where modules from registries are kept; made with the first of them.
    pulled: PathBuf,
}

impl Loader {
    /// Compiles in this sandbox, pulls from this registry, keeps what it pulls in this folder.
    #[must_use]
    pub const fn new(sandbox: Arc<Sandbox>, registry: Registry, pulled: PathBuf) -> Self {
        Self { sandbox, registry, pulled }
    }

    /// The strategies of a file, with their modules compiled.
    ///
    /// # Errors
    /// [`LoadingError`]
    pub fn file(&self, path: &Path) -> Result<Vec<Deployment>, LoadingError> {
        let base = path.parent().unwrap_or(Path::new(""));
        self.strategies(read(path)?, &path.display().to_string(), base)
    }

    /// The same for a file's text; relative module paths start at `base`.
    ///
    /// # Errors
    /// [`LoadingError`]
    pub fn text(&self, text: &str, name: &str, base: &Path) -> Result<Vec<Deployment>, LoadingError> {
        self.strategies(pinion_spec::parse(text, name)?, name, base)
    }

    /// The same for strategies that have been read already; `file` names their origin in errors.
    ///
    /// # Errors
    /// [`LoadingError`]
    pub fn strategies(
        &self,
        strategies: Vec<Strategy>,
        file: &str,
        base: &Path,
    ) -> Result<Vec<Deployment>, LoadingError> {
        let deployment = |strategy: Strategy| {
            let module = self.module(&strategy, file, base)?;
            Ok(Deployment { strategy, module, shards: Shards::All })
        };
        strategies.into_iter().map(deployment).collect()
    }

    /// A strategy's module, from its file or from a registry. Takes as long as a pull and a compilation the first time.
    ///
    /// # Errors
    /// [`LoadingError`]
    pub fn module(&self, strategy: &Strategy, file: &str, base: &Path) -> Result<Module, LoadingError> {
        let name = &strategy.metadata.name;
        let (shown, loaded) = match &strategy.spec.module {
            ModuleSource { file: Some(path), .. } => {
                let path = base.join(path);
                (path.display().to_string(), self.sandbox.load_file(&path).map_err(ModuleError::from))
            }
            ModuleSource { oci: Some(reference), .. } => (reference.clone(), self.pull(reference)),
            _ => return Err(LoadingError::Elsewhere { file: file.to_owned(), strategy: name.clone() }),
        };
        loaded.map_err(|source| LoadingError::Module {
            file: file.to_owned(),
            strategy: name.clone(),
            module: shown,
            source: Box::new(source),
        })
    }

    fn pull(&self, text: &str) -> Result<Module, ModuleError> {
        let reference = Reference::parse(text).map_err(|error| RegistryError::Host(error.to_string()))?;
        let modules = Modules::open(self.pulled.clone())?;
        let started_ns = mono_ns();
        let mut retries = RETRY_SECONDS.iter();
        let digest = loop {
            match (self.registry.pull_now(&reference, &modules), retries.next()) {
                (Err(error), Some(seconds)) if !error.needs_a_person() => {
                    tracing::warn!(module = text, %error, "cannot pull a module; trying again in {seconds} s");
                    std::thread::park_timeout(Duration::from_secs(*seconds));
                }
                (pulled, _) => break pulled?,
            }
        };
        let millis = (mono_ns() - started_ns) / 1_000_000;
        tracing::info!(module = text, sha256 = digest, millis, "module from a registry");
        Ok(self.sandbox.load(&modules.get(&digest)?)?)
    }
}

/// The strategies of a file.
///
/// # Errors
/// [`LoadingError::Read`], [`LoadingError::Spec`]
pub fn read(path: &Path) -> Result<Vec<Strategy>, LoadingError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadingError::Read { path: path.to_owned(), source })?;
    Ok(pinion_spec::parse(&text, &path.display().to_string())?)
}

/// Where a strategy's module lies, if it is a file.
#[must_use]
pub fn module_path(strategy: &Strategy, base: &Path) -> Option<PathBuf> {
    strategy.spec.module.file.as_ref().map(|file| base.join(file))
}
