//! Which worker of which pod runs each shard of a pool's strategies, and how many pods the pool needs.
//!
//! What is placed is a [`Demand`]: the strategies of one consumer group, because they read together and their offsets are
//! committed together, so shard i of all of them runs on one worker. The rule, in this order:
//! 1. only pods that are ready get anything;
//! 2. a worker serves one demand, and a demand has the workers it asks for;
//! 3. where there are fewer workers than asked for, the largest demands give way first, down to one worker each;
//! 4. where there are fewer workers than demands, demands share workers, as evenly as can be;
//! 5. a demand's workers have equal numbers of its shards, give or take one;
//! 6. of all placements that obey, one that moves the fewest shards;
//! 7. which shards move where some must, and where to, is decided by what they cost: from the heaviest down, each to the worker that has
//!    least. What shards cost moves none by itself, because a move makes an instance start afresh.

mod grant;
mod matching;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use grant::Grants;
use matching::{Matching, Unit};

/// Demands that one worker serves at most. A pod of 63 workers stays below the 1,000 strategies of an assignment.
pub const DEMANDS_PER_WORKER_MAX: usize = 15;

/// The strategies of one consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The consumer group: unique in the pool.
    pub group: String,
    /// The shards of the widest of them. Empty while the topics are not known: then one worker is found for it, whose pod
    /// finds out.
    pub shards: BTreeSet<u16>,
    /// Workers that it asks for: the most of any of them.
    pub workers: u32,
    /// What each shard costs, thousandths of a core, as far as it has been measured.
    pub loads: BTreeMap<u16, u32>,
}

impl Demand {
    /// Workers that it can use: no more than shards.
    fn useful(&self) -> usize {
        usize::try_from(self.workers).unwrap_or(usize::MAX).clamp(1, self.shards.len().max(1))
    }
}

/// One pod of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod {
    /// Its number in the StatefulSet.
    pub ordinal: u16,
    /// Its workers.
    pub workers: u16,
    /// Whether it may run anything.
    pub state: PodState,
}

/// Whether a pod may run anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodState {
    /// It answers, and is to stay.
    Ready,
    /// It does not answer, or is gone.
    NotReady,
    /// It is about to go.
    Draining,
}

/// How large a pool may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// Pods at least.
    pub min_pods: u16,
    /// Pods at most.
    pub max_pods: u16,
    /// Workers of one pod.
    pub workers_per_pod: u16,
}

/// One worker of one pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The pod's number.
    pub pod: u16,
    /// The worker's number in it.
    pub worker: u16,
}

/// Where the shards of each group run.
pub type Shards = BTreeMap<String, BTreeMap<u16, Slot>>;

/// What is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Pods that the pool is to have.
    pub pods: u16,
    /// Where each shard is to run.
    pub shards: Shards,
    /// What became of each demand.
    pub outcomes: BTreeMap<String, Outcome>,
}

/// What became of one demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its workers. Each has shards of it, but for the one of a demand whose shards are not known.
    pub workers: BTreeSet<Slot>,
    /// What it lacks.
    pub shortage: Option<Shortage>,
}

/// Why a demand has less than it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// It runs nowhere.
    #[error("no pod of the pool is ready")]
    NoReadyPod,
    /// It runs nowhere.
    #[error("every worker already serves {DEMANDS_PER_WORKER_MAX} groups; raise the pool's maxPods or coresPerPod")]
    Full,
    /// It runs, on a worker that serves others too.
    #[error("the pool has fewer workers than groups, so workers are shared; raise its maxPods or coresPerPod")]
    Shared,
    /// It runs, on fewer workers.
    #[error("{granted} of {wanted} workers: the pool has no more; raise its maxPods or coresPerPod")]
    Fewer {
        /// Workers that it could use.
        wanted: usize,
        /// Workers that it has.
        granted: usize,
    },
    /// It has fewer workers than there will be, or shares one, until pods that are on their way are ready.
    #[error("{granted} of {wanted} workers: not all pods of the pool are ready")]
    Starting {
        /// Workers that it could use.
        wanted: usize,
        /// Workers that it has.
        granted: usize,
    },
}

/// Decides. `current` is what runs now, or was last decided. A group that is named twice counts once, as the last says.
#[must_use]
pub fn place(size: PoolSize, demands: &[Demand], pods: &[Pod], current: &Shards) -> Placement {
    let demands: BTreeMap<&str, &Demand> = demands.iter().map(|demand| (demand.group.as_str(), demand)).collect();
    let demands: Vec<&Demand> = demands.into_values().collect();
    let asked: usize = demands.iter().map(|demand| demand.useful()).sum();
    let pods_wanted = pods_for(asked, size);
    let slots = slots(pods, pods_wanted, asked);
    // What it is to have is enough for all: what lacks is on its way.
    let grows = usize::from(pods_wanted) * usize::from(size.workers_per_pod) >= asked && slots.len() < asked;

    let mut placement = Placement { pods: pods_wanted, ..Placement::default() };
    let grants = Grants::of(&demands, slots.len(), current);
    let units = units(&demands, &grants, &slots, current);
    let matching = Matching::of(&units, &slots, grants.demands_per_slot);

    for (i, demand) in demands.iter().enumerate() {
        let mine: Vec<(usize, Slot)> = units
            .iter()
            .zip(&matching.slots)
            .filter(|(unit, _)| unit.demand == i)
            .filter_map(|(unit, slot)| Some((unit.shards, slots[(*slot)?])))
            .collect();
        let mut shortage = grants.shortages[i].or_else(|| mine.is_empty().then_some(Shortage::Full));
        if grows && shortage.is_some_and(|shortage| shortage != Shortage::NoReadyPod) {
            shortage = Some(Shortage::Starting { wanted: demand.useful(), granted: mine.len() });
        }
        let here = current.get(&demand.group);
        if !mine.is_empty() {
            placement.shards.insert(demand.group.clone(), spread(demand, &mine, here));
        }
        let workers = mine.into_iter().map(|(_, slot)| slot).collect();
        placement.outcomes.insert(demand.group.clone(), Outcome { workers, shortage });
    }
    placement
}

/// Pods that so many workers need.
fn pods_for(workers: usize, size: PoolSize) -> u16 {
    let needed = workers.div_ceil(usize::from(size.workers_per_pod).max(1));
    u16::try_from(needed).unwrap_or(u16::MAX).max(size.min_pods).min(size.max_pods)
}

/// The workers that may be used: those of the ready pods that are to stay, and of further ready ones while those are too few,
/// because a pod that is not needed in the end may be needed until the others are ready.
fn slots(pods: &[Pod], pods_wanted: u16, asked: usize) -> Vec<Slot> {
    let mut ready: Vec<&Pod> = pods.iter().filter(|pod| pod.state == PodState::Ready).collect();
    ready.sort_by_key(|pod| pod.ordinal);
    ready.dedup_by_key(|pod| pod.ordinal);
    let mut slots = Vec::new();
    for pod in ready {
        if pod.ordinal < pods_wanted || slots.len() < asked {
            slots.extend((0..pod.workers).map(|worker| Slot { pod: pod.ordinal, worker }));
        }
    }
    slots
}

/// Each worker that was granted, and what it would keep on each slot.
fn units(demands: &[&Demand], grants: &Grants, slots: &[Slot], current: &Shards) -> Vec<Unit> {
    let index: BTreeMap<Slot, usize> = slots.iter().enumerate().map(|(i, slot)| (*slot, i)).collect();
    let mut units = Vec::new();
    for (i, demand) in demands.iter().enumerate() {
        let granted = grants.workers[i];
        if granted == 0 {
            continue;
        }
        let mut here: BTreeMap<usize, usize> = BTreeMap::new();
        for (shard, slot) in current.get(&demand.group).into_iter().flatten() {
            if let Some(slot) = index.get(slot).filter(|_| demand.shards.contains(shard)) {
                *here.entry(*slot).or_default() += 1;
            }
        }
        let (each, larger) = (demand.shards.len() / granted, demand.shards.len() % granted);
        for worker in 0..granted {
            let shards = each + usize::from(worker < larger);
            let keeps =
                here.iter().map(|(slot, here)| (*slot, shards.min(*here))).filter(|(_, kept)| *kept > 0).collect();
            units.push(Unit { demand: i, shards, keeps });
        }
    }
    units
}

/// A worker while shards are given out.
#[derive(Debug, Default)]
struct Room {
    /// Places for shards that it has already.
    own: usize,
    /// Places for others.
    free: usize,
    /// Shards that it has and that must go.
    leaves: usize,
    /// What it has been given costs.
    load: u64,
}

/// Gives each worker its number of shards. As many as can stay where they are do; which, and where the others go, is decided from the
/// heaviest down: each goes where least is.
fn spread(demand: &Demand, workers: &[(usize, Slot)], here: Option<&BTreeMap<u16, Slot>>) -> BTreeMap<u16, Slot> {
    let mut rooms: BTreeMap<Slot, Room> = BTreeMap::new();
    for (shards, slot) in workers {
        let on_it = |shard: &&u16| here.and_then(|here| here.get(*shard)) == Some(slot);
        let present = demand.shards.iter().filter(on_it).count();
        let own = present.min(*shards);
        rooms.insert(*slot, Room { own, free: shards - own, leaves: present - own, load: 0 });
    }
    let load = |shard: &u16| demand.loads.get(shard).copied().unwrap_or(0);
    let mut order: Vec<u16> = demand.shards.iter().copied().collect();
    order.sort_by_key(|shard| (std::cmp::Reverse(load(shard)), *shard));
    let mut placed = BTreeMap::new();
    for shard in order {
        let own = here.and_then(|here| here.get(&shard)).filter(|slot| rooms.contains_key(slot)).copied();
        let roomy = rooms.iter().filter(|(_, room)| room.free > 0);
        let elsewhere = roomy.min_by_key(|(slot, room)| (room.load, **slot)).map(|(slot, room)| (*slot, room.load));
        let stays = own.and_then(|slot| rooms.get(&slot)).is_some_and(|room| {
            room.own > 0 && (room.leaves == 0 || elsewhere.is_none_or(|(_, there)| room.load <= there))
        });
        // A worker that shards must leave has no place for others, and for each that leaves there is a place elsewhere.
        let slot = if stays { own } else { elsewhere.map(|(slot, _)| slot) };
        if let (false, Some(own)) = (stays, own.and_then(|own| rooms.get_mut(&own))) {
            own.leaves = own.leaves.saturating_sub(1);
        }
        if let Some((slot, room)) = slot.and_then(|slot| Some((slot, rooms.get_mut(&slot)?))) {
            let places = if stays { &mut room.own } else { &mut room.free };
            *places = places.saturating_sub(1);
            room.load += u64::from(load(&shard));
            placed.insert(shard, slot);
        }
    }
    placed
}
