//! What a round has found, written into the statuses: some at a time, and figures alone at a pace that the apiserver bears.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use pinion_spec::status::StrategyStatus;

use super::pool::Done;
use super::{Admitted, Context, Memory, RoundError};
use crate::clock::{mono_ns, now};
use crate::crd::{RuntimePool, Strategy};
use crate::kinds::Kind;
use crate::names::MANAGER_STATUS;
use crate::status::{self, Absent, StrategyView};

/// Writes of one tenant's statuses at a time.
const WRITES_MAX: usize = 4;
/// How long statuses may be begun in one round: leases are renewed between.
const STATUSES_MAX: Duration = Duration::from_secs(3);
/// How often a status is written that differs in figures alone, at most.
const FIGURES_EVERY: Duration = Duration::from_secs(5);
/// Such writes of all strategies together in a second, at most: what etcd takes without anybody else noticing.
const FIGURES_A_SECOND: u32 = 20;

/// Writes the statuses of strategies and pools; those that it does not come to in time are for the next round. Returns whether it came to
/// all.
pub(super) async fn all(
    context: &Context,
    ran: &[(&RuntimePool, Vec<Admitted>, Done)],
    absent: &[(Strategy, Absent)],
    memory: &mut Memory,
) -> Result<bool, RoundError> {
    let until_ns = mono_ns().saturating_add(u64::try_from(STATUSES_MAX.as_nanos()).unwrap_or(u64::MAX));
    let assigned = ran.iter().flat_map(|(_, admitted, done)| {
        let views = done.strategies.iter().map(StrategyView::Assigned);
        admitted.iter().map(|one| &one.resource).zip(views)
    });
    let absent = absent.iter().map(|(strategy, why)| (strategy, StrategyView::Absent(why)));
    let every = pace(context.cache().count(Kind::Strategy));
    let shown_ns = &memory.shown_ns;
    let reports = assigned.chain(absent).map(|(strategy, view)| async move {
        // A thousand of them take a while, in which another tenant's halt is not to wait.
        tokio::task::yield_now().await;
        if mono_ns() > until_ns { Ok(None) } else { report(context, strategy, view, shown_ns, every).await.map(Some) }
    });
    let reports: Vec<_> = reports.collect();
    let written: Vec<Option<Option<String>>> = stream::iter(reports).buffer_unordered(WRITES_MAX).try_collect().await?;
    let now_ns = mono_ns();
    let names: BTreeSet<String> =
        ran.iter().flat_map(|(_, admitted, _)| admitted).map(|one| one.resource.name_any()).collect();
    memory.shown_ns.retain(|name, _| names.contains(name));
    let all = written.iter().all(Option::is_some);
    memory.shown_ns.extend(written.into_iter().flatten().flatten().map(|name| (name, now_ns)));
    for (pool, _, done) in ran {
        let status = status::pool(pool, &done.view, now());
        let (namespace, name) = (pool.namespace().unwrap_or_default(), pool.name_any());
        context.writer.status(Kind::RuntimePool, &namespace, &name, &status, MANAGER_STATUS).await?;
    }
    Ok(all)
}

/// Returns the strategy's name if its figures are in its status now.
async fn report(
    context: &Context,
    strategy: &Strategy,
    view: StrategyView<'_>,
    shown_ns: &BTreeMap<String, u64>,
    every: Duration,
) -> Result<Option<String>, RoundError> {
    let (status, events) = status::strategy(strategy, &view, now());
    let (namespace, name) = (strategy.namespace().unwrap_or_default(), strategy.name_any());
    let before = strategy.status.clone().unwrap_or_default();
    let since = Duration::from_nanos(mono_ns().saturating_sub(shown_ns.get(&name).copied().unwrap_or(0)));
    if since < every && without_figures(&status) == without_figures(&before) {
        return Ok(None);
    }
    let differs = status != before;
    context.writer.status(Kind::Strategy, &namespace, &name, &status, MANAGER_STATUS).await?;
    for event in events {
        context.events.tell(strategy, event);
    }
    Ok(differs.then_some(name))
}

/// How often each strategy's figures are written, so that all together are not too many.
fn pace(strategies: usize) -> Duration {
    let all = Duration::from_secs(1) * u32::try_from(strategies).unwrap_or(u32::MAX) / FIGURES_A_SECOND;
    all.max(FIGURES_EVERY)
}

/// A status without what changes while nothing happens: figures, and texts that hold some.
fn without_figures(status: &StrategyStatus) -> StrategyStatus {
    let mut status = status.clone();
    (status.latency, status.lag_seconds, status.orders_per_second) = (None, None, None);
    if let Some(scaling) = &mut status.scaling {
        scaling.reason.clear();
    }
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    status
}

#[cfg(test)]
mod tests {
    use pinion_spec::status::{Condition, ConditionStatus, ConditionType, Reason};

    use super::*;

    fn status(lag: u32, reason: Reason, message: &str) -> StrategyStatus {
        let ready = Condition {
            kind: ConditionType::Ready,
            status: ConditionStatus::False,
            reason,
            message: message.into(),
            last_transition_time: String::new(),
            observed_generation: 1,
        };
        StrategyStatus { lag_seconds: Some(lag), conditions: vec![ready], ..StrategyStatus::default() }
    }

    #[test]
    fn figures_and_texts_may_wait_and_nothing_else() {
        let is = without_figures(&status(1, Reason::InProgress, "in 7 s"));
        assert_eq!(is, without_figures(&status(2, Reason::InProgress, "in 6 s")));
        assert_ne!(is, without_figures(&status(1, Reason::Quarantined, "in 7 s")));
        assert_ne!(is, without_figures(&StrategyStatus { workers: 3, ..status(1, Reason::InProgress, "in 7 s") }));
    }

    #[test]
    fn figures_come_every_five_seconds_and_slower_where_there_are_many() {
        assert_eq!(pace(1), Duration::from_secs(5));
        assert_eq!(pace(100), Duration::from_secs(5));
        assert_eq!(pace(1_000), Duration::from_secs(50));
    }
}
