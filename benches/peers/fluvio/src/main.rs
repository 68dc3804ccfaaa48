//! GUEST.wasm QUOTES AT-ONCE: blocks of quotes through a Fluvio SmartModule, as `common/blocks.rs` says, so many records a call.

#[path = "../../common/blocks.rs"]
mod blocks;

use std::error::Error;

use fluvio_protocol::Encoder as _;
use fluvio_protocol::record::Record;
use fluvio_smartengine::{DEFAULT_SMARTENGINE_VERSION, SmartEngine, SmartModuleChainBuilder, SmartModuleConfig};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleInput;

/// That of the lock file; the crate does not say it.
const VERSION: &str = "0.50.1";

/// Records as a batch holds them: what its host reads from disk and hands to the engine.
fn encoded(quotes: &[[u8; 80]]) -> Result<Vec<u8>, Box<dyn Error>> {
    let records: Vec<Record> = quotes.iter().map(|quote| Record::new(quote.as_slice())).collect();
    let mut bytes = Vec::new();
    records.encode(&mut bytes, DEFAULT_SMARTENGINE_VERSION)?;
    Ok(bytes)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [guest, quotes, at_once] = arguments.as_slice() else { return Err("usage: GUEST.wasm QUOTES AT-ONCE".into()) };
    let (quotes, at_once) = (blocks::quotes(quotes)?, at_once.parse()?);
    let batches = quotes.chunks_exact(at_once).map(encoded).collect::<Result<Vec<_>, _>>()?;

    let mut builder = SmartModuleChainBuilder::default();
    let config = SmartModuleConfig::builder().smartmodule_names(vec!["quote-cross".to_owned()]).build()?;
    builder.add_smart_module(config, std::fs::read(guest)?);
    let mut chain = builder.initialize(&SmartEngine::new())?;

    blocks::serve(("fluvio-smartengine", VERSION), (quotes.len(), at_once), |call, orders| {
        let output = chain.process(SmartModuleInput::new(batches[call].clone(), 0, 0))?;
        if let Some(error) = output.error {
            return Err(error.into());
        }
        output.successes.iter().for_each(|record| orders.extend_from_slice(record.value.as_ref()));
        Ok(())
    })
}
