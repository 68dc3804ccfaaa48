//! `pinion-operator`: tenants, pools and strategies to running pods.

use std::process::ExitCode;

use clap::Parser as _;
use pinion_operator::args::{Args, log_to_stderr};
use pinion_operator::run::run;

fn main() -> ExitCode {
    let args = Args::parse();
    log_to_stderr(args.log_format);
    // What reads the log reads JSON.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a mistake of ours")));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "start the runtime of the asynchronous tasks");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, "pinion-operator ends");
            ExitCode::FAILURE
        }
    }
}
