//! `pinion-runtime`: the pod's process.

use std::process::ExitCode;

use clap::Parser;
use pinion_runtime::args::{LevelFilter, RuntimeArgs, chain, log_to_stderr};
use pinion_runtime::run::{self, exit};
use pinion_runtime::sandbox::compile;
use tikv_jemallocator::Jemalloc;

/// A record's memory is taken by librdkafka's thread and given back by a worker's. The C library's allocator has them wait for each other, and asks
/// the kernel for the same pages over and over.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    if let Some(code) = compile::child_of_args() {
        return ExitCode::from(code);
    }
    let args = match RuntimeArgs::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version come as errors that go to the standard output.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK });
        }
    };
    log_to_stderr(args.log_format, LevelFilter::INFO);
    let outcome = args.config().and_then(|config| run::run(&config, |_| {}, std::future::pending()));
    match outcome {
        Ok(_) => ExitCode::from(exit::OK),
        Err(error) => {
            tracing::error!(error = chain(&error), "pinion-runtime ends");
            ExitCode::from(error.exit_code())
        }
    }
}
