//! Runs rounds while this process leads: those that are due, some at a time, never two of one tenant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock::mono_ns;
use crate::kinds::Kind;
use crate::observe::Watches;
use crate::queue::Queue;
use crate::round::{Context, Memory, RoundError, round};

/// Rounds at a time. Most of a round is waiting for answers.
const ROUNDS_MAX: usize = 16;
/// How soon the end or the beginning of a term is noticed.
const TERM_CHECK: Duration = Duration::from_millis(200);

type Ended = (String, Memory, Duration, Result<Duration, RoundError>);

/// Works until the process ends.
pub async fn run(context: Arc<Context>, mut watches: Watches) {
    watches.synced().await;
    tracing::info!("the watches have seen everything there is");
    loop {
        let leadership = &context.writer.leadership;
        context.writer.metrics.lead(None);
        // What changes meanwhile is in the cache; every tenant has a round when the term begins.
        while leadership.epoch().is_err() {
            let _ = tokio::time::timeout(TERM_CHECK, watches.changes.recv()).await;
        }
        if let Ok(epoch) = leadership.epoch() {
            context.writer.metrics.lead(Some(epoch));
            term(&context, &mut watches, epoch).await;
        }
    }
}

/// One term: what is remembered of pods does not outlive it.
async fn term(context: &Arc<Context>, watches: &mut Watches, epoch: u64) {
    let mut queue = Queue::default();
    let mut memories: BTreeMap<String, Memory> = BTreeMap::new();
    let mut rounds: JoinSet<Ended> = JoinSet::new();
    for tenant in context.writer.cache.tenants() {
        queue.add(&tenant, 0);
    }
    while context.writer.leadership.epoch() == Ok(epoch) {
        let now_ns = mono_ns();
        while rounds.len() < ROUNDS_MAX
            && let Some(tenant) = queue.take(now_ns)
        {
            let memory = memories.remove(&tenant).unwrap_or_default();
            rounds.spawn(one(Arc::clone(context), tenant, memory));
        }
        let full = rounds.len() >= ROUNDS_MAX;
        let wait = queue
            .next_ns()
            .filter(|_| !full)
            .map_or(TERM_CHECK, |next| Duration::from_nanos(next.saturating_sub(now_ns)).min(TERM_CHECK));
        tokio::select! {
            Some(tenant) = watches.changes.recv() => queue.add(&tenant, mono_ns()),
            Some(Ok((tenant, memory, took, outcome))) = rounds.join_next(), if !rounds.is_empty() => {
                memories.insert(tenant.clone(), memory);
                finish(context, &mut queue, &tenant, took, outcome);
            }
            () = tokio::time::sleep(wait) => {}
        }
        for kind in [Kind::Tenant, Kind::RuntimePool, Kind::Strategy] {
            context.writer.metrics.resources(kind, context.writer.cache.count(kind));
        }
    }
    // Rounds of this term write nothing any more; their calls are given up.
    rounds.shutdown().await;
}

async fn one(context: Arc<Context>, tenant: String, mut memory: Memory) -> Ended {
    let began_ns = mono_ns();
    let outcome = round(&context, &tenant, &mut memory).await;
    let took = Duration::from_nanos(mono_ns().saturating_sub(began_ns));
    (tenant, memory, took, outcome)
}

fn finish(context: &Context, queue: &mut Queue, tenant: &str, took: Duration, outcome: Result<Duration, RoundError>) {
    let now_ns = mono_ns();
    match outcome {
        Ok(next) => {
            context.writer.metrics.round("done", took);
            queue.succeeded(tenant, now_ns.saturating_add(u64::try_from(next.as_nanos()).unwrap_or(u64::MAX)));
        }
        Err(error) => {
            context.writer.metrics.round("failed", took);
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(tenant, %error, source, "a round failed; trying again");
            queue.failed(tenant, now_ns);
        }
    }
}
