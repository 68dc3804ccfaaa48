//! When an order is sent: Pinion's own way of batching, which is to have one request under way, beside others at several rates.

use std::path::Path;

use pinion_benches::result::Results;
use pinion_tests::kafka::Broker;

use crate::latency::{self, Plan};
use crate::schedule::Pattern;
use crate::system::{self, System};

/// Records a second: where each goes alone, where two may meet, where they must go together.
const RATES: [u64; 3] = [1_000, 4_000, 10_000];

/// Each with its settings over Pinion's own, which are `linger.ms=0` and `max.in.flight=1`.
const OTHERS: [(&str, &[&str]); 3] = [
    ("each at once", &["max.in.flight=5"]),
    ("half a millisecond together", &["max.in.flight=5", "linger.ms=0.5"]),
    ("the client's default, 5 ms together", &["max.in.flight=5", "linger.ms=5"]),
];

pub(crate) fn rows(broker: &Broker, own: &Path, warm_ns: u64, plan: Plan, results: &mut Results) -> Result<(), String> {
    for (number, (name, settings)) in OTHERS.iter().enumerate() {
        let start = |name: &str, settings: &[&str]| {
            let mut system = System::start(broker, name, |brokers, input, output| {
                let (mut command, folder) = system::pinion(own, brokers, input, output, 1, 1)?;
                let file = folder.join("kafka.properties");
                std::fs::write(&file, settings.join("\n")).map_err(|error| format!("{}: {error}", file.display()))?;
                command.arg("--kafka-properties").arg(file);
                Ok((command, folder))
            })?;
            system.wait()?;
            system.block(&Pattern::Fixed, RATES[0], warm_ns);
            Ok::<_, String>(system)
        };
        let (mut ours, mut other) =
            (start(&format!("one-request-{number}"), &[])?, start(&format!("other-{number}"), settings)?);
        for rate in RATES {
            latency::beside_policy((&mut ours, &mut other), (number + 1, name), rate, plan, results);
        }
    }
    Ok(())
}
