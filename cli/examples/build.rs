//! temporary
use clap::Parser;
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: pinion_cli::build::BuildArgs,
}
fn main() {
    if let Err(e) = pinion_cli::build::run(&Cli::parse().args, &mut std::io::stderr()) {
        eprintln!("{e}");
        std::process::exit(64)
    }
}
