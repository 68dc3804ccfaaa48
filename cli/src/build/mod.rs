//! `pinion build`: from a strategy's source to the component that a strategy file names.
//!
//! A folder with a `strategy.py` is Python, one with a `Cargo.toml` Rust, a `.wat` file WebAssembly text. Each becomes a component of
//! the contract, and the result is looked at as the runtime would look at it. What was built before, of the same content, is not
//! built again.

mod cache;
mod component;
mod error;
mod place;
mod python;
mod rust;
mod toolchain;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use pinion_runtime::sandbox::artefact::{Artefact, Digest, Lane};
use serde::Serialize;

pub use component::component_of_wat;
pub use error::BuildError;

use crate::error::CliError;
use crate::inspect::Format;
use crate::output;
use cache::Cache;
use error::io_error;

/// Builds strategies into components.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pinion build strategies-examples/ema-cross strategies-examples/ema-cross-python\n  pinion build . --format json"
)]
pub struct BuildArgs {
    /// A folder with a strategy.py or a Cargo.toml, a .wat file, or a folder of .wat files.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where the components go; else each beside its source.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// One component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: usize,
    /// Its name.
    pub digest: Digest,
    /// The lane it takes.
    pub lane: Lane,
    /// Nothing has changed since it was built before.
    pub unchanged: bool,
}

/// As JSON, a line each.
#[derive(Debug, Serialize)]
struct Line<'a> {
    component: &'a Path,
    bytes: usize,
    digest: String,
    lane: &'static str,
    unchanged: bool,
}

/// Builds everything that `args` name and says so on stdout.
///
/// # Errors
/// [`CliError::Usage`]: the source's fault, or its toolchain's.
pub fn command(args: &BuildArgs) -> Result<(), CliError> {
    let usage = |error: BuildError| CliError::Usage(error.to_string());
    if args.format == Format::Text {
        return run(args, &mut io::stdout()).map(|_| ()).map_err(usage);
    }
    for one in run(args, &mut io::stderr()).map_err(usage)? {
        let (digest, lane) = (one.digest.to_string(), one.lane.label());
        output::json(&Line { component: &one.path, bytes: one.bytes, digest, lane, unchanged: one.unchanged })?;
    }
    Ok(())
}

/// Builds everything that `args` name, telling `report` about each as it is done.
///
/// # Errors
/// The first that could not be built.
pub fn run(args: &BuildArgs, report: &mut dyn Write) -> Result<Vec<Built>, BuildError> {
    let mut built = Vec::new();
    for path in &args.paths {
        for source in sources(path)? {
            let told = writeln!(report, "building {}", source.display());
            told.map_err(|error| io_error(&source, error))?;
            let one = build(&source, args.out.as_deref())?;
            let told = writeln!(
                report,
                "  {} ({} bytes, {} lane, {}{})",
                one.path.display(),
                one.bytes,
                one.lane.label(),
                one.digest,
                if one.unchanged { ", unchanged since it was built before" } else { "" }
            );
            told.map_err(|error| io_error(&source, error))?;
            built.push(one);
        }
    }
    Ok(built)
}

fn is_wat(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wat")
}

/// The sources that a path stands for: itself, or the `.wat` files of a folder.
fn sources(path: &Path) -> Result<Vec<PathBuf>, BuildError> {
    if is_wat(path) || path.join(rust::ENTRY).is_file() || path.join(python::ENTRY).is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => BuildError::NotASource(path.to_owned()),
        _ => io_error(path, error),
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| io_error(path, error))?.path();
        if is_wat(&file) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(BuildError::NotASource(path.to_owned())) } else { Ok(files) }
}

/// A component that was made, and is nowhere yet.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) lane: Lane,
    /// Nothing has changed since it was made before.
    pub(crate) unchanged: bool,
}

/// Makes a source's component and looks at it as the runtime would.
///
/// # Errors
/// The source's fault, or its toolchain's.
pub(crate) fn component(source: &Path) -> Result<Component, BuildError> {
    let absolute = source.canonicalize().map_err(|error| io_error(source, error))?;
    let (bytes, unchanged) = if is_wat(source) {
        let text = fs::read_to_string(source).map_err(|error| io_error(source, error))?;
        (component_of_wat(source, &text)?, false)
    } else if source.join(python::ENTRY).is_file() {
        python::build(source, &Cache::open()?)?
    } else if source.join(rust::ENTRY).is_file() {
        rust::build(source, &absolute, &Cache::open()?)?
    } else {
        return Err(BuildError::NotASource(source.to_owned()));
    };
    let refused = |source_error| BuildError::Artefact { path: source.to_owned(), source: source_error };
    let artefact = Artefact::inspect(&bytes).map_err(refused)?;
    let (digest, lane) = (artefact.digest(), artefact.lane());
    Ok(Component { bytes, digest, lane, unchanged })
}

/// Writes a component where a runtime may be watching: it sees the old one or the new one, never a part.
///
/// # Errors
/// Of the disk.
pub(crate) fn write(path: &Path, component: &[u8]) -> Result<(), BuildError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(|error| io_error(dir, error))?;
    cache::write_whole(path, component)
}

fn build(source: &Path, out: Option<&Path>) -> Result<Built, BuildError> {
    let Component { bytes, digest, lane, unchanged } = component(source)?;
    let absolute = source.canonicalize().map_err(|error| io_error(source, error))?;
    let stem = absolute.file_stem().map(OsString::from).unwrap_or_default();
    let beside = if is_wat(source) { source.parent().unwrap_or(source) } else { source };
    let path = out.unwrap_or(beside).join(stem).with_extension("wasm");
    write(&path, &bytes)?;
    Ok(Built { path, bytes: bytes.len(), digest, lane, unchanged })
}

/// Whether a name is of something that no build reads: a component, or a capture or a table of a backtest, which may be large.
pub(crate) fn is_product(name: &str) -> bool {
    PRODUCTS.iter().any(|ending| name.ends_with(ending))
}

const PRODUCTS: [&str; 8] = [".wasm", ".gz", ".zst", ".dbn", ".parquet", ".arrow", ".tmp", "~"];

/// Whether a folder is what `pinion backtest --out` writes.
pub(crate) fn is_result(folder: &Path) -> bool {
    folder.join("run.json").is_file() && folder.join("report.html").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_a_source_is_refused() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(matches!(sources(&folder), Err(BuildError::NotASource(_))));
        assert!(matches!(sources(Path::new("/no/such/place")), Err(BuildError::Io { .. })));
        assert!(matches!(sources(&folder.join("lib.rs")), Err(BuildError::NotASource(_))));
    }
}
