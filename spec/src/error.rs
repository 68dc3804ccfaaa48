//! What is wrong with a strategy file: every mistake with its line, its field, and what to do.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// Mistakes that one report holds; the rest are counted. A person mends the first hundred and asks again.
pub const REPORT_ERRORS_MAX: usize = 100;

/// Longest piece of the file that a message repeats, in characters.
const QUOTED_CHARS_MAX: usize = 64;

/// One mistake in a strategy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecError {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, in characters, from 1.
    pub column: usize,
    /// Which field, as in `spec.inputs[0].encoding`; empty where no field is to blame.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}

/// All mistakes of a strategy file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpecErrors {
    /// The file, as the caller named it.
    pub file: String,
    /// At least one and at most [`REPORT_ERRORS_MAX`] mistakes.
    pub errors: Vec<SpecError>,
    /// Mistakes beyond those.
    pub omitted: usize,
}

impl SpecErrors {
    pub(crate) fn new(file: &str, mut errors: Vec<SpecError>) -> Self {
        errors.sort_by_key(|error| (error.line, error.column));
        let omitted = errors.len().saturating_sub(REPORT_ERRORS_MAX);
        errors.truncate(REPORT_ERRORS_MAX);
        Self { file: file.to_owned(), errors, omitted }
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            let end_of_previous = if i == 0 { "" } else { "\n" };
            write!(f, "{end_of_previous}{}:{error}", self.file)?;
        }
        if self.omitted == 0 { Ok(()) } else { write!(f, "\n{}: and {} more", self.file, self.omitted) }
    }
}

impl std::error::Error for SpecErrors {}

/// `text` in quotes, with control characters escaped and cut to a length that a terminal line bears.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// `path` with a mapping's key added: `spec` and `inputs` make `spec.inputs`.
pub(crate) fn with_key(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.len() <= QUOTED_CHARS_MAX;
    if !plain || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return format!("{path}[{}]", quoted(key));
    }
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// `path` with a sequence's index added: `spec.inputs` and 0 make `spec.inputs[0]`.
pub(crate) fn with_index(path: &str, index: usize) -> String {
    let mut path = path.to_owned();
    // Writing to a String cannot fail.
    let _ = write!(path, "[{index}]");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: usize, column: usize) -> SpecError {
        SpecError { line, column, field: "spec".into(), problem: "wrong".into(), fix: "mend it".into() }
    }

    #[test]
    fn a_report_is_sorted_by_line_and_says_how_much_it_leaves_out() {
        let errors = SpecErrors::new("s.yaml", vec![error(7, 2), error(3, 9), error(3, 1)]);
        assert_eq!(
            errors.to_string(),
            "s.yaml:3:1: spec: wrong; mend it\ns.yaml:3:9: spec: wrong; mend it\ns.yaml:7:2: spec: wrong; mend it"
        );
        let many = SpecErrors::new("s.yaml", vec![error(1, 1); REPORT_ERRORS_MAX + 3]);
        assert_eq!((many.errors.len(), many.omitted), (REPORT_ERRORS_MAX, 3));
        assert!(many.to_string().ends_with("s.yaml: and 3 more"));
    }

    #[test]
    fn what_a_message_repeats_of_the_file_is_short_and_cannot_drive_a_terminal() {
        assert_eq!(quoted("a\u{1b}[2Jb"), r#""a\u{1b}[2Jb""#);
        assert_eq!(quoted(&"é".repeat(1_000)).chars().count(), QUOTED_CHARS_MAX + 3);
        assert_eq!(with_key("spec.params", "fast-n"), "spec.params.fast-n");
        assert_eq!(with_key("spec.params", "a b\n"), r#"spec.params["a b\n"]"#);
        assert_eq!(with_index("spec.inputs", 3), "spec.inputs[3]");
    }
}
