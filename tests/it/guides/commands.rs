//! Commands that no test does: a shell reads the block with stand-ins for the programs, and each program itself says whether it would take the
//! command line that its stand-in was given.
//!
//! The shell finds the stand-ins and a few filters, which run on nothing; any other program is unknown. So quotes, pipes, substitutions and answers
//! in comments are read by bash, options by who has them.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use pinion_tests::captures::project_root;
use pinion_tests::guide::Block;
use pinion_tests::kafka;
use pinion_tests::kube::helm;
use pinion_tests::programs::{pinion, program};
use pinion_tests::prometheus::promtool;
use pinion_tests::scratch::Scratch;

use super::{Rule, held};

/// Programs that the documentation tells people to run.
const PROGRAMS: [&str; 11] =
    ["cargo", "curl", "docker", "gzip", "helm", "kubectl", "make", "pinion", "pinion-runtime", "promtool", "python3"];

/// Filters of every system, which run as they stand.
const FILTERS: [&str; 4] = ["base64", "grep", "head", "tail"];

/// Writes what it was called with into a file of its own.
const STAND_IN: &str = "#!/bin/bash\nprintf '%s\\0' \"${0##*/}\" \"$@\" > \"$CALLS/$$\"\n";

/// Whether every line of a block begins with a program of the documentation.
pub(super) fn is_commands(block: &Block) -> bool {
    block.text.lines().all(is_command)
}

/// Whether a line is for a shell.
pub(super) fn is_command(line: &str) -> bool {
    let first = line.trim_start_matches("$ ").split_whitespace().next().unwrap_or_default();
    PROGRAMS.contains(&first) || kafka::PROGRAMS.iter().any(|(name, _)| *name == first)
}

/// The command lines that a shell makes of a block.
fn called(text: &str) -> Result<Vec<Vec<String>>, String> {
    let scratch = Scratch::new();
    let folder = |name: &str| {
        let path = scratch.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (programs, calls, at) = (folder("programs"), folder("calls"), folder("at"));
    for name in PROGRAMS.into_iter().chain(kafka::PROGRAMS.iter().map(|(name, _)| *name)) {
        let path = programs.join(name);
        std::fs::write(&path, STAND_IN).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    for name in FILTERS {
        symlink(Path::new("/usr/bin").join(name), programs.join(name)).unwrap();
    }
    for name in ["strategies-examples", "deploy"] {
        symlink(project_root().join(name), at.join(name)).unwrap();
    }
    let output = Command::new("/bin/bash")
        .args(["-c", &format!("{text}\nwait\n")])
        .env("PATH", &programs)
        .env("CALLS", &calls)
        // A pod's own, which its container has.
        .env("POD_NAME", "default-0")
        .current_dir(&at)
        .output()
        .unwrap();
    if !output.stderr.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let read = |path: PathBuf| {
        let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    };
    Ok(std::fs::read_dir(&calls).unwrap().map(|entry| read(entry.unwrap().path())).collect())
}

/// Whether a program takes a command line; `None` where it cannot be had here, which has been said.
fn taken(words: &[String]) -> Option<Result<(), String>> {
    let (name, arguments) = words.split_first().unwrap();
    Some(match name.as_str() {
        "pinion" => help(pinion(arguments.first()?).args(&arguments[1..])),
        "pinion-runtime" => help(Command::new(program("pinion-runtime", "pinion-runtime")).args(arguments)),
        "helm" => help(helm()?.args(arguments)),
        "kubectl" => help(Command::new(PathBuf::from(helm()?.get_program()).with_file_name("kubectl")).args(arguments)),
        "gzip" => help(Command::new("gzip").args(arguments)),
        "promtool" => query(arguments)?,
        "make" => succeeds(Command::new("make").arg("--dry-run").args(arguments).current_dir(project_root())),
        "cargo" => in_workspace(arguments),
        "curl" => to_an_admin_port(arguments),
        "docker" => stage(arguments),
        "python3" => python(arguments),
        tool => kafka_takes(tool, arguments)?,
    })
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() { Ok(()) } else { Err(said(&output)) }
}

/// A program that is asked for its help last has read all that comes before.
fn help(command: &mut Command) -> Result<(), String> {
    succeeds(command.arg("--help"))
}

/// Kafka's programs end with 1 after their help; what they do not know they call by its name.
fn kafka_takes(tool: &str, arguments: &[String]) -> Option<Result<(), String>> {
    static FOLDER: LazyLock<Scratch> = LazyLock::new(Scratch::new);
    if !kafka::put_programs(FOLDER.path()) {
        return None;
    }
    let output = Command::new(FOLDER.path().join(tool)).args(arguments).arg("--help").output();
    let said = said(&output.unwrap_or_else(|error| panic!("{tool}: {error}")));
    let taken = said.contains("Description") && !said.contains("not a recognized option");
    Some(if taken { Ok(()) } else { Err(said) })
}

/// Its options, and the expression as a rule's.
fn query(arguments: &[String]) -> Option<Result<(), String>> {
    let scratch = Scratch::new();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    words.push("--help");
    let output = promtool(scratch.path(), &words)?;
    if !output.status.success() {
        return Some(Err(said(&output)));
    }
    let expression = serde_json::Value::from(arguments.last()?.as_str());
    scratch.write("rules.yaml", format!("groups: [{{name: a, rules: [{{record: b, expr: {expression}}}]}}]\n"));
    let output = promtool(scratch.path(), &["check", "rules", "rules.yaml"])?;
    Some(if output.status.success() { Ok(()) } else { Err(said(&output)) })
}

/// A package or a program of the workspace.
fn in_workspace(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, name) = match words[..] {
        ["test", "-p", name] => ("packages", name),
        ["run", "--bin", name, ..] => ("bin", name),
        _ => return Err("not a command of the workspace that is known here".to_owned()),
    };
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(project_root())
        .output()
        .map_err(|error| error.to_string())?;
    let workspace: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|_| said(&output))?;
    let packages = workspace["packages"].as_array().into_iter().flatten();
    let is_there = packages.into_iter().any(|package| {
        let mut targets = package["targets"].as_array().into_iter().flatten();
        match kind {
            "packages" => package["name"] == name,
            kind => targets.any(|target| target["kind"][0] == kind && target["name"] == name),
        }
    });
    if is_there { Ok(()) } else { Err(format!("the workspace has no {name} among its {kind}")) }
}

/// A path of the admin port, by the lines that route it, and JSON where JSON is sent.
fn to_an_admin_port(arguments: &[String]) -> Result<(), String> {
    let url = arguments.iter().find_map(|word| word.strip_prefix("http://")).ok_or("no URL")?;
    let path = url.split_once('/').ok_or("no path")?.1.split('?').next().unwrap_or_default();
    let (file, route) = match path.strip_prefix("control/") {
        Some(command) => ("runtime/src/admin/control.rs", command),
        None => ("runtime/src/admin.rs", path.split('/').next().unwrap_or_default()),
    };
    let source = std::fs::read_to_string(project_root().join(file)).map_err(|error| error.to_string())?;
    let is_routed =
        [format!(".route(\"/{route}\""), format!(".route(\"/{route}/{{")].iter().any(|line| source.contains(line));
    if !is_routed {
        return Err(format!("the admin port has no /{path}"));
    }
    let bodies = arguments.iter().zip(arguments.iter().skip(1)).filter(|(option, _)| *option == "-d");
    for (_, body) in bodies {
        serde_json::from_str::<serde_json::Value>(body).map_err(|error| format!("{body}: {error}"))?;
    }
    Ok(())
}

/// A stage of a Dockerfile.
fn stage(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["build", "-f", file, "--target", target, "-t", _, "."] = words[..] else {
        return Err("not a build that is known here".to_owned());
    };
    let text = std::fs::read_to_string(project_root().join(file)).map_err(|error| format!("{file}: {error}"))?;
    let named = |line: &str| line.to_ascii_lowercase().ends_with(&format!(" as {target}"));
    if text.lines().any(named) { Ok(()) } else { Err(format!("{file} has no stage {target}")) }
}

/// A script on the command line is compiled; of modules there is pytest.
fn python(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["-c", script] => {
            succeeds(Command::new("python3").args(["-c", "import sys; compile(sys.argv[1], 'page', 'exec')", script]))
        }
        ["-m", "pytest", "--quiet"] => Ok(()),
        _ => Err("not a way to call Python that is known here".to_owned()),
    }
}

#[test]
fn every_command_of_the_documentation_is_one_that_its_program_takes() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (page, block) in held(|rule| rule == Rule::Commands) {
        match called(&block.text) {
            Err(why) => wrong.push(format!("{}: {why}", page.place(&block))),
            Ok(calls) => {
                assert!(!calls.is_empty(), "{}: no command in it", page.place(&block));
                for words in calls {
                    count += 1;
                    if let Some(Err(why)) = taken(&words) {
                        wrong.push(format!("{}: {}: {why}", page.place(&block), words.join(" ")));
                    }
                }
            }
        }
    }
    println!("{count} commands");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_its_program_does_not_take_is_found() {
    let why = |text: &str| match called(text) {
        Err(why) => why,
        Ok(calls) => taken(&calls[0]).map_or_else(|| "none here".to_owned(), |taken| taken.unwrap_err()),
    };
    assert!(why("pinion publish a.gz --brokers b --topic t --sped 10").contains("--sped"));
    assert!(why("pinion run \"a.yaml").contains("unexpected EOF"));
    assert!(why("pinoin run a.yaml").contains("command not found"));
    assert!(why("cd nowhere && pinion check a.yaml").contains("No such file"));
    assert!(why("make imagse").contains("imagse"));
    assert!(why("cargo test -p example-nothing").contains("example-nothing"));
    assert!(why("curl -s http://127.0.0.1:9101/redy").contains("no /redy"));
    assert!(why("curl -X POST http://127.0.0.1:9101/control/kill -d '{a}'").contains("{a}"));
    assert!(why("docker build -f deploy/images/Dockerfile --target nothing -t a .").contains("no stage nothing"));
    assert!(why("python3 -c 'a b'").contains("SyntaxError"));
    let all = [
        why("kubectl get pods --no-such-flag"),
        why("kafka-acls.sh --list --topik a"),
        why("promtool query instant http://a 'sum('"),
    ];
    for (why, expected) in all.iter().zip(["no-such-flag", "topik", "parse error"]) {
        assert!(why.contains(expected) || why == "none here", "{why}");
    }
}
