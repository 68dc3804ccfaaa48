//! Which cluster, which namespace, and as whom: the kubeconfig's answer, as kubectl would give it.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use pinion_operator::crd::Strategy;
use pinion_runtime::args::chain;

use crate::error::CliError;

/// A cluster that does not take a connection in this time is not there.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A request that is not answered in this time will not be. The apiserver itself gives up on one after a minute.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Which cluster and namespace.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// The tenant's namespace [default: the kubeconfig context's]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    /// Where strategies are that say no namespace.
    pub(super) namespace: String,
    /// `https://HOST:PORT`, for messages.
    pub(super) server: String,
}

impl Cluster {
    /// The strategies of the namespace.
    pub(super) fn strategies(&self) -> Api<Strategy> {
        self.strategies_in(&self.namespace)
    }

    /// The strategies of another.
    pub(super) fn strategies_in(&self, namespace: &str) -> Api<Strategy> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The answer to a request; `doing` begins the message where there is none, as in `halt ema-cross`.
    ///
    /// # Errors
    /// If the cluster refuses, cannot be reached, or does not answer in time.
    pub(super) async fn ask<T>(
        &self,
        doing: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CliError> {
        self.try_ask(doing, request).await?.map_err(|error| self.failure(doing, &error))
    }

    /// The same where a refusal is an answer too.
    ///
    /// # Errors
    /// If the cluster does not answer in time.
    pub(super) async fn try_ask<T>(
        &self,
        doing: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<kube::Result<T>, CliError> {
        tokio::time::timeout(ANSWER_MAX, request).await.map_err(|_| {
            let (server, seconds) = (&self.server, ANSWER_MAX.as_secs());
            CliError::Unavailable(format!("{doing}: the cluster {server} has not answered within {seconds} s"))
        })
    }

    async fn connect(args: &ClusterArgs) -> Result<Self, CliError> {
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let config = match &args.kubeconfig {
            Some(file) => match Kubeconfig::read_from(file) {
                Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
                Err(error) => Err(error),
            },
            None => Config::from_kubeconfig(&options).await,
        };
        let mut config = config.map_err(|error| {
            let file = args.kubeconfig.as_ref().map_or("the kubeconfig".to_owned(), |file| file.display().to_string());
            // Its text repeats its source already.
            CliError::Usage(format!("{file}: {error}; see --kubeconfig and --context"))
        })?;
        config.connect_timeout = Some(CONNECT_MAX);
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| CliError::Usage(format!("the kubeconfig's user or certificate: {}", chain(&error))))?;
        Ok(Self { client, namespace, server })
    }
}

/// Does something with the cluster that the arguments name.
pub(super) fn with_cluster<T, F: Future<Output = Result<T, CliError>>>(
    args: &ClusterArgs,
    work: impl FnOnce(Cluster) -> F,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Internal(format!("cannot start an async runtime: {error}")))?;
    runtime.block_on(async { work(Cluster::connect(args).await?).await })
}
