//! A peer's side of the turns: it is told on the standard input how many quotes to take, a number a line, and answers each with a line of
//! JSON on the standard output. Where it ended it goes on, and after the last quote comes the first.

use std::error::Error;
use std::io::BufRead as _;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

/// See `flat.rs`.
const QUOTE_BYTES: usize = 80;
const ORDER_BYTES: usize = 33;

/// Reads the file of quotes.
pub(crate) fn quotes(path: &str) -> Result<Vec<[u8; QUOTE_BYTES]>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let (quotes, rest) = bytes.as_chunks();
    if quotes.is_empty() || !rest.is_empty() {
        return Err(format!("{path}: not quotes of {QUOTE_BYTES} bytes").into());
    }
    Ok(quotes.to_vec())
}

/// Takes blocks until the input ends. `call` is given the number of a call and appends the orders of it; a call takes `at_once` of the
/// `len` quotes.
pub(crate) fn serve(
    (peer, version): (&str, &str),
    (len, at_once): (usize, usize),
    mut call: impl FnMut(usize, &mut Vec<u8>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let calls = len / at_once;
    let (mut next, mut orders) = (0, Vec::new());
    println!(r#"{{"peer":"{peer}","version":"{version}"}}"#);
    for line in std::io::stdin().lock().lines() {
        let quotes: usize = line?.parse()?;
        orders.clear();
        let began = Instant::now();
        for _ in 0..quotes / at_once {
            call(next, &mut orders)?;
            next = (next + 1) % calls;
        }
        let ns = began.elapsed().as_nanos();
        let hash: String = Sha256::digest(&orders).iter().map(|byte| format!("{byte:02x}")).collect();
        let (took, sent) = (quotes / at_once * at_once, orders.len() / ORDER_BYTES);
        println!(r#"{{"calls":{took},"ns":{ns},"orders":{sent},"hash":"{hash}"}}"#);
    }
    Ok(())
}
