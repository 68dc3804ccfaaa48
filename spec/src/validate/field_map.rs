//! How the parts of an input's field map must fit each other. Each rule stands in the CRD too (`operator/src/crd/rules.rs`).

use super::at::{At, Given};
use crate::error::{SpecError, quoted};
use crate::strategy::Encoding;

/// Appends the mistakes of an input's map, and of its absence.
pub(super) fn validate(input: &At<'_>, encoding: Encoding, errors: &mut Vec<SpecError>) {
    let Some(map) = input.field("map") else {
        if encoding == Encoding::JsonMap && !input.is_unknown() {
            errors.push(input.error_in("encoding", "json-map without a map", "add map: where the fields stand"));
        }
        return;
    };
    if encoding != Encoding::JsonMap {
        let problem = format!("a map beside encoding {}", quoted(encoding.name()));
        errors.push(map.error(problem, "take it out, or write encoding: json-map"));
    }
    if given(&map, "time") != given(&map, "timeUnit") {
        let field = if given(&map, "time") { "time" } else { "timeUnit" };
        errors.push(map.error_in(field, "one of time and timeUnit alone", "give both: timeUnit is s, ms, us or ns"));
    }
    let (quote, trade) = (map.field("quote"), map.field("trade"));
    kinds(&map, quote.as_ref(), trade.as_ref(), errors);
    if let Some(trade) = trade {
        sides(&trade, errors);
    }
}

fn given(at: &At<'_>, name: &str) -> bool {
    at.field(name).is_some()
}

fn kinds(map: &At<'_>, quote: Option<&At<'_>>, trade: Option<&At<'_>>, errors: &mut Vec<SpecError>) {
    let kind = given(map, "kind");
    match (quote, trade) {
        (None, None) if !map.is_unknown() => {
            errors.push(map.error("neither quote nor trade", "give quote, trade or both"));
        }
        (Some(_), Some(_)) if !kind => {
            errors.push(map.error("quote and trade without kind", "add kind: where a record says which it is"));
        }
        _ => {}
    }
    for each in [quote, trade].into_iter().flatten() {
        match (kind, given(each, "when")) {
            (true, false) => errors.push(each.error("no when beside kind", "add when: what kind holds for these")),
            (false, true) if quote.is_none() || trade.is_none() => {
                errors.push(each.error_in("when", "no kind to compare with", "add kind to the map, or take when out"));
            }
            _ => {}
        }
    }
    let when = |at: Option<&At<'_>>| at.map(|at| at.read::<String>("when"));
    if let (Some(Given::Value(quotes)), Some(Given::Value(trades))) = (when(quote), when(trade))
        && quotes == trades
        && let Some(trade) = trade
    {
        errors.push(trade.error_in("when", format!("{} is also that of quotes", quoted(&trades)), "write another"));
    }
}

fn sides(trade: &At<'_>, errors: &mut Vec<SpecError>) {
    let words = ["side", "buy", "sell"].map(|name| given(trade, name));
    if words.contains(&true) && words.contains(&false) {
        let fix = "give side, buy and sell, or none of them";
        errors.push(trade.error("a side needs its place and both of its words", fix));
    }
    if let (Given::Value(buy), Given::Value(sell)) = (trade.read::<String>("buy"), trade.read::<String>("sell"))
        && buy == sell
    {
        errors.push(trade.error_in("sell", format!("{} is also the word of buyers", quoted(&sell)), "write another"));
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    const FILE: &str = "apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata: {name: x}
spec:
  module: {file: a.wasm}
  inputs:
  - topic: md
    encoding: json-map
    map:
      symbol: /s
      time: /t
      timeUnit: ms
      kind: /k
      quote: {when: q, bidPrice: /b, askPrice: /a}
      trade: {when: t, price: /p, size: /z, side: /d, buy: B, sell: S}
  outputs: {orders: {topic: o}}
";

    fn found(from: &str, to: &str) -> Vec<String> {
        assert!(FILE.contains(from), "{from}");
        match parse(&FILE.replace(from, to), "x.yaml") {
            Ok(_) => Vec::new(),
            Err(errors) => errors.errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_whole_map_is_good_and_so_is_one_of_one_kind() {
        assert_eq!(found("/s", "/s/0/x"), [""; 0]);
        let of_one_kind = "      trade: {";
        let with_kind = "      kind: /k\n      quote: {when: q, bidPrice: /b, askPrice: /a}\n      trade: {when: t, ";
        assert_eq!(found(with_kind, of_one_kind), [""; 0]);
    }

    #[test]
    fn each_mistake_is_told_with_its_line_and_its_field() {
        let map = "\n    map:\n      symbol: /s";
        for (from, to, line, field, problem) in [
            ("encoding: json-map", "encoding: kraken-v1", 10, "inputs[0].map", "a map beside encoding"),
            ("      timeUnit: ms\n", "", 11, "inputs[0].map.time", "time and timeUnit alone"),
            ("      kind: /k\n", "", 10, "inputs[0].map", "quote and trade without kind"),
            ("{when: q, ", "{", 14, "inputs[0].map.quote", "no when beside kind"),
            ("when: t", "when: q", 15, "inputs[0].map.trade.when", "also that of quotes"),
            ("side: /d, ", "", 15, "inputs[0].map.trade", "a side needs its place"),
            ("sell: S", "sell: B", 15, "inputs[0].map.trade.sell", "also the word of buyers"),
            ("symbol: /s", "symbol: s", 10, "inputs[0].map.symbol", "not allowed"),
            ("symbol: /s", "symbol: /~", 10, "inputs[0].map.symbol", "not allowed"),
            ("{when: t", "{wen: t", 15, "inputs[0].map.trade.wen", "unknown field"),
            ("timeUnit: ms", "timeUnit: m", 12, "inputs[0].map.timeUnit", "unknown value"),
        ] {
            let found = found(from, to);
            let [error] = &found[..] else { panic!("{to}: {found:?}") };
            assert!(error.contains(&format!("{line}:")) && error.contains(field), "{to}: {error}");
            assert!(error.contains(problem), "{to}: {error}");
        }
        let start = FILE.find(map).unwrap();
        let end = FILE.find("  outputs").unwrap();
        let without = format!("{}\n{}", &FILE[..start], &FILE[end..]);
        let errors = parse(&without, "x.yaml").unwrap_err().to_string();
        assert!(errors.contains("spec.inputs[0].encoding: json-map without a map"), "{errors}");
        let neither = FILE[..FILE.find("      quote").unwrap()].to_owned() + &FILE[end..];
        let errors = parse(&neither, "x.yaml").unwrap_err().to_string();
        assert!(errors.contains("spec.inputs[0].map: neither quote nor trade"), "{errors}");
    }
}
