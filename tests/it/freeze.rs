//! The apiserver or etcd gets no time for 20 s: what runs goes on, no two operators write at once, and afterwards all converges.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_tests::bounds;
use pinion_tests::kafka::Broker;
use pinion_tests::kube::{Call, Cluster, FaultProxy, Part, Tier};
use pinion_tests::operator::Operator;
use pinion_tests::wait::until;
use serde_json::json;

use crate::desk::{Desk, becomes, pool, reachable_pods, setup, tenant};
use crate::stage::{STEP, stage};

const FROZEN: Duration = Duration::from_secs(20);

/// From the end of the freeze until the operator does again what it is told.
const CONVERGED: Duration = Duration::from_secs(15);

fn since(ns: u64) -> Duration {
    Duration::from_nanos(mono_ns() - ns)
}

fn leads(operator: &Operator) -> bool {
    operator.metric(&metrics::OPERATOR_LEADER, &[]) == 1.0
}

fn status(operator: &Operator, path: &str) -> u16 {
    operator.get(path).map_or(0, |answer| answer.status)
}

/// Each write was sent by who had last been granted the Lease. Returns how many there were.
fn only_the_holder_writes(proxies: [&FaultProxy; 2]) -> usize {
    let calls: Vec<(usize, Call)> =
        (0..).zip(proxies).flat_map(|(who, proxy)| proxy.calls().into_iter().map(move |call| (who, call))).collect();
    let mut grants: Vec<(u64, usize)> = calls
        .iter()
        .filter(|(_, call)| call.is_lease() && call.method != "GET" && matches!(call.status, Some(200 | 201)))
        .filter_map(|(who, call)| Some((call.answered_ns?, *who)))
        .collect();
    grants.sort_unstable();
    let writes: Vec<&(usize, Call)> = calls.iter().filter(|(_, call)| call.is_write()).collect();
    for (who, call) in &writes {
        let holder = grants.iter().rev().find(|(at_ns, _)| *at_ns <= call.at_ns).map(|(_, holder)| holder);
        // An event is news, not a decision: it may come from who was the holder a moment ago.
        assert!(
            holder == Some(who) || call.path.contains("/events"),
            "{holder:?} holds the lease, {who} writes {call:?}"
        );
    }
    println!("  {} writes, {} grants of the lease, each write by its holder", writes.len(), grants.len());
    writes.len()
}

/// Both operators see for themselves that nobody answers: neither leads, neither is ready, both live on.
fn nobody_leads(operators: [&Operator; 2], frozen_ns: u64) {
    until("no leader", STEP, || (!operators.into_iter().any(leads)).then_some(()));
    println!("  no leader after {:.1?}", since(frozen_ns));
    until("nobody to be ready", STEP, || operators.iter().all(|one| status(one, "/ready") == 503).then_some(()));
    println!("  not ready after {:.1?}", since(frozen_ns));
    assert!(operators.iter().all(|one| status(one, "/live") == 200));
}

#[test]
fn an_apiserver_frozen_for_20_s_stops_no_trading_and_every_order_is_sent_once() {
    if !reachable_pods() {
        return;
    }
    let (Some(cluster), Some(broker)) = (Cluster::start(setup(Tier::Full)), Broker::shared()) else { return };
    let Some(mut desk) = Desk::new(&cluster, broker) else { return };
    let proxies = [cluster.fault_proxy("a"), cluster.fault_proxy("b")];
    let [a, b] =
        [(0, "op-a"), (1, "op-b")].map(|(n, name)| Operator::start_through(&cluster, name, proxies[n].kubeconfig()));
    desk.apply(&tenant(&desk.name, broker));
    becomes(&cluster, &desk.name, &format!("tenant/{}", desk.name), "Ready", "True", "AsSpecified");
    let mut pool = pool(&desk.name, 2);
    // The default lease.
    pool["spec"].as_object_mut().unwrap().remove("leaseSeconds");
    desk.apply(&pool);
    desk.strategy.spec.replicas = 2;
    desk.deploy();
    let pods = [desk.stand_in(0), desk.stand_in(1)];
    desk.is_ready();
    desk.produce(8_000);
    desk.committed();

    let frozen = cluster.freeze(Part::Apiserver);
    let frozen_ns = mono_ns();
    desk.produce(8_000);
    desk.committed();
    println!("  8,000 records done {:.1?} into the freeze", since(frozen_ns));
    nobody_leads([&a, &b], frozen_ns);
    until("the end of the freeze", STEP, || (since(frozen_ns) >= FROZEN).then_some(()));
    let left = |pod: &pinion_tests::stand_in::StandIn| pod.runtime.metric(&metrics::LEASE, &[]).unwrap();
    let left = pods.iter().map(left).fold(f64::MAX, f64::min);
    drop(frozen);
    let thawed_ns = mono_ns();
    println!("  frozen for {:.1?}", since(frozen_ns));
    bounds::shown("lease of 60 s left after the apiserver was frozen for 20 s", format!("{left:.0} s"));
    assert!(left > 0.0);

    // What is asked for now is done.
    desk.patch("strategy/record-only", &json!({"spec": {"replicas": 1}}));
    until("one worker", STEP, || {
        let path = ["get", "--namespace", &desk.name, "strategy/record-only", "--output", "jsonpath={.status.workers}"];
        (cluster.ask(&path) == "1").then_some(())
    });
    bounds::takes_less("apiserver frozen for 20 s: from its end to a change being done", since(thawed_ns), CONVERGED);
    assert!(leads(&a) != leads(&b), "one leads");
    desk.is_ready();
    desk.produce(8_000);
    desk.committed();
    let (ids, repeats) = desk.ids();
    assert_eq!(repeats, 0, "nobody was replaced, so nothing is read twice");
    assert_eq!(ids.into_keys().collect::<Vec<_>>(), desk.laptop());
    assert!(only_the_holder_writes([&proxies[0], &proxies[1]]) > 20);
}

#[test]
fn an_etcd_frozen_for_20_s_costs_no_lease_and_loses_no_halt_that_was_asked_for_meanwhile() {
    let Some(guard) = stage() else { return };
    let stage = guard.as_ref().unwrap();
    let proxy = stage.cluster.fault_proxy("b");
    let second = Operator::start_through(&stage.cluster, "op-b", proxy.kubeconfig());
    until("the second to be ready", STEP, || (status(&second, "/ready") == 200).then_some(()));
    let desk = stage.onboard_with(&["a", "b"], None);
    let operators = [&stage.operator, &second];

    let frozen = stage.cluster.freeze(Part::Etcd);
    let frozen_ns = mono_ns();
    std::thread::scope(|scope| {
        // Kubernetes has not stored it yet; it does when it can.
        let halt = scope.spawn(|| {
            stage.halt(&desk, "a", "HALTED");
            mono_ns()
        });
        nobody_leads(operators, frozen_ns);
        until("the end of the freeze", STEP, || (since(frozen_ns) >= FROZEN).then_some(()));
        drop(frozen);
        let thawed_ns = mono_ns();
        until("a leader", STEP, || operators.into_iter().any(leads).then_some(()));
        bounds::takes_less("etcd frozen for 20 s: from its end to a leader", since(thawed_ns), Duration::from_secs(10));
        stage.pods_have(&desk, "a", "HALTED");
        bounds::takes_less("etcd frozen for 20 s: from its end to a halt in the pods", since(thawed_ns), CONVERGED);
        let stored_ns = halt.join().unwrap();
        println!(
            "  the halt was stored {:.1?} after the freeze",
            Duration::from_nanos(stored_ns.saturating_sub(thawed_ns))
        );
    });
    stage.becomes(&desk, "strategy/a", "Halted", "True", "HaltedBySpec");
    assert!(leads(operators[0]) != leads(operators[1]), "one leads");
    for (id, held) in stage.pods.all(Some(&desk)) {
        assert_eq!(held.lapses, 0, "{id:?}");
    }
    assert_eq!(stage.pods.doubles(), Vec::<String>::new());
    only_the_holder_writes([&stage.proxy, &proxy]);
    // The first leads for the tests that come.
    assert!(pinion_tests::runtime::is_clean(second.sigterm_and_wait()));
    until("the first to lead", STEP, || leads(&stage.operator).then_some(()));
    stage.halt(&desk, "a", "ACTIVE");
    stage.pods_have(&desk, "a", "ACTIVE");
    stage.recovers(&desk, &["a", "b"]);
}
