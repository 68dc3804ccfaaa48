//! The one kind of error that the readers of captures make of theirs.

/// Stands for the command line's own.
#[derive(Debug)]
pub enum CliError {
    /// The file is wrong.
    Usage(String),
}
