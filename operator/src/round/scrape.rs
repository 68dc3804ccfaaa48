//! Reads the pods' metrics now and then, and finds what they say of each strategy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::calls::{About, Calls, Outcome};
use super::{Admitted, Context};
use crate::clock::mono_ns;
use crate::figures::{Figures, Part, Shown, reading, shown};
use crate::fleet::{Fleet, Member, ordinal};
use crate::place::Slot;
use crate::pods::Address;
use crate::scale::{Reading, Unread};

/// How often a pod's metrics are read.
const EVERY: Duration = Duration::from_secs(5);
/// Older figures say nothing of now.
const FRESH: Duration = Duration::from_secs(20);
/// How long figures may not be there yet after a change: pods begin, catch up and are read twice.
const SETTLING: Duration = Duration::from_secs(60);

/// Asks for those that are due.
pub(super) fn scrape(
    context: &Arc<Context>,
    fleet: &Fleet,
    calls: &mut Calls,
    address: &impl Fn(IpAddr) -> Option<Address>,
) {
    let now_ns = mono_ns();
    for (name, member) in &fleet.pods {
        let due = !member.suspect && since(member.scraped_ns, now_ns) >= EVERY && !calls.has(name, About::Metrics);
        let Some(address) = member.ip.filter(|_| due).and_then(address) else { continue };
        let context = Arc::clone(context);
        calls.begin(name, &member.uid, About::Metrics, async move {
            Outcome::Metrics(context.pods.metrics(&address).await)
        });
    }
}

fn since(then_ns: u64, now_ns: u64) -> Duration {
    Duration::from_nanos(now_ns.saturating_sub(then_ns))
}

/// What the pods say of one strategy.
#[derive(Debug)]
pub(super) struct Seen {
    /// For the decision on its workers.
    pub(super) reading: Result<Reading, Unread>,
    /// For people.
    pub(super) shown: Option<Shown>,
}

/// The two last scrapes of a pod, and the shards of the group that it runs.
struct Source<'a> {
    pod: &'a str,
    scrapes: (&'a Figures, &'a Figures),
    shards: BTreeMap<u16, Slot>,
}

/// What the pods say of each strategy; or which of them has not said it.
pub(super) fn figures(fleet: &Fleet, pool: &str, namespace: &str, admitted: &[Admitted]) -> Vec<Seen> {
    let now_ns = mono_ns();
    let sources = sources(fleet, pool, now_ns);
    let of = |one: &Admitted| {
        let group = one.spec.group();
        let changed_ns = fleet.changed_ns.get(&group).copied().unwrap_or(fleet.began_ns);
        let own = sources.get(&group).map(Vec::as_slice).unwrap_or_default();
        seen((namespace, &one.spec.metadata.name, &group), own, changed_ns, now_ns)
    };
    admitted.iter().map(of).collect()
}

/// What the pods of a strategy's group say of it.
fn seen(
    (namespace, name, group): (&str, &str, &str),
    sources: &[Result<Source<'_>, Unread>],
    changed_ns: u64,
    now_ns: u64,
) -> Seen {
    let unread = sources.iter().rev().find_map(|source| source.as_ref().err()).cloned();
    let parts: Vec<Part<'_>> = sources
        .iter()
        .flatten()
        .map(|source| {
            let (before, after) = source.scrapes;
            Part { pod: source.pod, before, after, shards: &source.shards }
        })
        .collect();
    let moved = parts.iter().find(|part| part.before.at_ns <= changed_ns);
    let reading = match (unread, moved) {
        (Some(unread), _) => Err(unread),
        (None, Some(part)) => {
            Err(Unread::NotYet(format!("pod {} has not been read twice since shards moved", part.pod)))
        }
        (None, None) if parts.is_empty() => Err(Unread::NotYet("no pod runs any of it".to_owned())),
        (None, None) => reading(namespace, name, group, &parts),
    };
    let reading = reading.map_err(|unread| overdue(unread, changed_ns, now_ns));
    Seen { reading, shown: (!parts.is_empty()).then(|| shown(namespace, name, group, &parts)) }
}

/// What is not there long after a change does not come by itself.
fn overdue(unread: Unread, changed_ns: u64, now_ns: u64) -> Unread {
    match unread {
        Unread::NotYet(why) if since(changed_ns, now_ns) > SETTLING => Unread::Failed(why),
        unread => unread,
    }
}

/// Of each group, the pods that run shards of it.
fn sources<'a>(fleet: &'a Fleet, pool: &str, now_ns: u64) -> BTreeMap<String, Vec<Result<Source<'a>, Unread>>> {
    let mut sources: BTreeMap<String, Vec<Result<Source<'a>, Unread>>> = BTreeMap::new();
    for (pod, document) in &fleet.documents {
        let Some(number) = ordinal(pool, pod) else { continue };
        let mut groups: BTreeMap<String, BTreeMap<u16, Slot>> = BTreeMap::new();
        for part in document.strategies.iter().filter(|part| !part.shards.is_empty()) {
            let slots = part.shards.iter().map(|one| (one.shard, Slot { pod: number, worker: one.worker }));
            groups.entry(part.strategy.group()).or_default().extend(slots);
        }
        let scrapes = scrapes(pod, fleet.pods.get(pod), now_ns);
        for (group, shards) in groups {
            let source = scrapes.clone().map(|scrapes| Source { pod, scrapes, shards });
            sources.entry(group).or_default().push(source);
        }
    }
    sources
}

fn scrapes<'a>(pod: &str, member: Option<&'a Member>, now_ns: u64) -> Result<(&'a Figures, &'a Figures), Unread> {
    let why = member.and_then(|member| member.unscraped.as_deref());
    let scrapes = member.and_then(|member| Some((member.scrapes.0.as_ref()?, member.scrapes.1.as_ref()?)));
    match (scrapes, why) {
        (Some((_, after)), why) if since(after.at_ns, now_ns) > FRESH => {
            let why = why.unwrap_or("it does not answer");
            Err(Unread::Failed(format!("the last figures of pod {pod} are old: {why}")))
        }
        (Some(scrapes), _) => Ok(scrapes),
        (None, Some(why)) => Err(Unread::NotYet(format!("pod {pod} has not been read twice yet: {why}"))),
        (None, None) => Err(Unread::NotYet(format!("pod {pod} has not been read twice yet"))),
    }
}
