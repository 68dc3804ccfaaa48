//! What a schema cannot say of a strategy file: how its fields must fit each other.

mod at;
mod field_map;
mod inputs;
mod instruments;
mod scaling;

use std::collections::HashMap;

pub(crate) use at::{At, to_json};
use inputs::Inputs;

use crate::error::{SpecError, quoted};
use crate::ids::ClientOrderId;
use crate::oci::Reference;
use crate::yaml::Node;

/// Appends every mistake of one document that the schema check left standing.
pub(crate) fn validate(document: &Node, errors: &mut Vec<SpecError>) {
    let root = At::root(document);
    let Some(spec) = root.field("spec") else {
        return;
    };
    one_module(&spec, errors);
    let inputs = Inputs::read(&spec);
    inputs.validate(errors);
    outputs(&spec, &inputs, errors);
    instruments::validate(&spec, &inputs, errors);
    scaling::validate(&spec, errors);
}

/// Appends the mistakes that lie between the documents of one file.
pub(crate) fn validate_together(documents: &[Node], errors: &mut Vec<SpecError>) {
    let mut by_hash: HashMap<u32, (String, String)> = HashMap::new();
    for document in documents {
        let Some(metadata) = At::root(document).field("metadata") else {
            continue;
        };
        let tenant = metadata.read::<String>("namespace").or("default".into());
        let (Some(tenant), Some(name)) = (tenant, metadata.read::<String>("name").value()) else {
            continue;
        };
        let hash = ClientOrderId::strategy_hash(&tenant, &name);
        match by_hash.get(&hash) {
            Some((other_tenant, other)) if (other_tenant, other) == (&tenant, &name) => {
                let problem = format!("a second strategy {} of tenant {}", quoted(&name), quoted(&tenant));
                errors.push(metadata.error_in("name", problem, "give each its own name"));
            }
            Some((other_tenant, other)) => {
                let problem = format!("the ids of its orders would equal those of {other_tenant}/{other}");
                errors.push(metadata.error_in("name", problem, "rename one of the two"));
            }
            None => {
                by_hash.insert(hash, (tenant, name));
            }
        }
    }
}

fn one_module(spec: &At<'_>, errors: &mut Vec<SpecError>) {
    let Some(module) = spec.field("module") else {
        return;
    };
    let given: Vec<&str> =
        ["file", "oci", "configMap"].into_iter().filter(|name| module.field(name).is_some()).collect();
    let fix = "give exactly one of file, oci and configMap";
    match given.as_slice() {
        [_] => {}
        [] if module.is_unknown() => {}
        [] => errors.push(module.error("no source of the module", fix)),
        several => errors.push(module.error(format!("{} sources: {}", several.len(), several.join(", ")), fix)),
    }
    if let Some(Err(error)) = module.read::<String>("oci").value().map(|oci| Reference::parse(&oci)) {
        errors.push(module.error_in("oci", "names no artefact", error.to_string()));
    }
}

/// A topic that is both written and read would feed a strategy with its own output; a topic with two kinds of record would
/// let an order gateway take a denial for an order.
fn outputs(spec: &At<'_>, inputs: &Inputs<'_>, errors: &mut Vec<SpecError>) {
    let Some(outputs) = spec.field("outputs") else {
        return;
    };
    let mut seen: Vec<(String, &str)> = Vec::new();
    for name in ["orders", "denials", "deadLetter"] {
        let Some(output) = outputs.field(name) else {
            continue;
        };
        let Some(topic) = output.read::<String>("topic").value() else {
            continue;
        };
        if let Some(input) = inputs.with_topic(&topic) {
            let problem = format!("{} is also read, by {}: a loop", quoted(&topic), input.path());
            errors.push(output.error_in("topic", problem, "write to another topic"));
        }
        if let Some((_, other)) = seen.iter().find(|(other, _)| *other == topic) {
            let problem = format!("{} also takes {other}", quoted(&topic));
            errors.push(output.error_in("topic", problem, "give each kind of record its own topic"));
        }
        seen.push((topic, name));
    }
}
