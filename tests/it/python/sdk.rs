//! The unit tests of the SDK, as it lies in the repository and as a wheel, and those of the examples.

use std::process::Command;

use pinion_tests::captures::project_root;
use pinion_tests::python::{pytest, python};
use pinion_tests::scratch::Scratch;

#[test]
fn the_sdks_and_the_examples_unit_tests_pass() {
    let Some(python) = python() else { return };
    let root = project_root();
    for (folder, at_least) in [
        ("sdk/python", 70),
        ("strategies-examples/ema-cross-python", 3),
        ("strategies-examples/mean-reversion-python", 4),
    ] {
        let (said, passed) = pytest(&python, &root.join(folder), &[]);
        assert!(passed >= at_least, "{folder}: {said}");
    }
}

#[test]
fn the_wheel_holds_the_package_and_its_tests_pass_against_it() {
    let Some(python) = python() else { return };
    let scratch = Scratch::new();
    let sdk = project_root().join("sdk/python");
    let build =
        "import sys; sys.path.insert(0, '.'); from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))";
    let built = Command::new(&python).args(["-c", build]).arg(scratch.path()).current_dir(&sdk).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let name = String::from_utf8_lossy(&built.stdout).trim().to_owned();
    assert_eq!(name, format!("pinion_strategy-{}-py3-none-any.whl", env!("CARGO_PKG_VERSION")));
    let wheel = scratch.path().join(&name);
    let list = "import sys, zipfile; print('\\n'.join(zipfile.ZipFile(sys.argv[1]).namelist()))";
    let listed = Command::new(&python).args(["-c", list]).arg(&wheel).output().unwrap();
    let files = String::from_utf8_lossy(&listed.stdout).into_owned();
    for file in ["pinion_strategy/py.typed", "pinion_strategy/wasm.py", "pinion_strategy/testing.py"] {
        assert!(files.lines().any(|line| line == file), "no {file} in {files}");
    }
    // Python imports from a wheel as from a folder.
    let (said, passed) = pytest(&python, &sdk, &[&wheel]);
    assert!(passed >= 70, "{said}");
}
