//! What a strategy in Python does wrong: a fault with a name, with Python's own words for it, and nothing else.

use std::sync::LazyLock;

use pinion_runtime::effects::{Intent, NewOrder, OrderType, TimeInForce};
use pinion_runtime::event::{Head, Quote, Side};
use pinion_runtime::sandbox::log::LogLevel;
use pinion_runtime::sandbox::{Call, Fault, FaultKind, Guest, Module, Saved, Wants};
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::SPOT;
use pinion_tests::rig::{example, host_of};

use super::module_of;

static MODULE: LazyLock<Module> = LazyLock::new(|| module_of("tests/it/python/misbehaving"));

const HEAD: Head = Head {
    instrument_id: 1,
    publisher_id: 1,
    flags: 128,
    ts_event: 1,
    ts_recv: 1_723_161_600_000_000_000,
    sequence: 1,
};
const QUOTE: Call = Call::Quote(
    HEAD,
    Quote {
        bid_price: 61_800_300_000_000,
        bid_size: 1,
        ask_price: 61_800_310_000_000,
        ask_size: 1,
        bid_count: 0,
        ask_count: 0,
    },
);

fn strategy() -> Strategy {
    let mut strategy = example("ema-cross", &SPOT);
    strategy.spec.budget.call_micros = 1_000_000;
    strategy
}

fn started(mode: &str) -> (Box<dyn Guest>, Result<Wants, Fault>) {
    let strategy = strategy();
    let mut guest = MODULE.instantiate(host_of(&strategy), &strategy.spec.budget).unwrap();
    let wants = guest.init(&[("mode".to_owned(), mode.to_owned())]);
    (guest, wants)
}

/// What a guest wrote into its log.
type Lines = Vec<(LogLevel, String)>;

/// What the first quote comes to, and the log lines that it wrote.
fn quoted(mode: &str) -> (Result<(), Fault>, Lines, Box<dyn Guest>) {
    let (mut guest, wants) = started(mode);
    wants.unwrap();
    guest.host().now = HEAD.ts_recv;
    let result = guest.call(&QUOTE);
    let mut lines = Vec::new();
    guest.host().log.drain(|line| lines.push((line.level, line.message.to_owned())));
    (result, lines, guest)
}

fn fault(mode: &str) -> Fault {
    let (result, _, mut guest) = quoted(mode);
    assert!(guest.host().effects.is_empty(), "{mode}: a faulted callback has asked for nothing");
    result.expect_err(mode)
}

#[test]
fn what_it_raises_is_a_fault_with_the_traceback() {
    let raised = fault("raises");
    assert_eq!(raised.kind, FaultKind::Trap);
    let lines: Vec<_> = raised.detail.lines().take(8).collect();
    assert_eq!(lines[0], "Traceback (most recent call last):", "{raised}");
    assert!(lines[1].starts_with("  File \"strategy.py\", line ") && lines[1].ends_with("in on_quote"), "{raised}");
    assert_eq!(lines[6], "    1 / n", "{raised}");
    assert_eq!(lines[7], "ZeroDivisionError: division by zero", "{raised}");
    for (mode, words) in [
        ("exits", "RuntimeError: a strategy cannot exit"),
        ("opens", "RuntimeError: there are no files in the sandbox"),
        ("imports_late", "ModuleNotFoundError: wave is not in the component"),
        ("off_tick", "NotAMultiple: price of BTCUSDT: 61800.301 is no multiple of its tick 0.01"),
    ] {
        let fault = fault(mode);
        assert!(fault.kind == FaultKind::Trap && fault.detail.contains(words), "{mode}: {fault}");
        assert!(fault.detail.contains(&format!("in {mode}\n")), "{mode}: {fault}");
        assert!(!fault.detail.contains("pinion_strategy/"), "{mode}: the author's own frames are enough: {fault}");
    }
}

#[test]
fn a_start_that_it_refuses_or_raises_in_says_why() {
    assert_eq!(started("refuse").1.unwrap_err().detail, "not today");
    let raised = started("init").1.unwrap_err();
    assert_eq!(raised.kind, FaultKind::Init);
    assert!(raised.detail.contains("in on_init\n") && raised.detail.ends_with("division by zero"), "{raised}");
}

#[test]
fn recursion_memory_and_time_are_limited() {
    let deep = fault("recurses");
    assert!(deep.kind == FaultKind::Trap && deep.detail.contains("RecursionError: maximum recursion depth"), "{deep}");
    assert_eq!(fault("recurses_in_c").kind, FaultKind::Stack);
    let large = fault("allocates");
    assert!(large.kind == FaultKind::Memory && large.detail.contains("over the cap of 67108864"), "{large}");
    assert_eq!(fault("spins").kind, FaultKind::Budget);
}

#[test]
fn what_it_prints_is_logged_cut_and_limited() {
    let (result, lines, _) = quoted("prints");
    result.unwrap();
    let texts: Vec<_> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[0].trim_start_matches('x'), "... (999020 more characters)");
    assert_eq!(texts[1..], ["hello 7", "half and half"]);
    assert!(lines.iter().all(|(level, _)| *level == LogLevel::Info));

    let (result, lines, mut guest) = quoted("prints_many");
    result.unwrap();
    assert!(lines.len() < 2_000, "{}", lines.len());
    assert_eq!(lines.len() as u64 + guest.host().log.dropped(), 2_000, "what is over the rate is counted");
}

#[test]
fn what_the_sandbox_carries_works() {
    let (result, lines, _) = quoted("works");
    result.unwrap();
    let expected = "read at build; 0.32383276483316237; {\"a\": [1, 2.5]}; 2d711642; 2024-08-09; 0.3; 2; aca; 2363233923; \
                    61800.30 61800.305; 2024-08-09";
    assert_eq!(lines, [(LogLevel::Info, expected.to_owned())]);
    let (result, lines, _) = quoted("warns");
    result.unwrap();
    let text: String = lines.iter().map(|(_, text)| format!("{text}\n")).collect();
    assert!(text.contains("UserWarning: careful") && text.contains("ZeroDivisionError: division by zero"), "{text}");
}

#[test]
fn what_it_asks_for_arrives_as_it_was_asked_for() {
    let (result, lines, mut guest) = quoted("asks");
    result.unwrap();
    assert!(lines[0].1.starts_with("0.0 Instrument(id="), "{lines:?}");
    let intents: Vec<_> = guest.host().effects.drain().collect();
    let price = 61_800_300_000_000;
    let Intent::Submit { order_id, order } = intents[0] else { panic!("{intents:?}") };
    let limit = NewOrder {
        instrument_id: order.instrument_id,
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        price,
        size: 10_000_000,
        tag: 3,
    };
    assert_eq!(order, limit);
    let Intent::Submit { order, .. } = intents[1] else { panic!("{intents:?}") };
    assert_eq!((order.side, order.order_type, order.size), (Side::Sell, OrderType::Market, 20_000_000));
    let others = [
        Intent::Modify { order_id, price, size: 20_000_000 },
        Intent::Cancel { order_id },
        Intent::CancelAll,
        Intent::SetTimer { timer_id: 4, at: HEAD.ts_recv + 1 },
    ];
    assert_eq!(intents[2..], others);
    let gauges: Vec<_> = guest.host().gauges.iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(gauges, [("g".to_owned(), 1.5)]);
}

#[test]
fn what_one_instance_saves_another_loads_or_refuses() {
    let (mut guest, wants) = started("raises");
    let wants = wants.unwrap();
    assert_eq!((wants.bars.len(), wants.bars[0].every), (1, 60_000_000_000));
    let saved = guest.save().unwrap();
    assert_eq!(saved, Saved { version: 3, data: b"kept".to_vec() });
    let (mut other, _) = started("raises");
    other.load(&saved).unwrap();
    let mut line = String::new();
    other.host().log.drain(|last| line = last.message.to_owned());
    assert_eq!(line, "loaded b'kept'");
    let refused = other.load(&Saved { version: 4, ..saved }).unwrap_err();
    assert!(refused.detail.contains("version 4"), "{refused}");
}
