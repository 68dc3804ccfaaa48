//! Rust: a crate, compiled for WebAssembly by the Rust that is there.
//!
//! Cargo says which files it read; while none of them has changed, nor the compiler, the component is the one built before.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::cache::{Cache, Key};
use super::component::component_of_core;
use super::error::{BuildError, io_error};
use super::place;

/// The file that makes a folder a crate.
pub(super) const ENTRY: &str = "Cargo.toml";

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// The profile that guests are built with. Function names stay, for the backtrace of a trap.
const PROFILE: [&str; 6] = [
    "profile.guest.inherits=\"release\"",
    "profile.guest.opt-level=3",
    "profile.guest.lto=true",
    "profile.guest.codegen-units=1",
    "profile.guest.panic=\"abort\"",
    "profile.guest.strip=\"debuginfo\"",
];

/// The component of a crate, and whether it was there already.
///
/// # Errors
/// Without a toolchain, or what cargo says.
pub(super) fn build(folder: &Path, absolute: &Path, cache: &Cache) -> Result<(Vec<u8>, bool), BuildError> {
    let toolchain = toolchain(folder)?;
    let compiler = match toolchain {
        Toolchain::Installed => output(Command::new("rustc").arg("-vV").current_dir(folder)),
        Toolchain::Debian => output(Command::new(DEBIAN_RUSTC).arg("-vV")),
    };
    let before = Key::new("rust")
        .and(PROFILE.concat())
        .and(compiler.unwrap_or_default())
        .and(absolute.as_os_str().as_encoded_bytes());
    let after = |files: &[PathBuf]| files.iter().fold(before.clone(), |key, file| key.and_file(file));
    if let Some(files) = cache.inputs(&before)
        && let Some(component) = cache.component(&after(&files))
    {
        return Ok((component, true));
    }
    let module = cargo(folder, toolchain)?;
    let bytes = fs::read(&module).map_err(|error| io_error(&module, error))?;
    let component = component_of_core(folder, &bytes)?;
    if let Some(files) = inputs(absolute, &module) {
        cache.keep_inputs(&before, &files)?;
        cache.keep(&after(&files), &component)?;
    }
    Ok((component, false))
}

/// The files that a module was made of: what the compiler read, and the manifests and settings of every crate among them.
fn inputs(folder: &Path, module: &Path) -> Option<Vec<PathBuf>> {
    let text = fs::read_to_string(module.with_extension("d")).ok()?;
    let read = dependencies(&text)?;
    let mut files: BTreeSet<PathBuf> = read.into_iter().map(|file| folder.join(file)).collect();
    let folders: BTreeSet<PathBuf> =
        files.iter().flat_map(|file| file.ancestors().skip(1).map(Path::to_owned)).collect();
    for folder in folders {
        // Also where there is none yet: one that appears changes what is built.
        files.insert(folder.join(".cargo/config.toml"));
        if folder.join("Cargo.toml").is_file() {
            files.insert(folder.join("Cargo.toml"));
            files.insert(folder.join("Cargo.lock"));
            files.insert(folder.join("build.rs"));
        }
    }
    Some(files.into_iter().collect())
}

/// The files after the colon of a make rule, as cargo writes it: a space in a name is `\ `.
fn dependencies(rule: &str) -> Option<Vec<PathBuf>> {
    let (_, files) = rule.lines().next()?.split_once(": ")?;
    let names = files.replace("\\ ", "\0");
    Some(names.split_whitespace().map(|name| PathBuf::from(name.replace('\0', " "))).collect())
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
fn cargo(folder: &Path, toolchain: Toolchain) -> Result<PathBuf, BuildError> {
    let mut cargo = match toolchain {
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
        .args(["--message-format", if io::stderr().is_terminal() { "json-diagnostic-rendered-ansi" } else { "json" }])
        .current_dir(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", remap(folder))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let failed = |error| io_error(folder, error);
    let mut child = cargo.spawn().map_err(failed)?;
    let (mut module, mut first) = (None, None);
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let Ok(message) = serde_json::from_str::<Value>(&line.map_err(failed)?) else { continue };
        if let Some(text) = message["message"]["rendered"].as_str() {
            eprint!("{text}");
        }
        module = wasm_of(&message).or(module);
        first = first.or_else(|| place::of(folder, &message));
    }
    match module {
        Some(module) if child.wait().map_err(failed)?.success() => Ok(module),
        _ => {
            // Where it knows no place the fault is in the manifest, or in the toolchain.
            let _ = child.wait();
            let first = first.unwrap_or_else(|| format!("{}: not built", folder.display()));
            Err(BuildError::Cargo { path: folder.to_owned(), first })
        }
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
fn wasm_of(message: &Value) -> Option<PathBuf> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let mut files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str());
    files.find(|file| Path::new(file).extension().is_some_and(|extension| extension == "wasm")).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_module_is_the_one_that_cargo_names() {
        let line = json!({"reason": "compiler-artifact", "filenames": ["/t/a.d", "/t/a.wasm"]});
        assert_eq!(wasm_of(&line), Some(PathBuf::from("/t/a.wasm")));
        assert_eq!(wasm_of(&json!({"reason": "build-finished", "success": true})), None);
    }

    #[test]
    fn the_files_are_those_of_the_rule() {
        let rule = "/t/a.wasm: /s/src/lib.rs /s/with\\ space.rs\n\n/s/src/lib.rs:\n";
        let files = [PathBuf::from("/s/src/lib.rs"), PathBuf::from("/s/with space.rs")];
        assert_eq!(dependencies(rule), Some(files.to_vec()));
        assert_eq!(dependencies("/t/a.wasm:"), None);
    }
}
