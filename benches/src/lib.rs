//! How Pinion is measured: beside floors of our own, in turns, with an interval for every ratio.
//!
//! Reading order: what is compared ([`pairs`]), what it comes to ([`interval`], [`pooled`], [`row`], [`result`], [`report`]), what it
//! was measured on ([`machine`]), where its time went ([`flames`]), and the steps ([`cases`]).

pub mod pairs;

pub mod interval;
pub mod pooled;
pub mod result;
pub mod row;

pub mod flames;
pub mod hiccups;
pub mod machine;

pub mod report;

pub mod cases;
