//! `pinion deploy`: a strategy file into the cluster, the module beside it included.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use kube::ResourceExt as _;
use pinion_operator::crd::Strategy;
use serde::Serialize;
use serde_json::Value as Json;

use super::apply::{How, apply};
use super::condition::generation;
use super::connect::{Cluster, ClusterArgs, with_cluster};
use super::module::{ModuleFile, source};
use super::ready::until_ready;
use super::row::state_name;
use super::watch::full_name;
use crate::error::CliError;
use crate::inspect::Format;
use crate::output;

/// Brings the strategies of a file into the cluster, or up to date
///
/// A module file goes into a ConfigMap named by its digest (at most 900 KiB; a larger one goes to a registry by `pinion push`). Everything
/// is checked by the cluster before anything is changed. Deploying never lifts a halt.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinion deploy strategy.yaml -n desk-7
  pinion deploy strategy.yaml -n desk-7 --wait

Exit codes: 0 deployed (with --wait: ready), 64 a bad file, or one that the cluster or the operator refuses, 69 not ready in time, a \
right is missing or the cluster cannot be reached, 70 our fault")]
pub struct DeployArgs {
    /// The strategy file
    #[arg(value_name = "FILE.yaml")]
    pub file: PathBuf,
    /// Waits until every strategy of the file is ready, and says what stands in the way
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// Takes fields over that others have set, such as the replicas that an autoscaler sets; never lifts a halt
    #[arg(long)]
    pub force: bool,
    /// Where
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How to write the result; json is a line a strategy, progress then goes to stderr
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// A strategy of the file, ready to be sent.
struct Prepared {
    name: String,
    /// The file's own, if it says one.
    namespace: Option<String>,
    document: Json,
    module: Option<ModuleFile>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployed {
    name: String,
    namespace: String,
    generation: i64,
    /// `created`, `changed` or `unchanged`.
    outcome: &'static str,
    /// SHA-256 of the module file.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    /// Without `--wait` nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_after_ms: Option<u128>,
}

/// Deploys, and waits if that is asked for.
///
/// # Errors
/// All mistakes of the file at once, before the cluster is asked; then the first thing that the cluster refuses.
pub fn run(args: &DeployArgs) -> Result<(), CliError> {
    let prepared = prepare(&args.file)?;
    with_cluster(&args.cluster, |cluster| async move {
        for strategy in &prepared {
            let namespace = namespace(args, &cluster, strategy)?;
            apply(&cluster, namespace, &strategy.name, &strategy.document, how(args, true)).await?;
        }
        let mut deployed = Vec::new();
        for strategy in prepared {
            deployed.push(deploy(args, &cluster, strategy).await?);
        }
        for (strategy, mut result) in deployed {
            if args.wait {
                let limit = Duration::from_secs(args.timeout);
                let say = |text: &str| progress(args.format, text);
                let after = until_ready(&cluster, &strategy, result.generation, limit, say).await?;
                result.ready_after_ms = Some(after.as_millis());
            }
            if args.format == Format::Json {
                output::json(&result)?;
            }
        }
        Ok(())
    })
}

/// Reads the file and the modules that it names.
fn prepare(file: &Path) -> Result<Vec<Prepared>, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::Usage(format!("cannot read {}: {error}", file.display())))?;
    let strategies = pinion_spec::parse_as_written(&text, &file.display().to_string());
    let strategies = strategies.map_err(|errors| CliError::Usage(errors.to_string()))?;
    let prepare = |(strategy, mut document): (pinion_spec::Strategy, Json)| {
        let module = strategy.spec.module.file.as_deref().map(|module| ModuleFile::read(file, module)).transpose()?;
        if let Some(module) = &module {
            document["spec"]["module"] = source(&module.digest);
        }
        Ok(Prepared { name: strategy.metadata.name, namespace: strategy.metadata.namespace, document, module })
    };
    strategies.into_iter().map(prepare).collect()
}

/// Where it goes: the flag's, the file's, the context's.
fn namespace<'a>(args: &DeployArgs, cluster: &'a Cluster, strategy: &'a Prepared) -> Result<&'a str, CliError> {
    match (&args.cluster.namespace, &strategy.namespace) {
        (Some(flag), Some(file)) if flag != file => Err(CliError::Usage(format!(
            "deploy {}: the file says namespace {file}, the command line {flag}; leave one of them out",
            strategy.name
        ))),
        (_, Some(file)) => Ok(file),
        (_, None) => Ok(&cluster.namespace),
    }
}

const fn how(args: &DeployArgs, dry_run: bool) -> How {
    How { force: args.force, dry_run }
}

async fn deploy(args: &DeployArgs, cluster: &Cluster, prepared: Prepared) -> Result<(Strategy, Deployed), CliError> {
    let namespace = namespace(args, cluster, &prepared)?.to_owned();
    let Prepared { name, document, module, .. } = prepared;
    let doing = format!("deploy {namespace}/{name}");
    let before = cluster.ask(&doing, cluster.strategies_in(&namespace).get_opt(&name)).await?;
    let digest = module.as_ref().map(|module| module.digest.clone());
    // The module first: a strategy never names what is not there.
    if let Some(module) = module {
        module.upload(cluster, &namespace).await?;
    }
    let applied = apply(cluster, &namespace, &name, &document, how(args, false)).await?;
    let strategy = applied.strategy;
    let outcome = match before.as_ref().map(generation) {
        None => "created",
        Some(before) if before == generation(&strategy) => "unchanged",
        Some(_) => "changed",
    };
    let (full_name, now_at) = (full_name(&strategy), generation(&strategy));
    let module_text = digest.as_deref().map_or(String::new(), |digest| format!(", module sha256:{digest}"));
    progress(args.format, &format!("{full_name}: {outcome}, generation {now_at}{module_text}"));
    if applied.state_kept {
        let state = state_name(strategy.spec.0.trading_state);
        progress(args.format, &format!("{full_name}: stays {state}; `pinion resume {name}` lifts it"));
    }
    let namespace = strategy.namespace().unwrap_or(namespace);
    let result = Deployed { name, namespace, generation: now_at, outcome, module: digest, ready_after_ms: None };
    Ok((strategy, result))
}

/// What goes on: beside JSON it goes to stderr.
pub(super) fn progress(format: Format, text: &str) {
    match format {
        Format::Text => output::text(text),
        Format::Json => eprintln!("{text}"),
    }
}
