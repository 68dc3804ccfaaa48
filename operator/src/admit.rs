//! Whether a tenant's strategy may run, and with which limits: its topics, its consumer group, the registry of its module, and the
//! tenant's risk ceilings. What was decided holds while the two stay as they are: a round asks of every strategy, and nearly always of
//! the same.

use std::collections::{BTreeMap, BTreeSet};

use pinion_spec::oci::{Reference, Repository};
use pinion_spec::strategy::{Risk, TradingState};
use pinion_spec::tenant::{RiskCeilings, TenantKafka, TenantRegistry, TenantSpec};
use pinion_spec::{SpecErrors, Strategy};

/// Why a strategy may not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// A topic that it may not write to.
    #[error("{field}: the tenant may not write to topic {topic}; it must begin with one of: {}", .prefixes.join(", "))]
    WriteForbidden {
        /// Where the strategy names it.
        field: &'static str,
        /// The topic.
        topic: String,
        /// The tenant's.
        prefixes: Vec<String>,
    },
    /// A topic that it may not read.
    #[error(
        "spec.inputs[{input}].topic: the tenant may not read topic {topic}; it must begin with one of: {}; or be among \
         readTopics of the tenant",
        .prefixes.join(", ")
    )]
    ReadForbidden {
        /// Which input.
        input: usize,
        /// The topic.
        topic: String,
        /// The tenant's.
        prefixes: Vec<String>,
    },
    /// A consumer group of somebody else: its offsets could be overwritten.
    #[error("spec.inputs[].group: the tenant may not use group {group}; it must begin with pinion.{namespace}. or one of: {}", .prefixes.join(", "))]
    GroupForbidden {
        /// The group.
        group: String,
        /// The tenant's namespace.
        namespace: String,
        /// The tenant's.
        prefixes: Vec<String>,
    },
    /// A registry of somebody else, or any where the tenant has none.
    #[error("spec.module.oci: the tenant may not run modules from {repository}; {}", among(.allowed))]
    RegistryForbidden {
        /// Where the module is.
        repository: Repository,
        /// The tenant's.
        allowed: Vec<String>,
    },
    /// The tenant allows none of the instruments.
    #[error("spec.instruments: none of them is among the instruments that the tenant may trade")]
    NoInstrument,
    /// It contradicts itself.
    #[error(transparent)]
    Spec(SpecErrors),
    /// It contradicts itself once the ceilings are applied.
    #[error("with the tenant's risk ceilings applied: {0}")]
    Ceilings(SpecErrors),
}

/// What was decided on a tenant's strategies.
#[derive(Debug, Default)]
pub struct Admissions {
    /// The tenant as it was then.
    tenant: Option<TenantSpec>,
    by_name: BTreeMap<String, Admission>,
}

#[derive(Debug)]
struct Admission {
    /// The strategy as it was then.
    asked: Strategy,
    decided: Result<Strategy, Vec<Refusal>>,
}

impl Admissions {
    /// What [`admit`] says, looked up where it was said before.
    ///
    /// # Errors
    /// As [`admit`].
    pub fn admit(&mut self, strategy: Strategy, tenant: &TenantSpec) -> Result<Strategy, Vec<Refusal>> {
        if self.tenant.as_ref() != Some(tenant) {
            (self.tenant, self.by_name) = (Some(tenant.clone()), BTreeMap::new());
        }
        let name = &strategy.metadata.name;
        if let Some(known) = self.by_name.get(name).filter(|known| known.asked == strategy) {
            return known.decided.clone();
        }
        let decided = admit(&strategy, tenant);
        self.by_name.insert(name.clone(), Admission { asked: strategy, decided: decided.clone() });
        decided
    }

    /// Forgets all others.
    pub fn retain(&mut self, names: &BTreeSet<String>) {
        self.by_name.retain(|name, _| names.contains(name));
    }
}

/// The strategy as it may run: each risk limit at most the tenant's ceiling, and HALTED where the tenant is suspended.
///
/// # Errors
/// Everything that forbids it.
pub fn admit(strategy: &Strategy, tenant: &TenantSpec) -> Result<Strategy, Vec<Refusal>> {
    let mut refusals: Vec<Refusal> = check(strategy).err().map(Refusal::Spec).into_iter().collect();
    refusals.extend(topics(strategy, &tenant.kafka));
    refusals.extend(registry(strategy, tenant.registry.as_ref()));
    let mut admitted = strategy.clone();
    match capped(strategy, &tenant.risk) {
        Ok(risk) => admitted.spec.risk = risk,
        Err(refusal) => refusals.push(refusal),
    }
    if tenant.suspended {
        admitted.spec.trading_state = TradingState::Halted;
    }
    if refusals.is_empty()
        && admitted.spec.risk != strategy.spec.risk
        && let Err(errors) = check(&admitted)
    {
        refusals.push(Refusal::Ceilings(errors));
    }
    if refusals.is_empty() { Ok(admitted) } else { Err(refusals) }
}

/// The rules of a file. JSON is YAML, so the code is the same as for files, and so are the messages.
fn check(strategy: &Strategy) -> Result<(), SpecErrors> {
    let text = serde_json::to_string_pretty(strategy).unwrap_or_default();
    pinion_spec::parse(&text, &strategy.metadata.name).map(|_| ())
}

fn topics(strategy: &Strategy, kafka: &TenantKafka) -> Vec<Refusal> {
    let own = |name: &str| kafka.topic_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
    let prefixes = || kafka.topic_prefixes.clone();
    let mut refusals = Vec::new();
    for (input, topic) in strategy.spec.inputs.iter().map(|input| &input.topic).enumerate() {
        if !own(topic) && !kafka.read_topics.contains(topic) {
            refusals.push(Refusal::ReadForbidden { input, topic: topic.clone(), prefixes: prefixes() });
        }
    }
    let outputs = &strategy.spec.outputs;
    let written = [
        ("spec.outputs.orders.topic", Some(&outputs.orders.topic)),
        ("spec.outputs.denials.topic", outputs.denials.as_ref().map(|output| &output.topic)),
        ("spec.outputs.deadLetter.topic", outputs.dead_letter.as_ref().map(|output| &output.topic)),
    ];
    for (field, topic) in written.into_iter().filter_map(|(field, topic)| Some((field, topic?))) {
        if !own(topic) {
            refusals.push(Refusal::WriteForbidden { field, topic: topic.clone(), prefixes: prefixes() });
        }
    }
    let (group, namespace) = (strategy.group(), strategy.tenant().to_owned());
    if !own(&group) && !group.starts_with(&format!("pinion.{namespace}.")) {
        refusals.push(Refusal::GroupForbidden { group, namespace, prefixes: prefixes() });
    }
    refusals
}

/// A tenant without registries may pull from none: its pods would go wherever a strategy sends them.
fn registry(strategy: &Strategy, registry: Option<&TenantRegistry>) -> Option<Refusal> {
    // What is no reference is refused as any other mistake of the spec.
    let repository = Reference::parse(strategy.spec.module.oci.as_ref()?).ok()?.repository;
    let allowed = registry.map(|registry| registry.allowed.as_slice()).unwrap_or_default();
    let is_allowed = allowed.iter().any(|prefix| repository.is_under(prefix));
    (!is_allowed).then(|| Refusal::RegistryForbidden { repository, allowed: allowed.to_vec() })
}

fn among(registries: &[String]) -> String {
    match registries {
        [] => "registry.allowed of the Tenant names none".to_owned(),
        some => format!("it must be in one of: {}", some.join(", ")),
    }
}

/// Each limit, at most the ceiling. Without any ceiling it stays as it is, absent included.
fn capped(strategy: &Strategy, ceilings: &RiskCeilings) -> Result<Option<Risk>, Refusal> {
    if *ceilings == RiskCeilings::default() {
        return Ok(strategy.spec.risk.clone());
    }
    fn cap<T: Ord>(limit: T, ceiling: Option<T>) -> T {
        match ceiling {
            Some(ceiling) => limit.min(ceiling),
            None => limit,
        }
    }
    let own = strategy.spec.risk.clone().unwrap_or_default();
    let instruments = match &ceilings.instruments {
        None => own.instruments,
        Some(allowed) => {
            let declared = || strategy.spec.instruments.iter().map(|instrument| instrument.symbol.clone()).collect();
            let mut wanted: Vec<String> = own.instruments.unwrap_or_else(declared);
            // A symbol that two publishers carry is declared twice, and allowed once.
            let mut seen = std::collections::BTreeSet::new();
            wanted.retain(|symbol| allowed.contains(symbol) && seen.insert(symbol.clone()));
            if wanted.is_empty() && !strategy.spec.instruments.is_empty() {
                return Err(Refusal::NoInstrument);
            }
            (!wanted.is_empty()).then_some(wanted)
        }
    };
    Ok(Some(Risk {
        max_order_size: cap(own.max_order_size, ceilings.max_order_size),
        max_order_notional: cap(own.max_order_notional, ceilings.max_order_notional),
        price_collar_bps: cap(own.price_collar_bps, ceilings.price_collar_bps),
        messages_per_second: cap(own.messages_per_second, ceilings.messages_per_second),
        max_open_orders: cap(own.max_open_orders, ceilings.max_open_orders),
        max_position: cap(own.max_position, ceilings.max_position),
        stale_after_millis: cap(own.stale_after_millis, ceilings.stale_after_millis),
        instruments,
    }))
}

#[cfg(test)]
mod tests {
    use pinion_spec::{Decimal, Strategy};
    use proptest::prelude::{prop_assert_eq, proptest};
    use proptest::strategy::Strategy as _;

    use super::*;
    use crate::fixtures::{strategy, tenant};

    fn refusals(strategy: &Strategy, tenant: &TenantSpec) -> Vec<String> {
        admit(strategy, tenant).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_tenant_may_read_and_write_runs_as_it_is() {
        assert_eq!(admit(&strategy(), &tenant()).unwrap(), strategy());
    }

    #[test]
    fn what_was_decided_holds_until_the_strategy_or_its_tenant_changes() {
        let (mut admissions, mut tenant, mut mine) = (Admissions::default(), tenant(), strategy());
        for _ in 0..2 {
            assert_eq!(admissions.admit(mine.clone(), &tenant).unwrap(), mine);
        }
        mine.spec.outputs.orders.topic = "desk-9.orders".into();
        for _ in 0..2 {
            assert_eq!(admissions.admit(mine.clone(), &tenant).unwrap_err().len(), 1, "another topic");
        }
        mine = strategy();
        tenant.kafka.read_topics.clear();
        assert!(admissions.admit(mine.clone(), &tenant).is_err(), "the tenant may not read it any more");
        tenant.kafka.read_topics.push("md.shared".into());
        tenant.suspended = true;
        assert_eq!(admissions.admit(mine, &tenant).unwrap().spec.trading_state, TradingState::Halted);
        admissions.retain(&BTreeSet::new());
        assert!(admissions.by_name.is_empty());
    }

    #[test]
    fn every_topic_of_somebody_else_is_named_in_one_go() {
        let mut stranger = strategy();
        stranger.spec.inputs[0].topic = "desk-9.md".into();
        stranger.spec.outputs.orders.topic = "desk-9.orders".into();
        stranger.spec.outputs.denials.as_mut().unwrap().topic = "md.shared".into();
        stranger.spec.inputs[0].group = Some("pinion.desk-9.ema".into());
        assert_eq!(
            refusals(&stranger, &tenant()),
            [
                "spec.inputs[0].topic: the tenant may not read topic desk-9.md; it must begin with one of: desk-7.; or be \
                 among readTopics of the tenant",
                "spec.outputs.orders.topic: the tenant may not write to topic desk-9.orders; it must begin with one of: \
                 desk-7.",
                "spec.outputs.denials.topic: the tenant may not write to topic md.shared; it must begin with one of: desk-7.",
                "spec.inputs[].group: the tenant may not use group pinion.desk-9.ema; it must begin with pinion.desk-7. or \
                 one of: desk-7.",
            ]
        );
    }

    #[test]
    fn a_dead_letter_topic_is_checked_as_well() {
        let mut stranger = strategy();
        stranger.spec.outputs.dead_letter = Some(pinion_spec::strategy::TopicOutput { topic: "desk-70.dead".into() });
        assert!(refusals(&stranger, &tenant())[0].starts_with("spec.outputs.deadLetter.topic"));
    }

    #[test]
    fn a_module_comes_from_the_tenants_registries_and_from_no_other() {
        let from = |repository: &str| {
            let mut pulled = strategy();
            let oci = format!("{repository}@sha256:{}", "0".repeat(64));
            pulled.spec.module = pinion_spec::strategy::ModuleSource { oci: Some(oci), ..Default::default() };
            pulled
        };
        let tenant = tenant();
        assert!(admit(&from("registry.example/desk-7/ema"), &tenant).is_ok());
        assert_eq!(
            refusals(&from("registry.example/desk-70/ema"), &tenant),
            [
                "spec.module.oci: the tenant may not run modules from registry.example/desk-70/ema; it must be in one of: \
              registry.example/desk-7, other.example:5000"
            ]
        );
        let none = TenantSpec { registry: None, ..tenant };
        assert_eq!(
            refusals(&from("registry.example/desk-7/ema"), &none),
            [
                "spec.module.oci: the tenant may not run modules from registry.example/desk-7/ema; registry.allowed of the \
              Tenant names none"
            ]
        );
    }

    #[test]
    fn a_strategy_that_contradicts_itself_is_told_so_as_a_file_would_be() {
        let mut broken = strategy();
        broken.spec.outputs.orders.topic = "md.shared".into();
        assert!(refusals(&broken, &tenant())[0].contains("also read, by spec.inputs[0]: a loop"));
    }

    #[test]
    fn a_strategy_without_limits_gets_the_default_ones_under_the_ceiling() {
        let mut without = strategy();
        without.spec.risk = None;
        let mut strict = tenant();
        strict.risk.max_open_orders = Some(3);
        let risk = admit(&without, &strict).unwrap().spec.risk.unwrap();
        assert_eq!(risk, Risk { max_open_orders: 3, ..Risk::default() });
    }

    #[test]
    fn only_instruments_that_the_tenant_may_trade_are_left() {
        let mut strict = tenant();
        strict.risk.instruments = Some(vec!["BTCUSDT".into()]);
        let risk = admit(&strategy(), &strict).unwrap().spec.risk.unwrap();
        assert_eq!(risk.instruments, Some(vec!["BTCUSDT".to_owned()]));
        strict.risk.instruments = Some(vec!["XRPUSDT".into()]);
        assert_eq!(
            refusals(&strategy(), &strict),
            ["spec.instruments: none of them is among the instruments that the tenant may trade"]
        );
    }

    #[test]
    fn a_ceiling_that_an_instrument_cannot_express_is_refused_and_not_rounded() {
        let mut coarse = strategy();
        coarse.spec.instruments[0].size_exponent = 0;
        coarse.spec.instruments[0].lot = Decimal::from_units(1);
        let mut strict = tenant();
        strict.risk.max_order_size = Some("0.5".parse().unwrap());
        let found = refusals(&coarse, &strict);
        assert!(found[0].starts_with("with the tenant's risk ceilings applied: "), "{found:?}");
    }

    #[test]
    fn a_suspended_tenants_strategy_is_halted_whatever_it_says() {
        let suspended = TenantSpec { suspended: true, ..tenant() };
        assert_eq!(admit(&strategy(), &suspended).unwrap().spec.trading_state, TradingState::Halted);
    }

    fn decimal() -> impl proptest::strategy::Strategy<Value = Decimal> {
        (1_i128..1_000_000_000_000).prop_map(Decimal::from_nanos)
    }

    proptest! {
        #[test]
        fn no_limit_is_above_its_ceiling_and_none_is_loosened(
            (size, notional, position) in (decimal(), decimal(), decimal()),
            (collar, messages, open, stale) in (1_u32..10_000, 1_u32..1_000, 1_u32..4_096, 1_u32..3_600_000),
        ) {
            let ceilings = RiskCeilings {
                max_order_size: Some(size),
                max_order_notional: Some(notional),
                price_collar_bps: Some(collar),
                messages_per_second: Some(messages),
                max_open_orders: Some(open),
                max_position: Some(position),
                stale_after_millis: Some(stale),
                instruments: None,
            };
            let (before, after) = (strategy().spec.risk.unwrap(), capped(&strategy(), &ceilings).unwrap().unwrap());
            prop_assert_eq!(after.max_order_size, before.max_order_size.min(size));
            prop_assert_eq!(after.max_order_notional, before.max_order_notional.min(notional));
            prop_assert_eq!(after.max_position, before.max_position.min(position));
            prop_assert_eq!(after.price_collar_bps, before.price_collar_bps.min(collar));
            prop_assert_eq!(after.messages_per_second, before.messages_per_second.min(messages));
            prop_assert_eq!(after.max_open_orders, before.max_open_orders.min(open));
            prop_assert_eq!(after.stale_after_millis, before.stale_after_millis.min(stale));
        }

        #[test]
        fn only_own_prefixes_are_written_to(topic in "(desk-7|desk-8|md)[.-]{1,2}[a-z]{1,4}") {
            let mut any = strategy();
            any.spec.outputs.orders.topic = topic.clone();
            prop_assert_eq!(admit(&any, &tenant()).is_ok(), topic.starts_with("desk-7."));
        }
    }
}
