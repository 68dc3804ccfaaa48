//! From strategy files to feeds and shards: what reads what. Pure.
//!
//! Strategies that name the same consumer group share one feed: its records are decoded once and they advance together.

use std::collections::BTreeMap;

use pinion_spec::field_map::FieldMap;
use pinion_spec::ids::{instrument_id, publisher_id};
use pinion_spec::strategy::{self, AssignmentMode, Encoding, Resync, Start, Strategy};

use crate::instance::Source;
use crate::instruments::Instrument;
use crate::limits::INSTANCE_SOURCES_MAX;

/// Two strategies that cannot share a feed, or a strategy that cannot run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// The strategies of one group disagree about something they share.
    #[error(
        "strategies {first} and {second} share group {group} but differ in {what}; give one of them a group of its own"
    )]
    Conflict {
        /// The group.
        group: String,
        /// One strategy.
        first: String,
        /// The other.
        second: String,
        /// What they differ in.
        what: String,
    },
    /// More input partitions than an order id can tell apart.
    #[error("an instance of {strategy} would read {sources} partitions, {max} is the limit; split its inputs", max = INSTANCE_SOURCES_MAX)]
    Sources {
        /// The strategy.
        strategy: String,
        /// How many.
        sources: usize,
    },
    /// A number in the file that no instrument can have.
    #[error("instrument {symbol} of {strategy}: {problem}")]
    Instrument {
        /// The strategy.
        strategy: String,
        /// The symbol.
        symbol: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// One topic of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPlan {
    /// Topic name.
    pub topic: String,
    /// How its records are written.
    pub encoding: Encoding,
    /// Where the fields of a `json-map` stand.
    pub map: Option<FieldMap>,
    /// Who published them.
    pub publisher: String,
    /// Partitions to read; `None`: all.
    pub partitions: Option<Vec<u16>>,
    /// Where to start without a committed offset.
    pub start: Start,
    /// Every worker sees all of it.
    pub broadcast: bool,
    /// Where records that cannot be decoded go.
    pub dead_letter: Option<String>,
}

/// One consumer group's reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPlan {
    /// The group.
    pub group: String,
    /// Who decides which partitions are read.
    pub assignment: AssignmentMode,
    /// What mends a broken book.
    pub resync: Resync,
    /// Its topics.
    pub inputs: Vec<InputPlan>,
    /// Which of the strategies share it, by index.
    pub strategies: Vec<usize>,
}

/// The feeds of these strategies.
///
/// # Errors
/// [`PlanError::Conflict`]
pub fn feeds(strategies: &[&Strategy]) -> Result<Vec<FeedPlan>, PlanError> {
    let mut feeds: BTreeMap<String, FeedPlan> = BTreeMap::new();
    for (index, strategy) in strategies.iter().enumerate() {
        let group = strategy.group();
        let wanted = feed_of(strategy, index, &group);
        match feeds.get_mut(&group) {
            None => drop(feeds.insert(group, wanted)),
            Some(feed) => {
                let first = feed.strategies.first().and_then(|first| strategies.get(*first));
                let first = first.map_or_else(String::new, |first| first.metadata.name.clone());
                merge(feed, wanted).map_err(|what| PlanError::Conflict {
                    group,
                    first,
                    second: strategy.metadata.name.clone(),
                    what,
                })?;
            }
        }
    }
    Ok(feeds.into_values().collect())
}

fn feed_of(strategy: &Strategy, index: usize, group: &str) -> FeedPlan {
    let dead_letter = strategy.spec.outputs.dead_letter.as_ref().map(|output| output.topic.clone());
    let market = |encoding| encoding != Encoding::PinionExecution;
    let lead = strategy.spec.inputs.iter().find(|input| market(input.encoding)).or(strategy.spec.inputs.first());
    FeedPlan {
        group: group.to_owned(),
        assignment: lead.map_or_else(AssignmentMode::default, |input| input.assignment),
        resync: lead.map_or_else(Resync::default, |input| input.resync),
        inputs: strategy
            .spec
            .inputs
            .iter()
            .map(|input| InputPlan {
                topic: input.topic.clone(),
                encoding: input.encoding,
                map: input.map.clone(),
                publisher: input.publisher_name().to_owned(),
                partitions: input.partitions.clone(),
                start: input.start,
                // An execution may concern any instance.
                broadcast: input.broadcast || !market(input.encoding),
                dead_letter: dead_letter.clone(),
            })
            .collect(),
        strategies: vec![index],
    }
}

/// Adds what another strategy wants of a feed; names what they differ in.
fn merge(feed: &mut FeedPlan, wanted: FeedPlan) -> Result<(), String> {
    if feed.assignment != wanted.assignment {
        return Err("assignment".to_owned());
    }
    if feed.resync != wanted.resync {
        return Err("resync".to_owned());
    }
    for input in wanted.inputs {
        let Some(shared) = feed.inputs.iter_mut().find(|shared| shared.topic == input.topic) else {
            feed.inputs.push(input);
            continue;
        };
        let topic = &input.topic;
        if (shared.encoding, &shared.publisher) != (input.encoding, &input.publisher) {
            return Err(format!("encoding or publisher of topic {topic}"));
        }
        if shared.map != input.map {
            return Err(format!("map of topic {topic}"));
        }
        if shared.start != input.start {
            return Err(format!("start of topic {topic}"));
        }
        shared.dead_letter = match (shared.dead_letter.take(), input.dead_letter) {
            (Some(mine), Some(theirs)) if mine != theirs => return Err(format!("deadLetter for topic {topic}")),
            (mine, theirs) => mine.or(theirs),
        };
        shared.broadcast |= input.broadcast;
        shared.partitions = match (shared.partitions.take(), input.partitions) {
            (Some(mut mine), Some(theirs)) => {
                mine.extend(theirs);
                mine.sort_unstable();
                mine.dedup();
                Some(mine)
            }
            (None, _) | (_, None) => None,
        };
    }
    feed.strategies.extend(wanted.strategies);
    Ok(())
}

/// One shard of a strategy: what one instance sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its number: partition i of every shared-out input.
    pub index: u16,
    /// Its input partitions; the position is the `source` of its order ids.
    pub sources: Vec<Source>,
}

impl Shard {
    /// What it reads: (topic, partition).
    pub fn places(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.sources.iter().map(|source| (source.topic, source.partition))
    }

    /// Whether it reads any of these (topic, partition).
    #[must_use]
    pub fn reads_any(&self, partitions: &[(u16, u16)]) -> bool {
        self.sources.iter().any(|source| partitions.contains(&(source.topic, source.partition)))
    }
}

/// The shards of a strategy, given how many partitions each of the feed's topics has.
///
/// # Errors
/// [`PlanError::Sources`]
pub fn shards(strategy: &Strategy, feed: &FeedPlan, partitions: &[usize]) -> Result<Vec<Shard>, PlanError> {
    struct Read<'a> {
        topic: u16,
        hash: u16,
        count: u16,
        only: Option<&'a [u16]>,
        broadcast: bool,
    }
    let reads: Vec<Read<'_>> = strategy
        .spec
        .inputs
        .iter()
        .filter_map(|input| {
            let topic = feed.inputs.iter().position(|shared| shared.topic == input.topic)?;
            Some(Read {
                topic: u16::try_from(topic).ok()?,
                hash: pinion_spec::ids::ClientOrderId::topic_hash(&input.topic),
                count: u16::try_from(*partitions.get(topic)?).unwrap_or(u16::MAX),
                only: input.partitions.as_deref(),
                broadcast: input.broadcast || input.encoding == Encoding::PinionExecution,
            })
        })
        .collect();
    let has = |read: &Read<'_>, partition: u16| {
        partition < read.count && read.only.is_none_or(|list| list.contains(&partition))
    };
    let count = reads.iter().filter(|read| !read.broadcast).map(|read| read.count).max().unwrap_or(1);
    let mut shards = Vec::new();
    for index in 0..count {
        let own = |read: &&Read<'_>| !read.broadcast && has(read, index);
        if reads.iter().any(|read| !read.broadcast) && !reads.iter().any(|read| own(&read)) {
            continue;
        }
        let mut sources = Vec::new();
        for read in &reads {
            let all = 0..if read.broadcast { read.count } else { 0 };
            let one = if own(&read) { Some(index) } else { None };
            for partition in all.filter(|partition| has(read, *partition)).chain(one) {
                sources.push(Source { topic: read.topic, partition, topic_hash: read.hash });
            }
        }
        if sources.len() > INSTANCE_SOURCES_MAX {
            return Err(PlanError::Sources { strategy: strategy.metadata.name.clone(), sources: sources.len() });
        }
        shards.push(Shard { index, sources });
    }
    Ok(shards)
}

/// Who publishes a declared instrument: whom it names, else the file's only market data.
#[must_use]
pub fn publisher_of<'a>(strategy: &'a Strategy, declared: &'a strategy::Instrument) -> Option<&'a str> {
    let market = || strategy.spec.inputs.iter().find(|input| input.encoding.is_market_data());
    declared.publisher.as_deref().or_else(|| market().map(strategy::Input::publisher_name))
}

/// A declared instrument's id.
#[must_use]
pub fn id_of(declared: &strategy::Instrument, publisher: &str) -> u64 {
    declared.id.unwrap_or_else(|| instrument_id(publisher, declared.symbol.as_bytes()))
}

/// The declared instruments of a strategy.
///
/// # Errors
/// [`PlanError::Instrument`]
pub fn instruments(strategy: &Strategy) -> Result<Vec<Instrument>, PlanError> {
    let mut instruments = Vec::with_capacity(strategy.spec.instruments.len());
    for declared in &strategy.spec.instruments {
        let problem = |problem| PlanError::Instrument {
            strategy: strategy.metadata.name.clone(),
            symbol: declared.symbol.clone(),
            problem,
        };
        let publisher = publisher_of(strategy, declared).ok_or_else(|| problem("has no publisher"))?;
        instruments.push(Instrument {
            id: id_of(declared, publisher),
            publisher_id: publisher_id(publisher),
            publisher: publisher.into(),
            symbol: declared.symbol.as_str().into(),
            tick: declared.tick.at_exponent(-9).ok_or_else(|| problem("tick does not fit"))?,
            lot: declared
                .lot
                .at_exponent(declared.size_exponent)
                .ok_or_else(|| problem("lot does not fit its exponent"))?,
            size_exponent: declared.size_exponent,
        });
    }
    Ok(instruments)
}
