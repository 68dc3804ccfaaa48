//! One strategy and its module, for commands that run it alone: backtest, check.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_runtime::args::{RegistryArgs, default_cache};
use pinion_runtime::loading::{self, Loader};
use pinion_runtime::registry::Registry;
use pinion_runtime::run::RunError;
use pinion_runtime::sandbox::{Compiler, Module, Sandbox, SandboxConfig};
use pinion_spec::strategy::{AssignmentMode, Strategy};

use crate::error::CliError;
use crate::progress::Late;

/// What a module's first load on a machine is spent on.
pub(crate) const COMPILING: &str = "compiling the module for this machine (once; it is kept)";

/// The one strategy of a file, whose module is there.
///
/// # Errors
/// [`CliError`] with what is wrong with the file.
pub(crate) fn read(file: &Path) -> Result<Strategy, CliError> {
    let strategy = parse(file)?;
    let base = base(file);
    if let Some(module) = loading::module_path(&strategy, base).filter(|module| !module.exists()) {
        let folder = if base.as_os_str().is_empty() { ".".to_owned() } else { base.display().to_string() };
        return Err(CliError::Usage(format!(
            "{}: spec.module: {} is not there; build it with `pinion build {folder}`",
            file.display(),
            module.display()
        )));
    }
    Ok(strategy)
}

/// The one strategy of a file, wherever its module is.
///
/// # Errors
/// [`CliError`] with what is wrong with the file.
pub(crate) fn parse(file: &Path) -> Result<Strategy, CliError> {
    let mut strategies = loading::read(file).map_err(RunError::from)?;
    let (Some(mut strategy), true) = (strategies.pop(), strategies.is_empty()) else {
        let shown = file.display();
        return Err(CliError::Usage(format!("{shown}: it must hold one strategy; give each a file of its own")));
    };
    for input in &mut strategy.spec.inputs {
        // There is no group to share partitions out.
        input.assignment = AssignmentMode::Static;
    }
    Ok(strategy)
}

/// Its module, compiled.
///
/// # Errors
/// [`CliError`] where it is none, or a registry does not give it.
pub(crate) fn module(
    file: &Path,
    strategy: &Strategy,
    cache: Option<&PathBuf>,
    registry: &RegistryArgs,
) -> Result<Module, CliError> {
    let pulled = cache.cloned().unwrap_or_else(default_cache).join("pulled");
    let loader = Loader::new(Arc::new(sandbox(cache)?), Registry::new(registry.config()), pulled);
    let _progress = Late::begin(COMPILING);
    let module = loader.module(strategy, &file.display().to_string(), base(file)).map_err(RunError::from)?;
    Ok(module)
}

/// What compiles modules, and keeps them in this folder or the user's own.
///
/// # Errors
/// [`CliError::Run`] where the machine has none.
pub(crate) fn sandbox(cache: Option<&PathBuf>) -> Result<Sandbox, CliError> {
    let cache = cache.cloned().unwrap_or_else(default_cache);
    let compiler = Compiler::this_executable().map_err(RunError::from)?;
    Ok(Sandbox::new(SandboxConfig::new(cache, compiler)).map_err(RunError::from)?)
}

fn base(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}
