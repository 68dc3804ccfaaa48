//! From a core module to a component of the contract.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::error::BuildError;
use crate::sdk::{WIT, WORLD};

/// A component of a core module in text form.
///
/// # Errors
/// [`BuildError::Wat`] or [`BuildError::Contract`], naming `path`.
pub fn component_of_wat(path: &Path, text: &str) -> Result<Vec<u8>, BuildError> {
    let wat = |error: wat::Error| BuildError::Wat { path: path.to_owned(), detail: error.to_string() };
    let mut module = wat::parse_str(text).map_err(wat)?;
    embed_contract(&mut module).map_err(|detail| contract(path, detail))?;
    component_of_core(path, &module)
}

fn contract(path: &Path, detail: impl ToString) -> BuildError {
    BuildError::Contract { path: path.to_owned(), detail: detail.to_string() }
}

fn embed_contract(module: &mut Vec<u8>) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("strategy.wit", WIT).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).map_err(|error| format!("{error:#}"))
}

/// A component of a core module that names the contract in itself.
///
/// # Errors
/// [`BuildError::Contract`], naming `path`.
pub(super) fn component_of_core(path: &Path, module: &[u8]) -> Result<Vec<u8>, BuildError> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| contract(path, format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pinion_runtime::sandbox::artefact::{Artefact, Lane};

    use super::*;

    #[test]
    fn text_becomes_a_component_that_the_runtime_takes_and_the_same_text_the_same_bytes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strategies-examples/misbehaving/flood.wat");
        let text = fs::read_to_string(&path).unwrap();
        let component = component_of_wat(&path, &text).unwrap();
        assert_eq!(Artefact::inspect(&component).unwrap().lane(), Lane::Direct);
        assert_eq!(component_of_wat(&path, &text).unwrap(), component);
    }

    #[test]
    fn what_is_no_strategy_is_refused_with_the_file_and_what_is_missing() {
        let path = Path::new("here.wat");
        let error = component_of_wat(path, "(module").unwrap_err().to_string();
        assert!(error.starts_with("here.wat: not WebAssembly text"), "{error}");
        let error = component_of_wat(path, "(module)").unwrap_err().to_string();
        assert!(error.contains("here.wat") && error.contains("pinion:strategy/handler@0.1.0"), "{error}");
    }
}
