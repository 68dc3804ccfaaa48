//! Scaling against inputs of every kind, and against a model whose figures follow from the workers it has.

use jiff::SignedDuration;
use pinion_spec::scaling::{Cooldown, Day, ScalingTargets, Session};
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn spec(scaling: Scaling) -> StrategySpec {
    let text = "apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata: {name: x}
spec:
  module: {file: a.wasm}
  inputs: [{topic: md, encoding: binance-spot}]
  outputs: {orders: {topic: orders}}
";
    let mut spec = pinion_spec::parse(text, "x.yaml").unwrap().remove(0).spec;
    spec.scaling = scaling;
    spec
}

fn auto_scaling() -> Scaling {
    let no_wait = Cooldown { up: 0, down: 0 };
    Scaling { mode: ScalingMode::Auto, cooldown_seconds: no_wait, step: 256, ..Scaling::default() }
}

/// Shards that handle what arrives and each need `busy` of a core.
fn even(shards: u16, busy: f64) -> Reading {
    let load =
        |shard| ShardLoad { shard, arrivals_per_second: 1_000.0, handled_per_second: 1_000.0, busy, lag_records: 0.0 };
    Reading { shards: (0..shards).map(load).collect(), p99_micros: None }
}

fn observed(workers: u32, reading: Reading) -> Observed {
    let shards = u32::try_from(reading.shards.len()).unwrap();
    Observed { workers, shards, reading: Ok(reading), memory: Memory::default() }
}

#[test]
fn the_fewest_workers_that_keep_the_busiest_under_its_target() {
    let spec = spec(auto_scaling());
    for (workers, shards, busy, expected) in
        [(1, 8, 0.5, 8), (1, 8, 0.3, 4), (1, 8, 0.1, 2), (8, 8, 0.01, 1), (2, 3, 0.25, 2), (1, 3, 0.9, 3)]
    {
        let decision = scale(&spec, &observed(workers, even(shards, busy)), at(0));
        assert_eq!(decision.workers, expected, "{shards} shards of {busy} on {workers}: {}", decision.why);
    }
}

#[test]
fn one_heavy_shard_is_not_averaged_away() {
    let mut reading = even(4, 0.01);
    reading.shards[2].busy = 0.58;
    // With 2 workers it has a light shard beside it, which the band still allows; a little more and it needs a worker alone.
    assert_eq!(scale(&spec(auto_scaling()), &observed(2, reading.clone()), at(0)).workers, 2);
    reading.shards[2].busy = 0.9;
    let decision = scale(&spec(auto_scaling()), &observed(2, reading), at(0));
    assert_eq!((decision.workers, decision.limited), (4, Some(Reason::AllShardsApart)));
}

#[test]
fn a_late_shard_asks_for_workers_enough_to_catch_up() {
    let mut reading = even(4, 0.2);
    assert_eq!(scale(&spec(auto_scaling()), &observed(2, reading.clone()), at(0)).workers, 2);
    reading.shards[3].lag_records = 200_000.0;
    let decision = scale(&spec(auto_scaling()), &observed(2, reading), at(0));
    assert_eq!((decision.workers, decision.why.to_string().as_str()), (4, "shard 3 is 200 s behind"));
}

#[test]
fn figures_that_cannot_be_read_change_nothing() {
    let mut not_a_number = even(4, 0.9);
    not_a_number.shards[0].busy = f64::NAN;
    for reading in [Err("pod-1: connection refused".to_owned()), Ok(Reading::default()), Ok(not_a_number)] {
        let observed = Observed { workers: 3, shards: 4, reading, memory: Memory::default() };
        let decision = scale(&spec(auto_scaling()), &observed, at(0));
        assert_eq!(decision.workers, 3);
        assert!(decision.why.to_string().contains("cannot be read"), "{}", decision.why);
    }
}

#[test]
fn a_figure_that_cannot_be_read_interrupts_the_time_in_which_fewer_were_enough() {
    let spec = spec(Scaling { cooldown_seconds: Cooldown { up: 0, down: 100 }, ..auto_scaling() });
    let mut seen = observed(4, even(4, 0.01));
    for second in [0, 60] {
        seen.memory = scale(&spec, &seen, at(second)).memory;
    }
    let unread = Observed { reading: Err("gone".into()), ..seen.clone() };
    seen.memory = scale(&spec, &unread, at(90)).memory;
    assert_eq!(scale(&spec, &seen, at(110)).workers, 4);
}

#[test]
fn fewer_workers_must_have_been_enough_for_the_whole_cooldown() {
    let spec = spec(Scaling { cooldown_seconds: Cooldown { up: 0, down: 100 }, ..auto_scaling() });
    let mut seen = observed(8, even(8, 0.01));
    let mut workers = Vec::new();
    for second in (0..=100).step_by(20) {
        // At 40 s two are needed: that is the most of the time, and the number it goes down to.
        seen.reading = Ok(even(8, if second == 40 { 0.12 } else { 0.01 }));
        let decision = scale(&spec, &seen, at(second));
        seen.memory = decision.memory;
        workers.push(decision.workers);
    }
    assert_eq!(workers, [8, 8, 8, 8, 8, 2]);
}

#[test]
fn no_more_than_a_step_at_once_and_up_only_after_the_cooldown() {
    let spec = spec(Scaling { step: 2, cooldown_seconds: Cooldown { up: 30, down: 0 }, ..auto_scaling() });
    let mut seen = observed(1, even(8, 0.5));
    let mut workers = Vec::new();
    for second in [0, 10, 29, 30, 60, 90, 120] {
        let decision = scale(&spec, &seen, at(second));
        (seen.workers, seen.memory) = (decision.workers, decision.memory);
        workers.push(decision.workers);
    }
    assert_eq!(workers, [3, 3, 3, 5, 7, 8, 8]);
}

#[test]
fn an_open_session_needs_no_cooldown_and_no_figures() {
    let session = Session {
        zone: "UTC".into(),
        days: vec![Day::Mon],
        open: "12:00".into(),
        close: "13:00".into(),
        min_workers: 6,
    };
    let long = Cooldown { up: 3_600, down: 3_600 };
    let spec = spec(Scaling { sessions: vec![session], cooldown_seconds: long, step: 1, ..auto_scaling() });
    let memory = Memory { changed_at: Some(at(-10)), ..Memory::default() };
    let seen = Observed { workers: 1, shards: 8, reading: Err("gone".into()), memory };
    assert_eq!(scale(&spec, &seen, at(-1)).workers, 1);
    let decision = scale(&spec, &seen, at(0));
    assert_eq!((decision.workers, decision.why.to_string().as_str()), (6, "session open in UTC: at least 6"));
}

#[test]
fn a_missed_objective_adds_a_worker_and_is_remembered_while_the_load_lasts() {
    let targets = ScalingTargets { p99_micros: Some(100), ..ScalingTargets::default() };
    let spec = spec(Scaling { targets, ..auto_scaling() });
    let with_p99 = |p99, busy| Reading { p99_micros: Some(p99), ..even(8, busy) };
    let mut seen = observed(2, with_p99(150.0, 0.1));
    let decision = scale(&spec, &seen, at(0));
    assert_eq!(decision.workers, 3, "{}", decision.why);
    // Three hold it. The load alone would be content with two, but two missed it.
    (seen.workers, seen.memory) = (3, decision.memory);
    seen.reading = Ok(with_p99(80.0, 0.1));
    let decision = scale(&spec, &seen, at(3_600));
    assert_eq!(decision.workers, 3, "{}", decision.why);
    seen.memory = decision.memory;
    seen.reading = Ok(with_p99(80.0, 0.06));
    assert_eq!(scale(&spec, &seen, at(7_200)).workers, 1, "the load has gone, and the memory with it");
}

#[test]
fn recommend_keeps_the_replicas_and_says_what_it_would_do() {
    let mut spec = spec(Scaling { mode: ScalingMode::Recommend, ..auto_scaling() });
    spec.replicas = 2;
    let decision = scale(&spec, &observed(2, even(8, 0.5)), at(0));
    assert_eq!((decision.workers, decision.recommended), (2, 8));
}

#[test]
fn fixed_is_replicas_but_never_above_the_shards() {
    let mut spec = spec(Scaling::default());
    spec.replicas = 9;
    let decision = scale(&spec, &observed(1, even(4, 0.5)), at(0));
    assert_eq!((decision.workers, decision.limited), (4, Some(Reason::AllShardsApart)));
}

fn any_figure() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..2.0, 0.0..1e6, any::<f64>()]
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let shard = (any::<u16>(), any_figure(), any_figure(), any_figure(), any_figure()).prop_map(
        |(shard, arrivals_per_second, handled_per_second, busy, lag_records)| ShardLoad {
            shard,
            arrivals_per_second,
            handled_per_second,
            busy,
            lag_records,
        },
    );
    (prop::collection::vec(shard, 0..20), prop::option::of(any_figure()))
        .prop_map(|(shards, p99_micros)| Reading { shards, p99_micros })
}

fn any_memory() -> impl Strategy<Value = Memory> {
    let time = prop::option::of((-10_000_i64..10_000).prop_map(at));
    (time.clone(), time, 0_u32..300, prop::option::of((0_u32..300, any_figure()))).prop_map(
        |(changed_at, since, highest, missed)| Memory {
            changed_at,
            low: since.map(|since| Low { since, highest }),
            missed: missed.map(|(workers, load)| Missed { workers, load }),
        },
    )
}

proptest! {
    #[test]
    fn bounds_hold_whatever_is_reported_and_remembered(
        reading in prop_oneof![any_reading().prop_map(Ok), Just(Err("gone".to_owned()))],
        memory in any_memory(),
        (workers, shards, min, max) in (0_u32..300, 0_u32..50, 1_u32..=256, 1_u32..=256),
        (step, up, down, p99) in (1_u32..=256, 0_u32..100, 0_u32..100, prop::option::of(1_u32..1_000)),
        mode in prop_oneof![Just(ScalingMode::Auto), Just(ScalingMode::Recommend)],
    ) {
        let targets = ScalingTargets { p99_micros: p99, ..ScalingTargets::default() };
        let scaling = Scaling {
            mode, min_workers: min, max_workers: max, step, targets,
            cooldown_seconds: Cooldown { up, down },
            sessions: Vec::new(),
        };
        let seen = Observed { workers, shards, reading, memory };
        let decision = scale(&spec(scaling), &seen, at(0));
        let most = if shards == 0 { max } else { max.min(shards) };
        prop_assert!(decision.recommended <= most && decision.recommended >= min.min(most));
        prop_assert!(decision.workers >= 1 && (shards == 0 || decision.workers <= shards));
        prop_assert!(decision.why.to_string().chars().count() <= 256);
    }

    #[test]
    fn figures_that_cannot_be_read_never_change_a_number_within_bounds(
        memory in any_memory(), workers in 1_u32..=8,
    ) {
        let seen = Observed { workers, shards: 8, reading: Err("gone".into()), memory };
        prop_assert_eq!(scale(&spec(auto_scaling()), &seen, at(0)).workers, workers);
    }

    /// The model: shards of uneven load, spread by count as placement does it, heaviest together. What a worker cannot carry waits
    /// and makes its shards late; p99 grows with the busiest worker as in a queue, to a law that scaling does not know.
    #[test]
    fn at_a_steady_load_it_turns_round_at_most_twice(
        loads in prop::collection::vec(0.01_f64..0.9, 1..12),
        start in 1_u32..12,
        noise in prop::collection::vec(-0.02_f64..0.02, 400),
        (step, up, down) in (1_u32..6, 0_u32..60, 0_u32..300),
        p99 in prop::option::of(20_u32..400),
        power in 0.3_f64..3.0,
    ) {
        let targets = ScalingTargets { p99_micros: p99, ..ScalingTargets::default() };
        let scaling = Scaling { step, targets, cooldown_seconds: Cooldown { up, down }, ..auto_scaling() };
        let spec = spec(scaling);
        let shards = u32::try_from(loads.len()).unwrap();
        let mut model = Model { loads, lag: vec![0.0; shards as usize], power };
        let mut seen = Observed {
            workers: start.min(shards), shards, reading: Err("not yet".into()), memory: Memory::default(),
        };
        let mut history = vec![seen.workers];
        for (round, noise) in noise.iter().enumerate() {
            seen.reading = Ok(model.run(seen.workers, 15.0, 1.0 + noise));
            let decision = scale(&spec, &seen, at(15 * i64::try_from(round).unwrap()));
            (seen.workers, seen.memory) = (decision.workers, decision.memory);
            history.push(decision.workers);
        }
        let changes: Vec<bool> = history.windows(2).filter(|w| w[0] != w[1]).map(|w| w[1] > w[0]).collect();
        let turns = changes.windows(2).filter(|w| w[0] != w[1]).count();
        prop_assert!(turns <= 2, "{history:?}");
    }
}

/// A strategy at a steady load.
struct Model {
    /// Each shard's need, cores.
    loads: Vec<f64>,
    /// Records that wait.
    lag: Vec<f64>,
    /// How steeply latency grows with load.
    power: f64,
}

impl Model {
    const RATE: f64 = 1_000.0;

    fn run(&mut self, workers: u32, seconds: f64, noise: f64) -> Reading {
        let mut heaviest: Vec<usize> = (0..self.loads.len()).collect();
        heaviest.sort_by(|a, b| self.loads[*b].total_cmp(&self.loads[*a]));
        let each = self.loads.len().div_ceil(workers as usize);
        let mut reading = Reading::default();
        let mut busiest = 0.0_f64;
        for worker in heaviest.chunks(each) {
            let need: f64 = worker
                .iter()
                .map(|shard| self.loads[*shard] * noise * (1.0 + self.lag[*shard] / (Self::RATE * seconds)))
                .sum();
            let served = (0.99 / need).min(1.0);
            for shard in worker {
                let waiting = Self::RATE * noise + self.lag[*shard] / seconds;
                let handled = waiting * served;
                self.lag[*shard] = ((waiting - handled) * seconds).max(0.0);
                reading.shards.push(ShardLoad {
                    shard: u16::try_from(*shard).unwrap(),
                    arrivals_per_second: Self::RATE * noise,
                    handled_per_second: handled,
                    busy: self.loads[*shard] * handled / Self::RATE,
                    lag_records: self.lag[*shard],
                });
            }
            busiest = busiest.max(need.min(0.99));
        }
        reading.p99_micros = Some(10.0 / (1.0 - busiest).powf(self.power) * noise);
        reading
    }
}
