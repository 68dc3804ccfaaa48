//! Bytes to events, without IO, without allocation once warm, without floats.
