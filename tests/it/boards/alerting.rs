//! An alert comes with what it is about and goes when its runbook was followed: by the installed rules, only that time passes sixty
//! times faster in them.

use std::collections::BTreeMap;
use std::time::Duration;

use pinion_boards::{Pace, rules};
use pinion_spec::metrics;
use pinion_tests::kafka::Broker;
use pinion_tests::prometheus::Prometheus;
use pinion_tests::strategies;
use pinion_tests::wait::until;
use serde_json::json;

use super::scene::{self, Process};
use crate::desk::{STEP, Watch};
use crate::market::record_only;

/// A minute of the rules in a second.
const FASTER: f64 = 60.0;

fn watching(process: &Process) -> Option<Prometheus> {
    let jobs = [("pinion-runtime", vec![process.runtime.address()])];
    let prometheus = Prometheus::start(&jobs, &rules::yaml(Pace::faster(FASTER)).unwrap())?;
    until("the process to be scraped", STEP, || prometheus.down().is_empty().then_some(()));
    Some(prometheus)
}

/// Whether an alert about a strategy fires, at that severity.
fn fires(prometheus: &Prometheus, (alert, severity): (&str, &str), strategy: &str) -> bool {
    let is =
        |labels: &BTreeMap<String, String>, name: &str, value: &str| labels.get(name).is_some_and(|is| is == value);
    let mine = |labels: &BTreeMap<String, String>| is(labels, "strategy", strategy) && is(labels, "severity", severity);
    prometheus.alerts(alert).iter().any(|(labels, state)| state == "firing" && mine(labels))
}

fn comes(prometheus: &Prometheus, alert: (&str, &str), strategy: &str) {
    until(&format!("{alert:?} to fire"), STEP, || fires(prometheus, alert, strategy).then_some(()));
}

fn goes(prometheus: &Prometheus, alert: (&str, &str), strategy: &str) {
    until(&format!("{alert:?} to clear"), STEP, || (!fires(prometheus, alert, strategy)).then_some(()));
}

const QUARANTINED: (&str, &str) = ("PinionStrategyQuarantined", "critical");
const HALTED: (&str, &str) = ("PinionHaltActive", "warning");
const MISSED: (&str, &str) = ("PinionLatencyObjectiveMissed", "critical");

#[test]
fn a_quarantine_and_a_halt_raise_their_alerts_and_their_runbooks_clear_them() {
    let (Some(broker), Some(frames)) = (Broker::shared(), scene::frames()) else { return };
    let market = scene::market(broker);
    let mut trap = strategies::example_on(broker, "misbehaving/trap", &market);
    trap.spec.budget.memory_mib = 16;
    let process = Process::start(broker, &market, &[trap, record_only(broker, &market)]);
    let Some(prometheus) = watching(&process) else { return };
    let mut watch = Watch::start();
    let mut market_data = frames.chunks(200);
    let quarantined = || process.runtime.count(&metrics::STRATEGY_QUARANTINED, &[("strategy", "trap")]) == 1;
    until("the quarantine", STEP, || {
        let piece = market_data.next().expect("the capture has come to its end");
        broker.produce_frames(&market, piece.iter().map(|frame| (0, frame)));
        quarantined().then_some(())
    });
    comes(&prometheus, QUARANTINED, "trap");
    watch.lap("quarantined and told");
    process.command("/control/swap?strategy=trap", &scene::module("identity"));
    goes(&prometheus, QUARANTINED, "trap");
    watch.lap("swapped and cleared");

    assert!(!fires(&prometheus, HALTED, "record-only"));
    let state = |state: &str| json!({"state": state, "strategy": "record-only", "tenant": "default"}).to_string();
    process.command("/control/trading-state", state("HALTED").as_bytes());
    comes(&prometheus, HALTED, "record-only");
    assert!(!fires(&prometheus, HALTED, "trap"), "it is about another");
    watch.lap("halted and told");
    process.command("/control/trading-state", state("ACTIVE").as_bytes());
    goes(&prometheus, HALTED, "record-only");
    watch.lap("resumed and cleared");
}

#[test]
fn an_objective_that_is_missed_raises_its_alert_and_one_that_is_held_clears_it() {
    let (Some(broker), Some(frames)) = (Broker::shared(), scene::frames()) else { return };
    let market = scene::market(broker);
    let mut strategy = record_only(broker, &market);
    strategy.spec.scaling.targets.p99_micros = Some(1);
    let process = Process::start(broker, &market, &[strategy.clone()]);
    let Some(prometheus) = watching(&process) else { return };
    let mut watch = Watch::start();
    let mut market_data = frames.chunks(300);
    let mut load = || {
        let piece = market_data.next().expect("the capture has come to its end");
        broker.produce_frames(&market, piece.iter().map(|frame| (0, frame)));
        std::thread::park_timeout(Duration::from_millis(200));
    };
    until("the alert", STEP, || {
        load();
        fires(&prometheus, MISSED, "record-only").then_some(())
    });
    watch.lap("missed and told");
    // As the runbook says of an objective that is wrong: another one, taken over while it runs. The load goes on.
    strategy.spec.scaling.targets.p99_micros = Some(60_000_000);
    std::fs::write(&process.files[0], serde_json::to_vec_pretty(&strategy).unwrap()).unwrap();
    until("the alert's end", STEP, || {
        load();
        (!fires(&prometheus, MISSED, "record-only")).then_some(())
    });
    watch.lap("held and cleared");
    assert_eq!(process.runtime.metric(&metrics::STRATEGY_OBJECTIVE, &[]), Some(60.0));
    let decided = prometheus.now("sum(rate(pinion_latency_seconds_count{stage=\"decision\"}[5s]))").unwrap();
    assert!(decided[0].values[0].1 > 0.0, "it cleared because nothing was decided any more");
    let over = process.runtime.metric(&metrics::DECISIONS_OVER_OBJECTIVE, &[]);
    assert_eq!(over, Some(0.0), "what missed the old objective counts against the new one");
    assert!(process.runtime.log().contains("scaling changed by the file"), "the log does not say so");
}
