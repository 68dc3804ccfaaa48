//! The subcommands of `pinion`, a module each: its arguments and `run`.

pub mod build;
pub mod capture;
mod capture_progress;
pub mod capture_source;
pub mod cluster;
pub mod command;
pub mod demo;
pub mod error;
mod events;
pub mod inspect;
mod output;
pub mod publish;
pub mod push;
pub mod run;
mod summary;
mod summary_text;
pub mod time;
