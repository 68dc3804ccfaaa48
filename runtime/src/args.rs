//! The command line of a run: the one place where its strings become typed values.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
pub use tracing_subscriber::filter::LevelFilter;

use crate::app::AppConfig;
use crate::kafka::Kafka;
use crate::loading;
use crate::pin::Pin;
use crate::ring::Wait;
use crate::run::{RunConfig, RunError, Source, workers_for};
use crate::sandbox::Compiler;

/// How a worker waits for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitArg {
    /// Never leaves its core: lowest latency, for exclusive cores.
    Spin,
    /// Offers the core to others between looks.
    Yield,
    /// Sleeps until woken: for shared cores.
    Park,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What `pinion run` and `pinion-runtime` share.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Strategy files.
    #[arg(required = true, value_name = "FILE.yaml")]
    pub files: Vec<PathBuf>,
    /// Kafka's bootstrap servers.
    #[arg(long, value_name = "HOST:PORT,..", env = "PINION_BROKERS")]
    pub brokers: String,
    /// A properties file with more client settings: TLS, SASL. Secrets belong there.
    #[arg(long, value_name = "FILE")]
    pub kafka_properties: Option<PathBuf>,
    /// Cores for the workers: auto, off, or a list such as 2,3 or 4-7.
    #[arg(long, default_value = "auto", value_name = "auto|off|LIST")]
    pub pin: Pin,
    /// How workers wait for work.
    #[arg(long, value_enum, default_value = "park")]
    pub wait: WaitArg,
    /// Where the admin port listens: metrics, health, commands.
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// A file with the bearer token that commands on the admin port need.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Where compiled modules are kept [default: the user's cache directory].
    #[arg(long, value_name = "DIR", env = "PINION_MODULE_CACHE")]
    pub module_cache: Option<PathBuf>,
}

impl RunArgs {
    /// The typed configuration.
    ///
    /// # Errors
    /// What is wrong with a file that the command line names.
    pub fn config(&self) -> Result<RunConfig, RunError> {
        let kafka = Kafka::of(&self.brokers, self.kafka_properties.as_deref())?;
        let mut strategies = Vec::new();
        for file in &self.files {
            strategies.extend(loading::read(file)?);
        }
        Ok(RunConfig {
            source: Source::Files(self.files.clone()),
            app: AppConfig {
                kafka,
                pin: self.pin.clone(),
                wait: match self.wait {
                    WaitArg::Spin => Wait::Spin,
                    WaitArg::Yield => Wait::Yield,
                    WaitArg::Park => Wait::Park,
                },
                workers: workers_for(&strategies),
            },
            admin: self.admin,
            token_file: self.admin_token_file.clone(),
            cache: self.module_cache.clone().unwrap_or_else(default_cache),
            compiler: Compiler::this_executable()?,
            watch: true,
        })
    }
}

/// The pod's command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "pinion-runtime", version, about = "Runs strategies on Kafka market data")]
pub struct RuntimeArgs {
    /// What to run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How log lines are written.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

/// Where compiled modules are kept when nobody says otherwise.
#[must_use]
pub fn default_cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    base.unwrap_or_else(std::env::temp_dir).join("pinion").join("modules")
}

/// Log lines go to stderr; stdout is the program's own.
pub fn log_to_stderr(format: LogFormat, most: LevelFilter) {
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(most);
    // Fails only when a subscriber is set already, and then that one serves.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
