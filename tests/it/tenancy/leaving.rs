//! What is deleted is drained first, and leaves nothing behind.

use std::time::Duration;

use pinion_tests::stand_in::StandIn;
use pinion_tests::wait::until;

use super::{desk, gone, let_go, read};
use crate::desk::{Desk, Watch, becomes, pool, traces};

/// What is left of a lease of 6 s at the least, in which a pod that says nothing counts as running: it is renewed each third of it.
const LEASE: Duration = Duration::from_secs(4);

/// A tenant that runs, with everything that one may have.
fn settled(desk: &Desk<'_>) -> StandIn {
    desk.onboard(1);
    let pod = desk.stand_in(0);
    desk.deploy();
    desk.is_ready();
    pod
}

fn delete_tenant(desk: &Desk<'_>) {
    let _ = desk.cluster.ask(&["delete", "tenant", &desk.name, "--wait=false"]);
}

fn leaves_nothing(desk: &Desk<'_>) {
    let (mut last, limit) = (Vec::new(), Duration::from_secs(120));
    until("every trace to be gone", limit, || {
        let left = traces(desk.cluster, &desk.name);
        if left != last {
            println!("  left of {}: {left:?}", desk.name);
            last.clone_from(&left);
        }
        left.is_empty().then_some(())
    });
}

#[test]
fn a_deleted_tenant_is_drained_first_and_leaves_nothing_behind() {
    let Some(mut desk) = desk() else { return };
    let pod = settled(&desk);
    let before = traces(desk.cluster, &desk.name);
    for kind in [
        "Tenant",
        "Namespace",
        "RuntimePool",
        "Strategy",
        "StatefulSet",
        "Pod",
        "Secret",
        "NetworkPolicy",
        "RoleBinding",
    ] {
        assert!(
            before.iter().any(|one| one.starts_with(&format!("{kind}/"))),
            "the search finds no {kind}: {before:?}"
        );
    }
    desk.produce(8_000);
    let mut watch = Watch::start();
    delete_tenant(&desk);
    let_go(&pod);
    watch.lap("drained, in mid-stream");
    // What was read has been finished: as many orders as the committed records have caused, and none twice.
    let (ids, repeats) = desk.ids();
    let mut committed: i64 =
        desk.broker.committed(&desk.strategy.group(), &desk.strategy.spec.inputs[0].topic).values().sum();
    println!("{committed} of 8000 committed, {} orders", ids.len());
    assert_eq!(repeats, 0);
    leaves_nothing(&desk);
    watch.lap("no trace is left");

    // The tenant comes back: its group goes on where it was.
    let _again = settled(&desk);
    desk.committed();
    committed = 8_000 - committed;
    println!("{committed} records were left to the tenant that came back");
    let (ids, repeats) = desk.ids();
    assert_eq!((ids.into_keys().collect::<Vec<_>>(), repeats), (desk.laptop(), 0));
}

#[test]
fn a_tenant_whose_pod_hangs_or_is_dead_goes_when_its_lease_is_over() {
    let (Some(hung), Some(dead)) = (desk(), desk()) else { return };
    let (hung_pod, dead_pod) = (settled(&hung), settled(&dead));
    hung_pod.runtime.freeze();
    dead_pod.runtime.kill9();
    let mut watch = Watch::start();
    delete_tenant(&hung);
    delete_tenant(&dead);
    gone(hung.cluster, "default", &format!("tenant/{}", hung.name));
    let took = watch.lap("a hung pod's tenant is let go");
    // Not before: the pod could still send orders.
    assert!(took > LEASE, "{took:?}");
    for desk in [&hung, &dead] {
        leaves_nothing(desk);
        watch.lap("no trace is left, after that");
    }
    hung_pod.runtime.go_on();
    let status = hung_pod.runtime.wait();
    assert_eq!(status.code(), Some(75), "on waking it finds its lease over");
}

#[test]
fn a_deleted_pool_stays_until_its_pods_run_nothing_leaves_nothing_and_what_it_ran_goes_on_in_its_successor() {
    let Some(mut desk) = desk() else { return };
    let pod = settled(&desk);
    desk.produce(4_000);
    desk.committed();
    // It does not hear of it, and could still send orders until its lease is over.
    pod.runtime.freeze();
    let mut watch = Watch::start();
    let _ = desk.cluster.ask(&["delete", "runtimepool", "default", "--namespace", &desk.name, "--wait=false"]);
    gone(desk.cluster, &desk.name, "runtimepool/default");
    let took = watch.lap("a pool whose pod hangs is gone");
    assert!(took > LEASE, "{took:?}");
    let message = becomes(desk.cluster, &desk.name, "strategy/record-only", "Ready", "False", "NoPool");
    assert!(message.contains("no RuntimePool default"), "{message}");
    for what in [
        "statefulset/default",
        "service/default",
        "poddisruptionbudget/default",
        "configmap/default-assignment",
        "pod/default-0",
    ] {
        gone(desk.cluster, &desk.name, what);
    }
    drop(pod);
    desk.apply(&pool(&desk.name, 1));
    let _next = desk.stand_in(0);
    desk.is_ready();
    desk.produce(4_000);
    desk.committed();
    let (ids, repeats) = desk.ids();
    assert_eq!((ids.into_keys().collect::<Vec<_>>(), repeats), (desk.laptop(), 0));
}

#[test]
fn a_deleted_strategy_is_drained_and_one_of_its_name_in_another_pool_begins_only_then() {
    let Some(mut desk) = desk() else { return };
    let pod = settled(&desk);
    desk.apply(&super::pool_named("fast", &desk.name, 1));
    let fast = StandIn::start(desk.cluster, desk.broker, &desk.name, "fast", "fast-0", 1);
    becomes(desk.cluster, &desk.name, "runtimepool/fast", "Ready", "True", "AsSpecified");
    desk.produce(800);
    desk.committed();
    // It does not hear that the strategy is gone, and could still send orders.
    pod.runtime.freeze();
    let _ = desk.cluster.ask(&["delete", "strategy", "record-only", "--namespace", &desk.name]);
    desk.strategy.spec.pool = Some("fast".into());
    desk.apply_strategy();
    let mut watch = Watch::start();
    let message = becomes(desk.cluster, &desk.name, "strategy/record-only", "Ready", "False", "WaitingForFence");
    println!("{message}");
    desk.is_ready();
    let took = watch.lap("it runs in the other pool, from the first one's silence");
    assert!(took > LEASE, "{took:?}: the first may still have run it");
    desk.produce(8_000);
    desk.committed();
    let documents = read(desk.cluster, &desk.name, "configmap/default-assignment", "{.data.default-0\\.json}");
    assert!(!documents.is_empty() && !documents.contains("record-only"), "{documents}");
    let (ids, repeats) = desk.ids();
    assert_eq!((ids.into_keys().collect::<Vec<_>>(), repeats), (desk.laptop(), 0));
    drop(fast);
}
