//! Event files, Parquet and Arrow IPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinion_fuzz::files::read_events(bytes));
