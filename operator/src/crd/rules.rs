//! What the apiserver checks of fields that must fit each other, in CEL.
//!
//! Not here, because CEL cannot say it or its cost has no bound: whether a time zone exists, whether symbols and ids of
//! instruments are unique, whether sizes are whole at an instrument's exponent, hashes that collide, and whatever lies between
//! two resources. The operator checks these with the code that reads files, and says so in a condition.

use serde_json::{Value as Json, json};

use super::CrdError;

/// One rule.
struct Rule {
    /// The field that it is for: `spec.inputs[]` is each entry of the list `spec.inputs`.
    path: &'static str,
    /// When it is obeyed.
    cel: &'static str,
    /// What to do, for the person whose resource is refused.
    message: &'static str,
}

const fn rule(path: &'static str, cel: &'static str, message: &'static str) -> Rule {
    Rule { path, cel, message }
}

const TENANT: [Rule; 9] = [
    rule(
        "",
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
        "metadata.name: it becomes a namespace: at most 63 small letters, digits and -, a letter or digit at both ends",
    ),
    rule(
        "",
        "self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-')",
        "metadata.name: the namespace of that name is the cluster's own",
    ),
    rule(
        "spec.kafka",
        "size(self.topicPrefixes) > 0 || size(self.readTopics) > 0",
        "name topicPrefixes, readTopics or both: without them every topic is forbidden",
    ),
    rule(
        "spec.kafka.topicPrefixes",
        "self.all(p, !p.startsWith('pinion.') && !'pinion.'.startsWith(p))",
        "pinion. begins the consumer groups of all tenants; name another prefix",
    ),
    rule(
        "spec.egress[]",
        "isCIDR(self.cidr)",
        "cidr: write an address and the bits of its prefix, such as 10.1.0.0/16",
    ),
    rule("spec.risk", "!has(self.maxOrderSize) || self.maxOrderSize.matches('^[^-]*[1-9]')", "maxOrderSize: above 0"),
    rule(
        "spec.risk",
        "!has(self.maxOrderNotional) || self.maxOrderNotional.matches('^[^-]*[1-9]')",
        "maxOrderNotional: above 0",
    ),
    rule("spec.risk", "!has(self.maxPosition) || self.maxPosition.matches('^[^-]*[1-9]')", "maxPosition: above 0"),
    rule(
        "spec.kafka.brokers",
        "self.all(b, b.matches(':([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$'))",
        "write a port from 1 to 65535",
    ),
];

const RUNTIME_POOL: [Rule; 6] = [
    rule(
        "",
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$')",
        "metadata.name: it begins the names of pods: at most 52 small letters, digits and -, a letter or digit at both ends",
    ),
    rule("spec", "self.minPods <= self.maxPods", "minPods: no more than maxPods"),
    rule(
        "spec",
        "self.wait != 'spin' || self.coresPerPod >= 2",
        "wait: spin needs coresPerPod of at least 2: on one core a worker that never lets go keeps Kafka's client from it",
    ),
    rule(
        "spec.tolerations[]",
        "self.operator == 'Exists' || has(self.key)",
        "key: name the taint, or write operator: Exists for every taint",
    ),
    rule("spec.tolerations[]", "self.operator != 'Exists' || !has(self.value)", "value: none with operator: Exists"),
    // A leader that knows nothing of the pods yet takes the lease in their documents for the longest that they may have.
    rule(
        "spec.leaseSeconds",
        "self >= oldSelf",
        "leaseSeconds: may only grow: a pod that nobody reaches may have the longer one; for a shorter one make another pool",
    ),
];

const STRATEGY: [Rule; 29] = [
    rule(
        "",
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
        "metadata.name: at most 63 small letters, digits and -, a letter or digit at both ends",
    ),
    rule(
        "spec",
        "(has(self.pool) ? self.pool : 'default') == (has(oldSelf.pool) ? oldSelf.pool : 'default')",
        "pool: cannot be changed; delete the strategy and create it in the other pool",
    ),
    rule(
        "spec.module",
        "!has(self.file)",
        "file: is read on a laptop only; `pinion deploy` makes a ConfigMap of it, or give oci",
    ),
    rule(
        "spec.module",
        "has(self.file) || has(self.oci) != has(self.configMap)",
        "give exactly one of oci and configMap",
    ),
    rule(
        "spec.inputs",
        "self.exists(i, i.encoding != 'pinion-execution')",
        "add the topic of market data that the strategy decides by",
    ),
    rule(
        "spec.inputs",
        "self.all(i, !has(i.group) || self.all(j, !has(j.group) || j.group == i.group))",
        "group: the inputs of a strategy advance together: name one group, in one input or in all",
    ),
    rule(
        "spec.inputs",
        "self.all(i, i.encoding == 'pinion-execution' || self.all(j, j.encoding == 'pinion-execution' || j.resync == i.resync))",
        "resync: write the same for all inputs of market data",
    ),
    rule(
        "spec.inputs[]",
        "self.assignment == 'static'",
        "assignment: group is for laptops; in a cluster the operator shares the partitions out",
    ),
    rule(
        "spec.inputs[]",
        "self.encoding != 'pinion-execution' || (!has(self.partitions) && !self.broadcast)",
        "an input of executions is read whole: leave partitions and broadcast out",
    ),
    rule(
        "spec.inputs[]",
        "(self.encoding == 'json-map') == has(self.map)",
        "map: says where the fields of a json-map stand; give it there and nowhere else",
    ),
    rule("spec.inputs[].map", "has(self.time) == has(self.timeUnit)", "timeUnit: give it with time, and only then"),
    rule("spec.inputs[].map", "has(self.quote) || has(self.trade)", "map: give quote, trade or both"),
    rule(
        "spec.inputs[].map",
        "!has(self.quote) || !has(self.trade) || has(self.kind)",
        "kind: with both quote and trade, say where a record tells which it is",
    ),
    rule(
        "spec.inputs[].map",
        "!has(self.quote) || has(self.quote.when) == has(self.kind)",
        "quote.when: what kind holds for a quote; give it with kind, and only then",
    ),
    rule(
        "spec.inputs[].map",
        "!has(self.trade) || has(self.trade.when) == has(self.kind)",
        "trade.when: what kind holds for a trade; give it with kind, and only then",
    ),
    rule(
        "spec.inputs[].map",
        "!has(self.quote) || !has(self.trade) || !has(self.quote.when) || !has(self.trade.when) || \
         self.quote.when != self.trade.when",
        "when: another word for trades than for quotes",
    ),
    rule(
        "spec.inputs[].map.trade",
        "has(self.side) == has(self.buy) && has(self.side) == has(self.sell)",
        "side: give side, buy and sell, or none of them",
    ),
    rule(
        "spec.inputs[].map.trade",
        "!has(self.buy) || !has(self.sell) || self.buy != self.sell",
        "sell: another word than buy",
    ),
    rule(
        "spec.inputs[]",
        "has(self.group) == has(oldSelf.group) && (!has(self.group) || self.group == oldSelf.group)",
        "group: cannot be changed, its committed offsets would be lost; delete the strategy and create it anew",
    ),
    rule(
        "spec",
        "self.inputs.all(i, i.topic != self.outputs.orders.topic && (!has(self.outputs.denials) || i.topic != \
         self.outputs.denials.topic) && (!has(self.outputs.deadLetter) || i.topic != self.outputs.deadLetter.topic))",
        "outputs: a topic that is also read would be a loop; write to another",
    ),
    rule(
        "spec.outputs",
        "(!has(self.denials) || self.denials.topic != self.orders.topic) && (!has(self.deadLetter) || \
         (self.deadLetter.topic != self.orders.topic && (!has(self.denials) || self.deadLetter.topic != \
         self.denials.topic)))",
        "give each kind of record its own topic",
    ),
    rule("spec.instruments[]", "self.tick.matches('^[^-]*[1-9]')", "tick: above 0, the venue's own"),
    rule("spec.instruments[]", "self.lot.matches('^[^-]*[1-9]')", "lot: above 0, the venue's own"),
    rule(
        "spec.risk",
        "self.maxOrderSize.matches('^[^-]*[1-9]')",
        "maxOrderSize: above 0; to stop write tradingState: HALTED",
    ),
    rule(
        "spec.risk",
        "self.maxOrderNotional.matches('^[^-]*[1-9]')",
        "maxOrderNotional: above 0; to stop write tradingState: HALTED",
    ),
    rule(
        "spec.risk",
        "self.maxPosition.matches('^[^-]*[1-9]')",
        "maxPosition: above 0; to stop write tradingState: HALTED",
    ),
    rule("spec.scaling", "self.minWorkers <= self.maxWorkers", "minWorkers: no more than maxWorkers"),
    rule(
        "spec.scaling",
        "self.sessions.all(s, s.minWorkers <= self.maxWorkers)",
        "sessions: minWorkers no more than scaling.maxWorkers",
    ),
    rule(
        "spec",
        "!has(self.risk) || !has(self.risk.instruments) || size(self.risk.instruments) <= size(self.instruments)",
        "risk.instruments: only symbols that are declared in instruments",
    ),
];

/// Puts the rules of a resource into its schema.
pub(super) fn add(kind: &str, root: &mut Json) -> Result<(), CrdError> {
    let rules: &[Rule] = match kind {
        "Tenant" => &TENANT,
        "RuntimePool" => &RUNTIME_POOL,
        _ => &STRATEGY,
    };
    for rule in rules {
        let schema = root.pointer_mut(&pointer(rule.path));
        let schema = schema.ok_or_else(|| CrdError::NoSuchField { kind: kind.to_owned(), path: rule.path })?;
        let entry = json!({"rule": rule.cel, "message": rule.message});
        match schema["x-kubernetes-validations"].as_array_mut() {
            Some(rules) => rules.push(entry),
            None => schema["x-kubernetes-validations"] = json!([entry]),
        }
    }
    if kind == "Strategy"
        && let Some(inputs) = root.pointer_mut(&pointer("spec.inputs"))
    {
        // Each topic once; and so that a rule can compare an input with what it was.
        inputs["x-kubernetes-list-type"] = json!("map");
        inputs["x-kubernetes-list-map-keys"] = json!(["topic"]);
    }
    Ok(())
}

/// Where the schema of a field stands in the schema of the resource.
fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let (name, items) = name.strip_suffix("[]").map_or((name, ""), |name| (name, "/items"));
        pointer.push_str("/properties/");
        pointer.push_str(name);
        pointer.push_str(items);
    }
    pointer
}
