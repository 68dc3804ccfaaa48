//! A halt goes before everything else of a round: what is assigned already is made stricter, where the resources say so by now, and
//! brought to the pods. What is to be loosened waits for the rest of the round.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use pinion_spec::assignment::{Assignment, Version};
use pinion_spec::strategy::TradingState;

use super::deliver::put;
use super::pool::known_token;
use super::{Context, Memory, RoundError};
use crate::crd::{Strategy, Tenant};
use crate::pods::Address;

/// Does so for a tenant.
pub(super) async fn first(
    context: &Context,
    tenant: &Tenant,
    strategies: &[Strategy],
    memory: &mut Memory,
) -> Result<(), RoundError> {
    let (name, epoch) = (tenant.name_any(), context.leadership().epoch()?);
    let suspended = tenant.spec.0.suspended;
    let states: BTreeMap<String, TradingState> =
        strategies.iter().map(|strategy| (strategy.name_any(), strategy.spec.0.trading_state)).collect();
    for (pool, fleet) in &mut memory.fleets {
        let Some(token) = known_token(context, pool, &name) else { continue };
        let documents = fleet.documents.iter_mut();
        let tightened = documents.filter_map(|(pod, document)| {
            tighten(document, suspended, &states, epoch).then(|| (pod.clone(), document.clone()))
        });
        let tightened: BTreeMap<String, Assignment> = tightened.collect();
        put(context, fleet, &tightened, &name, &|ip| Some(Address { ip, token: token.clone() })).await?;
    }
    Ok(())
}

/// Makes a document as strict as the resources are, and newer if that changes it. Returns whether it does.
fn tighten(document: &mut Assignment, suspended: bool, states: &BTreeMap<String, TradingState>, epoch: u64) -> bool {
    let at_least = |state: TradingState| if suspended { TradingState::Halted } else { state };
    let mut next = document.clone();
    next.trading_state = at_least(next.trading_state);
    for one in &mut next.strategies {
        let state = &mut one.strategy.spec.trading_state;
        let wanted = states.get(&one.strategy.metadata.name).copied().unwrap_or_default();
        *state = at_least((*state).max(wanted));
    }
    if next == *document || document.version.epoch > epoch {
        return false;
    }
    let later_term = epoch > document.version.epoch;
    let revision = if later_term { 1 } else { document.version.revision.saturating_add(1) };
    next.version = Version { epoch, revision };
    *document = next;
    true
}

#[cfg(test)]
mod tests {
    use pinion_spec::assignment::AssignedStrategy;

    use super::*;
    use crate::fixtures;

    fn document() -> Assignment {
        let strategy = fixtures::strategy();
        Assignment {
            version: Version { epoch: 2, revision: 7 },
            pod: "default-0".into(),
            lease_seconds: 60,
            trading_state: TradingState::Active,
            strategies: vec![AssignedStrategy { strategy, module: "ab".repeat(32), shards: Vec::new() }],
        }
    }

    fn states(state: TradingState) -> BTreeMap<String, TradingState> {
        BTreeMap::from([(fixtures::strategy().metadata.name, state)])
    }

    #[test]
    fn a_halt_makes_the_next_revision_and_what_is_not_stricter_makes_none() {
        let mut document = document();
        assert!(!tighten(&mut document, false, &states(TradingState::Active), 2));
        assert!(tighten(&mut document, false, &states(TradingState::Halted), 2));
        assert_eq!(document.strategies[0].strategy.spec.trading_state, TradingState::Halted);
        assert_eq!((document.version.revision, document.trading_state), (8, TradingState::Active));
        assert!(!tighten(&mut document, false, &states(TradingState::Active), 2), "nothing is loosened here");
        assert!(!tighten(&mut document, false, &BTreeMap::new(), 2), "one that is gone is drained, not halted");
    }

    #[test]
    fn a_suspension_halts_the_document_and_each_strategy_in_it() {
        let mut document = document();
        assert!(tighten(&mut document, true, &BTreeMap::new(), 3));
        assert_eq!(document.trading_state, TradingState::Halted);
        assert_eq!(document.strategies[0].strategy.spec.trading_state, TradingState::Halted);
        assert_eq!(document.version, Version { epoch: 3, revision: 1 });
    }

    #[test]
    fn a_later_leaders_document_is_left_alone() {
        let mut document = document();
        assert!(!tighten(&mut document, true, &BTreeMap::new(), 1));
    }
}
