//! What tests tell a whole run: lines in files that it names by variables of the environment.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Adds a line to the file that the variable names, if it names one.
///
/// # Panics
/// If it cannot be written.
pub(crate) fn add(variable: &str, line: &str) {
    let Some(path) = std::env::var_os(variable) else { return };
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("write to the file {variable}: {error}"));
}
