//! One tenant's round: observe → scale → place → desired → apply → status.
//!
//! Promises: nothing is written or put to a pod by a process that is not the leader; a stricter trading state goes to the pods before
//! anything else; a strategy that may not run is in no document; a round in which nothing has changed writes nothing.

mod calls;
mod clear;
mod deliver;
mod halt;
mod keep;
mod pool;
mod report;
mod scrape;

pub use keep::keep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use pinion_spec::status::Reason;
use pinion_spec::strategy::Strategy as Spec;
use pinion_spec::tenant::TenantSpec;

use crate::admit::Admissions;
use crate::apply::{WriteError, Writer};
use crate::cache::Cache;
use crate::claim::{Claim, grant};
use crate::client::{ReadError, read};
use crate::clock::{mono_ns, now};
use crate::crd::{RuntimePool, Strategy, Tenant};
use crate::credentials::Credentials;
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
use crate::rollout::Rollout;
use crate::status::{self, Absent, TenantView};
use calls::Calls;

/// Keeps a Tenant or a pool until its strategies are drained.
const FINALIZER: &str = "pinion.dev/drain";
/// How often pods are asked while nothing happens.
const POLL: Duration = Duration::from_secs(2);
/// How often while something is under way.
const POLL_BUSY: Duration = Duration::from_millis(200);
/// How long what follows from a tenant alone may take: leases are renewed between.
const PART_MAX: Duration = Duration::from_secs(5);
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
    /// Knows which tenants' Kafka credentials are missing.
    pub credentials: Credentials,
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
    /// Calls to the pods of each, under way.
    calls: BTreeMap<String, Calls>,
    /// When modules were last cleared away, monotonic nanoseconds.
    cleared_ns: Option<u64>,
    /// When the operator gave itself its rights in the namespace, if it was in this term; monotonic nanoseconds.
    let_in_ns: Option<u64>,
    /// Which strategies may run, as decided before.
    admissions: Admissions,
    /// When each strategy's figures were last written into its status, monotonic nanoseconds.
    shown_ns: BTreeMap<String, u64>,
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
    Read(String, #[source] ReadError),
    /// There is no document to write.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The machine gives no random numbers.
    #[error("make a token: {0}")]
    Random(String),
    /// Kubernetes answers, but so slowly that the pods would wait for their leases.
    #[error("the tenant's namespace and what is in it took longer than {PART_MAX:?}")]
    Slow,
    /// A mistake of ours. It costs this tenant a round, and no other tenant anything.
    #[error("the round panicked: {0}")]
    Panicked(String),
}

/// A strategy, and its spec as it may run.
struct Admitted {
    resource: Strategy,
    spec: Spec,
    module: String,
    /// Why it goes on with the release that it has, where the spec's module cannot be read now.
    unread: Option<String>,
}

/// One round. Returns after how long the next is due, if nothing changes before.
///
/// # Errors
/// [`RoundError`]; what was done is kept, and the next round goes on from there.
pub async fn round(context: &Arc<Context>, name: &str, memory: &mut Memory) -> Result<Duration, RoundError> {
    let cache = context.cache();
    let strategies: Vec<Strategy> = typed(cache, Kind::Strategy, name);
    let Some(tenant) = cache.typed::<Tenant>(Kind::Tenant, name, name) else {
        let absent: Vec<_> = strategies.into_iter().map(|strategy| (strategy, Absent::NoTenant)).collect();
        if !report::all(context, &[], &absent, memory).await? {
            return Ok(POLL);
        }
        // Nobody gives its pods anything any more.
        for pool in typed::<RuntimePool>(cache, Kind::RuntimePool, name).iter().filter(|pool| is_going(*pool)) {
            context.writer.finalizer(Kind::RuntimePool, name, &pool.name_any(), FINALIZER, false).await?;
        }
        return Ok(IDLE);
    };
    halt::first(context, &tenant, &strategies, memory).await?;
    let deleting = is_going(&tenant);
    let claims: Vec<Claim> = cache.all(Kind::Tenant).iter().map(|tenant| Claim::of(tenant)).collect();
    let mine = claims.iter().find(|claim| claim.tenant == name);
    let (granted, clashes) = mine.map(|mine| grant(mine, &claims)).unwrap_or_default();
    let mut view =
        TenantView { strategies: strategies.len(), cores: 0, prefixes: granted.clone(), trouble: Vec::new() };
    if !deleting {
        context.writer.finalizer(Kind::Tenant, name, name, FINALIZER, true).await?;
        let furnished = tokio::time::timeout(PART_MAX, furnish(context, &tenant, memory)).await;
        match furnished.unwrap_or(Err(RoundError::Slow))? {
            Furnished::Done => {}
            Furnished::JustLetIn => return Ok(POLL_BUSY),
            Furnished::Taken(why) => {
                view.trouble.push((Reason::NamespaceTaken, why));
                report_tenant(context, &tenant, &view).await?;
                return Ok(POLL);
            }
        }
    }
    let missing = context.credentials.missing(name, tenant.spec.0.kafka.credentials.as_ref()).await;
    let missing = missing.map_err(|source| RoundError::Read(name.to_owned(), source))?;
    view.trouble.extend(clashes.iter().map(|clash| (Reason::PrefixTaken, clash.to_string())));
    view.trouble.extend(missing.iter().map(|missing| (Reason::MissingReference, missing.to_string())));
    let mut allowed = tenant.spec.0.clone();
    allowed.kafka.topic_prefixes = granted;

    let mut pools: Vec<RuntimePool> = typed(cache, Kind::RuntimePool, name);
    // One that has been let go is as good as gone: the watch has not said so yet.
    pools.retain(|pool| !is_going(pool) || pool.finalizers().iter().any(|one| one == FINALIZER));
    memory.fleets.retain(|name, _| pools.iter().any(|pool| pool.name_any() == *name));
    memory.calls.retain(|name, _| pools.iter().any(|pool| pool.name_any() == *name));
    // All of them are known before anything is given to one: what a pool may be given, another one's pods may still run.
    for pool in &pools {
        pool::open(context, pool, memory).await?;
    }
    let staying = pools.iter().filter(|pool| !is_going(*pool));
    let mut admitted: BTreeMap<String, Vec<Admitted>> = staying.map(|pool| (pool.name_any(), Vec::new())).collect();
    let known: BTreeSet<String> = strategies.iter().map(|strategy| strategy.name_any()).collect();
    memory.admissions.retain(&known);
    let mut absent = Vec::new();
    for resource in strategies {
        // A thousand of them take a while, in which another tenant's halt is not to wait.
        tokio::task::yield_now().await;
        match admission(context, &allowed, &resource, deleting, &admitted, memory).await {
            Ok((spec, module, unread)) => {
                let pool = admitted.entry(spec.spec.pool_name().to_owned()).or_default();
                pool.push(Admitted { resource, spec, module, unread });
            }
            Err(why) => absent.push((resource, why)),
        }
    }

    let (mut next, mut idle) = (POLL, true);
    let mut ran = Vec::new();
    for pool in &pools {
        let (pool_name, going) = (pool.name_any(), is_going(pool));
        if !deleting && !going {
            context.writer.finalizer(Kind::RuntimePool, name, &pool_name, FINALIZER, true).await?;
        }
        let admitted = admitted.remove(&pool_name).unwrap_or_default();
        let tenant = pool::TenantPart { spec: &allowed, strategies: &known, missing: missing.as_ref() };
        let done = pool::run(context, &tenant, pool, &admitted, memory).await?;
        if done.busy || going {
            next = POLL_BUSY;
        }
        idle &= done.idle;
        view.cores = view.cores.saturating_add(u32::from(pool.spec.0.cores_per_pod) * u32::from(done.pods));
        ran.push((pool, admitted, done));
    }
    // What it did not come to is for the next round.
    let all = report::all(context, &ran, &absent, memory).await?;
    for (pool, admitted, _) in ran.iter().filter(|_| all) {
        if let Some(fleet) = memory.fleets.get_mut(&pool.name_any()) {
            fleet.begun.retain(|name, _| !admitted.iter().any(|one| one.spec.metadata.name == *name));
        }
    }
    for (pool, ..) in ran.iter().filter(|(pool, _, done)| is_going(*pool) && done.idle) {
        context.writer.finalizer(Kind::RuntimePool, name, &pool.name_any(), FINALIZER, false).await?;
    }
    if deleting {
        if idle {
            // Its namespace goes after it, and would wait for them.
            for pool in &pools {
                context.writer.finalizer(Kind::RuntimePool, name, &pool.name_any(), FINALIZER, false).await?;
            }
            context.writer.finalizer(Kind::Tenant, name, name, FINALIZER, false).await?;
            return Ok(IDLE);
        }
        return Ok(POLL_BUSY);
    }
    report_tenant(context, &tenant, &view).await?;
    clear::modules(context, name, memory).await?;
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
        None => {
            let api = Api::<Namespace>::all(writer.client.clone());
            read(&writer.metrics, api.get_opt(&name)).await.map_err(|source| RoundError::Read(name.clone(), source))?
        }
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
    tenant: &TenantSpec,
    resource: &Strategy,
    deleting: bool,
    pools: &BTreeMap<String, Vec<Admitted>>,
    memory: &mut Memory,
) -> Result<(Spec, String, Option<String>), Absent> {
    let mut spec = memory.admissions.admit(resource.to_file(), tenant).map_err(Absent::Refused)?;
    if deleting || is_going(resource) {
        return Err(Absent::Deleting);
    }
    if spec.spec.paused {
        return Err(Absent::Paused);
    }
    if !pools.contains_key(spec.spec.pool_name()) {
        return Err(Absent::NoPool(spec.spec.pool_name().to_owned()));
    }
    match context.modules.digest(spec.tenant(), &spec.spec.module).await {
        Ok(module) => Ok((spec, module, None)),
        // What cannot be read now is no reason to take away what runs.
        Err(ModuleError::Read(error)) => {
            let fleet = memory.fleets.get(spec.spec.pool_name());
            // What was rolled back is what was last wanted.
            let wanted = |rollout: &Rollout| rollout.refused.clone().or_else(|| rollout.running.clone());
            let rollout = fleet.and_then(|fleet| fleet.rollouts.get(&spec.metadata.name));
            let Some(wanted) = rollout.and_then(wanted) else {
                return Err(Absent::Module(ModuleError::Read(error)));
            };
            let differs = wanted.source != spec.spec.module;
            let unread = differs.then(|| ModuleError::Read(error).to_string());
            (spec.spec.module, spec.spec.params) = (wanted.source, wanted.params);
            Ok((spec, wanted.module, unread))
        }
        Err(error) => Err(Absent::Module(error)),
    }
}

async fn report_tenant(context: &Context, tenant: &Tenant, view: &TenantView) -> Result<(), RoundError> {
    let (status, name) = (status::tenant(tenant, view, now()), tenant.name_any());
    Ok(context.writer.status(Kind::Tenant, &name, &name, &status, MANAGER_STATUS).await?)
}

fn is_going(resource: &impl kube::Resource) -> bool {
    resource.meta().deletion_timestamp.is_some()
}

fn typed<T: serde::de::DeserializeOwned>(cache: &Cache, kind: Kind, tenant: &str) -> Vec<T> {
    cache.list(kind, tenant).iter().filter_map(|object| T::deserialize(object.as_ref()).ok()).collect()
}
