//! A cluster's folder, and what clears it and the cluster away.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::tools::recipe_folder;

static HOMES: AtomicU32 = AtomicU32::new(0);

/// A folder whose end is the end of the cluster: `down.sh` kills the processes and removes it when this value is dropped, and
/// also when this process ends in a way that drops nothing. Dropped by a test that fails, it leaves the logs and says where.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    watchdog: Child,
}

impl Home {
    /// An empty home. The watchdog holds `turn`, the lock of the machine's only node, until all is cleared away.
    pub(super) fn make(turn: Option<File>) -> Result<Self, String> {
        let n = HOMES.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has 107 characters at most.
        let path = std::env::temp_dir().join(format!("pinion-kube-{}-{n}", std::process::id()));
        let why = |error| format!("make {}: {error}", path.display());
        // It holds keys.
        DirBuilder::new().mode(0o700).create(&path).map_err(why)?;
        for folder in ["logs", "pids", "pki", "kubeconfigs"] {
            std::fs::create_dir(path.join(folder)).map_err(why)?;
        }
        let mut down = Command::new(recipe_folder().join("down.sh"));
        // A group of its own: what kills the test's group leaves it to do its work.
        down.arg(&path).process_group(0).stdin(Stdio::piped()).stderr(Stdio::null());
        down.stdout(turn.map_or_else(Stdio::null, Stdio::from));
        let watchdog = down.spawn().map_err(|error| format!("run down.sh: {error}"))?;
        Ok(Self { path, watchdog })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The sign to down.sh.
            let _ = File::create(self.path.join("keep"));
            eprintln!("the cluster's logs are in {}", self.path.join("logs").display());
        }
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}
