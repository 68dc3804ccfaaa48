//! The command line of a run: the one place where its strings become typed values.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
pub use tracing_subscriber::filter::LevelFilter;

use pinion_spec::assignment::WORKERS_MAX;

use crate::app::{AppConfig, Threads};
use crate::assignment::PodConfig;
use crate::fence::Fence;
use crate::journal::JournalConfig;
use crate::kafka::Kafka;
use crate::loading;
use crate::metrics::Histograms;
use crate::pin::Pin;
use crate::registry::{Patience, RegistryConfig};
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

/// Which threads an event's way takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThreadsArg {
    /// One for all of it where there is one worker: the lowest latency, and the least of a core.
    Auto,
    /// Ingest, each worker and egress have their own: more events a second, where there are cores for them.
    Dedicated,
}

/// Whether latencies are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HistogramsArg {
    /// Every one of them.
    On,
    /// None: shows what measuring costs.
    Off,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Strategies from files.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Strategy files.
    #[arg(required = true, value_name = "FILE.yaml")]
    pub files: Vec<PathBuf>,
    /// How they run.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl RunArgs {
    /// The typed configuration.
    ///
    /// # Errors
    /// What is wrong with a file that the command line names.
    pub fn config(&self) -> Result<RunConfig, RunError> {
        from_files(&self.files, &self.process)
    }
}

fn from_files(files: &[PathBuf], process: &ProcessArgs) -> Result<RunConfig, RunError> {
    let mut strategies = Vec::new();
    for file in files {
        strategies.extend(loading::read(file)?);
    }
    process.config(Source::Files(files.to_vec()), workers_for(&strategies), Fence::default())
}

/// What `pinion run` and `pinion-runtime` share.
#[derive(Debug, Clone, Args)]
pub struct ProcessArgs {
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
    /// Which threads an event's way takes.
    #[arg(long, value_enum, default_value = "auto")]
    pub threads: ThreadsArg,
    /// Whether latencies are measured: the histograms, and all that is read from them.
    #[arg(long, value_enum, default_value = "on")]
    pub histograms: HistogramsArg,
    /// Where the admin port listens: metrics, health, commands.
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// A file with the bearer token that commands on the admin port need.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Where compiled modules are kept [default: the user's cache directory].
    #[arg(long, value_name = "DIR", env = "PINION_MODULE_CACHE")]
    pub module_cache: Option<PathBuf>,
    /// Keeps a journal of what strategies are presented with in this folder, for `pinion replay`.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Largest journal of one worker; the oldest part of a larger one gives way.
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(64..), requires = "journal")]
    pub journal_mib: u32,
    /// Registries of modules.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// How registries of modules are spoken to.
#[derive(Debug, Clone, Args)]
pub struct RegistryArgs {
    /// Credentials for registries: Docker's config.json, read anew for each pull [default: the user's own].
    #[arg(long, value_name = "FILE")]
    pub registry_config: Option<PathBuf>,
    /// Certificates (PEM) of authorities that registries are trusted by, besides the system's.
    #[arg(long, value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
    /// A registry that is spoken to without TLS. This machine's own need not be named. May be repeated.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub registry_plain_http: Vec<String>,
}

impl RegistryArgs {
    /// The typed configuration.
    #[must_use]
    pub fn config(&self) -> RegistryConfig {
        RegistryConfig {
            credentials: self.registry_config.clone().or_else(docker_config),
            authorities: self.registry_ca.clone(),
            plain: self.registry_plain_http.clone(),
            patience: Patience::default(),
        }
    }
}

/// What `docker login` writes, where it has.
fn docker_config() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home)?;
    Some(folder.join("config.json")).filter(|file| file.is_file())
}

impl ProcessArgs {
    fn config(&self, source: Source, workers: usize, fence: Fence) -> Result<RunConfig, RunError> {
        let kafka = Kafka::of(&self.brokers, self.kafka_properties.as_deref())?;
        Ok(RunConfig {
            watch: matches!(source, Source::Files(_)),
            source,
            app: AppConfig {
                kafka,
                pin: self.pin.clone(),
                wait: match self.wait {
                    WaitArg::Spin => Wait::Spin,
                    WaitArg::Yield => Wait::Yield,
                    WaitArg::Park => Wait::Park,
                },
                threads: match self.threads {
                    ThreadsArg::Auto => Threads::Auto,
                    ThreadsArg::Dedicated => Threads::Dedicated,
                },
                workers,
                fence,
                histograms: match self.histograms {
                    HistogramsArg::On => Histograms::On,
                    HistogramsArg::Off => Histograms::Off,
                },
                journal: self
                    .journal
                    .clone()
                    .map(|dir| JournalConfig { dir, bytes_max: u64::from(self.journal_mib) << 20 }),
            },
            admin: self.admin,
            token_file: self.admin_token_file.clone(),
            cache: self.module_cache.clone().unwrap_or_else(default_cache),
            registry: self.registry.config(),
            compiler: Compiler::this_executable()?,
        })
    }
}

/// The pod's command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "pinion-runtime", version, about = "Runs strategies on Kafka market data")]
pub struct RuntimeArgs {
    /// Strategy files.
    #[arg(required_unless_present = "assignment", value_name = "FILE.yaml")]
    pub files: Vec<PathBuf>,
    /// The assignment document of this pod, as the operator writes it; it may come later. In place of strategy files.
    #[arg(long, value_name = "FILE", conflicts_with = "files", requires_all = ["pod", "state", "admin", "admin_token_file"])]
    pub assignment: Option<PathBuf>,
    /// This pod's name.
    #[arg(long, value_name = "NAME", env = "POD_NAME", requires = "assignment")]
    pub pod: Option<String>,
    /// Workers, each on a core of its own where there is one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(WORKERS_MAX)), requires = "assignment")]
    pub workers: u16,
    /// Cores that this pod is to have for itself; it reports whether it has.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, requires = "assignment")]
    pub cores: u16,
    /// A folder for what a restart of the process needs: the last document and its lease, modules.
    #[arg(long, value_name = "DIR", requires = "assignment")]
    pub state: Option<PathBuf>,
    /// How it runs.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// How log lines are written.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

impl RuntimeArgs {
    /// The typed configuration.
    ///
    /// # Errors
    /// What is wrong with a file that the command line names.
    pub fn config(&self) -> Result<RunConfig, RunError> {
        match (&self.assignment, &self.pod, &self.state) {
            (Some(file), Some(pod), Some(state)) => {
                let pod = PodConfig { pod: pod.clone(), file: file.clone(), state: state.clone(), cores: self.cores };
                self.process.config(Source::Assignment(pod), usize::from(self.workers), Fence::closed())
            }
            _ => from_files(&self.files, &self.process),
        }
    }
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
