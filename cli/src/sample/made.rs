//! The data that a strategy is tried on where nobody names any: a made-up market for each topic that one can be made for.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use pinion_spec::strategy::Strategy;

use super::{ENCODINGS, write};
use crate::error::CliError;

/// Of the made-up market: five minutes at a busy rate are more than most strategies need to act.
const SECONDS: u32 = 300;
const RATE: u32 = 200;
const SEED: u64 = 1;

/// Names of folders that are tried: a process of the same number may have been killed before it cleared its own away.
const NAMES_MAX: u32 = 100;

/// A folder that goes with this value.
#[derive(Debug)]
pub(crate) struct Made(PathBuf);

impl Made {
    /// A folder of this process.
    ///
    /// # Errors
    /// [`CliError::Unavailable`] where it cannot be made.
    pub(crate) fn folder() -> Result<Self, CliError> {
        let mut builder = std::fs::DirBuilder::new();
        // Nobody else's: what lay there before, a link among it, would be written to.
        builder.mode(0o700);
        let mut tried = 0;
        loop {
            let folder = std::env::temp_dir().join(format!("pinion-made-{}-{tried}", std::process::id()));
            match builder.create(&folder) {
                Ok(()) => return Ok(Self(folder)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tried < NAMES_MAX => tried += 1,
                Err(error) => {
                    return Err(CliError::Unavailable(format!("cannot make {}: {error}", folder.display())));
                }
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // It may have been cleared away already.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A made-up market for every topic of market data that a strategy reads, as `--data` would name them; the files lie in `folder`.
///
/// # Errors
/// [`CliError::Usage`] where the strategy reads none, or one that cannot be made up.
pub(crate) fn data(strategy: &Strategy, folder: &Path) -> Result<Vec<String>, CliError> {
    let markets: Vec<_> = strategy.spec.inputs.iter().filter(|input| input.encoding.is_market_data()).collect();
    if markets.is_empty() {
        return Err(CliError::Usage("it reads no market data: there is nothing to run it over".to_owned()));
    }
    let mut data = Vec::with_capacity(markets.len());
    for (n, input) in markets.into_iter().enumerate() {
        if !ENCODINGS.contains(&input.encoding) {
            let (topic, encoding) = (&input.topic, input.encoding.name());
            return Err(CliError::Usage(format!(
                "no market of encoding {encoding} can be made up for {topic}; add --data {topic}=FILE"
            )));
        }
        let file = folder.join(format!("{n}.gz"));
        write(&file, input.encoding, SECONDS, RATE, SEED)?;
        data.push(format!("{}={}", input.topic, file.display()));
    }
    Ok(data)
}
