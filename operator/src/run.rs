//! The process: everything is made, started, and ended in order.

use std::sync::Arc;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::apply::{WRITES_MAX, Writer};
use crate::args::Args;
use crate::cache::Cache;
use crate::client::Clients;
use crate::controller;
use crate::credentials::Credentials;
use crate::events::Events;
use crate::leader::{Election, Leadership};
use crate::metrics::Metrics;
use crate::modules::Modules;
use crate::observe::Watches;
use crate::pods::Pods;
use crate::round::Context;
use crate::serve::serve;

/// Why the process cannot begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The kubeconfig.
    #[error("read the kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// No way to Kubernetes is known.
    #[error("find Kubernetes: {0}")]
    Infer(#[from] kube::config::InferConfigError),
    /// The client.
    #[error("make a client of Kubernetes")]
    Client(#[from] kube::Error),
    /// The metrics.
    #[error("register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The operator's port.
    #[error("listen on {0}")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// A watch ended, which none does by itself: what it told is not known any more, a halt among it.
    #[error("a watch ended")]
    Blind,
    /// Signals, or the port later on.
    #[error("serve")]
    Io(#[from] std::io::Error),
}

/// Runs until SIGTERM or SIGINT; then lets go of the lease.
///
/// # Errors
/// [`RunError`]
pub async fn run(args: Args) -> Result<(), RunError> {
    let Clients { watch: watching, call: client, patience } = Clients::new(config(&args).await?)?;
    let metrics = Arc::new(Metrics::new()?);
    let listener =
        tokio::net::TcpListener::bind(args.listen).await.map_err(|source| RunError::Listen(args.listen, source))?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);

    let (cache, leadership) = (Arc::new(Cache::default()), Arc::new(Leadership::default()));
    let (watches, mut watching) = Watches::start(&watching, &cache, &metrics);
    let missing = watches.missing.clone();
    let context = Arc::new(Context {
        pods: Pods::default(),
        modules: Modules::new(client.clone(), Arc::clone(&metrics)),
        credentials: Credentials::new(client.clone(), Arc::clone(&metrics)),
        events: Events::start(client.clone(), &args.identity, Arc::clone(&patience), Arc::clone(&metrics)),
        namespace: args.namespace.clone(),
        writer: Writer {
            client: client.clone(),
            cache,
            leadership: Arc::clone(&leadership),
            patience,
            permits: Arc::new(Semaphore::new(WRITES_MAX)),
            metrics: Arc::clone(&metrics),
        },
    });
    let election =
        Election::new(client, &args.namespace, &args.identity, Arc::clone(&leadership), Arc::clone(&metrics));
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        () = election.run(stop) => Ok(()),
        () = controller::run(context, watches) => Ok(()),
        _ = watching.join_next() => Err(RunError::Blind),
        outcome = serve(listener, metrics, missing, leadership) => Ok(outcome?),
    }
}

async fn config(args: &Args) -> Result<Config, RunError> {
    Ok(match &args.kubeconfig {
        Some(path) => {
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
        }
        None => Config::infer().await?,
    })
}
