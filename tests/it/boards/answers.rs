//! What a real Prometheus answers to every query of a board: its panels, annotations and variables.

use std::collections::BTreeSet;

use pinion_tests::prometheus::{Prometheus, Series};
use serde_json::Value;

use super::scene;

/// What Grafana puts in the place of its own variables, where scrapes are a second apart.
const RATE_INTERVAL: &str = "15s";
const RANGE: &str = "5m";

/// Panels that may show 0 throughout, each with the reason. All others must show something where everything was caused.
pub(crate) const MAY_BE_ZERO: [(&str, &str); 11] = [
    ("Denials that were not told", "a strategy would have to leave 256 denials waiting"),
    ("Log lines that were dropped", "no example logs more than a line"),
    ("Waits for egress", "thousands of orders would have to wait for Kafka"),
    ("Waits for the journal", "its disk would have to be slow"),
    ("Journals that ended", "its disk would have to be full"),
    ("Kept off the CPU", "only under a quota: a test of its own"),
    ("Workers on cores of their own", "tests run unpinned"),
    ("Share of rounds that fail", "the apiserver would have to fail: a test of its own breaks it"),
    ("Calls to Kubernetes that failed", "the same: control_plane.rs breaks it"),
    ("Quarantine", "quarantine is a state: the stat beside it must show it"),
    ("Other gauges", "a position may be flat"),
];

/// Where something has to be wrong for a panel to have data at all, and this machine's kernel may not say it.
pub(super) const KERNEL: &str = "pinion_cpu_throttled_seconds_total";

/// One query of a board.
pub(super) struct Asked {
    pub(super) board: String,
    pub(super) panel: String,
    pub(super) expression: String,
    instant: bool,
}

/// Every query of a board's panels and annotations.
pub(super) fn queries(board: &Value) -> Vec<Asked> {
    let name = board["uid"].as_str().unwrap().to_owned();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut asked = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let (board, panel) = (name.clone(), text(&panel["title"]));
            asked.push(Asked { board, panel, expression: text(&target["expr"]), instant: target["instant"] == true });
        }
    }
    for marks in board["annotations"]["list"].as_array().unwrap().iter().skip(1) {
        let (board, panel) = (name.clone(), format!("mark: {}", text(&marks["name"])));
        asked.push(Asked { board, panel, expression: text(&marks["target"]["expr"]), instant: false });
    }
    asked
}

/// As Grafana asks for a choice.
pub(super) fn chosen(expression: &str, tenant: &str, strategy: &str) -> String {
    let with = [("$__rate_interval", RATE_INTERVAL), ("$__range", RANGE), ("$instance", ".+")];
    let with = with.into_iter().chain([("$tenant", tenant), ("$strategy", strategy)]);
    let text = with.fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value));
    assert!(!text.contains('$'), "{text}");
    text
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|one| &one.values).map(|(_, value)| *value).filter(|value| !value.is_nan())
}

/// What came of the queries of some boards, asked for everything that there is.
pub(crate) struct Answers {
    /// How many were asked.
    pub(crate) asked: usize,
    /// Queries without data.
    empty: Vec<Asked>,
    /// Panels, by board and title.
    panels: BTreeSet<(String, String)>,
    /// Those of them that show something else than 0.
    shown: BTreeSet<(String, String)>,
}

impl Answers {
    /// Asks every query from `start` until now, and sees that each variable has a choice of at least `choices`.
    pub(crate) fn of(prometheus: &Prometheus, boards: &[Value], start: f64, choices: usize) -> Self {
        let mut answers = Self { asked: 0, empty: Vec::new(), panels: BTreeSet::new(), shown: BTreeSet::new() };
        for board in boards {
            for one in queries(board) {
                answers.ask(prometheus, start, one);
            }
            for variable in board["templating"]["list"].as_array().unwrap().iter().skip(1) {
                answers.asked += 1;
                let definition = chosen(variable["definition"].as_str().unwrap(), ".+", ".+");
                let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(")")).unwrap();
                let (selector, label) = inner.rsplit_once(", ").unwrap();
                let values = prometheus.label_values(selector, label).unwrap();
                assert!(values.len() >= choices, "{definition}: {values:?}");
            }
        }
        answers
    }

    fn ask(&mut self, prometheus: &Prometheus, start: f64, one: Asked) {
        self.asked += 1;
        let expression = chosen(&one.expression, ".+", ".+");
        let end = scene::now();
        let found = if one.instant { prometheus.now(&expression) } else { prometheus.between(&expression, start, end) };
        let found = found.unwrap_or_else(|why| panic!("{}: {}: {why}: {expression}", one.board, one.panel));
        let panel = (one.board.clone(), one.panel.clone());
        if values(&found).any(|value| value != 0.0) {
            self.shown.insert(panel.clone());
        }
        if values(&found).next().is_none() {
            self.empty.push(one);
        }
        self.panels.insert(panel);
    }

    /// Queries without data. `kernel_is_silent` where this machine does not say whether it throttles.
    pub(crate) fn empty(&self, kernel_is_silent: bool) -> Vec<String> {
        let empty = self.empty.iter().filter(|one| !(kernel_is_silent && one.expression.contains(KERNEL)));
        empty.map(|one| format!("{}: {}: {}", one.board, one.panel, one.expression)).collect()
    }

    /// Panels that show nothing but 0, except those that may.
    pub(crate) fn zero(&self, may: &[(&str, &str)]) -> Vec<String> {
        let zero = self.panels.difference(&self.shown);
        let zero = zero.filter(|(_, panel)| !may.iter().any(|(one, _)| one == panel));
        zero.map(|(board, panel)| format!("{board}: {panel}")).collect()
    }
}
