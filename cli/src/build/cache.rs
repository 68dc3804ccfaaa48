//! What was built before, by content: the same source and the same toolchain give the same component without building it again.
//!
//! A component lies under the hash of everything that went into it. What went into a crate is known only after it was built (the
//! compiler says which files it read), so the list of its files is kept under the hash of what is known before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pinion_runtime::sandbox::artefact::Digest;
use sha2::{Digest as _, Sha256};

use super::error::{BuildError, io_error};

/// Components that are kept. One of Python is 19 MB.
const COMPONENTS_MAX: usize = 32;

/// A hash of named parts.
#[derive(Debug, Clone)]
pub(super) struct Key(Sha256);

impl Key {
    /// Of a kind of source, for this version of Pinion.
    pub(super) fn new(kind: &str) -> Self {
        Self(Sha256::new()).and(kind).and(env!("CARGO_PKG_VERSION")).and(crate::sdk::WIT)
    }

    /// And this.
    #[must_use]
    pub(super) fn and(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// And a file: its path and what is in it. One that is not there differs from every other.
    #[must_use]
    pub(super) fn and_file(self, path: &Path) -> Self {
        let named = self.and(path.as_os_str().as_encoded_bytes());
        match fs::read(path) {
            Ok(bytes) => named.and([1]).and(bytes),
            Err(_) => named.and([0]),
        }
    }

    /// As a file name, 64 hexadecimal digits.
    pub(super) fn name(&self) -> String {
        Digest::of(&self.0.clone().finalize()).hex()
    }
}

/// The folder that holds what is slow to make: `PINION_CACHE`, else `~/.cache/pinion`.
///
/// # Errors
/// Without a home.
pub(super) fn folder() -> Result<PathBuf, BuildError> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("PINION_CACHE").or_else(|| named("HOME").map(|home| home.join(".cache").join("pinion"))).ok_or_else(|| {
        let why = io::Error::new(io::ErrorKind::NotFound, "set PINION_CACHE to a folder for what is slow to build");
        io_error(Path::new("~/.cache/pinion"), why)
    })
}

/// Components that were built before.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The one of this user.
    ///
    /// # Errors
    /// Where there is no place for it.
    pub(super) fn open() -> Result<Self, BuildError> {
        Self::at(folder()?.join("built"))
    }

    fn at(folder: PathBuf) -> Result<Self, BuildError> {
        fs::create_dir_all(&folder).map_err(|error| io_error(&folder, error))?;
        Ok(Self { folder })
    }

    /// The component of a key.
    pub(super) fn component(&self, key: &Key) -> Option<Vec<u8>> {
        fs::read(self.file(key, "wasm")).ok()
    }

    /// Keeps a component, and forgets the oldest of too many.
    ///
    /// # Errors
    /// Of the disk.
    pub(super) fn keep(&self, key: &Key, component: &[u8]) -> Result<(), BuildError> {
        write_whole(&self.file(key, "wasm"), component)?;
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        let mut files: Vec<_> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let made = path.metadata().ok()?.modified().ok()?;
                path.extension().is_some_and(|extension| extension == "wasm").then_some((made, path))
            })
            .collect();
        files.sort();
        for (_, path) in files.iter().rev().skip(COMPONENTS_MAX) {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// The files that went into what was last built of `before`, which is known before it is built.
    pub(super) fn inputs(&self, before: &Key) -> Option<Vec<PathBuf>> {
        let text = fs::read_to_string(self.file(before, "inputs")).ok()?;
        Some(text.lines().map(PathBuf::from).collect())
    }

    /// Keeps that list.
    ///
    /// # Errors
    /// Of the disk.
    pub(super) fn keep_inputs(&self, before: &Key, files: &[PathBuf]) -> Result<(), BuildError> {
        let lines: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
        write_whole(&self.file(before, "inputs"), lines.join("\n").as_bytes())
    }

    fn file(&self, key: &Key, extension: &str) -> PathBuf {
        self.folder.join(key.name()).with_extension(extension)
    }
}

/// Writes a file that others see whole or not at all.
///
/// # Errors
/// Of the disk.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    fs::write(&temporary, bytes).map_err(|error| io_error(&temporary, error))?;
    fs::rename(&temporary, path).map_err(|error| io_error(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(name: &str) -> Cache {
        let folder = std::env::temp_dir().join(format!("pinion-built-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Cache::at(folder).unwrap()
    }

    #[test]
    fn the_same_parts_find_the_component_and_others_do_not() {
        let cache = cache("parts");
        cache.keep(&Key::new("x").and("a").and("bc"), b"one").unwrap();
        assert_eq!(cache.component(&Key::new("x").and("a").and("bc")), Some(b"one".to_vec()));
        assert_eq!(cache.component(&Key::new("x").and("ab").and("c")), None, "the parts are told apart");
        assert_eq!(cache.component(&Key::new("y").and("a").and("bc")), None);
    }

    #[test]
    fn a_file_that_changed_or_is_gone_is_another_key() {
        let cache = cache("file");
        let file = cache.folder.join("source");
        let name = || Key::new("x").and_file(&file).name();
        fs::write(&file, "a").unwrap();
        let first = name();
        fs::write(&file, "b").unwrap();
        let second = name();
        fs::remove_file(&file).unwrap();
        assert!(first != second && second != name() && first != name());
        fs::write(&file, "a").unwrap();
        assert_eq!(first, name());
    }

    #[test]
    fn components_that_are_too_many_are_forgotten() {
        let cache = cache("many");
        for n in 0..COMPONENTS_MAX + 3 {
            cache.keep(&Key::new("x").and(n.to_string()), b"").unwrap();
        }
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), COMPONENTS_MAX);
    }
}
