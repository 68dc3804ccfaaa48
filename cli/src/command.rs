//! The command line as a whole: which subcommands there are, and what all of them promise.

use clap::{Parser, Subcommand};

use crate::cluster::{deploy, describe, halt, list, logs, resume, rollback, top};
use crate::error::CliError;
use crate::{backtest, build, check, demo, dev, inspect, new, paper, publish, push, replay, run, sample};

/// Sandboxed trading strategies on Kafka market data
#[derive(Debug, Parser)]
#[command(
    name = "pinion",
    version,
    after_help = "\
Examples:
  pinion demo --seconds 10
  pinion run strategies-examples/ema-cross/strategy.yaml --brokers localhost:9092
  pinion deploy strategy.yaml -n desk-7 --wait

Exit codes:
  0   as asked
  64  a wrong command line or file
  65  a strategy does not hold its limits, or a replay has come to other orders
  69  the broker, the registry or the cluster cannot be reached, does not let us in, or did not take what it was given
  70  our fault"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Demo(demo::DemoArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Run(run::RunCommand),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    New(new::NewArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Build(build::BuildArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Backtest(backtest::BacktestArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Inspect(inspect::InspectArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Paper(paper::PaperArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Publish(publish::PublishArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Push(push::PushArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Replay(replay::ReplayArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Check(check::CheckArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Dev(dev::DevArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Sample(sample::SampleArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Deploy(deploy::DeployArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    List(list::ListArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Describe(describe::DescribeArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Logs(logs::LogsArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Halt(halt::HaltArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Resume(resume::ResumeArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Rollback(rollback::RollbackArgs),
    #[expect(missing_docs, reason = "a doc comment here would replace the subcommand's own help")]
    Top(top::TopArgs),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// What went wrong, with its exit code.
    pub fn run(self) -> Result<(), CliError> {
        match self {
            Self::Demo(args) => demo::run(&args),
            Self::Run(args) => run::run(&args),
            Self::New(args) => new::run(&args),
            Self::Build(args) => build::command(&args),
            Self::Backtest(args) => backtest::run(&args),
            Self::Inspect(args) => inspect::run(args),
            Self::Paper(args) => paper::run(&args),
            Self::Publish(args) => publish::run(args),
            Self::Push(args) => push::run(&args),
            Self::Replay(args) => replay::run(&args),
            Self::Check(args) => check::run(&args),
            Self::Dev(args) => dev::run(&args),
            Self::Sample(args) => sample::run(&args),
            Self::Deploy(args) => deploy::run(&args),
            Self::List(args) => list::run(&args),
            Self::Describe(args) => describe::run(&args),
            Self::Logs(args) => logs::run(&args),
            Self::Halt(args) => halt::run(&args),
            Self::Resume(args) => resume::run(&args),
            Self::Rollback(args) => rollback::run(&args),
            Self::Top(args) => top::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_shows_an_example_of_its_own_command() {
        let mut cli = Cli::command();
        assert!(cli.render_long_help().to_string().contains("Exit codes:"));
        let names = cli.get_subcommands().map(|command| command.get_name().to_owned());
        // clap's own, which shows the others' help.
        let names: Vec<String> = names.filter(|name| name != "help").collect();
        assert!(names.len() >= 15, "{names:?}");
        for name in names {
            let help = cli.find_subcommand_mut(&name).unwrap().render_long_help().to_string();
            let examples = help.split("Example").nth(1).unwrap_or_else(|| panic!("{name}: no example"));
            assert!(examples.contains(&format!("pinion {name} ")), "{name}: {examples}");
        }
    }
}
