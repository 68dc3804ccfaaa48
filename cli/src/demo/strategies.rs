//! The two example strategies, as the demo runs them: their own files and modules, reading the demo's topic in one group.

use std::path::Path;

use pinion_runtime::loading;
use pinion_spec::strategy::{AssignmentMode, Encoding, Resync, Start, Strategy};

use crate::error::CliError;

/// Their folders, in the order of their names.
pub(super) const NAMES: [&str; 2] = ["book-imbalance", "ema-cross"];
/// The topic that both read.
pub(super) const MARKET_TOPIC: &str = "pinion-demo.market-data";

/// The topic of a strategy's orders.
pub(super) fn orders_topic(name: &str) -> String {
    format!("pinion-demo.orders.{name}")
}

/// Reads the strategies' files and turns them to the demo's topics. `group` is new in every run, so both begin at the first record.
pub(super) fn load(folder: &Path, encoding: Encoding, group: &str) -> Result<Vec<Strategy>, CliError> {
    NAMES.iter().map(|name| load_one(&folder.join(name), name, encoding, group)).collect()
}

fn load_one(folder: &Path, name: &str, encoding: Encoding, group: &str) -> Result<Strategy, CliError> {
    let file = folder.join("strategy.yaml");
    let shown = file.display();
    if !file.exists() {
        let what = "run this in Pinion's own folder, or say with --strategies where its strategies-examples are";
        return Err(CliError::Usage(format!("{shown} is not there; {what}")));
    }
    let read = loading::read(&file).map_err(pinion_runtime::run::RunError::from)?;
    let strategy = read.into_iter().find(|strategy| strategy.metadata.name == name);
    let mut strategy = strategy.ok_or_else(|| CliError::Usage(format!("{shown} has no strategy {name}")))?;
    let module = loading::module_path(&strategy, folder)
        .ok_or_else(|| CliError::Usage(format!("{shown}: spec.module: the demo wants a file")))?;
    if !module.exists() {
        return Err(CliError::Usage(format!("{} is not built; run `make strategies`", module.display())));
    }
    redirect(&mut strategy, encoding, group);
    strategy.spec.module.file = Some(module.display().to_string());
    Ok(strategy)
}

/// One input, the demo's topic, and one output. Its instruments are those of the encoding's publisher.
fn redirect(strategy: &mut Strategy, encoding: Encoding, group: &str) {
    strategy.spec.inputs.truncate(1);
    for input in &mut strategy.spec.inputs {
        input.topic = MARKET_TOPIC.to_owned();
        input.encoding = encoding;
        input.publisher = Some(encoding.name().to_owned());
        input.partitions = None;
        input.start = Start::Earliest;
        input.group = Some(group.to_owned());
        input.assignment = AssignmentMode::Static;
        // Synthetic data and captures begin in the middle of a session, without a snapshot.
        input.resync = Resync::Rebuild;
    }
    for instrument in &mut strategy.spec.instruments {
        instrument.publisher = Some(encoding.name().to_owned());
    }
    strategy.spec.outputs.orders.topic = orders_topic(&strategy.metadata.name);
    strategy.spec.outputs.denials = None;
    strategy.spec.outputs.dead_letter = None;
    strategy.spec.replicas = 1;
}
