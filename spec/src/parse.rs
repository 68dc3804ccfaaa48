//! A strategy file's text to typed strategies, or to everything that is wrong with it.

use serde_json::Value as Json;

use crate::check::Checker;
use crate::error::{SpecError, SpecErrors};
use crate::strategy::Strategy;
use crate::validate::{to_json, validate, validate_together};
use crate::yaml::{self, Node};

/// Reads a strategy file: one or more `Strategy` documents.
///
/// `file_name` only stands in messages. Nothing is read from disk, so whether the module exists is not asked here.
///
/// # Errors
/// Every mistake of the file at once, in the order of its lines: YAML, schema, and how fields must fit each other. Where
/// the text is no YAML, the documents before the break are still checked.
pub fn parse(text: &str, file_name: &str) -> Result<Vec<Strategy>, SpecErrors> {
    let strategies = parse_as_written(text, file_name)?;
    Ok(strategies.into_iter().map(|(strategy, _)| strategy).collect())
}

/// The same, and beside each strategy its document as JSON with the fields that the file has and no others: no defaults filled
/// in, labels and annotations kept. For whoever sends it on: a field that is sent is a field that is asked for.
///
/// # Errors
/// As [`parse`].
pub fn parse_as_written(text: &str, file_name: &str) -> Result<Vec<(Strategy, Json)>, SpecErrors> {
    let (mut documents, mut errors) = yaml::documents(text);
    let checker = Checker::shared();
    for document in &mut documents {
        checker.check(document, &mut errors);
        validate(document, &mut errors);
    }
    validate_together(&documents, &mut errors);
    if documents.is_empty() && errors.is_empty() {
        let fix = "write a resource with apiVersion, kind, metadata and spec".into();
        errors.push(SpecError { line: 1, column: 1, field: String::new(), problem: "no strategy in it".into(), fix });
    }
    if errors.is_empty() {
        let strategies = documents.iter().map(typed).collect::<Result<Vec<_>, _>>();
        return strategies.map_err(|error| SpecErrors::new(file_name, vec![error]));
    }
    Err(SpecErrors::new(file_name, errors))
}

/// The schema is derived from the very type, so this fails only where a type refuses what its own schema allows.
fn typed(document: &Node) -> Result<(Strategy, Json), SpecError> {
    let json = to_json(document).unwrap_or_default();
    let strategy = serde_json::from_value(json.clone()).map_err(|error| SpecError {
        line: document.line,
        column: document.column,
        field: String::new(),
        problem: format!("the schema allows it, the type does not: {error}"),
        fix: "please report this file: it is a fault of Pinion".into(),
    })?;
    Ok((strategy, json))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::strategy::{AssignmentMode, Encoding, TradingState};

    const GOOD: &str = r#"# Two strategies in one file.
apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata:
  name: ema-cross
  namespace: desk-7
  labels: {team: x, weight: 0.5}
spec:
  module: {file: ema_cross.wasm}
  inputs:
    - {topic: md.spot, encoding: binance-spot, publisher: binance, start: earliest, partitions: [0, 1]}
    - {topic: executions, encoding: pinion-execution}
  outputs:
    orders: {topic: orders}
    denials: {topic: audit}
    deadLetter: {topic: dead}
  instruments:
    - {symbol: BTCUSDT, tick: "0.01", lot: "0.00001"}
    - {symbol: SHIBUSDT, tick: "0.00000001", lot: "1", sizeExponent: 0, id: 18446744073709551615}
  params: {fast: "12", slow: "26"}
  budget: {callMicros: 200}
  risk: {maxOrderSize: "5", maxPosition: "25", instruments: [BTCUSDT]}
  replicas: 2
  scaling:
    mode: Auto
    maxWorkers: 2
    targets: {p99Micros: 250}
    sessions: [{zone: America/New_York, days: [Mon, Fri], open: "09:30", close: "16:00", minWorkers: 2}]
  rollout: {probationSeconds: 30}
  tradingState: REDUCING
---
apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata: {name: identity}
spec:
  module: {oci: registry.example/identity@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}
  inputs: [{topic: md.usdm, encoding: binance-usdm, group: shared, assignment: group}]
  outputs: {orders: {topic: orders}}
"#;

    /// The mistakes of the good file with `from` replaced, without the file's name.
    fn mistakes(changes: &[(&str, &str)]) -> Vec<String> {
        let text = changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let errors = parse(&text, "s.yaml").map(|_| vec![]).unwrap_or_else(|errors| errors.errors);
        errors.iter().map(ToString::to_string).collect()
    }

    /// Asserts that the change causes one mistake and that its message starts with `field: problem`, whatever the column.
    fn assert_one_mistake(change: (&str, &str), message: &str) {
        let found = mistakes(&[change]);
        let [one] = found.as_slice() else { panic!("{change:?}: {found:?}") };
        let text = one.splitn(3, ':').nth(2).unwrap_or_default().trim_start();
        assert!(text.starts_with(message), "{change:?}: {one}");
    }

    #[test]
    fn a_good_file_is_read_whole_with_defaults_filled_in() {
        let strategies = parse(GOOD, "s.yaml").unwrap();
        let [ema, identity] = strategies.as_slice() else { panic!("{strategies:?}") };
        assert_eq!((ema.tenant(), ema.group().as_str()), ("desk-7", "pinion.desk-7.ema-cross"));
        assert_eq!((identity.tenant(), identity.group().as_str()), ("default", "shared"));
        assert_eq!(ema.spec.inputs[0].publisher_name(), "binance");
        assert_eq!(identity.spec.inputs[0].publisher_name(), Encoding::BinanceUsdm.name());
        assert_eq!(identity.spec.inputs[0].assignment, AssignmentMode::Group);
        assert_eq!(ema.spec.instruments[1].id, Some(u64::MAX));
        assert_eq!(ema.spec.instruments[0].size_exponent, -9);
        assert_eq!((ema.spec.budget.call_micros, ema.spec.budget.memory_mib), (200, 64));
        assert_eq!(ema.spec.risk.as_ref().unwrap().max_order_notional, crate::Decimal::from_units(10_000));
        assert_eq!(ema.spec.trading_state, TradingState::Reducing);
        assert_eq!(ema.spec.params["slow"], "26");
        assert_eq!(identity.spec.risk, None);
    }

    #[test]
    fn a_module_of_no_registry_is_told_at_its_line() {
        let oci = "registry.example/identity@";
        assert_one_mistake((oci, "identity@"), "spec.module.oci: not allowed: ");
        assert_one_mistake((oci, "library/identity@"), "spec.module.oci: names no artefact; say the registry");
    }

    #[test]
    fn a_document_as_written_has_the_files_fields_and_no_defaults() {
        let documents = parse_as_written(GOOD, "s.yaml").unwrap();
        let (identity, written) = &documents[1];
        assert_eq!(identity.spec.replicas, 1);
        assert_eq!(written["spec"].as_object().unwrap().len(), 3, "module, inputs, outputs: {written}");
        assert_eq!(documents[0].1["metadata"]["labels"]["team"], "x");
    }

    #[test]
    fn a_good_file_survives_being_written_and_read_again() {
        for strategy in parse(GOOD, "s.yaml").unwrap() {
            let written = serde_json::to_string_pretty(&strategy).unwrap();
            assert_eq!(parse(&written, "s.json"), Ok(vec![strategy]), "JSON is YAML");
        }
    }

    #[test]
    fn five_mistakes_of_every_kind_are_all_reported_in_one_go() {
        let found = mistakes(&[
            ("labels: {team: x", "labels: {team: &x x"),
            ("encoding: binance-spot", "encoding: binance"),
            ("topic: orders}", "topic: md.spot}"),
            ("maxOrderSize: \"5\"", "maxOrderSize: 0.5"),
            ("tick: \"0.01\"", "tick: \"0\""),
            ("replicas: 2", "replica: 2"),
            ("instruments: [BTCUSDT]", "instruments: [ETHUSDT]"),
        ]);
        assert_eq!(
            found,
            [
                "7:18: metadata.labels.team: anchors (&name) are not read; take the anchor out",
                "11:34: spec.inputs[0].encoding: unknown value \"binance\"; one of binance-spot, binance-usdm, \
             coinbase-exchange, kraken-v1, kraken-futures, dbn, json-map, pinion-flat, pinion-execution",
                "14:21: spec.outputs.orders.topic: \"md.spot\" is also read, by spec.inputs[0]: a loop; write to another topic",
                "18:31: spec.instruments[0].tick: 0 is not above 0; write the venue's own",
                "22:24: spec.risk.maxOrderSize: expected a string, not the number 0.5; write it as a string: \"0.5\"",
                "22:62: spec.risk.instruments[0]: \"ETHUSDT\" is not among spec.instruments; \
             declare it there with its tick and lot, or take it out here",
                "23:3: spec.replica: unknown field; did you mean replicas?",
            ]
        );
    }

    #[test]
    fn the_report_names_the_file_and_every_line() {
        let errors = parse("a: &x 1\n", "dir/s.yaml").unwrap_err();
        let lines: Vec<_> = errors.errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [1; 6], "{errors}");
        assert!(errors.to_string().lines().all(|line| line.starts_with("dir/s.yaml:1:")), "{errors}");
    }

    #[test]
    fn what_follows_a_break_in_the_yaml_is_lost_but_what_came_before_is_checked() {
        let found = mistakes(&[("replicas: 2", "replicas: 0"), ("metadata: {name: identity}", "metadata: {name: [}")]);
        assert!(
            found.len() == 2 && found[0].starts_with("23:13: spec.replicas") && found[1].contains("not YAML"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_without_a_strategy_is_refused() {
        for text in ["", "---\n---\n", "# nothing\n"] {
            assert!(parse(text, "s.yaml").unwrap_err().errors[0].problem.contains("no strategy"), "{text:?}");
        }
        assert!(parse("[1, 2]", "s.yaml").unwrap_err().errors[0].problem.contains("expected a mapping"));
    }

    #[test]
    fn a_module_has_exactly_one_source() {
        assert_one_mistake(("{file: ema_cross.wasm}", "{}"), "spec.module: no source of the module");
        assert_one_mistake(
            ("ema_cross.wasm}", "a.wasm, configMap: {name: a, key: b}}"),
            "spec.module: 2 sources: file, configMap; give exactly one",
        );
    }

    #[test]
    fn topics_are_read_once_and_told_apart_by_their_hash() {
        assert_one_mistake(
            ("topic: executions", "topic: md.spot"),
            "spec.inputs[1].topic: \"md.spot\" is already read by spec.inputs[0]",
        );
        let hash = crate::ids::ClientOrderId::topic_hash;
        let twin = (0..1_000_000).map(|i| format!("t{i}")).find(|t| hash(t) == hash("md.spot")).unwrap();
        assert_one_mistake(
            ("topic: executions", &format!("topic: {twin}")),
            "spec.inputs[1].topic: order ids could not tell it from topic \"md.spot\"",
        );
    }

    #[test]
    fn a_topic_is_not_both_written_and_read_and_takes_one_kind_of_record() {
        assert_one_mistake(
            ("topic: dead}", "topic: executions}"),
            "spec.outputs.deadLetter.topic: \"executions\" is also read, by spec.inputs[1]: a loop",
        );
        assert_one_mistake(
            ("topic: audit", "topic: orders"),
            "spec.outputs.denials.topic: \"orders\" also takes orders",
        );
    }

    #[test]
    fn executions_are_read_whole_by_every_process() {
        for extra in ["partitions: [0]", "broadcast: true", "assignment: group"] {
            let field = extra.split(':').next().unwrap();
            assert_one_mistake(
                ("pinion-execution}", &format!("pinion-execution, {extra}}}")),
                &format!("spec.inputs[1].{field}: not for an input of executions"),
            );
        }
    }

    #[test]
    fn executions_alone_feed_nothing() {
        assert_one_mistake(
            ("binance-usdm, group: shared, assignment: group", "pinion-execution"),
            "spec.inputs: no market data, only executions",
        );
    }

    #[test]
    fn a_consumer_group_shares_out_one_input_only() {
        let other = "[{topic: more, encoding: pinion-flat}, {topic: md.usdm";
        assert_one_mistake(
            ("[{topic: md.usdm", other),
            "spec.inputs[1].assignment: group assignment beside another input",
        );
        for (extra, message) in [("broadcast: true", "of a broadcast input"), ("partitions: [0]", "beside a list of")] {
            assert_one_mistake(
                ("group: shared", &format!("group: shared, {extra}")),
                &format!("spec.inputs[0].assignment: group assignment {message}"),
            );
        }
    }

    #[test]
    fn the_inputs_of_a_strategy_name_one_group() {
        let two = |group: &str| format!("[{{topic: ex, encoding: pinion-execution, group: {group}}}, {{topic: md.usdm");
        let fixed = ("assignment: group", "assignment: static");
        assert_eq!(mistakes(&[("[{topic: md.usdm", &two("shared")), fixed]), Vec::<String>::new());
        let found = mistakes(&[("[{topic: md.usdm", &two("mine")), fixed]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("spec.inputs[1].group: group \"shared\" beside group \"mine\" of spec.inputs[0]"));
    }

    #[test]
    fn scaling_must_fit_itself_and_its_zones_must_exist() {
        let max = "maxWorkers: 2";
        let problem = "spec.scaling.minWorkers: 3 is more than maxWorkers, 2; lower it";
        assert_one_mistake((max, "maxWorkers: 2\n    minWorkers: 3"), problem);
        let problem = "spec.scaling.sessions[0].minWorkers: 3 is more than maxWorkers, 2; lower it";
        assert_one_mistake(("minWorkers: 2}", "minWorkers: 3}"), problem);
        let problem = "spec.scaling.sessions[0].zone: no time zone \"America/Newark\"; an IANA name";
        assert_one_mistake(("America/New_York", "America/Newark"), problem);
        let problem = "spec.scaling.sessions[0].zone: not allowed: \"New York\"; the name of an IANA time zone";
        assert_one_mistake(("America/New_York", "New York"), problem);
        assert_one_mistake(("[Mon, Fri]", "[Mon, Mon]"), "spec.scaling.sessions[0].days[1]: Mon is listed twice");
        let problem = "spec.scaling.sessions[0].open: not allowed: \"9:300\"; a time of day such as \"09:30\"";
        assert_one_mistake(("\"09:30\"", "\"9:300\""), problem);
    }

    #[test]
    fn a_worker_needs_a_partition_of_its_own() {
        assert_one_mistake(("replicas: 2", "replicas: 3"), "spec.replicas: 3 workers for 2 partitions");
        assert_one_mistake(("partitions: [0, 1]", "broadcast: true"), "spec.replicas: 2 workers for 1 partitions");
        assert_one_mistake(
            ("partitions: [0, 1]", "partitions: [0, 1, 0]"),
            "spec.inputs[0].partitions: partition 0 is",
        );
        assert_eq!(
            mistakes(&[
                ("partitions: [0, 1]", "start: latest"),
                ("start: earliest, ", ""),
                ("replicas: 2", "replicas: 9")
            ]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_instrument_belongs_to_a_publisher_of_market_data() {
        assert_one_mistake(
            ("{symbol: BTCUSDT", "{publisher: kraken, symbol: BTCUSDT"),
            "spec.instruments[0].publisher: no market-data input has publisher \"kraken\"; one of binance",
        );
        let found = mistakes(&[(
            "    - {topic: executions",
            "    - {topic: two, encoding: pinion-flat, publisher: desk}\n    - {topic: executions",
        )]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("spec.instruments[0]: the inputs have 2 publishers; add publisher: one of binance, desk")
        );
    }

    #[test]
    fn no_two_instruments_share_a_name_or_an_id() {
        assert_one_mistake(
            ("symbol: SHIBUSDT", "symbol: BTCUSDT"),
            "spec.instruments[1].symbol: \"BTCUSDT\" of \"binance\" is already spec.instruments[0]",
        );
        let hashed = crate::ids::instrument_id("binance", b"BTCUSDT");
        assert_one_mistake(
            ("id: 18446744073709551615", &format!("id: {hashed}")),
            &format!("spec.instruments[1].id: id {hashed} is already that of spec.instruments[0]"),
        );
    }

    #[test]
    fn an_id_that_64_bits_cannot_hold_is_refused() {
        let message = "spec.instruments[1].id: out of range; from 0 to 18446744073709551615";
        assert_one_mistake(("id: 18446744073709551615", "id: 18446744073709551616"), message);
        assert_one_mistake(("id: 18446744073709551615", "id: -1"), message);
    }

    #[test]
    fn ticks_and_lots_are_above_zero_and_exact() {
        assert_one_mistake(("tick: \"0.01\"", "tick: \"-1\""), "spec.instruments[0].tick: -1 is not above 0");
        assert_one_mistake(("lot: \"1\"", "lot: \"0\""), "spec.instruments[1].lot: 0 is not above 0");
        assert_one_mistake(("lot: \"1\"", "lot: \"0.5\""), "spec.instruments[1].lot: 0.5 is no whole number of 1e0");
        assert_one_mistake(
            ("tick: \"0.01\"", "tick: \"10000000000\""),
            "spec.instruments[0].tick: 10000000000 is no whole number of 1e-9 that fits 64 bits",
        );
        assert_one_mistake(
            ("symbol: SHIBUSDT", &format!("symbol: {}", "é".repeat(33))),
            "spec.instruments[1].symbol: too",
        );
    }

    #[test]
    fn risk_limits_are_above_zero_exact_and_on_declared_instruments() {
        assert_one_mistake(("maxPosition: \"25\"", "maxPosition: \"0\""), "spec.risk.maxPosition: 0 is not above 0");
        assert_one_mistake(
            ("maxPosition: \"25\"", "maxOrderNotional: \"-1\""),
            "spec.risk.maxOrderNotional: -1 is not above 0",
        );
        assert_one_mistake(
            ("maxPosition: \"25\"", "maxPosition: \"2.5\""),
            "spec.risk.maxPosition: 2.5 is no whole number of 1e0 that fits 64 bits as spec.instruments[1] needs it",
        );
        assert_one_mistake(
            ("instruments: [BTCUSDT]", "instruments: [BTCUSDT, BTCUSDT]"),
            "spec.risk.instruments[1]: \"BTCUSDT\" is listed twice",
        );
    }

    #[test]
    fn strategies_of_one_file_have_names_of_their_own() {
        assert_one_mistake(
            ("{name: identity}", "{name: ema-cross, namespace: desk-7}"),
            "metadata.name: a second strategy \"ema-cross\" of tenant \"desk-7\"",
        );
    }

    #[test]
    fn a_file_with_fifty_thousand_mistakes_gets_a_short_report() {
        let wide = format!("spec: {{{}}}", (0..50_000).map(|i| format!("k{i}: 1")).collect::<Vec<_>>().join(", "));
        let errors = parse(&wide, "s.yaml").unwrap_err();
        assert!(errors.omitted > 49_000 && errors.to_string().len() < 100_000, "{}", errors.omitted);
    }

    #[test]
    fn a_huge_scalar_is_not_repeated_in_its_report() {
        let huge = parse(&GOOD.replacen("ema-cross", &"x".repeat(900_000), 1), "s.yaml").unwrap_err();
        assert!(huge.to_string().len() < 1_000);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            let _ = parse(&text, "s.yaml");
        }

        #[test]
        fn any_text_of_yaml_s_own_characters_is_answered(text in "[-:?,\\[\\]{}#&*!|>'\"%@`a-c01 \n\t]{0,120}") {
            let _ = parse(&text, "s.yaml");
        }

        #[test]
        fn a_good_file_with_a_piece_replaced_is_answered_and_never_called_our_fault(
            start in 0..GOOD.len(), len in 0_usize..60, piece in "[-:,\\[\\]{}\"a-z0-9. \n]{0,12}",
        ) {
            let end = (start + len).min(GOOD.len());
            let text = format!("{}{piece}{}", &GOOD[..start], &GOOD[end..]);
            if let Err(errors) = parse(&text, "s.yaml") {
                prop_assert!(!errors.errors.is_empty());
                prop_assert!(!errors.to_string().contains("fault of Pinion"), "{}\n{}", errors, text);
            }
        }
    }
}
