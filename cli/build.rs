//! Finds what draws the charts of `report.html`, fetching it where it is not there yet; see `charts/fetch.sh`.

use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=charts/fetch.sh");
    println!("cargo::rerun-if-env-changed=PINION_CACHE");
    let fetched = Command::new("charts/fetch.sh").stderr(Stdio::inherit()).output();
    let path = match fetched {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => {
            println!(
                "cargo::error=cli/charts/fetch.sh failed ({}): it needs npm or curl, and the npm registry",
                output.status
            );
            return;
        }
        Err(error) => {
            println!("cargo::error=cli/charts/fetch.sh cannot be run: {error}");
            return;
        }
    };
    println!("cargo::rerun-if-changed={path}");
    println!("cargo::rustc-env=PINION_CHARTS={path}");
}
