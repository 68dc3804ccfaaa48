//! Where time goes: each stage of each strategy, against its objective.

use pinion_spec::metrics;

use super::{QUANTILES, RANGE, RATE, STRATEGY, WHOSE, chosen, here, mine, stage, variables};
use crate::grafana::{Board, Column, Marks, Panel, Row, colour};
use crate::query::{Query, Series};
use crate::rules;

pub(super) fn board() -> Board {
    Board {
        name: "latency",
        title: "Pinion / Latency",
        about: "Is a strategy as fast as it is to be, and if not, which stage takes the time?",
        variables: variables(),
        marks: marks(),
        rows: vec![objective(), decision(), stages(), each_stage(), clocks()],
    }
}

/// What explains a change of latency: another module, another process.
pub(super) fn marks() -> Vec<Marks> {
    vec![
        Marks {
            name: "Module swapped",
            colour: colour::PLAIN,
            query: mine(&metrics::SWAPS).increase("1m").sum(&WHOSE).above(0.0),
            text: STRATEGY,
        },
        Marks {
            name: "Runtime started",
            colour: colour::WARN,
            query: here(Series::of(&metrics::PROCESS_START).changes("1m").above(0.0)),
            text: "{{instance}}",
        },
    ]
}

fn over_objective(window: &str) -> Query {
    let over = mine(&metrics::DECISIONS_OVER_OBJECTIVE).rate(window).sum(&WHOSE);
    over.divided_by(&decisions(window))
}

fn decisions(window: &str) -> Query {
    chosen(Series::count_of(&metrics::LATENCY).with("stage", "decision")).rate(window).sum(&WHOSE)
}

fn objective() -> Row {
    let budget = rules::OBJECTIVE_MISSES_MAX;
    let [fast, slow] = [rules::BURN_FAST, rules::BURN_SLOW];
    let p99 = stage("decision", RATE, &WHOSE).quantile(0.99);
    let objective = mine(&metrics::STRATEGY_OBJECTIVE).now().max(&WHOSE);
    Row {
        title: "Objective",
        panels: vec![
            Panel::stat(
                "p99 against the objective",
                "Decision p99 divided by the strategy's own `scaling.targets.p99Micros`. Above 100 % the objective is missed. Empty \
                 where a strategy names none.",
                "percentunit",
            )
            .query(p99.divided_by(&objective), STRATEGY)
            .limits(Some(0.8), Some(1.0)),
            Panel::stat(
                "Decisions over the objective, 1 h",
                "Share of the last hour's decisions that took longer than the objective. 1 % is what a p99 allows.",
                "percentunit",
            )
            .query(over_objective("1h"), STRATEGY)
            .limits(Some(budget), Some(fast * budget)),
            Panel::stat(
                "Longest decision",
                "The longest decision since the process's start, exact, over all processes of the strategy.",
                "s",
            )
            .query(
                mine(&metrics::LATENCY_QUANTILE).with("stage", "decision").with("quantile", "1").now().max(&WHOSE),
                STRATEGY,
            )
            .plain(),
            Panel::stat("Decisions a second", "Orders, modifies and cancels that were handed to the producer.", "ops")
                .query(decisions(RATE), STRATEGY)
                .plain(),
            Panel::lines(
                "Burn rate of the error budget",
                "How many times faster than allowed decisions miss the objective: 1 uses the budget up exactly. The alert fires where 1 h \
                 and 5 m are above 14.4, or 6 h and 30 m above 6 (the lines).",
                "short",
            )
            .query(over_objective("5m").times(1.0 / budget), "{{tenant}}/{{strategy}} 5 m")
            .query(over_objective("30m").times(1.0 / budget), "{{tenant}}/{{strategy}} 30 m")
            .query(over_objective("1h").times(1.0 / budget), "{{tenant}}/{{strategy}} 1 h")
            .query(over_objective("6h").times(1.0 / budget), "{{tenant}}/{{strategy}} 6 h")
            .limits(Some(slow), Some(fast))
            .size(24, 8),
        ],
    }
}

fn decision() -> Row {
    let quantiles = QUANTILES.iter().fold(
        Panel::lines(
            "Decision latency, all chosen together",
            "From the Kafka poll's return to the order's hand-over to the producer, one clock, waiting in rings included. Read from \
             buckets of 1-2-5: a figure is right to its bucket, and p99.99 needs 10,000 decisions within the rate's window to mean \
             anything. `top` is the upper bound of the slowest bucket.",
            "s",
        )
        .log(),
        |panel, (quantile, name)| panel.query(stage("decision", RATE, &[]).quantile(*quantile), name),
    );
    Row {
        title: "Decision latency",
        panels: vec![
            Panel::lines(
                "p99 of each strategy and its objective",
                "The dashed line is the strategy's `scaling.targets.p99Micros`.",
                "s",
            )
            .log()
            .query(stage("decision", RATE, &WHOSE).quantile(0.99), STRATEGY)
            .query(mine(&metrics::STRATEGY_OBJECTIVE).now().max(&WHOSE), "{{tenant}}/{{strategy}} objective")
            .dashed(".* objective"),
            quantiles.query(stage("decision", RATE, &[]).quantile(1.0), "top"),
            Panel::heatmap(
                "Decisions by latency",
                "How many decisions a second lie in each bucket. Two bands are two paths through the strategy, or two machines.",
                "s",
                stage("decision", RATE, &[]),
            ),
            Panel::lines(
                "Exact quantiles since each process's start",
                "From the recorders themselves, to 1 %: what the buckets cannot tell. They move slowly, and `1` (the maximum) never \
                 falls. The histogram itself: GET /hdr/STRATEGY/decision on the admin port.",
                "s",
            )
            .log()
            .query(
                mine(&metrics::LATENCY_QUANTILE)
                    .with("stage", "decision")
                    .now()
                    .max(&["tenant", "strategy", "quantile"]),
                "{{tenant}}/{{strategy}} {{quantile}}",
            ),
        ],
    }
}

/// Quantile of every stage over all that is shown.
fn breakdown(quantile: f64) -> Query {
    by_stage(RANGE).quantile(quantile)
}

/// Buckets of every stage.
fn by_stage(window: &str) -> Query {
    let own = chosen(Series::buckets(&metrics::LATENCY)).rate(window).sum(&["stage", "le"]);
    let shared = Series::buckets(&metrics::LATENCY).like("stage", "broker|decode|queue").rate(window);
    own.or(&here(shared).sum(&["stage", "le"]))
}

fn stages() -> Row {
    let figure = |quantile, head| Column { query: breakdown(quantile), head, unit: "s" };
    let count = Series::count_of(&metrics::LATENCY);
    let own = chosen(count.clone()).rate(RANGE).sum(&["stage"]);
    let shared = here(count.like("stage", "broker|decode|queue").rate(RANGE)).sum(&["stage"]);
    Row {
        title: "Where the time goes",
        panels: vec![
            Panel::table(
                "Stages over the time shown",
                "In the order of the flow: broker, decode, queue, strategy, risk, egress; `decision` spans decode to egress, `ack` \
                 follows. The first three are of the processes that run the chosen strategies, whoever else they serve.",
                vec![
                    Column { query: own.or(&shared), head: "a second", unit: "ops" },
                    figure(0.5, "p50"),
                    figure(0.99, "p99"),
                    figure(0.999, "p99.9"),
                    figure(0.9999, "p99.99"),
                    figure(1.0, "top"),
                ],
                &[],
            ),
            Panel::lines("p99 of each stage", "Which stage the time went to when it went.", "s")
                .log()
                .query(by_stage(RATE).quantile(0.99), "{{stage}}"),
        ],
    }
}

fn each_stage() -> Row {
    let abouts = [
        ("broker", "From the record's Kafka timestamp to the poll's return: two clocks, see below."),
        ("decode", "From the poll's return until the record is decoded."),
        ("queue", "From there until the worker takes the event: it grows when a worker is busy."),
        ("strategy", "One callback: the strategy's own time."),
        ("risk", "The checks of one callback's intents."),
        ("egress", "From an order's approval to its hand-over to the producer."),
        ("ack", "From there to Kafka's acknowledgement: the broker's and the network's time."),
    ];
    // Four on the first line, three on the second.
    let width = |at| if at < 4 { 6 } else { 8 };
    let heatmap = |(at, (name, about))| Panel::heatmap(name, about, "s", stage(name, RATE, &[])).size(width(at), 7);
    Row { title: "Each stage", panels: abouts.into_iter().enumerate().map(heatmap).collect() }
}

fn clocks() -> Row {
    Row {
        title: "Clocks",
        panels: vec![
            Panel::lines(
                "Records from the future",
                "Records whose Kafka timestamp is later than the moment they were read. Any at all means that the broker's clock (or the \
                 publisher's) and this machine's differ, and that stage `broker` cannot be believed.",
                "recps",
            )
            .query(
                super::of_feeds(Series::of(&metrics::BROKER_CLOCK_NEGATIVE).rate(RATE)).sum(&WHOSE),
                STRATEGY,
            )
            .limits(None, Some(0.000_001)),
            Panel::text(
                "What `broker` is and is not",
                "`broker` is the only stage that compares **two clocks**: the record's Kafka timestamp (milliseconds, set by the \
                 publisher or the broker) and this machine's. It is right only as far as these agree, it never goes below 0, and what \
                 would be negative is counted on the left instead. A topic read from its start shows the age of its records, not a delay.\n\n\
                 Every other stage is measured by **one monotonic clock** of one machine.",
            ),
        ],
    }
}
