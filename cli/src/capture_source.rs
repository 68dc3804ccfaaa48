//! How the frames of a capture are decoded: what the command line says, else what the first frames say.

use std::path::{Path, PathBuf};

use clap::Args;
use pinion_runtime::decode::Decoder;
use pinion_spec::field_map::FieldMap;
use pinion_spec::strategy::Encoding;

use crate::capture::{Capture, encoding_named};
use crate::error::CliError;

/// What the command line says of it.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceArgs {
    /// binance-spot, binance-usdm, coinbase-exchange, kraken-v1, kraken-futures, dbn, json-map, pinion-flat or pinion-execution [default:
    /// told from the first frames]
    #[arg(long, value_name = "NAME", value_parser = encoding_named)]
    pub encoding: Option<Encoding>,
    /// Strategy file whose one json-map input says where the fields stand; decodes as that input
    #[arg(long, value_name = "STRATEGY.yaml")]
    pub map: Option<PathBuf>,
}

/// How a capture's frames are decoded.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Their encoding.
    pub(crate) encoding: Encoding,
    /// Whose they are.
    pub(crate) publisher: String,
    map: Option<FieldMap>,
}

impl Source {
    /// What the arguments say of a capture, or the capture itself.
    pub(crate) fn of(args: &SourceArgs, capture: &Path) -> Result<Self, CliError> {
        match (&args.map, args.encoding) {
            (Some(file), None | Some(Encoding::JsonMap)) => Self::of_map(file),
            (Some(_), Some(encoding)) => {
                let what =
                    format!("--map is for encoding json-map, not for {}; leave one of the two out", encoding.name());
                Err(CliError::Usage(what))
            }
            (None, Some(Encoding::JsonMap)) => {
                let what = "--encoding json-map: say where the fields stand with --map STRATEGY.yaml";
                Err(CliError::Usage(what.to_owned()))
            }
            (None, Some(encoding)) => Ok(Self::named(encoding)),
            (None, None) => Ok(Self::named(Capture::guess(capture)?)),
        }
    }

    /// A decoder for it, without declared instruments.
    pub(crate) fn decoder(&self) -> Result<Decoder, CliError> {
        let decoder = Decoder::of_input(self.encoding, &self.publisher, self.map.as_ref(), &[]);
        decoder.map_err(|error| CliError::Internal(error.to_string()))
    }

    fn named(encoding: Encoding) -> Self {
        Self { encoding, publisher: encoding.name().to_owned(), map: None }
    }

    fn of_map(file: &Path) -> Result<Self, CliError> {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| CliError::Usage(format!("cannot read {}: {error}", file.display())))?;
        let strategies = pinion_spec::parse(&text, &file.display().to_string());
        let strategies = strategies.map_err(|errors| CliError::Usage(errors.to_string()))?;
        let inputs = strategies.iter().flat_map(|strategy| &strategy.spec.inputs);
        let mapped: Vec<_> = inputs.filter(|input| input.encoding == Encoding::JsonMap).collect();
        let [input] = mapped[..] else {
            let what = format!("{}: {} inputs of encoding json-map; --map needs one", file.display(), mapped.len());
            return Err(CliError::Usage(what));
        };
        let publisher = input.publisher_name().to_owned();
        Ok(Self { encoding: Encoding::JsonMap, publisher, map: input.map.clone() })
    }
}
