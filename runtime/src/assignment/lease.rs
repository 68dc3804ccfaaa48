//! What a pod keeps over a restart of its process: the last document and the end of its lease.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pinion_spec::assignment::Assignment;
use serde::{Deserialize, Serialize};

use super::PodError;
use crate::clock::mono_ns;
use crate::modules::write_whole;

/// The last document, and until when it may be acted on.
pub(super) struct Kept {
    pub(super) document: Assignment,
    /// Monotonic ns.
    pub(super) lease_end_ns: u64,
}

#[derive(Serialize, Deserialize)]
struct File {
    /// The monotonic clock starts anew with the machine: a lease of another start has run out.
    boot_id: String,
    lease_end_ns: u64,
    document: Assignment,
}

/// The name of the machine's start, whose clock it is: see [`PodClock`](pinion_spec::assignment::PodClock). Where the kernel tells none
/// it is one of this process alone, which leaves no lease to the next.
pub(super) fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        match told.trim() {
            "" => format!("process-{}-{}", std::process::id(), mono_ns()),
            told => told.to_owned(),
        }
    })
}

fn path(folder: &Path) -> PathBuf {
    folder.join("assignment.json")
}

impl Kept {
    /// What the folder holds; a lease of another start of the machine counts as run out.
    ///
    /// # Errors
    /// A file that is not ours.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, PodError> {
        let file = path(folder);
        let Some(bytes) = read(&file)? else { return Ok(None) };
        let kept: File = serde_json::from_slice(&bytes)
            .map_err(|error| PodError::File { file, problem: format!("{error}; remove it to begin afresh") })?;
        let lease_end_ns = if kept.boot_id == boot_id() { kept.lease_end_ns } else { 0 };
        Ok(Some(Self { document: kept.document, lease_end_ns }))
    }

    /// Keeps it: whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn write(self, folder: &Path) -> std::io::Result<()> {
        let file = File { boot_id: boot_id().to_owned(), lease_end_ns: self.lease_end_ns, document: self.document };
        write_whole(&path(folder), &serde_json::to_vec(&file)?)
    }
}

/// The document that Kubernetes mounts; `None` where it has not been written yet.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_document(file: &Path) -> Result<Option<Assignment>, PodError> {
    let Some(bytes) = read(file)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| PodError::File { file: file.to_owned(), problem: error.to_string() })
}

fn read(file: &Path) -> Result<Option<Vec<u8>>, PodError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PodError::File { file: file.to_owned(), problem: error.to_string() }),
    }
}
