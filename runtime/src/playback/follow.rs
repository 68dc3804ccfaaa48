//! A journal followed: what its entries say has happened happens again, and nothing else does.
//!
//! Guests get the records that they got, in the order in which they got them, with the commands, limits, modules and ticks between them.
//! A call that ran out of its budget live is not made again: how far it came was a matter of clocks, and it has asked for nothing. Every
//! other fault must come by itself, at the same call.

use std::collections::{BTreeMap, VecDeque};

use pinion_spec::ids::ClientOrderId;
use pinion_spec::strategy::{Risk, Strategy};
use thiserror::Error;

use super::{Faulted, Playback};
use crate::app::AppError;
use crate::decode::{self, Decoder, Record};
use crate::egress::Outbound;
use crate::event::{Event, Origin, Stamp};
use crate::instance::InstanceId;
use crate::journal::{Entry, Load, Run};
use crate::limits::REPLAY_CALL_MICROS;
use crate::plan;
use crate::sandbox::{FaultKind, LoadError, Module};

/// Where the records come from that a journal's runs name.
pub trait Records {
    /// Hands over the records of a partition from offset `first` to `last`, in order.
    ///
    /// # Errors
    /// Why they cannot be had, for the user.
    fn read(
        &mut self,
        topic: &str,
        partition: u16,
        offsets: (u64, u64),
        take: &mut dyn FnMut(u64, &Record<'_>),
    ) -> Result<(), String>;
}

/// Why a journal cannot be followed.
#[derive(Debug, Error)]
pub enum FollowError {
    /// What was started live does not start now.
    #[error(transparent)]
    App(#[from] AppError),
    /// A module of the journal.
    #[error("module {digest}")]
    Module {
        /// Which.
        digest: String,
        /// Why not.
        source: LoadError,
    },
    /// The journal contradicts itself.
    #[error("the journal does not fit together: {0}")]
    Journal(String),
    /// The records of a run.
    #[error("records {first} to {last} of {topic}/{partition}: {problem}")]
    Records {
        /// Topic.
        topic: String,
        /// Partition.
        partition: u16,
        /// First offset.
        first: u64,
        /// Last offset.
        last: u64,
        /// Why not.
        problem: String,
    },
    /// A guest did wrong where it did not live, or the other way round.
    #[error("{tenant}/{strategy}: live its call {call} ended in {live}, now in {now}")]
    Fault {
        /// Tenant.
        tenant: String,
        /// Strategy.
        strategy: String,
        /// Which call of its instance.
        call: u64,
        /// What the journal says.
        live: String,
        /// What happened now.
        now: String,
    },
}

/// One feed of the journal.
struct Feed {
    /// Its number in the playback.
    place: usize,
    topics: Vec<String>,
    decoders: Vec<Decoder>,
}

/// What a journal's entries are done with.
pub struct Follower<'m> {
    playback: Playback,
    modules: &'m dyn Fn(&str) -> Result<Module, LoadError>,
    feeds: BTreeMap<u32, Feed>,
    others: BTreeMap<String, Module>,
    /// Faults that the journal has told of and that have not come.
    expected: VecDeque<(u32, u64, String)>,
    events: Vec<Event>,
    records: u64,
}

impl<'m> Follower<'m> {
    /// A follower that gets the journal's modules from `modules`, by their digest.
    #[must_use]
    pub fn new(modules: &'m dyn Fn(&str) -> Result<Module, LoadError>) -> Self {
        Self {
            playback: Playback::by_hand(),
            modules,
            feeds: BTreeMap::new(),
            others: BTreeMap::new(),
            expected: VecDeque::new(),
            events: Vec::new(),
            records: 0,
        }
    }

    /// Another module in the place of whatever a strategy of that name ran.
    pub fn substitute(&mut self, strategy: &str, module: Module) {
        self.others.insert(strategy.to_owned(), module);
    }

    /// The partition of a run, as order ids name it: the hash of its topic, and its number.
    #[must_use]
    pub fn source(&self, run: &Run) -> Option<(u16, u16)> {
        let topic = self.feeds.get(&run.feed)?.topics.get(usize::from(run.topic))?;
        Some((ClientOrderId::topic_hash(topic), run.partition))
    }

    /// Records presented so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Does what an entry says. `take` gets what that causes, in order.
    ///
    /// # Errors
    /// [`FollowError`]
    pub fn follow(
        &mut self,
        entry: &Entry,
        records: &mut dyn Records,
        take: &mut dyn FnMut(Outbound),
    ) -> Result<(), FollowError> {
        match entry {
            Entry::Start { .. } => {
                self.missed()?;
                self.playback = Playback::by_hand();
                self.feeds.clear();
            }
            Entry::Feed { feed, topics, strategies, .. } => self.open(*feed, topics, strategies)?,
            Entry::Load(load) => self.load(load)?,
            Entry::Run(run) => return self.run(run, records, take),
            Entry::Tick { feed, ts } => self.playback.tick(self.feed(*feed)?.place, *ts),
            Entry::TradingState { scope, state } => self.playback.set_trading_state(scope, *state),
            Entry::Killed { instrument_id, killed } => self.playback.set_killed(*instrument_id, *killed),
            Entry::Limits { instance, risk } => {
                let risk: Risk = parsed("limits", risk)?;
                self.playback.set_instance_limits(InstanceId(*instance), &risk)?;
            }
            Entry::Swap { instance, module, params } => {
                let module = self.module(module)?;
                self.playback.swap_instance(InstanceId(*instance), module, params.iter().cloned().collect())?;
            }
            Entry::Fault { instance, call, kind } => {
                if kind == FaultKind::Budget.label() {
                    self.playback.force_over_budget(InstanceId(*instance), *call);
                }
                self.expected.push_back((*instance, *call, kind.clone()));
            }
            Entry::Revive { instance } => self.playback.revive_instance(InstanceId(*instance))?,
            Entry::Remove { instance } => self.playback.remove_instance(InstanceId(*instance)),
            Entry::RemoveFeed { feed } => {
                if let Some(gone) = self.feeds.remove(feed) {
                    self.playback.close_feed(gone.place);
                }
            }
            Entry::Stop => self.playback.stop(),
        }
        self.settle(take)
    }

    /// The journal is at its end.
    ///
    /// # Errors
    /// A fault that it tells of and that has not come.
    pub fn finish(&mut self) -> Result<(), FollowError> {
        self.missed()
    }

    fn feed(&self, feed: u32) -> Result<&Feed, FollowError> {
        self.feeds.get(&feed).ok_or_else(|| FollowError::Journal(format!("feed {feed} was never opened")))
    }

    fn module(&self, digest: &str) -> Result<Module, FollowError> {
        (self.modules)(digest).map_err(|source| FollowError::Module { digest: digest.to_owned(), source })
    }

    fn open(&mut self, number: u32, topics: &[String], strategies: &[String]) -> Result<(), FollowError> {
        let strategies =
            strategies.iter().map(|text| parsed("a strategy", text)).collect::<Result<Vec<Strategy>, _>>()?;
        let plans = plan::feeds(&strategies.iter().collect::<Vec<_>>()).map_err(AppError::from)?;
        let [plan] = plans.as_slice() else {
            return Err(FollowError::Journal(format!("feed {number} has strategies of {} groups", plans.len())));
        };
        let known: Vec<_> = plan.inputs.iter().map(|input| input.topic.as_str()).collect();
        if known != topics.iter().map(String::as_str).collect::<Vec<_>>() {
            return Err(FollowError::Journal(format!("feed {number} has other topics than its strategies")));
        }
        let mut declared = Vec::new();
        for strategy in &strategies {
            declared.extend(plan::instruments(strategy).map_err(AppError::from)?);
        }
        let place = self.playback.open_feed(plan.clone(), declared);
        let decoder = |topic| match self.playback.feeds().get(place).and_then(|feed| feed.decoder(topic)) {
            Some(Ok(decoder)) => Ok(decoder),
            Some(Err(error)) => Err(FollowError::App(error.into())),
            None => Err(FollowError::Journal(format!("feed {number} has no topic {topic}"))),
        };
        let decoders = (0..topics.len()).map(decoder).collect::<Result<_, _>>()?;
        self.feeds.insert(number, Feed { place, topics: topics.to_vec(), decoders });
        Ok(())
    }

    fn load(&mut self, load: &Load) -> Result<(), FollowError> {
        let mut strategy: Strategy = parsed("a strategy", &load.strategy)?;
        // What ran out of its budget is said by the journal; nothing else is to.
        strategy.spec.budget.call_micros = REPLAY_CALL_MICROS;
        let module = match self.others.get(&strategy.metadata.name) {
            Some(other) => other.clone(),
            None => self.module(&load.module)?,
        };
        let place = self.feed(load.feed)?.place;
        let id = InstanceId(load.instance);
        let shard = (load.shard, load.sources.as_slice());
        self.playback.load_instance(place, (strategy, module), id, shard, load.trading_state)?;
        Ok(())
    }

    fn run(&mut self, run: &Run, records: &mut dyn Records, take: &mut dyn FnMut(Outbound)) -> Result<(), FollowError> {
        let Some(feed) = self.feeds.get_mut(&run.feed) else {
            return Err(FollowError::Journal(format!("feed {} was never opened", run.feed)));
        };
        let topic = usize::from(run.topic);
        let (Some(name), Some(decoder)) = (feed.topics.get(topic), feed.decoders.get_mut(topic)) else {
            return Err(FollowError::Journal(format!("feed {} has no topic {topic}", run.feed)));
        };
        let (place, name) = (feed.place, name.clone());
        let (playback, events) = (&mut self.playback, &mut self.events);
        let mut presented = 0;
        let outcome = records.read(&name, run.partition, (run.first, run.last), &mut |offset, record| {
            let origin = Origin { topic: run.topic, partition: run.partition, offset };
            events.clear();
            let ts_recv = match decoder.decode(record, events) {
                Ok(_) => record.ts_recv,
                Err(_) => 0,
            };
            if events.is_empty() {
                events.push(decode::nothing(ts_recv));
            }
            decode::stamp(events, origin, Stamp::default());
            playback.present(place, events, |_, _| ());
            playback.take_outbound().for_each(&mut *take);
            presented += 1;
        });
        self.records += presented;
        let wrong = |problem| FollowError::Records {
            topic: name.clone(),
            partition: run.partition,
            first: run.first,
            last: run.last,
            problem,
        };
        outcome.map_err(wrong)?;
        if presented != run.records {
            return Err(wrong(format!("{} were presented live, {presented} are there now", run.records)));
        }
        self.settle(take)
    }

    /// Hands on what was caused, and holds the faults that came against those that the journal tells of.
    fn settle(&mut self, take: &mut dyn FnMut(Outbound)) -> Result<(), FollowError> {
        self.playback.take_outbound().for_each(take);
        for faulted in self.playback.take_faults() {
            let Faulted { tenant, strategy, kind, call, instance, .. } = faulted;
            let now = kind.label().to_owned();
            match self.expected.iter().position(|(of, at, _)| (*of, *at) == (instance.0, call)) {
                Some(place) => {
                    let live = self.expected.remove(place).map(|(.., kind)| kind).unwrap_or_default();
                    if live != now {
                        return Err(FollowError::Fault { tenant, strategy, call, live, now });
                    }
                }
                None => return Err(FollowError::Fault { tenant, strategy, call, live: "no fault".to_owned(), now }),
            }
        }
        Ok(())
    }

    fn missed(&mut self) -> Result<(), FollowError> {
        match self.expected.pop_front() {
            None => Ok(()),
            Some((instance, call, live)) => {
                let (tenant, strategy) = self.playback.name(InstanceId(instance));
                Err(FollowError::Fault { tenant, strategy, call, live, now: "no fault".to_owned() })
            }
        }
    }
}

fn parsed<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, FollowError> {
    serde_json::from_str(text).map_err(|error| FollowError::Journal(format!("{what} cannot be read: {error}")))
}
