//! The data that a strategy is tried on where nobody names any: a made-up market for each topic that one can be made for.

use std::path::{Path, PathBuf};

use pinion_spec::strategy::Strategy;

use super::{ENCODINGS, write};
use crate::error::CliError;

/// Of the made-up market: five minutes at a busy rate are more than most strategies need to act.
const SECONDS: u32 = 300;
const RATE: u32 = 200;
const SEED: u64 = 1;

/// A folder that goes with this value.
#[derive(Debug)]
pub(crate) struct Made(PathBuf);

impl Made {
    /// A folder of this process.
    ///
    /// # Errors
    /// [`CliError::Unavailable`] where it cannot be made.
    pub(crate) fn folder() -> Result<Self, CliError> {
        let folder = std::env::temp_dir().join(format!("pinion-made-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| CliError::Unavailable(format!("cannot make {}: {error}", folder.display())))?;
        Ok(Self(folder))
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
