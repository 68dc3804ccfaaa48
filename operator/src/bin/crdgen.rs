//! Prints the CRDs, as they stand in `deploy/crds/crds.yaml`.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let written = pinion_operator::crd::yaml()
        .map_err(|error| error.to_string())
        .and_then(|yaml| std::io::stdout().write_all(yaml.as_bytes()).map_err(|error| error.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}
