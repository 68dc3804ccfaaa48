//! Results on stdout. A reader that has gone away (`| head`) is no fault of anyone's.

use std::io::Write;

use serde::Serialize;

use crate::error::CliError;

/// Text, ended by one line end.
pub(crate) fn text(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// One line of JSON.
///
/// # Errors
/// If it cannot be said in JSON: our fault.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let line = serde_json::to_string(value)
        .map_err(|error| CliError::Internal(format!("cannot write the result as JSON: {error}")))?;
    text(&line);
    Ok(())
}
