//! No step of an event's way takes more instructions than it did, to 2 %.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here is a test that fails")]

use std::process::Command;

use pinion_tests::require::skip;

#[test]
fn no_step_takes_more_instructions_than_its_baseline_says() {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return skip("the baseline is of x86-64");
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skip("no valgrind; `apt-get install valgrind`");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_instructions")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
