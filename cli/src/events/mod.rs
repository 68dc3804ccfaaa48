//! Event files: decoded events, a row each, as Parquet or as an Arrow IPC file. A capture is decoded once and read from then on without
//! its venue's rules, other tools read it as it is, and what other tools write in this form comes in like any capture.
//!
//! `pinion inspect CAPTURE --out FILE` writes one, and every command that takes a capture reads it to the same events: as flat records
//! ([`pinion_runtime::decode::flat`]), one for each record of the capture. The columns are in [`schema`]. Execution reports have no
//! rows. A file is written under another name and gets its own when it is whole.

mod guard;
mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use thiserror::Error;

pub(crate) use read::EventReader;
pub(crate) use schema::{Format, SIZE_EXPONENT, VERSION};
pub(crate) use write::EventWriter;

/// Why an event file cannot be written or read. `row` is counted from 1.
#[derive(Debug, Error)]
pub enum EventFileError {
    /// A name that says neither format.
    #[error("{}: name the file .parquet, or .arrow for an Arrow IPC file", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened, made or given its name.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The format's library cannot write on.
    #[error("cannot write {}: {what}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What it says.
        what: String,
    },
    /// The format's library cannot make sense of the file.
    #[error("{}, after row {row}: the file is cut off or broken ({what}); copy or write it again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The last good row.
        row: u64,
        /// What the library says.
        what: String,
    },
    /// Another version of the columns.
    #[error("{}: events of version {version}, and version {VERSION} is read; write it again with this pinion", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: String,
    },
    /// Sizes at another exponent.
    #[error("{}: sizes at 10 to {exponent}, and {SIZE_EXPONENT} is read; write them again at that exponent", path.display())]
    Exponent {
        /// The file.
        path: PathBuf,
        /// What it says.
        exponent: String,
    },
    /// A column that is not there.
    #[error("{}: no column `{column}`; add it as {wanted}, or write the file with `pinion inspect CAPTURE --out`", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// Its type.
        wanted: DataType,
    },
    /// A column of another type.
    #[error("{}: column `{column}` is {found}, and {wanted} is read; cast it", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// Its type.
        found: DataType,
        /// What it should be.
        wanted: DataType,
    },
    /// A row that is no event.
    #[error("{}, row {row}, column `{column}`: {what}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row.
        row: u64,
        /// The column.
        column: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// One record's events are more than one record may hold.
    #[error("{}, row {row}: the events of one record are more than {limit} bytes as a flat record", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The row.
        row: u64,
        /// The limit.
        limit: usize,
    },
}

/// What a file's first bytes say it is.
pub(crate) fn format_of(first: &[u8]) -> Option<Format> {
    if first.starts_with(b"PAR1") {
        Some(Format::Parquet)
    } else if first.starts_with(b"ARROW1") {
        Some(Format::Arrow)
    } else {
        None
    }
}

/// What a file's name says it is to be.
pub(crate) fn format_named(path: &Path) -> Result<Format, EventFileError> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => Ok(Format::Parquet),
        Some("arrow") => Ok(Format::Arrow),
        _ => Err(EventFileError::Name { path: path.into() }),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
