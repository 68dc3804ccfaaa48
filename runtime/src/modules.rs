//! The modules of a pod, by digest: put here by the operator or pulled from a registry, kept over a restart of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::clock::wall_ns;
use crate::limits::{MODULE_BYTES_MAX, MODULES_KEPT_BYTES_MAX, MODULES_KEPT_MAX, TRANSFER_SECONDS_MAX};
use crate::sandbox::artefact::Digest;

/// A folder of modules. What lies there under a digest has that digest: it was checked when it was put, and is checked again
/// when it is read. Beside them lie the manifests by which modules were pulled from registries, by their own digests.
#[derive(Debug)]
pub struct Modules {
    folder: PathBuf,
    /// Digests of modules by those of their manifests, as far as they have been asked for.
    pulled: Mutex<BTreeMap<String, String>>,
    /// Modules and manifests that are in use: kept whatever their age.
    used: Mutex<BTreeSet<String>>,
    /// Keeps the names of files that are being written apart.
    serial: AtomicU64,
}

/// A module on its way here.
#[derive(Debug)]
pub(crate) struct Arriving {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: usize,
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
            Ok(()) => {
                clear_partial(&folder);
                Ok(Self { folder, pulled: Mutex::default(), used: Mutex::default(), serial: AtomicU64::new(0) })
            }
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
        let pruned = self.prune(&self.folder, MODULES_KEPT_BYTES_MAX);
        pruned.and_then(|()| write_whole(&path, bytes)).map_err(|source| self.failed(source))
    }

    /// Begins to take a module in, piece by piece.
    pub(crate) fn begin(&self) -> Result<Arriving, ModulesError> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("arriving-{}-{serial}.partial", std::process::id()));
        let file = File::create(&path).map_err(|source| self.failed(source))?;
        Ok(Arriving { path, file, hasher: Sha256::new(), bytes: 0 })
    }

    /// Keeps a module that has arrived, under its digest. The oldest goes where there are too many.
    pub(crate) fn keep(&self, arriving: Arriving) -> Result<(), ModulesError> {
        let path = self.path(&arriving.digest())?;
        let kept = self
            .prune(&self.folder, MODULES_KEPT_BYTES_MAX)
            .and_then(|()| arriving.file.sync_all())
            .and_then(|()| std::fs::rename(&arriving.path, path));
        kept.map_err(|source| self.failed(source))
    }

    /// Keeps the manifest of a module.
    pub(crate) fn put_manifest(&self, digest: &str, manifest: &[u8], module: &str) -> Result<(), ModulesError> {
        check(digest, manifest)?;
        let path = self.manifest_path(digest)?;
        let folder = path.parent().unwrap_or(&self.folder);
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| self.prune(folder, u64::MAX))
            .and_then(|()| write_whole(&path, manifest));
        written.map_err(|source| self.failed(source))?;
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.to_owned(), module.to_owned());
        Ok(())
    }

    /// The digest of the module that was pulled by this manifest, whether it is still here or not.
    #[must_use]
    pub fn pulled(&self, manifest: &str) -> Option<String> {
        let mut pulled = self.pulled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = pulled.get(manifest) {
            return Some(module.clone());
        }
        let bytes = std::fs::read(self.manifest_path(manifest).ok()?).ok()?;
        check(manifest, &bytes).ok()?;
        let module = crate::registry::module_of(&bytes)?;
        pulled.insert(manifest.to_owned(), module.clone());
        Some(module)
    }

    /// Says which modules and manifests are in use: those are kept, whatever comes.
    pub fn set_used(&self, used: BTreeSet<String>) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = used;
    }

    /// Whether a module is here.
    #[must_use]
    pub fn has(&self, digest: &str) -> bool {
        self.path(digest).is_ok_and(|path| path.exists())
    }

    /// A module's bytes. What has been damaged here is taken away, to be had anew.
    ///
    /// # Errors
    /// [`ModulesError`]
    pub fn get(&self, digest: &str) -> Result<Vec<u8>, ModulesError> {
        let path = self.path(digest)?;
        match std::fs::read(&path) {
            Ok(bytes) => {
                if check(digest, &bytes).is_err() {
                    tracing::error!(path = %path.display(), "a module that was kept here is damaged; it is had anew");
                    std::fs::remove_file(&path).map_err(|source| self.failed(source))?;
                    return Err(ModulesError::Missing { digest: digest.to_owned() });
                }
                Ok(bytes)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(ModulesError::Missing { digest: digest.to_owned() })
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    fn path(&self, digest: &str) -> Result<PathBuf, ModulesError> {
        is_digest(digest).then(|| self.folder.join(format!("{digest}.wasm"))).ok_or(ModulesError::NotADigest)
    }

    fn manifest_path(&self, digest: &str) -> Result<PathBuf, ModulesError> {
        let folder = || self.folder.join("manifests");
        is_digest(digest).then(|| folder().join(format!("{digest}.json"))).ok_or(ModulesError::NotADigest)
    }

    fn prune(&self, folder: &Path, bytes_max: u64) -> std::io::Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        prune(folder, MODULES_KEPT_MAX, bytes_max, &used)
    }

    fn failed(&self, source: std::io::Error) -> ModulesError {
        ModulesError::Folder { folder: self.folder.clone(), source }
    }
}

impl Arriving {
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), ModulesError> {
        self.file.write_all(piece).map_err(|source| ModulesError::Folder { folder: self.path.clone(), source })?;
        self.hasher.update(piece);
        self.bytes += piece.len();
        Ok(())
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn digest(&self) -> String {
        self.hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // Gone where it was kept.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a process that was killed had begun to write.
fn clear_partial(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, written) = (entry.path(), entry.metadata().and_then(|metadata| metadata.modified()));
        let written = written.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        // Another process may be at it, as long as a pull may take.
        let limit = Duration::from_secs(2 * TRANSFER_SECONDS_MAX);
        let is_old = written.is_some_and(|written| Duration::from_nanos(wall_ns()).saturating_sub(written) > limit);
        if is_old && path.extension().is_some_and(|extension| extension == "partial") {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes room for one more file: the oldest go, but for those whose stem is `used` and those that are being written.
fn prune(folder: &Path, files_max: usize, bytes_max: u64, used: &BTreeSet<String>) -> std::io::Result<()> {
    let (mut kept, mut files, mut bytes) = (Vec::new(), 0, 0);
    for entry in std::fs::read_dir(folder)? {
        let (path, metadata) = {
            let entry = entry?;
            (entry.path(), entry.metadata()?)
        };
        if !metadata.is_file() || path.extension().is_some_and(|extension| extension == "partial") {
            continue;
        }
        (files, bytes) = (files + 1, bytes + metadata.len());
        let is_used = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| used.contains(stem));
        if !is_used {
            kept.push((metadata.modified()?, path, metadata.len()));
        }
    }
    kept.sort();
    for (_, path, size) in kept {
        if files < files_max && bytes + MODULE_BYTES_MAX as u64 <= bytes_max {
            break;
        }
        std::fs::remove_file(path)?;
        (files, bytes) = (files - 1, bytes - size);
    }
    Ok(())
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
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
        assert!(matches!(modules.get(&digest), Err(ModulesError::Missing { .. })), "and is to be put again");
        assert!(!modules.has(&digest));
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

    #[test]
    fn what_is_in_use_outlasts_whatever_comes() {
        let folder = folder("used");
        let modules = Modules::open(folder.clone()).unwrap();
        let used = Digest::of(b"used").hex();
        modules.put(&used, b"used").unwrap();
        modules.set_used(BTreeSet::from([used.clone()]));
        for n in 0..MODULES_KEPT_MAX + 5 {
            let bytes = n.to_le_bytes();
            modules.put(&Digest::of(&bytes).hex(), &bytes).unwrap();
        }
        assert!(modules.has(&used));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_module_that_arrives_in_pieces_has_its_name_when_it_is_whole() {
        let folder = folder("pieces");
        let modules = Modules::open(folder.clone()).unwrap();
        let digest = Digest::of(b"module").hex();
        let mut broken_off = modules.begin().unwrap();
        broken_off.write(b"mod").unwrap();
        drop(broken_off);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "and leaves nothing");
        let mut arriving = modules.begin().unwrap();
        arriving.write(b"mod").unwrap();
        arriving.write(b"ule").unwrap();
        assert!(!modules.has(&digest));
        modules.keep(arriving).unwrap();
        assert_eq!(modules.get(&digest).unwrap(), b"module");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
