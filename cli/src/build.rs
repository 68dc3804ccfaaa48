//! `pinion build`: from a strategy's source to the component that a strategy file names.
//!
//! A folder with a `Cargo.toml` is compiled for WebAssembly by the Rust that is there; a `.wat` file is assembled. Either way the
//! core module is wrapped into a component of the contract, and the result is looked at as the runtime would look at it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use pinion_runtime::sandbox::artefact::{Artefact, ArtefactError, Digest, Lane};
use thiserror::Error;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract, as this version of Pinion has it.
const WIT: &str = include_str!("../../wit/strategy.wit");
const WORLD: &str = "strategy";
const TARGET: &str = "wasm32-unknown-unknown";

/// The profile that guests are built with. Function names stay, for the backtrace of a trap.
const PROFILE: [&str; 6] = [
    "profile.guest.inherits=\"release\"",
    "profile.guest.opt-level=3",
    "profile.guest.lto=true",
    "profile.guest.codegen-units=1",
    "profile.guest.panic=\"abort\"",
    "profile.guest.strip=\"debuginfo\"",
];

/// Builds strategies into components.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pinion build strategies-examples/ema-cross strategies-examples/misbehaving/spin.wat"
)]
pub struct BuildArgs {
    /// A folder with a Cargo.toml, a .wat file, or a folder of .wat files.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where the components go; else each beside its source.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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
}

/// Why nothing was built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Neither a crate nor a `.wat` file.
    #[error("{0}: want a folder with a Cargo.toml, a .wat file or a folder of them")]
    NotASource(PathBuf),
    /// No Rust that makes WebAssembly.
    #[error(
        "no Rust for {TARGET} is installed; run `rustup target add {TARGET}`, or on Debian \
         `apt-get install rustc-web cargo-web rust-web-src lld-19`"
    )]
    NoToolchain,
    /// Cargo failed; it has said why.
    #[error("{0}: cargo could not build it (its messages are above)")]
    Cargo(PathBuf),
    /// The `.wat` file.
    #[error("{path}: not WebAssembly text: {detail}")]
    Wat {
        /// The file.
        path: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// The core module does not fit the contract.
    #[error("{path}: not a strategy: {detail}; does the crate name its strategy in `pinion_strategy::export!`?")]
    Contract {
        /// The source.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The runtime would refuse the result.
    #[error("{path}: {source}")]
    Artefact {
        /// The source.
        path: PathBuf,
        /// Why.
        source: ArtefactError,
    },
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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
                "  {} ({} bytes, {} lane, {})",
                one.path.display(),
                one.bytes,
                one.lane.label(),
                one.digest
            );
            told.map_err(|error| io_error(&source, error))?;
            built.push(one);
        }
    }
    Ok(built)
}

/// A component of a core module in text form.
///
/// # Errors
/// [`BuildError::Wat`] or [`BuildError::Contract`], naming `path`.
pub fn component_of_wat(path: &Path, text: &str) -> Result<Vec<u8>, BuildError> {
    let wat = |error: wat::Error| BuildError::Wat { path: path.to_owned(), detail: error.to_string() };
    let mut module = wat::parse_str(text).map_err(wat)?;
    embed_contract(&mut module).map_err(|detail| contract(path, detail))?;
    component_of_core(path, &module)
}

fn is_wat(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wat")
}

fn io_error(path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { path: path.to_owned(), source }
}

fn contract(path: &Path, detail: impl ToString) -> BuildError {
    BuildError::Contract { path: path.to_owned(), detail: detail.to_string() }
}

/// The sources that a path stands for: itself, or the `.wat` files of a folder.
fn sources(path: &Path) -> Result<Vec<PathBuf>, BuildError> {
    if is_wat(path) || path.join("Cargo.toml").is_file() {
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

fn build(source: &Path, out: Option<&Path>) -> Result<Built, BuildError> {
    let absolute = source.canonicalize().map_err(|error| io_error(source, error))?;
    let component = if is_wat(source) {
        let text = fs::read_to_string(source).map_err(|error| io_error(source, error))?;
        component_of_wat(source, &text)?
    } else {
        let module = cargo(source)?;
        component_of_core(source, &fs::read(&module).map_err(|error| io_error(&module, error))?)?
    };
    let refused = |source_error| BuildError::Artefact { path: source.to_owned(), source: source_error };
    let artefact = Artefact::inspect(&component).map_err(refused)?;
    let (digest, lane) = (artefact.digest(), artefact.lane());

    let stem = absolute.file_stem().map(OsString::from).unwrap_or_default();
    let beside = if is_wat(source) { source.parent().unwrap_or(source) } else { source };
    let dir = out.unwrap_or(beside);
    fs::create_dir_all(dir).map_err(|error| io_error(dir, error))?;
    let path = dir.join(stem).with_extension("wasm");
    // A runtime that watches the file sees the old one or the new one, never a part.
    let temporary = path.with_extension("wasm.tmp");
    fs::write(&temporary, &component).map_err(|error| io_error(&temporary, error))?;
    fs::rename(&temporary, &path).map_err(|error| io_error(&path, error))?;
    Ok(Built { path, bytes: component.len(), digest, lane })
}

fn embed_contract(module: &mut Vec<u8>) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("strategy.wit", WIT).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).map_err(|error| format!("{error:#}"))
}

fn component_of_core(path: &Path, module: &[u8]) -> Result<Vec<u8>, BuildError> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| contract(path, format!("{error:#}")))
}

/// The Rust that makes WebAssembly here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// `cargo` on the path, with the target's standard library.
    Installed,
    /// Debian's, which has the standard library as source only.
    Debian,
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "wasm-ld-19";

fn toolchain(folder: &Path) -> Result<Toolchain, BuildError> {
    let libdir =
        output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).current_dir(folder));
    if libdir.is_some_and(|libdir| Path::new(libdir.trim()).is_dir()) {
        return Ok(Toolchain::Installed);
    }
    let sysroot = output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]));
    let source = sysroot.is_some_and(|root| Path::new(root.trim()).join("lib/rustlib/src/rust/library").is_dir());
    let linker = output(Command::new(DEBIAN_LINKER).arg("--version")).is_some();
    if source && linker && Path::new(DEBIAN_CARGO).is_file() {
        return Ok(Toolchain::Debian);
    }
    Err(BuildError::NoToolchain)
}

/// What a command prints, where it is there and succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Compiles a crate and returns its core module's file.
fn cargo(folder: &Path) -> Result<PathBuf, BuildError> {
    let mut cargo = match toolchain(folder)? {
        Toolchain::Installed => Command::new("cargo"),
        Toolchain::Debian => {
            let mut cargo = Command::new(DEBIAN_CARGO);
            // Its standard library is built with the crate; the flag for that wants a nightly, or this word.
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
            cargo.arg("-Zbuild-std=std,panic_abort");
            cargo
        }
    };
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    cargo
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--profile", "guest", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", remap(folder))
        .stderr(Stdio::inherit());
    let output = cargo.output().map_err(|error| io_error(folder, error))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let module = messages.lines().filter_map(wasm_of).next_back();
    match module {
        Some(module) if output.status.success() => Ok(module),
        _ => Err(BuildError::Cargo(folder.to_owned())),
    }
}

/// Flags that keep this machine's paths out of the module's panic messages.
fn remap(folder: &Path) -> OsString {
    let root = output(
        Command::new("cargo").args(["locate-project", "--workspace", "--message-format", "plain"]).current_dir(folder),
    );
    let root = root.as_deref().and_then(|manifest| Path::new(manifest.trim()).parent()).map(Path::to_owned);
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = OsString::new();
    for (from, to) in [(root, "/strategy"), (home, "/cargo")] {
        if let Some(from) = from {
            // Cargo separates encoded flags by this character.
            flags.push(if flags.is_empty() { "" } else { "\u{1f}" });
            flags.push("--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
    }
    flags
}

/// The `.wasm` file that one of cargo's messages names, if it names one.
fn wasm_of(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let mut files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str());
    files.find(|file| Path::new(file).extension().is_some_and(|extension| extension == "wasm")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_component_that_the_runtime_takes_and_the_same_text_the_same_bytes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strategies-examples/misbehaving/flood.wat");
        let text = fs::read_to_string(&path).unwrap();
        let component = component_of_wat(&path, &text).unwrap();
        assert_eq!(Artefact::inspect(&component).unwrap().lane(), Lane::Direct);
        assert_eq!(component_of_wat(&path, &text).unwrap(), component);
    }

    #[test]
    fn what_is_no_strategy_is_refused_with_the_file_and_what_is_missing() {
        let path = Path::new("here.wat");
        let error = component_of_wat(path, "(module").unwrap_err().to_string();
        assert!(error.starts_with("here.wat: not WebAssembly text"), "{error}");
        let error = component_of_wat(path, "(module)").unwrap_err().to_string();
        assert!(error.contains("here.wat") && error.contains("pinion:strategy/handler@0.1.0"), "{error}");
    }

    #[test]
    fn a_path_without_a_source_is_refused() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(matches!(sources(&folder), Err(BuildError::NotASource(_))));
        assert!(matches!(sources(Path::new("/no/such/place")), Err(BuildError::Io { .. })));
        assert!(matches!(sources(&folder.join("build.rs")), Err(BuildError::NotASource(_))));
    }

    #[test]
    fn the_module_is_the_one_that_cargo_names() {
        let line = r#"{"reason":"compiler-artifact","filenames":["/t/a.d","/t/a.wasm"]}"#;
        assert_eq!(wasm_of(line), Some(PathBuf::from("/t/a.wasm")));
        assert_eq!(wasm_of(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(wasm_of("cargo says hello"), None);
    }
}
