//! Scaling against inputs of every kind, and against a model whose figures follow from the workers it has.

use jiff::SignedDuration;
use pinion_spec::scaling::{Cooldown, Day, ScalingTargets, Session};
use proptest::prelude::*;

use super::load::Loads;
use super::*;
use crate::place::Slot;

fn at(seconds: i64) -> Timestamp {
    "2026-11-23T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(super) fn spec(scaling: Scaling) -> StrategySpec {
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
    let load = |shard| ShardLoad {
        shard,
        slot: Slot::default(),
        arrivals_per_second: 1_000.0,
        handled_per_second: 1_000.0,
        busy,
        lag_records: 0.0,
    };
    Reading { shards: (0..shards).map(load).collect(), p99_micros: None }
}

/// On so many workers, each with as many shards as the others, neighbours together.
fn observed(workers: u32, mut reading: Reading) -> Observed {
    let shards = u32::try_from(reading.shards.len()).unwrap();
    let each = shards.div_ceil(workers).max(1);
    for load in &mut reading.shards {
        load.slot = Slot { pod: u16::try_from(u32::from(load.shard) / each).unwrap(), worker: 0 };
    }
    Observed { workers, shards, reading: Ok(reading), memory: Memory::default() }
}

/// Goes on from a decision, its workers being there.
fn follow(seen: &mut Observed, decision: &Decision) {
    let reading = seen.reading.clone();
    let memory = decision.memory;
    match reading {
        Ok(reading) => *seen = Observed { memory, ..observed(decision.workers, reading) },
        Err(_) => (seen.workers, seen.memory) = (decision.workers, memory),
    }
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
    // With 2 workers it has a light shard beside it; a little more and it needs a worker alone.
    assert_eq!(scale(&spec(auto_scaling()), &observed(2, reading.clone()), at(0)).workers, 2);
    reading.shards[2].busy = 0.9;
    let decision = scale(&spec(auto_scaling()), &observed(2, reading), at(0));
    assert_eq!((decision.workers, decision.limited), (4, Some(Reason::AllShardsApart)));
}

#[test]
fn heavy_shards_that_are_apart_already_ask_for_no_more() {
    let mut reading = even(4, 0.01);
    (reading.shards[0].busy, reading.shards[2].busy) = (0.5, 0.5);
    // Neighbours are together, so the two are apart; the worst placement of two workers would have them together.
    let decision = scale(&spec(auto_scaling()), &observed(2, reading.clone()), at(0));
    assert_eq!(decision.workers, 2, "{}", decision.why);
    (reading.shards[1].busy, reading.shards[2].busy) = (0.5, 0.01);
    let decision = scale(&spec(auto_scaling()), &observed(2, reading), at(0));
    assert_eq!(decision.workers, 4, "{}", decision.why);
}

/// The example of the guide, docs/guide/scaling.md: its numbers are these.
#[test]
fn the_guides_example_is_right() {
    let mut reading = even(6, 0.10);
    reading.shards[4] = ShardLoad {
        shard: 4,
        arrivals_per_second: 3_000.0,
        handled_per_second: 2_000.0,
        busy: 0.28,
        lag_records: 24_000.0,
        ..ShardLoad::default()
    };
    // 24,000 records at 3,000/s are 8 s: late. 0.28 · (3,000 + 24,000 / 60) / 2,000 = 0.476, and with 5 · 0.10 it is 0.976.
    let loads = Loads::of(&reading, 6, 5).unwrap();
    assert_eq!(loads.latest, Some((4, 8.0)));
    let busiest: Vec<String> = (1..=6).map(|workers| format!("{:.2}", loads.busiest_of(workers))).collect();
    assert_eq!(busiest, ["0.98", "0.68", "0.58", "0.58", "0.58", "0.48"]);
    let decision = scale(&spec(auto_scaling()), &observed(1, reading), at(0));
    assert_eq!((decision.workers, decision.why.to_string().as_str()), (3, "shard 4 is 8 s behind"));
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
    let refused = Err(Unread::Failed("pod-1: connection refused".into()));
    for reading in [refused, Ok(Reading::default()), Ok(not_a_number)] {
        let observed = Observed { workers: 3, shards: 4, reading, memory: Memory::default() };
        let decision = scale(&spec(auto_scaling()), &observed, at(0));
        assert_eq!((decision.workers, decision.limited), (3, Some(Reason::ReadFailed)));
        assert!(decision.why.to_string().contains("cannot be read"), "{}", decision.why);
    }
    let reading = Err(Unread::NotYet("pod-1 has not been read twice yet".into()));
    let observed = Observed { workers: 3, shards: 4, reading, memory: Memory::default() };
    let decision = scale(&spec(auto_scaling()), &observed, at(0));
    assert_eq!((decision.workers, decision.limited), (3, None), "figures that come by themselves hold nothing back");
}

#[test]
fn workers_that_are_on_their_way_are_not_asked_for_again_and_not_taken_back() {
    let targets = ScalingTargets { p99_micros: Some(100), ..ScalingTargets::default() };
    let long = Cooldown { up: 30, down: 600 };
    let spec = spec(Scaling { targets, cooldown_seconds: long, step: 1, ..auto_scaling() });
    // One worker, and it stays one: the pool is full, or the pod takes its time.
    let mut seen = observed(1, Reading { p99_micros: Some(500.0), ..even(4, 0.2) });
    let decided: Vec<u32> = (0..20)
        .map(|round| {
            let decision = scale(&spec, &seen, at(round * 5));
            seen.memory = decision.memory;
            decision.workers
        })
        .collect();
    assert_eq!(decided, [2; 20]);
}

#[test]
fn a_new_term_goes_on_from_the_status() {
    let kept = ScalingStatus {
        recommended_workers: 3,
        changed_at: Some("2026-11-23T11:59:50Z".into()),
        missed_with: Some(2),
        missed_at_millicores: Some(800),
        ..ScalingStatus::default()
    };
    let memory = Memory::of_status(&kept);
    let missed = Some(Missed { workers: 2, load: 0.8 });
    assert_eq!(memory, Memory { decided: Some(3), changed_at: Some(at(-10)), low: None, missed });
    assert_eq!(Memory::of_status(&ScalingStatus::default()), Memory::default());
}

fn gone() -> Unread {
    Unread::Failed("gone".into())
}

#[test]
fn a_figure_that_cannot_be_read_interrupts_the_time_in_which_fewer_were_enough() {
    let spec = spec(Scaling { cooldown_seconds: Cooldown { up: 0, down: 100 }, ..auto_scaling() });
    let mut seen = observed(4, even(4, 0.01));
    for second in [0, 60] {
        seen.memory = scale(&spec, &seen, at(second)).memory;
    }
    let unread = Observed { reading: Err(gone()), ..seen.clone() };
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
        follow(&mut seen, &decision);
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
    let seen = Observed { workers: 1, shards: 8, reading: Err(gone()), memory };
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
    seen = Observed { memory: decision.memory, ..observed(3, with_p99(80.0, 0.1)) };
    let decision = scale(&spec, &seen, at(3_600));
    assert_eq!(decision.workers, 3, "{}", decision.why);
    seen = Observed { memory: decision.memory, ..observed(3, with_p99(80.0, 0.06)) };
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
            slot: Slot { pod: shard % 5, worker: shard % 2 },
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
    let workers = prop::option::of(0_u32..300);
    (workers, time.clone(), time, 0_u32..300, prop::option::of((0_u32..300, any_figure()))).prop_map(
        |(decided, changed_at, since, highest, missed)| Memory {
            decided,
            changed_at,
            low: since.map(|since| Low { since, highest }),
            missed: missed.map(|(workers, load)| Missed { workers, load }),
        },
    )
}

#[test]
fn an_absurd_figure_is_told_in_a_few_digits() {
    for seconds in [1e300, f64::INFINITY, f64::MAX] {
        assert_eq!(Why::Late { shard: 0, seconds }.to_string(), "shard 0 is 1000000000000 s behind");
    }
    assert!(Why::Busy { percent: 1e300, target: 60 }.to_string().len() < 80);
}

proptest! {
    #[test]
    fn bounds_hold_whatever_is_reported_and_remembered(
        reading in prop_oneof![any_reading().prop_map(Ok), Just(Err(gone()))],
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
        memory in any_memory(), workers in 1_u32..=8, decided in prop::option::of(1_u32..=8),
    ) {
        let memory = Memory { decided, ..memory };
        let seen = Observed { workers, shards: 8, reading: Err(gone()), memory };
        prop_assert_eq!(scale(&spec(auto_scaling()), &seen, at(0)).workers, decided.unwrap_or(workers));
    }
}
