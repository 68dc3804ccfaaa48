//! In to out on a real Apache Kafka: `pinion-runtime` with a strategy that sends an order for every quote, beside a bare
//! librdkafka echo with the same settings, the same decoding of the input and an output record of the same size.
//!
//! Open loop: send times are fixed in advance and latency counts from the intended one. Both run for the whole time over one
//! broker; blocks of load alternate between them, A B B A, so that what the machine does hits both. A four of blocks whose sender woke late
//! is dropped.

mod collect;
mod echo;
mod latency;
mod load;
mod schedule;
mod system;

use std::process::ExitCode;

use clap::Parser;
use pinion_benches::result::Results;
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::Broker;

use crate::latency::Plan;
use crate::schedule::Pattern;
use crate::system::System;

/// The usual rate, records a second.
const RATE: u64 = 1_000;

#[derive(Debug, Parser)]
#[command(about = "Kafka in to order out, beside a bare librdkafka echo")]
struct Args {
    /// Fours of blocks (A B B A) for each pattern of load.
    #[arg(long, default_value_t = 8)]
    fours: usize,
    /// Milliseconds of a block.
    #[arg(long, default_value_t = 1_500)]
    block_ms: u64,
    /// Seconds of load before the first block, for the broker's compiler.
    #[arg(long, default_value_t = 10)]
    warm: u64,
    /// How pinion's worker waits.
    #[arg(long, default_value = "park")]
    wait: String,
    /// Where the result goes as JSON.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    /// Runs the echo itself: brokers, input, output.
    #[arg(long, hide = true, num_args = 3)]
    echo: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some([brokers, input, output]) = args.echo.as_deref() {
        echo::run(brokers, input, output);
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
    let mut pinion = System::start(&broker, "pinion", |brokers, input, output| {
        system::pinion(&own, brokers, input, output, &args.wait)
    })?;
    let mut echo =
        System::start(&broker, "echo", |brokers, input, output| Ok(system::echo(&own, brokers, input, output)))?;
    for system in [&mut pinion, &mut echo] {
        system.wait()?;
        system.block(&Pattern::Fixed, RATE, args.warm * 1_000_000_000);
    }
    let mut results = Results::start("e2e");
    let plan = Plan { fours: args.fours.max(1), block_ns: args.block_ms.max(1) * 1_000_000 };
    let highest = latency::highest_rate(&mut echo, 2 * RATE);
    for (pattern, rate, goals) in [
        (Pattern::Fixed, RATE, true),
        (Pattern::Fixed, highest, true),
        (Pattern::Poisson, RATE, false),
        (Pattern::Bursts, RATE, false),
    ] {
        latency::rows((&mut pinion, &mut echo), (&pattern, rate), plan, goals, &mut results);
    }
    if let Some(recorded) = Pattern::recorded(&SPOT) {
        latency::rows((&mut pinion, &mut echo), (&recorded, 0), plan, false, &mut results);
    }
    results.finish(args.json.as_deref())
}
