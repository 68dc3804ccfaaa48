//! Python: a folder with a `strategy.py`, made into a component by [`super::toolchain`].
//!
//! The sources are looked at first (`python/scan.py`), so that what cannot work in the sandbox is refused with file and line, and
//! not after half a minute. Then every module that the folder's files import is put into the component, with the SDK of this very
//! version of Pinion; nothing can be imported later.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cache::{self, Cache, Key};
use super::error::{BuildError, io_error};
use super::toolchain::{self, Toolchain, last_lines};
use crate::progress::Progress;
use crate::sdk;

/// The file that makes a folder a Python strategy.
pub(super) const ENTRY: &str = "strategy.py";

const SCAN: &str = include_str!("python/scan.py");

/// The module that the component starts with.
const APP: &str = "pinion_app";

/// Bytes of a folder that may become part of a component.
const SOURCE_BYTES_MAX: u64 = 16 << 20;
/// Files of it: a strategy is a handful.
const SOURCE_FILES_MAX: usize = 1_000;

/// Folders that are no part of a strategy; as in `scan.py`.
const SKIPPED_FOLDERS: [&str; 5] = ["tests", "vendor", "__pycache__", "node_modules", "venv"];

/// Files at its top that the host and people read, and the module never: a changed param builds nothing.
const BESIDE: [&str; 3] = ["strategy.yaml", "README.md", "pyproject.toml"];

/// What `scan.py` says.
#[derive(Debug, Deserialize)]
struct Scan {
    problems: Vec<Problem>,
    strategy: Option<String>,
    imports: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    file: String,
    line: u32,
    what: String,
    fix: String,
}

/// The component of a folder, and whether it was there already.
///
/// # Errors
/// What is wrong with the source, all of it, or with the toolchain.
pub(super) fn build(folder: &Path, cache: &Cache) -> Result<(Vec<u8>, bool), BuildError> {
    let files = files(folder)?;
    let mut key = Key::new("python").and(toolchain::REQUIREMENTS).and(SCAN);
    for (path, text) in sdk::PYTHON {
        key = key.and(path).and(text);
    }
    for (path, bytes) in &files {
        key = key.and(path.as_os_str().as_encoded_bytes()).and(bytes);
    }
    if let Some(component) = cache.component(&key) {
        return Ok((component, true));
    }
    let toolchain = Toolchain::ready()?;
    let component = Stage::new()?.build(folder, &files, &toolchain)?;
    cache.keep(&key, &component)?;
    Ok((component, false))
}

/// What of a folder becomes part of its component: every file but [`BESIDE`], tests, what is hidden, components, captures and results.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, BuildError> {
    let mut files = Vec::new();
    let (mut folders, mut bytes) = (vec![PathBuf::new()], 0);
    while let Some(inner) = folders.pop() {
        let here = folder.join(&inner);
        for entry in fs::read_dir(&here).map_err(|error| io_error(&here, error))? {
            let entry = entry.map_err(|error| io_error(&here, error))?;
            let name = entry.file_name();
            let (path, shown) = (inner.join(&name), name.to_string_lossy().into_owned());
            if shown.starts_with('.') || super::is_product(&shown) || SKIPPED_FOLDERS.contains(&shown.as_str()) {
                continue;
            }
            if inner == Path::new("") && BESIDE.contains(&shown.as_str()) {
                continue;
            }
            let whole = folder.join(&path);
            let kind = fs::metadata(&whole).map_err(|error| io_error(&whole, error))?;
            if kind.is_dir() {
                if !super::is_result(&whole) {
                    folders.push(path);
                }
                continue;
            }
            bytes += kind.len();
            if bytes > SOURCE_BYTES_MAX || files.len() == SOURCE_FILES_MAX {
                return Err(BuildError::Python(vec![format!(
                    "{}: more than {SOURCE_FILES_MAX} files or {} MiB besides tests/; keep only what the strategy needs in its folder",
                    folder.display(),
                    SOURCE_BYTES_MAX >> 20
                )]));
            }
            files.push((path, fs::read(&whole).map_err(|error| io_error(&whole, error))?));
        }
    }
    files.sort();
    Ok(files)
}

/// A folder of its own for one build.
struct Stage(PathBuf);

impl Stage {
    fn new() -> Result<Self, BuildError> {
        let folder = cache::folder()?.join(format!("stage-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| io_error(&folder, error))?;
        Ok(Self(folder))
    }

    fn build(&self, folder: &Path, files: &[(PathBuf, Vec<u8>)], toolchain: &Toolchain) -> Result<Vec<u8>, BuildError> {
        let source = self.0.join("source");
        for (path, bytes) in files {
            write(&source.join(path), bytes)?;
        }
        let scan = scan(folder, &source, toolchain)?;
        for (path, text) in sdk::PYTHON {
            write(&self.0.join("sdk").join(path), text.as_bytes())?;
        }
        write(&self.0.join("app").join(format!("{APP}.py")), app(&scan).as_bytes())?;

        let _progress = Progress::begin("making a component of it (about 20 s)");
        // The order is that of the mounts `/0`, `/1`, `/2`: tracebacks have them.
        let folders = [source, self.0.join("sdk"), self.0.join("app")];
        let (output, component) = toolchain.componentize(APP, &folders, &self.0)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(match traceback(folder, &text) {
                Some(lines) => BuildError::Python(lines),
                None => BuildError::Componentize { path: folder.to_owned(), detail: last_lines(&output) },
            });
        }
        fs::read(&component).map_err(|error| io_error(&component, error))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Looks at the sources; everything that is wrong with them is one error.
fn scan(folder: &Path, source: &Path, toolchain: &Toolchain) -> Result<Scan, BuildError> {
    let output = toolchain.script(SCAN, source)?;
    let scan: Scan = serde_json::from_slice(&output.stdout)
        .map_err(|_| BuildError::Componentize { path: folder.to_owned(), detail: last_lines(&output) })?;
    if scan.problems.is_empty() {
        return Ok(scan);
    }
    let line = |problem: &Problem| {
        let Problem { file, line, what, fix } = problem;
        format!("{}:{line}: {what}; {fix}", folder.join(file).display())
    };
    Err(BuildError::Python(scan.problems.iter().map(line).collect()))
}

/// The module that the component starts with: it imports all that is ever imported, and hands the strategy to the SDK.
fn app(scan: &Scan) -> String {
    let imports: String = scan.imports.iter().map(|module| format!("import {module}\n")).collect();
    let name = scan.strategy.as_deref().unwrap_or_default();
    format!(
        "{imports}from pinion_strategy import wasm\nfrom strategy import {name}\n\nHandler = wasm.handler({name})\n"
    )
}

/// What Python said when a module of the folder could not be imported, with the folder's own paths.
fn traceback(folder: &Path, text: &str) -> Option<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| !line.ends_with("Error: Traceback (most recent call last):"));
    lines.next()?;
    let mut frames = lines.take_while(|line| !line.is_empty()).peekable();
    let mut told = vec![format!("{}: raised while it was imported:", folder.display())];
    while let Some(line) = frames.next() {
        if line.contains(&format!("/{APP}.py\"")) {
            while frames.peek().is_some_and(|line| line.starts_with("    ")) {
                frames.next();
            }
            continue;
        }
        told.push(line.replace("\"/0/", &format!("\"{}/", folder.display())));
    }
    (told.len() > 1).then_some(told)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| io_error(folder, error))?;
    fs::write(path, bytes).map_err(|error| io_error(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_raised_at_import_is_told_with_the_folders_own_paths() {
        let text = "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\n\
                    AssertionError: Traceback (most recent call last):\n  File \"/2/pinion_app.py\", line 2, in <module>\n    \
                    from strategy import A\n  File \"/0/strategy.py\", line 2, in <module>\n    T = {}[\"x\"]\nKeyError: 'x'\n\n\
                    Caused by:\n    KeyError: 'x'\n";
        let told = traceback(Path::new("mine"), text).unwrap();
        let frame = "  File \"mine/strategy.py\", line 2, in <module>";
        assert_eq!(told, ["mine: raised while it was imported:", frame, "    T = {}[\"x\"]", "KeyError: 'x'"]);
        assert_eq!(traceback(Path::new("mine"), "error: no space left\n"), None);
    }

    #[test]
    fn what_the_host_and_people_read_is_no_part_of_the_component() {
        let folder = std::env::temp_dir().join(format!("pinion-python-files-{}", std::process::id()));
        fs::create_dir_all(folder.join("model")).unwrap();
        fs::create_dir_all(folder.join("tests")).unwrap();
        let inside = ["model/README.md", "model/weights.json", "strategy.py"];
        for name in BESIDE.iter().chain(&inside).chain(&["mine.wasm", "sample.gz", "tests/test_mine.py", ".hidden"]) {
            fs::write(folder.join(name), "").unwrap();
        }
        let found: Vec<_> = files(&folder).unwrap().into_iter().map(|(path, _)| path.display().to_string()).collect();
        assert_eq!(found, inside);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_component_starts_with_all_that_is_ever_imported() {
        let scan = Scan {
            problems: Vec::new(),
            strategy: Some("Mine".to_owned()),
            imports: vec!["json".into(), "a.b".into()],
        };
        let app = app(&scan);
        assert!(
            app.starts_with("import json\nimport a.b\n") && app.ends_with("Handler = wasm.handler(Mine)\n"),
            "{app}"
        );
    }
}
