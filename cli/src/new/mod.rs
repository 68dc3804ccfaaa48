//! `pinion new`: a folder with a strategy that builds, tests, checks and backtests at once.
//!
//! Everything it writes is in this program, the SDK included: the SDK is on no package index, and a project that carries the text
//! of the one it was made with builds the same next year. Needs no network; cargo fetches `wit-bindgen` when it first builds.

mod template;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::error::CliError;
use crate::output;

/// A strategy's name in the cluster: also a crate's, a topic's and a label's.
const NAME_BYTES_MAX: usize = 53;

/// Makes a folder with a new strategy that builds, tests and backtests at once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pinion new my-strategy --lang python\n  pinion new quoter --lang rust --template market-maker"
)]
pub struct NewArgs {
    /// The strategy's name, and the folder's: lower-case letters, digits and dashes
    pub name: String,
    /// The language to write it in
    #[arg(long, value_enum)]
    pub lang: Lang,
    /// What it does to begin with
    #[arg(long, value_enum, default_value_t = Template::EmaCross)]
    pub template: Template,
}

/// A language that strategies are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "their own words")]
pub enum Lang {
    Rust,
    Python,
}

/// What a new strategy does to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Trades a trend by two moving averages
    EmaCross,
    /// Quotes both sides of one instrument
    MarketMaker,
    /// Trades two instruments against each other
    Pairs,
}

/// Makes the folder, in the one that it is called in.
///
/// # Errors
/// [`CliError::Usage`] for a name that is none, or for a folder that is there.
pub fn run(args: &NewArgs) -> Result<(), CliError> {
    check(&args.name)?;
    let folder = PathBuf::from(&args.name);
    make(&folder, args)?;
    let (name, test) = (&args.name, if args.lang == Lang::Rust { "cargo test" } else { "python3 -m pytest" });
    output::text(&format!(
        "{name}: a strategy from the template {}\n\n  cd {name}\n  {test}\n  pinion build .\n  pinion dev\n",
        template::name(args.template)
    ));
    Ok(())
}

/// Refuses what could not be the name of a strategy, and says what could.
fn check(name: &str) -> Result<(), CliError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && !name.ends_with('-') && name.len() <= NAME_BYTES_MAX && name.chars().all(plain) {
        return Ok(());
    }
    let lower = name.to_lowercase();
    let turned: String = lower.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let mut better =
        turned.trim_matches(|c: char| !c.is_ascii_alphanumeric()).trim_start_matches(|c: char| !c.is_ascii_lowercase());
    better = better.get(..NAME_BYTES_MAX).unwrap_or(better).trim_end_matches('-');
    let better = if better.is_empty() { "my-strategy" } else { better };
    Err(CliError::Usage(format!(
        "{name:?} is no name of a strategy: want lower-case letters, digits and dashes, a letter first, at most {NAME_BYTES_MAX}; \
         try `pinion new {better}`"
    )))
}

fn make(folder: &Path, args: &NewArgs) -> Result<(), CliError> {
    let failed = |path: &Path, error: &io::Error| CliError::Usage(format!("{}: {error}", path.display()));
    fs::create_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::Usage(format!(
            "{} is there already and is left as it is; take another name, or move it away",
            folder.display()
        )),
        _ => failed(folder, &error),
    })?;
    for (path, text) in template::files(&args.name, args.lang, args.template) {
        let path = folder.join(path);
        let inside = path.parent().unwrap_or(folder);
        fs::create_dir_all(inside).map_err(|error| failed(inside, &error))?;
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_with_one_that_is() {
        for good in ["a", "ema-cross", "x2-3"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (bad, better) in [
            ("EmaCross", "emacross"),
            ("my strategy", "my-strategy"),
            ("2nd", "nd"),
            ("../up", "up"),
            ("a-", "a"),
            ("", "my-strategy"),
        ] {
            let error = check(bad).unwrap_err().to_string();
            assert!(error.ends_with(&format!("`pinion new {better}`")), "{bad}: {error}");
            assert!(check(better).is_ok());
        }
        assert!(check(&"a".repeat(NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_folder_that_is_there_is_left_as_it_is() {
        let folder = std::env::temp_dir().join(format!("pinion-new-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let args = NewArgs { name: "x".to_owned(), lang: Lang::Rust, template: Template::Pairs };
        assert!(make(&folder, &args).unwrap_err().to_string().contains("is there already"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }
}
