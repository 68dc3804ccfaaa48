//! Scaling in a closed loop: what it decides, placement places, on pods that take their time; what the workers then carry is what it
//! reads next. Loads change in steps, and between two steps it must come to rest.
//!
//! The model: each shard needs so much of a core. What a worker cannot carry waits. Decisions wait behind what their worker is busy
//! with: in a queue of service time `s` at utilisation `u` the 99th percentile is `4.6 s / (1 - u)`, of which scaling knows nothing.

use jiff::SignedDuration;
use pinion_spec::scaling::{Cooldown, ScalingTargets};
use proptest::prelude::*;

use super::*;
use crate::place::{Demand, Pod, PodState, PoolSize, Shards, place};

/// Seconds from one reading to the next.
const ROUND: i64 = 5;
const ROUND_SECONDS: f64 = 5.0;
/// Readings in which a step must have come to rest, and as many in which it then must not move.
const ROUNDS: usize = 350;
/// Records a second of every shard; what differs is what a record costs.
const RATE: f64 = 1_000.0;
/// ln 100.
const P99: f64 = 4.6;

struct World {
    size: PoolSize,
    /// Cores that each shard needs now.
    needs: Vec<f64>,
    lag: Vec<f64>,
    /// What one decision takes, microseconds.
    service_micros: f64,
    /// Rounds that a pod needs to begin.
    delay: usize,
    /// For each pod the round from which it is ready.
    pods: Vec<usize>,
    shards: Shards,
    /// Readings that are to be missed after shards have moved.
    unread: u32,
}

impl World {
    /// Places what was decided; as many pods as that needs.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    fn place(&mut self, workers: u32, round: usize) {
        let shards = 0..u16::try_from(self.needs.len()).unwrap();
        let loads = shards.clone().zip(&self.needs).map(|(shard, need)| (shard, (need * 1_000.0) as u32)).collect();
        let demand = Demand { group: "g".into(), shards: shards.collect(), workers, loads };
        let state = |ready: &usize| if *ready <= round { PodState::Ready } else { PodState::NotReady };
        let pods: Vec<Pod> = (0..)
            .zip(&self.pods)
            .map(|(ordinal, ready)| Pod { ordinal, workers: self.size.workers_per_pod, state: state(ready) })
            .collect();
        let placement = place(self.size, &[demand], &pods, &self.shards);
        self.pods.resize(usize::from(placement.pods), round + self.delay);
        if placement.shards != self.shards {
            self.unread = 2;
        }
        self.shards = placement.shards;
    }

    fn workers(&self) -> u32 {
        let slots: std::collections::BTreeSet<_> = self.shards.get("g").into_iter().flat_map(|g| g.values()).collect();
        u32::try_from(slots.len()).unwrap()
    }

    fn read(&mut self, noise: f64) -> Result<Reading, Unread> {
        let mut reading = Reading::default();
        let mut busiest = 0.0_f64;
        let Some(placed) = self.shards.get("g").filter(|placed| !placed.is_empty()) else {
            return Err(Unread::NotYet("nowhere".into()));
        };
        let slots: std::collections::BTreeSet<_> = placed.values().copied().collect();
        for slot in slots {
            let own: Vec<u16> = placed.iter().filter(|(_, on)| **on == slot).map(|(shard, _)| *shard).collect();
            let waiting = |shard: u16| RATE * noise + self.lag[usize::from(shard)] / ROUND_SECONDS;
            let need: f64 = own.iter().map(|shard| self.needs[usize::from(*shard)] * waiting(*shard) / RATE).sum();
            let served = (0.99 / need).min(1.0);
            let mut left = Vec::new();
            for shard in &own {
                let handled = waiting(*shard) * served;
                // Kafka keeps no more than a minute of it.
                let lag = ((waiting(*shard) - handled) * ROUND_SECONDS).clamp(0.0, 60.0 * RATE);
                left.push((usize::from(*shard), lag));
                reading.shards.push(ShardLoad {
                    shard: *shard,
                    slot,
                    arrivals_per_second: RATE * noise,
                    handled_per_second: handled,
                    busy: self.needs[usize::from(*shard)] * handled / RATE,
                    lag_records: lag,
                });
            }
            left.into_iter().for_each(|(shard, lag)| self.lag[shard] = lag);
            busiest = busiest.max(need.min(0.99));
        }
        reading.p99_micros = Some(P99 * self.service_micros / (1.0 - busiest) * noise);
        if self.unread > 0 {
            self.unread -= 1;
            return Err(Unread::NotYet("shards have moved".into()));
        }
        Ok(reading)
    }

    fn busiest(&self) -> f64 {
        let mut on: std::collections::BTreeMap<_, f64> = std::collections::BTreeMap::new();
        for (shard, slot) in self.shards.get("g").into_iter().flatten() {
            *on.entry(*slot).or_default() += self.needs[usize::from(*shard)];
        }
        on.into_values().fold(0.0, f64::max)
    }
}

fn at(round: usize) -> Timestamp {
    let seconds = ROUND * i64::try_from(round).unwrap();
    "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_step_of_the_load_comes_to_rest_within_the_bounds(
        shape in prop::collection::vec(0.01_f64..0.5, 1..12),
        steps in prop::collection::vec(0.05_f64..2.0, 1..4),
        noise in prop::collection::vec(-0.02_f64..0.02, 97),
        (start, step, up, down) in (1_u32..12, 1_u32..6, 0_u32..30, 0_u32..100),
        (least, most) in (1_u32..4, 4_u32..12),
        (max_pods, workers_per_pod, delay) in (1_u16..8, 1_u16..4, 0_usize..12),
        objective in prop::option::of((100_u32..1_000, 5.0_f64..60.0)),
    ) {
        let targets = ScalingTargets { p99_micros: objective.map(|(micros, _)| micros), ..ScalingTargets::default() };
        let mut spec = super::tests::spec(Scaling {
            mode: ScalingMode::Auto, min_workers: least, max_workers: most, step, targets,
            cooldown_seconds: Cooldown { up, down }, sessions: Vec::new(),
        });
        spec.replicas = start;
        let shards = u32::try_from(shape.len()).unwrap();
        let mut world = World {
            size: PoolSize { min_pods: 1, max_pods, workers_per_pod },
            needs: shape.clone(), lag: vec![0.0; shape.len()], service_micros: objective.map_or(10.0, |(_, s)| s),
            delay, pods: vec![0], shards: Shards::new(), unread: 2,
        };
        let mut memory = Memory::default();
        let mut round = 0;
        for factor in &steps {
            world.needs = shape.iter().map(|need| need * factor).collect();
            let mut history = Vec::new();
            for _ in 0..2 * ROUNDS {
                let seen = Observed { workers: world.workers(), shards, reading: world.read(1.0 + noise[round % noise.len()]), memory };
                let decision = scale(&spec, &seen, at(round));
                memory = decision.memory;
                world.place(decision.workers, round);
                prop_assert!((least.min(shards)..=most.min(shards)).contains(&decision.workers), "{decision:?}");
                prop_assert!(world.pods.len() <= usize::from(max_pods) && !world.pods.is_empty());
                history.push(decision.workers);
                round += 1;
            }
            let turns: Vec<bool> = history.windows(2).filter(|w| w[0] != w[1]).map(|w| w[1] > w[0]).collect();
            let turned = turns.windows(2).filter(|w| w[0] != w[1]).count();
            prop_assert!(turned <= 2, "{factor}: {history:?}");
            let rest = &history[ROUNDS..];
            prop_assert!(rest.iter().all(|workers| *workers == rest[0]), "{factor}: no rest in {history:?}");
            // At rest nobody is over the target, unless nothing more can be had.
            let most = most.min(shards).min(u32::from(max_pods) * u32::from(workers_per_pod));
            prop_assert!(world.busiest() <= 0.6 * 1.1 * 1.05 || world.workers() == most, "{} on {} of {most}: {:?}", world.busiest(), world.workers(), world.shards);
        }
    }
}
