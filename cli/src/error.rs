//! How a subcommand ends when it does not end well: what to tell the user, and the exit code of `sysexits.h` that scripts look at.

use std::process::ExitCode;

use pinion_runtime::args::chain;
use pinion_runtime::kafka::AccessError;
use pinion_runtime::run::{RunError, exit};
use thiserror::Error;

/// Why a subcommand failed. The text says what was being done, where, and what to do about it.
#[derive(Debug, Error)]
pub enum CliError {
    /// The command line or a file is wrong: exit code 64.
    #[error("{0}")]
    Usage(String),
    /// The broker or the cluster cannot be reached, lets us not in, or did not take what it was given: exit code 69.
    #[error("{0}")]
    Unavailable(String),
    /// What was to be the same is not: exit code 65.
    #[error("{0}")]
    Differs(String),
    /// Our own fault: exit code 70.
    #[error("{0} (this is a fault of pinion's; please report it)")]
    Internal(String),
    /// A step failed and has been told with its words; here is which, and its exit code.
    #[error("it ended at the step {step}")]
    Told {
        /// The step.
        step: &'static str,
        /// Its exit code.
        code: u8,
    },
    /// The runtime did not start, or did not end well; it knows whose fault that is.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl CliError {
    /// Why the cluster behind `--brokers` cannot be used.
    pub(crate) fn no_access(brokers: &str, error: &AccessError) -> Self {
        let text = format!("--brokers {brokers}: {}", chain(error));
        match error {
            AccessError::Settings { .. } => Self::Usage(text),
            _ => Self::Unavailable(text),
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Unavailable(_) => exit::UNAVAILABLE,
            Self::Differs(_) => exit::DIFFERS,
            Self::Internal(_) => exit::SOFTWARE,
            Self::Told { code, .. } => *code,
            Self::Run(error) => error.exit_code(),
        }
    }
}
