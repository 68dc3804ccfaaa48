//! What a paper venue listens to: the strategies' market data and orders, read from their files.

use std::collections::BTreeMap;

use pinion_runtime::decode::Decoder;
use pinion_runtime::instruments::{Instrument, Instruments};
use pinion_runtime::plan::{self, PlanError};
use pinion_runtime::run::RunError;
use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{AssignmentMode, Encoding, Resync, Start, Strategy};

use crate::error::CliError;

/// The name under which all strategies' inputs are put together.
const GROUP: &str = "paper";

/// A strategy whose orders are filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// As its order ids begin.
    pub(crate) hash: u32,
    /// Where its orders come.
    pub(crate) orders: String,
    /// Where it reads what became of them; `None`: nowhere.
    pub(crate) executions: Option<String>,
}

/// A topic of market data.
pub(crate) struct Market {
    /// Its name.
    pub(crate) topic: String,
    /// Its partitions; `None`: all.
    pub(crate) partitions: Option<Vec<u16>>,
    /// Its decoder.
    pub(crate) decoder: Decoder,
}

/// All of it.
pub(crate) struct Listen {
    pub(crate) members: Vec<Member>,
    pub(crate) markets: Vec<Market>,
    pub(crate) instruments: Instruments,
    pub(crate) resync: Resync,
}

impl Listen {
    /// What these strategies name.
    ///
    /// # Errors
    /// [`CliError::Usage`] for one without market data, two of the same name, or two that read the same market differently.
    pub(crate) fn of(strategies: &[Strategy]) -> Result<Self, CliError> {
        let members = members(strategies)?;
        let mut market: Vec<Strategy> = strategies.to_vec();
        for strategy in &mut market {
            let name = &strategy.metadata.name;
            let inputs = &mut strategy.spec.inputs;
            inputs.retain(|input| input.encoding.is_market_data());
            if inputs.is_empty() {
                return Err(CliError::Usage(format!("{name} reads no market data: there is nothing to fill it from")));
            }
            for input in inputs {
                // One reading of all, whoever reads it live.
                input.group = Some(GROUP.to_owned());
                (input.assignment, input.start, input.broadcast) = (AssignmentMode::Static, Start::Latest, false);
            }
            strategy.spec.outputs.dead_letter = None;
        }
        let feeds = plan::feeds(&market.iter().collect::<Vec<_>>()).map_err(|error| match error {
            PlanError::Conflict { first, second, what, .. } => {
                CliError::Usage(format!("{first} and {second} differ in {what}; run a paper venue for each"))
            }
            error => CliError::Usage(error.to_string()),
        })?;
        let mut declared: BTreeMap<u64, Instrument> = BTreeMap::new();
        for strategy in &market {
            for instrument in plan::instruments(strategy).map_err(|error| CliError::Usage(error.to_string()))? {
                let known = declared.entry(instrument.id).or_insert_with(|| instrument.clone());
                if known.size_exponent != instrument.size_exponent {
                    let (symbol, name) = (&instrument.symbol, &strategy.metadata.name);
                    return Err(CliError::Usage(format!(
                        "instrument {symbol} of {name}: another strategy declares it with another sizeExponent"
                    )));
                }
            }
        }
        let declared: Vec<Instrument> = declared.into_values().collect();
        let mut markets = Vec::new();
        for input in feeds.iter().flat_map(|feed| &feed.inputs) {
            let decoder = Decoder::of_input(input.encoding, &input.publisher, input.map.as_ref(), &declared)
                .map_err(|error| CliError::Usage(format!("topic {}: {error}", input.topic)))?;
            markets.push(Market { topic: input.topic.clone(), partitions: input.partitions.clone(), decoder });
        }
        let resync = feeds.first().map_or_else(Resync::default, |feed| feed.resync);
        Ok(Self { members, markets, instruments: Instruments::new(declared), resync })
    }
}

impl Listen {
    /// Every topic that is listened to, once, and which partitions of it; `None`: all.
    pub(super) fn topics(&self) -> BTreeMap<&String, Option<&Vec<u16>>> {
        let members = self.members.iter().flat_map(|member| std::iter::once(&member.orders).chain(&member.executions));
        let mut topics: BTreeMap<_, _> = members.map(|topic| (topic, None)).collect();
        topics.extend(self.markets.iter().map(|market| (&market.topic, market.partitions.as_ref())));
        topics
    }
}

fn members(strategies: &[Strategy]) -> Result<Vec<Member>, CliError> {
    let mut members: Vec<Member> = Vec::new();
    for strategy in strategies {
        let name = strategy.metadata.name.clone();
        let hash = ClientOrderId::strategy_hash(strategy.tenant(), &name);
        if members.iter().any(|member| member.hash == hash) {
            return Err(CliError::Usage(format!("strategy {name} of {} is given twice", strategy.tenant())));
        }
        let executions = strategy.spec.inputs.iter().find(|input| input.encoding == Encoding::PinionExecution);
        members.push(Member {
            name,
            hash,
            orders: strategy.spec.outputs.orders.topic.clone(),
            executions: executions.map(|input| input.topic.clone()),
        });
    }
    Ok(members)
}

/// The strategies of these files, in one namespace where one is given.
///
/// # Errors
/// [`CliError`] with what is wrong with a file.
pub(super) fn strategies(files: &[std::path::PathBuf], namespace: Option<&str>) -> Result<Vec<Strategy>, CliError> {
    let mut strategies = Vec::new();
    for file in files {
        strategies.extend(pinion_runtime::loading::read(file).map_err(RunError::from)?);
    }
    for strategy in &mut strategies {
        if let Some(namespace) = namespace {
            strategy.metadata.namespace = Some(namespace.to_owned());
        }
    }
    Ok(strategies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(name: &str, resync: &str, inputs: &str) -> Strategy {
        let text = format!(
            "apiVersion: pinion.dev/v1alpha1\nkind: Strategy\nmetadata: {{name: {name}}}\nspec:\n  module: {{file: a.wasm}}\n  \
             outputs: {{orders: {{topic: o.{name}}}}}\n  instruments:\n    - {{symbol: A, tick: '1', lot: '1', publisher: binance-spot}}\n  \
             inputs:\n    - {{topic: md, encoding: binance-spot, resync: {resync}}}\n{inputs}"
        );
        pinion_spec::parse(&text, "a.yaml").unwrap().remove(0)
    }

    #[test]
    fn strategies_that_read_the_same_share_one_market_and_each_has_its_own_way_out() {
        let a = strategy("a", "rebuild", "    - {topic: ex.a, encoding: pinion-execution, resync: rebuild}\n");
        let b = strategy("b", "rebuild", "    - {topic: md.2, encoding: binance-usdm, resync: rebuild}\n");
        let listen = Listen::of(&[a, b]).unwrap();
        assert_eq!(listen.markets.iter().map(|market| market.topic.as_str()).collect::<Vec<_>>(), ["md", "md.2"]);
        assert_eq!(listen.members[0].executions.as_deref(), Some("ex.a"));
        assert_eq!((listen.members[1].orders.as_str(), &listen.members[1].executions), ("o.b", &None));
        assert_eq!(listen.resync, Resync::Rebuild);
    }

    #[test]
    fn what_cannot_be_one_venue_is_refused_with_both_names() {
        let said = |strategies: &[Strategy]| Listen::of(strategies).err().unwrap().to_string();
        let (a, b) = (strategy("a", "rebuild", ""), strategy("b", "snapshot", ""));
        assert_eq!(said(&[a.clone(), b]), "a and b differ in resync; run a paper venue for each");
        assert_eq!(said(&[a.clone(), a.clone()]), "strategy a of default is given twice");
        let mut other = strategy("b", "rebuild", "");
        other.spec.instruments[0].size_exponent = -3;
        assert!(said(&[a.clone(), other]).contains("another sizeExponent"));
        let mut blind = a;
        blind.spec.inputs[0].encoding = Encoding::PinionExecution;
        assert!(said(&[blind]).contains("reads no market data"));
    }
}
