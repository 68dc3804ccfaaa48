//! The reference of the resources as a page: every field that a person writes or reads, from the same schemas that an apiserver
//! checks. `docs/reference/resources.md` is what [`page`] writes; `crdgen reference` prints it.

use std::fmt::Write as _;

use pinion_spec::status::{ConditionType, Reason};
use schemars::JsonSchema;
use serde_json::Value as Json;

use super::{CrdError, crds};

/// Patterns that have a name; others are shown as they are.
const NAMED: [(&str, &str); 4] = [
    (r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$", "decimal"),
    ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "DNS label"),
    ("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "small letters, digits, `-` and `.`, a letter or digit at both ends"),
    ("^[a-zA-Z0-9._-]+$", "letters, digits, `.`, `_` and `-`"),
];

/// What is said of a field that a person writes.
const SPEC_ROW: &[&str] = &["field", "type", "default", "limits", "meaning"];
/// What is said of one that the operator writes.
const STATUS_ROW: &[&str] = &["field", "type", "values", "meaning"];

/// The reasons of conditions are more, and have a table of their own.
const VALUES_SHOWN: usize = 12;

const HEAD: &str = "# Resources

Written by `crdgen reference` from the types in [spec/src](../../spec/src/lib.rs) and the rules in
[operator/src/crd](../../operator/src/crd/rules.rs). Do not edit.

Group `pinion.dev`, version `v1alpha1`. A **decimal** is a string such as `\"0.25\"`: at most 18 digits before and 9 after the point. `[]` marks the
entries of a list, `{}` the values of a map. Fields that are not listed are dropped by the apiserver and reported by `kubectl apply`
as a warning or, with `--validate=strict`, as an error.
";

/// The page.
///
/// # Errors
/// As [`crds`].
pub fn page() -> Result<String, CrdError> {
    let mut page = HEAD.to_owned();
    for crd in crds()? {
        resource(&mut page, &crd);
    }
    page.push_str("\n## Conditions\n\n");
    variants::<ConditionType>(&mut page, "type");
    page.push('\n');
    variants::<Reason>(&mut page, "reason");
    Ok(page)
}

fn resource(page: &mut String, crd: &Json) {
    let (names, version) = (&crd["spec"]["names"], &crd["spec"]["versions"][0]);
    let schema = &version["schema"]["openAPIV3Schema"];
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let scope = match crd["spec"]["scope"].as_str() {
        Some("Cluster") => "belongs to the whole cluster",
        _ => "lies in a tenant's namespace",
    };
    let short = names["shortNames"].as_array().into_iter().flatten().map(|name| format!(", `{}`", text(name)));
    let _ = write!(
        page,
        "\n## {}\n\n{} It {scope}. kubectl: `{}`{}; columns: ",
        text(&names["kind"]),
        text(&schema["description"]),
        text(&names["plural"]),
        short.collect::<String>(),
    );
    let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
    let columns: Vec<String> = columns
        .map(|column| format!("{}{}", text(&column["name"]), if column["priority"] == 1 { " (wide)" } else { "" }))
        .collect();
    let _ = writeln!(page, "{}.", columns.join(", "));
    for (part, row) in [("spec", SPEC_ROW), ("status", STATUS_ROW)] {
        let _ = write!(page, "\n### {}.{part}\n\n| {} |\n", text(&names["kind"]), row.join(" | "));
        let _ = writeln!(page, "|{}", "---|".repeat(row.len()));
        fields(page, &schema["properties"][part], "", row);
    }
    let mut rules = Vec::new();
    collect_rules(schema, "", &mut rules);
    if !rules.is_empty() {
        let _ = write!(page, "\n### What the apiserver refuses of a {}\n\n", text(&names["kind"]));
        page.push_str("| field | what to do instead |\n|---|---|\n");
        for (path, message) in rules {
            let _ = writeln!(page, "| {} | {} |", code(&path), cell(&message));
        }
    }
}

/// A row for each field below `schema`, in the order of their names; what is in it follows it.
fn fields(page: &mut String, schema: &Json, path: &str, row: &[&str]) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let cells = row.iter().map(|column| match *column {
            "field" => code(&path),
            "type" => kind(property),
            "default" => default(property, required.contains(&name.as_str())),
            "limits" => cell(&limits(property)),
            "values" => cell(&values(property)),
            _ => cell(property["description"].as_str().unwrap_or_default()),
        });
        let _ = writeln!(page, "| {} |", cells.collect::<Vec<_>>().join(" | "));
        below(page, property, &path, row);
    }
}

/// What is inside a field, if anything has a name there.
fn below(page: &mut String, property: &Json, path: &str, row: &[&str]) {
    fields(page, property, path, row);
    for (inner, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if property[inner].is_object() {
            below(page, &property[inner], &format!("{path}{mark}"), row);
        }
    }
}

fn default(property: &Json, required: bool) -> String {
    match &property["default"] {
        _ if required => "required".to_owned(),
        Json::Null => "none".to_owned(),
        Json::Object(_) if property["properties"].is_object() => "as below".to_owned(),
        Json::Object(map) if map.is_empty() => "empty".to_owned(),
        Json::Array(list) if list.is_empty() => "empty".to_owned(),
        default => format!("`{default}`"),
    }
}

fn kind(schema: &Json) -> String {
    match schema["type"].as_str().unwrap_or_default() {
        "array" => format!("list of {}", plural(&kind(&schema["items"]))),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map to {}", plural(&kind(&schema["additionalProperties"])))
        }
        "object" => "mapping".to_owned(),
        "string" if schema["pattern"] == NAMED[0].0 => "decimal".to_owned(),
        other => other.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    match kind.split_once(' ') {
        Some((first, rest)) => format!("{first}s {rest}"),
        None => format!("{kind}s"),
    }
}

/// The values of an enum.
fn values(schema: &Json) -> String {
    let values: Vec<_> = schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    match values.len() {
        0 => String::new(),
        1..=VALUES_SHOWN => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        _ => "see [conditions](#conditions)".to_owned(),
    }
}

/// What a value may be, in a few words.
fn limits(schema: &Json) -> String {
    let mut said = Vec::from_iter(Some(values(schema)).filter(|values| !values.is_empty()));
    let number = |name: &str| schema[name].as_f64().map(whole);
    let between = |low: Option<String>, high: Option<String>, of: &str| match (low, high) {
        (Some(low), Some(high)) if low == high => Some(format!("{low}{of}")),
        (Some(low), Some(high)) => Some(format!("{low} to {high}{of}")),
        (Some(low), None) => Some(format!("at least {low}{of}")),
        (None, Some(high)) => Some(format!("at most {high}{of}")),
        (None, None) => None,
    };
    said.extend(between(number("minimum"), number("maximum"), ""));
    said.extend(between(number("minItems"), number("maxItems"), " entries"));
    said.extend(between(None, number("maxProperties"), " entries"));
    match schema["pattern"].as_str() {
        Some(pattern) if pattern == NAMED[0].0 => {}
        Some(pattern) => {
            said.extend(between(number("minLength"), number("maxLength"), " characters"));
            let named = NAMED.iter().find(|(named, _)| *named == pattern);
            said.push(named.map_or_else(|| code(pattern), |(_, name)| (*name).to_owned()));
        }
        None => said.extend(between(number("minLength"), number("maxLength"), " characters")),
    }
    if schema["x-kubernetes-list-type"] == "set" {
        said.push("each once".to_owned());
    }
    if schema["x-kubernetes-list-type"] == "map" {
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Json::as_str);
        said.push(format!("one for each {}", keys.collect::<Vec<_>>().join(" and ")));
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(each) = schema.get(inner).map(limits).filter(|each| !each.is_empty()) {
            said.push(format!("each {each}"));
        }
    }
    said.join("; ")
}

/// 65535.0 as 65,535.
fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 { format!("-{text}") } else { text }
}

fn collect_rules(schema: &Json, path: &str, rules: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let message = rule["message"].as_str().unwrap_or_default().to_owned();
        rules.push((if path.is_empty() { "metadata".to_owned() } else { path.to_owned() }, message));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect_rules(property, &path, rules);
    }
    for (inner, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[inner].is_object() {
            collect_rules(&schema[inner], &format!("{path}{mark}"), rules);
        }
    }
}

/// A table of an enum's values, with what each says.
fn variants<T: JsonSchema>(page: &mut String, of: &str) {
    let _ = write!(page, "| {of} | says |\n|---|---|\n");
    let schema = schemars::schema_for!(T).to_value();
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        let text = |key: &str| variant[key].as_str().unwrap_or_default();
        let _ = writeln!(page, "| `{}` | {} |", text("const"), cell(text("description")));
    }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Text that cannot end a cell.
fn cell(text: &str) -> String {
    let text = text.replace('\n', " ");
    // Inside of code the bar is escaped already.
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for character in text.chars() {
        if character == '|' && before != '\\' {
            out.push('\\');
        }
        out.push(character);
        before = character;
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_of_every_resource_has_a_row_that_says_what_it_is() {
        let page = page().unwrap();
        for row in
            ["| `inputs[].topic` |", "| `kafka.topicPrefixes` |", "| `coresPerPod` |", "| `params` | map to strings |"]
        {
            assert!(page.contains(row), "{row}");
        }
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.ends_with("|  |"), "no meaning: {line}");
        }
        assert_eq!(page.matches("\n| `TopicForbidden` |").count(), 1);
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_table() {
        let mut columns = 0;
        for line in page().unwrap().lines() {
            let cells = line.replace("\\|", "").matches('|').count();
            if line.starts_with("|---") {
                columns = cells;
            } else if line.starts_with("| `") {
                assert_eq!(cells, columns, "{line}");
            }
        }
    }

    #[test]
    fn limits_are_said_in_words() {
        let list = json!({"type": "array", "minItems": 1, "maxItems": 16, "items": {"type": "integer", "minimum": 1.0,
                          "maximum": 65535.0}, "x-kubernetes-list-type": "set"});
        assert_eq!(limits(&list), "1 to 16 entries; each once; each 1 to 65,535");
        assert_eq!(kind(&list), "list of integers");
        let decimal = json!({"type": "string", "maxLength": 29, "pattern": NAMED[0].0});
        assert_eq!((kind(&decimal).as_str(), limits(&decimal).as_str()), ("decimal", ""));
        assert_eq!(limits(&json!({"type": "string", "enum": ["spin", "park"]})), "`spin`, `park`");
    }
}
