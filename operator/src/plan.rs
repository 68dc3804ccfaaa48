//! From the strategies of a pool and what is known of its pods to what each pod is to run now: placement, less what somebody
//! else may still run.

use std::collections::{BTreeMap, BTreeSet};

use pinion_spec::strategy::Strategy;

use crate::desired::assignment::Placed;
use crate::fence::{Held, may_move};
use crate::fleet::{Fleet, ordinal};
use crate::names::pod;
use crate::place::{Demand, Placement, Pod, PoolSize, Shards, Slot, place};

/// A strategy that is to run.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// As it may run, with the release that is assigned.
    pub strategy: Strategy,
    /// Its module's digest.
    pub module: String,
    /// Workers that it is to have.
    pub workers: u32,
    /// Shards that it has; 0 while nobody knows.
    pub shards: u16,
}

/// What is to be.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What pods run now.
    pub placed: Vec<Placed>,
    /// Where everything is to end up.
    pub placement: Placement,
    /// Why strategies, by name, have not all of their shards yet.
    pub waiting: BTreeMap<String, Held>,
    /// Shards that are taken from a pod for another one now.
    pub moved: u64,
    /// Shards, by strategy, that begin now where they did not run before: their instances start afresh.
    pub begun: BTreeMap<String, Vec<u16>>,
}

/// Decides. `others` are the tenant's other pools: a strategy that is deleted there and made anew here may still run there.
#[must_use]
pub fn plan(
    pool: &str,
    size: PoolSize,
    candidates: &[Candidate],
    fleet: &Fleet,
    others: &[&Fleet],
    pods: &[Pod],
    now_ns: u64,
) -> Plan {
    let documented = documented(pool, fleet);
    let mut groups: BTreeMap<String, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry(candidate.strategy.group()).or_default().push(candidate);
    }
    let demands: Vec<Demand> = groups.iter().map(|(group, members)| demand(group, members, fleet)).collect();
    let mut current = documented.clone();
    // What is on its way stays on its way.
    current.extend(fleet.targets.iter().map(|(group, shards)| (group.clone(), shards.clone())));
    let placement = place(size, &demands, pods, &current);

    let mut plan = Plan { placement, ..Plan::default() };
    for (group, members) in &groups {
        let here = documented.get(group);
        let mut granted = BTreeMap::new();
        for (shard, slot) in plan.placement.shards.get(group).into_iter().flatten() {
            let held = match here.and_then(|here| here.get(shard)) {
                Some(before) if before.pod == slot.pod => None,
                Some(_) => {
                    plan.moved += 1;
                    Some(Held { seconds: 0 })
                }
                None => is_held(fleet, &pod(pool, slot.pod), members, *shard, now_ns)
                    .or_else(|| others.iter().find_map(|other| is_elsewhere(other, group, members, *shard, now_ns))),
            };
            match held {
                None => drop(granted.insert(*shard, *slot)),
                Some(held) => members.iter().for_each(|member| {
                    plan.waiting.insert(member.strategy.metadata.name.clone(), held);
                }),
            }
        }
        let workers = plan.placement.outcomes.get(group).map(|outcome| &outcome.workers);
        let scout = workers.and_then(|workers| workers.first()).map(|slot| slot.pod);
        for member in members {
            let begins = |(shard, slot): &(&u16, &Slot)| {
                here.and_then(|here| here.get(*shard)) != Some(*slot) || fleet.renewed.contains(&pod(pool, slot.pod))
            };
            let own = granted.iter().filter(|(shard, _)| **shard < member.shards);
            let begun: Vec<u16> = own.filter(begins).map(|(shard, _)| *shard).collect();
            if !begun.is_empty() {
                plan.begun.insert(member.strategy.metadata.name.clone(), begun);
            }
            plan.placed.push(Placed {
                strategy: member.strategy.clone(),
                module: member.module.clone(),
                shards: granted
                    .iter()
                    .filter(|(shard, _)| **shard < member.shards)
                    .map(|(s, slot)| (*s, *slot))
                    .collect(),
                scout: scout.filter(|_| member.shards == 0),
            });
        }
    }
    plan
}

fn demand(group: &str, members: &[&Candidate], fleet: &Fleet) -> Demand {
    let widest = members.iter().map(|member| member.shards).max().unwrap_or(0);
    let shards: BTreeSet<u16> = (0..widest).collect();
    let workers = members.iter().map(|member| member.workers).max().unwrap_or(1);
    let loads = fleet.loads.get(group).cloned().unwrap_or_default();
    Demand { group: group.to_owned(), shards, workers, loads }
}

/// Where the documents have each group's shards.
fn documented(pool: &str, fleet: &Fleet) -> Shards {
    let mut shards = Shards::new();
    for (name, document) in &fleet.documents {
        let Some(pod) = ordinal(pool, name) else { continue };
        for assigned in &document.strategies {
            let group = shards.entry(assigned.strategy.group()).or_default();
            group.extend(assigned.shards.iter().map(|one| (one.shard, Slot { pod, worker: one.worker })));
        }
    }
    shards
}

/// Whether somebody else may still run a shard that is in no document. A group's strategies read together, so they are held
/// together.
fn is_held(fleet: &Fleet, to: &str, members: &[&Candidate], shard: u16, now_ns: u64) -> Option<Held> {
    fleet.holders(to).find_map(|holder| {
        members.iter().find_map(|member| {
            let strategy = &member.strategy;
            may_move(&holder, strategy.tenant(), &strategy.metadata.name, shard, now_ns).err()
        })
    })
}

/// The same of another pool.
fn is_elsewhere(other: &Fleet, group: &str, members: &[&Candidate], shard: u16, now_ns: u64) -> Option<Held> {
    let assigned = other.documents.values().flat_map(|document| &document.strategies);
    let mut assigned = assigned.filter(|assigned| assigned.strategy.group() == group);
    if assigned.any(|assigned| assigned.shards.iter().any(|one| one.shard == shard)) {
        return Some(Held { seconds: 0 });
    }
    // No pod of that pool is the one that is to have it.
    is_held(other, "", members, shard, now_ns)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use pinion_spec::assignment::{Assignment, PodReport, StrategyReport, Version};
    use pinion_spec::strategy::TradingState;

    use super::*;
    use crate::desired::assignment::{Terms, documents};
    use crate::fixtures;
    use crate::fleet::Member;
    use crate::place::PodState;

    const SIZE: PoolSize = PoolSize { min_pods: 1, max_pods: 4, workers_per_pod: 1 };

    /// Monotonic nanoseconds, that many seconds after the term's begin.
    fn at(seconds: u64) -> u64 {
        (1 + seconds) * 1_000_000_000
    }

    fn candidate(workers: u32, shards: u16) -> Candidate {
        Candidate { strategy: fixtures::strategy(), module: "ab".repeat(32), workers, shards }
    }

    fn ready(pods: &[u16]) -> Vec<Pod> {
        pods.iter().map(|ordinal| Pod { ordinal: *ordinal, workers: 1, state: PodState::Ready }).collect()
    }

    /// Two pods, the first with all four shards by its document and by its word.
    fn fleet() -> Fleet {
        let none = Fleet::new(BTreeMap::new(), BTreeMap::new(), Timestamp::UNIX_EPOCH, at(0));
        let plan = plan("default", SIZE, &[candidate(1, 4)], &none, &[], &ready(&[0]), at(0));
        let made = documents("default", 2, &plan.placed, terms(), &BTreeMap::new()).unwrap();
        let mut fleet = Fleet::new(made, BTreeMap::new(), Timestamp::UNIX_EPOCH, at(0));
        says(&mut fleet, "default-0", 1, &[0, 1, 2, 3]);
        says(&mut fleet, "default-1", 1, &[]);
        fleet
    }

    fn terms() -> Terms {
        Terms { epoch: 1, lease_seconds: 60, trading_state: TradingState::Active }
    }

    fn says(fleet: &mut Fleet, pod: &str, revision: u64, shards: &[u16]) {
        let strategy = fixtures::strategy();
        let said = StrategyReport {
            namespace: strategy.tenant().into(),
            name: strategy.metadata.name,
            shards: shards.into(),
            ..StrategyReport::default()
        };
        let version = Version { epoch: 1, revision };
        let report = PodReport { version, strategies: vec![said], ..PodReport::default() };
        fleet.pods.get_mut(pod).unwrap().report = Some(report);
    }

    fn shards(documents: &BTreeMap<String, Assignment>, pod: &str) -> Vec<u16> {
        documents[pod].strategies.iter().flat_map(|one| &one.shards).map(|one| one.shard).collect()
    }

    fn round(fleet: &mut Fleet, workers: u32, pods: &[u16], now_ns: u64) -> Plan {
        let plan = plan("default", SIZE, &[candidate(workers, 4)], fleet, &[], &ready(pods), now_ns);
        fleet.documents = documents("default", 2, &plan.placed, terms(), &fleet.documents).unwrap();
        fleet.targets = plan.placement.shards.clone();
        plan
    }

    #[test]
    fn a_shard_that_moves_is_in_no_document_until_the_old_pod_says_that_it_let_go() {
        let mut fleet = fleet();
        assert_eq!(round(&mut fleet, 2, &[0, 1], at(1)).moved, 2);
        assert_eq!((shards(&fleet.documents, "default-0").len(), shards(&fleet.documents, "default-1").len()), (2, 0));
        let waiting = round(&mut fleet, 2, &[0, 1], at(2)).waiting;
        assert_eq!(waiting.len(), 1, "the old pod still runs them");
        let kept = shards(&fleet.documents, "default-0");
        says(&mut fleet, "default-0", 2, &kept);
        assert!(round(&mut fleet, 2, &[0, 1], at(3)).waiting.is_empty());
        assert_eq!(shards(&fleet.documents, "default-1").len(), 2);
    }

    #[test]
    fn a_silent_pods_shards_wait_for_the_end_of_its_lease() {
        let mut fleet = fleet();
        round(&mut fleet, 1, &[1], at(1));
        assert!(!round(&mut fleet, 1, &[1], at(71)).waiting.is_empty());
        assert!(shards(&fleet.documents, "default-1").is_empty());
        assert!(round(&mut fleet, 1, &[1], at(72)).waiting.is_empty());
        assert_eq!(shards(&fleet.documents, "default-1"), [0, 1, 2, 3]);
    }

    #[test]
    fn a_pod_that_was_never_given_anything_holds_nobody_up() {
        let mut fleet = Fleet::new(BTreeMap::new(), BTreeMap::new(), Timestamp::UNIX_EPOCH, at(0));
        fleet.pods.insert("default-1".into(), Member::new("u".into()));
        let plan = round(&mut fleet, 1, &[0], at(0));
        assert!(plan.waiting.is_empty());
        assert_eq!(shards(&fleet.documents, "default-0"), [0, 1, 2, 3]);
    }

    #[test]
    fn what_another_pool_may_still_run_is_given_to_nobody() {
        let mut other = fleet();
        let here = Fleet::new(BTreeMap::new(), BTreeMap::new(), Timestamp::UNIX_EPOCH, at(0));
        let waits = |other: &Fleet| {
            let plan = plan("fast", SIZE, &[candidate(1, 4)], &here, &[other], &ready(&[0]), at(1));
            assert_eq!(plan.placed[0].shards.is_empty(), !plan.waiting.is_empty());
            !plan.waiting.is_empty()
        };
        assert!(waits(&other), "its documents have it");
        other.documents = documents("default", 2, &[], terms(), &other.documents).unwrap();
        assert!(waits(&other), "its pod has not let go");
        says(&mut other, "default-0", 2, &[]);
        assert!(!waits(&other));
    }

    #[test]
    fn a_strategy_of_unknown_shards_is_scouted_by_one_pod() {
        let fleet = Fleet::new(BTreeMap::new(), BTreeMap::new(), Timestamp::UNIX_EPOCH, at(0));
        let plan = plan("default", SIZE, &[candidate(1, 0)], &fleet, &[], &ready(&[0, 1]), at(0));
        assert_eq!((plan.placed[0].scout, plan.placed[0].shards.len()), (Some(0), 0));
    }
}
