//! Every limit of the runtime: its name with its unit, why it is what it is, and how it relates to the others.

/// Largest Kafka record that is decoded. Brokers refuse larger ones by default (`message.max.bytes`).
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Most events that one Kafka record may hold. A depth snapshot of 5,000 levels a side, the largest any venue sends,
/// fits six times over; what is larger is refused as a decode error rather than allowed to fill the ring.
pub const RECORD_EVENTS_MAX: usize = 1 << 16;

/// Events a ring holds. A 1,000-level depth frame many times over, 2 MiB at 128 bytes an event.
pub const RING_EVENTS: usize = 1 << 14;

/// Events a worker takes from one ring before it looks at its commands and its other rings.
pub const BATCH_EVENTS_MAX: usize = 256;

/// Orders, denials and progress marks between a worker and egress.
pub const OUTBOUND_RING: usize = 1 << 13;

/// Intents of all callbacks that one event may cause on one worker: what a worker must be able to hand to egress before it
/// presents an event. A worker that lacks the room waits, and its input ring fills, and its partition pauses.
pub const EVENT_INTENTS_MAX: usize = 2_048;
const _: () = assert!(EVENT_INTENTS_MAX * 2 <= OUTBOUND_RING);

/// Intents that one callback may buffer, whatever the strategy's own budget says.
pub const CALL_INTENTS_MAX: usize = 256;
const _: () = assert!(CALL_INTENTS_MAX * 4 <= EVENT_INTENTS_MAX);

/// Bits of an order id that number the intents caused by one record; see [`crate::event::order_id`].
pub const ORDER_N_BITS: u32 = 12;
/// Bits of an order id for the input record's offset: at 100,000 records a second in one partition, five years.
pub const ORDER_OFFSET_BITS: u32 = 44;
/// Bits of an order id for the instance's input partition.
pub const ORDER_SOURCE_BITS: u32 = 8;
const _: () = assert!(ORDER_N_BITS + ORDER_OFFSET_BITS + ORDER_SOURCE_BITS == 64);

/// Intents caused by one record in one instance; one more is a fault.
pub const RECORD_INTENTS_MAX: u32 = 1 << ORDER_N_BITS;
/// Input partitions of one instance. One less than the bits hold, so that no order id is 0.
pub const INSTANCE_SOURCES_MAX: usize = (1 << ORDER_SOURCE_BITS) - 1;

/// Instruments that one feed tells apart. A hostile feed cannot grow the table beyond it.
pub const INSTRUMENTS_MAX: usize = 10_000;

/// Longest symbol in bytes.
pub const SYMBOL_BYTES_MAX: usize = 64;

/// Price levels kept on each side of a book; when full, the level farthest from the touch gives way and is counted.
pub const BOOK_LEVELS_MAX: usize = 8_192;
/// Levels allocated at first; a side doubles to its limit in three steps, so a warm book does not allocate.
pub const BOOK_LEVELS_INITIAL: usize = 1_024;

/// Timers that one instance may have set.
pub const TIMERS_MAX: usize = 64;

/// Names that one strategy may give to `metric-set`.
pub const GAUGES_MAX: usize = 16;
/// Longest gauge name in bytes.
pub const GAUGE_NAME_BYTES_MAX: usize = 64;

/// Longest log message in bytes; what is longer is cut.
pub const LOG_MESSAGE_BYTES_MAX: usize = 1_024;

/// Largest module. A Python component is 18 MB.
pub const MODULE_BYTES_MAX: usize = 64 << 20;

/// CPU time a compilation may take: a Python component needs 12 s on a slow core.
pub const COMPILE_SECONDS_MAX: u64 = 120;

/// Address space a compilation may take; a module that needs more is taken for a bomb.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Faults of one strategy inside [`QUARANTINE_WINDOW_NS`] that quarantine it.
pub const QUARANTINE_FAULTS: u32 = 5;
/// The window of [`QUARANTINE_FAULTS`].
pub const QUARANTINE_WINDOW_NS: u64 = 60_000_000_000;
/// First back-off after a fault; doubles with each until [`FAULT_BACKOFF_NS_MAX`].
pub const FAULT_BACKOFF_NS: u64 = 10_000_000;
/// Longest back-off.
pub const FAULT_BACKOFF_NS_MAX: u64 = 5_000_000_000;

/// Period of the clock that stops a runaway guest. A call ends at most two periods after its budget.
pub const EPOCH_PERIOD_NS: u64 = 1_000_000;

/// CPU time of the cold callbacks (`on-init`, `on-start`, `on-stop`), whatever the budget: they may parse and allocate.
pub const COLD_CALL_NS_MAX: u64 = 1_000_000_000;

/// Time between SIGTERM and giving up on acknowledgements; below Kubernetes' default grace of 30 s.
pub const DRAIN_SECONDS_MAX: u64 = 20;
