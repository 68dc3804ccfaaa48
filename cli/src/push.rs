//! `pinion push`: a module into a registry, from where strategies run it by its digest.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use pinion_runtime::args::{RegistryArgs, chain};
use pinion_runtime::registry::{Registry, RegistryError};
use pinion_runtime::sandbox::artefact::Artefact;
use pinion_spec::oci::Tagged;
use serde::Serialize;

use crate::capture_progress::Progress;
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;
use crate::time::count;

/// Pushes a module to a registry and says by which digest a strategy runs it
///
/// The module is checked as `pinion run` would, and pushed as the CNCF's Wasm artefact. The same module has the same digest wherever
/// and whenever it is pushed. Credentials are those of `docker login`, or --registry-config.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion push ema-cross.wasm registry.example/desk-7/ema-cross:1.2
  pinion push ema-cross.wasm localhost:5000/ema-cross:1.2 --format json

Exit codes: 0 pushed, 64 no module, or a registry that refuses it or us, 69 a registry that cannot be reached, 70 our fault")]
pub struct PushArgs {
    /// The module
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// Where to: registry, name and tag
    #[arg(value_name = "REGISTRY/NAME:TAG", value_parser = |text: &str| Tagged::parse(text))]
    pub to: Tagged,
    /// How registries are spoken to.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    /// For `spec.module.oci`.
    reference: String,
    /// Of the manifest.
    digest: String,
    /// SHA-256 of the module: what orders are stamped with.
    module: String,
    bytes: usize,
    tag: String,
}

/// Pushes.
///
/// # Errors
/// What is wrong with the module, or what the registry makes of it.
pub fn run(args: &PushArgs) -> Result<(), CliError> {
    let wrong = |why: String| CliError::Usage(format!("{}: {why}", args.file.display()));
    let bytes = std::fs::read(&args.file).map_err(|error| wrong(format!("cannot read it: {error}")))?;
    let module = Artefact::inspect(&bytes).map_err(|error| wrong(error.to_string()))?.digest().hex();
    let size = bytes.len();
    let sent = Arc::new(AtomicU64::new(0));
    let progress = Mutex::new(Progress::new((size as u64, Arc::clone(&sent))));
    let tell = move |more: usize| {
        sent.fetch_add(more as u64, Ordering::Relaxed);
        progress.lock().unwrap_or_else(PoisonError::into_inner).tick(|| format!("{} bytes", count(size as u64)));
    };
    let pushed = Registry::new(args.registry.config()).push_now(&args.to, bytes, tell);
    let reference = pushed.map_err(|error| failure(args, &error))?;
    match args.format {
        Format::Text => output::text(&format!(
            "pushed {}, {} bytes, sha256:{module}\nmodule: {{oci: \"{reference}\"}}",
            args.to,
            count(size as u64)
        )),
        Format::Json => output::json(&Pushed {
            reference: reference.to_string(),
            digest: format!("sha256:{}", reference.digest),
            module,
            bytes: size,
            tag: args.to.tag.clone(),
        })?,
    }
    Ok(())
}

fn failure(args: &PushArgs, error: &RegistryError) -> CliError {
    let text = format!("push {}: {}", args.to, chain(error));
    if error.needs_a_person() { CliError::Usage(text) } else { CliError::Unavailable(text) }
}
