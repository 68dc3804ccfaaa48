//! Which threads an event's way takes changes nothing of what comes out.

use std::path::Path;
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::limits::EPOCH_PERIOD_NS;
use pinion_spec::metrics;
use pinion_tests::captures::SPOT;
use pinion_tests::kafka::Broker;
use pinion_tests::runtime::{Runtime, is_clean};
use pinion_tests::scratch::Scratch;
use pinion_tests::strategies;
use pinion_tests::wait::until;

use crate::market::{Feeder, orders, read_to_end, record_only, topic_of, values};

/// One thread for all where there is one worker, and one for each.
const WAYS: [&[&str]; 2] = [&[], &["--threads", "dedicated"]];

#[test]
fn one_thread_for_all_and_one_for_each_send_the_same_bytes() {
    let Some((broker, market)) = topic_of(&SPOT) else { return };
    let [together, apart] = WAYS.map(|args| {
        let strategy = strategies::example_on(broker, "ema-cross", market);
        let scratch = Scratch::new();
        let file = strategies::write(&scratch, &strategy);
        let mut runtime = Runtime::start(&[&file], &broker.address(), args);
        read_to_end(&mut runtime, broker, &strategy);
        let tasks = std::fs::read_dir(format!("/proc/{}/task", runtime.id())).unwrap();
        let named = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap().trim().to_owned()
        };
        let own: Vec<String> = tasks.map(named).filter(|name| name == "egress" || name.starts_with("ingest")).collect();
        assert_eq!(own.len(), 2 * args.len().min(1), "threads of their own: {own:?}");
        assert!(is_clean(runtime.sigterm_and_wait()));
        values(&orders(broker, &strategy))
    });
    assert!(together.len() > 10, "{} orders show nothing", together.len());
    assert!(together == apart, "the order streams differ");
}

/// For a pulse to stop on a machine that does something else.
const STOPS: Duration = Duration::from_secs(20);

/// A change of so many levels, each an event: more than a ring holds.
const LEVELS: usize = 40_000;

#[test]
fn a_record_larger_than_a_ring_is_presented_whole_and_what_comes_after_it_too() {
    let Some(broker) = Broker::shared() else { return };
    let levels = vec![r#"["60000.00","1"]"#; LEVELS].join(",");
    let depth = format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1700000000125,"s":"BTCUSDT","U":1,"u":2,"b":[{levels}],"a":[]}}}}"#
    );
    let quote = r#"{"stream":"btcusdt@bookTicker","data":{"u":10,"s":"BTCUSDT","b":"60000.00","B":"1.0","a":"60000.01","A":"1.0"}}"#;
    for args in WAYS {
        let market = Broker::unique_topic("wide");
        broker.create_topic(&market, 1);
        broker.produce(&market, 0, [depth.as_str(), quote, depth.as_str(), quote]);
        let strategy = record_only(broker, &market);
        let scratch = Scratch::new();
        let file = strategies::write(&scratch, &strategy);
        let mut runtime = Runtime::start(&[&file], &broker.address(), args);
        read_to_end(&mut runtime, broker, &strategy);
        let of_kind = |kind: &str| runtime.count(&metrics::EVENTS, &[("kind", kind)]);
        assert_eq!((of_kind("book_delta"), of_kind("quote")), (2 * u64::try_from(LEVELS).unwrap(), 2), "{args:?}");
        assert!(runtime.count(&metrics::RING_FULL, &[]) > 0, "it did not fit: {args:?}");
        assert!(is_clean(runtime.sigterm_and_wait()));
        assert_eq!(orders(broker, &strategy).len(), 2, "an order for each quote: {args:?}");
    }
}

/// How often a thread of a process has gone to sleep by itself.
fn sleeps(runtime: &Runtime, name: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", runtime.id())).unwrap();
    let read = |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
    let task = tasks.map(|task| task.unwrap().path()).find(|task| read(task, "comm").trim() == name).unwrap();
    let status = read(&task, "status");
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    count.trim().parse().unwrap()
}

#[test]
fn where_nothing_comes_nothing_beats() {
    let Some(mut feeder) = Feeder::new() else { return };
    let mut strategy = record_only(feeder.broker, &feeder.market);
    // Longer than a period: it is looked at.
    strategy.spec.params.insert("work".to_owned(), "5000000".to_owned());
    strategy.spec.budget.call_micros = 500_000;
    let scratch = Scratch::new();
    let file = strategies::write(&scratch, &strategy);
    for args in WAYS {
        let mut runtime = Runtime::start_ready(&[&file], &feeder.broker.address(), args);
        let before = sleeps(&runtime, "epoch");
        feeder.feed(&mut runtime, &strategy, 200);
        assert!(sleeps(&runtime, "epoch") > before, "a clock that never beats stops nobody: {args:?}");
        let mut last = (mono_ns(), sleeps(&runtime, "epoch"));
        // Three hundred beats long.
        until("the pulse to stop", STOPS, || {
            let now = (mono_ns(), sleeps(&runtime, "epoch"));
            if now.1 != last.1 {
                last = now;
            }
            (now.0 - last.0 > 300 * EPOCH_PERIOD_NS).then_some(())
        });
        assert!(is_clean(runtime.sigterm_and_wait()));
    }
}
