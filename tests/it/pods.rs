//! Pods without Kubernetes: documents put to the admin port, and what runs then.

use std::collections::BTreeMap;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::assignment::{CLOCK_HEADER, PodClock, Version};
use pinion_spec::metrics;
use pinion_spec::strategy::{Strategy, TradingState};
use pinion_tests::captures::Frame;
use pinion_tests::kafka::Broker;
use pinion_tests::pod::{Pod, document};
use pinion_tests::runtime::{START, is_clean};
use pinion_tests::wait::until;

use crate::market::{PARTITIONS, WHOLE, by_id, in_turn, orders, quotes_and_trades, record_only};

/// Quotes and trades of the spot capture over four partitions, and a strategy that decides by the record alone.
struct Scene {
    broker: &'static Broker,
    market: String,
    strategy: Strategy,
    frames: Vec<Frame>,
    produced: usize,
}

impl Scene {
    fn new() -> Option<Self> {
        let (broker, frames) = (Broker::shared()?, quotes_and_trades()?);
        let market = Broker::unique_topic("binance-spot-pods");
        broker.create_topic(&market, PARTITIONS);
        Some(Self { broker, strategy: record_only(broker, &market), market, frames, produced: 0 })
    }

    fn produce(&mut self, count: usize) {
        let piece = &self.frames[self.produced..self.produced + count];
        self.broker.produce_frames(&self.market, in_turn(self.produced, piece));
        self.produced += count;
    }

    /// Waits until all that has been produced is done and committed.
    fn committed(&self) {
        until("all to be committed", WHOLE, || {
            let committed: i64 = self.broker.committed(&self.strategy.group(), &self.market).values().sum();
            (usize::try_from(committed) == Ok(self.produced)).then_some(())
        });
    }

    fn ids(&self) -> (BTreeMap<String, Vec<u8>>, usize) {
        by_id(&orders(self.broker, &self.strategy))
    }

    /// The ids of one pod that runs all shards without a break, over the same topic.
    fn expected(&self) -> Vec<String> {
        let strategy = record_only(self.broker, &self.market);
        let mut pod = Pod::start(self.broker, "whole");
        pod.listens();
        pod.put_module(&strategy);
        pod.assign(&document("whole", 1, &strategy, &[0, 1, 2, 3]), START);
        let whole = Self { strategy, market: self.market.clone(), frames: Vec::new(), ..*self };
        whole.committed();
        assert!(is_clean(pod.runtime.sigterm_and_wait()));
        let (ids, repeats) = whole.ids();
        assert_eq!(repeats, 0);
        assert!(ids.len() > 500, "{} orders show nothing", ids.len());
        ids.into_keys().collect()
    }
}

#[test]
fn a_shard_that_moves_between_pods_under_load_loses_no_order_and_doubles_none() {
    let Some(mut scene) = Scene::new() else { return };
    let mut pods = ["a", "b"].map(|name| Pod::start(scene.broker, name));
    for pod in &mut pods {
        pod.listens();
        pod.put_module(&scene.strategy);
    }
    let [a, b] = &mut pods;
    a.assign(&document("a", 1, &scene.strategy, &[0, 1, 2, 3]), START);
    scene.produce(8_000);
    // Moved while it reads: what it has read is done before it reports that it runs them no more.
    a.assign(&document("a", 2, &scene.strategy, &[0, 1]), START);
    let report = a.report().unwrap();
    assert_eq!(report.strategies[0].shards, [0, 1]);
    assert_eq!(report.strategies[0].shards_total, 4);
    b.assign(&document("b", 1, &scene.strategy, &[2, 3]), START);
    scene.produce(8_000);
    scene.committed();
    let read = |pod: &Pod| pod.runtime.count(&metrics::RECORDS, &[]);
    assert!(read(b) >= 4_000, "the second pod has read its shards");
    // And back, to a pod that has read them before.
    b.assign(&document("b", 2, &scene.strategy, &[]), START);
    a.assign(&document("a", 3, &scene.strategy, &[0, 1, 2, 3]), START);
    scene.produce(8_000);
    scene.committed();
    for pod in pods {
        assert!(is_clean(pod.runtime.sigterm_and_wait()));
    }
    let (ids, repeats) = scene.ids();
    assert_eq!(repeats, 0, "each move was announced, so nothing is read twice");
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), scene.expected());
}

#[test]
fn a_document_that_is_older_or_for_another_pod_or_altered_is_refused_and_counted() {
    let Some(scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    assert_eq!(pod.runtime.ready().unwrap().status, 503, "no lease has come yet");
    let newest = document("a", 7, &scene.strategy, &[]);
    pod.assign(&newest, START);
    assert_eq!(pod.runtime.ready().unwrap().status, 200);

    let older = pod.put(&document("a", 6, &scene.strategy, &[0]));
    assert!(older.status == 409 && older.body.contains("revision 7 is held here"), "{older:?}");
    let altered = pod.put(&document("a", 7, &scene.strategy, &[0]));
    assert!(altered.status == 409 && altered.body.contains("other contents"), "{altered:?}");
    let anothers = pod.put(&document("b", 8, &scene.strategy, &[0]));
    assert!(anothers.status == 422 && anothers.body.contains("this is pod a"), "{anothers:?}");
    let mut wrong = document("a", 8, &scene.strategy, &[0]);
    wrong.strategies[0].strategy.spec.inputs[0].topic = "no topic".to_owned();
    let wrong = pod.put(&wrong);
    assert!(wrong.status == 422 && wrong.body.contains("topic"), "{wrong:?}");
    // A new leader's first document is newer than any of the old one's.
    let mut deposed = newest.clone();
    deposed.version = Version { epoch: 2, revision: 1 };
    pod.assign(&deposed, START);
    assert_eq!(pod.put(&newest).status, 409);
    assert_eq!(pod.runtime.count(&metrics::ASSIGNMENTS_REFUSED, &[]), 5);
    assert_eq!(pod.runtime.count(&metrics::ASSIGNMENT_EPOCH, &[]), 2);
    let direct = pod.runtime.post_bytes("/control/unload", br#"{"strategy":"record-only"}"#);
    assert!(direct.status == 409 && direct.body.contains("assigned by the operator"), "{direct:?}");
    assert!(is_clean(pod.runtime.sigterm_and_wait()));
}

#[test]
fn a_module_that_is_missing_is_named_and_its_strategy_runs_once_it_has_been_put() {
    let Some(scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    let wanted = document("a", 1, &scene.strategy, &[0]);
    assert_eq!(pod.put(&wanted).status, 200);
    let report = until("the missing module", START, || pod.report().filter(|said| !said.missing_modules.is_empty()));
    assert_eq!(report.missing_modules, [wanted.strategies[0].module.clone()]);
    assert!(report.strategies[0].problem.as_ref().unwrap().contains("has not been put here"), "{report:?}");
    assert!(!report.settled);
    let other = pod.runtime.put_bytes(&format!("/control/modules/{}", "0".repeat(64)), b"another");
    assert!(other.status == 422 && other.body.contains("digest"), "{other:?}");
    pod.put_module(&scene.strategy);
    pod.settles(wanted.version, START);
    assert!(is_clean(pod.runtime.sigterm_and_wait()));
}

#[test]
fn a_halt_takes_effect_before_the_answer_to_its_document() {
    let Some(mut scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    pod.put_module(&scene.strategy);
    let mut wanted = document("a", 1, &scene.strategy, &[0, 1, 2, 3]);
    pod.assign(&wanted, START);
    scene.produce(4_000);
    scene.committed();
    let before = scene.ids().0.len();
    assert!(before > 0);

    wanted.version.revision = 2;
    wanted.trading_state = TradingState::Halted;
    let asked = mono_ns();
    assert_eq!(pod.put(&wanted).status, 200);
    let took = Duration::from_nanos(mono_ns() - asked);
    scene.produce(4_000);
    scene.committed();
    assert_eq!(scene.ids().0.len(), before, "an order after the halt");
    println!("halted in {took:?}");
    wanted.version.revision = 3;
    wanted.trading_state = TradingState::Active;
    pod.assign(&wanted, START);
    scene.produce(4_000);
    scene.committed();
    assert!(scene.ids().0.len() > before);
    assert!(is_clean(pod.runtime.sigterm_and_wait()));
}

#[test]
fn a_pod_that_was_stopped_past_its_lease_consumes_nothing_more_and_its_successor_repeats_its_ids() {
    let Some(mut scene) = Scene::new() else { return };
    let mut stale = Pod::start(scene.broker, "stale");
    let mut next = Pod::start(scene.broker, "next");
    for pod in [&mut stale, &mut next] {
        pod.listens();
        pod.put_module(&scene.strategy);
    }
    let mut short = document("stale", 1, &scene.strategy, &[0, 1, 2, 3]);
    short.lease_seconds = 6;
    stale.assign(&short, START);
    scene.produce(6_000);
    // In mid-stream: rings and the client's queues are full of what it has not looked at.
    until("it to read", START, || (stale.runtime.count(&metrics::RECORDS, &[]) > 1_000).then_some(()));
    stale.runtime.freeze();
    let frozen = mono_ns();
    let over = frozen + u64::from(short.lease_seconds) * 1_000_000_000;
    until("the lease to run out", START, || (mono_ns() > over).then_some(()));
    next.assign(&document("next", 1, &scene.strategy, &[0, 1, 2, 3]), START);
    scene.produce(6_000);
    scene.committed();
    let (before, _) = scene.ids();
    stale.runtime.go_on();
    let status = stale.runtime.wait();
    assert_eq!(status.code(), Some(75), "it ends because its lease has run out");
    scene.committed();
    let (after, repeats) = scene.ids();
    assert_eq!(before.len(), after.len(), "a new order came from the stale pod");
    println!("{} orders, {repeats} repeated", after.len());
    assert!(is_clean(next.runtime.sigterm_and_wait()));
    assert_eq!(after.into_keys().collect::<Vec<_>>(), scene.expected());
}

#[test]
fn a_renewal_that_lay_in_a_stopped_pods_socket_gives_no_lease_from_when_it_wakes() {
    let Some(scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    let mut short = document("a", 1, &scene.strategy, &[]);
    short.lease_seconds = 10;
    let clock = pod.runtime.clock();
    assert_eq!(pod.put_from(&short, &clock).status, 200);
    pod.runtime.freeze();
    let wakes_ns = clock.ns + 8_000_000_000;
    std::thread::scope(|scope| {
        let renewal = scope.spawn(|| pod.put_from(&short, &clock));
        until("a renewal to be old", START, || (mono_ns() >= wakes_ns).then_some(()));
        assert!(!renewal.is_finished(), "it is answered by a pod that is stopped");
        pod.runtime.go_on();
        assert_eq!(renewal.join().unwrap().status, 200);
    });
    let asked_ns = mono_ns();
    let left = pod.runtime.metric(&metrics::LEASE, &[]).expect("a lease");
    // Its clock is this machine's.
    let at_least_until = Duration::from_nanos(asked_ns - clock.ns).as_secs_f64() + left;
    assert!(at_least_until <= 10.001, "the lease lasts {at_least_until} s from the time that the pod told");
    assert_eq!(pod.runtime.wait().code(), Some(75));
}

#[test]
fn a_lease_counts_only_from_a_time_that_the_pod_has_told() {
    let Some(scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    let wanted = document("a", 1, &scene.strategy, &[]);
    let body = serde_json::to_vec(&wanted).unwrap();
    let told = pod.runtime.clock();
    let elsewhere = PodClock { clock: format!("{}0", told.clock), ..told.clone() };
    let to_come = PodClock { ns: u64::MAX, ..told.clone() };
    for (clock, status) in [(String::new(), 422), (elsewhere.to_string(), 409), (to_come.to_string(), 409)] {
        let answer = pod.runtime.put_assignment(&body, &clock);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(CLOCK_HEADER), "{answer:?}");
    }
    assert_eq!(pod.report().unwrap().version, Version::default(), "it holds a document");
    assert_eq!(pod.put_from(&wanted, &told).status, 200);
    // So old that the lease would be over: the document is taken, and the lease that there is stays.
    let left = || pod.runtime.metric(&metrics::LEASE, &[]).expect("a lease");
    let before = left();
    assert_eq!(pod.put_from(&wanted, &PodClock { ns: 0, ..told }).status, 200);
    assert!(left() > before - 30.0, "{before}");
}

#[test]
fn a_process_that_is_killed_goes_on_alone_under_its_lease() {
    let Some(mut scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    pod.put_module(&scene.strategy);
    let wanted = document("a", 1, &scene.strategy, &[0, 1, 2, 3]);
    pod.assign(&wanted, START);
    scene.produce(6_000);
    let mut pod = pod.kill9_and_restart(scene.broker);
    pod.settles(wanted.version, START);
    scene.produce(6_000);
    scene.committed();
    assert!(is_clean(pod.runtime.sigterm_and_wait()));
    let (ids, _) = scene.ids();
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), scene.expected());
}

#[test]
fn a_strategy_without_shards_is_scouted_and_strategies_of_one_group_move_together() {
    let Some(mut scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    pod.put_module(&scene.strategy);
    let scout = document("a", 1, &scene.strategy, &[]);
    pod.assign(&scout, START);
    let report = pod.report().unwrap();
    assert_eq!((report.strategies[0].shards_total, report.strategies[0].shards.len()), (4, 0), "{report:?}");

    let mut both = document("a", 2, &scene.strategy, &[1, 2]);
    let mut second = record_only(scene.broker, &scene.market);
    second.metadata.name = "second".to_owned();
    second.spec.inputs[0].group = scene.strategy.spec.inputs[0].group.clone();
    second.spec.outputs.dead_letter = scene.strategy.spec.outputs.dead_letter.clone();
    both.strategies.extend(document("a", 2, &second, &[1, 2]).strategies);
    pod.assign(&both, START);
    both.version.revision = 3;
    for assigned in &mut both.strategies {
        assigned.shards = document("a", 3, &second, &[0, 1, 2, 3]).strategies.remove(0).shards;
    }
    pod.assign(&both, START);
    scene.produce(8_000);
    scene.committed();
    let records = pod.runtime.count(&metrics::RECORDS, &[]);
    assert_eq!(records, 8_000, "the group is read once for both");
    assert!(is_clean(pod.runtime.sigterm_and_wait()));
    let sent = scene.ids().0.len();
    assert!(sent > 0);
    assert_eq!(by_id(&orders(scene.broker, &second)).0.len(), sent);
}

#[test]
fn another_objective_is_taken_over_while_the_strategy_goes_on() {
    let Some(mut scene) = Scene::new() else { return };
    let mut pod = Pod::start(scene.broker, "a");
    pod.listens();
    pod.put_module(&scene.strategy);
    let mut wanted = document("a", 1, &scene.strategy, &[0, 1, 2, 3]);
    pod.assign(&wanted, START);
    scene.produce(2_000);
    scene.committed();
    let objective = |pod: &Pod| pod.runtime.metric(&metrics::STRATEGY_OBJECTIVE, &[]);
    assert_eq!(objective(&pod), None);
    wanted.version.revision = 2;
    wanted.strategies[0].strategy.spec.scaling.targets.p99_micros = Some(250);
    pod.assign(&wanted, START);
    assert_eq!(objective(&pod), Some(0.000_25));
    // A feed that had begun anew would count from 0.
    assert_eq!(pod.runtime.count(&metrics::RECORDS, &[]), 2_000);
    assert!(is_clean(pod.runtime.sigterm_and_wait()));
}
