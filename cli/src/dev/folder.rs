//! A strategy's folder as it was last looked at: what is another file now, by content.
//!
//! Looked at rather than listened to: a folder of a few files costs microseconds to walk, works on every file system, and tells the
//! same of an editor that writes in place and of one that renames.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pinion_runtime::sandbox::artefact::Digest;

use crate::build::{is_product, is_result};
use crate::error::CliError;

/// Files of a folder that is watched: a strategy with its SDK has some thirty. More is a folder that was not meant.
const FILES_MAX: usize = 4_096;
/// Files up to this size are told apart by what is in them; larger ones by time and size.
const READ_BYTES_MAX: u64 = 1 << 20;
/// Folders that hold no source.
const SKIPPED: [&str; 4] = ["target", "node_modules", "venv", "__pycache__"];

/// One file's version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    bytes: u64,
    content: Option<Digest>,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files: BTreeMap<PathBuf, Version>,
}

impl Folder {
    /// As it is now.
    ///
    /// # Errors
    /// [`CliError::Usage`] for one that cannot be read or holds too much.
    pub(super) fn look(path: &Path) -> Result<Self, CliError> {
        let mut folder = Self { path: path.to_owned(), files: BTreeMap::new() };
        folder.changes()?;
        Ok(folder)
    }

    /// The files that have changed, come or gone since the last look, as paths in the folder.
    ///
    /// # Errors
    /// As [`Folder::look`].
    pub(super) fn changes(&mut self) -> Result<Vec<String>, CliError> {
        let failed = |error: io::Error| CliError::Usage(format!("cannot watch {}: {error}", self.path.display()));
        let found = found(&self.path).map_err(failed)?;
        if found.len() > FILES_MAX {
            let path = self.path.display();
            return Err(CliError::Usage(format!(
                "{path}: more than {FILES_MAX} files to watch; name the strategy's own folder"
            )));
        }
        let mut files = BTreeMap::new();
        let mut changed = Vec::new();
        for (path, metadata) in found {
            let before = self.files.remove(&path);
            let same = |seen: &Version| seen.bytes == metadata.len() && seen.modified == metadata.modified().ok();
            let version = match before.clone().filter(same) {
                Some(version) => version,
                None => version(&self.path.join(&path), &metadata),
            };
            if before.is_none_or(|before| before.differs(&version)) {
                changed.push(path.display().to_string());
            }
            files.insert(path, version);
        }
        changed.extend(self.files.keys().map(|gone| gone.display().to_string()));
        self.files = files;
        Ok(changed)
    }
}

impl Version {
    fn differs(&self, other: &Self) -> bool {
        match (&self.content, &other.content) {
            (Some(ours), Some(others)) => ours != others,
            _ => self != other,
        }
    }
}

fn version(path: &Path, metadata: &Metadata) -> Version {
    let bytes = metadata.len();
    // One that is gone by now differs at the next look.
    let content = (bytes <= READ_BYTES_MAX).then(|| fs::read(path).ok()).flatten();
    Version { modified: metadata.modified().ok(), bytes, content: content.as_deref().map(Digest::of) }
}

/// Every file that may be source, and where it lies in the folder. Links to folders are not followed: they may lead anywhere.
fn found(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let (mut folders, mut files) = (vec![PathBuf::new()], Vec::new());
    while let Some(inner) = folders.pop() {
        let entries = match fs::read_dir(folder.join(&inner)) {
            Ok(entries) => entries,
            // One that has gone since its parent was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && inner != Path::new("") => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let (name, path) = (entry.file_name(), inner.join(entry.file_name()));
            let name = name.to_string_lossy();
            if name.starts_with('.') || is_product(&name) {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !SKIPPED.contains(&&*name) && !is_result(&folder.join(&path)) {
                    folders.push(path);
                }
            } else if let Ok(metadata) = fs::metadata(folder.join(&path))
                && metadata.is_file()
            {
                files.push((path, metadata));
            }
        }
        if files.len() > FILES_MAX {
            break;
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("pinion-dev-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("src")).unwrap();
        folder
    }

    #[test]
    fn what_changed_came_or_went_is_told_once_and_a_touched_file_is_not() {
        let path = folder("changes");
        for name in ["strategy.yaml", "src/lib.rs", "gone.py"] {
            fs::write(path.join(name), "one").unwrap();
        }
        let mut folder = Folder::look(&path).unwrap();
        assert_eq!(folder.changes().unwrap(), [""; 0]);
        let touched = fs::File::options().write(true).open(path.join("strategy.yaml")).unwrap();
        touched.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(folder.changes().unwrap(), [""; 0], "another time, the same content");
        fs::write(path.join("src/lib.rs"), "two").unwrap();
        fs::write(path.join("src/more.rs"), "new").unwrap();
        fs::remove_file(path.join("gone.py")).unwrap();
        let mut changed = folder.changes().unwrap();
        changed.sort();
        assert_eq!(changed, ["gone.py", "src/lib.rs", "src/more.rs"]);
        assert_eq!(folder.changes().unwrap(), [""; 0]);
    }

    #[test]
    fn what_builds_and_backtests_write_is_not_looked_at() {
        let path = folder("products");
        let mut folder = Folder::look(&path).unwrap();
        for inner in ["target", ".git", "__pycache__", "result"] {
            fs::create_dir_all(path.join(inner)).unwrap();
            fs::write(path.join(inner).join("run.json"), "").unwrap();
            fs::write(path.join(inner).join("report.html"), "").unwrap();
        }
        for name in ["a.wasm", "sample.gz", ".strategy.py.swp", "strategy.py~", "orders.parquet"] {
            fs::write(path.join(name), "").unwrap();
        }
        assert_eq!(folder.changes().unwrap(), [""; 0]);
    }

    #[test]
    fn a_folder_that_was_not_meant_is_refused() {
        let path = folder("many");
        for n in 0..=FILES_MAX {
            fs::write(path.join(format!("{n}.txt")), "").unwrap();
        }
        assert!(Folder::look(&path).unwrap_err().to_string().contains("name the strategy's own folder"));
        assert!(Folder::look(Path::new("/no/such/folder")).unwrap_err().to_string().contains("cannot watch"));
    }
}
