//! One process from strategy files to its last commit: build, read, serve, wait, drain. `pinion run` and the pod's process alike.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pinion_spec::strategy::Strategy;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{self, Admin, Scrapes};
use crate::app::{App, AppConfig, AppError, Deployment, Drained};
use crate::assignment::{Assignments, PodConfig, PodError};
use crate::kafka::{AccessError, PropertiesError};
use crate::lag::LagWatch;
use crate::loading::{Loader, LoadingError};
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryConfig};
use crate::sandbox::{Compiler, Sandbox, SandboxConfig, SandboxError};
use crate::subscription::FeedError;
use crate::supervisor::{SharedApp, Supervisor, lock};
use crate::watch::Watch;

/// Where a process has its strategies from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Strategy files.
    Files(Vec<PathBuf>),
    /// What the operator assigns to this pod.
    Assignment(PodConfig),
    /// Strategies that the caller has read or made; relative module paths start at the working directory.
    Strategies(Vec<Strategy>),
}

/// How a process runs.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// What runs.
    pub source: Source,
    /// Kafka, pinning, waiting, workers.
    pub app: AppConfig,
    /// Where the admin port listens; `None`: no admin port.
    pub admin: Option<SocketAddr>,
    /// The file that holds the admin port's bearer token.
    pub token_file: Option<PathBuf>,
    /// Where compiled modules are kept.
    pub cache: PathBuf,
    /// Who compiles modules.
    pub compiler: Compiler,
    /// How registries of modules are spoken to.
    pub registry: RegistryConfig,
    /// Takes over changes of the strategy files and their modules while running; without files there is nothing to watch.
    pub watch: bool,
}

/// Why a process did not run, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A strategy file or module.
    #[error(transparent)]
    Loading(#[from] LoadingError),
    /// The Kafka properties file.
    #[error(transparent)]
    Properties(#[from] PropertiesError),
    /// The app.
    #[error(transparent)]
    App(#[from] AppError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The pod's documents and modules.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// The lease ran out.
    #[error("the lease has run out: what runs here may run elsewhere, so nothing more is read or sent")]
    Fenced,
    /// The admin port or its token.
    #[error("admin port: {problem}")]
    Admin {
        /// What is wrong.
        problem: String,
    },
    /// The operating system refused a thread or a signal.
    #[error("setting up the process")]
    System(#[from] std::io::Error),
    /// A thread of the flow ended by itself.
    #[error("a thread of the flow ended by itself; its panic is in the log")]
    Died,
    /// Kafka does not have everything that was decided.
    #[error(
        "drained with {unacknowledged} records not acknowledged and {refused} refused by Kafka; they are sent again after a restart"
    )]
    Unsent {
        /// Not in time.
        unacknowledged: usize,
        /// Refused for good.
        refused: u64,
    },
    /// Kafka has everything that was decided, and does not know that it was.
    #[error(
        "drained, and the last commit failed for {feeds} consumer group(s): records since the commit before are read again after a restart, and their orders repeat with the same ids"
    )]
    Uncommitted {
        /// How many.
        feeds: usize,
    },
}

/// Exit codes, after BSD's sysexits.
pub mod exit {
    /// As asked.
    pub const OK: u8 = 0;
    /// A wrong command line or file.
    pub const USAGE: u8 = 64;
    /// What was to be the same is not.
    pub const DIFFERS: u8 = 65;
    /// Kafka cannot be used: no broker, no entry, a right that is lacking.
    pub const UNAVAILABLE: u8 = 69;
    /// Our fault.
    pub const SOFTWARE: u8 = 70;
    /// The lease ran out; to be started again.
    pub const FENCED: u8 = 75;
}

impl RunError {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::App(AppError::Feed(FeedError::Kafka { source, .. })) => match **source {
                AccessError::Settings { .. } => exit::USAGE,
                _ => exit::UNAVAILABLE,
            },
            Self::Unsent { .. } | Self::Uncommitted { .. } => exit::UNAVAILABLE,
            Self::Died => exit::SOFTWARE,
            Self::App(AppError::Thread { .. }) | Self::System(_) | Self::Sandbox(_) => exit::SOFTWARE,
            Self::Fenced => exit::FENCED,
            Self::Loading(error) if error.may_pass() => exit::UNAVAILABLE,
            Self::Loading(_) | Self::Pod(_) | Self::Properties(_) | Self::App(_) | Self::Admin { .. } => exit::USAGE,
        }
    }
}

/// What a running process shows to whoever watches it from inside.
pub struct Running {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The admin port's real address.
    pub admin: Option<SocketAddr>,
}

/// Workers that strategies ask for together: the largest of their `replicas`.
#[must_use]
pub fn workers_for(strategies: &[Strategy]) -> usize {
    strategies.iter().map(|strategy| strategy.spec.replicas as usize).max().unwrap_or(1)
}

/// Runs until SIGTERM, SIGINT, a drain command, or until `until` completes; then drains.
///
/// # Errors
/// [`RunError`]
pub fn run(
    config: &RunConfig,
    started: impl FnOnce(&Running),
    until: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let kept = config.app.journal.as_ref().map(|journal| journal.dir.join("modules"));
    let sandbox = SandboxConfig { kept, ..SandboxConfig::new(config.cache.clone(), config.compiler.clone()) };
    let sandbox = Arc::new(Sandbox::new(sandbox)?);
    let registry = Registry::new(config.registry.clone());
    // Beside the compiled ones, and like them nobody else's.
    let loader = Loader::new(Arc::clone(&sandbox), registry.clone(), config.cache.join("pulled"));
    let deployments = deployments(&loader, &config.source)?;
    for deployment in &deployments {
        announce(&deployment.strategy);
    }
    let token = config.token_file.as_deref().map(read_token).transpose()?;
    let metrics = Arc::new(Metrics::default());
    let (mut app, inbound) = App::start(config.app.clone(), Arc::clone(&metrics))?;
    app.load(deployments)?;
    let egress = Arc::clone(app.egress_metrics());
    let app: SharedApp = Arc::new(Mutex::new(Some(app)));
    let assignments = match &config.source {
        Source::Assignment(pod) => {
            let (kafka, fence) = (config.app.kafka.clone(), config.app.fence.clone());
            let opened = Assignments::open(
                pod.clone(),
                Arc::clone(&app),
                Arc::clone(&sandbox),
                registry,
                Arc::clone(&metrics),
                kafka,
                fence,
            )?;
            let assignments = Arc::new(opened);
            let applying = Arc::clone(&assignments);
            std::thread::Builder::new().name("assignment".to_owned()).spawn(move || applying.run())?;
            Some(assignments)
        }
        Source::Files(_) | Source::Strategies(_) => None,
    };
    let lapsed = || assignments.as_ref().is_some_and(|assignments| assignments.has_lapsed());
    let stop = Arc::new(AtomicBool::new(false));
    let supervisor = Supervisor::new(Arc::clone(&app), inbound, Arc::clone(&stop));
    let supervising = std::thread::Builder::new().name("supervisor".to_owned()).spawn(move || supervisor.run())?;

    let lag = LagWatch::default();
    let (watching, watched) = (lag.clone(), Arc::clone(&app));
    let looking = std::thread::Builder::new().name("lag".to_owned()).spawn(move || watching.run(&watched))?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let (drain, mut drain_asked) = tokio::sync::mpsc::channel(1);
        let mut address = None;
        if let Some(wanted) = config.admin {
            let refused =
                |error: std::io::Error| RunError::Admin { problem: format!("cannot listen on {wanted}: {error}") };
            let listener = tokio::net::TcpListener::bind(wanted).await.map_err(refused)?;
            let local = listener.local_addr().map_err(refused)?;
            address = Some(local);
            if token.is_none() && !admin::is_loopback(&local) {
                tracing::warn!(
                    address = %local,
                    "commands will be refused: this address is not loopback and no token is configured; start with --admin-token-file FILE"
                );
            }
            tokio::spawn(admin::serve(
                listener,
                Admin {
                    app: Arc::clone(&app),
                    metrics: Arc::clone(&metrics),
                    scrapes: Scrapes::start(Arc::clone(&metrics), Arc::clone(&egress))?,
                    egress,
                    sandbox: Arc::clone(&sandbox),
                    loader: loader.clone(),
                    base: PathBuf::from("."),
                    token,
                    loopback: admin::is_loopback(&local),
                    assignments: assignments.clone(),
                    drain: drain.clone(),
                },
            ));
        }
        if let (true, Source::Files(files)) = (config.watch, &config.source) {
            tokio::spawn(Watch::new(files, Arc::clone(&app), loader.clone()).run());
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        started(&Running { metrics: Arc::clone(&metrics), admin: address });
        let died = async {
            // A dead thread of the flow is our fault; nothing it was to do may go on unseen.
            let mut look = tokio::time::interval(Duration::from_millis(200));
            loop {
                look.tick().await;
                // A worker ends by itself when the lease has run out.
                if lapsed() {
                    return;
                }
                if !lock(&app).as_ref().is_none_or(App::is_alive) {
                    return;
                }
            }
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
            _ = drain_asked.recv() => tracing::info!("drain asked for: draining"),
            () = until => tracing::info!("done: draining"),
            () = died => {
                if lapsed() {
                    return Err(RunError::Fenced);
                }
                tracing::error!("a thread of the flow ended: draining");
            }
        }
        // Kept to the end, or the channel would close and look like a drain.
        drop(drain);
        Ok::<(), RunError>(())
    });
    if let Err(RunError::Fenced) = served {
        // Nothing is finished and nothing committed: all of it may be another's by now.
        return Err(RunError::Fenced);
    }
    if let Some(assignments) = &assignments {
        assignments.stop();
    }
    lag.stop();
    // Before the drain, which closes the consumers. A look takes half a second at most, for a broker that does not answer.
    let _ = looking.join();
    let taken = lock(&app).take();
    let drained = taken.map(App::drain);
    stop.store(true, Ordering::Release);
    // A supervisor that panicked has said so already.
    let _ = supervising.join();
    runtime.shutdown_timeout(Duration::from_millis(100));
    served?;
    match drained {
        Some(Drained { died: true, .. }) | None => Err(RunError::Died),
        Some(Drained { unacknowledged: 0, refused: 0, uncommitted: 0, .. }) => Ok(()),
        Some(Drained { unacknowledged: 0, refused: 0, uncommitted, .. }) => {
            Err(RunError::Uncommitted { feeds: uncommitted })
        }
        Some(Drained { unacknowledged, refused, .. }) => Err(RunError::Unsent { unacknowledged, refused }),
    }
}

fn deployments(loader: &Loader, source: &Source) -> Result<Vec<Deployment>, LoadingError> {
    match source {
        Source::Files(files) => {
            let mut deployments = Vec::new();
            for file in files {
                deployments.extend(loader.file(file)?);
            }
            Ok(deployments)
        }
        Source::Assignment(_) => Ok(Vec::new()),
        Source::Strategies(strategies) => loader.strategies(strategies.clone(), "strategies", Path::new("")),
    }
}

/// Says what a strategy runs under, where its file leaves it to us.
fn announce(strategy: &Strategy) {
    let name = &strategy.metadata.name;
    if strategy.spec.risk.is_none() {
        let limits = serde_json::to_string(&pinion_spec::strategy::Risk::default()).unwrap_or_default();
        tracing::warn!(strategy = name, limits, "no `risk` section: conservative defaults apply");
    }
    if strategy.spec.instruments.is_empty() {
        tracing::warn!(strategy = name, "no `instruments`: every order will be denied as unknown_instrument");
    }
    if !strategy.spec.inputs.iter().any(|input| input.encoding == pinion_spec::strategy::Encoding::PinionExecution) {
        tracing::warn!(
            strategy = name,
            "no input of encoding pinion-execution: positions are assumed from what was sent"
        );
    }
}

fn read_token(path: &Path) -> Result<Arc<str>, RunError> {
    let problem = |problem: String| RunError::Admin { problem };
    let token =
        std::fs::read_to_string(path).map_err(|error| problem(format!("cannot read {}: {error}", path.display())))?;
    match token.trim() {
        short if short.len() < 16 => {
            Err(problem(format!("the token in {} is shorter than 16 characters", path.display())))
        }
        token => Ok(Arc::from(token)),
    }
}
