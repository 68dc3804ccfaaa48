//! Why a capture could not be read, and where.

use std::io;
use std::path::PathBuf;

use pinion_runtime::decode::DecodeError;
use pinion_runtime::decode::dbn::metadata::HeaderError;
use thiserror::Error;

use crate::error::CliError;
use crate::events::EventFileError;

/// Why a capture could not be read. `line` is counted from 1; for flat messages it is the message.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file cannot be read on.
    #[error("{}, after line {line}: cannot read on: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The last good line.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The compressed stream ends before its end mark.
    #[error(
        "{}, after line {line}, byte {byte} of the content: the {format} stream is cut off; copy the file again",
        path.display()
    )]
    CutStream {
        /// The file.
        path: PathBuf,
        /// gzip, zstd.
        format: &'static str,
        /// The last good line.
        line: u64,
        /// Bytes that came out before.
        byte: u64,
    },
    /// The compressed stream is broken.
    #[error("{}, after line {line}: the {format} stream is broken ({source}); copy the file again", path.display())]
    BrokenStream {
        /// The file.
        path: PathBuf,
        /// gzip, zstd.
        format: &'static str,
        /// The last good line.
        line: u64,
        /// What the decompressor says.
        source: io::Error,
    },
    /// A line that is not one.
    #[error(
        "{}, line {line}: {what}; a line of a capture is `<receive time in ns> <raw JSON frame>` or \
         `<receive time in seconds>: <raw JSON frame>`",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file that ends in the middle of a line or a message.
    #[error("{}, line {line}: the file ends in the middle of it, at byte {byte}; copy the file again", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// The line or the message.
        line: u64,
        /// Where the content ends.
        byte: u64,
    },
    /// A message or record that is not one.
    #[error("{}, message {line}, at byte {byte}: {source}", path.display())]
    Message {
        /// The file.
        path: PathBuf,
        /// The message.
        line: u64,
        /// Where it begins.
        byte: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A DBN file whose header is not one.
    #[error("{}: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// A file of the format before DBN.
    #[error("{}: the legacy format DBZ is not read; convert the file with Databento's `dbn` tool", path.display())]
    Legacy {
        /// The file.
        path: PathBuf,
    },
    /// An event file.
    #[error(transparent)]
    Events(#[from] EventFileError),
    /// Nothing in the first frames says whose they are.
    #[error("{}: cannot tell the encoding from its first frames; name it with --encoding", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
    },
}

impl CaptureError {
    /// Whether the file ends where it should go on: what was read until then is good.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::CutStream { .. } | Self::Cut { .. })
    }
}

impl From<CaptureError> for CliError {
    fn from(error: CaptureError) -> Self {
        Self::Usage(error.to_string())
    }
}
