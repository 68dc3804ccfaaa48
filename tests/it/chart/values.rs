//! `values.yaml`, its schema and the chart's table of values say the same.

use std::collections::{BTreeMap, BTreeSet};

use pinion_tests::captures::project_root;
use serde_json::Value as Json;

/// The line after which the table stands.
const HEAD: &str = "| value | default | |\n|---|---|---|\n";

fn read(name: &str) -> String {
    let path = project_root().join("deploy/chart").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The comment that stands before each value, in their order.
fn comments(text: &str) -> Vec<(String, String)> {
    let (mut path, mut comment, mut found) = (Vec::<&str>::new(), None::<String>, Vec::new());
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(first) = content.strip_prefix("# -- ") {
            comment = Some(first.to_owned());
        } else if let (Some(rest), Some(comment)) = (content.strip_prefix("# "), comment.as_mut()) {
            comment.push(' ');
            comment.push_str(rest);
        } else if let Some((key, _)) = content.split_once(':') {
            path.truncate((line.len() - content.len()) / 2);
            path.push(key);
            found.extend(comment.take().map(|comment| (path.join("."), comment)));
        }
    }
    found
}

#[test]
fn the_table_of_values_says_what_values_yaml_says() {
    let text = read("values.yaml");
    let values: Json = serde_saphyr::from_str(&text).unwrap();
    let mut table = String::from(HEAD);
    let mut told = BTreeSet::new();
    for (path, comment) in comments(&text) {
        let default = path.split('.').fold(&values, |value, key| &value[key]);
        table.push_str(&format!("| `{path}` | `{default}` | {comment} |\n"));
        told.insert(path);
    }
    let mut untold = Vec::new();
    leaves(&values, String::new(), &told, &mut untold);
    assert_eq!(untold, Vec::<String>::new(), "values without a comment");
    let readme = read("README.md");
    assert!(readme.contains(&table), "deploy/chart/README.md has another table than this:\n{table}");
    let after = readme.split_once(&table).unwrap().1;
    assert!(!after.trim_start_matches('\n').starts_with('|'), "the table has rows besides");
}

/// Values under which nothing is told.
fn leaves(value: &Json, path: String, told: &BTreeSet<String>, untold: &mut Vec<String>) {
    if told.contains(&path) {
        return;
    }
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, path, told, untold);
            }
        }
        None => untold.push(path),
    }
}

/// That the schema takes every value is seen whenever the chart is rendered; this is the other way round.
#[test]
fn the_schema_knows_no_value_that_there_is_not() {
    let schema: Json = serde_json::from_str(&read("values.schema.json")).unwrap();
    let values: Json = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let mut lists = BTreeMap::new();
    compare(&schema, &schema, &values, String::new(), &mut lists);
    // Helm puts it there.
    lists.remove("global");
    assert_eq!(lists, BTreeMap::new());
}

fn compare(root: &Json, schema: &Json, value: &Json, path: String, lacks: &mut BTreeMap<String, &'static str>) {
    let name = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/definitions/"));
    let schema = name.map_or(schema, |name| &root["definitions"][name]);
    if schema["type"] == "object" && schema["additionalProperties"] != false && schema["additionalProperties"].is_null()
    {
        lacks.insert(path.clone(), "the schema lets anything in");
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value.get(key) {
            Some(value) => compare(root, schema, value, path, lacks),
            None => drop(lacks.insert(path, "values.yaml does not have it")),
        }
    }
}
