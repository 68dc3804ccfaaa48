//! A file's tree against the schema of [`Strategy`]: types, required and unknown fields, allowed values, ranges, lengths and
//! patterns, all mistakes at once.
//!
//! The schema is the one that schemars derives from the types, so that the file, the CRD and the types cannot disagree.
//! What is at fault is taken out of the tree ([`Value::Refused`]), so that [`crate::validate`] can look at the rest.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use schemars::schema_for;
use serde_json::Value as Json;

use crate::decimal::DECIMAL_TEXT;
use crate::error::{SpecError, quoted, with_index, with_key};
use crate::field_map::JSON_PATH;
use crate::oci::OCI_REFERENCE;
use crate::strategy::{
    API_VERSION_ONLY, DNS_LABEL, KIND_ONLY, PUBLISHER_NAME, Strategy, TIME_OF_DAY, TOPIC_NAME, ZONE_NAME,
};
use crate::yaml::{Entry, Node, Scalar, ScalarKind, Value};

/// Each pattern of the schema in words.
const PATTERN_WORDS: [(&str, &str); 10] = [
    (API_VERSION_ONLY, "write pinion.dev/v1alpha1"),
    (KIND_ONLY, "write Strategy"),
    (DNS_LABEL, "small letters, digits and \"-\", a letter or digit at both ends"),
    (TOPIC_NAME, "letters, digits, \".\", \"_\" and \"-\""),
    (PUBLISHER_NAME, "small letters, digits, \".\" and \"-\", a letter or digit at both ends"),
    (ZONE_NAME, "the name of an IANA time zone, such as America/New_York"),
    (TIME_OF_DAY, "a time of day such as \"09:30\""),
    (JSON_PATH, "a place such as /data/0/px: at most 8 names of at most 64 characters, each behind a slash"),
    (OCI_REFERENCE, "name it by registry and digest: registry.example/name@sha256: and 64 hex digits in small letters"),
    (DECIMAL_TEXT, "a decimal number such as \"0.25\", at most 18 digits before and 9 after the point"),
];

/// Longest unknown word that a known one is sought for; finding it takes time in the product of the lengths.
const SUGGEST_BYTES_MAX: usize = 64;

/// The schema of a strategy file, ready to check trees.
pub(crate) struct Checker {
    schema: Json,
    patterns: HashMap<&'static str, Regex>,
}

impl Checker {
    /// The one there is: the rules are the program's own, and to make them costs more than to check a file by them.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Checker> = LazyLock::new(Checker::new);
        &SHARED
    }

    fn new() -> Self {
        let compiled = PATTERN_WORDS.iter().filter_map(|(pattern, _)| Some((*pattern, Regex::new(pattern).ok()?)));
        Self { schema: schema_for!(Strategy).to_value(), patterns: compiled.collect() }
    }

    /// Appends every mistake of `document` to `errors` and takes what is at fault out of it.
    pub(crate) fn check(&self, document: &mut Node, errors: &mut Vec<SpecError>) {
        self.node(document, &self.schema, "", errors);
    }

    fn node(&self, node: &mut Node, schema: &Json, path: &str, errors: &mut Vec<SpecError>) {
        let schema = self.resolve(schema);
        if let Some(alternatives) = schema["anyOf"].as_array() {
            // schemars writes an optional struct as "the struct or null".
            let is_null = matches!(&node.value, Value::Scalar(Scalar { kind: ScalarKind::Null, .. }));
            let struct_schema = alternatives.iter().find(|alternative| alternative["type"] != "null");
            if let (false, Some(schema)) = (is_null, struct_schema) {
                self.node(node, schema, path, errors);
            }
            return;
        }
        let problem = match &mut node.value {
            Value::Refused => return,
            Value::Scalar(scalar) => self.scalar(scalar, schema),
            Value::Sequence(items) if allows(schema, "array") => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.node(item, &schema["items"], &with_index(path, i), errors);
                }
                count_problem(items.len(), schema, "minItems", "maxItems", "entries")
            }
            Value::Mapping(entries) if allows(schema, "object") => {
                self.entries(entries, schema, path, (node.line, node.column), errors);
                count_problem(entries.len(), schema, "minProperties", "maxProperties", "entries")
            }
            Value::Sequence(_) => Err((format!("expected {}, not a list", expected(schema)), String::new())),
            Value::Mapping(_) => Err((format!("expected {}, not a mapping", expected(schema)), String::new())),
        };
        if let Err((problem, fix)) = problem {
            errors.push(SpecError { line: node.line, column: node.column, field: path.to_owned(), problem, fix });
            node.value = Value::Refused;
        }
    }

    fn entries(
        &self,
        entries: &mut [Entry],
        schema: &Json,
        path: &str,
        at: (usize, usize),
        errors: &mut Vec<SpecError>,
    ) {
        let no_properties = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&no_properties);
        for entry in entries.iter_mut() {
            let field = with_key(path, &entry.key);
            let others = &schema["additionalProperties"];
            match properties.get(&entry.key) {
                Some(schema) => self.node(&mut entry.node, schema, &field, errors),
                None if others.is_object() => self.node(&mut entry.node, others, &field, errors),
                None if *others == Json::Bool(false) => {
                    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
                    let meant = nearest(&entry.key, &known);
                    errors.push(SpecError {
                        line: entry.key_line,
                        column: entry.key_column,
                        field,
                        problem: "unknown field".into(),
                        fix: meant
                            .map_or(format!("one of {}", known.join(", ")), |name| format!("did you mean {name}?")),
                    });
                    // Taken for the field that was meant, so that this is not also reported as missing.
                    entry.node.value = Value::Refused;
                    entry.key = meant.map_or(std::mem::take(&mut entry.key), str::to_owned);
                }
                // Kubernetes' own fields of `metadata`.
                None => {}
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if !entries.iter().any(|entry| entry.key == name) {
                let fix = match properties[name]["description"].as_str() {
                    Some(description) => format!("add it: {}", description.trim_end_matches('.')),
                    None => "add it".into(),
                };
                let field = with_key(path, name);
                errors.push(SpecError { line: at.0, column: at.1, field, problem: "missing".into(), fix });
            }
        }
    }

    fn scalar(&self, scalar: &Scalar, schema: &Json) -> Result<(), (String, String)> {
        let text = scalar.text.as_str();
        let allowed = allowed_values(schema);
        match scalar.kind {
            ScalarKind::Null if allows(schema, "null") => Ok(()),
            ScalarKind::Null => Err(("empty".into(), format!("write {}", expected(schema)))),
            ScalarKind::String if allowed.contains(&text) => Ok(()),
            _ if !allowed.is_empty() => {
                Err((format!("unknown value {}", quoted(text)), format!("one of {}", allowed.join(", "))))
            }
            ScalarKind::String if allows(schema, "string") => self.text(text, schema),
            ScalarKind::Bool(_) if allows(schema, "boolean") => Ok(()),
            ScalarKind::Int(value) if allows(schema, "integer") => integer_problem(value, schema),
            kind => {
                let fix = match kind {
                    _ if allows(schema, "string") => format!("write it as a string: {}", quoted(text)),
                    ScalarKind::Yaml11Bool if allows(schema, "boolean") => "write true or false".into(),
                    ScalarKind::String if allows(schema, "integer") && text.parse::<i64>().is_ok() => {
                        format!("write it without quotes: {text}")
                    }
                    _ => String::new(),
                };
                let was = match kind {
                    ScalarKind::String => "the string",
                    ScalarKind::Bool(_) | ScalarKind::Yaml11Bool => "the boolean",
                    _ => "the number",
                };
                let text = if kind == ScalarKind::String { quoted(text) } else { text.chars().take(64).collect() };
                Err((format!("expected {}, not {was} {text}", expected(schema)), fix))
            }
        }
    }

    fn text(&self, text: &str, schema: &Json) -> Result<(), (String, String)> {
        count_problem(text.chars().count(), schema, "minLength", "maxLength", "characters")?;
        let Some(pattern) = schema["pattern"].as_str() else {
            return Ok(());
        };
        if self.patterns.get(pattern).is_some_and(|pattern| pattern.is_match(text)) {
            return Ok(());
        }
        let words = PATTERN_WORDS.iter().find(|(known, _)| *known == pattern).map_or(pattern, |(_, words)| words);
        Err((format!("not allowed: {}", quoted(text)), words.to_owned()))
    }

    fn resolve<'s>(&'s self, schema: &'s Json) -> &'s Json {
        match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.schema.pointer(pointer).unwrap_or(&Json::Null),
            None => schema,
        }
    }
}

fn allows(schema: &Json, name: &str) -> bool {
    match &schema["type"] {
        Json::String(only) => only == name,
        Json::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

/// What a schema wants, with its article.
fn expected(schema: &Json) -> &'static str {
    let names = [
        ("object", "a mapping"),
        ("array", "a list"),
        ("string", "a string"),
        ("integer", "an integer"),
        ("boolean", "true or false"),
    ];
    names.iter().find(|(name, _)| allows(schema, name)).map_or("one of the names below", |(_, words)| words)
}

/// The values of an enum: schemars writes one with documented variants as `oneOf` of constants.
fn allowed_values(schema: &Json) -> Vec<&str> {
    let documented = schema["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str());
    documented.chain(schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str)).collect()
}

fn integer_problem(value: i128, schema: &Json) -> Result<(), (String, String)> {
    let (format_min, format_max) = match schema["format"].as_str() {
        Some("int8") => (i128::from(i8::MIN), i128::from(i8::MAX)),
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64") => (0, i128::from(u64::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    let min = schema["minimum"].as_i64().map_or(format_min, |min| format_min.max(i128::from(min)));
    let max = schema["maximum"].as_i64().map_or(format_max, |max| format_max.min(i128::from(max)));
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(("out of range".into(), format!("from {min} to {max}")))
}

fn count_problem(count: usize, schema: &Json, min: &str, max: &str, of: &str) -> Result<(), (String, String)> {
    let limit = |name: &str| schema[name].as_u64().and_then(|limit| usize::try_from(limit).ok());
    match (limit(min), limit(max)) {
        (Some(min), _) if count < min => Err((format!("{count} {of}"), format!("at least {min}"))),
        (_, Some(max)) if count > max => Err((format!("{count} {of}"), format!("at most {max}"))),
        _ => Ok(()),
    }
}

/// The known name that was probably meant.
fn nearest<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    if unknown.len() > SUGGEST_BYTES_MAX {
        return None;
    }
    let distance = |name: &str| strsim::damerau_levenshtein(&unknown.to_lowercase(), &name.to_lowercase());
    let (distance, name) = known.iter().map(|name| (distance(name), *name)).min()?;
    (distance * 3 <= name.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::documents;

    const GOOD: &str = "apiVersion: pinion.dev/v1alpha1
kind: Strategy
metadata: {name: x, labels: {any: thing}}
spec:
  module: {file: a.wasm}
  inputs: [{topic: md, encoding: binance-spot}]
  outputs: {orders: {topic: orders}}
";

    fn problems(text: &str) -> Vec<String> {
        let (mut documents, mut errors) = documents(text);
        documents.iter_mut().for_each(|document| Checker::shared().check(document, &mut errors));
        errors.iter().map(ToString::to_string).collect()
    }

    /// Every schema inside `schema`, itself first.
    fn walk<'s>(schema: &'s Json, visit: &mut impl FnMut(&'s Json)) {
        visit(schema);
        for children in [&schema["properties"], &schema["$defs"]] {
            children.as_object().into_iter().flatten().for_each(|(_, child)| walk(child, visit));
        }
        for children in [&schema["anyOf"], &schema["oneOf"]] {
            children.as_array().into_iter().flatten().for_each(|child| walk(child, visit));
        }
        for child in [&schema["items"], &schema["additionalProperties"]] {
            if child.is_object() {
                walk(child, visit);
            }
        }
    }

    #[test]
    fn no_rule_of_the_schema_is_one_that_the_checker_does_not_know() {
        let known = "$defs $ref $schema additionalProperties anyOf const default description enum format items maxItems \
                     maxLength maxProperties maximum minItems minLength minProperties minimum oneOf pattern properties \
                     required title type";
        let formats = [None, Some("int8"), Some("uint16"), Some("uint32"), Some("uint64")];
        let checker = Checker::shared();
        walk(&checker.schema, &mut |schema| {
            for keyword in schema.as_object().unwrap().keys() {
                assert!(known.split_whitespace().any(|known| known == keyword), "{keyword}: {schema}");
            }
            assert!(formats.contains(&schema["format"].as_str()), "{schema}");
            if let Some(pattern) = schema["pattern"].as_str() {
                assert!(checker.patterns.contains_key(pattern), "{pattern} has no words, or is no pattern");
            }
            if let Some([one, null]) = schema["anyOf"].as_array().map(Vec::as_slice) {
                assert!(one["$ref"].is_string() && null["type"] == "null", "{schema}");
            }
            assert!(schema["oneOf"].is_null() || !allowed_values(schema).is_empty(), "{schema}");
        });
    }

    #[test]
    fn a_good_file_has_no_mistake() {
        assert_eq!(problems(GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_mistake_says_what_to_do() {
        for (from, to, message) in [
            ("kind: Strategy", "kind: Tenant", r#"2:7: kind: not allowed: "Tenant"; write Strategy"#),
            ("name: x", "name: X", r#"3:18: metadata.name: not allowed: "X"; small letters, digits and "-", a letter"#),
            ("{file: a.wasm}", "[]", "5:11: spec.module: expected a mapping, not a list"),
            ("{file: a.wasm}", "", "5:9: spec.module: empty; write a mapping"),
            ("{file: a.wasm}", "{fiel: a.wasm}", "5:12: spec.module.fiel: unknown field; did you mean file?"),
            ("{file: a.wasm}", "{z: 1}", "5:12: spec.module.z: unknown field; one of configMap, file, oci"),
            (
                "binance-spot",
                "binance",
                "6:34: spec.inputs[0].encoding: unknown value \"binance\"; one of binance-spot, binance-usdm, \
                 coinbase-exchange, kraken-v1, kraken-futures, dbn, json-map, pinion-flat, pinion-execution",
            ),
            ("topic: md, ", "", "6:12: spec.inputs[0].topic: missing; add it: Topic name"),
            ("[{topic: md, encoding: binance-spot}]", "[]", "6:11: spec.inputs: 0 entries; at least 1"),
            ("topic: md", "topic: \"\"", "6:20: spec.inputs[0].topic: 0 characters; at least 1"),
            ("topic: md", "topic: 7", "expected a string, not the number 7; write it as a string: \"7\""),
            ("topic: md", "topic: ON", "expected a string, not the boolean ON; write it as a string: \"ON\""),
            ("topic: md", "topic: md, broadcast: yes", "true or false, not the boolean yes; write true or false"),
            ("topic: md", "topic: md, partitions: [0, 65536]", "spec.inputs[0].partitions[1]: out of range; from 0 to"),
            ("  outputs", "  replicas: 0\n  outputs", "7:13: spec.replicas: out of range; from 1 to 256"),
            ("  outputs", "  replicas: \"2\"\n  outputs", "not the string \"2\"; write it without quotes: 2"),
            ("  outputs", "  replicas: 1.5\n  outputs", "expected an integer, not the number 1.5"),
            ("  outputs", "  params: {n: 3}\n  outputs", "spec.params.n: expected a string, not the number 3"),
            (
                "  outputs",
                "  risk: {maxOrderSize: 0.5}\n  outputs",
                "spec.risk.maxOrderSize: expected a string, not the number 0.5; write it as a string: \"0.5\"",
            ),
            ("  outputs", "  risk: {maxOrderSize: \"0.\"}\n  outputs", "\"0.\"; a decimal number such as \"0.25\""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let problems = problems(&text);
            assert!(problems.len() == 1 && problems[0].contains(message), "{to}: {problems:?}");
        }
    }

    #[test]
    fn the_number_of_params_is_limited() {
        let params = |n: usize| (0..n).map(|i| format!("p{i}: \"\"")).collect::<Vec<_>>().join(", ");
        let file = |n| GOOD.replacen("  outputs", &format!("  params: {{{}}}\n  outputs", params(n)), 1);
        assert_eq!(problems(&file(64)), Vec::<String>::new());
        assert!(problems(&file(65))[0].contains("spec.params: 65 entries; at most 64"));
    }

    #[test]
    fn the_value_at_fault_is_taken_out_and_the_rest_stays() {
        let (mut documents, _) = documents(&GOOD.replacen("binance-spot", "nonsense, extra: other-nonsense", 1));
        Checker::shared().check(&mut documents[0], &mut Vec::new());
        let text = format!("{:?}", documents[0]);
        assert!(!text.contains("nonsense") && text.contains("orders"), "{text}");
    }

    #[test]
    fn a_misspelt_field_is_not_also_a_missing_one() {
        assert_eq!(
            problems(&GOOD.replacen("topic:", "topc:", 1)),
            ["6:13: spec.inputs[0].topc: unknown field; did you mean topic?"]
        );
    }
}
