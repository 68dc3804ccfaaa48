//! What commands and strategy files change while strategies run, and which of the two counts.
//!
//! Promise: a command counts as it is given; a strategy file changes only what it says otherwise than before, and loosens nothing
//! that a command has tightened: that takes another command.

use std::collections::BTreeMap;

use pinion_spec::strategy::{Input, Instrument, Risk, TradingState};
use serde::Serialize;

use super::{App, AppError, StrategyHandle};
use crate::metrics::StrategyMetrics;
use crate::plan;
use crate::risk::RiskChange;
use crate::worker::{Command, Scope};

/// What commands have set for a strategy, until other commands do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commanded {
    pub(super) trading_state: Option<TradingState>,
    pub(super) risk: RiskChange,
}

/// One strategy that runs, as the admin port shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub strategy: String,
    /// Digest of its module.
    pub module: String,
    /// How many instances.
    pub instances: usize,
    /// What it may do now.
    pub trading_state: TradingState,
    /// Whether an instance of it faulted too often and is not called.
    pub quarantined: bool,
    /// The limits of each instance now.
    pub risk: Risk,
    /// What it may trade.
    pub tradable: Vec<Tradable>,
    /// The group that reads for it.
    pub group: String,
    /// What it reads, as in its file.
    pub inputs: Vec<Input>,
}

/// An instrument that a strategy declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tradable {
    /// The venue's symbol.
    pub symbol: String,
    /// Who publishes it.
    pub publisher: String,
    /// Its id.
    pub instrument_id: u64,
    /// Whether its kill switch is on.
    pub killed: bool,
}

/// How a command names an instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its id.
    Id(u64),
    /// By the venue's symbol, and by its publisher where several carry that symbol.
    Symbol(String, Option<String>),
}

/// Limits before and after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsChanged {
    /// Before.
    pub from: Risk,
    /// After.
    pub to: Risk,
    /// How many instances are held to them.
    pub instances: usize,
}

impl StrategyHandle {
    /// Its declared instruments: symbol, publisher, id.
    fn declared(&self) -> impl Iterator<Item = (&Instrument, &str, u64)> {
        self.strategy.spec.instruments.iter().filter_map(|declared| {
            let publisher = plan::publisher_of(&self.strategy, declared)?;
            Some((declared, publisher, plan::id_of(declared, publisher)))
        })
    }
}

impl App {
    /// What runs.
    #[must_use]
    pub fn overview(&self) -> Vec<Overview> {
        let quarantined = |metrics: &StrategyMetrics| metrics.quarantined.get() > 0;
        let show = |handle: &StrategyHandle| Overview {
            tenant: handle.strategy.tenant().to_owned(),
            strategy: handle.strategy.metadata.name.clone(),
            module: handle.module.digest().to_string(),
            instances: handle.instances.len(),
            trading_state: handle.trading_state,
            quarantined: handle.instances.iter().any(|instance| quarantined(&instance.metrics)),
            risk: handle.risk(),
            tradable: handle
                .declared()
                .map(|(declared, publisher, id)| self.tradable(declared, publisher, id))
                .collect(),
            group: handle.strategy.group(),
            inputs: handle.strategy.spec.inputs.clone(),
        };
        self.strategies.values().map(show).collect()
    }

    fn tradable(&self, declared: &Instrument, publisher: &str, instrument_id: u64) -> Tradable {
        Tradable {
            symbol: declared.symbol.clone(),
            publisher: publisher.to_owned(),
            instrument_id,
            killed: self.killed.contains(&instrument_id),
        }
    }

    /// The strategies that a scope reaches: tenant, name, what they may do now, instances.
    #[must_use]
    pub fn reached(&self, scope: &Scope) -> Vec<(String, String, TradingState, usize)> {
        let reached = self.strategies.iter().filter(|((tenant, name), _)| scope.reaches(tenant, name));
        let show = |((tenant, name), handle): (&(String, String), &StrategyHandle)| {
            (tenant.clone(), name.clone(), handle.trading_state, handle.instances.len())
        };
        reached.map(show).collect()
    }

    /// How many instances a strategy has.
    #[must_use]
    pub fn instances_of(&self, tenant: &str, strategy: &str) -> usize {
        self.handle(tenant, strategy).map_or(0, |handle| handle.instances.len())
    }

    /// That a scope names something that runs here; all is always here.
    pub(super) fn check_scope(&self, scope: &Scope) -> Result<(), AppError> {
        match scope {
            Scope::All => Ok(()),
            Scope::Strategy { tenant, strategy } => self.handle(tenant, strategy).map(drop),
            Scope::Tenant(tenant) if self.strategies.keys().any(|(known, _)| known == tenant) => Ok(()),
            Scope::Tenant(tenant) => {
                let mut known: Vec<&str> = self.strategies.keys().map(|(known, _)| known.as_str()).collect();
                known.dedup();
                Err(AppError::UnknownTenant { tenant: tenant.clone(), known: listed(known) })
            }
        }
    }

    /// What a strategy may do by its file, which says otherwise than before. What a command has set stays where it is stricter.
    /// Returns what it may do then.
    ///
    /// # Errors
    /// [`AppError::Unknown`]
    pub fn file_trading_state(
        &mut self,
        tenant: &str,
        strategy: &str,
        wanted: TradingState,
    ) -> Result<TradingState, AppError> {
        let commanded = self.handle(tenant, strategy)?.commanded.clone();
        let state = wanted.max(commanded.trading_state.unwrap_or_default());
        let scope = Scope::Strategy { tenant: tenant.to_owned(), strategy: strategy.to_owned() };
        self.set_trading_state(&scope, state)?;
        if let Some(handle) = self.strategies.get_mut(&(tenant.to_owned(), strategy.to_owned())) {
            handle.commanded = commanded;
        }
        Ok(state)
    }

    /// Changes the limits that a command names; the others stay.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; [`AppError::Risk`], and then nothing changes.
    pub fn command_limits(
        &mut self,
        tenant: &str,
        strategy: &str,
        change: RiskChange,
    ) -> Result<LimitsChanged, AppError> {
        let changed = self.change_limits(tenant, strategy, &change)?;
        if let Some(handle) = self.strategies.get_mut(&(tenant.to_owned(), strategy.to_owned())) {
            handle.commanded.risk = std::mem::take(&mut handle.commanded.risk).then(change);
        }
        Ok(changed)
    }

    /// Changes the limits that a strategy's file says otherwise than before. What a command has set stays where it is stricter.
    ///
    /// # Errors
    /// [`AppError::Unknown`]; [`AppError::Risk`], and then nothing changes.
    pub fn file_limits(&mut self, tenant: &str, strategy: &str, change: RiskChange) -> Result<LimitsChanged, AppError> {
        let capped = change.capped(&self.handle(tenant, strategy)?.commanded.risk);
        self.change_limits(tenant, strategy, &capped)
    }

    fn change_limits(&mut self, tenant: &str, strategy: &str, change: &RiskChange) -> Result<LimitsChanged, AppError> {
        let handle = self.handle(tenant, strategy)?;
        let (from, instances) = (handle.risk(), handle.instances.len());
        let to = change.onto(&from);
        // The checks of a strategy file, ranges too: room for messages and orders is made by these numbers.
        let mut changed = handle.strategy.clone();
        changed.spec.risk = Some(to.clone());
        let text = serde_json::to_string(&changed).unwrap_or_default();
        pinion_spec::parse(&text, "the changed strategy")
            .map_err(|errors| AppError::Risk { strategy: strategy.to_owned(), problem: errors.to_string() })?;
        self.set_limits(tenant, strategy, &to)?;
        Ok(LimitsChanged { from, to, instances })
    }

    /// The kill switch of an instrument. Returns the instrument and whether it was on, when every worker has done it. One that is
    /// on can be switched off by its id though no strategy declares it any more.
    ///
    /// # Errors
    /// [`AppError::UnknownInstrument`], [`AppError::Ambiguous`]
    pub fn set_killed(&mut self, which: &Which, killed: bool) -> Result<(Tradable, bool), AppError> {
        let mut instrument = self.find_instrument(which)?;
        let before = instrument.killed;
        let instrument_id = instrument.instrument_id;
        match killed {
            true => self.killed.insert(instrument_id),
            false => self.killed.remove(&instrument_id),
        };
        self.send_all(|| Command::SetKilled { instrument_id, killed });
        self.settle();
        instrument.killed = killed;
        Ok((instrument, before))
    }

    /// How many instances may trade an instrument.
    #[must_use]
    pub fn instances_on(&self, instrument_id: u64) -> usize {
        let declares = |handle: &&StrategyHandle| handle.declared().any(|(_, _, id)| id == instrument_id);
        self.strategies.values().filter(declares).map(|handle| handle.instances.len()).sum()
    }

    fn find_instrument(&self, which: &Which) -> Result<Tradable, AppError> {
        let declared = self.strategies.values().flat_map(StrategyHandle::declared);
        let known: BTreeMap<u64, Tradable> =
            declared.map(|(declared, publisher, id)| (id, self.tradable(declared, publisher, id))).collect();
        let unknown = |wanted: String| {
            let name = |tradable: &Tradable| {
                format!("{} of {} ({})", tradable.symbol, tradable.publisher, tradable.instrument_id)
            };
            AppError::UnknownInstrument { wanted, known: listed(known.values().map(name)) }
        };
        match which {
            Which::Id(id) => match known.get(id) {
                Some(found) => Ok(found.clone()),
                None if self.killed.contains(id) => {
                    Ok(Tradable { symbol: String::new(), publisher: String::new(), instrument_id: *id, killed: true })
                }
                None => Err(unknown(id.to_string())),
            },
            Which::Symbol(symbol, publisher) => {
                let named = |tradable: &&Tradable| {
                    tradable.symbol == *symbol && publisher.as_ref().is_none_or(|wanted| *wanted == tradable.publisher)
                };
                let found: Vec<&Tradable> = known.values().filter(named).collect();
                match found.as_slice() {
                    [] => Err(unknown(match publisher {
                        Some(publisher) => format!("{symbol} of {publisher}"),
                        None => symbol.clone(),
                    })),
                    [one] => Ok((*one).clone()),
                    several => Err(AppError::Ambiguous {
                        symbol: symbol.clone(),
                        publishers: listed(several.iter().map(|tradable| tradable.publisher.as_str())),
                    }),
                }
            }
        }
    }
}

/// `a, b`, or that there is nothing.
fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<T> = names.into_iter().collect();
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}
