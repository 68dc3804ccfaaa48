//! One of librdkafka's queues, and a bell that rings when something comes into it.
//!
//! JUSTIFICATION: a thread that waits for records, orders and acknowledgements alike must be woken for each. The Rust client waits for one
//! of them at a time, or keeps a thread for each, and a hop between two threads is as long as half of the way to the broker.

#![allow(unsafe_code)]

use std::ffi::{CString, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::bindings::{
    rd_kafka_queue_cb_event_enable, rd_kafka_queue_destroy, rd_kafka_queue_forward, rd_kafka_queue_get_main,
    rd_kafka_queue_get_partition, rd_kafka_queue_length, rd_kafka_queue_new, rd_kafka_queue_t, rd_kafka_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use crate::clock::mono_ns;
use crate::ring::Waker;

/// A queue of a client, which it keeps alive.
pub struct Queue<K> {
    raw: NonNull<rd_kafka_queue_t>,
    bell: Arc<Bell>,
    client: K,
}

/// Rings when a queue that was empty is no more.
struct Bell {
    /// When it rang, monotonic ns; 0: it has not since it was last asked.
    rang_ns: AtomicU64,
    /// Who is woken.
    waker: Option<Waker>,
}

// SAFETY: any thread may use librdkafka's queues, also several at once (its INTRODUCTION.md, "Threads and callbacks"); a bell is made of
// atomics and a waker.
unsafe impl<K: Send> Send for Queue<K> {}
// SAFETY: the same.
unsafe impl<K: Sync> Sync for Queue<K> {}

impl<K> Drop for Queue<K> {
    fn drop(&mut self) {
        // SAFETY: the queue is a reference of our own, given back once, and the client lives until after this. The bell is put off under
        // the lock that it is rung under, so nobody rings it any more when it goes.
        unsafe {
            rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, std::ptr::null_mut());
            rd_kafka_queue_destroy(self.raw.as_ptr());
        }
    }
}

impl<C: ConsumerContext + 'static> Queue<Arc<BaseConsumer<C>>> {
    /// An empty one for the records of a consumer, which wakes whoever sleeps with `waker`.
    #[must_use]
    pub fn for_records(consumer: Arc<BaseConsumer<C>>, waker: Waker) -> Self {
        // SAFETY: the client lives, and is kept beside the queue.
        let raw = unsafe { rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self::with_bell(raw, Some(waker), consumer)
    }

    /// Leads a partition's records here, those too that it holds already. Again and again does no harm.
    ///
    /// One that is led before it is assigned for the first time never gives a record to the client itself. When it is given up it is led nowhere,
    /// and if it is assigned again it keeps its records until it is led anew. So none is lost or overtaken while nobody does.
    pub fn lead(&self, topic: &str, partition: i32) {
        // A name with a NUL in it is of no topic.
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: the client lives, the name ends with a NUL. What comes back is null or a reference of our own, which is given back;
        // leading it on takes references of its own to both queues.
        unsafe {
            let client = self.client.client().native_ptr();
            if let Some(records) = NonNull::new(rd_kafka_queue_get_partition(client, topic.as_ptr(), partition)) {
                rd_kafka_queue_forward(records.as_ptr(), self.raw.as_ptr());
                rd_kafka_queue_destroy(records.as_ptr());
            }
        }
    }
}

impl<C: ProducerContext> Queue<BaseProducer<C>> {
    /// A producer's own, in which acknowledgements come and what else it has to tell. Wakes nobody.
    #[must_use]
    pub fn of_producer(producer: BaseProducer<C>) -> Self {
        // SAFETY: the client lives, and is kept beside the queue.
        let raw = unsafe { rd_kafka_queue_get_main(producer.client().native_ptr()) };
        Self::with_bell(raw, None, producer)
    }
}

impl<K> Queue<K> {
    fn with_bell(raw: *mut rd_kafka_queue_t, waker: Option<Waker>, client: K) -> Self {
        let Some(raw) = NonNull::new(raw) else { unreachable!("librdkafka ends the process where it has no memory") };
        // As if it had rung: nobody knows what came before.
        let bell = Arc::new(Bell { rang_ns: AtomicU64::new(mono_ns()), waker });
        let opaque = Arc::as_ptr(&bell).cast_mut().cast::<c_void>();
        // SAFETY: the bell lives as long as this holds it, which is until `drop` has put it off, and is only shared.
        unsafe { rd_kafka_queue_cb_event_enable(raw.as_ptr(), Some(ring), opaque) };
        Self { raw, bell, client }
    }

    /// For librdkafka's own calls. Valid as long as `self`.
    pub(super) const fn raw(&self) -> *mut rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    /// The client whose queue it is.
    pub const fn client(&self) -> &K {
        &self.client
    }

    /// When the bell rang, monotonic ns, if it has since this was last called. Ask before the queue is emptied: what comes after that
    /// rings it again.
    #[inline]
    pub fn rang(&self) -> Option<u64> {
        let rang_ns = &self.bell.rang_ns;
        (rang_ns.load(Ordering::Relaxed) != 0).then(|| rang_ns.swap(0, Ordering::AcqRel)).filter(|ns| *ns != 0)
    }

    /// Whether nothing waits in it.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue lives.
        unsafe { rd_kafka_queue_length(self.raw.as_ptr()) == 0 }
    }

    /// Whether there is something to take: then the bell counts as rung, even if it was not.
    pub fn is_ready(&self) -> bool {
        if self.is_empty() {
            return self.bell.rang_ns.load(Ordering::Relaxed) != 0;
        }
        self.bell.ring();
        true
    }
}

impl Bell {
    fn ring(&self) {
        // The first counts until it is heard.
        let _ = self.rang_ns.compare_exchange(0, mono_ns(), Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Called by librdkafka's threads, under the queue's lock, when the queue was empty.
unsafe extern "C" fn ring(_: *mut rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `with_bell` gave a bell that lives until it is put off, and is only shared.
    let bell = unsafe { &*opaque.cast::<Bell>() };
    bell.ring();
    if let Some(waker) = &bell.waker {
        waker.wake();
    }
}
