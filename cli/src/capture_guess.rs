//! Whose frames a capture holds, by what they say; and encodings by their names.

use pinion_spec::strategy::Encoding;

/// Whose a frame is, if it says: Kraken's are arrays, futures updates name their predecessor, futures quotes their kind, and so on.
pub(super) fn encoding_of(frame: &[u8]) -> Option<Encoding> {
    let frame: serde_json::Value = serde_json::from_slice(frame).ok()?;
    if let Some([_, .., channel, pair]) = frame.as_array().map(Vec::as_slice) {
        return (channel.is_string() && pair.is_string()).then_some(Encoding::KrakenV1);
    }
    let message = frame.get("data").unwrap_or(&frame);
    let has = |field: &str| message.get(field).is_some();
    let spot_or_usdm = |usdm: bool| Some(if usdm { Encoding::BinanceUsdm } else { Encoding::BinanceSpot });
    match message.get("e").and_then(serde_json::Value::as_str) {
        Some("depthUpdate") => spot_or_usdm(has("pu")),
        Some("bookTicker") => Some(Encoding::BinanceUsdm),
        Some("trade" | "aggTrade") if has("X") || has("M") => spot_or_usdm(!has("M")),
        Some(_) => None,
        None if has("client_order_id") => Some(Encoding::PinionExecution),
        None if has("feed") && (has("product_id") || has("product_ids")) => Some(Encoding::KrakenFutures),
        None if has("type") && (has("product_id") || has("channels")) => Some(Encoding::CoinbaseExchange),
        None if has("event") && (has("connectionID") || has("channelID")) => Some(Encoding::KrakenV1),
        None if has("lastUpdateId") => has("T").then_some(Encoding::BinanceUsdm),
        None => ["u", "s", "b", "B", "a", "A"].into_iter().all(has).then_some(Encoding::BinanceSpot),
    }
}

/// The encoding that a name on the command line means.
///
/// # Errors
/// A text that lists the names there are.
pub fn encoding_named(name: &str) -> Result<Encoding, String> {
    Encoding::ALL.into_iter().find(|encoding| encoding.name() == name).ok_or_else(|| {
        let names = Encoding::ALL.map(Encoding::name).join(", ");
        format!("no such encoding; there are {names}")
    })
}
