//! The instruments of a strategy, and the risk limits that name or measure them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::at::{At, Given};
use super::inputs::Inputs;
use crate::Decimal;
use crate::error::{SpecError, quoted};
use crate::ids::instrument_id;

/// Longest symbol in bytes; the runtime keeps symbols in tables of this width.
const SYMBOL_BYTES_MAX: usize = 64;

/// Exponent of every price.
const PRICE_EXPONENT: i8 = -9;

pub(super) fn validate(spec: &At<'_>, inputs: &Inputs<'_>, errors: &mut Vec<SpecError>) {
    let publishers = inputs.publishers();
    let instruments: Vec<Instrument<'_>> =
        spec.items("instruments").into_iter().map(|at| Instrument::read(at, publishers.as_ref())).collect();
    for instrument in &instruments {
        instrument.validate(publishers.as_ref(), errors);
    }
    identities(&instruments, errors);
    if let Some(risk) = spec.field("risk") {
        risk_instruments(&risk, spec, &instruments, errors);
        risk_amounts(&risk, &instruments, errors);
    }
}

/// One instrument as far as it is known.
struct Instrument<'a> {
    at: At<'a>,
    symbol: Option<String>,
    /// As the file says, else the file's only one.
    publisher: Option<String>,
    id: Given<u64>,
    size_exponent: Option<i8>,
}

impl<'a> Instrument<'a> {
    fn read(at: At<'a>, publishers: Option<&BTreeSet<String>>) -> Self {
        let only = publishers.filter(|publishers| publishers.len() == 1).and_then(BTreeSet::first);
        let publisher = match at.read("publisher") {
            Given::Absent => only.cloned(),
            given => given.value(),
        };
        Self {
            symbol: at.read("symbol").value(),
            publisher,
            id: at.read("id"),
            size_exponent: at.read("sizeExponent").or(-9),
            at,
        }
    }

    fn validate(&self, publishers: Option<&BTreeSet<String>>, errors: &mut Vec<SpecError>) {
        let at = &self.at;
        if self.symbol.as_ref().is_some_and(|symbol| symbol.len() > SYMBOL_BYTES_MAX) {
            errors.push(at.error_in("symbol", "too long", format!("at most {SYMBOL_BYTES_MAX} bytes of UTF-8")));
        }
        match (at.read::<String>("publisher"), publishers) {
            (Given::Value(name), Some(publishers)) if !publishers.contains(&name) => {
                let problem = format!("no market-data input has publisher {}", quoted(&name));
                errors.push(at.error_in("publisher", problem, format!("one of {}", list(publishers))));
            }
            (Given::Absent, Some(publishers)) if publishers.len() > 1 => {
                let problem = format!("the inputs have {} publishers", publishers.len());
                errors.push(at.error(problem, format!("add publisher: one of {}", list(publishers))));
            }
            _ => {}
        }
        let exponents = [("tick", Some(PRICE_EXPONENT)), ("lot", self.size_exponent)];
        for (name, exponent) in exponents {
            if let (Some(amount), Some(exponent)) = (at.read::<Decimal>(name).value(), exponent) {
                if amount <= Decimal::default() {
                    errors.push(at.error_in(name, format!("{amount} is not above 0"), "write the venue's own"));
                } else if amount.at_exponent(exponent).is_none() {
                    errors.push(at.error_in(name, unfit(amount, exponent), fit(name)));
                }
            }
        }
    }
}

/// No two instruments may share a symbol of one publisher, or an id, declared or hashed.
fn identities(instruments: &[Instrument<'_>], errors: &mut Vec<SpecError>) {
    let mut names = HashMap::new();
    let mut ids = HashMap::new();
    for instrument in instruments {
        let (Some(symbol), Some(publisher)) = (&instrument.symbol, &instrument.publisher) else {
            continue;
        };
        if let Some(other) = names.insert((publisher, symbol), &instrument.at) {
            let problem = format!("{} of {} is already {}", quoted(symbol), quoted(publisher), other.path());
            errors.push(instrument.at.error_in("symbol", problem, "declare it once"));
            continue;
        }
        let Some(id) = instrument.id.or(instrument_id(publisher, symbol.as_bytes())) else {
            continue;
        };
        if let Some(other) = ids.insert(id, &instrument.at) {
            let problem = format!("id {id} is already that of {}", other.path());
            errors.push(instrument.at.error_in("id", problem, "give one of the two another id"));
        }
    }
}

fn risk_instruments(risk: &At<'_>, spec: &At<'_>, instruments: &[Instrument<'_>], errors: &mut Vec<SpecError>) {
    let symbols_known = instruments.iter().all(|instrument| instrument.symbol.is_some())
        && spec.field("instruments").is_none_or(|list| !instruments.is_empty() || !list.is_unknown());
    let declared: HashSet<&str> = instruments.iter().filter_map(|instrument| instrument.symbol.as_deref()).collect();
    let mut seen = HashSet::new();
    for item in risk.items("instruments") {
        let Some(symbol) = item.here::<String>().value() else {
            continue;
        };
        if symbols_known && !declared.contains(symbol.as_str()) {
            let problem = format!("{} is not among spec.instruments", quoted(&symbol));
            errors.push(item.error(problem, "declare it there with its tick and lot, or take it out here"));
        }
        if seen.contains(&symbol) {
            errors.push(item.error(format!("{} is listed twice", quoted(&symbol)), "list it once"));
        }
        seen.insert(symbol);
    }
}

/// Limits must be above 0, and those on sizes must be exact at the exponent of each instrument: a limit is never rounded.
fn risk_amounts(risk: &At<'_>, instruments: &[Instrument<'_>], errors: &mut Vec<SpecError>) {
    for (name, is_size) in [("maxOrderSize", true), ("maxOrderNotional", false), ("maxPosition", true)] {
        let Some(amount) = risk.read::<Decimal>(name).value() else {
            continue;
        };
        if amount <= Decimal::default() {
            let fix = "write a limit above 0; to stop a strategy write tradingState: HALTED";
            errors.push(risk.error_in(name, format!("{amount} is not above 0"), fix));
            continue;
        }
        let misfit = instruments.iter().filter(|_| is_size).find_map(|instrument| {
            let exponent = instrument.size_exponent.filter(|exponent| amount.at_exponent(*exponent).is_none())?;
            Some((instrument, exponent))
        });
        if let Some((instrument, exponent)) = misfit {
            let problem = format!("{} as {} needs it", unfit(amount, exponent), instrument.at.path());
            errors.push(risk.error_in(name, problem, fit(name)));
        }
    }
}

fn unfit(amount: Decimal, exponent: i8) -> String {
    format!("{amount} is no whole number of 1e{exponent} that fits 64 bits")
}

fn fit(name: &str) -> &'static str {
    match name {
        "tick" => "write a smaller tick",
        _ => "write fewer digits, or change sizeExponent: smaller for finer sizes, larger for bigger ones",
    }
}

fn list(publishers: &BTreeSet<String>) -> String {
    publishers.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
