//! Which file is which topic.

use std::path::{Path, PathBuf};

use pinion_spec::strategy::{Encoding, Strategy};

use crate::capture::{Capture, CaptureError};
use crate::error::CliError;

/// One topic's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Its name.
    pub(super) topic: String,
    /// Its number among the strategy's inputs.
    pub(super) input: u16,
    /// The partition that the records are said to lie in: the lowest that the strategy reads.
    pub(super) partition: u16,
    /// How its records are encoded, where they are not events of a file.
    pub(super) encoding: Encoding,
    /// One after the other.
    pub(super) files: Vec<PathBuf>,
}

/// The data of a strategy's market-data inputs, in the order of the inputs.
///
/// # Errors
/// [`CliError::Usage`] for a topic that the strategy does not read or that has no data, a file that cannot be opened, or one that is
/// plainly of another encoding.
pub(super) fn sources(strategy: &Strategy, data: &[String]) -> Result<Vec<Source>, CliError> {
    let mut sources = Vec::new();
    for (input, of) in (0..).zip(&strategy.spec.inputs) {
        if of.encoding.is_market_data() {
            let partition = of.partitions.as_ref().and_then(|list| list.iter().min().copied()).unwrap_or_default();
            let (topic, encoding) = (of.topic.clone(), of.encoding);
            sources.push((Source { topic, input, partition, encoding, files: Vec::new() }, of.encoding));
        }
    }
    let topics: Vec<String> = sources.iter().map(|(source, _)| source.topic.clone()).collect();
    if topics.is_empty() {
        return Err(CliError::Usage("the strategy reads no market data: there is nothing to run it over".to_owned()));
    }
    for text in data {
        let named = text.split_once('=').filter(|(topic, _)| topics.iter().any(|known| known == topic));
        let (place, file) = match named {
            Some((topic, file)) => (topics.iter().position(|known| known == topic).unwrap_or_default(), file),
            None if topics.len() == 1 && (!text.contains('=') || Path::new(text).exists()) => (0, text.as_str()),
            None => {
                let known = topics.join(", ");
                return Err(CliError::Usage(format!(
                    "--data {text}: say which topic it is, as TOPIC=FILE; the strategy reads {known}"
                )));
            }
        };
        sources[place].0.files.push(PathBuf::from(file));
    }
    for (source, encoding) in &sources {
        if source.files.is_empty() {
            let topic = &source.topic;
            return Err(CliError::Usage(format!("there is no data for {topic}; add --data {topic}=FILE")));
        }
        source.files.iter().try_for_each(|file| agrees(file, *encoding, &source.topic))?;
    }
    Ok(sources.into_iter().map(|(source, _)| source).collect())
}

/// That a file does not plainly say that it is something else.
fn agrees(file: &Path, encoding: Encoding, topic: &str) -> Result<(), CliError> {
    if Capture::open_as(file, encoding)?.is_event_file() {
        return Ok(());
    }
    match Capture::guess(file) {
        Ok(found) if found != encoding => Err(CliError::Usage(format!(
            "{} is {}, and the strategy reads {topic} as {}",
            file.display(),
            found.name(),
            encoding.name()
        ))),
        Ok(_) | Err(CaptureError::Encoding { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: pinion.dev/v1alpha1\nkind: Strategy\nmetadata: {name: a}\nspec:\n  module: {file: a.wasm}\n  outputs: {orders: {topic: o}}\n  inputs:\n";

    fn strategy(inputs: &str) -> Strategy {
        pinion_spec::parse(&format!("{FILE}{inputs}"), "a.yaml").unwrap().remove(0)
    }

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("pinion-sources-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["a", "b", "x=y"] {
            std::fs::write(folder.join(name), "1 {}\n").unwrap();
        }
        folder
    }

    #[test]
    fn files_go_to_the_topic_that_is_said_or_the_only_one() {
        let folder = folder();
        let path = |name: &str| folder.join(name).display().to_string();
        let one = strategy(
            "    - {topic: md, encoding: binance-usdm, partitions: [3, 2]}\n    - {topic: ex, encoding: pinion-execution}\n",
        );
        let found = sources(&one, &[path("a"), format!("md={}", path("b")), path("x=y")]).unwrap();
        assert_eq!((found.len(), found[0].input, found[0].partition, found[0].files.len()), (1, 0, 2, 3));
        let two =
            strategy("    - {topic: spot, encoding: binance-spot}\n    - {topic: perp, encoding: binance-usdm}\n");
        let both = [format!("perp={}", path("a")), format!("spot={}", path("b"))];
        assert_eq!(
            sources(&two, &both).unwrap().iter().map(|s| s.topic.as_str()).collect::<Vec<_>>(),
            ["spot", "perp"]
        );
        for (data, said) in [
            (vec![path("a")], "say which topic it is, as TOPIC=FILE; the strategy reads spot, perp"),
            (vec![format!("other={}", path("a"))], "say which topic it is"),
            (vec![format!("spot={}", path("a"))], "there is no data for perp; add --data perp=FILE"),
        ] {
            let error = sources(&two, &data).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        std::fs::write(folder.join("c"), "1 {\"e\":\"depthUpdate\",\"pu\":1}\n").unwrap();
        let error = sources(&strategy("    - {topic: md, encoding: binance-spot}\n"), &[path("c")]).unwrap_err();
        assert!(error.to_string().contains("is binance-usdm, and the strategy reads md as binance-spot"), "{error}");
    }
}
