//! From strategy files to deployments: read, check, find the module, compile it.

use std::path::{Path, PathBuf};

use pinion_spec::SpecErrors;
use pinion_spec::strategy::Strategy;

use crate::app::{Deployment, Shards};
use crate::sandbox::{LoadError, Sandbox};

/// Why a strategy file cannot be deployed. Every one is the file's fault or its module's.
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
    #[error("{file}: spec.module of {strategy}: only `file` can be run here; `oci` and `configMap` need the cluster")]
    Elsewhere {
        /// The file.
        file: String,
        /// The strategy.
        strategy: String,
    },
    /// Its module is refused.
    #[error("{file}: module {} of {strategy}", module.display())]
    Module {
        /// The file.
        file: String,
        /// The strategy.
        strategy: String,
        /// The module.
        module: PathBuf,
        /// Why.
        source: Box<LoadError>,
    },
}

/// The strategies of a file.
///
/// # Errors
/// [`LoadingError::Read`], [`LoadingError::Spec`]
pub fn read(path: &Path) -> Result<Vec<Strategy>, LoadingError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadingError::Read { path: path.to_owned(), source })?;
    Ok(pinion_spec::parse(&text, &path.display().to_string())?)
}

/// The strategies of a file, with their modules compiled.
///
/// # Errors
/// [`LoadingError`]
pub fn load_file(sandbox: &Sandbox, path: &Path) -> Result<Vec<Deployment>, LoadingError> {
    let strategies = read(path)?;
    let base = path.parent().unwrap_or(Path::new(""));
    load_all(sandbox, strategies, &path.display().to_string(), base)
}

/// The same for a file's text; relative module paths start at `base`.
///
/// # Errors
/// [`LoadingError`]
pub fn load_text(sandbox: &Sandbox, text: &str, name: &str, base: &Path) -> Result<Vec<Deployment>, LoadingError> {
    load_all(sandbox, pinion_spec::parse(text, name)?, name, base)
}

/// The same for strategies that have been read already; `file` names their origin in errors.
///
/// # Errors
/// [`LoadingError`]
pub fn load_all(
    sandbox: &Sandbox,
    strategies: Vec<Strategy>,
    file: &str,
    base: &Path,
) -> Result<Vec<Deployment>, LoadingError> {
    strategies
        .into_iter()
        .map(|strategy| {
            let name = strategy.metadata.name.clone();
            let path = module_path(&strategy, base)
                .ok_or_else(|| LoadingError::Elsewhere { file: file.to_owned(), strategy: name.clone() })?;
            let module = sandbox.load_file(&path).map_err(|source| LoadingError::Module {
                file: file.to_owned(),
                strategy: name,
                module: path,
                source: Box::new(source),
            })?;
            Ok(Deployment { strategy, module, shards: Shards::All })
        })
        .collect()
}

/// Where a strategy's module lies, if it is a file.
#[must_use]
pub fn module_path(strategy: &Strategy, base: &Path) -> Option<PathBuf> {
    strategy.spec.module.file.as_ref().map(|file| base.join(file))
}
