//! One board: variables, annotations, and rows of panels that are laid out from left to right.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{COLUMNS, Panel, SCHEMA_VERSION, datasource};
use crate::query::Query;

/// A choice at the head of a board: the values of a label, all of them to begin with.
pub struct Variable {
    /// The label, and how queries call the choice.
    pub name: &'static str,
    /// What a person reads.
    pub title: &'static str,
    /// The series whose label it is.
    pub of: Query,
}

/// Points in time that are marked on every panel: where the query has a value.
pub struct Marks {
    /// What they are.
    pub name: &'static str,
    /// Their colour.
    pub colour: &'static str,
    /// When.
    pub query: Query,
    /// What stands on the mark; labels in double braces.
    pub text: &'static str,
}

/// A headed group of panels.
pub struct Row {
    /// Its head.
    pub title: &'static str,
    /// From left to right, and then on the next line.
    pub panels: Vec<Panel>,
}

/// A board.
pub struct Board {
    /// Its file's name, and the end of its id.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Which questions it answers.
    pub about: &'static str,
    /// Its variables, besides the data source.
    pub variables: Vec<Variable>,
    /// Its annotations.
    pub marks: Vec<Marks>,
    /// Its panels.
    pub rows: Vec<Row>,
}

impl Board {
    /// The names of the metrics that it reads.
    #[must_use]
    pub fn used(&self) -> BTreeSet<&'static str> {
        let panels = self.rows.iter().flat_map(|row| &row.panels).flat_map(Panel::queries);
        let variables = self.variables.iter().map(|variable| &variable.of);
        let marks = self.marks.iter().map(|marks| &marks.query);
        panels.chain(variables).chain(marks).flat_map(|query| query.uses().iter().copied()).collect()
    }

    /// Grafana's model of it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "id": null,
            "uid": format!("pinion-{}", self.name),
            "title": self.title,
            "description": self.about,
            "tags": ["pinion"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "fiscalYearStartMonth": 0,
            "timezone": "browser",
            "weekStart": "",
            "time": {"from": "now-1h", "to": "now"},
            "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
            "refresh": "30s",
            "preload": false,
            "links": [{
                "type": "dashboards", "title": "Pinion", "tags": ["pinion"], "icon": "external link", "tooltip": "",
                "asDropdown": false, "includeVars": true, "keepTime": true, "targetBlank": false, "url": "",
            }],
            "templating": {"list": self.variables()},
            "annotations": {"list": self.annotations()},
            "panels": self.panels(),
        })
    }

    fn variables(&self) -> Vec<Value> {
        let datasource_variable = json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "",
            "current": {}, "options": [], "hide": 0, "includeAll": false, "multi": false, "refresh": 1,
            "skipUrlSync": false,
        });
        let variable = |variable: &Variable| {
            assert!(variable.of.labels().contains(variable.name), "{} of {}", variable.name, variable.of.text());
            let query = format!("label_values({}, {})", variable.of.text(), variable.name);
            json!({
                "name": variable.name, "label": variable.title, "type": "query", "datasource": datasource(),
                "definition": query, "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
                // When the time range changes: what ran then is what can be chosen.
                "refresh": 2, "sort": 1, "regex": "", "hide": 0, "includeAll": true, "multi": true,
                // Not a list of them all: a thousand strategies would make an expression that no server takes.
                "allValue": ".+",
                "current": {"text": ["All"], "value": ["$__all"]}, "options": [], "skipUrlSync": false,
            })
        };
        std::iter::once(datasource_variable).chain(self.variables.iter().map(variable)).collect()
    }

    fn annotations(&self) -> Vec<Value> {
        let own = json!({
            "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": true, "hide": true,
            "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard",
        });
        let marks = |marks: &Marks| {
            json!({
                "name": marks.name, "datasource": datasource(), "enable": true, "hide": false,
                "iconColor": marks.colour, "titleFormat": marks.name, "textFormat": marks.text, "tagKeys": "",
                "useValueForTime": false,
                "target": {"refId": "Anno", "expr": marks.query.text(), "interval": "30s", "legendFormat": ""},
            })
        };
        std::iter::once(own).chain(self.marks.iter().map(marks)).collect()
    }

    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
        for row in &self.rows {
            id += 1;
            panels.push(json!({
                "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            }));
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, y, height) = (0, y + height, 0);
                }
                id += 1;
                panels.push(panel.json(id, x, y));
                (x, height) = (x + panel.width, height.max(panel.height));
            }
            y += height;
        }
        panels
    }
}
