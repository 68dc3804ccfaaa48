//! The worker driven by hand decides what the worker on its thread decides, commands and faults included.

use std::fmt::Write as _;
use std::sync::Arc;

use pinion_runtime::app::{Deployment, Shards};
use pinion_runtime::egress::Outbound;
use pinion_runtime::event::Event;
use pinion_runtime::instruments::Instruments;
use pinion_runtime::limits::{FAULT_BACKOFF_NS, QUARANTINE_FAULTS};
use pinion_runtime::plan;
use pinion_runtime::playback::Playback;
use pinion_runtime::risk::Limits;
use pinion_runtime::sandbox::{Compiler, FaultKind, Lane, Module, Sandbox, SandboxConfig};
use pinion_runtime::wire::{self, Provenance};
use pinion_runtime::worker::{Command, Scope};
use pinion_spec::strategy::{Strategy, TradingState};
use pinion_tests::captures::{Capture, SPOT};
use pinion_tests::rig::{Rig, example, host_of, module, ready};
use pinion_tests::{strategies, stream};

fn loaded(name: &str, bytes: &[u8]) -> Module {
    let cache = std::env::temp_dir().join(format!("pinion-playback-{name}-{}", std::process::id()));
    let sandbox = Sandbox::new(SandboxConfig::new(cache, Compiler::Here)).unwrap();
    sandbox.load_for(bytes, Lane::Direct).unwrap()
}

fn records(strategy: &Strategy, capture: &Capture) -> Option<Vec<Vec<Event>>> {
    let mut records = Vec::new();
    stream::decoded(&capture.path()?, strategy, |record| records.push(record.to_vec()));
    Some(records)
}

fn playback(strategy: &Strategy, module: Module) -> Playback {
    let deployment = Deployment { strategy: strategy.clone(), module, shards: Shards::All };
    Playback::new(vec![deployment], |_| 1).unwrap()
}

fn take(playback: &mut Playback, orders: &mut Vec<u8>) {
    for outbound in playback.take_outbound() {
        if let Outbound::Order { order, route, origin, ts, .. } = outbound {
            wire::encode_order(&order, &Provenance { route: &route, origin, ts }, orders);
            orders.push(b'\n');
        }
    }
}

/// What happens after so many records.
#[derive(Debug, Clone, Copy)]
enum Turn {
    State(TradingState),
    Killed(bool),
    SmallerSize,
    Swap,
}

const TURNS: [(usize, Turn); 7] = [
    (10_000, Turn::State(TradingState::Halted)),
    (15_000, Turn::State(TradingState::Active)),
    (20_000, Turn::Killed(true)),
    (25_000, Turn::Killed(false)),
    (30_000, Turn::Swap),
    (40_000, Turn::SmallerSize),
    (50_000, Turn::State(TradingState::Reducing)),
];

#[test]
fn commands_between_records_do_by_hand_what_they_do_to_a_worker_on_its_thread() {
    let strategy = example("book-imbalance", &SPOT);
    let Some(records) = records(&strategy, &SPOT) else { return };
    let module = loaded("commands", &module("book-imbalance"));
    let mut smaller = strategy.spec.risk.clone().unwrap();
    smaller.max_order_size = "0.005".parse().unwrap();
    let instruments = Instruments::new(plan::instruments(&strategy).unwrap());
    let instrument_id = instruments.iter().next().unwrap().id;
    let limits = Arc::new(Limits::compile(&smaller, &instruments).unwrap());
    let fresh = || ready(module.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap(), &strategy);
    let (tenant, name) = (strategy.tenant(), &strategy.metadata.name);

    let mut rig = Rig::start(strategy.spec.inputs[0].resync, || {});
    let instance = rig.load(&strategy, fresh());
    let mut by_hand = playback(&strategy, module.clone());
    let mut orders = Vec::new();
    let mut turns = TURNS.iter().peekable();
    for (n, record) in records.iter().enumerate() {
        if let Some((_, turn)) = turns.next_if(|(at, _)| *at == n) {
            rig.settle();
            match *turn {
                Turn::State(state) => {
                    by_hand.set_trading_state(&Scope::All, state);
                    rig.command(Command::SetTradingState { scope: Scope::All, state });
                }
                Turn::Killed(killed) => {
                    by_hand.set_killed(instrument_id, killed);
                    rig.command(Command::SetKilled { instrument_id, killed });
                }
                Turn::SmallerSize => {
                    by_hand.set_limits(tenant, name, &smaller).unwrap();
                    rig.command(Command::SetLimits { id: instance.id, limits: Arc::clone(&limits) });
                }
                Turn::Swap => {
                    by_hand.swap(tenant, name, module.clone(), &strategy.spec.params).unwrap();
                    let route = Arc::clone(&instance.route);
                    let (answer, _) = crossbeam_channel::bounded(1);
                    rig.command(Command::Swap { id: instance.id, ready: fresh(), route, answer });
                }
            }
            rig.settle();
        }
        rig.push(record);
        by_hand.present(0, record, |_, _| ());
        take(&mut by_hand, &mut orders);
    }
    by_hand.stop();
    take(&mut by_hand, &mut orders);
    let on_its_thread = rig.finish();
    let count = |stream: &[u8]| stream.iter().filter(|byte| **byte == b'\n').count();
    println!("{} orders", count(&orders));
    assert!(count(&orders) > 100, "{}", count(&orders));
    let differ = orders.split(|b| *b == b'\n').zip(on_its_thread.split(|b| *b == b'\n')).position(|(a, b)| a != b);
    assert_eq!((differ, count(&orders)), (None, count(&on_its_thread)), "the first order that differs");
    let denied: u64 = by_hand.metrics(0).flat_map(|metrics| &metrics.denials).map(|count| count.get()).sum();
    assert!(denied > 100, "a halt, a kill switch and a limit deny: {denied}");
}

#[test]
fn a_fresh_guest_comes_back_after_the_back_off_in_stream_time_and_five_faults_quarantine() {
    let strategy = strategies::example("misbehaving/trap");
    let Some(records) = records(&strategy, &SPOT) else { return };
    let bytes = std::fs::read(strategy.spec.module.file.as_ref().unwrap()).unwrap();
    let mut playback = playback(&strategy, loaded("faults", &bytes));
    let mut faults = Vec::new();
    for record in &records {
        playback.present(0, record, |_, _| ());
        faults.extend(playback.take_faults());
    }
    assert_eq!(faults.len(), usize::try_from(QUARANTINE_FAULTS).unwrap());
    assert!(faults.iter().all(|fault| fault.kind == FaultKind::Trap && fault.topic == strategy.spec.inputs[0].topic));
    for (n, pair) in faults.windows(2).enumerate() {
        let back_off = FAULT_BACKOFF_NS << n;
        let apart = pair[1].ts - pair[0].ts;
        assert!((back_off..back_off + 200_000_000).contains(&apart), "{n}: {apart} ns for {back_off}");
    }
    let quarantined: String = faults.iter().fold(String::new(), |mut text, fault| {
        let _ = write!(text, "{}", u8::from(fault.quarantined));
        text
    });
    assert_eq!(quarantined, "00001");
    assert_eq!(playback.metrics(0).map(|metrics| metrics.quarantined.get()).collect::<Vec<_>>(), [1]);
}
