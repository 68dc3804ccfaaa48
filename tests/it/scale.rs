//! 1,000 strategies of 50 tenants: how long, how many requests, how much memory; and that an operator that begins anew, or takes over,
//! writes nothing.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::metrics;
use pinion_tests::bounds;
use pinion_tests::kube::{Call, Cluster, FaultProxy};
use pinion_tests::model_pods::ModelPods;
use pinion_tests::operator::Operator;
use pinion_tests::require::skip;
use pinion_tests::runtime::is_clean;
use pinion_tests::wait::until;
use serde_json::{Value, json};

use crate::stage::{module, pool, setup, strategy, tenant, together};

const TENANTS: usize = 50;
/// Of each tenant.
const STRATEGIES: usize = 20;
/// Of each tenant: so that each strategy has a worker of its own.
const PODS: u16 = 3;
const WORKERS: u16 = 7;
/// Of kwok's: four pods of eight cores each.
const NODES: u32 = 40;

/// On a machine that does something else besides.
const STEP: Duration = Duration::from_secs(300);

const MINUTE: Duration = Duration::from_secs(60);

/// What a tenant of 20 strategies may cost in writes: its namespace and what is in it, its pool, and a document, a pool's and a tenant's
/// status for each of the portions in which its strategies come.
const WRITES_OF_A_TENANT: usize = 60;
/// Those of one strategy: it is taken on, placed, Ready, and has figures; some are said in between, and once in an event.
const WRITES_OF_A_STRATEGY: usize = 6;
const WRITES: usize = TENANTS * (WRITES_OF_A_TENANT + STRATEGIES * WRITES_OF_A_STRATEGY);
/// A tenth are reads: modules, and watches that begin again.
const REQUESTS: usize = WRITES + WRITES / 10;
/// At rest: the Lease every 1.5 s (40), 15 watches that begin anew every minute, and each tenant's one module, whose version is asked for once
/// a minute; and again as much of the last two, for what falls into this minute from those beside it.
const REQUESTS_AT_REST: usize = 40 + 2 * (15 + TENANTS);
/// Of a tenant at least: one in 2 s is due, and half of them are to be had on a busy machine too.
const ROUNDS_A_MINUTE: usize = 15;
/// Seconds: a tenant's round comes every 2 s, and is over by then, so that rounds do not queue. Of a histogram's bounds the last one before
/// that. A quiet machine needs a tenth of it; this one does something else besides.
const ROUND_P99: f64 = 1.0;
/// MiB: half of the chart's limit.
const MEMORY: u64 = 256;
/// Seconds of CPU in a minute at rest: a third of a core, so that a small machine has the rest. Measured are 8.
const CPU_AT_REST: f64 = 20.0;
/// Longer than an operator that begins anew takes to have read its pods' figures twice, and to say what it did not carry over.
const ANEW: Duration = Duration::from_secs(25);

fn since(ns: u64) -> Duration {
    Duration::from_nanos(mono_ns() - ns)
}

/// What is asked so that it costs what is measured nothing.
fn at_leisure() {
    std::thread::park_timeout(Duration::from_millis(500));
}

/// The same of what costs the apiserver a list of 1,000.
fn seldom() {
    std::thread::park_timeout(Duration::from_secs(3));
}

fn names() -> Vec<String> {
    (0..TENANTS).map(|n| format!("desk-{n:02}")).collect()
}

fn leads(operator: &Operator) -> Option<()> {
    (operator.metric(&metrics::OPERATOR_LEADER, &[]) == 1.0).then_some(())
}

fn rounds(operator: &Operator) -> f64 {
    operator.metric(&metrics::OPERATOR_ROUNDS, &[("outcome", "done")])
}

/// Waits until every tenant has had so many rounds more, about: they come in turn.
fn rounds_more(operator: &Operator, each: usize) {
    let until_rounds = rounds(operator) + f64::from(u32::try_from(each * TENANTS).unwrap());
    until("rounds of every tenant", STEP, || {
        at_leisure();
        (rounds(operator) >= until_rounds).then_some(())
    });
}

fn writes(proxy: &FaultProxy, since_ns: u64) -> usize {
    proxy.count_since(since_ns, Call::is_write)
}

/// That nothing has been written; or what.
fn wrote_nothing(what: &str, proxies: &[&FaultProxy]) {
    let all: Vec<Call> = proxies.iter().flat_map(|proxy| proxy.calls()).filter(Call::is_write).collect();
    for call in all.iter().take(20) {
        println!("  {} {} {:?}", call.method, call.path, call.status);
    }
    bounds::at_most(what, all.len(), 0, "");
}

/// Counts by the upper bound of the buckets of a round's time.
fn buckets(operator: &Operator) -> Vec<(f64, f64)> {
    let text = operator.get("/metrics").unwrap().body;
    let prefix = format!("{}_bucket{{le=\"", metrics::OPERATOR_ROUND_SECONDS.name);
    let buckets = text.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
        Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?))
    });
    buckets.collect()
}

/// The upper bound of the bucket in which the 99th percentile of what came between lies.
fn p99(before: &[(f64, f64)], after: &[(f64, f64)]) -> f64 {
    let grown: Vec<(f64, f64)> = before.iter().zip(after).map(|(b, a)| (a.0, a.1 - b.1)).collect();
    let all = grown.last().unwrap().1;
    assert!(all > 0.0, "no round has ended");
    grown.iter().find(|(_, below)| *below >= all * 0.99).unwrap().0
}

/// Waits until every tenant has had three rounds or so without a write.
fn is_quiet(operator: &Operator, proxy: &FaultProxy) {
    until("rounds without a write", STEP, || {
        let since_ns = mono_ns();
        rounds_more(operator, 3);
        (writes(proxy, since_ns) == 0).then_some(())
    });
}

#[test]
fn a_thousand_strategies_of_fifty_tenants_cost_nothing_at_rest_and_a_new_operator_writes_nothing() {
    if !rustix::process::geteuid().is_root() {
        skip("standing in for pods needs root, for their addresses");
        return;
    }
    let Some(cluster) = Cluster::start(setup(NODES)) else { return };
    let pods = ModelPods::start(&cluster, 1);
    let proxy = cluster.fault_proxy("a");
    let operator = Operator::start_through(&cluster, "op-a", proxy.kubeconfig());
    until("a leader", STEP, || leads(&operator));

    let began_ns = mono_ns();
    cluster.create(&together(&names().iter().map(|name| tenant(name)).collect::<Vec<_>>()));
    until("the namespaces", STEP, || {
        at_leisure();
        let path = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        let ready = cluster.ask(&["get", "tenants", "--output", path]);
        (ready.split_whitespace().filter(|status| *status == "True").count() == TENANTS).then_some(())
    });
    bounds::shown("50 tenants: from kubectl's begin to all Ready", format!("{:.1?}", since(began_ns)));

    let (began_ns, cpu) = (mono_ns(), operator.cpu_seconds());
    let resources = names().into_iter().flat_map(|name| {
        let own = [pool(&name, PODS, WORKERS, None), module(&name, "module-1")];
        let strategies: Vec<Value> = (0..STRATEGIES).map(|n| strategy(&name, &format!("s-{n:02}"))).collect();
        own.into_iter().chain(strategies)
    });
    cluster.create(&together(&resources.collect::<Vec<_>>()));
    bounds::shown("1,000 strategies: kubectl alone", format!("{:.1?}", since(began_ns)));
    until("all to be assigned", STEP, || {
        at_leisure();
        (pods.count(|_| true) == TENANTS * STRATEGIES).then_some(())
    });
    bounds::shown("1,000 strategies: from kubectl's begin to all in their pods", format!("{:.1?}", since(began_ns)));
    until("all to be Ready", STEP, || {
        seldom();
        let path = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        let ready = cluster.ask(&["get", "strategies", "--all-namespaces", "--output", path]);
        (ready.split_whitespace().filter(|status| *status == "True").count() == TENANTS * STRATEGIES).then_some(())
    });
    bounds::takes_less(
        "1,000 strategies: from kubectl's begin to all Ready",
        since(began_ns),
        Duration::from_secs(300),
    );
    // The figures come last: so many are not written all at once.
    until("all figures", STEP, || {
        seldom();
        let path = "jsonpath={.items[*].status.lagSeconds}";
        let shown = cluster.ask(&["get", "strategies", "--all-namespaces", "--output", path]);
        (shown.split_whitespace().count() == TENANTS * STRATEGIES).then_some(())
    });
    is_quiet(&operator, &proxy);
    let requests = proxy.count_since(began_ns, |call| !call.is_lease());
    bounds::at_most("1,000 strategies: requests until all is quiet", requests, REQUESTS, "");
    bounds::at_most("1,000 strategies: writes until all is quiet", writes(&proxy, began_ns), WRITES, "");
    for part in ["/strategies/", "/events", "/configmaps", "/statefulsets", "/runtimepools/", "/tenants/"] {
        let of_it = proxy.count_since(began_ns, |call| call.is_write() && call.path.contains(part));
        bounds::shown(&format!("1,000 strategies: of these writes {}", part.trim_matches('/')), of_it);
    }
    bounds::shown(
        "1,000 strategies: operator's CPU until all is quiet",
        format!("{:.1} s", operator.cpu_seconds() - cpu),
    );

    // At rest.
    let (began_ns, cpu, before, rounds_before) =
        (mono_ns(), operator.cpu_seconds(), buckets(&operator), rounds(&operator));
    until("a minute", STEP * 2, || {
        at_leisure();
        (since(began_ns) >= MINUTE).then_some(())
    });
    let done = rounds(&operator) - rounds_before;
    assert!(done >= f64::from(u32::try_from(ROUNDS_A_MINUTE * TENANTS).unwrap()), "{done} rounds only");
    bounds::shown("1,000 strategies at rest: rounds a minute", done);
    bounds::at_most("1,000 strategies at rest: writes a minute", writes(&proxy, began_ns), 0, "");
    let requests = proxy.count_since(began_ns, |_| true);
    bounds::at_most("1,000 strategies at rest: requests a minute", requests, REQUESTS_AT_REST, "");
    let leases = proxy.count_since(began_ns, Call::is_lease);
    bounds::shown("1,000 strategies at rest: of these for the lease", leases);
    let cpu = ((operator.cpu_seconds() - cpu) * 10.0).round() / 10.0;
    bounds::at_most("1,000 strategies at rest: operator's CPU a minute", cpu, CPU_AT_REST, " s");
    bounds::at_most("1,000 strategies at rest: reconcile p99", p99(&before, &buckets(&operator)), ROUND_P99, " s");
    let (now, most) = operator.memory_mib();
    bounds::shown("1,000 strategies: operator's resident memory", format!("{now} MiB"));
    bounds::at_most("1,000 strategies: operator's resident memory at its most", most, MEMORY, " MiB");

    let halted_ns = mono_ns();
    let halt = json!({"spec": {"tradingState": "HALTED"}}).to_string();
    let _ = cluster.ask(&["patch", "strategy/s-07", "--namespace", "desk-33", "--type=merge", "--patch", &halt]);
    let stored_ns = mono_ns();
    until("the halt in its pod", STEP, || {
        (pods.count(|one| one.strategy.spec.trading_state.name() == "HALTED") == 1).then_some(())
    });
    bounds::shown("1,000 strategies: halt in its pod, from kubectl's end", format!("{:.1?}", since(stored_ns)));
    bounds::takes_less("1,000 strategies: halt in its pod, kubectl included", since(halted_ns), Duration::from_secs(5));
    is_quiet(&operator, &proxy);

    // Another operator, from nothing.
    assert!(is_clean(operator.sigterm_and_wait()));
    let (second_proxy, began_ns) = (cluster.fault_proxy("b"), mono_ns());
    let second = Operator::start_through(&cluster, "op-b", second_proxy.kubeconfig());
    until("a leader", STEP, || leads(&second));
    bounds::shown("1,000 strategies: a new operator's start to its lead", format!("{:.1?}", since(began_ns)));
    let leads_ns = mono_ns();
    until("what a new operator may have to say", STEP, || {
        at_leisure();
        (since(leads_ns) >= ANEW).then_some(())
    });
    rounds_more(&second, 2);
    wrote_nothing("1,000 strategies: writes of an operator that begins anew", &[&second_proxy]);
    bounds::shown("1,000 strategies: requests of its start", second_proxy.count_since(0, |call| !call.is_lease()));

    // Takeovers.
    let third_proxy = cluster.fault_proxy("c");
    let third = Operator::start_through(&cluster, "op-c", third_proxy.kubeconfig());
    until("the third to be ready", STEP, || (third.get("/ready")?.status == 200).then_some(()));
    let killed_ns = mono_ns();
    second.kill9();
    until("the third to lead", STEP, || leads(&third));
    bounds::takes_less("1,000 strategies: leader takeover after SIGKILL", since(killed_ns), Duration::from_secs(10));
    rounds_more(&third, 1);
    bounds::shown("1,000 strategies: to a round of every tenant", format!("{:.1?}", since(killed_ns)));

    let fourth_proxy = cluster.fault_proxy("d");
    let fourth = Operator::start_through(&cluster, "op-d", fourth_proxy.kubeconfig());
    until("the fourth to be ready", STEP, || (fourth.get("/ready")?.status == 200).then_some(()));
    let ended_ns = mono_ns();
    assert!(is_clean(third.sigterm_and_wait()));
    until("the fourth to lead", STEP, || leads(&fourth));
    bounds::takes_less("1,000 strategies: leader takeover after SIGTERM", since(ended_ns), Duration::from_secs(2));
    rounds_more(&fourth, 2);
    wrote_nothing("1,000 strategies: writes of two takeovers", &[&third_proxy, &fourth_proxy]);

    assert_eq!(pods.doubles(), Vec::<String>::new());
    let all = pods.all(None);
    assert_eq!(all.len(), TENANTS * usize::from(PODS));
    assert!(all.values().all(|held| held.lapses == 0), "a lease ran out");
    let spare = all.values().filter_map(|held| held.spare).min().unwrap();
    bounds::shown("1,000 strategies: lease of 60 s left at its latest renewal", format!("{spare:.1?}"));
}
