//! In to out on a real Apache Kafka: `pinion-runtime` with a strategy that sends an order for every quote, beside a bare
//! librdkafka echo with the same settings, the same decoding of the input and an output record of the same size.
//!
//! Open loop: send times are fixed in advance and latency counts from the intended one. Both run for the whole time over one
//! broker; blocks of load alternate between them, A B B A, so that what the machine does hits both. A four of blocks whose sender woke late
//! is dropped: start it as `chrt -R -f 10 e2e`, as `make bench-e2e` does where it may, so that its sender, and none of the others, goes before
//! all else.

mod batch;
mod collect;
mod flames;
mod floor;
mod latency;
mod load;
mod memory;
mod peers;
mod policies;
mod schedule;
mod system;
mod telemetry;
mod throughput;

use std::process::ExitCode;

use clap::Parser;
use pinion_benches::machine::load;
use pinion_benches::result::Results;
use pinion_benches::row::{Shown, What};
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::Broker;

use crate::floor::Reads;
use crate::latency::{Load, Plan};
use crate::schedule::Pattern;
use crate::system::System;
use crate::throughput::{Backlog, EVERY};

const ROWS: [&str; 4] = ["4", "5", "12", "13"];
/// The usual rate, records a second.
const RATE: u64 = 1_000;
/// Processes of either side that row 4 is measured in: where a process' code and data lie moves its p50 by some percent, for as long as it
/// runs.
const STARTS: usize = 8;
/// Load before the first block of a process that is not the first, ns.
const AGAIN_NS: u64 = 2_000_000_000;
/// Goals of row 5.
const BATCH: f64 = 0.85;
const POLL: f64 = 1.5;

#[derive(Debug, Parser)]
#[command(about = "Kafka in to order out, beside a bare librdkafka echo")]
struct Args {
    /// Rows to measure, by the number before the point; all of them by default.
    #[arg(long, value_delimiter = ',', value_parser = ROWS)]
    rows: Vec<String>,
    /// Fours of blocks (A B B A) for each load that has goals; half as many for others.
    #[arg(long, default_value_t = 32)]
    fours: usize,
    /// Milliseconds of a block.
    #[arg(long, default_value_t = 500)]
    block_ms: u64,
    /// Seconds of load before the first block, for the broker's compiler.
    #[arg(long, default_value_t = 10)]
    warm: u64,
    /// Where the result goes as JSON.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    /// Measures beside these peers instead, or beside all of them: `--peers` alone.
    #[arg(long, num_args = 0.., value_name = "PEER")]
    peers: Option<Vec<String>>,
    /// Measures ways to send instead.
    #[arg(long)]
    policies: bool,
    /// Draws where the time goes instead: flame graphs of rows 4, 5 and 12 into this folder.
    #[arg(long, value_name = "FOLDER")]
    flames: Option<std::path::PathBuf>,
    /// Is one of the floors itself.
    #[arg(long, hide = true, requires = "topics")]
    floor: Option<Reads>,
    #[arg(long, hide = true, default_value_t = 1)]
    every: u64,
    #[arg(long, hide = true)]
    stalls: bool,
    /// Brokers, input, output.
    #[arg(hide = true, num_args = 3)]
    topics: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let (Some(reads), [brokers, input, output]) = (args.floor, args.topics.as_slice()) {
        floor::run(reads, args.every, args.stalls, [brokers, input, output]);
        return ExitCode::SUCCESS;
    }
    match bench(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("e2e: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &Args) -> Result<(), String> {
    let broker = Broker::start().ok_or("no Kafka here: it needs Java and Maven")?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let pinion = |name: &str, every| {
        System::start(&broker, name, |brokers, input, output| system::pinion(&own, brokers, input, output, 1, every))
    };
    let floor = |name: &str, reads: &[&str], every| {
        System::start(&broker, name, |brokers, input, output| {
            Ok(system::floor(&own, reads, every, [brokers, input, output]))
        })
    };
    let plan = Plan { fours: args.fours.max(1), block_ns: args.block_ms.max(1) * 1_000_000 };
    if let Some(wanted) = &args.peers {
        let mut results = Results::start("peers");
        peers::rows(&broker, &own, wanted, plan, RATE, &mut results)?;
        return results.finish(args.json.as_deref());
    }
    let warm_ns = args.warm * 1_000_000_000;
    if args.policies {
        let mut results = Results::start("send");
        policies::rows(&broker, &own, warm_ns, plan, &mut results)?;
        return results.finish(args.json.as_deref());
    }
    let start = |n: usize| {
        let (mut pinion, mut echo) = (pinion(&format!("pinion-{n}"), 1)?, floor(&format!("echo-{n}"), &["poll"], 1)?);
        // The broker's compiler needs it once.
        let warm_ns = if n == 0 { warm_ns } else { warm_ns.min(AGAIN_NS) };
        for system in [&mut pinion, &mut echo] {
            system.wait()?;
            system.block(&Pattern::Fixed, RATE, warm_ns);
        }
        Ok::<_, String>((pinion, echo))
    };
    if let Some(folder) = &args.flames {
        let ((mut pinion, mut echo), mut reading) = (start(0)?, pinion("reading", EVERY)?);
        return flames::draw((&broker, &own), RATE, (&mut pinion, &mut echo), &mut reading, folder);
    }
    let wanted = |row: &str| args.rows.is_empty() || args.rows.iter().any(|wanted| wanted == row);
    let mut results = Results::start("e2e");
    if wanted("4") {
        let mut echo = latencies(&start, plan, &mut results)?;
        let mut stalls = floor("stalls", &["poll", "--stalls"], 1)?;
        stalls.wait()?;
        latency::control((&mut stalls, &mut echo), RATE, plan, &mut results);
    }
    if wanted("5") {
        let (mut pinion, mut batch, mut poll) =
            (pinion("reading", EVERY)?, floor("batch", &["batch"], EVERY)?, floor("poll", &["poll"], EVERY)?);
        let fours = args.fours.div_ceil(2);
        let name = "a backlog of JSON quotes, one a record";
        let what = What { id: "5.batch", name, unit: "records/s", floor: "a batch loop in C", shown: Shown::Speed };
        throughput::row((&mut pinion, &mut batch), what, BATCH, fours, Backlog::READING, &mut results)?;
        let what = What { id: "5.poll", floor: "a loop of single polls", ..what };
        throughput::row((&mut pinion, &mut poll), what, POLL, fours, Backlog::READING, &mut results)?;
    }
    if wanted("12") {
        telemetry::rows(&broker, &own, RATE, plan, &mut results)?;
    }
    if wanted("13") {
        memory::rows(&broker, &own, RATE, &mut results)?;
    }
    results.finish(args.json.as_deref())
}

/// Row 4, over [`STARTS`] of both systems; the last of them, for what else is to be measured beside a bare client.
fn latencies(
    start: &dyn Fn(usize) -> Result<(System, System), String>,
    plan: Plan,
    results: &mut Results,
) -> Result<System, String> {
    let before = load();
    let (mut pinion, mut echo) = start(0)?;
    let highest = latency::highest_rate(&mut echo, 2 * RATE);
    let mut loads = vec![
        Load::new(Pattern::Fixed, RATE, true),
        Load::new(Pattern::Fixed, highest, true),
        Load::new(Pattern::Poisson, RATE, false),
        Load::new(Pattern::Bursts, RATE, false),
    ];
    loads.extend(Pattern::recorded(&SPOT).map(|recorded| Load::new(recorded, 0, false)));
    for n in 1..=STARTS {
        loads.iter_mut().for_each(|load| load.measure((&mut pinion, &mut echo), plan, STARTS));
        if n < STARTS {
            drop((pinion, echo));
            (pinion, echo) = start(n)?;
        }
    }
    loads.iter().for_each(|load| load.push(before, results));
    Ok(echo)
}
