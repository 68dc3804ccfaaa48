//! What the author waits for: commands of the `pinion` beside this program, as processes, with their modules in the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{Capture, SPOT, USDM};
use pinion_tests::{rig, strategies};
use serde_json::Value;

use crate::pairs::{Figure, Goal};

/// Speed of a backtest in speeds of `inspect`.
const AGAINST_INSPECT: f64 = 0.8;
/// Speed of a sweep of eight in speeds of eight runs, on 2 cores.
const AGAINST_ONE_BY_ONE: f64 = 1.7;
/// Of a strategy in Python.
const PYTHON_EVENTS_A_SECOND: f64 = 150_000.0;
/// Of a module that is in the cache.
const CHECK_SECONDS: f64 = 2.0;
/// A second, where production gives a call a millisecond: it costs nothing and decides nothing here.
const CALL_MICROS: u32 = 1_000_000;
/// The sweep, and its values one by one.
const FAST: [&str; 8] = ["10", "20", "30", "40", "50", "60", "70", "80"];

/// The program, and files for it.
pub(crate) struct Bench {
    pinion: PathBuf,
    folder: PathBuf,
    turns: usize,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A file that a command is given.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Bench {
    pub(crate) fn new(pinion: PathBuf, turns: usize) -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("pinion-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { pinion, folder, turns })
    }

    /// Seconds that a command takes.
    ///
    /// # Panics
    /// If it does not end well.
    fn seconds(&self, args: &[&str]) -> f64 {
        let began = mono_ns();
        let status = Command::new(&self.pinion).args(args).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "pinion {args:?}");
        Duration::from_nanos(mono_ns() - began).as_secs_f64()
    }

    /// An example on a capture, as a file.
    ///
    /// # Panics
    /// If it cannot be written.
    fn file(&self, example: &str, capture: &Capture) -> String {
        let mut strategy: Strategy = rig::example(example, capture);
        strategy.spec.module = strategies::example(example).spec.module;
        // What else the machine runs takes its time from a call; a fault for that would be no figure.
        strategy.spec.budget.call_micros = CALL_MICROS;
        let path = self.folder.join(format!("{example}-{}.yaml", capture.encoding));
        let written =
            serde_json::to_vec(&strategy).map_err(std::io::Error::other).and_then(|yaml| std::fs::write(&path, yaml));
        assert!(written.is_ok(), "cannot write {}", path.display());
        shown(&path)
    }

    /// How many events a backtest has; it compiles the module, too.
    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    fn events(&self, file: &str, data: &str) -> f64 {
        let output = Command::new(&self.pinion).args(["backtest", file, "--data", data, "--format", "json"]).output();
        let events =
            output.ok().and_then(|output| serde_json::from_slice::<Value>(&output.stdout).ok()?["events"].as_u64());
        events.map_or(f64::NAN, |events| events as f64)
    }

    fn figure(
        &self,
        what: (&str, &'static str),
        floor: &'static str,
        goal: Goal,
        measured: impl FnMut() -> f64,
        beside: impl FnMut() -> f64,
    ) -> Figure {
        Figure::measure(what, floor, goal, self.turns, measured, beside)
    }

    /// The figures; `None` without the captures.
    pub(crate) fn figures(&self) -> Option<Vec<Figure>> {
        let (spot, usdm) = (shown(&SPOT.path()?), shown(&USDM.path()?));
        let mut figures = Vec::new();
        let rust = self.file("ema-cross", &USDM);
        let events = self.events(&rust, &usdm);
        let backtest = ["backtest", &rust, "--data", &usdm];
        figures.push(self.figure(
            ("backtest of the EMA cross in Rust, USD-M", "events/s"),
            "inspect of the same file",
            Goal::RatioAtLeast(AGAINST_INSPECT),
            || events / self.seconds(&backtest),
            || events / self.seconds(&["inspect", &usdm]),
        ));
        let all = format!("fast={}", FAST.join(","));
        let alone = |fast: &&str| self.seconds(&[&backtest[..], &["--param", &format!("fast={fast}")]].concat());
        figures.push(self.figure(
            ("a sweep of 8", "runs/s"),
            "one after the other",
            Goal::RatioAtLeast(AGAINST_ONE_BY_ONE),
            || 8.0 / self.seconds(&[&backtest[..], &["--param", &all]].concat()),
            || 8.0 / FAST.iter().map(alone).sum::<f64>(),
        ));
        for (capture, data) in [(&SPOT, &spot), (&USDM, &usdm)] {
            let [python, rust] = ["ema-cross-python", "ema-cross"].map(|example| self.file(example, capture));
            let events = self.events(&python, data);
            let _ = self.events(&rust, data);
            figures.push(self.figure(
                (&format!("backtest of the EMA cross in Python, {}", capture.encoding), "events/s"),
                "the same in Rust",
                Goal::AtLeast(PYTHON_EVENTS_A_SECOND),
                || events / self.seconds(&["backtest", &python, "--data", data]),
                || events / self.seconds(&["backtest", &rust, "--data", data]),
            ));
        }
        let sample = shown(&self.folder.join("sample.gz"));
        for (language, example) in [("Rust", "ema-cross"), ("Python", "ema-cross-python")] {
            let file = self.file(example, &SPOT);
            self.seconds(&["check", &file]);
            figures.push(self.figure(
                (&format!("check of a cached module in {language}"), "s"),
                "making up its sample",
                Goal::AtMost(CHECK_SECONDS),
                || self.seconds(&["check", &file]),
                || self.seconds(&["sample", &sample, "--seconds", "300"]),
            ));
        }
        Some(figures)
    }
}
