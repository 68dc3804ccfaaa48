//! The files of a new strategy. They are real files under `cli/templates` and `strategies-examples`, which tests build and run.

use super::{Lang, Template};
use crate::sdk;

/// The text of a template that depends on the language.
struct Texts {
    strategy: &'static str,
    rust: &'static str,
    python: &'static str,
    python_tests: &'static str,
    /// The commands that make up its market.
    samples: &'static str,
    /// And what `--data` is then.
    data: &'static str,
}

const SAMPLES: &str = "\
pinion sample sample.gz                                 # a made-up market, where you have no capture";
const SAMPLES_OF_TWO: &str = "\
pinion sample spot.gz                                   # a made-up market, where you have no capture
pinion sample perp.gz --encoding binance-usdm           # and the perpetual that goes with it";

/// A template's name, as on the command line.
pub(super) const fn name(template: Template) -> &'static str {
    match template {
        Template::EmaCross => "ema-cross",
        Template::MarketMaker => "market-maker",
        Template::Pairs => "pairs",
    }
}

const fn texts(template: Template) -> Texts {
    match template {
        Template::EmaCross => Texts {
            strategy: include_str!("../../templates/ema-cross/strategy.yaml"),
            rust: include_str!("../../../strategies-examples/ema-cross/src/lib.rs"),
            python: include_str!("../../../strategies-examples/ema-cross-python/strategy.py"),
            python_tests: include_str!("../../../strategies-examples/ema-cross-python/tests/test_strategy.py"),
            samples: SAMPLES,
            data: "sample.gz",
        },
        Template::MarketMaker => Texts {
            strategy: include_str!("../../templates/market-maker/strategy.yaml"),
            rust: include_str!("../../templates/market-maker/lib.rs"),
            python: include_str!("../../templates/market-maker/strategy.py"),
            python_tests: include_str!("../../templates/market-maker/test_strategy.py"),
            samples: SAMPLES,
            data: "sample.gz",
        },
        Template::Pairs => Texts {
            strategy: include_str!("../../templates/pairs/strategy.yaml"),
            rust: include_str!("../../templates/pairs/lib.rs"),
            python: include_str!("../../templates/pairs/strategy.py"),
            python_tests: include_str!("../../templates/pairs/test_strategy.py"),
            samples: SAMPLES_OF_TWO,
            data: "binance.spot.btcusdt=spot.gz binance.usdm.btcusdt=perp.gz",
        },
    }
}

/// Every file: where it lies in the folder, and its text.
pub(super) fn files(name_of_it: &str, lang: Lang, template: Template) -> Vec<(String, String)> {
    let texts = texts(template);
    let filled = |text: &str| {
        let text = text.replace("{{name}}", name_of_it).replace("{{template}}", name(template));
        let text = text.replace("{{samples}}", texts.samples).replace("{{data}}", texts.data);
        text.replace("{{version}}", env!("CARGO_PKG_VERSION"))
    };
    let mut files = vec![("strategy.yaml", filled(texts.strategy))];
    let sdk: Vec<(String, String)> = match lang {
        Lang::Rust => {
            files.push(("Cargo.toml", filled(include_str!("../../templates/rust/Cargo.toml"))));
            files.push(("README.md", filled(include_str!("../../templates/rust/README.md"))));
            files.push((".gitignore", filled(include_str!("../../templates/rust/gitignore"))));
            files.push(("src/lib.rs", texts.rust.to_owned()));
            files.push(("vendor/pinion-strategy/Cargo.toml", filled(include_str!("../../templates/rust/sdk.toml"))));
            let inside = |text: &str| text.replace(WIT_OF_THE_REPOSITORY, WIT_OF_A_PROJECT);
            sdk::RUST.iter().map(|(path, text)| (format!("vendor/pinion-strategy/{path}"), inside(text))).collect()
        }
        Lang::Python => {
            files.push(("pyproject.toml", filled(include_str!("../../templates/python/pyproject.toml"))));
            files.push(("README.md", filled(include_str!("../../templates/python/README.md"))));
            files.push((".gitignore", filled(include_str!("../../templates/python/gitignore"))));
            files.push(("strategy.py", texts.python.to_owned()));
            files.push(("tests/test_strategy.py", texts.python_tests.to_owned()));
            sdk::PYTHON.iter().map(|(path, text)| (format!("vendor/{path}"), (*text).to_owned())).collect()
        }
    };
    files.into_iter().map(|(path, text)| (path.to_owned(), text)).chain(sdk).collect()
}

/// Where the SDK looks for the contract, from its own folder.
const WIT_OF_THE_REPOSITORY: &str = "path: \"../../wit\"";
const WIT_OF_A_PROJECT: &str = "path: \"wit\"";

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_template_is_whole_in_both_languages_and_its_strategy_file_is_valid() {
        for template in Template::value_variants() {
            for lang in [Lang::Rust, Lang::Python] {
                let files = files("mine", lang, *template);
                for (path, text) in &files {
                    assert!(!text.contains("{{") || path.ends_with(".rs"), "{path}: a place that was not filled");
                }
                let of = |name: &str| &files.iter().find(|(path, _)| path == name).unwrap().1;
                let strategy = pinion_spec::parse(of("strategy.yaml"), "strategy.yaml").unwrap().remove(0);
                assert_eq!(strategy.metadata.name, "mine");
                assert_eq!(strategy.spec.module.file.as_deref(), Some("mine.wasm"));
            }
        }
    }

    #[test]
    fn the_contract_lies_inside_of_a_rust_project() {
        let files = files("mine", Lang::Rust, Template::Pairs);
        let bindings = &files.iter().find(|(path, _)| path == "vendor/pinion-strategy/src/wasm.rs").unwrap().1;
        assert!(bindings.contains(WIT_OF_A_PROJECT) && !bindings.contains(WIT_OF_THE_REPOSITORY));
        assert!(files.iter().any(|(path, _)| path == "vendor/pinion-strategy/wit/strategy.wit"));
    }
}
