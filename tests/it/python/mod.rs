//! Strategies in Python: built, refused, contained, and deciding as Rust does.

mod contained;
mod guides;
mod sdk;
mod sources;
mod streams;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{LazyLock, Mutex, OnceLock};

use pinion_runtime::sandbox::{Compiler, Module, Sandbox, SandboxConfig};
use pinion_tests::captures::project_root;
use pinion_tests::programs::pinion;
use pinion_tests::scratch::Scratch;

/// Runs `pinion build` for a folder.
fn build(folder: &Path, out: &Path) -> Output {
    pinion("build").arg(folder).arg("--out").arg(out).args(["--format", "json"]).output().unwrap()
}

/// The module of a folder of the repository, built and compiled.
fn module_of(folder: &str) -> Module {
    static OUT: LazyLock<Scratch> = LazyLock::new(Scratch::new);
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap();
    let folder = project_root().join(folder);
    let output = build(&folder, OUT.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let component = OUT.path().join(folder.file_name().unwrap()).with_extension("wasm");
    // Kept from run to run: a Python component takes 20 s to compile.
    let sandbox =
        SANDBOX.get_or_init(|| Sandbox::new(SandboxConfig::new(kept().join("modules"), Compiler::Here)).unwrap());
    sandbox.load(&std::fs::read(component).unwrap()).unwrap()
}

/// What is slow to make.
fn kept() -> PathBuf {
    let named = std::env::var_os("PINION_CACHE").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/pinion"))
}
