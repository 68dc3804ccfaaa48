//! What a probe saw of a module's guests, added up.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use pinion_runtime::sandbox::{Callbacks, Seen as Event};
use serde::Serialize;

/// One callback's calls.
#[derive(Debug)]
pub(super) struct Calls {
    ns: Histogram<u64>,
    intents_max: usize,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) calls: BTreeMap<&'static str, Calls>,
    pub(super) instantiate_ns: u64,
    pub(super) init_ns: u64,
    pub(super) wants: Callbacks,
    pub(super) bars: usize,
    pub(super) memory_bytes_max: usize,
}

/// One callback, for the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Cost {
    pub(super) callback: &'static str,
    pub(super) calls: u64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) max_ns: u64,
    /// Most intents of one call.
    pub(super) intents_max: usize,
}

/// Longest call that is told apart from longer ones: an hour.
const CALL_NS_MAX: u64 = 3_600_000_000_000;

impl Seen {
    pub(super) fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Ready { instantiate_ns, init_ns, wants, memory_bytes } => {
                // The slowest of several: what a swap or a restart waits for.
                self.instantiate_ns = self.instantiate_ns.max(instantiate_ns);
                self.init_ns = self.init_ns.max(init_ns);
                (self.wants, self.bars) = (wants.callbacks, wants.bars.len());
                self.memory_bytes_max = self.memory_bytes_max.max(memory_bytes);
            }
            Event::Called { callback, ns, intents, memory_bytes } => {
                self.memory_bytes_max = self.memory_bytes_max.max(memory_bytes);
                let calls = self.calls.entry(callback).or_insert_with(Calls::new);
                calls.ns.saturating_record(ns);
                calls.intents_max = calls.intents_max.max(intents);
            }
        }
    }

    /// What each callback cost, by name.
    pub(super) fn costs(&self) -> Vec<Cost> {
        let cost = |(callback, calls): (&&'static str, &Calls)| Cost {
            callback,
            calls: calls.ns.len(),
            p50_ns: calls.ns.value_at_quantile(0.5),
            p99_ns: calls.ns.value_at_quantile(0.99),
            max_ns: calls.ns.max(),
            intents_max: calls.intents_max,
        };
        self.calls.iter().map(cost).collect()
    }
}

impl Calls {
    fn new() -> Self {
        // These bounds are fine by the histogram's own rules.
        let ns =
            Histogram::new_with_bounds(1, CALL_NS_MAX, 3).unwrap_or_else(|_| unreachable!("bounds of a histogram"));
        Self { ns, intents_max: 0 }
    }
}
