//! Compiling in a child process, with this very binary as the child: it therefore brings its own `main`.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "nothing here is shipped")]

mod fixture;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use fixture::{component, example};
use pinion_runtime::clock::mono_ns;
use pinion_runtime::sandbox::compile::{CompileError, CompileLimits, Compiler, SUBCOMMAND, compile_child};
use pinion_runtime::sandbox::{Host, HostConfig, Lane, LoadError, Sandbox, SandboxConfig};

const TESTS: [(&str, fn()); 6] = [
    ("what_a_child_compiles_runs", what_a_child_compiles_runs),
    ("a_module_that_takes_too_much_cpu_time_is_stopped", a_module_that_takes_too_much_cpu_time_is_stopped),
    ("a_module_that_takes_too_long_is_stopped", a_module_that_takes_too_long_is_stopped),
    ("a_module_that_takes_too_much_memory_is_stopped", a_module_that_takes_too_much_memory_is_stopped),
    ("a_child_that_does_no_work_is_an_error", a_child_that_does_no_work_is_an_error),
    ("a_child_that_is_started_wrongly_says_so", a_child_that_is_started_wrongly_says_so),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((SUBCOMMAND, rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return compile_child(rest, io::stdin()).into();
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    for (name, test) in TESTS {
        if filter.is_none_or(|filter| name.contains(filter.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}

fn this() -> PathBuf {
    std::env::current_exe().expect("this binary has a path")
}

/// A sandbox with an empty cache of its own, removed with it.
struct Fresh {
    sandbox: Sandbox,
    cache: PathBuf,
}

impl Fresh {
    fn new(compiler: Compiler) -> Self {
        let cache = std::env::temp_dir().join(format!("pinion-compile-{}-{}", std::process::id(), mono_ns()));
        let config = SandboxConfig { cache: cache.clone(), compiler, instances: 4, kept: None };
        Self { sandbox: Sandbox::new(config).expect("a sandbox"), cache }
    }

    fn files(&self) -> usize {
        std::fs::read_dir(&self.cache).expect("it is there").count()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // It lies in the system's temporary directory in any case.
        let _ = std::fs::remove_dir_all(&self.cache);
    }
}

fn what_a_child_compiles_runs() {
    let fresh = Fresh::new(Compiler::Child(this(), CompileLimits::default()));
    let component = component(&example("", ""));
    for lane in [Lane::Direct, Lane::Component] {
        let module = fresh.sandbox.load_for(&component, lane).expect("it compiles");
        let config = HostConfig { instruments: Arc::default(), intents_per_call: 1, log_bytes_per_second: 0 };
        let mut guest = module.instantiate(Host::new(config), &Default::default()).expect("it comes to life");
        assert!(guest.init(&[]).is_ok(), "{lane:?}");
    }
    assert_eq!(fresh.files(), 2);
}

/// A function of 0.7 MB, a loop in a loop in a loop, all of whose values live all the time: slow to compile, small to send.
fn bomb() -> Vec<u8> {
    let locals: String = (1..600).map(|_| "(local i64) ").collect();
    let sum: String = (1..600)
        .map(|i| {
            let next = i % 599 + 1;
            format!("(local.set {i} (i64.mul (local.get {i}) (i64.add (local.get {next}) (i64.const {i})))) (br_if 0 (i64.eqz (local.get {i})))")
        })
        .collect();
    let nested = format!("(loop {sum} ").repeat(40) + &")".repeat(40);
    let memory = "(memory (export \"memory\") 1)";
    component(&example(memory, &format!("{memory} (func (param i64) {locals} {nested})")))
}

fn stopped(limits: CompileLimits) -> CompileError {
    let fresh = Fresh::new(Compiler::Child(this(), limits));
    let error = match fresh.sandbox.load(&bomb()) {
        Err(LoadError::Compile(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was compiled; a harder bomb is needed"),
    };
    assert_eq!(fresh.files(), 0, "nothing of it stays");
    error
}

fn a_module_that_takes_too_much_cpu_time_is_stopped() {
    let error = stopped(CompileLimits { cpu_seconds: 1, ..CompileLimits::default() });
    assert!(matches!(error, CompileError::Time), "{error:?}");
}

fn a_module_that_takes_too_long_is_stopped() {
    let start = mono_ns();
    let error = stopped(CompileLimits { wall: Duration::from_millis(200), ..CompileLimits::default() });
    assert!(matches!(error, CompileError::Time), "{error:?}");
    assert!(mono_ns() - start < 10_000_000_000, "the parent kills it, not its CPU limit");
}

fn a_module_that_takes_too_much_memory_is_stopped() {
    let error = stopped(CompileLimits { memory_bytes: 48 << 20, ..CompileLimits::default() });
    assert!(matches!(error, CompileError::Memory), "{error:?}");
}

fn a_child_that_does_no_work_is_an_error() {
    let component = component(&example("", ""));
    let absent = Fresh::new(Compiler::Child(Path::new("/no/such/compiler").to_owned(), CompileLimits::default()));
    let error = absent.sandbox.load(&component).err();
    assert!(matches!(error, Some(LoadError::Compile(CompileError::Child(_)))), "{error:?}");
    let idle = Fresh::new(Compiler::Child(Path::new("/bin/true").to_owned(), CompileLimits::default()));
    let error = idle.sandbox.load(&component).err();
    assert!(matches!(error, Some(LoadError::Cache(_))), "{error:?}");
}

fn a_child_that_is_started_wrongly_says_so() {
    let output = Command::new(this()).args([SUBCOMMAND, "direct"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&output.stderr).contains("run by the loader"));
}
