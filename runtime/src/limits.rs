//! Every limit of the runtime: its name with its unit, why it is what it is, and how it relates to the others.

/// Largest file that a token is looked for in. Kubernetes' tokens have some 1 KiB, and a broker takes 512 KiB of SASL at most.
pub const TOKEN_BYTES_MAX: usize = 1 << 16;

/// Largest Kafka record that is decoded. Brokers refuse larger ones by default (`message.max.bytes`).
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Most events that one Kafka record may hold. A depth snapshot of 5,000 levels a side, the largest any venue sends,
/// fits six times over; what is larger is refused as a decode error rather than allowed to fill the ring.
pub const RECORD_EVENTS_MAX: usize = 1 << 16;

/// Deepest nesting of a JSON record. Venues need four; a parser that counts needs no stack that a record can exhaust.
pub const JSON_DEPTH_MAX: u32 = 32;

/// Events a ring holds. A 1,000-level depth frame many times over, 2 MiB at 128 bytes an event.
pub const RING_EVENTS: usize = 1 << 14;
/// Events a ring holds whose two ends are on one thread: what a batch of records gives, for nothing is taken before it is empty. All of a ring is in
/// memory once so many events have passed: 256 KiB for each input of a strategy.
pub const SHARED_RING_EVENTS: usize = 1 << 11;

/// Events a worker takes from one ring before it looks at its commands and its other rings.
pub const BATCH_EVENTS_MAX: usize = 256;

/// Records that ingest takes of the client at once, where no ring is full before. While it handles them it does not look at a stop;
/// beyond a few dozen nothing is saved by more.
pub const BATCH_RECORDS_MAX: usize = 64;

/// Records that Kafka's client holds and the broker has not acknowledged, before egress takes no more from the workers: a minute and more of
/// a busy desk's orders. Then workers present no more, input rings fill, and partitions pause.
pub const UNACKNOWLEDGED_RECORDS_MAX: usize = 65_536;
/// The same in bytes.
pub const UNACKNOWLEDGED_BYTES_MAX: usize = 256 << 20;
/// Records that Kafka's client may hold: never the limit that is met first.
pub const PRODUCER_RECORDS_MAX: usize = 100_000;
/// The same in KiB.
pub const PRODUCER_KIB_MAX: usize = 2_000_000;
/// Largest record that Kafka's client sends: a dead letter is as large as what it was made of.
pub const PRODUCER_RECORD_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(UNACKNOWLEDGED_RECORDS_MAX < PRODUCER_RECORDS_MAX);
const _: () = assert!(UNACKNOWLEDGED_BYTES_MAX + PRODUCER_RECORD_BYTES_MAX < PRODUCER_KIB_MAX << 10);

/// Orders, denials and progress marks between a worker and egress.
pub const OUTBOUND_RING: usize = 1 << 13;

/// Journal entries between a worker and the journal's thread, which looks every 10 ms: two topics that alternate at 400,000 records a
/// second.
pub const JOURNAL_RING: usize = 1 << 12;
/// Largest journal entry: a strategy file is at most 1 MiB.
pub const JOURNAL_ENTRY_BYTES_MAX: usize = 2 << 20;
/// Largest block of a journal: what a reader makes room for.
pub const JOURNAL_BLOCK_BYTES_MAX: usize = 4 << 20;
const _: () = assert!(JOURNAL_BLOCK_BYTES_MAX >= 2 * JOURNAL_ENTRY_BYTES_MAX);
/// Bytes after which a journal goes on in another file: what is given up at once when it is full.
pub const JOURNAL_SEGMENT_BYTES: u64 = 16 << 20;
/// Budget of a call in a replay, where what ran out of its budget live is said by the journal: ten seconds, so that a module that
/// was never live ends too.
pub const REPLAY_CALL_MICROS: u32 = 10_000_000;
/// How long a journal's bytes may be written and not on disk: what a crash of the machine costs of it.
pub const JOURNAL_SYNC_NS: u64 = 1_000_000_000;

/// Dead letters of a feed on their way to egress; a flood of bad records waits for it, and its partition is not read on.
pub const DEAD_LETTERS_MAX: usize = 1_024;

/// Room for intents that a worker must have on its way to egress before it presents a record. A worker that lacks the room waits,
/// and its input ring fills, and its partition pauses. A record that causes more waits inside it, counted.
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
/// Levels allocated at first; from there a side's memory doubles as often as it is too small, so a warm book does not allocate.
pub const BOOK_LEVELS_INITIAL: usize = 1_024;

/// Deletions that a book remembers until a snapshot makes it whole: minutes of a busy market, and a snapshot comes in seconds.
pub const BOOK_DELETIONS_MAX: usize = 8_192;

/// Orders that an instance's ledger takes over from before its start, beyond those that its own limit allows: it must see and be
/// able to cancel what an earlier run left working.
pub const ORDERS_ADOPTED_MAX: usize = 256;
/// Finished orders that a ledger remembers, so that a repeated or late report of one is recognised.
pub const ORDERS_GONE_MAX: usize = 1_024;
/// Instruments beyond the declared ones that a ledger keeps a position for, when reports name them.
pub const POSITIONS_UNDECLARED_MAX: usize = 64;

/// Series of bars that one instance may want.
pub const BAR_SERIES_MAX: usize = 16;
/// Shortest time bar. What is shorter is better made from the trades themselves.
pub const BAR_NS_MIN: u64 = 1_000_000;

/// State that one module may leave to the next: written between two records, on the worker, at memory speed.
pub const SAVED_BYTES_MAX: usize = 1 << 20;

/// Timers that one instance may have set.
pub const TIMERS_MAX: usize = 64;

/// Timers and time bars that one event may fire or close in one instance; the rest come with the next event, still in order.
pub const DUE_CALLS_PER_EVENT_MAX: usize = 64;

/// Denials that wait to be told to one guest; more are counted and not told.
pub const INBOX_UPDATES_MAX: usize = 256;
/// Rounds of telling a guest about denials inside one event: a guest that answers each denial with another order would
/// otherwise never end.
pub const DENIAL_ROUNDS_MAX: usize = 4;

/// Working orders of one instance, the upper bound of `risk.maxOpenOrders`.
pub const OPEN_ORDERS_MAX: usize = 4_096;

/// Names that one strategy may give to `metric-set`.
pub const GAUGES_MAX: usize = 16;
/// Longest gauge name in bytes.
pub const GAUGE_NAME_BYTES_MAX: usize = 64;

/// Longest log message in bytes; what is longer is cut.
pub const LOG_MESSAGE_BYTES_MAX: usize = 1_024;

/// Bytes of log lines that wait for the admin thread; what comes when they are full is counted and dropped.
pub const LOG_BUFFER_BYTES: usize = 64 << 10;
/// Log lines that wait for the admin thread.
pub const LOG_BUFFER_LINES: usize = 512;
const _: () = assert!(LOG_BUFFER_BYTES >= LOG_MESSAGE_BYTES_MAX);

/// Longest string that a guest may pass in one call (a log message, a gauge's name, why it refuses to start). The host checks
/// it to its end, and that time is not the guest's: 64 KiB take a few microseconds.
pub const GUEST_STRING_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(GUEST_STRING_BYTES_MAX >= LOG_MESSAGE_BYTES_MAX);

/// Stack of a guest, of the worker thread's own (2 MiB by default; a quarter is left to what the guest's imports need).
pub const GUEST_STACK_BYTES_MAX: usize = 512 << 10;

/// Elements of all tables of one instance. CPython's indirect functions are 12,000.
pub const GUEST_TABLE_ELEMENTS_MAX: usize = 1 << 16;

/// Instances that a runtime holds at once: what the pool of address space is sized for, 4 GiB each, of the 128 TiB that a process has.
pub const INSTANCES_MAX: u32 = 1_024;

/// Functions of one module, all of its parts together. CPython has 15,000.
pub const MODULE_FUNCTIONS_MAX: u32 = 100_000;
/// Largest function body. CPython's interpreter loop is 60 KB; compile time grows faster than size beyond that.
pub const MODULE_FUNCTION_BYTES_MAX: usize = 1 << 20;

/// Longest text of a fault: trap message and backtrace.
pub const FAULT_DETAIL_BYTES_MAX: usize = 2_048;

/// Largest module. A Python component is 18 MB.
pub const MODULE_BYTES_MAX: usize = 64 << 20;

/// Modules that a pod keeps: those that run, and some to roll back to.
pub const MODULES_KEPT_MAX: usize = 64;
/// Bytes of the modules that a pod keeps: half of the volume that they lie on.
pub const MODULES_KEPT_BYTES_MAX: u64 = 512 << 20;
const _: () = assert!(MODULES_KEPT_BYTES_MAX >= 4 * MODULE_BYTES_MAX as u64);

/// Largest manifest of a module in a registry: one layer, its configuration and notes take 1 KiB.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Largest answer of a registry's token service; a token with hundreds of rights is 10 KiB.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Head of an answer from a registry: signed addresses of object stores take 2 KiB.
pub const ANSWER_HEAD_BYTES_MAX: usize = 64 << 10;
/// Largest file of registry credentials: what Kubernetes lets a Secret hold.
pub const REGISTRY_CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Redirects that one request to a registry may cause: a store, and the store's own.
pub const REDIRECTS_MAX: usize = 5;
/// Until there is a connection to a registry, its name looked up and its certificate checked.
pub const REGISTRY_CONNECT_SECONDS_MAX: u64 = 10;
/// Until a registry begins its answer, and between two parts of it.
pub const REGISTRY_STALL_SECONDS_MAX: u64 = 30;
/// Until a module is pulled or pushed, all told: the largest at 220 KB/s.
pub const TRANSFER_SECONDS_MAX: u64 = 300;
const _: () = assert!(TRANSFER_SECONDS_MAX >= 5 * (REGISTRY_STALL_SECONDS_MAX + REGISTRY_CONNECT_SECONDS_MAX));
/// Modules that a pod pulls at a time.
pub const PULLS_MAX: usize = 4;
/// First wait after a pull that failed; doubles up to [`PULL_RETRY_NS_MAX`].
pub const PULL_RETRY_NS: u64 = 1_000_000_000;
/// Longest wait between two tries of a pull: what mends it, a push or a Secret, is noticed in a minute.
pub const PULL_RETRY_NS_MAX: u64 = 60_000_000_000;

/// CPU time a compilation may take: a Python component needs 12 s on a slow core.
pub const COMPILE_SECONDS_MAX: u64 = 120;

/// Wall-clock time of a compilation: its CPU time on a machine that is busy with something else.
pub const COMPILE_WALL_SECONDS_MAX: u64 = 3 * COMPILE_SECONDS_MAX;

/// Address space a compilation may take; a module that needs more is taken for a bomb.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Faults of one instance inside [`QUARANTINE_WINDOW_NS`] that quarantine it.
pub const QUARANTINE_FAULTS: u32 = 5;
/// The window of [`QUARANTINE_FAULTS`].
pub const QUARANTINE_WINDOW_NS: u64 = 60_000_000_000;
/// First back-off after a fault; doubles with each until the quarantine.
pub const FAULT_BACKOFF_NS: u64 = 50_000_000;

/// Period of the clock that stops a runaway guest. A call ends at most two periods after its budget: one until it is looked at, one that others
/// may have had of what it seems to have had. A shorter one costs: each wake-up is 10 µs of a core.
pub const EPOCH_PERIOD_NS: u64 = 1_500_000;

/// CPU time of the cold callbacks (`on-init`, `on-start`, `on-stop`), whatever the budget: they may parse and allocate.
pub const COLD_CALL_NS_MAX: u64 = 1_000_000_000;

/// How long ingest waits for room in a full ring before it pauses the partition: a pause throws away what the client
/// has fetched, so it must not answer a passing burst.
pub const PAUSE_AFTER_NS: u64 = 20_000_000;
/// A paused partition is resumed when one of so many parts of its ring is free again.
pub const RESUME_FREE_PART: usize = 2;

/// A stream is quiet, so that timers fire by the wall clock, when the client has said that a partition is at its end and nothing
/// has come from any for this long.
pub const QUIET_NS: u64 = 2_000_000;

/// Longest sleep of a thread that waits for something of which nobody wakes it: how late a timer may be noticed on a stream that
/// has not said that it is quiet, or an acknowledgement may free an offset.
pub const PARK_NS_MAX: u64 = 1_000_000;

/// Longest sleep of egress while one record is not acknowledged: how late its acknowledgement may free an offset, which is committed
/// [`COMMIT_INTERVAL_NS`] later. A wake-up more for each order is a good part of what an order takes of a core.
pub const ACK_NS_MAX: u64 = 5_000_000;

/// Longest sleep of a thread that waits for nothing but to be woken: a wake-up a millisecond of each is a good part of what an idle pod
/// takes of a core.
pub const IDLE_NS_MAX: u64 = 20_000_000;
const _: () = assert!(IDLE_NS_MAX < REPORT_INTERVAL_NS, "guests' log lines and gauges are copied out in time");

/// Scrapes that wait for the one that is under way: a Prometheus and its double, and a person.
pub const SCRAPES_WAITING_MAX: usize = 4;

/// How often a worker copies out guests' log lines and gauges.
pub const REPORT_INTERVAL_NS: u64 = 100_000_000;

/// How often progress is committed to Kafka: what a crash may repeat.
pub const COMMIT_INTERVAL_NS: u64 = 200_000_000;

/// How long a worker that drains waits for egress to have room: without a broker it never will, and what is not presented is read again.
pub const DRAIN_ROOM_NS_MAX: u64 = 1_000_000_000;
const _: () = assert!(2 * DRAIN_ROOM_NS_MAX < DRAIN_SECONDS_MAX * 1_000_000_000);

/// Time between SIGTERM and giving up on acknowledgements. Without a broker the last commit takes the client another 10 s to
/// give up on, and both must end before Kubernetes' default grace of 30 s does.
pub const DRAIN_SECONDS_MAX: u64 = 15;
