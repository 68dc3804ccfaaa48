//! The sample that a strategy is checked on.

use std::path::PathBuf;

use pinion_spec::strategy::{Encoding, Strategy};

use crate::error::CliError;
use crate::sample;

/// Of the made-up market: a quarter of an hour at a busy rate is more than most strategies need to act.
const SECONDS: u32 = 300;
const RATE: u32 = 200;
const SEED: u64 = 1;

/// A file that goes with this value.
pub(super) struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        // It may have been cleared away already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What is said with `--data`, or else a made-up market, where the strategy reads one that can be made up.
///
/// # Errors
/// [`CliError::Usage`] where none can.
pub(super) fn data(strategy: &Strategy, said: &[String]) -> Result<(Vec<String>, Option<Made>), CliError> {
    if !said.is_empty() {
        return Ok((said.to_vec(), None));
    }
    let mut markets = strategy.spec.inputs.iter().filter(|input| input.encoding.is_market_data());
    match (markets.next(), markets.next()) {
        (Some(input), None) if input.encoding == Encoding::BinanceSpot => {}
        (Some(input), None) => {
            let encoding = input.encoding.name();
            return Err(CliError::Usage(format!("no sample of encoding {encoding} can be made up; add --data FILE")));
        }
        (Some(_), Some(_)) => {
            return Err(CliError::Usage("it reads several topics; add --data TOPIC=FILE for each".to_owned()));
        }
        (None, _) => return Err(CliError::Usage("it reads no market data: there is nothing to check".to_owned())),
    }
    let made = Made(std::env::temp_dir().join(format!("pinion-check-{}.gz", std::process::id())));
    sample::write(&made.0, SECONDS, RATE, SEED)?;
    Ok((vec![made.0.display().to_string()], Some(made)))
}
