//! Folders of a test's own, inside the build's folder, where a killed run leaves nothing that a person would miss.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::programs::build_folder;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed with this value.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// An empty folder.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        let n = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = build_folder().join("tmp").join(format!("it-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("make a scratch folder");
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it, under another name first, so that nobody reads half of it.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let (path, half) = (self.path.join(name), self.path.join(format!("{name}.half")));
        std::fs::write(&half, content).expect("write a scratch file");
        std::fs::rename(&half, &path).expect("rename a scratch file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
