//! The orders that were sent, as their topic has them, and how replayed ones are held against them.
//!
//! Messages of one instance about one instrument have one order, in the topic and in a replay; others may overtake each other between
//! the topic's partitions. Of a topic only what was decided because of records that the journal presents counts: it may hold more.

use std::collections::{BTreeMap, HashSet};

use pinion_runtime::egress::OrderRoute;
use pinion_runtime::kafka::Kafka;
use pinion_runtime::kafka::log::{LogError, LogReader};
use pinion_runtime::wire;
use pinion_spec::ids::ClientOrderId;

use super::replayed::{Decided, Presented, Stream};
use crate::error::CliError;

/// A message of an orders topic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    id: ClientOrderId,
    value: Vec<u8>,
}

/// What holding a replay's messages of one stream against the topic's has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// That are the same.
    pub(super) held: u64,
    /// Decided by a process that crashed, and not sent.
    pub(super) unsent: u64,
    /// Sent by a process that crashed, because of records that its journal did not have yet.
    pub(super) unjournaled: u64,
    /// Position of the first that is another one, and what was sent in its place.
    pub(super) differs: Option<(usize, Option<Vec<u8>>)>,
}

/// One stream, as it was sent.
#[derive(Debug, Default)]
struct Sent {
    messages: Vec<Message>,
    /// Those before it have been held against something, or do not count.
    next: usize,
    /// Held by a process that crashed: the next one may decide them again without their being sent again.
    doubtful: HashSet<(ClientOrderId, Vec<u8>)>,
    held: HashSet<ClientOrderId>,
    /// After a crash: what the journal had presented by then. Orders because of later records may lie before those of the next process.
    crashed_at: Option<Presented>,
}

/// Reads topics of orders, each once.
pub(super) struct Recorded {
    log: LogReader,
    topics: BTreeMap<String, Vec<(Message, u64)>>,
    sent: BTreeMap<(String, Stream), Sent>,
}

impl Recorded {
    pub(super) const fn new(kafka: Kafka) -> Self {
        Self { log: LogReader::new(kafka), topics: BTreeMap::new(), sent: BTreeMap::new() }
    }

    /// Holds one process's messages of a stream against what was sent next.
    pub(super) fn hold(
        &mut self,
        route: &OrderRoute,
        stream: &Stream,
        orders: &[Decided],
        presented: &Presented,
        crashed: bool,
    ) -> Result<Found, CliError> {
        let topic = &route.orders_topic;
        if !self.topics.contains_key(topic) {
            let messages = self.read(topic)?;
            self.topics.insert(topic.clone(), messages);
        }
        let all = self.topics.get(topic).map_or(&[][..], Vec::as_slice);
        let sent = self.sent.entry((topic.clone(), stream.clone())).or_insert_with(|| {
            let of = |message: &&(Message, u64)| {
                let (Message { id, .. }, instrument_id) = message;
                let here = stream.sources.contains(&(id.topic, id.partition));
                (id.strategy, *instrument_id) == (route.identity.strategy, stream.instrument_id) && here
            };
            Sent { messages: all.iter().filter(of).map(|(message, _)| message.clone()).collect(), ..Sent::default() }
        });
        Ok(sent.hold(orders, presented, crashed))
    }

    /// What was sent because of records that the journal presents and was not decided in the replay: the first of each stream.
    pub(super) fn missed(&self, presented: &Presented) -> Vec<(&Stream, &[u8])> {
        let mut missed = Vec::new();
        for ((_, stream), sent) in &self.sent {
            let mut left = sent.messages[sent.next..].iter();
            let found = left.find(|message| presented.has(&message.id) && !sent.held.contains(&message.id));
            missed.extend(found.map(|message| (stream, message.value.as_slice())));
        }
        missed
    }

    fn read(&mut self, topic: &str) -> Result<Vec<(Message, u64)>, CliError> {
        let failed = |error: &LogError| {
            let text = format!("the orders in {topic} cannot be read: {error}");
            if error.is_unavailable() { CliError::Unavailable(text) } else { CliError::Usage(text) }
        };
        let mut messages = Vec::new();
        for partition in 0..self.log.partitions(topic).map_err(|error| failed(&error))? {
            let (low, high) = self.log.bounds(topic, partition).map_err(|error| failed(&error))?;
            if low >= high {
                continue;
            }
            let read = self.log.read(topic, partition, (low, high - 1), |_, _, record| {
                // What is no order of ours is another's business.
                if let Ok(order) = wire::read_order(record.value) {
                    messages.push((Message { id: order.id, value: record.value.to_vec() }, order.instrument_id));
                }
            });
            read.map_err(|error| failed(&error))?;
        }
        Ok(messages)
    }
}

impl Sent {
    fn hold(&mut self, orders: &[Decided], presented: &Presented, crashed: bool) -> Found {
        let mut found = Found::default();
        for (at, order) in orders.iter().enumerate() {
            while self.messages.get(self.next).is_some_and(|message| !presented.has(&message.id)) {
                self.next += 1;
            }
            let key = (order.id, order.value.clone());
            match self.messages.get(self.next) {
                Some(message) if message.value == order.value => self.next += 1,
                _ if let Some(unjournaled) = self.unjournaled_before(order) => {
                    found.unjournaled += unjournaled as u64;
                    self.next += unjournaled + 1;
                    self.crashed_at = None;
                }
                _ if self.doubtful.contains(&key) => {}
                other if crashed && other.is_none_or(|message| message.id != order.id) => {
                    found.unsent += 1;
                    continue;
                }
                other => {
                    found.differs = Some((at, other.map(|message| message.value.clone())));
                    return found;
                }
            }
            found.held += 1;
            self.held.insert(order.id);
            if crashed {
                self.doubtful.insert(key);
            }
        }
        if crashed {
            self.crashed_at = Some(presented.clone());
        }
        found
    }

    /// How many orders lie before this one that a process sent, crashing before its journal had their records. They are stepped over
    /// once after a crash: what is stepped over is one run. `None` where the order is not behind such a run.
    fn unjournaled_before(&self, order: &Decided) -> Option<usize> {
        let crashed_at = self.crashed_at.as_ref()?;
        let rest = self.messages.get(self.next..)?;
        let at = rest.iter().position(|message| crashed_at.has(&message.id) || message.value == order.value)?;
        (rest[at].value == order.value).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(offset: u64) -> ClientOrderId {
        ClientOrderId { strategy: 1, topic: 2, partition: 3, offset, n: 0 }
    }

    fn sent(orders: &[(u64, &str)]) -> Sent {
        let message = |(offset, value): &(u64, &str)| Message { id: id(*offset), value: value.as_bytes().to_vec() };
        Sent { messages: orders.iter().map(message).collect(), ..Sent::default() }
    }

    fn decided(orders: &[(u64, &str)]) -> Vec<Decided> {
        let of = |(offset, value): &(u64, &str)| Decided {
            sequence: *offset,
            id: id(*offset),
            value: value.as_bytes().to_vec(),
            input: String::new(),
        };
        orders.iter().map(of).collect()
    }

    /// That the journal presents the records of these offsets.
    fn presented(first: u64, last: u64) -> Presented {
        let mut presented = Presented::default();
        presented.note((2, 3), first, last);
        presented
    }

    fn same(held: u64, unsent: u64) -> Found {
        Found { held, unsent, ..Found::default() }
    }

    #[test]
    fn orders_because_of_other_records_do_not_count() {
        let mut topic = sent(&[(1, "x"), (5, "a"), (6, "b"), (9, "y"), (7, "c")]);
        assert_eq!(topic.hold(&decided(&[(5, "a"), (6, "b"), (7, "c")]), &presented(5, 8), false), same(3, 0));
    }

    #[test]
    fn an_order_that_was_not_sent_is_a_difference_unless_its_process_crashed() {
        let orders = decided(&[(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(sent(&[(1, "a")]).hold(&orders, &presented(0, 9), true), same(1, 2));
        let differs = Found { held: 1, differs: Some((1, None)), ..Found::default() };
        assert_eq!(sent(&[(1, "a")]).hold(&orders, &presented(0, 9), false), differs);
    }

    #[test]
    fn another_order_under_the_same_id_is_a_difference_also_where_its_process_crashed() {
        let differs = Found { held: 1, differs: Some((1, Some(b"z".to_vec()))), ..Found::default() };
        let orders = decided(&[(1, "a"), (2, "b")]);
        assert_eq!(sent(&[(1, "a"), (2, "z")]).hold(&orders, &presented(0, 9), true), differs);
    }

    #[test]
    fn what_a_crashed_process_decided_and_the_next_one_sent_is_held_for_both() {
        let mut topic = sent(&[(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(topic.hold(&decided(&[(1, "a"), (2, "b")]), &presented(0, 9), true), same(2, 0));
        // It was sent once: by the first, or by the second.
        assert_eq!(topic.hold(&decided(&[(2, "b"), (3, "c")]), &presented(0, 9), false), same(2, 0));
    }

    #[test]
    fn what_a_crashed_process_sent_past_the_end_of_its_journal_is_stepped_over_once_and_counted() {
        // Its journal ends at 2; it sent for 3 and 4, and the next one, which had read from 2 on again, decides otherwise there.
        let mut topic =
            sent(&[(1, "a"), (2, "b"), (3, "c"), (4, "d"), (2, "b"), (3, "C"), (5, "e"), (6, "f"), (7, "g")]);
        assert_eq!(topic.hold(&decided(&[(1, "a"), (2, "b")]), &presented(0, 2), true), same(2, 0));
        let stepped = Found { unjournaled: 2, ..same(3, 0) };
        assert_eq!(topic.hold(&decided(&[(2, "b"), (3, "C"), (5, "e")]), &presented(0, 9), false), stepped);
        // 6 was sent in order.
        let differs = Found { differs: Some((0, Some(b"f".to_vec()))), ..Found::default() };
        assert_eq!(topic.hold(&decided(&[(7, "g")]), &presented(0, 9), false), differs);
    }

    #[test]
    fn an_order_that_the_journal_had_is_not_stepped_over_after_a_crash() {
        let mut topic = sent(&[(1, "a"), (3, "c"), (2, "z"), (4, "d")]);
        assert_eq!(topic.hold(&decided(&[(1, "a")]), &presented(0, 2), true), same(1, 0));
        let differs = Found { differs: Some((0, Some(b"c".to_vec()))), ..Found::default() };
        assert_eq!(topic.hold(&decided(&[(4, "d")]), &presented(0, 9), false), differs);
    }

    #[test]
    fn an_order_that_was_sent_and_is_not_decided_any_more_is_found() {
        let mut topic = sent(&[(1, "a"), (2, "b"), (3, "c")]);
        let differs = Found { held: 1, differs: Some((1, Some(b"b".to_vec()))), ..Found::default() };
        assert_eq!(topic.hold(&decided(&[(1, "a"), (3, "c")]), &presented(0, 9), false), differs);
        let mut topic = sent(&[(1, "a"), (2, "b")]);
        assert_eq!(topic.hold(&decided(&[(1, "a")]), &presented(0, 9), false), same(1, 0));
        let left = topic.messages[topic.next..].iter().find(|message| !topic.held.contains(&message.id));
        assert_eq!(left.map(|message| message.id), Some(id(2)));
    }
}
