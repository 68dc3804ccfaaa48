//! What strategies may do: asked for, confirmed, and not undone by anything else.

use serde_json::{Value as Json, json};

use super::stand_in::StandIn;
use super::{Desk, assert_says};

#[test]
fn a_halt_is_confirmed_and_no_deployment_lifts_it() {
    let Some(desk) = Desk::new() else { return };
    let active = desk.file("ema", "ema-cross/ema-cross.wasm", "  tradingState: ACTIVE\n");
    let _ = desk.deploy(&active, &[]);
    let said = desk.refused(&["halt", "ema", "--timeout", "1"], 69);
    assert_says(&said, &["not confirmed by the operator within 1 s"]);
    assert_eq!(desk.strategy("ema")["spec"]["tradingState"], "HALTED", "asked for all the same");

    let _operator = StandIn::start(desk.cluster, &desk.namespace);
    let said: Json = serde_json::from_str(&desk.ok(&["halt", "ema", "--format", "json"])).unwrap();
    assert_eq!((&said["tradingState"], &said["confirmed"]), (&json!("HALTED"), &json!(true)));
    assert!(said["confirmedAfterMs"].as_f64().unwrap() > 0.0);

    let other = desk.file("ema", "record-only/record-only.wasm", "  tradingState: ACTIVE\n");
    assert_says(&desk.deploy(&other, &[]), &["/ema: changed", "/ema: stays HALTED; `pinion resume ema` lifts it"]);
    assert_says(&desk.deploy(&other, &["--force"]), &["/ema: stays HALTED"]);
    assert_eq!(desk.strategy("ema")["spec"]["tradingState"], "HALTED");

    assert_says(&desk.ok(&["resume", "ema"]), &["ema: ACTIVE, confirmed after "]);
    assert_eq!(desk.strategy("ema")["spec"]["tradingState"], "ACTIVE");
    // Stricter than what is: the file is obeyed.
    let halted = desk.file("ema", "record-only/record-only.wasm", "  tradingState: HALTED\n");
    let _ = desk.deploy(&halted, &[]);
    assert_eq!(desk.strategy("ema")["spec"]["tradingState"], "HALTED");
}

#[test]
fn halt_all_halts_every_strategy_of_the_namespace_and_none_of_another() {
    let (Some(desk), Some(other)) = (Desk::new(), Desk::new()) else { return };
    let _operator = StandIn::start(desk.cluster, &desk.namespace);
    for (desk, name) in [(&desk, "one"), (&desk, "two"), (&other, "three")] {
        let _ = desk.deploy(&desk.file(name, "identity/identity.wasm", ""), &[]);
    }
    let said = desk.ok(&["halt", "--all"]);
    assert_says(&said, &["one: HALTED, confirmed after", "two: HALTED, confirmed after"]);
    let states = [(&desk, "one"), (&desk, "two"), (&other, "three")]
        .map(|(desk, name)| desk.strategy(name)["spec"]["tradingState"].clone());
    assert_eq!(states, [json!("HALTED"), json!("HALTED"), json!("ACTIVE")]);
    let said = desk.refused(&["halt", "nobody"], 64);
    assert_says(&said, &["halt nobody: ", "\"nobody\" not found"]);
}
