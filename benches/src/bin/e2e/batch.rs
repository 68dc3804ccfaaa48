//! librdkafka's batch call, as a client in C would use it: the quickest that there is to read by.
//!
//! JUSTIFICATION: the Rust client has no such call, and a floor that is not the lowest is none.

#![allow(unsafe_code)]

use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t, rd_kafka_queue_destroy,
    rd_kafka_queue_get_consumer, rd_kafka_queue_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer};

/// Records of one call at most, as librdkafka's own performance tool has it.
const BATCH: usize = 1_000;

/// Reads a consumer's queue.
pub(crate) struct Batches {
    queue: *mut rd_kafka_queue_t,
    messages: Vec<*mut rd_kafka_message_t>,
    /// The queue is this one's: it lives as long.
    consumer: BaseConsumer,
}

impl Drop for Batches {
    fn drop(&mut self) {
        // SAFETY: `queue` is a reference of our own to the consumer's queue, given back once, while the consumer still lives.
        unsafe { rd_kafka_queue_destroy(self.queue) };
    }
}

impl Batches {
    pub(crate) fn of(consumer: BaseConsumer) -> Self {
        // SAFETY: the client lives as long as `consumer`, which moves into the value that holds the queue; the call cannot fail for a
        // consumer, and takes a reference that `drop` gives back.
        let queue = unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Self { queue, messages: vec![std::ptr::null_mut(); BATCH], consumer }
    }

    /// Takes what is there, and waits for the first so long: offset, key and value of each.
    pub(crate) fn take(&mut self, wait: Duration, mut each: impl FnMut(i64, Option<&[u8]>, &[u8])) {
        let _lives = &self.consumer;
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the array has room for as many pointers as the call is told.
        let taken = unsafe {
            rd_kafka_consume_batch_queue(self.queue, wait_ms, self.messages.as_mut_ptr(), self.messages.len())
        };
        for message in &self.messages[..usize::try_from(taken).unwrap_or(0)] {
            // SAFETY: the call has filled so many entries with messages that are ours until they are destroyed, below; key and payload
            // are null or point to so many bytes inside of the message.
            let (offset, error, key, value) = unsafe {
                let message = &**message;
                let bytes = |at: *mut std::ffi::c_void, len: usize| {
                    (!at.is_null()).then(|| std::slice::from_raw_parts(at.cast::<u8>().cast_const(), len))
                };
                (message.offset, message.err, bytes(message.key, message.key_len), bytes(message.payload, message.len))
            };
            if error as i32 == 0 {
                each(offset, key, value.unwrap_or_default());
            }
            // SAFETY: each message once, and nothing of it is used after.
            unsafe { rd_kafka_message_destroy(*message) };
        }
    }
}
