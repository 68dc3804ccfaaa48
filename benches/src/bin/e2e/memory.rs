//! Row 13: what `pinion-runtime` has in RAM, with as many strategies as a pod may have, under the usual rate.

use std::path::Path;

use pinion_benches::machine::load;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_tests::kafka::Broker;

use crate::schedule::Pattern;
use crate::system::{self, System};

/// With one strategy.
const ONE_MIB: f64 = 96.0;
/// Seconds of load before the first look: by then every event's place in a ring has been used once, and is in RAM.
const SETTLE: u64 = 20;
/// Seconds of load before each look.
const SECONDS: u64 = 2;
/// Looks at each count.
const LOOKS: usize = 5;

pub(crate) fn rows(broker: &Broker, own: &Path, rate: u64, results: &mut Results) -> Result<(), String> {
    for (count, goal) in [(1, Goal::AtMost(ONE_MIB)), (10, Goal::None), (100, Goal::None)] {
        let before = load();
        let name = format!("of-{count}");
        let start = |brokers: &str, input: &str, output: &str| system::pinion(own, brokers, input, output, count, 1);
        let mut system = System::start(broker, &name, start)?;
        system.wait()?;
        system.block(&Pattern::Fixed, rate, SETTLE * 1_000_000_000);
        let mut looks = Vec::with_capacity(LOOKS);
        for _ in 0..LOOKS {
            system.block(&Pattern::Fixed, rate, SECONDS * 1_000_000_000);
            looks.push(system.resident_mib());
        }
        let id = format!("13.{count}");
        let strategies = if count == 1 { "strategy" } else { "strategies" };
        let name = format!("resident, {count} {strategies}, {rate} records/s");
        let what = What { id: &id, name: &name, unit: "MiB", floor: "", shown: Shown::Cost };
        results.push(Row::of_figures(what, goal, &looks, before));
    }
    Ok(())
}
