//! The contract and the SDKs as this version of Pinion has them: `pinion build` makes components of them, `pinion new` puts them
//! into projects, so that neither needs a network nor a package of just the right version.

/// The contract.
pub(crate) const WIT: &str = include_str!("../../wit/strategy.wit");

/// Its world.
pub(crate) const WORLD: &str = "strategy";

/// A file of an SDK: where it lies inside the SDK, and its text.
pub(crate) type File = (&'static str, &'static str);

/// The package `pinion_strategy`.
pub(crate) const PYTHON: &[File] = &[
    ("pinion_strategy/__init__.py", include_str!("../../sdk/python/src/pinion_strategy/__init__.py")),
    ("pinion_strategy/errors.py", include_str!("../../sdk/python/src/pinion_strategy/errors.py")),
    ("pinion_strategy/host.py", include_str!("../../sdk/python/src/pinion_strategy/host.py")),
    ("pinion_strategy/instrument.py", include_str!("../../sdk/python/src/pinion_strategy/instrument.py")),
    ("pinion_strategy/params.py", include_str!("../../sdk/python/src/pinion_strategy/params.py")),
    ("pinion_strategy/py.typed", include_str!("../../sdk/python/src/pinion_strategy/py.typed")),
    ("pinion_strategy/records.py", include_str!("../../sdk/python/src/pinion_strategy/records.py")),
    ("pinion_strategy/strategy.py", include_str!("../../sdk/python/src/pinion_strategy/strategy.py")),
    ("pinion_strategy/testing.py", include_str!("../../sdk/python/src/pinion_strategy/testing.py")),
    ("pinion_strategy/units.py", include_str!("../../sdk/python/src/pinion_strategy/units.py")),
    ("pinion_strategy/wasm.py", include_str!("../../sdk/python/src/pinion_strategy/wasm.py")),
];

/// The crate `pinion-strategy`, without its manifest.
pub(crate) const RUST: &[File] = &[
    ("src/host.rs", include_str!("../../sdk/rust/src/host.rs")),
    ("src/lib.rs", include_str!("../../sdk/rust/src/lib.rs")),
    ("src/params.rs", include_str!("../../sdk/rust/src/params.rs")),
    ("src/records.rs", include_str!("../../sdk/rust/src/records.rs")),
    ("src/strategy.rs", include_str!("../../sdk/rust/src/strategy.rs")),
    ("src/testing.rs", include_str!("../../sdk/rust/src/testing.rs")),
    ("src/units.rs", include_str!("../../sdk/rust/src/units.rs")),
    ("src/wasm.rs", include_str!("../../sdk/rust/src/wasm.rs")),
    ("wit/strategy.wit", WIT),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn on_disk(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "__pycache__").collect()
    }

    fn carried(files: &[File], folder: &str) -> BTreeSet<String> {
        files.iter().filter_map(|(path, _)| path.strip_prefix(folder)).map(str::to_owned).collect()
    }

    #[test]
    fn every_file_of_the_sdks_is_carried() {
        assert_eq!(carried(PYTHON, "pinion_strategy/"), on_disk("sdk/python/src/pinion_strategy"));
        assert_eq!(carried(RUST, "src/"), on_disk("sdk/rust/src"));
    }
}
