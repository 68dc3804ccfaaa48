//! What is counted for each shard that runs here: what it costs its worker, and how far it is behind.
//!
//! Labels are a group, a shard and a worker. There is a sample for each that has an instance, so there are never more than
//! [`crate::limits::INSTANCES_MAX`] of them, whatever topics have been read since the start.

use std::sync::{Arc, Weak};

use super::{Counter, Gauge, Metrics, locked};

/// What one worker does for one shard of a group. The instances of the group's strategies on the shard share it. It begins at 0
/// whenever the shard comes.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    /// The consumer group.
    pub group: String,
    /// The shard.
    pub shard: u16,
    /// The worker, the only writer.
    pub worker: usize,
    /// Records of the shard's own partitions that were presented whole.
    pub records: Counter,
    /// The worker's time on it, ns: from taking an event from the ring to taking the next. What every shard sees counts for each by
    /// its own instances' time.
    pub busy_ns: Counter,
}

/// How far one partition is. Ingest writes.
#[derive(Debug, Default)]
pub struct PartitionMetrics {
    /// Records between the last one that is done and the log's end, at the last look; 0 where the partition is not read.
    pub lag_records: Gauge,
    /// Kafka's timestamp of the last record read, ms; 0 before the first.
    pub last_kafka_ms: Gauge,
    /// 1 while it is paused because its worker is behind: nothing fetched says where its log ends.
    pub paused: Gauge,
}

/// The partitions of a feed's topics.
#[derive(Debug, Default)]
pub struct PartitionsMetrics {
    /// By topic: whether every shard sees all of it.
    broadcast: Vec<bool>,
    /// By topic and partition.
    partitions: Vec<Vec<PartitionMetrics>>,
}

impl PartitionsMetrics {
    /// For topics with these numbers of partitions; which of them every shard sees.
    #[must_use]
    pub fn new(partitions: &[usize], broadcast: &[bool]) -> Self {
        let topic = |count: &usize| (0..*count).map(|_| PartitionMetrics::default()).collect();
        Self { broadcast: broadcast.to_vec(), partitions: partitions.iter().map(topic).collect() }
    }

    /// One partition.
    #[must_use]
    #[inline]
    pub fn get(&self, topic: u16, partition: u16) -> Option<&PartitionMetrics> {
        self.partitions.get(usize::from(topic))?.get(usize::from(partition))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &PartitionMetrics> {
        self.partitions.iter().flatten()
    }

    /// The shard's own partitions: what every shard sees is none's.
    pub fn of_shard(&self, shard: u16) -> impl Iterator<Item = &PartitionMetrics> {
        let own = self.broadcast.iter().zip(&self.partitions).filter(|(broadcast, _)| !**broadcast);
        own.filter_map(move |(_, partitions)| partitions.get(usize::from(shard)))
    }
}

impl Metrics {
    /// What a worker does for a shard of a group: what is there already, or from 0.
    #[must_use]
    pub fn shard(&self, group: &str, shard: u16, worker: usize) -> Arc<ShardMetrics> {
        let mut shards = locked(&self.shards);
        shards.retain(|known| known.strong_count() > 0);
        let same =
            |known: &Arc<ShardMetrics>| (known.group.as_str(), known.shard, known.worker) == (group, shard, worker);
        if let Some(known) = shards.iter().filter_map(Weak::upgrade).find(same) {
            return known;
        }
        let fresh = Arc::new(ShardMetrics { group: group.to_owned(), shard, worker, ..ShardMetrics::default() });
        shards.push(Arc::downgrade(&fresh));
        fresh
    }

    /// The shards that have an instance.
    #[must_use]
    pub fn shards(&self) -> Vec<Arc<ShardMetrics>> {
        locked(&self.shards).iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_counts_as_long_as_somebody_runs_it_and_then_from_nothing() {
        let metrics = Metrics::default();
        let (first, second) = (metrics.shard("g", 3, 0), metrics.shard("g", 3, 0));
        first.records.add(5);
        assert_eq!(second.records.get(), 5, "strategies of one group share it");
        assert_eq!(metrics.shard("g", 3, 1).records.get(), 0, "another worker has its own");
        drop((first, second));
        assert!(metrics.shards().is_empty());
        assert_eq!(metrics.shard("g", 3, 0).records.get(), 0);
    }

    #[test]
    fn a_shard_has_its_partition_of_each_topic_that_is_shared_out() {
        let partitions = PartitionsMetrics::new(&[2, 3, 4], &[false, true, false]);
        let mark = |topic, partition, lag| partitions.get(topic, partition).unwrap().lag_records.set(lag);
        mark(0, 1, 1);
        mark(1, 2, 10);
        mark(2, 1, 100);
        mark(2, 3, 1_000);
        let lag = |shard| partitions.of_shard(shard).map(|partition| partition.lag_records.get()).sum::<i64>();
        assert_eq!([0, 1, 3, 9].map(lag), [0, 101, 1_000, 0]);
        assert_eq!(partitions.all().map(|partition| partition.lag_records.get()).sum::<i64>(), 1_111);
    }
}
