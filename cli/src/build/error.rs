//! Why a strategy was not built: the place and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use pinion_runtime::sandbox::artefact::ArtefactError;
use thiserror::Error;

use super::rust::TARGET;

/// Why nothing was built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Neither a crate, nor Python, nor a `.wat` file.
    #[error("{0}: want a folder with a strategy.py or a Cargo.toml, a .wat file or a folder of them")]
    NotASource(PathBuf),
    /// No Rust that makes WebAssembly.
    #[error(
        "no Rust for {TARGET} is installed; run `rustup target add {TARGET}`, or on Debian \
         `apt-get install rustc-web cargo-web rust-web-src lld-19`"
    )]
    NoToolchain,
    /// No Python that can make components.
    #[error("{0}")]
    NoPython(String),
    /// A Python strategy that would not work in the sandbox: a line each for everything that is wrong with it.
    #[error("{}", .0.join("\n"))]
    Python(Vec<String>),
    /// The toolchain's own failure.
    #[error("{path}: {detail}")]
    Componentize {
        /// The source.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
    /// Cargo failed; it has said why.
    #[error("{first}; cargo could not build {path} (its messages are above)", path = path.display())]
    Cargo {
        /// The source.
        path: PathBuf,
        /// Its first error: file, line, column and message; where it names none, the folder.
        first: String,
    },
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

pub(super) fn io_error(path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { path: path.to_owned(), source }
}
