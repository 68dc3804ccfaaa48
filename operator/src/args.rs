//! The command line, and how the operator logs.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use tracing_subscriber::filter::LevelFilter;

/// Runs Pinion's tenants, pools and strategies on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "pinion-operator", version)]
pub struct Args {
    /// The namespace that the operator runs in; its Lease lies there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "pinion-system")]
    pub namespace: String,
    /// The name of this process among the operator's: the pod's.
    #[arg(long, env = "POD_NAME")]
    pub identity: String,
    /// Where metrics, /live and /ready are served.
    #[arg(long, default_value = "0.0.0.0:9102")]
    pub listen: SocketAddr,
    /// How to log.
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// How to reach Kubernetes from outside of it. Absent: $KUBECONFIG, else as a pod does.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Logs go to the standard error.
pub fn log_to_stderr(format: LogFormat) {
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(LevelFilter::INFO);
    // Fails only when a subscriber is set already, and then that one serves.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
