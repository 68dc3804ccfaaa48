//! The alerts, by who is to look: at a strategy, at its market data and Kafka, at a process, at the operator.

use pinion_spec::metrics::{self, Metric};

use super::recordings::{self, BURN_FAST, BURN_SLOW, OBJECTIVE_MISSES_MAX, WHOSE};
use super::{Alert, Group, Pace, Severity};
use crate::query::{Query, Series, TARGET};

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;

/// Decisions in the long window below which a 99th percentile says nothing.
const DECISIONS_MIN: f64 = 100.0;

/// Lag from which decisions are made on old prices, s: the default of `scaling.targets.lagSeconds`.
const LAG_SECONDS_MAX: f64 = 5.0;

/// Share of intents that may be denied, and denials a second below which the share does not matter.
const DENIED_SHARE_MAX: f64 = 0.25;
const DENIED_RATE_MIN: f64 = 0.1;

/// Share of a second that quota may keep threads off the CPU.
const THROTTLED_MAX: f64 = 0.01;

/// Share of records that may be undecodable.
const UNDECODABLE_MAX: f64 = 0.01;

/// Share of rounds that may fail; each is tried again.
const ROUNDS_FAILED_MAX: f64 = 0.25;

/// Starts within a quarter of an hour that are no roll-out.
const STARTS_MAX: f64 = 3.0;

pub(super) fn groups(pace: Pace) -> Vec<Group> {
    vec![
        Group {
            name: "pinion-objective",
            recordings: recordings::objective(pace),
            alerts: vec![objective_missed_fast(pace), objective_missed_slow(pace)],
        },
        Group {
            name: "pinion-strategy",
            recordings: recordings::risk(pace),
            alerts: vec![quarantined(), halted(), denials(pace)],
        },
        Group {
            name: "pinion-market-data",
            recordings: Vec::new(),
            alerts: vec![lag(pace), silent(pace), undecodable(pace), disconnected(), refused_by_kafka()],
        },
        Group {
            name: "pinion-runtime",
            recordings: Vec::new(),
            alerts: vec![not_pinned(), throttled(pace), restarting(pace), lease(pace), assignments_refused(pace)],
        },
        Group { name: "pinion-operator", recordings: Vec::new(), alerts: vec![no_leader(pace), rounds_failing(pace)] },
    ]
}

fn now(metric: &Metric) -> Query {
    Series::of(metric).now()
}

/// What is said of feeds, said of the strategies that they read for.
fn of_feeds(query: Query) -> Query {
    query.for_each_of(&["job", "instance", "feed"], &now(&metrics::STRATEGY_INFO))
}

fn burns(pace: Pace, long: (&str, u32), short: &str, times: f64) -> Query {
    let limit = times * OBJECTIVE_MISSES_MAX;
    let enough = recordings::decisions(pace, long.1).at_least(DECISIONS_MIN);
    let above = |name| recordings::missed(pace, name).now().above(limit);
    above(long.0).and(&WHOSE, &above(short)).and(&WHOSE, &enough)
}

const MISSED: &str = "PinionLatencyObjectiveMissed";
const MISSED_SUMMARY: &str = "{{ $value | humanizePercentage }} of the decisions of {{ $labels.tenant }}/{{ $labels.strategy }} take longer than its objective";

fn objective_missed_fast(pace: Pace) -> Alert {
    Alert {
        name: MISSED,
        severity: Severity::Critical,
        query: burns(pace, ("1h", HOUR), "5m", BURN_FAST),
        wait: 2 * MINUTE,
        summary: MISSED_SUMMARY,
        description: "In the last hour and in the last 5 minutes more than 14.4 % of decisions missed `scaling.targets.p99Micros`, of which a \
                      p99 allows 1 %. At this speed a month's allowance is gone in two days.",
    }
}

fn objective_missed_slow(pace: Pace) -> Alert {
    Alert {
        name: MISSED,
        severity: Severity::Warning,
        query: burns(pace, ("6h", 6 * HOUR), "30m", BURN_SLOW),
        wait: 15 * MINUTE,
        summary: MISSED_SUMMARY,
        description: "In the last 6 hours and in the last 30 minutes more than 6 % of decisions missed `scaling.targets.p99Micros`, of which a \
                      p99 allows 1 %. At this speed a month's allowance is gone in five days.",
    }
}

fn quarantined() -> Alert {
    Alert {
        name: "PinionStrategyQuarantined",
        severity: Severity::Critical,
        query: now(&metrics::STRATEGY_QUARANTINED).max(&WHOSE).is(1.0),
        // A module on probation is rolled back by itself within seconds.
        wait: MINUTE,
        summary: "{{ $labels.tenant }}/{{ $labels.strategy }} is quarantined: it faulted too often and is not called any more",
        description: "An instance of the strategy faulted five times within a minute. Its resting orders are cancelled, events pass it by, and it \
                      stays so until its module is swapped.",
    }
}

fn halted() -> Alert {
    Alert {
        name: "PinionHaltActive",
        severity: Severity::Warning,
        query: Series::of(&metrics::STRATEGY_STATE).with("state", "HALTED").now().max(&WHOSE).is(1.0),
        wait: MINUTE,
        summary: "{{ $labels.tenant }}/{{ $labels.strategy }} is halted",
        description: "Nothing of the strategy passes except cancels. A person has halted it, its tenant is suspended, or Kafka refused one of its \
                      orders for good.",
    }
}

fn denials(pace: Pace) -> Alert {
    let share = recordings::denials_share(pace).now().above(DENIED_SHARE_MAX);
    Alert {
        name: "PinionDenialsSpiking",
        severity: Severity::Warning,
        query: share.and(&WHOSE, &recordings::denials(pace).now().above(DENIED_RATE_MIN)),
        wait: 5 * MINUTE,
        summary: "{{ $value | humanizePercentage }} of what {{ $labels.tenant }}/{{ $labels.strategy }} asks for is denied",
        description: "The risk check denies more than a quarter of the strategy's intents, and not because somebody has halted it. It does not \
                      trade as it was meant to.",
    }
}

fn lag(pace: Pace) -> Alert {
    let seconds = || Series::of(&metrics::KAFKA_LAG_SECONDS);
    let window = pace.span(5 * MINUTE);
    let still_behind = seconds().predicted(&window, pace.seconds(30 * MINUTE)).above(LAG_SECONDS_MAX);
    let behind = seconds().now().above(LAG_SECONDS_MAX).and(&["job", "instance", "feed"], &still_behind);
    Alert {
        name: "PinionLagGrowing",
        severity: Severity::Critical,
        query: of_feeds(behind).max(&["tenant", "strategy", "feed"]),
        wait: 5 * MINUTE,
        summary: "{{ $labels.tenant }}/{{ $labels.strategy }} is {{ $value | humanizeDuration }} behind its market data, and does not catch up",
        description: "The feed {{ $labels.feed }} is more than 5 s behind, and by the trend of the last 5 minutes it will be in half an hour: the \
                      strategy decides on old prices.",
    }
}

fn silent(pace: Pace) -> Alert {
    let records = |seconds| of_feeds(Series::of(&metrics::RECORDS).rate(&pace.span(seconds))).sum(&WHOSE);
    Alert {
        name: "PinionFeedSilent",
        severity: Severity::Warning,
        query: records(5 * MINUTE).is(0.0).and(&WHOSE, &records(HOUR).above(0.0)),
        wait: 5 * MINUTE,
        summary: "{{ $labels.tenant }}/{{ $labels.strategy }} gets no market data any more",
        description: "Not one record in the last 5 minutes, after some in the last hour. Unless the venue has closed, whoever publishes has \
                      stopped, or the feed has.",
    }
}

fn undecodable(pace: Pace) -> Alert {
    let window = pace.span(5 * MINUTE);
    let bad = of_feeds(Series::of(&metrics::DECODE_ERRORS).rate(&window).sum(&["job", "instance", "feed"])).sum(&WHOSE);
    let all = of_feeds(Series::of(&metrics::RECORDS).rate(&window)).sum(&WHOSE);
    Alert {
        name: "PinionRecordsUndecodable",
        severity: Severity::Warning,
        query: bad.divided_by(&all).above(UNDECODABLE_MAX),
        wait: 5 * MINUTE,
        summary: "{{ $value | humanizePercentage }} of the records for {{ $labels.tenant }}/{{ $labels.strategy }} cannot be decoded",
        description: "They are skipped, so the strategy does not see what they hold. They are in the dead-letter topic where one is named, each \
                      with its reason.",
    }
}

fn disconnected() -> Alert {
    Alert {
        name: "PinionKafkaDisconnected",
        severity: Severity::Critical,
        query: now(&metrics::KAFKA_CONNECTED).min(&["instance", "feed"]).is(0.0),
        wait: MINUTE,
        summary: "No broker answers {{ $labels.instance }} for the feed {{ $labels.feed }}",
        description: "Reading and sending wait. Nothing is lost: orders are kept and sent when a broker answers, by then on old prices.",
    }
}

fn refused_by_kafka() -> Alert {
    Alert {
        name: "PinionRecordsRefused",
        severity: Severity::Critical,
        query: Series::of(&metrics::KAFKA_DELIVERY_ERRORS).total().max(&["instance"]).above(0.0),
        wait: 0,
        summary: "Kafka has refused {{ $value }} records of {{ $labels.instance }} for good",
        description: "The strategy whose order was refused is halted, and its offset is not committed: after a restart its records are read \
                      again and the same orders sent. The process is not ready until then.",
    }
}

fn not_pinned() -> Alert {
    let assigned = now(&metrics::ASSIGNMENT_EPOCH).above(0.0);
    let objective = now(&metrics::STRATEGY_OBJECTIVE).above(0.0);
    Alert {
        name: "PinionWorkerNotPinned",
        severity: Severity::Warning,
        // On a laptop, where nothing is assigned, and without an objective to hold it is nobody's concern.
        query: now(&metrics::WORKER_PINNED).is(0.0).and(&TARGET, &assigned).and(&TARGET, &objective),
        wait: 10 * MINUTE,
        summary: "Worker {{ $labels.worker }} of {{ $labels.instance }} has no core of its own",
        description: "Other threads run on its core, so its latency depends on them, and a strategy there has an objective for it. Objectives in \
                      microseconds are not held so.",
    }
}

fn throttled(pace: Pace) -> Alert {
    Alert {
        name: "PinionCpuThrottled",
        severity: Severity::Warning,
        query: Series::of(&metrics::CPU_THROTTLED).rate(&pace.span(5 * MINUTE)).max(&["instance"]).above(THROTTLED_MAX),
        wait: 5 * MINUTE,
        summary: "{{ $labels.instance }} is kept off the CPU {{ $value | humanizePercentage }} of the time",
        description: "The container has used up its CPU quota and waits for the next period, up to 100 ms at a time. A pod of whole cores has \
                      no quota to use up.",
    }
}

fn restarting(pace: Pace) -> Alert {
    Alert {
        name: "PinionRuntimeRestarting",
        severity: Severity::Critical,
        query: Series::of(&metrics::PROCESS_START)
            .changes(&pace.span(15 * MINUTE))
            .max(&["instance"])
            .at_least(STARTS_MAX),
        wait: 0,
        summary: "{{ $labels.instance }} has started {{ $value }} times in 15 minutes",
        description: "Each start loses the state of its strategies and the positions that they assume. Code 75 is a lease that ran out, 64 a \
                      wrong file, 69 Kafka, 137 memory.",
    }
}

fn lease(pace: Pace) -> Alert {
    let left = || Series::of(&metrics::LEASE);
    let most = left().most(&pace.span(2 * MINUTE));
    Alert {
        name: "PinionLeaseRunningOut",
        severity: Severity::Critical,
        query: left().now().below(&most.times(0.5)).max(&["instance"]),
        wait: 0,
        summary: "{{ $labels.instance }} stops in {{ $value | humanizeDuration }}: its lease is not renewed",
        description: "The operator renews a pod's lease at a third of its length, and has missed that. When it is over the pod stops, and its \
                      shards go to others.",
    }
}

fn assignments_refused(pace: Pace) -> Alert {
    Alert {
        name: "PinionAssignmentsRefused",
        severity: Severity::Warning,
        query: Series::of(&metrics::ASSIGNMENTS_REFUSED)
            .increase(&pace.span(10 * MINUTE))
            .max(&["instance"])
            .above(0.0),
        wait: 0,
        summary: "{{ $labels.instance }} has refused an assignment",
        description: "It was older than the one that it holds, altered, for another pod or with mistakes. One at a change of the leader may be; \
                      more are two who lead, or an operator and a runtime of different versions.",
    }
}

fn no_leader(pace: Pace) -> Alert {
    let day = pace.span(24 * HOUR);
    // Where no operator and no pod has been seen for a day there is no cluster to be led.
    let seen = |metric| Series::of(metric).last(&day);
    let cluster = seen(&metrics::OPERATOR_LEADER).count(&[]);
    let pods = seen(&metrics::ASSIGNMENT_EPOCH).above(0.0).count(&[]);
    let leads = now(&metrics::OPERATOR_LEADER).sum(&[]).above(0.0);
    Alert {
        name: "PinionNoLeader",
        severity: Severity::Critical,
        query: cluster.or(&pods).unless(&[], &leads),
        // A takeover takes under 10 s, and is seen at the next scrape.
        wait: MINUTE,
        summary: "No operator leads",
        description: "Nothing is renewed, moved, scaled or halted through Kubernetes. Pods go on until their leases run out (a minute, where the \
                      pool does not say otherwise) and then stop.",
    }
}

fn rounds_failing(pace: Pace) -> Alert {
    let rounds = || Series::of(&metrics::OPERATOR_ROUNDS);
    let window = pace.span(5 * MINUTE);
    let failed = rounds().with("outcome", "failed").rate(&window).sum(&[]);
    Alert {
        name: "PinionOperatorRoundsFailing",
        severity: Severity::Warning,
        query: failed.divided_by(&rounds().rate(&window).sum(&[])).above(ROUNDS_FAILED_MAX),
        wait: 10 * MINUTE,
        summary: "{{ $value | humanizePercentage }} of the operator's rounds fail",
        description: "What fails is tried again, and until it succeeds that tenant is not brought to what its resources say. A halt still \
                      reaches the pods that can be reached.",
    }
}
