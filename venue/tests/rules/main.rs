//! The venue's rules: one by one, and whatever comes.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod any;
mod one;
mod rig;
