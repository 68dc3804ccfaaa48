//! Where a compiler's error is: file, line and column as an editor opens them.

use std::path::Path;

use serde_json::Value;

/// `mine/src/lib.rs:31:9: cannot find value `x` in this scope`, where one of cargo's messages is an error with a place.
pub(super) fn of(folder: &Path, message: &Value) -> Option<String> {
    let message = &message["message"];
    if message["level"] != "error" {
        return None;
    }
    let spans = message["spans"].as_array()?;
    let span = spans.iter().find(|span| span["is_primary"] == true)?;
    let named = Path::new(span["file_name"].as_str()?);
    // The compiler runs in the workspace's folder, which is the crate's own or one above it.
    let file = folder.join(named);
    let file = if file.exists() { file } else { named.to_owned() };
    let (line, column) = (span["line_start"].as_u64()?, span["column_start"].as_u64()?);
    Some(format!("{}:{line}:{column}: {}", file.display(), message["message"].as_str()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_named_by_its_file_line_and_column_and_a_warning_is_none() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let message = |level: &str, file: &str| {
            let other = json!({"is_primary": false, "file_name": "other.rs", "line_start": 1, "column_start": 1});
            let span = json!({"is_primary": true, "file_name": file, "line_start": 31, "column_start": 9});
            json!({"message": {"level": level, "message": "mismatched types", "spans": [other, span]}})
        };
        let mine = format!("{}/src/lib.rs:31:9: mismatched types", folder.display());
        assert_eq!(of(folder, &message("error", "src/lib.rs")), Some(mine));
        assert_eq!(of(folder, &message("error", "no/such.rs")).unwrap(), "no/such.rs:31:9: mismatched types");
        assert_eq!(of(folder, &message("warning", "src/lib.rs")), None);
        assert_eq!(of(folder, &json!({"message": {"level": "error", "message": "aborting", "spans": []}})), None);
        assert_eq!(of(folder, &json!({"reason": "build-finished"})), None);
    }
}
