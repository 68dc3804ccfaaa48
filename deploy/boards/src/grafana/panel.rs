//! One panel: what it asks, and how it shows the answer.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{colour, datasource};
use crate::query::Query;

/// Steps of a colour scale: from this value on, this colour. The first has no value.
type Steps = Vec<(Option<f64>, &'static str)>;

/// What stands for a value: the value, its text and its colour.
pub(crate) type Words = &'static [(u32, &'static str, &'static str)];

/// A column of a table: the query behind it, its head, and its unit.
pub struct Column {
    /// What it shows.
    pub query: Query,
    /// Its head.
    pub head: &'static str,
    /// How its figures are written.
    pub unit: &'static str,
}

enum Kind {
    Lines { log: bool, stacked: bool, dashed: Option<&'static str>, steps_shown: bool },
    Stat { background: bool },
    Table { columns: Vec<(&'static str, &'static str)>, hidden: Vec<&'static str> },
    Heatmap,
    States,
    Text { markdown: &'static str },
}

struct Target {
    query: Query,
    legend: &'static str,
}

/// A panel without its place.
pub struct Panel {
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    kind: Kind,
    targets: Vec<Target>,
    steps: Steps,
    words: Words,
    min: Option<f64>,
    max: Option<f64>,
    /// Columns of the board.
    pub(super) width: u32,
    /// Lines of the board.
    pub(super) height: u32,
}

impl Panel {
    fn new(title: &'static str, about: &'static str, unit: &'static str, kind: Kind) -> Self {
        assert!(about.ends_with('.') || about.is_empty(), "{title}: {about}");
        let steps = vec![(None, colour::GOOD)];
        let (targets, words, min, max) = (Vec::new(), &[][..], None, None);
        Self { title, about, unit, kind, targets, steps, words, min, max, width: 12, height: 8 }
    }

    /// Curves over time.
    #[must_use]
    pub fn lines(title: &'static str, about: &'static str, unit: &'static str) -> Self {
        let kind = Kind::Lines { log: false, stacked: false, dashed: None, steps_shown: false };
        Self { min: Some(0.0), ..Self::new(title, about, unit, kind) }
    }

    /// The last value, large.
    #[must_use]
    pub fn stat(title: &'static str, about: &'static str, unit: &'static str) -> Self {
        Self { width: 6, height: 4, ..Self::new(title, about, unit, Kind::Stat { background: false }) }
    }

    /// One row for each combination of labels, now.
    #[must_use]
    pub fn table(title: &'static str, about: &'static str, columns: Vec<Column>, hidden: &[&'static str]) -> Self {
        let heads = columns.iter().map(|column| (column.head, column.unit)).collect();
        let mut panel = Self::new(title, about, "short", Kind::Table { columns: heads, hidden: hidden.to_vec() });
        panel.targets = columns.into_iter().map(|column| Target { query: column.query, legend: "" }).collect();
        panel
    }

    /// Where the values of a histogram lie, over time. `buckets` has the label `le` alone.
    #[must_use]
    pub fn heatmap(title: &'static str, about: &'static str, unit: &'static str, buckets: Query) -> Self {
        assert_eq!(buckets.labels(), &BTreeSet::from(["le"]), "{title}");
        Self::new(title, about, unit, Kind::Heatmap).query(buckets, "{{le}}")
    }

    /// A band of states over time.
    #[must_use]
    pub fn states(title: &'static str, about: &'static str, words: Words) -> Self {
        Self { words, ..Self::new(title, about, "none", Kind::States) }
    }

    /// A note.
    #[must_use]
    pub fn text(title: &'static str, markdown: &'static str) -> Self {
        Self::new(title, "", "none", Kind::Text { markdown })
    }

    /// Asks for this too. The legend names labels of the answer in double braces.
    #[must_use]
    pub fn query(mut self, query: Query, legend: &'static str) -> Self {
        let named = legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
        for (label, _) in named {
            assert!(query.labels().contains(label), "{}: {} has no label {label}", self.title, query.text());
        }
        self.targets.push(Target { query, legend });
        self
    }

    /// So wide (of 24) and so high.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// On a logarithmic axis.
    #[must_use]
    pub fn log(mut self) -> Self {
        match &mut self.kind {
            Kind::Lines { log, .. } => *log = true,
            _ => panic!("{} has no axis", self.title),
        }
        self.min = None;
        self
    }

    /// Below zero as well as above.
    #[must_use]
    pub const fn signed(mut self) -> Self {
        self.min = None;
        self
    }

    /// On top of each other.
    #[must_use]
    pub fn stacked(mut self) -> Self {
        match &mut self.kind {
            Kind::Lines { stacked, .. } => *stacked = true,
            _ => panic!("{} has no curves", self.title),
        }
        self
    }

    /// Curves whose name matches are limits: red and dashed.
    #[must_use]
    pub fn dashed(mut self, names: &'static str) -> Self {
        match &mut self.kind {
            Kind::Lines { dashed, .. } => *dashed = Some(names),
            _ => panic!("{} has no curves", self.title),
        }
        self
    }

    /// At most so much on the axis.
    #[must_use]
    pub const fn most(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    /// From these values on it is to be looked at, and to be acted on; curves show both as lines.
    #[must_use]
    pub fn limits(mut self, warn: Option<f64>, bad: Option<f64>) -> Self {
        self.steps.extend(warn.map(|from| (Some(from), colour::WARN)));
        self.steps.extend(bad.map(|from| (Some(from), colour::BAD)));
        if let Kind::Lines { steps_shown, .. } = &mut self.kind {
            *steps_shown = true;
        }
        self
    }

    /// Bad below this value, good from there on.
    #[must_use]
    pub fn good_from(mut self, good: f64) -> Self {
        self.steps = vec![(None, colour::BAD), (Some(good), colour::GOOD)];
        self
    }

    /// A figure that is neither good nor bad.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.steps = vec![(None, colour::PLAIN)];
        self
    }

    /// What stands for its values.
    #[must_use]
    pub const fn words(mut self, words: Words) -> Self {
        self.words = words;
        self
    }

    /// The whole panel in the colour of its value.
    #[must_use]
    pub fn filled(mut self) -> Self {
        match &mut self.kind {
            Kind::Stat { background } => *background = true,
            _ => panic!("{} is no figure", self.title),
        }
        self
    }

    /// What it asks.
    pub(super) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.targets.iter().map(|target| &target.query)
    }

    /// Grafana's model of it, at a place.
    pub(super) fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let mut panel = json!({
            "id": id,
            "type": self.type_name(),
            "title": self.title,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "options": self.options(),
            "transparent": false,
        });
        if let Kind::Text { .. } = self.kind {
            return panel;
        }
        assert!(!self.targets.is_empty(), "{} asks nothing", self.title);
        panel["description"] = self.about.into();
        panel["datasource"] = datasource();
        panel["fieldConfig"] = json!({"defaults": self.defaults(), "overrides": self.overrides()});
        panel["targets"] = self.targets.iter().enumerate().map(|(at, target)| self.target(at, target)).collect();
        if let Kind::Table { columns, hidden } = &self.kind {
            panel["transformations"] = arranged(columns, hidden);
        }
        panel
    }

    const fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Lines { .. } => "timeseries",
            Kind::Stat { .. } => "stat",
            Kind::Table { .. } => "table",
            Kind::Heatmap => "heatmap",
            Kind::States => "state-timeline",
            Kind::Text { .. } => "text",
        }
    }

    fn target(&self, at: usize, target: &Target) -> Value {
        let (format, instant) = match self.kind {
            Kind::Table { .. } => ("table", true),
            Kind::Heatmap => ("heatmap", false),
            _ => ("time_series", false),
        };
        json!({
            "refId": ref_id(at),
            "datasource": datasource(),
            "expr": target.query.text(),
            "legendFormat": if target.legend.is_empty() { "__auto" } else { target.legend },
            "editorMode": "code",
            "format": format,
            "instant": instant,
            "range": !instant,
        })
    }

    fn defaults(&self) -> Value {
        let steps: Vec<Value> =
            self.steps.iter().map(|(from, colour)| json!({"color": colour, "value": from})).collect();
        let mut defaults = json!({
            "unit": self.unit,
            "thresholds": {"mode": "absolute", "steps": steps},
            "mappings": self.mappings(),
            "custom": self.custom(),
        });
        let mode = match self.kind {
            Kind::Lines { .. } => "palette-classic",
            _ => "thresholds",
        };
        defaults["color"] = json!({"mode": mode});
        for (name, bound) in [("min", self.min), ("max", self.max)] {
            if let Some(bound) = bound {
                defaults[name] = bound.into();
            }
        }
        defaults
    }

    fn mappings(&self) -> Value {
        if self.words.is_empty() {
            return json!([]);
        }
        let options: Map<String, Value> = (0..)
            .zip(self.words)
            .map(|(index, (value, text, colour)): (u32, _)| {
                (value.to_string(), json!({"text": text, "color": colour, "index": index}))
            })
            .collect();
        json!([{"type": "value", "options": options}])
    }

    fn custom(&self) -> Value {
        match &self.kind {
            Kind::Lines { log, stacked, steps_shown, .. } => json!({
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": if *stacked { 40 } else { 0 },
                "showPoints": "never",
                "spanNulls": false,
                "stacking": {"mode": if *stacked { "normal" } else { "none" }, "group": "A"},
                "scaleDistribution": if *log { json!({"type": "log", "log": 10}) } else { json!({"type": "linear"}) },
                "thresholdsStyle": {"mode": if *steps_shown { "dashed" } else { "off" }},
            }),
            Kind::Table { .. } => json!({"align": "auto", "filterable": true, "cellOptions": {"type": "auto"}}),
            Kind::Heatmap => json!({"scaleDistribution": {"type": "linear"}}),
            Kind::States => json!({"fillOpacity": 70, "lineWidth": 0}),
            Kind::Stat { .. } | Kind::Text { .. } => json!({}),
        }
    }

    fn overrides(&self) -> Value {
        match &self.kind {
            Kind::Lines { dashed: Some(names), .. } => json!([{
                "matcher": {"id": "byRegexp", "options": names},
                "properties": [
                    {"id": "color", "value": {"mode": "fixed", "fixedColor": colour::BAD}},
                    {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}},
                    {"id": "custom.lineWidth", "value": 2},
                ],
            }]),
            Kind::Table { columns, .. } => columns
                .iter()
                .map(|(head, unit)| {
                    json!({
                        "matcher": {"id": "byName", "options": head},
                        "properties": [{"id": "unit", "value": unit}],
                    })
                })
                .collect(),
            _ => json!([]),
        }
    }

    fn options(&self) -> Value {
        let legend =
            json!({"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": ["lastNotNull", "max"]});
        match &self.kind {
            Kind::Lines { .. } => json!({"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}),
            Kind::Stat { background } => json!({
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                "colorMode": if *background { "background" } else { "value" },
                "graphMode": if *background { "none" } else { "area" },
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "auto",
                "wideLayout": true,
            }),
            Kind::Table { .. } => json!({"showHeader": true, "cellHeight": "sm"}),
            Kind::Heatmap => json!({
                "calculate": false,
                "cellGap": 1,
                "color": {
                    "mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5,
                    "steps": 64, "reverse": false,
                },
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
                "filterValues": {"le": 1e-9},
                "legend": {"show": true},
                "rowsFrame": {"layout": "auto", "value": "a second"},
                "showValue": "never",
                "tooltip": {"mode": "single", "yHistogram": true, "showColorScale": true},
                "cellValues": {"unit": "cps"},
                "yAxis": {"axisPlacement": "left", "reverse": false, "unit": self.unit},
            }),
            Kind::States => json!({
                "mergeValues": true,
                "showValue": "auto",
                "alignValue": "left",
                "rowHeight": 0.9,
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "single", "sort": "none"},
            }),
            Kind::Text { markdown } => json!({"mode": "markdown", "content": markdown}),
        }
    }
}

/// A, B, C ...
fn ref_id(at: usize) -> String {
    let letter = u8::try_from(at).ok().filter(|at| *at < 26).map(|at| char::from(b'A' + at));
    letter.map_or_else(|| panic!("{at} is too many queries for one panel"), String::from)
}

/// The answers side by side, a row for the same labels, their heads instead of the letters of the queries.
fn arranged(columns: &[(&'static str, &'static str)], hidden: &[&'static str]) -> Value {
    let mut names = Map::new();
    for (at, (head, _)) in columns.iter().enumerate() {
        // One query's values are called plainly Value.
        let value = if columns.len() == 1 { "Value".to_owned() } else { format!("Value #{}", ref_id(at)) };
        names.insert(value, (*head).into());
    }
    let excluded: Map<String, Value> =
        ["Time"].iter().chain(hidden).map(|name| ((*name).to_owned(), true.into())).collect();
    json!([
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": excluded, "indexByName": {}, "renameByName": names}},
    ])
}
