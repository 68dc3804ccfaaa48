//! The example strategies, as files that a test may bend to its needs.

use std::path::{Path, PathBuf};

use pinion_spec::strategy::{Strategy, TopicOutput};

use crate::captures::project_root;
use crate::kafka::Broker;
use crate::scratch::Scratch;

/// An example's strategy file, its module's path made absolute: `ema-cross`, or `misbehaving/spin`.
///
/// # Panics
/// If there is no such example, or its module has not been built.
#[must_use]
pub fn example(name: &str) -> Strategy {
    let folder = project_root().join("strategies-examples");
    let file =
        if name.contains('/') { folder.join(format!("{name}.yaml")) } else { folder.join(name).join("strategy.yaml") };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
    let mut strategies = pinion_spec::parse(&text, name).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(strategies.len(), 1, "strategies in {}", file.display());
    let mut strategy = strategies.remove(0);
    let module = file.with_file_name(strategy.spec.module.file.expect("examples name a file"));
    assert!(module.is_file(), "no {}: run `make strategies`", module.display());
    strategy.spec.module.file = Some(absolute(&module));
    strategy
}

/// The same, reading `market` in a group of its own, with topics of its own for orders, denials and dead letters.
#[must_use]
pub fn example_on(broker: &Broker, name: &str, market: &str) -> Strategy {
    let mut strategy = example(name);
    let own = |kind: &str| {
        let topic = Broker::unique_topic(&format!("{kind}.{}", strategy.metadata.name));
        broker.create_topic(&topic, 1);
        topic
    };
    let (orders, denials, dead) = (own("orders"), own("denials"), own("dead"));
    strategy.spec.inputs[0].topic = market.to_owned();
    strategy.spec.inputs[0].group = Some(format!("group.{orders}"));
    strategy.spec.outputs.orders.topic = orders;
    strategy.spec.outputs.denials = Some(TopicOutput { topic: denials });
    strategy.spec.outputs.dead_letter = Some(TopicOutput { topic: dead });
    strategy
}

/// The same with every name under a prefix, as one tenant's are on a Kafka with ACLs: `{prefix}md` (one partition), `orders`,
/// `denials`, `dead` and the group `{prefix}group`.
#[must_use]
pub fn example_under(broker: &Broker, name: &str, prefix: &str) -> Strategy {
    let own = |kind: &str| {
        let topic = format!("{prefix}{kind}");
        broker.create_topic(&topic, 1);
        topic
    };
    let mut strategy = example(name);
    strategy.spec.inputs[0].topic = own("md");
    strategy.spec.inputs[0].group = Some(format!("{prefix}group"));
    strategy.spec.outputs.orders.topic = own("orders");
    strategy.spec.outputs.denials = Some(TopicOutput { topic: own("denials") });
    strategy.spec.outputs.dead_letter = Some(TopicOutput { topic: own("dead") });
    strategy
}

/// Writes a strategy file. JSON is YAML.
///
/// # Panics
/// If it cannot be written.
pub fn write(scratch: &Scratch, strategy: &Strategy) -> PathBuf {
    let text = serde_json::to_vec_pretty(strategy).expect("a strategy serialises");
    scratch.write(&format!("{}.yaml", strategy.metadata.name), text)
}

fn absolute(path: &Path) -> String {
    let path = path.canonicalize().expect("an existing file");
    path.into_os_string().into_string().expect("a path in UTF-8")
}
