//! `pinion`: the tool of the people who write and run strategies.

use std::process::ExitCode;

use clap::Parser;
use pinion_cli::command::Cli;
use pinion_runtime::args::chain;
use pinion_runtime::run::exit;
use pinion_runtime::sandbox::compile;

fn main() -> ExitCode {
    // Before anything else: the runtime starts this very program as its sandboxed compiler.
    if let Some(code) = compile::child_of_args() {
        return ExitCode::from(code);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK });
        }
    };
    match cli.command.run() {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            eprintln!("pinion: {}", chain(&error));
            error.exit_code()
        }
    }
}
