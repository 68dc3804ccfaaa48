//! PromQL that can only name what exists.
//!
//! A [`Series`] is a metric and what is matched of it; a [`Query`] is an expression over series, and knows the labels of its
//! result. Both panic where an expression could not have data: that is a mistake in this crate, and it shows when the files are
//! written.

use std::collections::BTreeSet;

use pinion_spec::metrics::{Metric, MetricKind};

/// Labels that Prometheus gives every series by where it scraped it.
pub const TARGET: [&str; 2] = ["job", "instance"];

type Labels = BTreeSet<&'static str>;

/// A metric, and which of its series.
#[derive(Debug, Clone)]
pub struct Series {
    name: String,
    counts: bool,
    labels: Labels,
    matchers: Vec<String>,
    uses: BTreeSet<&'static str>,
}

/// An expression.
#[derive(Debug, Clone)]
pub struct Query {
    text: String,
    /// Whether an operator may stand beside it without parentheses.
    is_atom: bool,
    labels: Labels,
    uses: BTreeSet<&'static str>,
}

impl Series {
    /// A counter or gauge.
    #[must_use]
    pub fn of(metric: &Metric) -> Self {
        assert!(metric.kind != MetricKind::Histogram, "{} is a histogram: take its buckets or its count", metric.name);
        Self::new(metric, "", metric.kind == MetricKind::Counter)
    }

    /// A histogram's cumulative buckets.
    #[must_use]
    pub fn buckets(metric: &Metric) -> Self {
        assert!(metric.kind == MetricKind::Histogram, "{} has no buckets", metric.name);
        let mut series = Self::new(metric, "_bucket", true);
        series.labels.insert("le");
        series
    }

    /// How many values a histogram has seen.
    #[must_use]
    pub fn count_of(metric: &Metric) -> Self {
        assert!(metric.kind == MetricKind::Histogram, "{} has no count of its own", metric.name);
        Self::new(metric, "_count", true)
    }

    /// The result of a recording rule: a gauge.
    #[must_use]
    pub fn recorded(name: &str, query: &Query) -> Self {
        let (labels, uses) = (query.labels.clone(), query.uses.clone());
        Self { name: name.to_owned(), counts: false, labels, matchers: Vec::new(), uses }
    }

    fn new(metric: &Metric, suffix: &str, counts: bool) -> Self {
        Self {
            name: format!("{}{suffix}", metric.name),
            counts,
            labels: metric.labels.iter().copied().chain(TARGET).collect(),
            matchers: Vec::new(),
            uses: BTreeSet::from([metric.name]),
        }
    }

    fn matching(mut self, label: &str, operator: &str, value: &str) -> Self {
        assert!(self.labels.contains(label), "{} has no label {label}", self.name);
        assert!(!value.contains(['"', '\\', '\n']), "{value:?} would need escapes");
        self.matchers.push(format!("{label}{operator}\"{value}\""));
        self
    }

    /// Where a label has this value.
    #[must_use]
    pub fn with(self, label: &str, value: &str) -> Self {
        self.matching(label, "=", value)
    }

    /// Where a label matches this expression.
    #[must_use]
    pub fn like(self, label: &str, expression: &str) -> Self {
        self.matching(label, "=~", expression)
    }

    /// Where a label does not match this expression.
    #[must_use]
    pub fn unlike(self, label: &str, expression: &str) -> Self {
        self.matching(label, "!~", expression)
    }

    fn text(&self) -> String {
        if self.matchers.is_empty() {
            return self.name.clone();
        }
        format!("{}{{{}}}", self.name, self.matchers.join(", "))
    }

    fn query(&self, text: String) -> Query {
        Query { text, is_atom: true, labels: self.labels.clone(), uses: self.uses.clone() }
    }

    fn gauge(&self) -> &Self {
        assert!(!self.counts, "{} only goes up: take its rate", self.name);
        self
    }

    fn counter(&self) -> &Self {
        assert!(self.counts, "{} goes up and down: it has no rate", self.name);
        self
    }

    /// A gauge's value.
    #[must_use]
    pub fn now(self) -> Query {
        self.query(self.gauge().text())
    }

    /// What a counter has counted since its process began.
    #[must_use]
    pub fn total(self) -> Query {
        self.query(self.counter().text())
    }

    /// How much a counter grows in a second.
    #[must_use]
    pub fn rate(self, window: &str) -> Query {
        self.query(format!("rate({}[{window}])", self.counter().text()))
    }

    /// How much a counter has grown.
    #[must_use]
    pub fn increase(self, window: &str) -> Query {
        self.query(format!("increase({}[{window}])", self.counter().text()))
    }

    /// The most that a gauge was.
    #[must_use]
    pub fn most(self, window: &str) -> Query {
        self.query(format!("max_over_time({}[{window}])", self.gauge().text()))
    }

    /// The last that a gauge was, however long it has been absent within the window.
    #[must_use]
    pub fn last(self, window: &str) -> Query {
        self.query(format!("last_over_time({}[{window}])", self.gauge().text()))
    }

    /// How often a gauge became another.
    #[must_use]
    pub fn changes(self, window: &str) -> Query {
        self.query(format!("changes({}[{window}])", self.gauge().text()))
    }

    /// What a gauge will be after `seconds`, if it goes on as in the window.
    #[must_use]
    pub fn predicted(self, window: &str, seconds: f64) -> Query {
        self.query(format!("predict_linear({}[{window}], {seconds})", self.gauge().text()))
    }
}

impl Query {
    /// As Prometheus reads it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The labels of its series.
    #[must_use]
    pub const fn labels(&self) -> &BTreeSet<&'static str> {
        &self.labels
    }

    /// The names of the metrics that it reads.
    #[must_use]
    pub const fn uses(&self) -> &BTreeSet<&'static str> {
        &self.uses
    }

    /// Asserts that it has labels, and returns them.
    fn known(&self, labels: &[&str]) -> Labels {
        let find = |label: &&str| match self.labels.get(*label) {
            Some(known) => *known,
            None => panic!("{} has no label {label}", self.text),
        };
        labels.iter().map(find).collect()
    }

    fn aggregated(self, function: &str, by: &[&str]) -> Self {
        let labels = self.known(by);
        let by = if by.is_empty() { String::new() } else { format!(" by ({})", by.join(", ")) };
        Self { text: format!("{function}{by} ({})", self.text), is_atom: true, labels, uses: self.uses }
    }

    /// Adds up.
    #[must_use]
    pub fn sum(self, by: &[&str]) -> Self {
        self.aggregated("sum", by)
    }

    /// The largest.
    #[must_use]
    pub fn max(self, by: &[&str]) -> Self {
        self.aggregated("max", by)
    }

    /// The smallest.
    #[must_use]
    pub fn min(self, by: &[&str]) -> Self {
        self.aggregated("min", by)
    }

    /// How many.
    #[must_use]
    pub fn count(self, by: &[&str]) -> Self {
        self.aggregated("count", by)
    }

    /// A quantile of buckets.
    #[must_use]
    pub fn quantile(self, quantile: f64) -> Self {
        let mut labels = self.labels;
        assert!(labels.remove("le"), "{} has no buckets", self.text);
        Self { text: format!("histogram_quantile({quantile}, {})", self.text), is_atom: true, labels, uses: self.uses }
    }

    fn wrapped(&self) -> String {
        if self.is_atom { self.text.clone() } else { format!("({})", self.text) }
    }

    fn joined(self, operator: &str, right: &Self, labels: Labels) -> Self {
        let mut uses = self.uses.clone();
        uses.extend(right.uses.iter().copied());
        Self { text: format!("{} {operator} {}", self.wrapped(), right.wrapped()), is_atom: false, labels, uses }
    }

    fn matched(self, operator: &str, on: &[&str], right: &Self) -> Self {
        let _ = (self.known(on), right.known(on));
        let labels = self.labels.clone();
        self.joined(&format!("{operator} on ({})", on.join(", ")), right, labels)
    }

    /// Where the other has a series with the same values of these labels.
    #[must_use]
    pub fn and(self, on: &[&str], other: &Self) -> Self {
        self.matched("and", on, other)
    }

    /// Where the other has none.
    #[must_use]
    pub fn unless(self, on: &[&str], other: &Self) -> Self {
        self.matched("unless", on, other)
    }

    /// Both; of two with the same labels, this one.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let labels = self.labels.intersection(&other.labels).copied().collect();
        self.joined("or", other, labels)
    }

    fn same(self, operator: &str, other: &Self) -> Self {
        assert_eq!(self.labels, other.labels, "{} {operator} {} match nothing", self.text, other.text);
        let labels = self.labels.clone();
        self.joined(operator, other, labels)
    }

    /// The sum with one of the same labels.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.same("+", other)
    }

    /// The difference from one of the same labels.
    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        self.same("-", other)
    }

    /// The quotient by one of the same labels.
    #[must_use]
    pub fn divided_by(self, other: &Self) -> Self {
        self.same("/", other)
    }

    /// The quotient by the one of many that has these labels.
    #[must_use]
    pub fn divided_by_its(self, on: &[&str], other: &Self) -> Self {
        let labels = self.labels.clone();
        let _ = (self.known(on), other.known(on));
        self.joined(&format!("/ on ({}) group_left ()", on.join(", ")), other, labels)
    }

    /// Its value once for each series of `info` (whose value is 1), with that one's labels.
    #[must_use]
    pub fn for_each_of(self, on: &[&str], info: &Self) -> Self {
        let _ = (self.known(on), info.known(on));
        let labels = info.labels.clone();
        self.joined(&format!("* on ({}) group_right ()", on.join(", ")), info, labels)
    }

    fn with_number(self, operator: &str, number: f64) -> Self {
        // What a product of two decimals has beyond nine digits is the float's own.
        let number = (number * 1e9).round() / 1e9;
        Self { text: format!("{} {operator} {number}", self.wrapped()), is_atom: false, ..self }
    }

    /// A multiple.
    #[must_use]
    pub fn times(self, number: f64) -> Self {
        self.with_number("*", number)
    }

    /// Those above a number.
    #[must_use]
    pub fn above(self, number: f64) -> Self {
        self.with_number(">", number)
    }

    /// Those that are a number or more.
    #[must_use]
    pub fn at_least(self, number: f64) -> Self {
        self.with_number(">=", number)
    }

    /// Those that are a number.
    #[must_use]
    pub fn is(self, number: f64) -> Self {
        self.with_number("==", number)
    }

    /// Those below the one of the same labels.
    #[must_use]
    pub fn below(self, other: &Self) -> Self {
        self.same("<", other)
    }

    /// The seconds since a time.
    #[must_use]
    pub fn seconds_ago(self) -> Self {
        Self { text: format!("time() - {}", self.wrapped()), is_atom: false, ..self }
    }
}

#[cfg(test)]
mod tests {
    use pinion_spec::metrics;

    use super::*;

    #[test]
    fn an_expression_reads_as_prometheus_wants_it() {
        let orders = Series::of(&metrics::ORDERS).like("tenant", "$tenant").with("type", "new");
        let query = orders.rate("5m").sum(&["strategy"]).above(0.5);
        assert_eq!(
            query.text(),
            "sum by (strategy) (rate(pinion_orders_total{tenant=~\"$tenant\", type=\"new\"}[5m])) > 0.5"
        );
        assert_eq!(query.labels().iter().copied().collect::<Vec<_>>(), ["strategy"]);
        let info = Series::of(&metrics::STRATEGY_INFO).now();
        let lag = Series::of(&metrics::KAFKA_LAG).now().for_each_of(&["job", "instance", "feed"], &info);
        let text = "pinion_kafka_lag_records * on (job, instance, feed) group_right () pinion_strategy_info";
        assert_eq!(lag.text(), text);
        assert!(lag.labels().contains("strategy"));
        let doubled = lag.times(2.0);
        assert_eq!(doubled.text(), format!("({text}) * 2"));
        assert_eq!(doubled.uses().len(), 2);
        let p99 = Series::buckets(&metrics::LATENCY).rate("5m").sum(&["stage", "le"]).quantile(0.99);
        assert_eq!(p99.labels().iter().copied().collect::<Vec<_>>(), ["stage"]);
    }

    fn panics(make: impl FnOnce() -> Query + std::panic::UnwindSafe) -> String {
        let payload = std::panic::catch_unwind(make).expect_err("it is written");
        payload.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn what_a_metric_does_not_have_cannot_be_written() {
        let no_label = panics(|| Series::of(&metrics::RECORDS).with("tenant", "x").rate("5m"));
        assert_eq!(no_label, "pinion_records_total has no label tenant");
        let summed_away = panics(|| Series::of(&metrics::ORDERS).rate("5m").sum(&["tenant"]).sum(&["strategy"]));
        assert!(summed_away.ends_with("has no label strategy"), "{summed_away}");
        let unmatched = panics(|| {
            let lag = Series::of(&metrics::KAFKA_LAG).now();
            lag.and(&["tenant"], &Series::of(&metrics::STRATEGY_INFO).now())
        });
        assert_eq!(unmatched, "pinion_kafka_lag_records has no label tenant");
        let rate = panics(|| Series::of(&metrics::KAFKA_LAG).rate("5m"));
        assert!(rate.contains("it has no rate"), "{rate}");
        let plain = panics(|| Series::of(&metrics::ORDERS).now());
        assert!(plain.contains("take its rate"), "{plain}");
        assert!(panics(|| Series::of(&metrics::LATENCY).now()).contains("is a histogram"));
        assert!(panics(|| Series::of(&metrics::ORDERS).rate("5m").quantile(0.9)).contains("has no buckets"));
        let unlike = panics(|| {
            let lag = Series::of(&metrics::KAFKA_LAG).now();
            lag.plus(&Series::of(&metrics::LEASE).now())
        });
        assert!(unlike.contains("match nothing"), "{unlike}");
    }
}
