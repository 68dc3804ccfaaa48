//! The CRDs that are committed are those of the types, and an apiserver can afford to check them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a test that fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pinion_operator::crd;
use serde_json::Value as Json;

fn project_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every schema inside `schema`, itself first, each with its path.
fn walk<'s>(schema: &'s Json, path: &str, visit: &mut impl FnMut(&str, &'s Json)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    for (name, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[name].is_object() {
            walk(&schema[name], &format!("{path}{mark}"), visit);
        }
    }
}

fn each_schema(mut visit: impl FnMut(&str, &Json)) {
    for crd in crd::crds().unwrap() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert!(root["properties"]["spec"]["properties"].is_object(), "{kind} has no fields");
        for part in ["spec", "status"] {
            walk(&root["properties"][part], &format!("{kind}.{part}"), &mut visit);
        }
    }
}

/// A committed file that is what the types make of it.
fn assert_current(path: &str, written: &str, recipe: &str) {
    let committed = std::fs::read_to_string(project_root().join(path)).unwrap_or_default();
    assert!(committed == written, "{path} is not current: run `{recipe} > {path}`");
}

#[test]
fn the_committed_crds_are_those_of_the_types() {
    assert_current("deploy/crds/crds.yaml", &crd::yaml().unwrap(), "cargo run --bin crdgen");
}

#[test]
fn the_committed_reference_is_that_of_the_types() {
    let page = crd::reference::page().unwrap();
    assert_current("docs/reference/resources.md", &page, "cargo run --bin crdgen reference");
}

#[test]
fn every_list_map_and_string_has_a_limit() {
    let mut unbounded = Vec::new();
    let mut seen = 0;
    each_schema(|path, schema| {
        let limit = match schema["type"].as_str() {
            Some("string") if !schema["enum"].is_null() => return,
            Some("string") => "maxLength",
            Some("array") => "maxItems",
            Some("object") if schema["additionalProperties"].is_object() => "maxProperties",
            Some("integer") => "minimum",
            _ => return,
        };
        seen += 1;
        if schema[limit].is_null() {
            unbounded.push(format!("{path}: no {limit}"));
        }
    });
    assert!(seen > 100, "{seen} fields seen");
    assert!(unbounded.is_empty(), "{}", unbounded.join("\n"));
}

#[test]
fn the_schemas_are_structural_and_of_words_that_an_apiserver_knows() {
    let known = "additionalProperties default description enum format items maxItems maxLength maxProperties maximum \
                 minItems minLength minProperties minimum pattern properties required title type \
                 x-kubernetes-list-map-keys x-kubernetes-list-type x-kubernetes-validations";
    each_schema(|path, schema| {
        assert!(schema["type"].is_string(), "{path} has no type: {schema}");
        for keyword in schema.as_object().unwrap().keys() {
            assert!(known.split_whitespace().any(|known| known == keyword), "{path}: {keyword}");
        }
        if let Some(format) = schema["format"].as_str() {
            assert!(["int32", "int64"].contains(&format), "{path}: {format}");
        }
    });
}

#[test]
fn a_strategy_has_the_same_fields_in_a_file_and_in_a_cluster() {
    let file = schemars::schema_for!(pinion_spec::Strategy).to_value();
    let crd = &crd::crds().unwrap()[2];
    let fields = |schema: &Json| schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let in_crd = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    assert_eq!(fields(in_crd), fields(&file["$defs"]["StrategySpec"]));
    let required = |schema: &Json| {
        let names = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(required(in_crd), required(&file["$defs"]["StrategySpec"]));
}

#[test]
fn each_rule_says_what_to_do_and_each_is_broken_by_a_case() {
    let mut messages = Vec::new();
    for crd in crd::crds().unwrap() {
        let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        walk(root, "", &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                messages.push((path.to_owned(), rule["message"].as_str().unwrap().to_owned()));
            }
        });
    }
    assert!(messages.len() > 25, "{messages:?}");
    let expected: Vec<String> = cases("bad").iter().map(|(_, expected)| expected.clone()).collect();
    for (path, message) in messages {
        // What compares with the resource as it was needs two of them: the test of the real apiserver has these.
        let compares = message.contains("cannot be changed") || message.contains("may only grow");
        assert!(
            compares || expected.iter().any(|expected| message.contains(expected.as_str())),
            "no case breaks the rule of {path}: {message}"
        );
    }
}

#[test]
fn every_case_says_what_it_expects_and_is_one_resource() {
    assert!(cases("good").len() >= 4);
    for folder in ["good", "bad"] {
        for (path, expected) in cases(folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            let one: Result<Json, _> = serde_saphyr::from_str(&text);
            let one = one.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(one["apiVersion"], "pinion.dev/v1alpha1", "{}", path.display());
            assert_eq!(expected.is_empty(), folder == "good", "{}: {expected}", path.display());
        }
    }
}

/// The files of a folder of cases, each with the message that its first line expects: empty for a good one.
fn cases(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = project_root().join("tests/kube/cases").join(folder);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let first = text.lines().next().unwrap_or_default().strip_prefix("# ").unwrap_or_default();
            (path, first.strip_prefix("expect: ").unwrap_or_default().to_owned())
        })
        .collect()
}
