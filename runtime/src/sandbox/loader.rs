//! From an artefact's bytes to instances: inspect, compile (or find compiled), link once, instantiate many times.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pinion_spec::strategy::Budget;
use thiserror::Error;
use wasmtime::component::{InstancePre as ComponentPre, Linker as ComponentLinker};
use wasmtime::{Engine, InstancePre, Linker};

use super::aot::{Cache, CacheError, Code};
use super::artefact::{Artefact, ArtefactError, Digest, Lane};
use super::compile::{CompileError, Compiler};
use super::component::ComponentGuest;
use super::direct::DirectGuest;
use super::engine::{Allocation, runner};
use super::probe::{Probe, Probed};
use super::pulse;
use super::state::State;
use super::{Fault, Guest, Host, component, imports};
use crate::clock::mono_ns;
use crate::limits::{INSTANCES_MAX, MODULE_BYTES_MAX};

/// How modules are loaded.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Directory of compiled modules; made when it is not there, refused when others can reach it.
    pub cache: PathBuf,
    /// Who compiles.
    pub compiler: Compiler,
    /// Instances at once, for the pool.
    pub instances: u32,
    /// Where the bytes of every module that is loaded are kept, as `DIGEST.wasm`: a replay needs them.
    pub kept: Option<PathBuf>,
}

impl SandboxConfig {
    /// The usual: a child of this executable compiles, and [`INSTANCES_MAX`] instances have room.
    #[must_use]
    pub fn new(cache: PathBuf, compiler: Compiler) -> Self {
        Self { cache, compiler, instances: INSTANCES_MAX, kept: None }
    }
}

/// Why there is no sandbox.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// wasmtime refuses the machine or our configuration.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    /// The epoch thread.
    #[error("cannot start the thread that stops runaway guests")]
    Pulse(#[source] io::Error),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Why a module was not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file.
    #[error("cannot read the module {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its copy.
    #[error("cannot keep a copy of the module as {path}")]
    Keep {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The bytes.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// It cannot take the lane that was asked for.
    #[error("the module is more than one core module, so it cannot take the direct lane")]
    NotDirect,
    /// The compiler.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Its imports have other types than the contract's.
    #[error("the module does not fit the contract: {0}")]
    Link(String),
}

/// The engine, the cache and the host functions: one per process.
pub struct Sandbox {
    engine: Engine,
    allocation: Allocation,
    cache: Cache,
    compiler: Compiler,
    kept: Option<PathBuf>,
    direct: Linker<State>,
    component: ComponentLinker<State>,
}

impl Sandbox {
    /// Reserves the pool, opens the cache and starts the pulse. Call it before pinning: the pulse's thread inherits the caller's cores, and
    /// on a worker's core a spinning guest would keep it from beating.
    ///
    /// # Errors
    /// [`SandboxError`]
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let refused = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"));
        let (engine, allocation) = runner(config.instances).map_err(refused)?;
        let mut direct = Linker::new(&engine);
        imports::define(&mut direct).map_err(refused)?;
        let mut component = ComponentLinker::new(&engine);
        component::define(&mut component).map_err(refused)?;
        pulse::moves(&engine).map_err(SandboxError::Pulse)?;
        let cache = Cache::open(&config.cache, &engine)?;
        Ok(Self { engine, allocation, cache, compiler: config.compiler, kept: config.kept, direct, component })
    }

    /// Where instances get their memory from.
    #[must_use]
    pub const fn allocation(&self) -> Allocation {
        self.allocation
    }

    /// The compiled modules.
    #[must_use]
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Loads a module from its file. Takes as long as a compilation the first time; not for a worker's thread.
    ///
    /// # Errors
    /// [`LoadError`]
    pub fn load_file(&self, path: &Path) -> Result<Module, LoadError> {
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(read)?.len();
        if size > MODULE_BYTES_MAX as u64 {
            let bytes = usize::try_from(size).unwrap_or(usize::MAX);
            return Err(ArtefactError::TooLarge { bytes }.into());
        }
        self.load(&std::fs::read(path).map_err(read)?)
    }

    /// Loads a module for the fastest lane that it can take. Takes as long as a compilation the first time.
    ///
    /// # Errors
    /// [`LoadError`]
    pub fn load(&self, bytes: &[u8]) -> Result<Module, LoadError> {
        let artefact = Artefact::inspect(bytes)?;
        self.load_artefact(&artefact, artefact.lane())
    }

    /// Loads a module for a given lane: the component lane is open to every module, and must give the same answers.
    ///
    /// # Errors
    /// [`LoadError`]
    pub fn load_for(&self, bytes: &[u8], lane: Lane) -> Result<Module, LoadError> {
        self.load_artefact(&Artefact::inspect(bytes)?, lane)
    }

    fn load_artefact(&self, artefact: &Artefact<'_>, lane: Lane) -> Result<Module, LoadError> {
        let wasm = artefact.code(lane).ok_or(LoadError::NotDirect)?;
        let digest = artefact.digest();
        let pre = match self.cache.get(digest, lane).map(|code| self.link(&code, lane)) {
            Some(Ok(pre)) => pre,
            // Nothing there, or nothing that this wasmtime takes.
            None | Some(Err(_)) => self.link(&self.compile(wasm, digest, lane)?, lane)?,
        };
        self.keep(artefact)?;
        let bytes = artefact.bytes().len() as u64;
        Ok(Module { digest, bytes, pre, probe: None })
    }

    /// Keeps a module's bytes, where they are to be kept and are not yet.
    fn keep(&self, artefact: &Artefact<'_>) -> Result<(), LoadError> {
        let Some(folder) = &self.kept else { return Ok(()) };
        let path = folder.join(format!("{}.wasm", artefact.digest().hex()));
        if path.exists() {
            return Ok(());
        }
        // Under another name until it is whole: what bears its digest is complete.
        let part = folder.join(format!("{}.part-{}", artefact.digest().hex(), std::process::id()));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&part, artefact.bytes()))
            .and_then(|()| std::fs::rename(&part, &path))
            .map_err(|source| LoadError::Keep { path, source })
    }

    fn compile(&self, wasm: &[u8], digest: Digest, lane: Lane) -> Result<Code, LoadError> {
        let temporary = self.cache.temporary();
        let compiled = self.compiler.compile(lane, wasm, &temporary).map_err(LoadError::from);
        let code = compiled.and_then(|()| Ok(self.cache.keep(&temporary, digest, lane)?));
        if code.is_err() {
            // What a stopped compiler left; it may have left nothing.
            let _ = std::fs::remove_file(&temporary);
        }
        code
    }

    fn link(&self, code: &Code, lane: Lane) -> Result<Pre, LoadError> {
        let pre = match lane {
            Lane::Direct => {
                code.module(&self.engine).and_then(|module| self.direct.instantiate_pre(&module)).map(Pre::Direct)
            }
            Lane::Component => code
                .component(&self.engine)
                .and_then(|component| self.component.instantiate_pre(&component))
                .map(Pre::Component),
        };
        pre.map_err(|error| LoadError::Link(format!("{error:#}")))
    }
}

#[derive(Clone)]
enum Pre {
    Direct(InstancePre<State>),
    Component(ComponentPre<State>),
}

/// A compiled and linked module; cheap to clone.
#[derive(Clone)]
pub struct Module {
    digest: Digest,
    bytes: u64,
    pre: Pre,
    probe: Option<Probe>,
}

impl Module {
    /// The same module, whose instances' calls a probe sees.
    #[must_use]
    pub fn probed(self, probe: Probe) -> Self {
        Self { probe: Some(probe), ..self }
    }

    /// Size of its file.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its name.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The lane it was loaded for.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self.pre {
            Pre::Direct(_) => Lane::Direct,
            Pre::Component(_) => Lane::Component,
        }
    }

    /// A new instance with its own memory, under `budget`. The caller then calls [`Guest::init`].
    ///
    /// # Errors
    /// What happened while it came to life.
    pub fn instantiate(&self, host: Host, budget: &Budget) -> Result<Box<dyn Guest>, Fault> {
        let began = mono_ns();
        let made: Result<Box<dyn Guest>, Fault> = match &self.pre {
            Pre::Direct(pre) => DirectGuest::new(pre, host, budget).map(|guest| Box::new(guest) as _),
            Pre::Component(pre) => ComponentGuest::new(pre, host, budget).map(|guest| Box::new(guest) as _),
        };
        pulse::rest();
        let guest = made?;
        Ok(match &self.probe {
            Some(probe) => {
                let instantiate_ns = mono_ns() - began;
                Box::new(Probed { guest, probe: Arc::clone(probe), instantiate_ns })
            }
            None => guest,
        })
    }
}
