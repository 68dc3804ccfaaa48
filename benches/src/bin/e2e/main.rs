//! In to out on a real Apache Kafka: `pinion-runtime` with a strategy that sends an order for every quote, beside a bare
//! librdkafka echo with the same settings, the same decoding of the input and an output record of the same size.
//!
//! Open loop: send times are fixed in advance and latency counts from the intended one. Both run for the whole time over one
//! broker; blocks of load alternate A B B A between them, so that what the machine does hits both. The result is the median over
//! the pairs of the ratio of their p50; absolute times are information. A block whose sender woke late is dropped.

mod collect;
mod echo;
mod load;
mod result;

use std::process::{Child, Command, ExitCode, Stdio};

use clap::Parser;
use pinion_tests::kafka::Broker;

use crate::collect::Collector;
use crate::load::Sender;
use crate::result::{Pair, Summary};

/// Names of the two systems, and of their topics and groups.
const SYSTEMS: [&str; 2] = ["pinion", "echo"];

#[derive(Debug, Parser)]
#[command(about = "Kafka in to order out, beside a bare librdkafka echo")]
struct Args {
    /// Records a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Pairs of blocks.
    #[arg(long, default_value_t = 8)]
    pairs: usize,
    /// Seconds a block.
    #[arg(long, default_value_t = 2)]
    block: u64,
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

/// A process that ends with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    let (input, output) = (|system: &str| format!("in.{system}"), |system: &str| format!("out.{system}"));
    for system in SYSTEMS {
        broker.create_topic(&input(system), 1);
        broker.create_topic(&output(system), 1);
    }
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let start = |command: &mut Command| {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        child.map(Running).map_err(|error| format!("{command:?}: {error}"))
    };
    let strategy = load::strategy_file(&input("pinion"), &output("pinion"))?;
    let runtime = exe.with_file_name("pinion-runtime");
    let brokers = broker.address();
    let _pinion = start(
        Command::new(runtime).arg(&strategy).args(["--brokers", &brokers, "--wait", &args.wait]).stderr(Stdio::null()),
    )?;
    let _echo = start(Command::new(&exe).args(["--echo", &brokers, &input("echo"), &output("echo")]))?;

    let collectors = SYSTEMS.map(|system| Collector::start(&brokers, &output(system)));
    let mut senders = SYSTEMS.map(|system| Sender::new(&brokers, &input(system)));
    for (sender, collector) in senders.iter_mut().zip(&collectors) {
        sender.until_answered(collector)?;
        sender.block(args.rate, args.warm * args.rate, collector);
    }
    let mut pairs = Vec::new();
    let mut dropped = 0;
    let mut totals = SYSTEMS.map(|_| load::histogram());
    for pair in 0..args.pairs {
        // A B, then B A: drift inside a pair cancels over two of them.
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut blocks = [None, None];
        for system in order {
            let block = senders[system].block(args.rate, args.block * args.rate, &collectors[system]);
            eprintln!("pair {} {:>6}: {}", pair + 1, SYSTEMS[system], block);
            blocks[system] = Some(block);
        }
        let [Some(pinion), Some(echo)] = blocks else { continue };
        if pinion.is_void() || echo.is_void() {
            dropped += 1;
            continue;
        }
        for (total, block) in totals.iter_mut().zip([&pinion, &echo]) {
            total.add(&block.latency).map_err(|error| error.to_string())?;
        }
        pairs.push(Pair {
            pinion_p50: pinion.latency.value_at_quantile(0.5),
            echo_p50: echo.latency.value_at_quantile(0.5),
        });
    }
    let [pinion, echo] = totals;
    let summary = Summary::new(args.rate, &pairs, dropped, &pinion, &echo);
    println!("{summary}");
    if let Some(path) = &args.json {
        std::fs::write(path, summary.json()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
