//! The processes that run strategies: cores, rings, Kafka, what is assigned to them.

use pinion_spec::metrics::{self, Metric};

use super::{RATE, here, info, mine, variables};
use crate::grafana::{Board, Column, Panel, Row, Variable, colour};
use crate::query::{Query, Series, TARGET};

const PINNED: &[(u32, &str, &str)] = &[(0, "not pinned", colour::WARN), (1, "own core", colour::GOOD)];

const CONNECTED: &[(u32, &str, &str)] = &[(0, "no broker", colour::BAD), (1, "connected", colour::GOOD)];

pub(super) fn board() -> Board {
    let mut variables = variables();
    variables.push(Variable { name: "instance", title: "Process", of: info() });
    Board {
        name: "runtime",
        title: "Pinion / Runtime",
        about: "Do the processes have the cores, the memory and the Kafka that they need, and what is assigned to them?",
        variables,
        marks: super::latency::marks(),
        rows: vec![processes(), cores(), shards(), rings(), kafka(), assignments()],
    }
}

/// A metric of the chosen processes.
fn of(metric: &Metric) -> Series {
    Series::of(metric).like("instance", "$instance")
}

fn rate(metric: &Metric) -> Query {
    here(of(metric).rate(RATE))
}

fn now(metric: &Metric) -> Query {
    here(of(metric).now())
}

fn processes() -> Row {
    let every = |metric| Series::of(metric).now();
    Row {
        title: "Processes",
        panels: vec![
            Panel::table(
                "Every process",
                "All that Prometheus scrapes, whatever is chosen above: one that runs nothing yet is here only.",
                vec![
                    Column {
                        query: every(&metrics::BUILD_INFO).max(&["job", "instance", "version"]),
                        head: "up",
                        unit: "bool_yes_no",
                    },
                    Column {
                        query: every(&metrics::PROCESS_START).seconds_ago().max(&TARGET),
                        head: "running for",
                        unit: "s",
                    },
                    Column { query: every(&metrics::STRATEGY_SHARDS).sum(&TARGET), head: "shards", unit: "short" },
                    Column { query: every(&metrics::PROCESS_RESIDENT).max(&TARGET), head: "resident", unit: "bytes" },
                    Column {
                        query: every(&metrics::WORKER_PINNED).sum(&TARGET),
                        head: "pinned workers",
                        unit: "short",
                    },
                    Column { query: every(&metrics::WORKER_PINNED).count(&TARGET), head: "workers", unit: "short" },
                ],
                &[],
            )
            .size(24, 7),
        ],
    }
}

fn cores() -> Row {
    Row {
        title: "Cores and memory",
        panels: vec![
            Panel::states(
                "Workers on cores of their own",
                "What the kernel really gave, not what was asked for. Latency objectives need a core of one's own.",
                PINNED,
            )
            .query(now(&metrics::WORKER_PINNED).max(&["instance", "worker", "core"]), "{{instance}} worker {{worker}} core {{core}}"),
            Panel::lines(
                "Busy share of each worker",
                "Time on events rather than waiting for them. Above the `scaling.targets.busyPercent` of 60 % the operator adds workers.",
                "percentunit",
            )
            .query(rate(&metrics::WORKER_BUSY).sum(&["instance", "worker"]), "{{instance}} worker {{worker}}")
            .most(1.0)
            .limits(Some(0.6), Some(0.9)),
            Panel::lines(
                "Kept off the CPU",
                "Seconds a second that the kernel kept the container's threads from running because its CPU quota was used up. With whole \
                 cores it is 0; anything else is latency.",
                "percentunit",
            )
            .query(rate(&metrics::CPU_THROTTLED).max(&["instance"]), "{{instance}}")
            .limits(None, Some(0.01)),
            Panel::lines(
                "Cores used",
                "CPU time a second of all threads. A worker that spins uses its core whole.",
                "short",
            )
            .query(rate(&metrics::PROCESS_CPU).max(&["instance"]), "{{instance}}"),
            Panel::lines("Resident memory", "Of the process; guests' memory is part of it.", "bytes")
                .query(now(&metrics::PROCESS_RESIDENT).max(&["instance"]), "{{instance}}"),
            Panel::lines(
                "Starts",
                "How often the process began anew, in an hour. A restart loses strategies' state and assumed positions.",
                "short",
            )
            .query(here(of(&metrics::PROCESS_START).changes("1h")).max(&["instance"]), "{{instance}}")
            .limits(Some(1.0), Some(3.0)),
        ],
    }
}

fn shards() -> Row {
    let shard = &["instance", "feed", "shard", "worker"];
    Row {
        title: "Shards",
        panels: vec![
            Panel::lines(
                "Busy share of each shard",
                "What a shard takes of its worker's core, for all strategies of its group. One that takes most of a core is not helped by more workers.",
                "percentunit",
            )
            .query(rate(&metrics::SHARD_BUSY).sum(shard), "{{instance}} {{feed}} {{shard}} on {{worker}}")
            .most(1.0)
            .size(8, 8),
            Panel::lines("Records done of each shard", "By its worker, a second.", "recps")
                .query(rate(&metrics::SHARD_RECORDS).sum(shard), "{{instance}} {{feed}} {{shard}} on {{worker}}")
                .size(8, 8),
            Panel::lines(
                "Records that wait for each shard",
                "Between the last one that is done and the log's end, rings included.",
                "short",
            )
            .query(now(&metrics::SHARD_LAG).max(&["instance", "feed", "shard"]), "{{instance}} {{feed}} {{shard}}")
            .size(8, 8),
        ],
    }
}

fn rings() -> Row {
    Row {
        title: "Rings and back-pressure",
        panels: vec![
            Panel::lines(
                "Waits for a worker's ring",
                "Times a second that a record waited because the ring to its worker was full: the worker is slower than its market data.",
                "ops",
            )
            .query(rate(&metrics::RING_FULL).sum(&["instance", "feed"]), "{{instance}} {{feed}}")
            .size(8, 8),
            Panel::lines(
                "Pauses of partitions",
                "A ring that stayed full for 20 ms: its partitions are left in Kafka, and lag grows.",
                "ops",
            )
            .query(rate(&metrics::PARTITION_PAUSED).sum(&["instance", "feed"]), "{{instance}} {{feed}}")
            .size(8, 8),
            Panel::lines(
                "Waits for egress",
                "Times a second that a worker waited because the ring to egress was full: Kafka takes orders slower than they are made.",
                "ops",
            )
            .query(rate(&metrics::EGRESS_FULL).sum(&["instance", "worker"]), "{{instance}} worker {{worker}}")
            .size(8, 8),
            Panel::lines(
                "Waits for the journal",
                "Times a second that a worker waited because the journal's thread was behind: a disk that is too slow for it.",
                "ops",
            )
            .query(rate(&metrics::JOURNAL_FULL).sum(&["instance", "worker"]), "{{instance}} worker {{worker}}")
            .size(8, 8),
            Panel::lines("Journal", "Bytes a second of the workers' journals; nothing where none is kept.", "Bps")
                .query(rate(&metrics::JOURNAL_BYTES).sum(&["instance", "worker"]), "{{instance}} worker {{worker}}")
                .size(8, 8),
            Panel::lines(
                "Journals that ended",
                "1 where a journal could not be written further: what a worker presents since then cannot be replayed. The log says why.",
                "none",
            )
            .query(now(&metrics::JOURNAL_FAILED).max(&["instance", "worker"]), "{{instance}} worker {{worker}}")
            .size(8, 8),
        ],
    }
}

fn kafka() -> Row {
    let sent = || of(&metrics::KAFKA_SENT);
    Row {
        title: "Kafka",
        panels: vec![
            Panel::states("Brokers", "Whether any broker answers the feed.", CONNECTED)
                .query(now(&metrics::KAFKA_CONNECTED).min(&["instance", "feed"]), "{{instance}} {{feed}}"),
            Panel::lines("Bytes read", "Of the records' values.", "Bps")
                .query(rate(&metrics::RECORD_BYTES).sum(&["instance", "feed"]), "{{instance}} {{feed}}"),
            Panel::lines(
                "Records read and waiting",
                "Of each feed: how many a second, and how many are left in Kafka.",
                "short",
            )
            .query(rate(&metrics::RECORDS).sum(&["instance", "feed"]), "read a second: {{instance}} {{feed}}")
            .query(now(&metrics::KAFKA_LAG).max(&["instance", "feed"]), "waiting: {{instance}} {{feed}}"),
            Panel::lines("Records sent", "Orders, denials and dead letters, handed to the producer and acknowledged.", "recps")
                .query(rate(&metrics::KAFKA_SENT).max(&["instance"]), "sent: {{instance}}")
                .query(rate(&metrics::KAFKA_ACKNOWLEDGED).max(&["instance"]), "acknowledged: {{instance}}"),
            Panel::lines(
                "On their way",
                "Sent and not yet acknowledged. It grows when the broker is slow or gone.",
                "short",
            )
            .query(
                here(sent().total().minus(&of(&metrics::KAFKA_ACKNOWLEDGED).total())).max(&["instance"]),
                "{{instance}}",
            ),
            Panel::lines(
                "Trouble with sending",
                "Records that Kafka refused for good (their strategy is halted, and the process waits for a restart), and times that the \
                 producer's own queue had no room.",
                "short",
            )
            .query(here(of(&metrics::KAFKA_DELIVERY_ERRORS).total()).max(&["instance"]), "refused: {{instance}}")
            .query(rate(&metrics::KAFKA_QUEUE_FULL).max(&["instance"]), "queue full a second: {{instance}}")
            .limits(None, Some(1.0)),
        ],
    }
}

fn assignments() -> Row {
    Row {
        title: "Assignments (in a cluster)",
        panels: vec![
            Panel::lines("Shards that it runs", "Of each strategy, in each process.", "short")
                .stacked()
                .query(
                    mine(&metrics::STRATEGY_SHARDS).like("instance", "$instance").now().sum(&["tenant", "strategy", "instance"]),
                    "{{tenant}}/{{strategy}} in {{instance}}",
                ),
            Panel::lines(
                "What is left of the lease",
                "The operator renews it at a third of its length. When it is over the pod stops itself. 0 without a lease, as on a laptop.",
                "s",
            )
            .query(now(&metrics::LEASE).max(&["instance"]), "{{instance}}"),
            Panel::lines(
                "Assignment held",
                "The operator's term and its count of changes to this pod's document. Both only grow.",
                "short",
            )
            .query(now(&metrics::ASSIGNMENT_EPOCH).max(&["instance"]), "term: {{instance}}")
            .query(now(&metrics::ASSIGNMENT_REVISION).max(&["instance"]), "revision: {{instance}}"),
            Panel::lines(
                "Assignments refused",
                "In the last hour: older than what is held, altered, for another pod, or with mistakes.",
                "short",
            )
            .query(here(of(&metrics::ASSIGNMENTS_REFUSED).increase("1h")).max(&["instance"]), "{{instance}}")
            .limits(None, Some(1.0)),
            Panel::table(
                "What runs where",
                "Strategy, the group that reads for it, the head of its module's digest, and the process.",
                vec![Column {
                    query: mine(&metrics::STRATEGY_INFO).like("instance", "$instance").now().max(&[
                        "tenant", "strategy", "feed", "module", "instance",
                    ]),
                    head: "loaded",
                    unit: "bool_yes_no",
                }],
                &[],
            )
            .size(24, 8),
        ],
    }
}
