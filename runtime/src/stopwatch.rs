//! How long something took on this thread, by the processor's own counter: for what is measured so often that asking the kernel's
//! clock would be a good part of it.
//!
//! A duration is right to one part in 10,000, and to what the processor has under way at a moment, some tens of ns: a reading waits
//! for nothing, so both ends of a duration may be a little early. What [`ns`] says is no time of day and of no other clock: only the
//! difference of two of its readings means something. Where the kernel does not trust the counter (it then keeps its own time by something else), this is
//! the kernel's clock, and costs what that costs.
//!
//! JUSTIFICATION: reading the counter is not safe Rust. A callback is timed by two readings, of 20 ns each in place of 35 and more; see
//! `docs/adr/0019-callbacks-timed-by-the-counter.md`.

#![allow(unsafe_code)]

use std::sync::OnceLock;

use crate::clock::mono_ns;

/// How long the counter is held against the kernel's clock, once a process: two readings of 40 ns at each end are 1 in 25,000 of it.
const CALIBRATION_NS: u64 = 2_000_000;
/// Readings at each end, of which the one counts that took least: the others were interrupted.
const READINGS: usize = 16;
/// Binary places of [`Scale`].
const PLACES: u32 = 32;

/// Nanoseconds a tick, times 2^[`PLACES`]; `None` where the kernel's clock is asked instead.
type Scale = Option<u64>;

static SCALE: OnceLock<Scale> = OnceLock::new();

/// Nanoseconds from an arbitrary start. About 20 ns, no system call; the first call of a process takes 2 ms.
#[must_use]
#[inline]
pub fn ns() -> u64 {
    match SCALE.get_or_init(scale) {
        Some(scale) => scaled(ticks(), *scale),
        None => mono_ns(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "nanoseconds of 500 years")]
#[inline]
fn scaled(ticks: u64, scale: u64) -> u64 {
    ((u128::from(ticks) * u128::from(scale)) >> PLACES) as u64
}

/// The time-stamp counter.
#[cfg(target_arch = "x86_64")]
#[inline]
fn ticks() -> u64 {
    // SAFETY: the instruction only reads the counter, which the kernel keeps its time by and so leaves to programs.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    0
}

#[cold]
fn scale() -> Scale {
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if cfg!(not(target_arch = "x86_64")) || source.ok()?.trim() != "tsc" {
        return None;
    }
    let (first_ns, first) = both();
    while mono_ns() < first_ns + CALIBRATION_NS {
        std::hint::spin_loop();
    }
    let (last_ns, last) = both();
    let ticks = last.checked_sub(first).filter(|ticks| *ticks > 0)?;
    u64::try_from((u128::from(last_ns - first_ns) << PLACES) / u128::from(ticks)).ok()
}

/// The kernel's clock and the counter at about the same moment.
fn both() -> (u64, u64) {
    let one = |_| {
        let before = mono_ns();
        let ticks = ticks();
        let after = mono_ns();
        (after - before, before + (after - before) / 2, ticks)
    };
    let least = (0..READINGS).map(one).min_by_key(|(took, ..)| *took);
    least.map_or((0, 0), |(_, ns, ticks)| (ns, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_the_kernels_to_one_part_in_a_thousand() {
        let _ = ns();
        // Whatever interrupts this: the counter was read between two readings of the clock, at both ends.
        let outer = mono_ns();
        let began = ns();
        let inner = mono_ns();
        while mono_ns() < inner + 20_000_000 {}
        let (inner, ended) = (mono_ns() - inner, ns());
        let (outer, took) = (mono_ns() - outer, ended - began);
        assert!(took >= inner - inner / 1_000 && took <= outer + outer / 1_000, "{inner} {took} {outer}");
    }

    #[test]
    fn it_never_goes_back_on_a_thread() {
        let mut before = ns();
        for _ in 0..100_000 {
            let now = ns();
            assert!(now >= before);
            before = now;
        }
    }

    #[test]
    fn a_scale_of_a_third_is_a_third_to_the_nanosecond_of_an_hour() {
        let scale = (1_u64 << PLACES) / 3;
        let hour = 3_600_000_000_000;
        assert!(scaled(3 * hour, scale).abs_diff(hour) < hour / 1_000_000_000);
        assert_eq!(scaled(u64::MAX, 1 << PLACES), u64::MAX);
    }
}
