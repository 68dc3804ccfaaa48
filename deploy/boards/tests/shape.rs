//! The boards are what Grafana takes: it drops or moves what it does not understand, without a word.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a test that fails")]

use std::collections::BTreeSet;

use pinion_boards::boards;
use serde_json::Value;

/// Units of Grafana 13 that fit what is measured.
const UNITS: [&str; 12] =
    ["none", "short", "percentunit", "s", "bytes", "Bps", "ops", "cps", "eps", "recps", "wps", "bool_yes_no"];

const PANELS: [&str; 7] = ["row", "text", "timeseries", "stat", "table", "heatmap", "state-timeline"];

/// Variables that Grafana itself has.
const BUILT_IN: [&str; 2] = ["__rate_interval", "__range"];

fn each(mut look: impl FnMut(&str, &Value)) {
    let all = boards::all();
    assert_eq!(all.iter().map(|board| board.name).collect::<Vec<_>>(), ["latency", "tenant", "runtime", "operator"]);
    for board in all {
        look(board.name, &board.json());
    }
}

fn panels(board: &Value) -> &Vec<Value> {
    board["panels"].as_array().unwrap()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}: {value}"))
}

fn place(panel: &Value) -> [u64; 4] {
    ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap())
}

#[test]
fn a_board_has_an_id_a_version_and_links_to_the_others() {
    let mut ids = BTreeSet::new();
    each(|name, board| {
        assert_eq!(text(board, "uid"), format!("pinion-{name}"));
        assert!(ids.insert(text(board, "uid").to_owned()) && text(board, "uid").len() <= 40);
        assert!(board["id"].is_null(), "an id belongs to one Grafana");
        assert_eq!(board["schemaVersion"], 42);
        assert_eq!(board["tags"][0], "pinion");
        assert_eq!(board["links"][0]["tags"][0], "pinion");
        assert_eq!((&board["links"][0]["includeVars"], &board["links"][0]["keepTime"]), (&true.into(), &true.into()));
        assert!(!text(board, "description").is_empty());
    });
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    each(|name, board| {
        let mut ids = BTreeSet::new();
        let places: Vec<[u64; 4]> = panels(board).iter().map(place).collect();
        for (panel, [x, y, w, h]) in panels(board).iter().zip(&places) {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title}");
            assert!(*w > 0 && *h > 0 && x + w <= 24, "{name}: {title}");
            let over =
                |[ox, oy, ow, oh]: &&[u64; 4]| x < &(ox + ow) && ox < &(x + w) && y < &(oy + oh) && oy < &(y + h);
            assert_eq!(places.iter().filter(over).count(), 1, "{name}: {title} overlaps another");
        }
        // No line has a hole at its end, and none is left empty.
        let area: u64 = places.iter().map(|[_, _, w, h]| w * h).sum();
        let bottom = places.iter().map(|[_, y, _, h]| y + h).max().unwrap();
        assert_eq!(area, bottom * 24, "{name} has holes");
    });
}

#[test]
fn every_panel_says_what_it_is_for_in_which_unit_and_asks_the_chosen_data_source() {
    each(|name, board| {
        let titles: Vec<&str> = panels(board).iter().map(|panel| text(panel, "title")).collect();
        assert_eq!(titles.iter().collect::<BTreeSet<_>>().len(), titles.len(), "{name}: {titles:?}");
        for panel in panels(board) {
            let (title, kind) = (text(panel, "title"), text(panel, "type"));
            assert!(PANELS.contains(&kind), "{name}: {title}: {kind}");
            if kind == "row" {
                continue;
            }
            if kind == "text" {
                assert!(text(&panel["options"], "content").len() > 40, "{name}: {title}");
                continue;
            }
            assert!(text(panel, "description").len() > 10, "{name}: {title}");
            let defaults = &panel["fieldConfig"]["defaults"];
            let mut units = vec![text(defaults, "unit")];
            let overrides = panel["fieldConfig"]["overrides"].as_array().unwrap();
            let properties = overrides.iter().flat_map(|one| one["properties"].as_array().unwrap());
            units.extend(properties.filter(|one| one["id"] == "unit").map(|one| text(one, "value")));
            units.iter().for_each(|unit| assert!(UNITS.contains(unit), "{name}: {title}: {unit}"));
            let steps = defaults["thresholds"]["steps"].as_array().unwrap();
            assert!(steps[0]["value"].is_null(), "{name}: {title}: the first step begins somewhere");
            let values: Vec<f64> = steps[1..].iter().map(|step| step["value"].as_f64().unwrap()).collect();
            assert!(values.is_sorted_by(|a, b| a < b), "{name}: {title}: {values:?}");
            let targets = panel["targets"].as_array().unwrap();
            let letters: BTreeSet<&str> = targets.iter().map(|target| text(target, "refId")).collect();
            assert_eq!(letters.len(), targets.len(), "{name}: {title}");
            assert_eq!(text(&panel["datasource"], "uid"), "${datasource}", "{name}: {title}");
            for target in targets {
                assert_eq!(text(&target["datasource"], "uid"), "${datasource}", "{name}: {title}");
                assert!(!text(target, "expr").is_empty(), "{name}: {title}");
                assert_ne!(target["instant"], target["range"], "{name}: {title}");
            }
        }
    });
}

#[test]
fn variables_are_there_before_they_are_used() {
    each(|name, board| {
        let mut known: BTreeSet<&str> = BUILT_IN.into();
        for variable in board["templating"]["list"].as_array().unwrap() {
            if text(variable, "type") == "query" {
                assert_eq!(text(&variable["datasource"], "uid"), "${datasource}", "{name}");
                assert_eq!(variable["definition"], variable["query"]["query"], "{name}");
                let missing = unknown(text(variable, "definition"), &known);
                assert!(missing.is_none(), "{name}: no variable {missing:?}");
            }
            known.insert(text(variable, "name"));
        }
        assert!(["datasource", "tenant", "strategy"].iter().all(|needed| known.contains(needed)), "{name}: {known:?}");
        let targets = panels(board).iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        let marks = board["annotations"]["list"].as_array().unwrap().iter().skip(1).map(|one| &one["target"]);
        let expressions: Vec<&str> = targets.chain(marks).map(|target| text(target, "expr")).collect();
        for expression in &expressions {
            let missing = unknown(expression, &known);
            assert!(missing.is_none(), "{name}: no variable {missing:?}: {expression}");
        }
        for choice in known.iter().filter(|one| **one != "datasource" && !BUILT_IN.contains(*one)) {
            let used = |expression: &&&str| expression.contains(&format!("\"${choice}\""));
            assert!(expressions.iter().any(|one| used(&one)), "{name}: nothing depends on {choice}");
        }
    });
}

/// A variable of an expression that is not known.
fn unknown<'e>(expression: &'e str, known: &BTreeSet<&str>) -> Option<&'e str> {
    let name = |rest: &'e str| rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
    expression.split('$').skip(1).map(name).find(|name| !known.contains(name))
}
