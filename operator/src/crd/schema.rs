//! From the schema of the types to one that an apiserver takes: structural already, by kube; here what Kubernetes does not know
//! is said otherwise.

use serde_json::{Value as Json, json};

/// The largest integer that every reader of JSON keeps exactly. Kubernetes keeps 64 bits with a sign, browsers and jq 53.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Lists whose entries are all different, by the name of their field. The apiserver holds it, at no cost in CEL.
const SETS: [&str; 11] = [
    "allowed",
    "brokers",
    "days",
    "edit",
    "partitions",
    "ports",
    "readTopics",
    "risk",
    "topicPrefixes",
    "view",
    "instruments",
];

/// Changes `schema` and everything in it.
pub(super) fn finish(schema: &mut Json) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    // A field without a value is left out. Null as one more way to say so would have to be thought of in every rule.
    fields.remove("nullable");
    if fields.get("default").is_some_and(Json::is_null) {
        fields.remove("default");
    }
    let format = fields.get("format").and_then(Json::as_str).unwrap_or_default().to_owned();
    if format.starts_with("uint") || format == "int8" || format == "int16" {
        fields.remove("format");
        let bounds = match format.as_str() {
            "int8" => (i64::from(i8::MIN), u64::from(i8::MAX.unsigned_abs())),
            "int16" => (i64::from(i16::MIN), u64::from(i16::MAX.unsigned_abs())),
            "uint8" => (0, u64::from(u8::MAX)),
            "uint16" => (0, u64::from(u16::MAX)),
            "uint32" => (0, u64::from(u32::MAX)),
            _ => (0, INTEGER_MAX),
        };
        fields.entry("minimum").or_insert(json!(bounds.0));
        fields.entry("maximum").or_insert(json!(bounds.1));
    }
    if let Some(properties) = fields.get_mut("properties").and_then(Json::as_object_mut) {
        for (name, property) in properties {
            finish(property);
            let scalar_items = property["items"]["type"].as_str().is_some_and(|of| of != "object");
            if scalar_items && SETS.contains(&name.as_str()) {
                property["x-kubernetes-list-type"] = json!("set");
            }
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            finish(inner);
        }
    }
}
