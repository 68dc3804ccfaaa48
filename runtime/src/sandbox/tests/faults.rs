//! What misbehaves ends in its named fault, and has asked for nothing.

use super::guests::{component, guest};
use super::{HEAD, LANES, ON_QUOTE, budget, host, instance, sandbox, started};
use crate::clock::thread_cpu_ns;
use crate::event::{Aggressor, Trade};
use crate::limits::FAULT_DETAIL_BYTES_MAX;
use crate::sandbox::{Call, Fault, FaultKind};

/// The fault of a guest's `on-quote`, over both lanes.
fn faults(component: &[u8]) -> Vec<Fault> {
    LANES
        .map(|lane| {
            let mut guest = started(component, lane);
            let fault = guest.call(&ON_QUOTE).expect_err("it misbehaves");
            assert!(guest.host().effects.is_empty(), "{lane:?}: a faulted callback has asked for nothing");
            assert_eq!(guest.host().gauges.iter().count(), 0, "{lane:?}");
            assert_eq!(guest.host().record_orders, 0, "{lane:?}");
            fault
        })
        .to_vec()
}

fn expect(name: &str, component: &[u8], kind: FaultKind, detail: [&str; 2]) {
    for ((fault, lane), detail) in faults(component).into_iter().zip(LANES).zip(detail) {
        assert_eq!(fault.kind, kind, "{name}, {lane:?}: {fault}");
        assert!(fault.detail.contains(detail), "{name}, {lane:?}: {fault}");
    }
}

#[test]
fn each_misbehaving_example_ends_in_its_named_fault() {
    macro_rules! example {
        ($name:literal) => {
            component(include_str!(concat!("../../../../strategies-examples/misbehaving/", $name, ".wat")))
        };
    }
    expect("spin", &example!("spin"), FaultKind::Budget, ["interrupt"; 2]);
    expect("grow", &example!("grow"), FaultKind::Memory, ["over the cap"; 2]);
    expect("trap", &example!("trap"), FaultKind::Trap, ["unreachable"; 2]);
    expect("flood", &example!("flood"), FaultKind::Intents, ["more intents"; 2]);
    expect("bad-pointer", &example!("bad-pointer"), FaultKind::BadPointer, ["outside of memory", "out of bounds"]);
}

#[test]
fn spin_is_stopped_within_5_ms_of_its_budget_and_not_before_it() {
    let spin = guest(r#"(func (on "quote") (loop $forever (br $forever)))"#);
    for lane in LANES {
        // In CPU time, as the budget is. The epoch thread may be late on a busy machine: the best of a few tries is what the
        // sandbox can do, and none may come early.
        let over_ns = (0..5).map(|_| {
            let mut guest = started(&spin, lane);
            let start = thread_cpu_ns();
            let fault = guest.call(&ON_QUOTE).expect_err("it spins");
            assert_eq!(fault.kind, FaultKind::Budget);
            (thread_cpu_ns() - start)
                .checked_sub(u64::from(budget().call_micros) * 1_000)
                .expect("not before its budget")
        });
        let over_ns = over_ns.min().unwrap();
        assert!(over_ns < 5_000_000, "{lane:?}: {over_ns} ns over");
    }
}

#[test]
fn memory_is_limited() {
    // 2 MiB are 32 pages: 31 more fit beside the first, 32 do not; a guest's own maximum answers -1 as usual.
    let grow = |pages: u32, memory: &str| {
        guest(&format!(
            r#"(memory (export "memory") {memory})
               (func (on "quote") (if (i32.ne (memory.grow (i32.const {pages})) (i32.const 1)) (then unreachable)))"#
        ))
    };
    for lane in LANES {
        assert_eq!(started(&grow(31, "1"), lane).call(&ON_QUOTE), Ok(()), "{lane:?}");
    }
    expect("one page more", &grow(32, "1"), FaultKind::Memory, ["2162688 bytes"; 2]);
    expect("its own maximum", &grow(1, "1 1"), FaultKind::Trap, ["unreachable"; 2]);
    for lane in LANES {
        let born_too_large = guest(r#"(memory (export "memory") 33)"#);
        assert_eq!(instance(&born_too_large, lane).err().map(|fault| fault.kind), Some(FaultKind::Memory), "{lane:?}");
    }
}

#[test]
fn a_guest_that_recurses_too_deep_or_traps_keeps_its_function_names() {
    let deep = guest(
        r#"(func $deeper (param i64) (call $deeper (local.get 0)) (call $deeper (local.get 0)))
           (func (on "quote") (call $deeper (i64.const 1)))"#,
    );
    expect("deep", &deep, FaultKind::Stack, ["deeper"; 2]);
    let divide = guest(r#"(func $divide (on "quote") (drop (i32.div_u (i32.const 1) (i32.const 0))))"#);
    expect("divide", &divide, FaultKind::Trap, ["at divide"; 2]);
    let wild = guest(r#"(func (on "quote") (drop (i32.load (i32.const -8))))"#);
    expect("wild", &wild, FaultKind::Trap, ["out of bounds memory access"; 2]);
}

#[test]
fn a_bad_pointer_enum_or_text_is_refused() {
    let calls = [
        ("text out of range", "(call $log (i32.const 0) (i32.const 65530) (i32.const 7))"),
        ("text that wraps", "(call $log (i32.const 0) (i32.const -2) (i32.const 4))"),
        (
            "text too long",
            "(drop (memory.grow (i32.const 1))) (memory.fill (i32.const 0) (i32.const 0) (i32.const 65537)) \
             (call $log (i32.const 0) (i32.const 0) (i32.const 65537))",
        ),
        (
            "text not UTF-8",
            "(i32.store8 (i32.const 0) (i32.const 255)) (call $log (i32.const 0) (i32.const 0) (i32.const 1))",
        ),
        ("log level", "(call $log (i32.const 4) (i32.const 0) (i32.const 0))"),
        ("gauge name out of range", "(call $metric-set (i32.const -1) (i32.const -1) (f64.const 1))"),
        ("result out of range", "(call $position (i64.const 7) (i32.const 65528))"),
        ("result that wraps", "(call $position (i64.const 7) (i32.const -8))"),
        ("result unaligned", "(call $position (i64.const 7) (i32.const 12))"),
        ("level unaligned", "(call $book-level (i64.const 7) (i32.const 1) (i32.const 0) (i32.const 4))"),
        ("book side", "(call $book-level (i64.const 7) (i32.const 3) (i32.const 0) (i32.const 0))"),
        ("instrument out of range", "(call $instrument (i64.const 7) (i32.const 65528))"),
        (
            "side",
            "(drop (call $submit (i64.const 7) (i32.const 2) (i32.const 0) (i32.const 0) (i64.const 1) (i64.const 1) (i64.const 0)))",
        ),
        (
            "order type",
            "(drop (call $submit (i64.const 7) (i32.const 0) (i32.const -1) (i32.const 0) (i64.const 1) (i64.const 1) (i64.const 0)))",
        ),
        (
            "time in force",
            "(drop (call $submit (i64.const 7) (i32.const 0) (i32.const 0) (i32.const 4) (i64.const 1) (i64.const 1) (i64.const 0)))",
        ),
    ];
    for (name, call) in calls {
        // A valid order and a gauge first, to see them discarded.
        let body = format!(
            r#"(data (i32.const 512) "g")
               (func (on "quote")
                 (drop (call $submit (i64.const 7) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 1) (i64.const 1) (i64.const 0)))
                 (call $metric-set (i32.const 512) (i32.const 1) (f64.const 1))
                 {call})"#
        );
        expect(name, &guest(&body), FaultKind::BadPointer, [""; 2]);
    }
}

#[test]
fn an_allocator_that_lies_is_refused() {
    let allocators = [
        ("out of range", "(i32.const 65535)", FaultKind::BadPointer),
        ("unaligned", "(i32.const 9)", FaultKind::BadPointer),
        ("trapping", "(unreachable)", FaultKind::Trap),
        // The canonical ABI forbids calls to the host in here.
        ("calling the host", "(drop (call $now)) (i32.const 0)", FaultKind::Trap),
    ];
    for (name, body, kind) in allocators {
        let allocator =
            guest(&format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {body})"#));
        for lane in LANES {
            let fault = instance(&allocator, lane).unwrap().init(&[("key".to_owned(), "value".to_owned())]);
            assert_eq!(fault.err().map(|fault| fault.kind), Some(kind), "{name}, {lane:?}");
        }
    }
}

#[test]
fn what_on_init_returns_is_checked() {
    let results = [
        ("pointer out of range", "(i32.const 65528)", FaultKind::BadPointer),
        ("pointer unaligned", "(i32.const 18)", FaultKind::BadPointer),
        ("no such case", "(i32.store8 (i32.const 16) (i32.const 2)) (i32.const 16)", FaultKind::BadPointer),
        (
            "reason out of range",
            "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 65535)) \
             (i32.store (i32.const 24) (i32.const 2)) (i32.const 16)",
            FaultKind::BadPointer,
        ),
        ("refused", "(i32.store8 (i32.const 16) (i32.const 1)) (i32.const 16)", FaultKind::Init),
        ("never returns", "(loop $forever (br $forever)) (unreachable)", FaultKind::Budget),
    ];
    for (name, body, kind) in results {
        let init = guest(&format!(r#"(func (on "init") {body})"#));
        for lane in LANES {
            let fault = instance(&init, lane).unwrap().init(&[]);
            assert_eq!(fault.err().map(|fault| fault.kind), Some(kind), "{name}, {lane:?}");
        }
    }
}

#[test]
fn a_start_function_runs_under_the_budgets_too() {
    let spin = guest("(func $start (loop $forever (br $forever))) (start $start)");
    for lane in LANES {
        let fault = instance(&spin, lane).err();
        assert_eq!(fault.map(|fault| fault.kind), Some(FaultKind::Budget), "{lane:?}");
    }
}

#[test]
fn other_instances_of_a_module_live_on_after_a_fault_of_one() {
    let sometimes = guest(
        r#"(func (on "quote") unreachable)
           (func (on "timer") (drop (call $submit (i64.const 7) (i32.const 0) (i32.const 0) (i32.const 0)
             (i64.const 1) (i64.const 1) (i64.const 0))))"#,
    );
    for lane in LANES {
        let module = sandbox().load_for(&sometimes, lane).unwrap();
        let mut one = module.instantiate(host(), &budget()).unwrap();
        let mut other = module.instantiate(host(), &budget()).unwrap();
        one.init(&[]).unwrap();
        other.init(&[]).unwrap();
        assert!(one.call(&ON_QUOTE).is_err());
        assert_eq!(other.call(&Call::Timer { timer_id: 1, at: 1 }), Ok(()));
        assert_eq!(other.host().effects.drain().count(), 1, "{lane:?}");
        drop(one);
        let mut fresh = module.instantiate(host(), &budget()).unwrap();
        assert!(fresh.init(&[]).is_ok(), "{lane:?}");
    }
}

#[test]
fn what_a_guest_logs_as_an_error_before_it_traps_is_the_beginning_of_its_fault() {
    let words = |level: u32| {
        guest(&format!(
            r#"(data (i32.const 3000) "ValueError: odd\0aat x.py")
               (func (on "quote") (memory.fill (i32.const 1000) (i32.const 120) (i32.const 1024))
                 (call $log (i32.const 3) (i32.const 1000) (i32.const 1024))
                 (call $log (i32.const 3) (i32.const 1000) (i32.const 1024))
                 (call $log (i32.const {level}) (i32.const 3000) (i32.const 23)) unreachable)"#
        ))
    };
    // Of what is too long the end is kept: it names the error.
    for fault in faults(&words(3)) {
        assert!(fault.detail.contains("ValueError: odd\nat x.py\n"), "{fault}");
        assert!(fault.detail.len() <= FAULT_DETAIL_BYTES_MAX);
    }
    for fault in faults(&words(2)) {
        assert!(!fault.detail.contains("ValueError") && fault.detail.contains("unreachable"), "{fault}");
    }
    // What was logged in a callback that returned explains nothing that comes later.
    let later = guest(
        r#"(data (i32.const 0) "old")
           (func (on "trade") (call $log (i32.const 3) (i32.const 0) (i32.const 3)))
           (func (on "quote") unreachable)"#,
    );
    let trade = Trade { price: 1, size: 1, trade_id: 1, aggressor: Aggressor::None };
    for lane in LANES {
        let mut guest = started(&later, lane);
        guest.call(&Call::Trade(HEAD, trade)).unwrap();
        let fault = guest.call(&ON_QUOTE).unwrap_err();
        assert!(!fault.detail.contains("old"), "{lane:?}: {fault}");
    }
}
