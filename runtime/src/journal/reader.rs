//! Reading a journal back, entry by entry: hostile like every file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::segment::{self, MAGIC, Next};
use super::writer::number_of;
use super::{Entry, VERSION};

/// Why a journal cannot be read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A file or a folder.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a journal.
    #[error("{0}: no journal lies here; want the folder that `pinion run --journal` wrote to")]
    NotAJournal(PathBuf),
    /// A block that is not as it was written.
    #[error(
        "{path}: the block at byte {at} is not as it was written; take the file from a backup, or move it away to replay what is before it"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the block begins.
        at: usize,
    },
    /// A segment that is missing.
    #[error("{path} is not there, and segments before and behind it are; take it from a backup")]
    Missing {
        /// The segment.
        path: PathBuf,
    },
    /// The beginning has given way.
    #[error(
        "{path}: the oldest segment begins in the middle: those before were given up for the journal's size; what is left cannot be \
         replayed before the next start of the process. Let a journal become larger with --journal-mib"
    )]
    Beginning {
        /// The oldest segment.
        path: PathBuf,
    },
    /// Another program's.
    #[error(
        "{path}: version {version} of the journal, this program reads {VERSION}; replay it with the version of Pinion that wrote it"
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// An entry that says nothing.
    #[error("an entry cannot be read: {0}")]
    Entry(postcard::Error),
}

/// Reads one worker's journal from its first start on.
#[derive(Debug)]
pub struct Reader {
    /// Segments that are still to be read, the next one last.
    segments: Vec<PathBuf>,
    path: PathBuf,
    bytes: Vec<u8>,
    at: usize,
    /// Entries of the block that is being read, the next one last.
    entries: Vec<Entry>,
    cut: Vec<(PathBuf, usize)>,
    begun: bool,
}

impl Reader {
    /// The workers' folders of a journal, in order.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::NotAJournal`]
    pub fn workers(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
        let mut workers = Vec::new();
        let io_error = |source| JournalError::Io { path: dir.to_owned(), source };
        for entry in fs::read_dir(dir).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("worker-"));
            if let Some(number) = name.and_then(|number| number.parse::<u32>().ok()) {
                workers.push((number, path));
            }
        }
        workers.sort_unstable();
        if workers.is_empty() {
            return Err(JournalError::NotAJournal(dir.to_owned()));
        }
        Ok(workers.into_iter().map(|(_, path)| path).collect())
    }

    /// Opens one worker's folder.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let io_error = |source| JournalError::Io { path: folder.to_owned(), source };
        let mut segments = Vec::new();
        for entry in fs::read_dir(folder).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            segments.extend(number_of(&path).map(|number| (number, path)));
        }
        segments.sort_unstable();
        if let Some(gap) = segments.windows(2).find(|pair| pair[0].0 + 1 != pair[1].0) {
            let missing = format!("{:08}.journal", gap[0].0 + 1);
            return Err(JournalError::Missing { path: folder.join(missing) });
        }
        if segments.is_empty() {
            return Err(JournalError::NotAJournal(folder.to_owned()));
        }
        Ok(Self {
            segments: segments.into_iter().rev().map(|(_, path)| path).collect(),
            path: PathBuf::new(),
            bytes: Vec::new(),
            at: 0,
            entries: Vec::new(),
            cut: Vec::new(),
            begun: false,
        })
    }

    /// The next entry, `None` at the end.
    ///
    /// # Errors
    /// [`JournalError`]; nothing is read after one.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, JournalError> {
        loop {
            if let Some(entry) = self.entries.pop() {
                match entry {
                    Entry::Start { version, .. } if version != VERSION => {
                        return Err(JournalError::Version { path: self.path.clone(), version });
                    }
                    Entry::Start { .. } => self.begun = true,
                    _ if !self.begun => return Err(JournalError::Beginning { path: self.path.clone() }),
                    _ => {}
                }
                return Ok(Some(entry));
            }
            match segment::next(&self.bytes[self.at..]) {
                Next::Block(block, taken) => {
                    self.entries = segment::entries(block)?;
                    self.entries.reverse();
                    self.at += taken;
                    continue;
                }
                Next::Damaged => return Err(JournalError::Damaged { path: self.path.clone(), at: self.at }),
                Next::Cut => self.cut.push((self.path.clone(), self.at)),
                Next::End => {}
            }
            if !self.next_segment()? {
                return Ok(None);
            }
        }
    }

    /// Segments whose last block was not written to its end, and where it begins: what a crash leaves.
    #[must_use]
    pub fn cut(&self) -> &[(PathBuf, usize)] {
        &self.cut
    }

    fn next_segment(&mut self) -> Result<bool, JournalError> {
        let Some(path) = self.segments.pop() else {
            (self.bytes, self.at) = (Vec::new(), 0);
            return Ok(false);
        };
        self.bytes = fs::read(&path).map_err(|source| JournalError::Io { path: path.clone(), source })?;
        if self.bytes.len() < MAGIC.len() && MAGIC.starts_with(&self.bytes) {
            // A crash right at its beginning.
            self.cut.push((path.clone(), 0));
            self.at = self.bytes.len();
        } else if self.bytes.starts_with(&MAGIC) {
            self.at = MAGIC.len();
        } else {
            return Err(JournalError::Damaged { path, at: 0 });
        }
        self.path = path;
        Ok(true)
    }
}
