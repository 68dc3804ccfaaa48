//! The modules of a pod, by digest: put here by the operator, kept over a restart of the process.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::limits::{MODULE_BYTES_MAX, MODULES_KEPT_MAX};
use crate::sandbox::artefact::Digest;

/// A folder of modules. What lies there under a digest has that digest: it was checked when it was put, and is checked again
/// when it is read.
#[derive(Debug)]
pub struct Modules {
    folder: PathBuf,
}

/// Why a module is not kept, or not had.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// The bytes are another module.
    #[error("these bytes have digest {is}, not {wanted}")]
    OtherDigest {
        /// What was asked for.
        wanted: String,
        /// What came.
        is: String,
    },
    /// Not a digest.
    #[error("a module's digest is 64 hexadecimal digits in lower case")]
    NotADigest,
    /// Too large.
    #[error("the module has {bytes} bytes, {MODULE_BYTES_MAX} is the limit")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// Nobody has put it here.
    #[error("module {digest} has not been put here")]
    Missing {
        /// Which.
        digest: String,
    },
    /// The folder.
    #[error("module folder {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Modules {
    /// In this folder, which is made where it is missing.
    ///
    /// # Errors
    /// [`ModulesError::Folder`]
    pub fn open(folder: PathBuf) -> Result<Self, ModulesError> {
        match std::fs::create_dir_all(&folder) {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(ModulesError::Folder { folder, source }),
        }
    }

    /// Keeps a module. The oldest goes where there are too many.
    ///
    /// # Errors
    /// [`ModulesError`]
    pub fn put(&self, digest: &str, bytes: &[u8]) -> Result<(), ModulesError> {
        let path = self.path(digest)?;
        if bytes.len() > MODULE_BYTES_MAX {
            return Err(ModulesError::TooLarge { bytes: bytes.len() });
        }
        check(digest, bytes)?;
        self.prune().and_then(|()| write_whole(&path, bytes)).map_err(|source| self.failed(source))
    }

    /// Whether a module is here.
    #[must_use]
    pub fn has(&self, digest: &str) -> bool {
        self.path(digest).is_ok_and(|path| path.exists())
    }

    /// A module's bytes.
    ///
    /// # Errors
    /// [`ModulesError`]
    pub fn get(&self, digest: &str) -> Result<Vec<u8>, ModulesError> {
        let path = self.path(digest)?;
        match std::fs::read(&path) {
            Ok(bytes) => check(digest, &bytes).map(|()| bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(ModulesError::Missing { digest: digest.to_owned() })
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    fn path(&self, digest: &str) -> Result<PathBuf, ModulesError> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digest.len() != 64 || !digest.bytes().all(hex) {
            return Err(ModulesError::NotADigest);
        }
        Ok(self.folder.join(format!("{digest}.wasm")))
    }

    fn prune(&self) -> std::io::Result<()> {
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
        kept.sort();
        for (_, path) in kept.iter().rev().skip(MODULES_KEPT_MAX - 1) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> ModulesError {
        ModulesError::Folder { folder: self.folder.clone(), source }
    }
}

fn check(wanted: &str, bytes: &[u8]) -> Result<(), ModulesError> {
    let is = Digest::of(bytes).hex();
    if is == wanted { Ok(()) } else { Err(ModulesError::OtherDigest { wanted: wanted.to_owned(), is }) }
}

/// Writes a file that is there whole or not at all.
///
/// # Errors
/// What the file system says.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("pinion-modules-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn a_module_is_kept_under_its_own_digest_only() {
        let folder = folder("own");
        let modules = Modules::open(folder.clone()).unwrap();
        let digest = Digest::of(b"module").hex();
        assert!(matches!(modules.put(&digest, b"another"), Err(ModulesError::OtherDigest { .. })));
        assert!(matches!(modules.get(&digest), Err(ModulesError::Missing { .. })));
        modules.put(&digest, b"module").unwrap();
        assert_eq!(modules.get(&digest).unwrap(), b"module");
        std::fs::write(folder.join(format!("{digest}.wasm")), b"tampered").unwrap();
        assert!(matches!(modules.get(&digest), Err(ModulesError::OtherDigest { .. })));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_name_that_is_no_digest_reaches_no_file() {
        let folder = folder("name");
        let modules = Modules::open(folder.clone()).unwrap();
        for name in ["../../etc/passwd", "", &"A".repeat(64), &"a".repeat(63)] {
            assert!(matches!(modules.put(name, b""), Err(ModulesError::NotADigest)), "{name}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_folder_never_holds_more_than_its_limit() {
        let folder = folder("limit");
        let modules = Modules::open(folder.clone()).unwrap();
        for n in 0..MODULES_KEPT_MAX + 5 {
            let bytes = n.to_le_bytes();
            modules.put(&Digest::of(&bytes).hex(), &bytes).unwrap();
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), MODULES_KEPT_MAX);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
