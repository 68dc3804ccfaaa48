//! Compiled modules on disk, and the only door through which machine code enters the process.
//!
//! A file is named by the artefact's digest, the engine's configuration and the lane; it ends with the SHA-256 of what comes
//! before, so a torn write or a flipped bit is a miss, never code. The directory must belong to this user and be closed to
//! everyone else, else nothing is read from it.

#![allow(unsafe_code)]

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::artefact::{Digest, Lane};

const TRAILER_BYTES: usize = 32;

/// Why a cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The directory, or a file in it, cannot be made or read.
    #[error("cannot use the module cache {path}")]
    Io {
        /// What was being used.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others could put code into it.
    #[error("the module cache {path} is open to other users; it must belong to this user with mode 0700")]
    Open {
        /// The directory.
        path: PathBuf,
    },
}

/// A directory of compiled modules.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// The engine's configuration, as a file name's part.
    engine: String,
    /// Keeps temporary names of this process apart.
    serial: AtomicU64,
}

/// Machine code that this process, or one of this user's with the same configuration, compiled.
#[derive(Debug)]
pub(super) struct Code(Vec<u8>);

impl Cache {
    /// Opens a directory, making it if it is not there.
    ///
    /// # Errors
    /// [`CacheError`]; a directory that others can write to or read is refused.
    pub fn open(dir: &Path, engine: &Engine) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let metadata = fs::symlink_metadata(dir).map_err(io)?;
        let ours = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !ours || metadata.mode() & 0o077 != 0 {
            return Err(CacheError::Open { path: dir.to_owned() });
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), engine: format!("{:016x}", hasher.finish()), serial: AtomicU64::new(0) })
    }

    /// Where the code of an artefact lies, or will.
    #[must_use]
    pub fn path(&self, digest: Digest, lane: Lane) -> PathBuf {
        self.dir.join(format!("{}-{}.{}.cwasm", digest.hex(), self.engine, lane.label()))
    }

    /// A name of its own for a file to be written and then handed to [`Cache::keep`].
    pub(super) fn temporary(&self) -> PathBuf {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!(".{}-{serial}.tmp", std::process::id()))
    }

    /// The code of an artefact, where it is there and whole.
    pub(super) fn get(&self, digest: Digest, lane: Lane) -> Option<Code> {
        let path = self.path(digest, lane);
        let code = unseal(fs::read(&path).ok()?);
        if code.is_none() {
            tracing::warn!(path = %path.display(), "a compiled module is damaged; compiling it again");
        }
        code
    }

    /// Puts a file that [`write_sealed`] wrote in its place, at once and whole, and reads it.
    pub(super) fn keep(&self, temporary: &Path, digest: Digest, lane: Lane) -> Result<Code, CacheError> {
        let path = self.path(digest, lane);
        let io = |source| CacheError::Io { path: path.clone(), source };
        let code = unseal(fs::read(temporary).map_err(io)?)
            .ok_or_else(|| io(io::Error::new(io::ErrorKind::InvalidData, "the compiler's output is not whole")))?;
        fs::rename(temporary, &path).map_err(io)?;
        Ok(code)
    }
}

/// Writes code and its checksum.
pub(super) fn write_sealed(path: &Path, mut code: Vec<u8>) -> io::Result<()> {
    let trailer = Sha256::digest(&code);
    code.extend_from_slice(&trailer);
    fs::write(path, code)
}

fn unseal(mut bytes: Vec<u8>) -> Option<Code> {
    let end = bytes.len().checked_sub(TRAILER_BYTES)?;
    if Sha256::digest(&bytes[..end]).as_slice() != &bytes[end..] {
        return None;
    }
    bytes.truncate(end);
    Some(Code(bytes))
}

// JUSTIFICATION: `deserialize` is what makes a start take milliseconds: a Python component compiles for 12 s and loads in
// under 0.1 s. wasmtime has no safe form of it, because the bytes become machine code.
impl Code {
    /// The code as a core module.
    pub(super) fn module(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: the bytes are the unchanged output of `Engine::precompile_module` (the checksum) of this very
        // configuration and wasmtime version (the file name's hash, which wasmtime checks again), written by this user
        // into a directory that no one else can write to (`Cache::open`).
        unsafe { Module::deserialize(engine, &self.0) }
    }

    /// The code as a component.
    pub(super) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: as for `module`, and of `Engine::precompile_component`.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
