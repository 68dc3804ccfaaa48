//! Placement against its rules whatever is given, and against every other placement on small pools.

use proptest::prelude::*;

use super::*;

const SIZE: PoolSize = PoolSize { min_pods: 1, max_pods: 4, workers_per_pod: 2 };

fn demand(group: &str, shards: u16, workers: u32) -> Demand {
    Demand { group: group.into(), shards: (0..shards).collect(), workers, loads: BTreeMap::new() }
}

fn ready(pods: u16) -> Vec<Pod> {
    (0..pods).map(|ordinal| Pod { ordinal, workers: 2, state: PodState::Ready }).collect()
}

/// Shards of `current` that stay where they are.
fn kept(current: &Shards, next: &Shards) -> usize {
    let stays = |group: &String, shard: &u16, slot: &Slot| next.get(group).and_then(|to| to.get(shard)) == Some(slot);
    current.iter().map(|(group, shards)| shards.iter().filter(|(shard, slot)| stays(group, shard, slot)).count()).sum()
}

#[test]
fn each_strategy_has_its_own_workers_and_equal_numbers_of_shards_on_them() {
    let placement = place(SIZE, &[demand("a", 5, 2), demand("b", 3, 1)], &ready(2), &Shards::new());
    assert_eq!(placement.pods, 2);
    let slots = |group: &str| placement.outcomes[group].workers.clone();
    assert_eq!((slots("a").len(), slots("b").len()), (2, 1));
    assert!(slots("a").is_disjoint(&slots("b")));
    assert!(placement.outcomes.values().all(|outcome| outcome.shortage.is_none()));
}

#[test]
fn a_pool_has_as_many_pods_as_its_workers_need_within_its_bounds() {
    for (workers, pods) in [(1, 1), (2, 1), (3, 2), (8, 4), (30, 4)] {
        let placement = place(SIZE, &[demand("a", 64, workers)], &[], &Shards::new());
        assert_eq!(placement.pods, pods, "{workers} workers");
    }
    assert_eq!(place(SIZE, &[], &[], &Shards::new()).pods, 1, "minPods");
}

#[test]
fn the_largest_gives_way_first() {
    let demands = [demand("a", 8, 4), demand("b", 8, 1), demand("c", 8, 2)];
    let placement = place(PoolSize { max_pods: 2, ..SIZE }, &demands, &ready(2), &Shards::new());
    let granted: Vec<usize> = placement.outcomes.values().map(|outcome| outcome.workers.len()).collect();
    assert_eq!(granted, [2, 1, 1]);
    let shortage = placement.outcomes["a"].shortage.unwrap();
    assert_eq!(shortage, Shortage::Fewer { wanted: 4, granted: 2 });
    assert_eq!(shortage.to_string(), "2 of 4 workers: the pool has no more; raise its maxPods or coresPerPod");
}

#[test]
fn more_groups_than_workers_share_them_evenly() {
    let demands: Vec<Demand> = (0..7).map(|i| demand(&format!("g{i}"), 2, 1)).collect();
    let placement = place(PoolSize { max_pods: 1, ..SIZE }, &demands, &ready(1), &Shards::new());
    let mut on_worker: BTreeMap<Slot, usize> = BTreeMap::new();
    for outcome in placement.outcomes.values() {
        assert_eq!((outcome.workers.len(), outcome.shortage), (1, Some(Shortage::Shared)));
        *on_worker.entry(*outcome.workers.first().unwrap()).or_default() += 1;
    }
    assert_eq!(on_worker.into_values().collect::<Vec<_>>(), [4, 3]);
}

#[test]
fn workers_are_shared_evenly_even_where_that_moves_shards() {
    let demands: Vec<Demand> = (0..3).map(|i| demand(&format!("g{i}"), 2, 1)).collect();
    let crowded = Slot { pod: 0, worker: 1 };
    let here = |demand: &Demand| (demand.group.clone(), demand.shards.iter().map(|shard| (*shard, crowded)).collect());
    let current: Shards = demands.iter().map(here).collect();
    let placement = place(PoolSize { max_pods: 1, ..SIZE }, &demands, &ready(1), &current);
    assert_eq!(kept(&current, &placement.shards), 4, "two of three stay");
}

#[test]
fn what_has_no_room_is_told_so_and_is_never_one_that_runs_already() {
    let size = PoolSize { max_pods: 1, workers_per_pod: 1, ..SIZE };
    let pod = [Pod { ordinal: 0, workers: 1, state: PodState::Ready }];
    let demands: Vec<Demand> = (10..10 + DEMANDS_PER_WORKER_MAX).map(|i| demand(&format!("g{i}"), 1, 1)).collect();
    let full = place(size, &demands, &pod, &Shards::new());
    let more = [vec![demand("a-first-by-name", 1, 1)], demands].concat();
    let placement = place(size, &more, &pod, &full.shards);
    assert_eq!(placement.outcomes["a-first-by-name"].shortage, Some(Shortage::Full));
    assert_eq!(placement.shards, full.shards);
}

#[test]
fn without_a_ready_pod_nothing_is_placed_and_everything_says_why() {
    let pods = [PodState::NotReady, PodState::Draining].map(|state| Pod { ordinal: 0, workers: 2, state });
    let placement = place(SIZE, &[demand("a", 2, 1)], &pods, &Shards::new());
    assert!(placement.shards.is_empty());
    assert_eq!(placement.outcomes["a"].shortage, Some(Shortage::NoReadyPod));
}

#[test]
fn a_demand_whose_shards_are_unknown_gets_a_worker_to_find_out() {
    let placement = place(SIZE, &[demand("a", 0, 3)], &ready(1), &Shards::new());
    assert_eq!((placement.outcomes["a"].workers.len(), placement.outcomes["a"].shortage), (1, None));
    assert!(placement.shards["a"].is_empty());
}

#[test]
fn a_pod_that_is_not_needed_is_emptied_once_the_others_can_carry_it() {
    let demands = [demand("a", 2, 2)];
    let on_pod_1 = place(SIZE, &demands, &[Pod { ordinal: 1, workers: 2, state: PodState::Ready }], &Shards::new());
    assert!(on_pod_1.outcomes["a"].workers.iter().all(|slot| slot.pod == 1), "pod 0 is not there yet");
    let both = place(SIZE, &demands, &ready(2), &on_pod_1.shards);
    assert_eq!(both.pods, 1);
    assert!(both.outcomes["a"].workers.iter().all(|slot| slot.pod == 0));
}

#[test]
fn losing_a_pod_moves_its_shards_and_no_other() {
    let demands = [demand("a", 4, 2), demand("b", 4, 2), demand("c", 4, 1)];
    let mut pods = ready(4);
    let before = place(SIZE, &demands, &pods, &Shards::new());
    pods[1].state = PodState::NotReady;
    let after = place(SIZE, &demands, &pods, &before.shards);
    let elsewhere = before.shards.values().flat_map(BTreeMap::values).filter(|slot| slot.pod != 1).count();
    assert_eq!(kept(&before.shards, &after.shards), elsewhere);
    assert!(after.shards.values().flat_map(BTreeMap::values).all(|slot| slot.pod != 1));
}

#[test]
fn a_large_pool_is_placed_at_once() {
    let size = PoolSize { min_pods: 1, max_pods: 64, workers_per_pod: 16 };
    let demands: Vec<Demand> = (0..300).map(|i| demand(&format!("g{i}"), 32, 3)).collect();
    let pods: Vec<Pod> = (0..64).map(|ordinal| Pod { ordinal, workers: 16, state: PodState::Ready }).collect();
    let before = place(size, &demands, &pods, &Shards::new());
    let after = place(size, &demands, &pods[..40], &before.shards);
    let elsewhere = before.shards.values().flat_map(BTreeMap::values).filter(|slot| slot.pod < 40).count();
    assert!(kept(&before.shards, &after.shards) <= elsewhere);
}

/// A pool of up to 4 slots in 2 pods, demands of few shards, and a placement that they come from, good or bad.
fn small(shards_min: usize) -> impl Strategy<Value = (Vec<Demand>, Vec<Pod>, Shards)> {
    let pods = prop::collection::vec((1_u16..=2, prop::bool::weighted(0.8)), 1..=2).prop_map(|pods| {
        let state = |ready| if ready { PodState::Ready } else { PodState::NotReady };
        let pod = |(ordinal, (workers, ready))| Pod { ordinal, workers, state: state(ready) };
        (0..).zip(pods).map(pod).collect::<Vec<_>>()
    });
    let loads = prop::collection::btree_map(0_u16..4, 0_u32..1_000, 0..=4);
    let demand = (prop::collection::btree_set(0_u16..4, shards_min..=3), 1_u32..=3, loads);
    let slot = (0_u16..2, 0_u16..2).prop_map(|(pod, worker)| Slot { pod, worker });
    let current = prop::collection::vec(prop::collection::btree_map(0_u16..4, slot, 0..=4), 0..=3);
    (prop::collection::vec(demand, 1..=3), pods, current).prop_map(|(demands, pods, current)| {
        let name = |i: usize| format!("g{i}");
        let demands = demands.into_iter().enumerate();
        let demand = |(i, (shards, workers, loads))| Demand { group: name(i), shards, workers, loads };
        let demands = demands.map(demand).collect();
        let current = current.into_iter().enumerate().map(|(i, shards)| (name(i), shards)).collect();
        (demands, pods, current)
    })
}

/// Every way to obey the rules, with the granted numbers of workers: most shards that any of them keeps.
fn most_kept(demands: &[Demand], slots: &[Slot], granted: &[usize], per_slot: usize, current: &Shards) -> usize {
    let shards: Vec<(usize, u16)> =
        demands.iter().enumerate().flat_map(|(i, demand)| demand.shards.iter().map(move |shard| (i, *shard))).collect();
    let mut choice = vec![0; shards.len()];
    let mut most = 0;
    loop {
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for ((demand, _), slot) in shards.iter().zip(&choice) {
            *counts.entry((*demand, *slot)).or_default() += 1;
        }
        let balanced = demands.iter().enumerate().all(|(i, demand)| {
            let of: Vec<usize> = counts.iter().filter(|((owner, _), _)| *owner == i).map(|(_, count)| *count).collect();
            let (min, max) = (of.iter().min(), of.iter().max());
            demand.shards.is_empty() || (of.len() == granted[i] && max.unwrap() - min.unwrap() <= 1)
        });
        let fits = (0..slots.len()).all(|slot| counts.keys().filter(|(_, on)| *on == slot).count() <= per_slot);
        if balanced && fits {
            let stays = |((demand, shard), slot): (&(usize, u16), &usize)| {
                current.get(&demands[*demand].group).and_then(|here| here.get(shard)) == Some(&slots[*slot])
            };
            most = most.max(shards.iter().zip(&choice).filter(|pair| stays(*pair)).count());
        }
        let Some(digit) = choice.iter().position(|slot| *slot + 1 < slots.len()) else {
            return most;
        };
        choice[digit] += 1;
        choice[..digit].fill(0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn of_all_placements_that_obey_the_rules_none_moves_fewer_shards((demands, mut pods, current) in small(1)) {
        pods[0].state = PodState::Ready;
        let size = PoolSize { min_pods: 2, max_pods: 2, workers_per_pod: 2 };
        let placement = place(size, &demands, &pods, &current);
        let slots: Vec<Slot> = pods
            .iter()
            .filter(|pod| pod.state == PodState::Ready)
            .flat_map(|pod| (0..pod.workers).map(|worker| Slot { pod: pod.ordinal, worker }))
            .collect();
        let granted: Vec<usize> =
            demands.iter().map(|demand| placement.outcomes[&demand.group].workers.len()).collect();
        let per_slot = demands.len().div_ceil(slots.len());
        let most = most_kept(&demands, &slots, &granted, per_slot, &current);
        prop_assert_eq!(kept(&current, &placement.shards), most, "{:?}", placement);
    }

    #[test]
    fn the_rules_hold_and_a_second_look_changes_nothing((demands, pods, current) in small(0), max_pods in 1_u16..4) {
        let size = PoolSize { min_pods: 1, max_pods, workers_per_pod: 2 };
        let placement = place(size, &demands, &pods, &current);
        prop_assert!((1..=max_pods).contains(&placement.pods));
        let usable = |slot: &Slot| pods.iter().any(|pod| {
            pod.ordinal == slot.pod && slot.worker < pod.workers && pod.state == PodState::Ready
        });
        let mut users: BTreeMap<Slot, usize> = BTreeMap::new();
        for demand in &demands {
            let outcome = &placement.outcomes[&demand.group];
            prop_assert!(outcome.workers.len() <= demand.useful());
            let Some(shards) = placement.shards.get(&demand.group) else {
                prop_assert_eq!(outcome.shortage, Some(Shortage::NoReadyPod));
                continue;
            };
            prop_assert!(shards.keys().eq(&demand.shards), "every shard once");
            let mut counts: BTreeMap<Slot, usize> = BTreeMap::new();
            shards.values().for_each(|slot| *counts.entry(*slot).or_default() += 1);
            prop_assert!(counts.keys().all(usable));
            let (min, max) = (counts.values().min().unwrap_or(&0), counts.values().max().unwrap_or(&0));
            prop_assert!(max - min <= 1, "{:?}", counts);
            outcome.workers.iter().for_each(|slot| *users.entry(*slot).or_default() += 1);
        }
        if placement.outcomes.values().all(|outcome| outcome.shortage.is_none()) {
            prop_assert!(users.values().all(|users| *users == 1), "workers are exclusive where there are enough");
        }
        let again = place(size, &demands, &pods, &placement.shards);
        prop_assert_eq!(again.shards, placement.shards);
    }

    #[test]
    fn what_shards_cost_moves_none_of_them_by_itself(
        (mut demands, pods, current) in small(0),
        others in prop::collection::vec(prop::collection::btree_map(0_u16..4, 0_u32..1_000, 0..=4), 3),
    ) {
        let size = PoolSize { min_pods: 1, max_pods: 2, workers_per_pod: 2 };
        let placement = place(size, &demands, &pods, &current);
        demands.iter_mut().zip(others).for_each(|(demand, loads)| demand.loads = loads);
        prop_assert_eq!(place(size, &demands, &pods, &placement.shards).shards, placement.shards);
    }

    #[test]
    fn heavy_shards_are_spread_over_the_workers_that_there_come_to_be(
        heavy in prop::collection::btree_set(0_u16..12, 1..=12), before in 1_u32..=4, after in 1_u32..=8,
    ) {
        prop_assume!(after > before);
        let loads = (0..12).map(|shard| (shard, if heavy.contains(&shard) { 500 } else { 1 })).collect();
        let demand = |workers| [Demand { loads, ..demand("a", 12, workers) }];
        let grown = demand(after);
        let few = place(SIZE, &[Demand { workers: before, ..grown[0].clone() }], &ready(4), &Shards::new());
        let many = place(SIZE, &grown, &ready(4), &few.shards);
        let mut on: BTreeMap<Slot, usize> = BTreeMap::new();
        many.shards["a"].iter().filter(|(shard, _)| heavy.contains(shard)).for_each(|(_, slot)| *on.entry(*slot).or_default() += 1);
        let of_old = few.shards["a"].values().copied().collect::<BTreeSet<Slot>>();
        let most = |slots: &dyn Fn(&Slot) -> bool| on.iter().filter(|(slot, _)| slots(slot)).map(|(_, count)| *count).max().unwrap_or(0);
        let even = heavy.len().div_ceil(before as usize);
        prop_assert!(most(&|slot| of_old.contains(slot)) <= even && most(&|slot| !of_old.contains(slot)) <= even, "{on:?}");
        if before == 1 {
            prop_assert!(most(&|_| true) <= heavy.len().div_ceil(after as usize), "{on:?}");
        }
    }
}

#[test]
fn two_heavy_shards_are_parted_when_a_worker_comes() {
    let loads = BTreeMap::from([(0, 10), (1, 10), (2, 400), (3, 400)]);
    let demand = |workers| Demand { loads: loads.clone(), ..demand("a", 4, workers) };
    let one = place(SIZE, &[demand(1)], &ready(1), &Shards::new());
    let two = place(SIZE, &[demand(2)], &ready(1), &one.shards);
    assert_eq!(kept(&one.shards, &two.shards), 2, "no more than must go");
    assert_ne!(two.shards["a"][&2], two.shards["a"][&3], "{two:?}");
}

#[test]
fn workers_on_their_way_are_no_shortage_of_the_pool() {
    let placement = place(SIZE, &[demand("a", 4, 4)], &ready(1), &Shards::new());
    assert_eq!(placement.pods, 2);
    assert_eq!(placement.outcomes["a"].shortage, Some(Shortage::Starting { wanted: 4, granted: 2 }));
    let full = place(PoolSize { max_pods: 1, ..SIZE }, &[demand("a", 4, 4)], &ready(1), &Shards::new());
    assert_eq!(full.outcomes["a"].shortage, Some(Shortage::Fewer { wanted: 4, granted: 2 }));
}
