//! The guide's commands, as it has them and in its order.

use pinion_tests::captures::project_root;

use super::stand_in::StandIn;
use super::{Desk, assert_says};

/// What the guide calls the namespace.
const NAMESPACE: &str = "-n desk-7";

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    let Some(desk) = Desk::new() else { return };
    let _operator = StandIn::start(desk.cluster, &desk.namespace);
    let guide = std::fs::read_to_string(project_root().join("docs/guide/cluster.md")).unwrap();
    let lines: Vec<&str> = guide.lines().filter(|line| line.starts_with("pinion ")).collect();
    // The guide deploys a second version, which is what it rolls back.
    let mut versions = ["ema-cross/ema-cross.wasm", "record-only/record-only.wasm"].into_iter().cycle();
    let mut subcommands = Vec::new();
    for line in lines {
        assert!(line.contains(NAMESPACE), "the guide names its namespace everywhere: {line}");
        let line = line.split(" #").next().unwrap().replace(NAMESPACE, "");
        let file = desk.folder.path().join("strategy.yaml");
        let arguments: Vec<&str> = line
            .split_whitespace()
            .skip(1)
            .map(|word| if word == "strategy.yaml" { file.to_str().unwrap() } else { word })
            .collect();
        if arguments[0] == "deploy" {
            let written = desk.file("ema-cross", versions.next().unwrap(), "");
            std::fs::rename(written, &file).unwrap();
        }
        if arguments[0] == "logs" {
            // Here nothing runs that could log; what is read where it does is held by the test on a real node.
            assert_says(&desk.refused(&arguments, 69), &["its pool default has no pods"]);
        } else {
            let _ = desk.ok(&arguments);
        }
        subcommands.push(arguments[0].to_owned());
    }
    for subcommand in ["deploy", "list", "describe", "top", "logs", "halt", "resume", "rollback"] {
        assert!(subcommands.iter().any(|one| one == subcommand), "the guide does not show {subcommand}");
    }
}
