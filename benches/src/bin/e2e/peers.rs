//! Pinion beside what others run the same work on: the same topics, payloads and decisions, an order for every quote.

use std::path::{Path, PathBuf};
use std::process::Command;

use pinion_benches::machine::load;
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_tests::kafka::Broker;

use crate::latency::{self, Plan};
use crate::schedule::Pattern;
use crate::system::{self, System};
use crate::throughput;

/// Those that run here, each with the producer settings of its own documentation for latency and for throughput.
const PEERS: [(&str, &str, &str); 4] = [
    ("kafka-streams", "linger.ms=0", "linger.ms=5"),
    ("jet", "linger.ms=0", "linger.ms=5"),
    ("csp", "linger.ms=0", "linger.ms=5"),
    ("quix", "linger.ms=0", "linger.ms=5"),
];
/// Seconds of load before the first block: a JVM compiles for so long.
const WARM: u64 = 25;
/// Records of a backlog.
const BACKLOG: u64 = 50_000;

fn command(peer: &str, setting: &str, [brokers, input, output]: [&str; 3]) -> (Command, PathBuf) {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer).join("run.sh");
    let mut command = Command::new(run);
    command.args([brokers, input, output, setting]);
    (command, PathBuf::new())
}

/// All of them, or those of these names.
pub(crate) fn rows(
    broker: &Broker,
    own: &Path,
    wanted: &[String],
    plan: Plan,
    rate: u64,
    results: &mut Results,
) -> Result<(), String> {
    let unknown: Vec<&String> = wanted.iter().filter(|name| !PEERS.iter().any(|(peer, ..)| peer == name)).collect();
    if !unknown.is_empty() {
        return Err(format!("no such peers: {unknown:?}; there are {:?}", PEERS.map(|(peer, ..)| peer)));
    }
    for (peer, quick, much) in PEERS {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == peer) {
            continue;
        }
        if let Err(problem) = beside(broker, own, (peer, quick, much), plan, rate, results) {
            // The others are measured all the same, and the page says that this one was not.
            eprintln!("{peer}: {problem}");
        }
    }
    Ok(())
}

fn beside(
    broker: &Broker,
    own: &Path,
    (peer, quick, much): (&str, &str, &str),
    plan: Plan,
    rate: u64,
    results: &mut Results,
) -> Result<(), String> {
    let pinion = |name: &str| {
        System::start(broker, &format!("pinion-{peer}-{name}"), |brokers, input, output| {
            system::pinion(own, brokers, input, output, 1, 1)
        })
    };
    let start = |name: &str, setting: &str| {
        System::start(broker, &format!("{peer}-{name}"), |brokers, input, output| {
            Ok(command(peer, setting, [brokers, input, output]))
        })
    };
    let (mut ours, mut theirs) = (pinion("latency")?, start("latency", quick)?);
    for system in [&mut ours, &mut theirs] {
        system.wait()?;
        system.block(&Pattern::Fixed, rate, WARM * 1_000_000_000);
    }
    latency::beside_peer((&mut ours, &mut theirs), peer, rate, plan, results);
    let before = load();
    let (a, b) = (ours.resident_mib(), theirs.resident_mib());
    let (id, name) = (format!("peer.{peer}.memory"), format!("resident, {rate} records/s"));
    let what = What { id: &id, name: &name, unit: "MiB", floor: peer, shown: Shown::Cost };
    let row = Row::of_figures(what, Goal::None, &[a / b], before);
    let note = "looked at once, after the load";
    results.push(
        Row { value: a, floor: Some(b), floor_is: Some(peer.to_owned()), ratio: Some(a / b), ..row }.noting(note),
    );
    drop((ours, theirs));

    let (mut ours, mut theirs) = (pinion("throughput")?, start("throughput", much)?);
    for system in [&mut ours, &mut theirs] {
        system.wait()?;
    }
    let id = format!("peer.{peer}.throughput");
    let what =
        What { id: &id, name: "a backlog, an order for each", unit: "records/s", floor: peer, shown: Shown::Speed };
    let load = throughput::Backlog { records: BACKLOG, every: 1 };
    throughput::row((&mut ours, &mut theirs), what, 1.0, plan.fours.div_ceil(5), load, results)
}
