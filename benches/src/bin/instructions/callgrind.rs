//! One step under callgrind. Only [`counted`] counts: what makes the step ready does not, nor what other threads do meanwhile.

use std::process::Command;

/// Steps before those that count: buffers have their size then, and caches of lookups are filled.
const WARM: u64 = 64;
/// Steps that count: enough that one of every so many (a tick of the epoch, a quote that is due) is no more than per mille of them.
const TIMES: u64 = 20_000;
/// Steps that tell how long one takes.
const FEW: u64 = 400;
/// Of a step that takes as many instructions or more, [`FEW`] are enough.
const LONG: u64 = 20_000;

/// Does a step so often, for callgrind to see.
#[inline(never)]
pub(crate) fn counted(step: &mut dyn FnMut(), times: u64) {
    for _ in 0..WARM {
        step();
    }
    toggled(step, times);
}

/// The function that callgrind collects in.
#[inline(never)]
fn toggled(step: &mut dyn FnMut(), times: u64) {
    for _ in 0..times {
        step();
    }
    std::hint::black_box(times);
}

/// Instructions of one step.
///
/// # Errors
/// What valgrind or the step says.
pub(crate) fn count(case: &str) -> Result<f64, String> {
    // How long one takes is not known before; a few tell.
    let few = collected(case, FEW)?;
    if few >= FEW * LONG {
        return Ok(mean(few, FEW));
    }
    Ok(mean(collected(case, TIMES)?, TIMES))
}

#[expect(clippy::cast_precision_loss, reason = "millions")]
fn mean(instructions: u64, times: u64) -> f64 {
    instructions as f64 / times as f64
}

fn collected(case: &str, times: u64) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*callgrind::toggled*")
        .arg(own)
        .args(["--step", case, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be run: {error}; `apt-get install valgrind`"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{case}: {}: {told}", output.status));
    }
    // `==123== Collected : 4567`
    let collected = told.lines().find_map(|line| line.split_once("Collected :"));
    collected
        .and_then(|(_, count)| count.trim().parse().ok())
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("{case}: callgrind counted nothing: {told}"))
}
