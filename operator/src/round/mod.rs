//! One tenant's round: observe → scale → place → desired → apply → status.
//!
//! Promises: nothing is written or put to a pod by a process that is not the leader; a stricter trading state goes to the pods before
//! anything else; a strategy that may not run is in no document; a round in which nothing has changed writes nothing.

mod deliver;
mod pool;
mod scrape;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use pinion_spec::strategy::Strategy as Spec;

use crate::admit::{Refusal, admit};
use crate::apply::{WriteError, Writer};
use crate::cache::Cache;
use crate::clock::{mono_ns, now};
use crate::crd::{RuntimePool, Strategy, Tenant};
use crate::desired::assignment::AssignmentError;
use crate::desired::{network, tenant};
use crate::events::Events;
use crate::fleet::Fleet;
use crate::kinds::Kind;
use crate::leader::{Leadership, NotLeader};
use crate::metrics::Metrics;
use crate::modules::{ModuleError, Modules};
use crate::names::{ADMIN_TOKEN_SECRET, MANAGER_STATUS, MANAGER_TENANT};
use crate::pods::Pods;
use crate::status::{self, PoolView, StrategyView};

/// Keeps a Tenant until its strategies are drained.
const FINALIZER: &str = "pinion.dev/drain";
/// How often pods are asked while nothing happens.
const POLL: Duration = Duration::from_secs(2);
/// How often while something is under way.
const POLL_BUSY: Duration = Duration::from_millis(200);
/// A tenant that is not there is looked at again when something changes.
const IDLE: Duration = Duration::from_secs(3_600);
/// From a RoleBinding to when the apiserver surely goes by it. Sooner its refusals are no news.
const RIGHTS_KNOWN: Duration = Duration::from_millis(500);

/// What every round needs.
pub struct Context {
    /// Writes to Kubernetes.
    pub writer: Writer,
    /// Calls pods.
    pub pods: Pods,
    /// Finds modules.
    pub modules: Modules,
    /// Tells people.
    pub events: Events,
    /// Where the operator runs.
    pub namespace: String,
}

impl Context {
    fn cache(&self) -> &Cache {
        &self.writer.cache
    }

    fn leadership(&self) -> &Arc<Leadership> {
        &self.writer.leadership
    }

    fn metrics(&self) -> &Metrics {
        &self.writer.metrics
    }
}

/// What is remembered of a tenant from one round to the next, within a term.
#[derive(Debug, Default)]
pub struct Memory {
    fleets: BTreeMap<String, Fleet>,
    /// When the operator gave itself its rights in the namespace, if it was in this term; monotonic nanoseconds.
    let_in_ns: Option<u64>,
}

/// A round that could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// Another process leads.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// A write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A read failed.
    #[error("read the namespace {0}")]
    Read(String, #[source] kube::Error),
    /// There is no document to write.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The machine gives no random numbers.
    #[error("make a token: {0}")]
    Random(String),
}

/// Why a strategy is not assigned to any pod.
#[derive(Debug)]
pub enum Absent {
    /// The tenant does not allow it, or it contradicts itself.
    Refused(Vec<Refusal>),
    /// Its module cannot be had.
    Module(ModuleError),
    /// Its pool is not there.
    NoPool,
    /// Its namespace is no tenant's.
    NoTenant,
    /// It is to run nowhere.
    Paused,
    /// Its tenant goes.
    Deleting,
}

/// A strategy, and its spec as it may run.
struct Admitted {
    resource: Strategy,
    spec: Spec,
    module: String,
}

/// One round. Returns after how long the next is due, if nothing changes before.
///
/// # Errors
/// [`RoundError`]; what was done is kept, and the next round goes on from there.
pub async fn round(context: &Context, name: &str, memory: &mut Memory) -> Result<Duration, RoundError> {
    let cache = context.cache();
    let strategies: Vec<Strategy> = typed(cache, Kind::Strategy, name);
    let Some(tenant) = cache.typed::<Tenant>(Kind::Tenant, name, name) else {
        for strategy in &strategies {
            report(context, strategy, StrategyView::Absent(&Absent::NoTenant)).await?;
        }
        return Ok(IDLE);
    };
    let deleting = tenant.metadata.deletion_timestamp.is_some();
    if !deleting {
        context.writer.finalizer(Kind::Tenant, name, name, FINALIZER, true).await?;
        match furnish(context, &tenant, memory).await? {
            Furnished::Done => {}
            Furnished::JustLetIn => return Ok(POLL_BUSY),
            Furnished::Taken(why) => {
                let status = status::tenant(&tenant, strategies.len(), 0, Some(why), now());
                context.writer.status(Kind::Tenant, name, name, &status, MANAGER_STATUS).await?;
                return Ok(POLL);
            }
        }
    }

    let pools: Vec<RuntimePool> = typed(cache, Kind::RuntimePool, name);
    let mut admitted: BTreeMap<String, Vec<Admitted>> =
        pools.iter().map(|pool| (pool.name_any(), Vec::new())).collect();
    let mut absent = Vec::new();
    for resource in strategies {
        match admission(context, &tenant, &resource, deleting, &admitted).await {
            Ok((spec, module)) => {
                let pool = admitted.entry(spec.spec.pool_name().to_owned()).or_default();
                pool.push(Admitted { resource, spec, module });
            }
            // What cannot be read now may run: it is no reason to take anything away.
            Err(Absent::Module(ModuleError::Kube(source))) => return Err(RoundError::Read(name.to_owned(), source)),
            Err(why) => absent.push((resource, why)),
        }
    }

    memory.fleets.retain(|pool, _| admitted.contains_key(pool));
    let (mut next, mut cores, mut idle, mut running) = (POLL, 0_u32, true, 0);
    for pool in &pools {
        let admitted = admitted.remove(&pool.name_any()).unwrap_or_default();
        running += admitted.len();
        let done = pool::run(context, &tenant, pool, &admitted, memory).await?;
        if done.busy {
            next = POLL_BUSY;
        }
        idle &= done.idle;
        cores = cores.saturating_add(u32::from(pool.spec.0.cores_per_pod) * u32::from(done.pods));
        for (strategy, view) in admitted.iter().zip(&done.strategies) {
            report(context, &strategy.resource, StrategyView::Assigned(view)).await?;
        }
        report_pool(context, pool, &done.view).await?;
    }
    let strategies = running + absent.len();
    for (strategy, why) in &absent {
        report(context, strategy, StrategyView::Absent(why)).await?;
    }
    if deleting {
        if idle {
            context.writer.finalizer(Kind::Tenant, name, name, FINALIZER, false).await?;
            return Ok(IDLE);
        }
        return Ok(POLL_BUSY);
    }
    let status = status::tenant(&tenant, strategies, cores, None, now());
    context.writer.status(Kind::Tenant, name, name, &status, MANAGER_STATUS).await?;
    Ok(next)
}

/// What became of a tenant's namespace.
enum Furnished {
    /// All is there.
    Done,
    /// The operator has just been given its rights there, which the apiserver takes a moment to know.
    JustLetIn,
    /// It is somebody else's, and why that is thought.
    Taken(String),
}

/// The tenant's namespace and what is in it.
async fn furnish(context: &Context, resource: &Tenant, memory: &mut Memory) -> Result<Furnished, RoundError> {
    let name = resource.name_any();
    let (writer, cache) = (&context.writer, context.cache());
    let objects = tenant::objects(resource, &context.namespace);
    if cache.get(Kind::Namespace, &name, &name).is_none() {
        writer.create(Kind::Namespace, &objects.namespace, MANAGER_TENANT).await?;
    }
    let here = match cache.typed::<Namespace>(Kind::Namespace, &name, &name) {
        Some(namespace) => Some(namespace),
        // Without the operator's label it is not watched.
        None => Api::<Namespace>::all(writer.client.clone())
            .get_opt(&name)
            .await
            .map_err(|source| RoundError::Read(name.clone(), source))?,
    };
    if here.is_some_and(|here| !tenant::is_own(&here, resource)) {
        let why = format!("the namespace {name} was there before the tenant; name the tenant differently");
        return Ok(Furnished::Taken(why));
    }
    writer.apply(Kind::Namespace, &objects.namespace, MANAGER_TENANT).await?;
    let was_let_in = cache.get(Kind::RoleBinding, &name, &objects.operator.name_any()).is_some();
    writer.apply(Kind::RoleBinding, &objects.operator, MANAGER_TENANT).await?;
    if !was_let_in {
        memory.let_in_ns = Some(mono_ns());
    }
    let since = memory.let_in_ns.map(|at_ns| Duration::from_nanos(mono_ns().saturating_sub(at_ns)));
    if since.is_some_and(|since| since < RIGHTS_KNOWN) {
        return Ok(Furnished::JustLetIn);
    }
    // What denies comes before what could be denied.
    for policy in network::policies(resource, &context.namespace) {
        writer.apply(Kind::NetworkPolicy, &policy, MANAGER_TENANT).await?;
    }
    writer.apply(Kind::ResourceQuota, &objects.quota, MANAGER_TENANT).await?;
    writer.apply(Kind::LimitRange, &objects.limits, MANAGER_TENANT).await?;
    for account in &objects.accounts {
        writer.apply(Kind::ServiceAccount, account, MANAGER_TENANT).await?;
    }
    for binding in &objects.bindings {
        writer.apply(Kind::RoleBinding, binding, MANAGER_TENANT).await?;
    }
    if cache.get(Kind::Secret, &name, ADMIN_TOKEN_SECRET).is_none() {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| RoundError::Random(error.to_string()))?;
        writer.create(Kind::Secret, &tenant::admin_token(resource, &random), MANAGER_TENANT).await?;
    }
    Ok(Furnished::Done)
}

async fn admission(
    context: &Context,
    tenant: &Tenant,
    resource: &Strategy,
    deleting: bool,
    pools: &BTreeMap<String, Vec<Admitted>>,
) -> Result<(Spec, String), Absent> {
    let spec = admit(&resource.to_file(), &tenant.spec.0).map_err(Absent::Refused)?;
    if deleting || resource.metadata.deletion_timestamp.is_some() {
        return Err(Absent::Deleting);
    }
    if spec.spec.paused {
        return Err(Absent::Paused);
    }
    if !pools.contains_key(spec.spec.pool_name()) {
        return Err(Absent::NoPool);
    }
    let module = context.modules.digest(spec.tenant(), &spec.spec.module).await.map_err(Absent::Module)?;
    Ok((spec, module))
}

async fn report(context: &Context, strategy: &Strategy, view: StrategyView<'_>) -> Result<(), RoundError> {
    let (status, events) = status::strategy(strategy, &view, now());
    let (namespace, name) = (strategy.namespace().unwrap_or_default(), strategy.name_any());
    context.writer.status(Kind::Strategy, &namespace, &name, &status, MANAGER_STATUS).await?;
    for event in events {
        context.events.tell(strategy, event).await;
    }
    Ok(())
}

async fn report_pool(context: &Context, pool: &RuntimePool, view: &PoolView) -> Result<(), RoundError> {
    let status = status::pool(pool, view, now());
    let (namespace, name) = (pool.namespace().unwrap_or_default(), pool.name_any());
    Ok(context.writer.status(Kind::RuntimePool, &namespace, &name, &status, MANAGER_STATUS).await?)
}

fn typed<T: serde::de::DeserializeOwned>(cache: &Cache, kind: Kind, tenant: &str) -> Vec<T> {
    cache.list(kind, tenant).iter().filter_map(|object| T::deserialize(object.as_ref()).ok()).collect()
}
