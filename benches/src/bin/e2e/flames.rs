//! Where the time of rows 4, 5 and 12 goes: a flame graph of each process.

use std::path::Path;

use pinion_benches::flames::Recording;
use pinion_tests::kafka::Broker;

use crate::schedule::Pattern;
use crate::system::System;
use crate::telemetry;
use crate::throughput::Backlog;

/// Under load for so long, ns: thousands of samples of a process that has little to do.
const WATCHED_NS: u64 = 20_000_000_000;
/// Backlogs, one after another.
const BACKLOGS: usize = 20;

/// Of one process meanwhile.
fn of(
    system: &mut System,
    title: &str,
    svg: &Path,
    load: impl FnOnce(&mut System) -> Result<(), String>,
) -> Result<(), String> {
    let recording = Recording::start(system.pid())?;
    load(system)?;
    recording.finish(title, svg)?;
    eprintln!("{}", svg.display());
    Ok(())
}

pub(crate) fn draw(
    (broker, own): (&Broker, &Path),
    rate: u64,
    (pinion, echo): (&mut System, &mut System),
    reading: &mut System,
    folder: &Path,
) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let at = |name: &str| folder.join(name);
    let steady = |system: &mut System| {
        system.block(&Pattern::Fixed, rate, WATCHED_NS);
        Ok(())
    };
    of(pinion, &format!("Row 4: pinion-runtime at {rate} records/s, an order for each"), &at("4.svg"), steady)?;
    of(echo, &format!("Row 4: the bare client at {rate} records/s, a record for each"), &at("4-echo.svg"), steady)?;
    of(reading, "Row 5: pinion-runtime reads a backlog of JSON quotes", &at("5.svg"), |system| {
        (0..BACKLOGS).try_for_each(|_| system.drain(Backlog::READING).map(drop))
    })?;
    let mut scraped = telemetry::scraped(broker, own)?;
    of(&mut scraped, "Row 12: pinion-runtime with 1,000 strategies, scraped once a second", &at("12.svg"), |system| {
        (0..WATCHED_NS / telemetry::BLOCK_NS)
            .for_each(|_| drop(system.block(&Pattern::Fixed, rate, telemetry::BLOCK_NS)));
        Ok(())
    })
}
