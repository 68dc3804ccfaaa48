//! Commands of the `pinion` beside this program, as processes, with their modules in the cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pinion_benches::machine::load;
use pinion_benches::pairs::{Pairs, Plan, Took};
use pinion_benches::result::Results;
use pinion_benches::row::{Goal, Row, Shown, What};
use pinion_runtime::clock::mono_ns;
use pinion_spec::strategy::Strategy;
use pinion_tests::captures::{Capture, SPOT, USDM};
use pinion_tests::{rig, strategies};
use serde_json::Value;

/// Speed of a backtest in speeds of `inspect`, which decodes and does no more.
const AGAINST_INSPECT: f64 = 0.9;
/// Speed of a sweep of eight in speeds of eight runs, on 2 cores.
const AGAINST_ONE_BY_ONE: f64 = 1.7;
/// Of a strategy in Python.
const PYTHON_EVENTS_A_SECOND: f64 = 150_000.0;
/// Of a module that is in the cache, ns.
const CHECK_NS: f64 = 2e9;
/// A second, where production gives a call a millisecond: it costs nothing and decides nothing here.
const CALL_MICROS: u32 = 1_000_000;
/// The sweep, and its values one by one.
const FAST: [&str; 8] = ["10", "20", "30", "40", "50", "60", "70", "80"];

/// The program, and files for it.
pub(crate) struct Bench {
    pinion: PathBuf,
    folder: PathBuf,
    plan: Plan,
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
    pub(crate) fn new(pinion: PathBuf, plan: Plan) -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("pinion-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { pinion, folder, plan })
    }

    /// How long a command takes that does so many operations.
    ///
    /// # Panics
    /// If it does not end well.
    fn took(&self, args: &[&str], operations: u64) -> Took {
        let began = mono_ns();
        let status = Command::new(&self.pinion).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "pinion {args:?}");
        Took { operations, ns: mono_ns() - began }
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
    fn events(&self, file: &str, data: &str) -> Result<u64, String> {
        let output = Command::new(&self.pinion).args(["backtest", file, "--data", data, "--format", "json"]).output();
        let output = output.map_err(|error| format!("{}: {error}", self.pinion.display()))?;
        let result: Result<Value, _> = serde_json::from_slice(&output.stdout);
        result
            .ok()
            .and_then(|result| result["events"].as_u64())
            .ok_or_else(|| format!("pinion backtest {file}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// The rows.
    pub(crate) fn rows(&self, results: &mut Results) -> Result<(), String> {
        let captured =
            |capture: &Capture| capture.path().map(|path| shown(&path)).ok_or("it needs the Binance captures");
        let (spot, usdm) = (captured(&SPOT)?, captured(&USDM)?);
        let mut row = |what: What<'_>, goal: Goal, a: &mut dyn FnMut() -> Took, b: &mut dyn FnMut() -> Took| {
            let before = load();
            let pairs = Pairs::measure(self.plan, a, b);
            results.push(Row::of_pairs(what, goal, &pairs, before));
        };
        let speed = What { id: "", name: "", unit: "events/s", floor: "", shown: Shown::Speed };
        let rust = self.file("ema-cross", &USDM);
        let events = self.events(&rust, &usdm)?;
        let backtest = ["backtest", &rust, "--data", &usdm];
        row(
            What {
                id: "7.json",
                name: "backtest of the EMA cross, USD-M capture",
                floor: "inspect of the same file",
                ..speed
            },
            Goal::RatioAtLeast(AGAINST_INSPECT),
            &mut || self.took(&backtest, events),
            &mut || self.took(&["inspect", &usdm], events),
        );
        let all = format!("fast={}", FAST.join(","));
        let alone = |fast: &&str| self.took(&[&backtest[..], &["--param", &format!("fast={fast}")]].concat(), 1).ns;
        row(
            What {
                id: "sweep",
                name: "a sweep of 8, decoded once",
                unit: "runs/s",
                floor: "one after the other",
                ..speed
            },
            Goal::RatioAtLeast(AGAINST_ONE_BY_ONE),
            &mut || self.took(&[&backtest[..], &["--param", &all]].concat(), 8),
            &mut || Took { operations: 8, ns: FAST.iter().map(alone).sum() },
        );
        for (capture, data) in [(&SPOT, &spot), (&USDM, &usdm)] {
            let [python, rust] = ["ema-cross-python", "ema-cross"].map(|example| self.file(example, capture));
            let events = self.events(&python, data)?;
            self.events(&rust, data)?;
            let id = format!("python.{}", capture.encoding);
            row(
                What { id: &id, name: "backtest of the EMA cross in Python", floor: "the same in Rust", ..speed },
                Goal::AtLeast(PYTHON_EVENTS_A_SECOND),
                &mut || self.took(&["backtest", &python, "--data", data], events),
                &mut || self.took(&["backtest", &rust, "--data", data], events),
            );
        }
        let sample = shown(&self.folder.join("sample.gz"));
        for (id, name, example) in [
            ("check.rust", "check of a cached module in Rust", "ema-cross"),
            ("check.python", "check of a cached module in Python", "ema-cross-python"),
        ] {
            let file = self.file(example, &SPOT);
            self.took(&["check", &file], 1);
            row(
                What { id, name, unit: "ns", floor: "making up its sample", shown: Shown::Cost },
                Goal::AtMost(CHECK_NS),
                &mut || self.took(&["check", &file], 1),
                &mut || self.took(&["sample", &sample, "--seconds", "300"], 1),
            );
        }
        Ok(())
    }
}
