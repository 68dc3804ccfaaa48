//! GUEST.wasm QUOTES: blocks of quotes through an Extism plug-in, as `common/blocks.rs` says.

#[path = "../../common/blocks.rs"]
mod blocks;

use std::error::Error;

use extism::{Manifest, PluginBuilder, Wasm};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [guest, quotes] = arguments.as_slice() else { return Err("usage: GUEST.wasm QUOTES".into()) };
    let quotes = blocks::quotes(quotes)?;
    // Nothing is compiled twice here, so nothing is kept in the user's folders.
    let manifest = Manifest::new([Wasm::data(std::fs::read(guest)?)]);
    let mut plugin = PluginBuilder::new(manifest).with_cache_disabled().build()?;
    // It ends in a zero, for C.
    let version = extism::extism_version().trim_end_matches('\0');
    blocks::serve(("extism", version), (quotes.len(), 1), |call, orders| {
        orders.extend_from_slice(plugin.call("on_quote", quotes[call].as_slice())?);
        Ok(())
    })
}
