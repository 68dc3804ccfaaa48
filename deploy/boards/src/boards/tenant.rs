//! What strategies do, what they are denied, and how they are.

use pinion_spec::metrics;

use super::{RATE, STRATEGY, WHOSE, here, mine, of_feeds, stage, variables};
use crate::grafana::{Board, Marks, Panel, Row, colour};
use crate::query::{Query, Series};

const STATES: &[(u32, &str, &str)] =
    &[(0, "ACTIVE", colour::GOOD), (1, "REDUCING", colour::WARN), (2, "HALTED", colour::BAD)];

const QUARANTINE: &[(u32, &str, &str)] = &[(0, "runs", colour::GOOD), (1, "quarantined", colour::BAD)];

pub(super) fn board() -> Board {
    let mut marks = super::latency::marks();
    marks.push(Marks { name: "Halted", colour: colour::BAD, query: state("HALTED").is(1.0), text: STRATEGY });
    Board {
        name: "tenant",
        title: "Pinion / Tenant",
        about: "What do the strategies of a tenant do, what are they denied, and is one of them in trouble?",
        variables: variables(),
        marks,
        rows: vec![now(), flow(), risk(), health(), budgets(), gauges()],
    }
}

fn state(state: &str) -> Query {
    mine(&metrics::STRATEGY_STATE).with("state", state).now().max(&WHOSE)
}

fn lag() -> Query {
    of_feeds(Series::of(&metrics::KAFKA_LAG_SECONDS).now()).max(&WHOSE)
}

fn now() -> Row {
    let quarantined = || mine(&metrics::STRATEGY_QUARANTINED).now().max(&WHOSE);
    Row {
        title: "Now",
        panels: vec![
            Panel::stat("Strategies", "Those that are loaded, whatever their state.", "short")
                .query(super::info().count(&WHOSE).count(&[]), "strategies")
                .plain()
                .size(4, 4),
            Panel::stat(
                "Halted",
                "Strategies whose trading state is HALTED: they read and decide, and send only cancels.",
                "short",
            )
            .query(state("HALTED").sum(&[]), "halted")
            .limits(None, Some(1.0))
            .filled()
            .size(4, 4),
            Panel::stat(
                "Quarantined",
                "Strategies that faulted five times within a minute and are not called any more.",
                "short",
            )
            .query(quarantined().sum(&[]), "quarantined")
            .limits(None, Some(1.0))
            .filled()
            .size(4, 4),
            Panel::stat("Furthest behind", "Age of the last record read where there are more to read.", "s")
                .query(lag().max(&[]), "lag")
                .limits(Some(1.0), Some(5.0))
                .size(4, 4),
            Panel::stat("Orders a second", "Approved: new orders, modifies and cancels.", "ops")
                .query(mine(&metrics::ORDERS).rate(RATE).sum(&[]), "orders")
                .plain()
                .size(4, 4),
            Panel::stat("Denied a second", "Intents that the risk check denied.", "ops")
                .query(mine(&metrics::DENIALS).rate(RATE).sum(&[]), "denied")
                .limits(Some(0.1), None)
                .size(4, 4),
            Panel::states("Trading state", "What each strategy may do.", STATES)
                .query(state("REDUCING").plus(&state("HALTED").times(2.0)), STRATEGY)
                .size(12, 6),
            Panel::states("Quarantine", "A strategy leaves it by a swap of its module or a restart.", QUARANTINE)
                .query(quarantined(), STRATEGY)
                .size(12, 6),
        ],
    }
}

fn flow() -> Row {
    Row {
        title: "Market data in, orders out",
        panels: vec![
            Panel::lines("Records read", "Kafka records of the feed that reads for the strategy.", "recps")
                .query(of_feeds(Series::of(&metrics::RECORDS).rate(RATE)).sum(&WHOSE), STRATEGY),
            Panel::lines("Approved orders", "By what they ask of the venue.", "ops")
                .query(mine(&metrics::ORDERS).rate(RATE).sum(&["tenant", "strategy", "type"]), "{{tenant}}/{{strategy}} {{type}}"),
            Panel::lines(
                "Lag in time",
                "Age by Kafka's timestamp of the last record read, while there are more to read; 0 at the end of the topic.",
                "s",
            )
            .query(lag(), STRATEGY)
            .limits(Some(1.0), Some(5.0)),
            Panel::lines("Lag in records", "Records that wait in Kafka, over all shards.", "short")
                .query(of_feeds(Series::of(&metrics::KAFKA_LAG).now()).sum(&WHOSE), STRATEGY),
            Panel::lines("Events", "What the records held, by kind.", "eps")
                .query(of_feeds_by("kind", Series::of(&metrics::EVENTS)), "{{kind}}"),
            Panel::lines(
                "Records without use",
                "Undecodable ones by reason (they go to the dead-letter topic where one is named), and well-formed ones that hold nothing \
                 for a strategy.",
                "recps",
            )
            .query(of_feeds_by("reason", Series::of(&metrics::DECODE_ERRORS)), "undecodable: {{reason}}")
            .query(here(Series::of(&metrics::RECORDS_SKIPPED).rate(RATE)).sum(&[]), "skipped"),
        ],
    }
}

/// A feed's metric by a label of its own, of the processes that run a chosen strategy; what never happened is left out.
fn of_feeds_by(label: &'static str, series: Series) -> Query {
    here(series.rate(RATE)).sum(&[label]).above(0.0)
}

fn risk() -> Row {
    let denied = || mine(&metrics::DENIALS).rate(RATE).sum(&WHOSE);
    let approved = mine(&metrics::ORDERS).rate(RATE).sum(&WHOSE);
    Row {
        title: "Risk",
        panels: vec![
            Panel::lines("Denied, by reason", "Which limit stands in the way.", "ops")
                .stacked()
                .query(
                    mine(&metrics::DENIALS).rate(RATE).sum(&["tenant", "strategy", "reason"]).above(0.0),
                    "{{tenant}}/{{strategy}} {{reason}}",
                ),
            Panel::lines("Share that is denied", "Of all that the strategy asks for.", "percentunit")
                .query(denied().divided_by(&denied().plus(&approved)), STRATEGY)
                .most(1.0)
                .limits(Some(0.25), None),
            Panel::lines(
                "Breaks in the venue's sequence",
                "After one, orders on the instrument are denied as `gapped_book` until its book is whole again. By process: a worker serves \
                 whoever runs on it.",
                "ops",
            )
            .query(here(Series::of(&metrics::SEQUENCE_GAPS).rate(RATE)).sum(&["instance"]), "{{instance}}"),
            Panel::lines(
                "Denials that were not told",
                "So many waited that the strategy was not told of these. It goes on as if they had been sent; they are on the denials topic.",
                "ops",
            )
            .query(mine(&metrics::DENIALS_UNTOLD).rate(RATE).sum(&WHOSE), STRATEGY)
            .limits(None, Some(0.000_001)),
        ],
    }
}

fn health() -> Row {
    Row {
        title: "Health",
        panels: vec![
            Panel::lines(
                "Faults, by kind",
                "Calls that ended in the guest's fault. Five within a minute end in quarantine.",
                "ops",
            )
            .query(
                mine(&metrics::FAULTS).rate(RATE).sum(&["tenant", "strategy", "kind"]).above(0.0),
                "{{tenant}}/{{strategy}} {{kind}}",
            ),
            Panel::lines(
                "Events that passed it by",
                "While the strategy was down after a fault, or is in quarantine.",
                "eps",
            )
            .query(mine(&metrics::EVENTS_MISSED).rate(RATE).sum(&WHOSE), STRATEGY),
            Panel::lines("Module swaps", "Instances whose module was replaced, in an hour.", "short")
                .query(mine(&metrics::SWAPS).increase("1h").sum(&WHOSE), STRATEGY),
            Panel::lines("Log lines that were dropped", "Over the strategy's `budget.logBytesPerSecond`.", "ops")
                .query(mine(&metrics::LOG_DROPPED).rate(RATE).sum(&WHOSE), STRATEGY),
        ],
    }
}

fn budgets() -> Row {
    let call_budget = mine(&metrics::STRATEGY_CALL_BUDGET).now().max(&WHOSE);
    let longest = mine(&metrics::LATENCY_QUANTILE).with("stage", "strategy").with("quantile", "1").now().max(&WHOSE);
    let memory_budget = mine(&metrics::STRATEGY_MEMORY_BUDGET).now().max(&WHOSE);
    let memory = || mine(&metrics::STRATEGY_MEMORY).now();
    Row {
        title: "Budgets",
        panels: vec![
            Panel::lines(
                "CPU budget of a call",
                "p99 and longest callback divided by `budget.callMicros`. Callbacks are measured in wall time and budgets in CPU time, so one \
                 that was interrupted may show more than 100 % without a fault.",
                "percentunit",
            )
            .log()
            .query(stage("strategy", RATE, &WHOSE).quantile(0.99).divided_by(&call_budget), "{{tenant}}/{{strategy}} p99")
            .query(longest.divided_by(&call_budget), "{{tenant}}/{{strategy}} longest")
            .limits(Some(0.5), Some(1.0)),
            Panel::lines(
                "Memory budget",
                "The largest instance's linear memory divided by `budget.memoryMiB`. It never shrinks.",
                "percentunit",
            )
            .query(memory().max(&WHOSE).divided_by(&memory_budget), STRATEGY)
            .most(1.0)
            .limits(Some(0.8), Some(0.95)),
            Panel::lines("Memory of the instances", "Linear memory of all guests of a strategy.", "bytes")
                .stacked()
                .query(memory().sum(&WHOSE), STRATEGY)
                .size(24, 7),
        ],
    }
}

fn gauges() -> Row {
    let gauge = || mine(&metrics::STRATEGY_GAUGE);
    let names = "(?i)pnl.*|.*_pnl";
    Row {
        title: "The strategies' own gauges",
        panels: vec![
            Panel::lines(
                "PnL",
                "Gauges whose name begins with `pnl` or ends in `_pnl`, added up over shards. What they mean is the strategy's business: \
                 Pinion only shows what it set with metric-set.",
                "short",
            )
            .query(gauge().like("name", names).now().sum(&["tenant", "strategy", "name"]), "{{tenant}}/{{strategy}} {{name}}")
            .signed(),
            Panel::lines("Other gauges", "All other names, each shard by itself.", "short")
                .query(
                    gauge().unlike("name", names).now().max(&["tenant", "strategy", "name", "shard"]),
                    "{{tenant}}/{{strategy}} {{name}} {{shard}}",
                )
                .signed(),
        ],
    }
}
