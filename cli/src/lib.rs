//! The subcommands of `pinion`, a module each: its arguments and `run`.

pub mod backtest;
pub mod build;
pub mod capture;
mod capture_progress;
pub mod capture_source;
pub mod check;
pub mod cluster;
pub mod command;
pub mod contract;
pub mod demo;
pub mod error;
mod events;
pub mod inspect;
pub mod new;
mod output;
pub mod paper;
pub mod publish;
pub mod push;
pub mod replay;
pub mod run;
pub mod sample;
mod sdk;
mod signal;
mod strategy_file;
mod summary;
mod summary_text;
pub mod time;
