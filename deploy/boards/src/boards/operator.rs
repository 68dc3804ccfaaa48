//! The operator: who leads, what it does, how long that takes.

use pinion_spec::metrics;

use super::{QUANTILES, RATE, STRATEGY, WHOSE, mine, variables};
use crate::grafana::{Board, Panel, Row, colour};
use crate::query::Series;

const LEADS: &[(u32, &str, &str)] = &[(0, "waits", colour::PLAIN), (1, "leads", colour::GOOD)];

pub(super) fn board() -> Board {
    Board {
        name: "operator",
        title: "Pinion / Operator",
        about: "Does one operator lead, does it keep up, and what has it changed?",
        variables: variables(),
        marks: Vec::new(),
        rows: vec![leadership(), rounds(), effects()],
    }
}

fn leadership() -> Row {
    let leader = || Series::of(&metrics::OPERATOR_LEADER).now();
    Row {
        title: "Leadership",
        panels: vec![
            Panel::stat(
                "Leaders",
                "1, or 0 for the seconds of a takeover. Without a leader nothing is renewed: pods stop when their leases run out.",
                "short",
            )
            .query(leader().sum(&[]), "leaders")
            .good_from(1.0)
            .filled()
            .size(4, 6),
            Panel::stat("Term", "Each leader's is higher than the one before. It is the epoch of the assignments.", "none")
                .query(Series::of(&metrics::OPERATOR_EPOCH).now().max(&[]), "term")
                .plain()
                .size(4, 6),
            Panel::states("Who leads", "Each process of the operator.", LEADS)
                .query(leader().max(&["instance"]), "{{instance}}")
                .size(8, 6),
            Panel::lines("Resources", "That there are, by kind.", "short")
                .query(Series::of(&metrics::OPERATOR_RESOURCES).now().max(&["kind"]), "{{kind}}")
                .size(8, 6),
        ],
    }
}

fn rounds() -> Row {
    let rounds = || Series::of(&metrics::OPERATOR_ROUNDS);
    let seconds = || Series::buckets(&metrics::OPERATOR_ROUND_SECONDS).rate(RATE).sum(&["le"]);
    let durations = QUANTILES[..3].iter().fold(
        Panel::lines(
            "Time of a round",
            "Of one tenant, calls to its pods included. Pods that do not answer make it seconds.",
            "s",
        )
        .log(),
        |panel, (quantile, name)| panel.query(seconds().quantile(*quantile), name),
    );
    Row {
        title: "Rounds",
        panels: vec![
            Panel::lines("Rounds a second", "One for each tenant, when something changed or is due.", "ops")
                .query(rounds().rate(RATE).sum(&["outcome"]), "{{outcome}}"),
            durations,
            Panel::heatmap("Rounds by time", "Where most of them lie, and the slow ones.", "s", seconds()),
            Panel::lines(
                "Share of rounds that fail",
                "They are tried again. The operator's log says why.",
                "percentunit",
            )
            .query(
                rounds().with("outcome", "failed").rate(RATE).sum(&[]).divided_by(&rounds().rate(RATE).sum(&[])),
                "failed",
            )
            .most(1.0)
            .limits(Some(0.05), Some(0.25)),
        ],
    }
}

fn effects() -> Row {
    Row {
        title: "What it does",
        panels: vec![
            Panel::lines(
                "Writes to Kubernetes",
                "By kind. None while nothing changes: a steady stream is two who disagree.",
                "wps",
            )
            .query(Series::of(&metrics::OPERATOR_WRITES).rate(RATE).sum(&["kind"]), "{{kind}}")
            .size(8, 8),
            Panel::lines(
                "Calls to Kubernetes that failed",
                "What was asked for, and why it was not done. Conflicts are settled by the next round; throttling is obeyed.",
                "ops",
            )
            .query(
                Series::of(&metrics::OPERATOR_KUBE_ERRORS).rate(RATE).sum(&["call", "why"]),
                "{{call}} {{why}}",
            )
            .size(8, 8),
            Panel::lines("Calls to pods", "Reports, assignments, modules, metrics; by how they ended.", "ops").query(
                Series::of(&metrics::OPERATOR_POD_CALLS).rate(RATE).sum(&["call", "outcome"]),
                "{{call}} {{outcome}}",
            )
            .size(8, 8),
            Panel::lines(
                "Shards moved",
                "From one pod to another, in an hour. Each move starts a strategy's shard afresh.",
                "short",
            )
            .query(
                Series::of(&metrics::OPERATOR_SHARD_MOVES).like("tenant", "$tenant").increase("1h").sum(&["tenant"]),
                "{{tenant}}",
            ),
            Panel::lines("Modules rolled back", "In an hour: they faulted on probation.", "short")
                .query(
                    Series::of(&metrics::OPERATOR_ROLLBACKS).like("tenant", "$tenant").increase("1h").sum(&["tenant"]),
                    "{{tenant}}",
                )
                .limits(Some(1.0), None),
            Panel::lines("Shards that run", "What came of it: shards of each strategy, over all pods.", "short")
                .query(mine(&metrics::STRATEGY_SHARDS).now().sum(&WHOSE), STRATEGY)
                .size(24, 7),
        ],
    }
}
