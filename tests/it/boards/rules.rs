//! The rules as Prometheus' own tool judges them: `tests/prometheus` says of each alert when it fires and when it does not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;

use pinion_boards::rules;
use pinion_tests::captures::project_root;
use pinion_tests::prometheus::promtool;

fn cases() -> Vec<PathBuf> {
    let folder = project_root().join("tests/prometheus");
    let mut cases: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn promtool_takes_the_rules() {
    let Some(output) = promtool(project_root(), &["check", "rules", "deploy/prometheus/rules.yaml"]) else { return };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn each_alert_fires_when_it_should_and_is_silent_when_not() {
    let cases = cases();
    let files: Vec<&str> = cases.iter().map(|path| path.to_str().unwrap()).collect();
    let Some(output) = promtool(project_root(), &[&["test", "rules"], &files[..]].concat()) else { return };
    assert!(output.status.success(), "{}", said(&output));
}

/// What it takes that a file cannot simply leave out.
#[test]
fn of_each_alert_the_cases_say_both_when_it_fires_and_when_it_does_not() {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for path in cases() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, line) in text.lines().enumerate() {
            let asked = line.split_once("- expr: ").and_then(|(_, expr)| expr.split_once("ALERTS{alertname=\""));
            let Some((_, name)) = asked else { continue };
            let name = name.split('"').next().unwrap().to_owned();
            let rest: Vec<&str> = text.lines().skip(at + 1).collect();
            let expected =
                rest.iter().map(|line| line.trim()).find(|line| !line.starts_with("eval_time")).unwrap_or("");
            match expected {
                "exp_samples: []" => silent.insert(name),
                some if some == "exp_samples:" || some.starts_with("exp_samples: [{") => fires.insert(name),
                other => panic!("{}: {name}: {other}", path.display()),
            };
        }
    }
    let all: BTreeSet<String> = rules::alerts().iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(fires, all, "alerts that a case sees firing");
    assert_eq!(silent, all, "alerts that a case sees silent");
}
