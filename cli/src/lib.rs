//! The subcommands of `pinion`, a module each: its arguments and `run`.

pub mod build;
pub mod capture;
mod capture_progress;
pub mod cluster;
pub mod command;
pub mod contract;
pub mod demo;
pub mod error;
pub mod inspect;
pub mod new;
mod output;
pub mod publish;
pub mod push;
pub mod run;
mod sdk;
mod summary;
mod summary_text;
pub mod time;
