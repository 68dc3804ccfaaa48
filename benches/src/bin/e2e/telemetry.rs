//! Row 12: what it costs that all is measured, and that it is read.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use pinion_benches::result::Results;
use pinion_benches::row::{Shown, What};
use pinion_tests::kafka::Broker;

use crate::latency::{self, Plan};
use crate::schedule::Pattern;
use crate::system::{self, System, strategy_file};
use crate::throughput::{self, Backlog, EVERY};

/// What is kept of the throughput.
const ON: f64 = 0.95;
/// Strategies of the process whose metrics are read; one of them has something to do.
const STRATEGIES: u32 = 1_000;
/// A block, ns: metrics are read once in each.
pub(crate) const BLOCK_NS: u64 = 1_000_000_000;

pub(crate) fn rows(broker: &Broker, own: &Path, rate: u64, plan: Plan, results: &mut Results) -> Result<(), String> {
    throughput(broker, own, plan, results)?;
    scrape(broker, own, rate, plan, results)
}

/// A port that nobody has.
fn free_port() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(|error| format!("no free port: {error}"))
}

fn throughput(broker: &Broker, own: &Path, plan: Plan, results: &mut Results) -> Result<(), String> {
    let start = |name: &str, histograms: &str| {
        System::start(broker, name, |brokers, input, output| {
            let (mut command, folder) = system::pinion(own, brokers, input, output, 1, EVERY)?;
            command.args(["--histograms", histograms]);
            Ok((command, folder))
        })
    };
    let (mut on, mut off) = (start("measured", "on")?, start("unmeasured", "off")?);
    let what = What {
        id: "12.throughput",
        name: "a backlog of JSON quotes, all latencies measured",
        unit: "records/s",
        floor: "the same, none measured",
        shown: Shown::Speed,
    };
    throughput::row((&mut on, &mut off), what, ON, plan.fours.div_ceil(2), Backlog::READING, results)
}

/// With a thousand strategies. The idle ones share a subscription: it is their metrics that are read, not their topics.
fn crowded(broker: &Broker, own: &Path, name: &str, admin: SocketAddr) -> Result<System, String> {
    let idle = format!("in.idle.{name}");
    broker.create_topic(&idle, 1);
    let mut system = System::start(broker, name, |brokers, input, output| {
        let (mut command, folder) = system::pinion(own, brokers, input, output, 1, 1)?;
        for n in 1..STRATEGIES {
            command.arg(strategy_file(&folder, &format!("idle-{n}"), (&idle, name), output, u64::MAX)?);
        }
        command.args(["--admin", &admin.to_string()]);
        Ok((command, folder))
    })?;
    system.wait()?;
    Ok(system)
}

/// One of them, scraped as each block begins.
pub(crate) fn scraped(broker: &Broker, own: &Path) -> Result<System, String> {
    let admin = free_port()?;
    Ok(crowded(broker, own, "scraped", admin)?.scraped(admin))
}

/// Two alike, of which one is scraped.
fn scrape(broker: &Broker, own: &Path, rate: u64, plan: Plan, results: &mut Results) -> Result<(), String> {
    let (mut scraped, mut left_alone) = (scraped(broker, own)?, crowded(broker, own, "left-alone", free_port()?)?);
    for system in [&mut scraped, &mut left_alone] {
        system.block(&Pattern::Fixed, rate, 3 * BLOCK_NS);
    }
    let plan = Plan { fours: plan.fours.div_ceil(2), block_ns: BLOCK_NS };
    latency::scraped((&mut scraped, &mut left_alone), rate, plan, results);
    let scrape = scraped.scrape.ok_or("row 12 is void: nothing was scraped")?;
    eprintln!("a scrape of {STRATEGIES} strategies: {} B in {} ms", scrape.bytes, scrape.ns / 1_000_000);
    Ok(())
}
