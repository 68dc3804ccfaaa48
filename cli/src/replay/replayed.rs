//! What a replay decides: its order streams, until they are held against what was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use pinion_runtime::egress::{OrderRoute, Outbound};
use pinion_runtime::wire::{self, Provenance};
use pinion_spec::ids::ClientOrderId;

use super::outcome::{StrategyOutcome, order_text};
use super::recorded::{Found, Recorded};
use crate::error::CliError;

/// One instance's messages about one instrument: what has one order everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stream {
    pub(super) tenant: String,
    pub(super) strategy: String,
    /// The instance's input partitions, as its order ids name them.
    pub(super) sources: Vec<(u16, u16)>,
    pub(super) instrument_id: u64,
}

/// One order message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    /// Position among all of the replay.
    pub(super) sequence: u64,
    /// Its order.
    pub(super) id: ClientOrderId,
    /// What it is written as.
    pub(super) value: Vec<u8>,
    /// Topic, partition and offset of the record that it was decided because of.
    pub(super) input: String,
}

/// First and last offset that the journal presents, by the hash of the topic and the partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Presented(BTreeMap<(u16, u16), (u64, u64)>);

impl Presented {
    /// Another run of records.
    pub(super) fn note(&mut self, source: (u16, u16), first: u64, last: u64) {
        let range = self.0.entry(source).or_insert((first, last));
        *range = (range.0.min(first), range.1.max(last));
    }

    /// Whether an order's record is among them.
    pub(super) fn has(&self, id: &ClientOrderId) -> bool {
        let range = self.0.get(&(id.topic, id.partition));
        range.is_some_and(|(first, last)| (*first..=*last).contains(&id.offset))
    }
}

/// Order messages since the last [`Replayed::settle`].
#[derive(Default)]
pub(super) struct Replayed {
    streams: BTreeMap<Stream, (Arc<OrderRoute>, Vec<Decided>)>,
    messages: u64,
    buffer: Vec<u8>,
}

impl Replayed {
    /// Takes what was caused, and counts it for its strategy.
    pub(super) fn take(&mut self, outbound: Outbound, outcomes: &mut BTreeMap<(String, String), StrategyOutcome>) {
        let Outbound::Order { order, route, origin, ts, .. } = outbound else { return };
        let provenance = Provenance { route: &route, origin, ts };
        self.buffer.clear();
        wire::encode_order(&order, &provenance, &mut self.buffer);
        let (tenant, strategy) = (route.tenant.clone(), route.strategy.clone());
        let outcome = outcomes
            .entry((tenant.clone(), strategy.clone()))
            .or_insert_with(|| StrategyOutcome::new(tenant.clone(), strategy.clone()));
        outcome.order(&self.buffer);
        let topic = route.input_topics.get(usize::from(origin.topic)).map_or("", String::as_str);
        let decided = Decided {
            sequence: self.messages,
            id: provenance.client_order_id(order.order_id()),
            value: self.buffer.clone(),
            input: format!("{topic}/{}/{}", origin.partition, origin.offset),
        };
        self.messages += 1;
        let sources = route.identity.sources.to_vec();
        let stream = Stream { tenant, strategy, sources, instrument_id: order.instrument_id() };
        self.streams.entry(stream).or_insert_with(|| (route, Vec::new())).1.push(decided);
    }

    /// A process has ended, by a crash or in order: its orders are held against those that were sent.
    ///
    /// # Errors
    /// Where what was sent cannot be read.
    pub(super) fn settle(
        &mut self,
        crashed: bool,
        presented: &Presented,
        recorded: Option<&mut Recorded>,
        outcomes: &mut BTreeMap<(String, String), StrategyOutcome>,
    ) -> Result<(), CliError> {
        let streams = std::mem::take(&mut self.streams);
        let Some(recorded) = recorded else { return Ok(()) };
        for (stream, (route, orders)) in streams {
            let Found { held, unsent, unjournaled, differs } =
                recorded.hold(&route, &stream, &orders, presented, crashed)?;
            let Some(outcome) = outcomes.get_mut(&(stream.tenant, stream.strategy)) else { continue };
            outcome.held += held;
            outcome.unsent += unsent;
            outcome.unjournaled += unjournaled;
            if let Some((at, sent)) = differs {
                let Decided { sequence, input, value, .. } = &orders[at];
                outcome.differs(*sequence, input.clone(), Some(order_text(value)), sent.as_deref().map(order_text));
            }
        }
        Ok(())
    }
}
