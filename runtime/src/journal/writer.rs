//! The journal's thread: takes entries out of the workers' rings, and writes blocks and segments.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::segment::{Block, MAGIC};
use super::{Entry, VERSION};
use crate::clock::{mono_ns, wall_ns};
use crate::limits::{JOURNAL_SEGMENT_BYTES, JOURNAL_SYNC_NS};
use crate::metrics::WorkerMetrics;

/// Where a journal lies, and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalConfig {
    /// Its folder.
    pub dir: PathBuf,
    /// Bytes of each worker's segments together; the oldest give way.
    pub bytes_max: u64,
}

/// What the control plane asks of the writer.
pub enum WriterCommand {
    /// Another worker's ring.
    AddWorker(Arc<WorkerMetrics>, rtrb::Consumer<Entry>),
    /// Writes what is in the rings, to the disk, and ends.
    Finish,
}

/// How long entries may lie in a ring.
const INTERVAL: Duration = Duration::from_millis(10);

/// The thread's state.
pub struct Writer {
    config: JournalConfig,
    commands: Receiver<WriterCommand>,
    lanes: Vec<Lane>,
}

/// One worker's journal.
struct Lane {
    metrics: Arc<WorkerMetrics>,
    ring: rtrb::Consumer<Entry>,
    /// `None` after a failure: what comes then is dropped.
    segments: Option<Segments>,
    block: Block,
}

impl Writer {
    /// A writer into a folder that is made where it is not there, and is nobody else's to read.
    ///
    /// # Errors
    /// Where the folder cannot be made or written.
    pub fn new(config: JournalConfig, commands: Receiver<WriterCommand>) -> io::Result<Self> {
        private_dir(&config.dir.join("modules"))?;
        Ok(Self { config, commands, lanes: Vec::new() })
    }

    /// Runs until it is told to finish, or the control plane is gone.
    pub fn run(mut self) {
        loop {
            let command = self.commands.recv_timeout(INTERVAL);
            let ends = matches!(command, Ok(WriterCommand::Finish) | Err(RecvTimeoutError::Disconnected));
            if let Ok(WriterCommand::AddWorker(metrics, ring)) = command {
                self.add(metrics, ring);
            }
            for lane in &mut self.lanes {
                if let Err(error) = lane.take(ends, &self.config) {
                    lane.metrics.journal_failed.set(1);
                    let folder = folder(&self.config.dir, lane.metrics.index);
                    tracing::error!(folder = %folder.display(), %error, "the journal ends here: it cannot be written; trading goes on");
                    lane.segments = None;
                }
            }
            if ends {
                return;
            }
        }
    }

    fn add(&mut self, metrics: Arc<WorkerMetrics>, ring: rtrb::Consumer<Entry>) {
        let folder = folder(&self.config.dir, metrics.index);
        let segments = private_dir(&folder).and_then(|()| Segments::open(folder.clone()));
        if let Err(error) = &segments {
            metrics.journal_failed.set(1);
            tracing::error!(folder = %folder.display(), %error, "no journal is written: its folder cannot be used; trading goes on");
        }
        let mut block = Block::default();
        // Small, so it fits.
        let _ = block.add(&Entry::Start { version: VERSION, at: wall_ns() });
        self.lanes.push(Lane { metrics, ring, segments: segments.ok(), block });
    }
}

impl Lane {
    fn take(&mut self, ends: bool, config: &JournalConfig) -> io::Result<()> {
        while let Ok(entry) = self.ring.pop() {
            self.block.add(&entry).map_err(io::Error::other)?;
            if self.block.is_full() {
                self.write(config)?;
            }
        }
        if !self.block.is_empty() {
            self.write(config)?;
        }
        self.segments.as_mut().map_or(Ok(()), |segments| segments.sync(ends))
    }

    fn write(&mut self, config: &JournalConfig) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.block.write(&mut bytes);
        let Some(segments) = &mut self.segments else { return Ok(()) };
        segments.write(&bytes, config.bytes_max)?;
        self.metrics.journal_bytes.add(bytes.len() as u64);
        Ok(())
    }
}

/// A worker's segments: the last is being written.
struct Segments {
    folder: PathBuf,
    /// Number and bytes of those before, the oldest first.
    before: Vec<(u64, u64)>,
    number: u64,
    file: File,
    bytes: u64,
    /// Since when what is written may not be on disk; 0: it is.
    unsynced_since_ns: u64,
}

impl Segments {
    /// Begins a segment behind those that are there.
    fn open(folder: PathBuf) -> io::Result<Self> {
        let mut before = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if let Some(number) = number_of(&entry.path()) {
                before.push((number, entry.metadata()?.len()));
            }
        }
        before.sort_unstable();
        let number = before.last().map_or(1, |(number, _)| number + 1);
        let file = create(&folder, number)?;
        Ok(Self { folder, before, number, file, bytes: MAGIC.len() as u64, unsynced_since_ns: mono_ns() })
    }

    fn write(&mut self, bytes: &[u8], bytes_max: u64) -> io::Result<()> {
        if self.bytes >= JOURNAL_SEGMENT_BYTES {
            self.file.sync_data()?;
            self.before.push((self.number, self.bytes));
            self.number += 1;
            self.file = create(&self.folder, self.number)?;
            self.bytes = MAGIC.len() as u64;
        }
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        if self.unsynced_since_ns == 0 {
            self.unsynced_since_ns = mono_ns();
        }
        while !self.before.is_empty()
            && self.before.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.bytes > bytes_max
        {
            let (oldest, _) = self.before.remove(0);
            fs::remove_file(path(&self.folder, oldest))?;
        }
        Ok(())
    }

    fn sync(&mut self, now: bool) -> io::Result<()> {
        let since = self.unsynced_since_ns;
        if since != 0 && (now || mono_ns().saturating_sub(since) >= JOURNAL_SYNC_NS) {
            self.file.sync_data()?;
            self.unsynced_since_ns = 0;
        }
        Ok(())
    }
}

fn create(folder: &Path, number: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path(folder, number))?;
    file.write_all(&MAGIC)?;
    Ok(file)
}

/// A folder that only this user reads: orders and limits are in it.
fn private_dir(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A worker's folder.
pub(super) fn folder(dir: &Path, worker: usize) -> PathBuf {
    dir.join(format!("worker-{worker}"))
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.journal"))
}

/// The number of a segment's file.
pub(super) fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".journal")?;
    name.parse().ok().filter(|_| name.len() >= 8)
}
