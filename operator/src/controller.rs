//! Runs rounds while this process leads: those that are due, some at a time, never two of one tenant. Between rounds that fail, leases
//! are kept.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::task::JoinSet;

use crate::clock::mono_ns;
use crate::kinds::Kind;
use crate::observe::Watches;
use crate::queue::{Queue, Turn};
use crate::round::{Context, Memory, RoundError, keep, round};

/// Rounds at a time. Most of a round is waiting for answers.
const ROUNDS_MAX: usize = 16;
/// How soon the end or the beginning of a term is noticed.
const TERM_CHECK: Duration = Duration::from_millis(200);

/// A turn that has ended.
struct Ended {
    tenant: String,
    turn: Turn,
    memory: Memory,
    took: Duration,
    outcome: Result<Duration, RoundError>,
}

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
            && let Some((tenant, turn)) = queue.take(now_ns)
        {
            let memory = memories.remove(&tenant).unwrap_or_default();
            rounds.spawn(one(Arc::clone(context), tenant, turn, memory));
        }
        let full = rounds.len() >= ROUNDS_MAX;
        let wait = queue
            .next_ns()
            .filter(|_| !full)
            .map_or(TERM_CHECK, |next| Duration::from_nanos(next.saturating_sub(now_ns)).min(TERM_CHECK));
        tokio::select! {
            Some(tenant) = watches.changes.recv() => queue.add(&tenant, mono_ns()),
            Some(Ok(ended)) = rounds.join_next(), if !rounds.is_empty() => {
                finish(context, &mut queue, &ended);
                memories.insert(ended.tenant, ended.memory);
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

async fn one(context: Arc<Context>, tenant: String, turn: Turn, mut memory: Memory) -> Ended {
    let began_ns = mono_ns();
    let outcome = unless_it_panics(async {
        match turn {
            Turn::Round => round(&context, &tenant, &mut memory).await,
            Turn::Keep => keep(&context, &tenant, &mut memory).await.map(|()| Duration::ZERO),
        }
    });
    let outcome = outcome.await;
    if matches!(outcome, Err(RoundError::Panicked(_))) {
        // It may be half of something. What pods were given then counts as if a new term had begun.
        memory = Memory::default();
    }
    let took = Duration::from_nanos(mono_ns().saturating_sub(began_ns));
    Ended { tenant, turn, memory, took, outcome }
}

/// A panic is a failure of this one round: what a tenant has written must not stop the others, whose leases this process renews.
async fn unless_it_panics<T>(work: impl Future<Output = Result<T, RoundError>>) -> Result<T, RoundError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(RoundError::Panicked(text.unwrap_or_default()))
    })
}

fn finish(context: &Context, queue: &mut Queue, ended: &Ended) {
    let now_ns = mono_ns();
    let (tenant, metrics) = (ended.tenant.as_str(), &context.writer.metrics);
    match (&ended.outcome, ended.turn) {
        (Ok(_), Turn::Keep) => queue.kept(tenant, now_ns),
        (Ok(next), Turn::Round) => {
            metrics.round("done", ended.took);
            queue.succeeded(tenant, now_ns.saturating_add(u64::try_from(next.as_nanos()).unwrap_or(u64::MAX)));
        }
        (Err(error), turn) => {
            let source = std::error::Error::source(error).map(ToString::to_string);
            match turn {
                Turn::Round => {
                    metrics.round("failed", ended.took);
                    tracing::warn!(tenant, %error, source, "a round failed; trying again, and keeping leases until then");
                    queue.failed(tenant, now_ns);
                    // What the apiserver asks for is as long as it has to be.
                    if let Some(left) = context.writer.patience.left() {
                        queue.add(tenant, now_ns.saturating_add(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)));
                    }
                }
                Turn::Keep => {
                    tracing::warn!(tenant, %error, source, "leases could not be kept; trying again");
                    queue.kept(tenant, now_ns);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_round_and_no_end_of_the_process() {
        let outcome = unless_it_panics::<()>(async { panic!("an index of {}", 7) }).await;
        assert_eq!(outcome.unwrap_err().to_string(), "the round panicked: an index of 7");
        assert_eq!(unless_it_panics(async { Ok(3) }).await.unwrap(), 3);
    }
}
