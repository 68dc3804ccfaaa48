//! Reads the pods' metrics now and then, and finds what they say of each strategy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;

use super::{Admitted, Context};
use crate::clock::mono_ns;
use crate::figures::{Figures, Part, Shown, reading, shown};
use crate::fleet::Fleet;
use crate::pods::Address;
use crate::scale::Reading;

/// How often a pod's metrics are read.
const EVERY: Duration = Duration::from_secs(5);
/// Older figures say nothing of now.
const FRESH: Duration = Duration::from_secs(20);

/// Reads those that are due.
pub(super) async fn scrape(context: &Context, fleet: &mut Fleet, address: &impl Fn(IpAddr) -> Option<Address>) {
    let now_ns = mono_ns();
    let calls = fleet.pods.iter().filter_map(|(name, member)| {
        let last_ns = member.scrapes.1.as_ref().map_or(0, |figures| figures.at_ns);
        let due = !member.suspect && Duration::from_nanos(now_ns.saturating_sub(last_ns)) >= EVERY;
        let address = due.then(|| address(member.ip?)).flatten()?;
        Some(async move { (name.clone(), context.pods.metrics(&address).await) })
    });
    let answers = join_all(calls.collect::<Vec<_>>()).await;
    for (name, answer) in answers {
        context.writer.metrics.called("metrics", if answer.is_ok() { "ok" } else { "failed" });
        if let (Some(member), Ok(text)) = (fleet.pods.get_mut(&name), answer) {
            member.scrapes = (member.scrapes.1.take(), Some(Figures::read(&text, mono_ns())));
        }
    }
}

/// The two scrapes of a pod, the shards that it runs, and their workers with how many groups each serves.
type Owned<'a> = (&'a Figures, &'a Figures, Vec<u16>, Vec<(u16, u32)>);

/// What the pods say of a strategy; or which of them has not said it.
pub(super) fn figures(fleet: &Fleet, namespace: &str, one: &Admitted) -> (Result<Reading, String>, Option<Shown>) {
    let name = &one.spec.metadata.name;
    let group = one.spec.group();
    let now_ns = mono_ns();
    let mut owned: Vec<Owned<'_>> = Vec::new();
    for (pod, document) in &fleet.documents {
        let Some(part) = document.strategies.iter().find(|part| part.strategy.metadata.name == *name) else { continue };
        if part.shards.is_empty() {
            continue;
        }
        let Some((Some(before), Some(after))) =
            fleet.pods.get(pod).map(|member| (&member.scrapes.0, &member.scrapes.1))
        else {
            return (Err(format!("pod {pod} has not been read twice yet")), None);
        };
        if Duration::from_nanos(now_ns.saturating_sub(after.at_ns)) > FRESH {
            return (Err(format!("the last figures of pod {pod} are old")), None);
        }
        let mut groups: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
        for other in &document.strategies {
            for shard in &other.shards {
                groups.entry(shard.worker).or_default().insert(other.strategy.group());
            }
        }
        let workers: BTreeSet<u16> = part.shards.iter().map(|shard| shard.worker).collect();
        let count =
            |worker: u16| groups.get(&worker).map_or(1, |groups| u32::try_from(groups.len()).unwrap_or(u32::MAX));
        let workers = workers.into_iter().map(|worker| (worker, count(worker))).collect();
        owned.push((before, after, part.shards.iter().map(|shard| shard.shard).collect(), workers));
    }
    if owned.is_empty() {
        return (Err("no pod runs any of it".to_owned()), None);
    }
    let parts: Vec<Part<'_>> =
        owned.iter().map(|(before, after, shards, workers)| Part { before, after, shards, workers }).collect();
    (Ok(reading(namespace, name, &group, &parts)), Some(shown(namespace, name, &group, &parts)))
}
