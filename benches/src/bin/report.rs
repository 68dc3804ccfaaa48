//! Writes `docs/PERFORMANCE.md` and its plots from the files of results: `report [RESULTS [DOCS]]`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pinion_benches::report;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let results = args.next().unwrap_or_else(|| root.join("results"));
    let docs = args.next().unwrap_or_else(|| root.join("../docs"));
    match write(&results, &docs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("report: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn write(results: &Path, docs: &Path) -> Result<(), String> {
    for (name, text) in report::files(&report::runs(results)?) {
        let path = docs.join(name);
        let folder = path.parent().unwrap_or(docs);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
