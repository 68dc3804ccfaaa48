//! Writes the boards and the rules: `boards DIR`, where `DIR` is `deploy`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A folder is named; what begins as an option is none.
    let named = std::env::args_os().nth(1).filter(|name| !name.to_string_lossy().starts_with('-'));
    let Some(folder) = named else {
        eprintln!("boards: name the folder to write to, as in `cargo run --bin boards deploy`");
        return ExitCode::FAILURE;
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("boards: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<(), String> {
    for (name, content) in pinion_boards::files()? {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, content));
        written.map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(())
}
