//! How the inputs of a strategy must fit each other, and how many instances they can feed.

use std::collections::{BTreeSet, HashMap};

use super::at::{At, Given};
use super::field_map;
use crate::error::{SpecError, quoted};
use crate::ids::{ClientOrderId, publisher_id};
use crate::strategy::{AssignmentMode, Encoding, Resync};

/// One input as far as it is known.
struct Input<'a> {
    at: At<'a>,
    topic: Option<String>,
    encoding: Option<Encoding>,
    publisher: Given<String>,
    partitions: Given<Vec<u16>>,
    group: Option<String>,
    assignment: Option<AssignmentMode>,
    resync: Option<Resync>,
    broadcast: Option<bool>,
}

impl<'a> Input<'a> {
    fn read(at: At<'a>) -> Self {
        Self {
            topic: at.read("topic").value(),
            encoding: at.read("encoding").value(),
            publisher: at.read("publisher"),
            partitions: at.read("partitions"),
            group: at.read("group").value(),
            assignment: at.read("assignment").or(AssignmentMode::Static),
            resync: at.read("resync").or(Resync::Snapshot),
            broadcast: at.read("broadcast").or(false),
            at,
        }
    }

    /// What the instruments of this input are named after; `None` where nobody knows.
    fn publisher_name(&self) -> Option<String> {
        match (&self.publisher, self.encoding) {
            (Given::Value(name), _) => Some(name.clone()),
            (Given::Absent, Some(encoding)) => Some(encoding.name().to_owned()),
            _ => None,
        }
    }
}

/// The inputs of a strategy as far as they are known.
pub(super) struct Inputs<'a> {
    spec: At<'a>,
    inputs: Vec<Input<'a>>,
    /// Whether the kind of every input is known, so that the market-data inputs below are all of them.
    complete: bool,
}

impl<'a> Inputs<'a> {
    pub(super) fn read(spec: &At<'a>) -> Self {
        let inputs: Vec<Input<'a>> = spec.items("inputs").into_iter().map(Input::read).collect();
        let complete = !inputs.is_empty() && inputs.iter().all(|input| input.encoding.is_some());
        Self { spec: spec.clone(), inputs, complete }
    }

    pub(super) fn with_topic(&self, topic: &str) -> Option<&At<'a>> {
        self.inputs.iter().find(|input| input.topic.as_deref() == Some(topic)).map(|input| &input.at)
    }

    /// The publishers of market data; `None` where not all are known.
    pub(super) fn publishers(&self) -> Option<BTreeSet<String>> {
        self.complete.then_some(())?;
        self.market_data().map(Input::publisher_name).collect()
    }

    pub(super) fn validate(&self, errors: &mut Vec<SpecError>) {
        self.topics(errors);
        self.publisher_ids(errors);
        self.one_group(errors);
        self.one_resync(errors);
        for input in &self.inputs {
            if let Given::Value(partitions) = &input.partitions {
                let mut seen = BTreeSet::new();
                if let Some(twice) = partitions.iter().find(|partition| !seen.insert(**partition)) {
                    let problem = format!("partition {twice} is listed twice");
                    errors.push(input.at.error_in("partitions", problem, "list it once"));
                }
            }
            if let Some(encoding) = input.encoding {
                field_map::validate(&input.at, encoding, errors);
            }
            match input.encoding {
                Some(Encoding::PinionExecution) => executions(input, errors),
                Some(_) => self.group_assignment(input, errors),
                None => {}
            }
        }
        if self.complete {
            self.shards(errors);
        }
    }

    fn market_data(&self) -> impl Iterator<Item = &Input<'a>> {
        self.inputs.iter().filter(|input| input.encoding.is_some_and(Encoding::is_market_data))
    }

    fn topics(&self, errors: &mut Vec<SpecError>) {
        let mut by_hash: HashMap<u16, (&str, &At<'_>)> = HashMap::new();
        for input in &self.inputs {
            let Some(topic) = input.topic.as_deref() else {
                continue;
            };
            match by_hash.get(&ClientOrderId::topic_hash(topic)) {
                Some((other, at)) if *other == topic => {
                    let problem = format!("{} is already read by {}", quoted(topic), at.path());
                    errors.push(input.at.error_in("topic", problem, "name each topic once"));
                }
                Some((other, _)) => {
                    let problem =
                        format!("order ids could not tell it from topic {}: both hash to the same", quoted(other));
                    errors.push(input.at.error_in("topic", problem, "rename one of the two topics"));
                }
                None => {
                    by_hash.insert(ClientOrderId::topic_hash(topic), (topic, &input.at));
                }
            }
        }
    }

    fn publisher_ids(&self, errors: &mut Vec<SpecError>) {
        let mut by_id: HashMap<u32, String> = HashMap::new();
        for input in self.market_data() {
            let Some(name) = input.publisher_name() else {
                continue;
            };
            let other = by_id.entry(publisher_id(&name)).or_insert_with(|| name.clone());
            if *other != name {
                let problem = format!("publishers {} and {} have the same id", quoted(other), quoted(&name));
                errors.push(input.at.error_in("publisher", problem, "rename one of the two"));
            }
        }
    }

    fn one_group(&self, errors: &mut Vec<SpecError>) {
        let mut groups = self.inputs.iter().filter_map(|input| Some((input, input.group.as_deref()?)));
        let Some((first, group)) = groups.next() else {
            return;
        };
        for (input, other) in groups.filter(|(_, other)| *other != group) {
            let problem = format!("group {} beside group {} of {}", quoted(other), quoted(group), first.at.path());
            let fix = "the inputs of a strategy advance together: name one group, in one input or in all";
            errors.push(input.at.error_in("group", problem, fix));
        }
    }

    /// The books of a feed are kept by one rule.
    fn one_resync(&self, errors: &mut Vec<SpecError>) {
        let mut rules = self.market_data().filter_map(|input| Some((input, input.resync?)));
        let Some((first, rule)) = rules.next() else {
            return;
        };
        for (input, _) in rules.filter(|(_, other)| *other != rule) {
            let problem = format!("another rule than {}", first.at.path());
            errors.push(input.at.error_in("resync", problem, "write the same for all market-data inputs"));
        }
    }

    fn group_assignment(&self, input: &Input<'_>, errors: &mut Vec<SpecError>) {
        if input.assignment != Some(AssignmentMode::Group) {
            return;
        }
        let mut refuse = |problem: &str, fix: &str| errors.push(input.at.error_in("assignment", problem, fix));
        if !matches!(input.partitions, Given::Absent) {
            refuse("group assignment beside a list of partitions", "leave one of the two out");
        }
        if input.broadcast == Some(true) {
            refuse("group assignment of a broadcast input", "every instance reads all of it: leave assignment out");
        }
        if self.inputs.len() > 1 {
            let fix = "write static: a consumer group would part the partitions of topics that belong together";
            refuse("group assignment beside another input", fix);
        }
    }

    /// Partition i of every input that is shared out makes shard i, and a worker needs a shard.
    fn shards(&self, errors: &mut Vec<SpecError>) {
        if self.market_data().next().is_none() {
            let fix = "add the topic that the strategy decides by";
            errors.push(self.spec.error_in("inputs", "no market data, only executions", fix));
            return;
        }
        let Some(replicas) = self.spec.read::<u64>("replicas").or(1) else {
            return;
        };
        let mut shards: BTreeSet<u16> = BTreeSet::new();
        for input in self.market_data().filter(|input| input.broadcast != Some(true)) {
            match (&input.partitions, input.broadcast) {
                (Given::Value(partitions), Some(false)) => shards.extend(partitions),
                // All partitions, or nobody knows: the file does not say how many.
                _ => return,
            }
        }
        // Where every input is broadcast there is one instance, and it sees everything.
        let shards = shards.len().max(1) as u64;
        if replicas > shards {
            let problem = format!("{replicas} workers for {shards} partitions");
            errors.push(self.spec.error_in("replicas", problem, "a worker needs a partition of its own: lower it"));
        }
    }
}

/// Executions are read whole by every process and handed to the instance whose order they report.
fn executions(input: &Input<'_>, errors: &mut Vec<SpecError>) {
    let fix = "leave it out: executions are read whole and go to the instance that sent the order";
    for (name, given) in [
        ("partitions", !matches!(input.partitions, Given::Absent)),
        ("broadcast", input.broadcast == Some(true)),
        ("assignment", input.assignment == Some(AssignmentMode::Group)),
    ] {
        if given {
            errors.push(input.at.error_in(name, "not for an input of executions", fix));
        }
    }
}
