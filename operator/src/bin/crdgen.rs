//! Prints the CRDs, as they stand in `deploy/crds/crds.yaml`; with `reference`, the page of all their fields,
//! `docs/reference/resources.md`.

use std::io::Write as _;
use std::process::ExitCode;

use pinion_operator::crd;

fn main() -> ExitCode {
    let text = match std::env::args().nth(1).as_deref() {
        None => crd::yaml(),
        Some("reference") => crd::reference::page(),
        Some(other) => {
            eprintln!("crdgen: {other}: nothing for the CRDs, or reference");
            return ExitCode::FAILURE;
        }
    };
    let written = text
        .map_err(|error| error.to_string())
        .and_then(|text| std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}
