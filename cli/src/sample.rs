//! `pinion sample`: a made-up market as a capture, for whoever has none yet.

pub(crate) mod made;
mod usdm;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use pinion_spec::strategy::Encoding;

use crate::capture::encoding_named;
use crate::demo::generator::Generator;
use crate::error::CliError;
use crate::output;
use usdm::Usdm;

/// What a market can be made up in.
pub(crate) const ENCODINGS: [Encoding; 2] = [Encoding::BinanceSpot, Encoding::BinanceUsdm];

/// Writes a made-up market as a capture, in the shape of Binance's streams
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion sample sample.gz && pinion backtest strategy.yaml --data sample.gz
  pinion sample perp.gz --encoding binance-usdm

The market is of BTCUSDT: quotes, trades and depth updates. The same arguments write the same file; a spot and a futures market of one \
seed move together. It is good to see a strategy work, and says nothing about whether it earns.")]
pub struct SampleArgs {
    /// The file to write
    #[arg(value_name = "FILE.gz", default_value = "sample.gz")]
    pub file: PathBuf,
    /// Whose streams it looks like: binance-spot or binance-usdm
    #[arg(long, value_name = "NAME", default_value = "binance-spot", value_parser = encoding)]
    pub encoding: Encoding,
    /// How long a market
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Which of all made-up markets
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn encoding(name: &str) -> Result<Encoding, String> {
    let made = || format!("can be made up: {}", ENCODINGS.map(Encoding::name).join(", "));
    encoding_named(name).ok().filter(|encoding| ENCODINGS.contains(encoding)).ok_or_else(made)
}

/// Writes it.
///
/// # Errors
/// [`CliError::Unavailable`] where the file cannot be written.
pub fn run(args: &SampleArgs) -> Result<(), CliError> {
    let messages = write(&args.file, args.encoding, args.seconds, args.rate, args.seed)?;
    output::text(&format!("{}: {messages} messages of a made-up market", args.file.display()));
    Ok(())
}

/// Writes so many seconds of a market; how many messages that are.
///
/// # Errors
/// [`CliError::Unavailable`] where the file cannot be written.
pub(crate) fn write(file: &Path, encoding: Encoding, seconds: u32, rate: u32, seed: u64) -> Result<u64, CliError> {
    let failed = |error: io::Error| CliError::Unavailable(format!("cannot write {}: {error}", file.display()));
    let messages = u64::from(seconds) * u64::from(rate);
    let mut out = GzEncoder::new(BufWriter::new(File::create(file).map_err(failed)?), Compression::default());
    let (mut market, mut usdm) = (Generator::new(seed, rate), Usdm::default());
    for _ in 0..messages {
        let frame = market.next_frame();
        let turned = match encoding {
            Encoding::BinanceUsdm => usdm.frame(frame.ts_recv, frame.value),
            _ => None,
        };
        write!(out, "{} ", frame.ts_recv)
            .and_then(|()| out.write_all(turned.as_deref().unwrap_or(frame.value)))
            .and_then(|()| out.write_all(b"\n"))
            .map_err(failed)?;
    }
    out.finish().and_then(|mut file| file.flush()).map_err(failed)?;
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Capture;

    #[test]
    fn what_is_written_is_a_capture_and_the_same_every_time() {
        let folder = std::env::temp_dir().join(format!("pinion-sample-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for encoding in ENCODINGS {
            let [first, second] = ["a.gz", "b.gz"].map(|name| {
                write(&folder.join(name), encoding, 2, 50, 7).unwrap();
                folder.join(name)
            });
            assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(second).unwrap());
            let mut capture = Capture::open(&first).unwrap();
            let mut frames = 0;
            while capture.next_frame().unwrap().is_some() {
                frames += 1;
            }
            assert_eq!(frames, 100);
            assert_eq!(Capture::guess(&first).unwrap(), encoding);
        }
    }
}
