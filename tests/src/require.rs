//! What a machine may lack: the test that needs it is skipped where a person can see it, and fails where `CI=true`.

use std::io::Write as _;

use crate::told::add;

/// Says that the running test is skipped and why.
///
/// The line goes to the standard error past the test harness' capture, and to the file that `PINION_SKIPPED` names, from
/// which `make test` makes the list at its end.
///
/// # Panics
/// With `CI=true`: there, what is absent is a failure.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(!is_ci(), "{test} needs what is absent, and CI=true does not allow that: {why}");
    let line = format!("SKIPPED: {test}: {why}");
    // The harness captures what eprintln! writes, not what is written to the stream itself.
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("write to the standard error");
    add("PINION_SKIPPED", &line);
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
