//! A consumer's records in batches: librdkafka hands over what it has by a callback, under one lock, and the Rust client does not have that.
//!
//! The partitions' own queues are led into one queue of ours, which is read by the batch; everything else (rebalances, errors,
//! statistics, tokens) stays where the client's own poll takes it from. librdkafka's other call for many records, into an array, is not to be had: it
//! counts the end of a partition as a record, and after a pause goes on behind it.
//!
//! JUSTIFICATION: one record a call is a lock, an allocation and a look at the clock or two for each; row 5 of
//! `docs/PERFORMANCE.md` has both ways as floors.

#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use rdkafka::bindings::{
    rd_kafka_consume_callback_queue, rd_kafka_header_get, rd_kafka_message_headers, rd_kafka_message_t,
    rd_kafka_message_timestamp, rd_kafka_resp_err_t, rd_kafka_t, rd_kafka_topic_name, rd_kafka_yield,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::queue::Queue;
use crate::limits::BATCH_RECORDS_MAX;

/// The queue that a consumer's partitions are led into, shared with who leads them.
pub type Records<C> = Arc<Queue<Arc<BaseConsumer<C>>>>;

/// Takes a consumer's records out of their queue.
pub struct Batches<C: ConsumerContext + 'static> {
    queue: Records<C>,
    /// The last batch was full: there may be more, and no bell rings for it.
    more: bool,
}

/// What the callback needs of one batch.
struct Batch<F> {
    each: F,
    count: usize,
    client: *mut rd_kafka_t,
    /// It ended before the queue did.
    left: bool,
    panic: Option<Box<dyn Any + Send>>,
}

impl<C: ConsumerContext + 'static> Batches<C> {
    /// Of this queue, which nobody else takes from.
    #[must_use]
    pub const fn of(queue: Records<C>) -> Self {
        Self { queue, more: true }
    }

    /// Whether there is something to take.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.more || self.queue.is_ready()
    }

    /// Hands over what is there, in order and at most [`BATCH_RECORDS_MAX`]: records, and what stands in the place of one (the end of
    /// a partition, an error), until `each` says no. How many. Does not wait.
    #[inline]
    pub fn take(&mut self, each: impl FnMut(Result<Taken<'_>, KafkaError>) -> bool) -> usize {
        if !self.more && self.queue.rang().is_none() {
            return 0;
        }
        let client = self.queue.client().client().native_ptr();
        let mut batch = Batch { each, count: 0, client, left: false, panic: None };
        call(&self.queue, &mut batch);
        if let Some(panic) = batch.panic {
            resume_unwind(panic);
        }
        self.more = batch.left;
        batch.count
    }
}

fn call<K, F: FnMut(Result<Taken<'_>, KafkaError>) -> bool>(queue: &Queue<K>, batch: &mut Batch<F>) {
    let opaque = (&raw mut *batch).cast::<c_void>();
    // SAFETY: the queue lives; the callback is called before this returns, on this thread, with a pointer to what is borrowed for as long.
    unsafe { rd_kafka_consume_callback_queue(queue.raw(), 0, Some(hand_over::<F>), opaque) };
}

/// Called by librdkafka for each message of a batch, which it destroys afterwards.
unsafe extern "C" fn hand_over<F: FnMut(Result<Taken<'_>, KafkaError>) -> bool>(
    message: *mut rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: `call` lends its batch to the callbacks, one after the other, and does not look at it meanwhile.
    let batch = unsafe { &mut *opaque.cast::<Batch<F>>() };
    // SAFETY: the message lives until this returns, and nobody writes to it.
    let message = unsafe { &*message };
    let record = match message.err {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Taken { message }),
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Err(KafkaError::PartitionEOF(message.partition)),
        error => Err(KafkaError::MessageConsumption(error.into())),
    };
    batch.count += 1;
    // A panic does not go through C; the thread has it when the call has ended.
    let goes_on = match catch_unwind(AssertUnwindSafe(|| (batch.each)(record))) {
        Ok(goes_on) => goes_on && batch.count < BATCH_RECORDS_MAX,
        Err(panic) => {
            batch.panic = Some(panic);
            false
        }
    };
    if !goes_on {
        batch.left = true;
        // SAFETY: the client lives. It puts what is left back, in order.
        unsafe { rd_kafka_yield(batch.client) };
    }
}

/// One record, while it is handed over.
#[derive(Clone, Copy)]
pub struct Taken<'b> {
    message: &'b rd_kafka_message_t,
}

impl<'b> Taken<'b> {
    /// Its topic; empty where the name is no text, which Kafka's names always are.
    #[must_use]
    pub fn topic(&self) -> &'b str {
        // SAFETY: a message without an error names its topic, which lives as long as the message.
        let name = unsafe { CStr::from_ptr(rd_kafka_topic_name(self.message.rkt)) };
        name.to_str().unwrap_or_default()
    }

    /// Its partition.
    #[must_use]
    pub const fn partition(&self) -> i32 {
        self.message.partition
    }

    /// Its offset.
    #[must_use]
    pub const fn offset(&self) -> i64 {
        self.message.offset
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&'b [u8]> {
        self.bytes(self.message.key, self.message.key_len)
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> Option<&'b [u8]> {
        self.bytes(self.message.payload, self.message.len)
    }

    /// Kafka's timestamp, ms since the epoch; `None` without one.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<u64> {
        // SAFETY: the message lives; the kind of timestamp may be left out.
        let ms = unsafe { rd_kafka_message_timestamp(self.message, std::ptr::null_mut()) };
        u64::try_from(ms).ok()
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &CStr) -> Option<&'b [u8]> {
        const FOUND: rd_kafka_resp_err_t = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let (mut headers, mut value, mut len) = (std::ptr::null_mut(), std::ptr::null::<c_void>(), 0);
        // SAFETY: the message lives; headers and value are of the message, and are looked at only where the calls say that there are
        // any.
        unsafe {
            if rd_kafka_message_headers(self.message, &raw mut headers) != FOUND {
                return None;
            }
            let name: *const c_char = name.as_ptr();
            if rd_kafka_header_get(headers, 0, name, &raw mut value, &raw mut len) != FOUND {
                return None;
            }
        }
        self.bytes(value.cast_mut(), len)
    }

    fn bytes(&self, at: *mut c_void, len: usize) -> Option<&'b [u8]> {
        // SAFETY: librdkafka's pointers are null or point to so many bytes inside of the message, which nobody writes to.
        (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast::<u8>().cast_const(), len) })
    }
}
